"""Event loops whose every suspension of every task is announced before the loop sees it.

Both loops suspend by a plain ``yield``, so a coroutine around each task's own sees the same on
asyncio and on trio. This file knows tasks and moments, not ajobs and not what is done then.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import anyio
import trio
import trio.lowlevel
from outcome import Error

Do = Callable[[], object]

#: The event loops that are attacked; the second needs Python 3.12. Besides, "shuffled" is
#: asyncio with its tasks' steps in an order that the seed decides, as they always are on trio.
LOOPS = ("asyncio", "eager", "trio")
HERE = tuple(loop for loop in LOOPS if loop != "eager" or sys.version_info >= (3, 12))


class Moment(StrEnum):
    """When something is done to a task that suspends."""

    BEFORE = "before"
    """It is about to suspend; the loop has not seen yet what it waits for."""
    BLOCKED = "blocked"
    """It waits."""
    WOKEN = "woken"
    """What it waited for has come, and its next step is scheduled."""


class Points(Protocol):
    """Who hears of suspensions."""

    def reached(self, yielded: object) -> BaseException | None:
        """Note that the current task suspends; an exception is raised in its stead."""

    def lost(self, what: str) -> None:
        """Note an error that only asyncio's log would tell of."""


class Driven(Coroutine[Any, Any, Any]):
    """The coroutine of a task, with its suspensions told to *points*."""

    def __init__(self, inner: Coroutine[Any, Any, Any], points: Points) -> None:
        self._inner = inner
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __await__(self) -> Any:
        return self

    def __repr__(self) -> str:
        return repr(self._inner)

    def send(self, value: Any) -> Any:
        return self._suspend(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._suspend(self._inner.throw(*error))

    def _suspend(self, yielded: Any) -> Any:
        while (error := self._points.reached(yielded)) is not None:
            yielded = self._inner.throw(error)

        return yielded

    def close(self) -> None:
        self._inner.close()


class DrivenLoop(asyncio.SelectorEventLoop):
    """asyncio's loop; tasks are made by overriding, since a task factory changes what is tested."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._points.lost(f"{context['message']}: {context.get('exception')!r}")

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return super().create_task(Driven(coro, self._points), **options)


class Shuffled(deque[Any]):
    """asyncio's queue of what is ready, from which steps of different tasks come in any order.

    The steps of one task keep theirs, and so does everything that is no step: transports and
    callbacks rely on it.
    """

    def __init__(self, seed: int, trace: list[int]) -> None:
        super().__init__()
        self._chance = random.Random(seed)
        self._trace = trace
        self._known: dict[object, int] = {}

    def popleft(self) -> Any:
        first: dict[asyncio.Task[Any], int] = {}
        for place, handle in enumerate(self):
            task = getattr(handle._callback, "__self__", None)
            if not isinstance(task, asyncio.Task):
                break

            first.setdefault(task, place)

        if not first:
            return super().popleft()

        task = self._chance.choice(list(first))
        self._trace.append(self._known.setdefault(task, len(self._known)))
        handle = self[first[task]]
        del self[first[task]]
        return handle


class Driver:
    """What the two loops do differently.

    Attributes:
        trace: Which task took each step, where the order is up to the seed.
    """

    def __init__(self) -> None:
        self.trace: list[int] = []

    def do_at(self, moment: Moment, yielded: object, do: Do) -> None:
        """Call *do* at *moment* of the suspension that the current task is in."""
        raise NotImplementedError

    def throw(self, error: BaseException) -> BaseException | None:
        """Raise *error* from what the current task is about to wait for."""
        raise NotImplementedError

    def task_name(self) -> str:
        """Return the name of the current task."""
        return anyio.get_current_task().name or ""

    def run(self, fn: Callable[[], Coroutine[Any, Any, None]], seed: int) -> None:
        """Run *fn* to its end on a fresh loop."""
        raise NotImplementedError


def _innermost(task: Any) -> Any:
    """Return the coroutine in which *task* waits, also if ajobs drives it step by step."""
    found = one = task.get_coro()
    while one is not None:
        found = one if hasattr(one, "__qualname__") else found
        frame = getattr(one, "gi_frame", None)
        one = getattr(one, "cr_await", None) or getattr(one, "gi_yieldfrom", None)
        if one is None and frame is not None:
            one = frame.f_locals.get("coro")

    return found


def _is_group(coro: Any) -> bool:
    """Tell whether *coro* is anyio's wait for a group of tasks, which breaks if it fails."""
    return "TaskGroup" in getattr(coro, "__qualname__", "")


class AsyncioDriver(Driver):
    """asyncio, its tasks eager or not."""

    def __init__(self, points: Points, kind: str = "asyncio") -> None:
        super().__init__()
        self._points = points
        self._kind = kind
        self._seed = 0

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        loop: Any = DrivenLoop(self._points)
        if self._kind == "shuffled":
            loop._ready = Shuffled(self._seed, self.trace)
        elif self._kind == "eager":
            factory: Any = vars(asyncio)["eager_task_factory"]
            loop.set_task_factory(factory)

        made: asyncio.AbstractEventLoop = loop
        return made

    def do_at(self, moment: Moment, yielded: object, do: Do) -> None:
        if moment is Moment.BEFORE:
            do()
        elif moment is Moment.WOKEN and isinstance(yielded, asyncio.Future):
            # Registered before the task's own wake-up, so it runs right in front of it.
            yielded.add_done_callback(lambda _: do())
        else:
            asyncio.get_running_loop().call_soon(do)

    def throw(self, error: BaseException) -> BaseException | None:
        return None if _is_group(_innermost(asyncio.current_task())) else error

    def run(self, fn: Callable[[], Coroutine[Any, Any, None]], seed: int) -> None:
        self._seed = seed
        anyio.run(fn, backend="asyncio", backend_options={"loop_factory": self._make_loop})


class TrioDriver(Driver, trio.abc.Instrument):
    """trio, with its shuffling seeded."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points
        self._known: dict[trio.lowlevel.Task, int] = {}
        self._after_step: dict[trio.lowlevel.Task, Do] = {}
        self._on_wake: dict[trio.lowlevel.Task, Do] = {}
        self._due: list[Do] = []

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        frame = task.coro.cr_frame
        if frame is None or not frame.f_globals["__name__"].startswith("trio._core"):
            coro: Any = Driven(task.coro, self._points)
            task.coro = coro

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        do = self._after_step.pop(task, None)
        if do is not None:
            do()

        self._do_due()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.trace.append(self._known.setdefault(task, len(self._known)))
        self._do_due()

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        do = self._on_wake.pop(task, None)
        if do is not None:
            # Not here, in the middle of what wakes it, but before anything else runs.
            self._due.append(do)

    def _do_due(self) -> None:
        while self._due:
            self._due.pop()()

    def do_at(self, moment: Moment, yielded: object, do: Do) -> None:
        if moment is Moment.BEFORE:
            do()
        elif moment is Moment.BLOCKED:
            self._after_step[trio.lowlevel.current_task()] = do
        else:
            self._on_wake[trio.lowlevel.current_task()] = do

    def throw(self, error: BaseException) -> BaseException | None:
        # Raised in the task at once, it would leave a place in some queue of trio's behind.
        task: Any = trio.lowlevel.current_task()

        def abort() -> None:
            abort_fn = task._abort_func
            if (
                abort_fn is not None
                and abort_fn(Error(error).unwrap) is trio.lowlevel.Abort.SUCCEEDED
            ):
                task._abort_func = None
                trio.lowlevel.reschedule(task, Error(error))

        self._after_step[task] = abort
        return None

    def run(self, fn: Callable[[], Coroutine[Any, Any, None]], seed: int) -> None:
        # trio's own switch for hypothesis: the same seed gives the same order of steps.
        inside: Any = sys.modules["trio._core._run"]
        inside._ALLOW_DETERMINISTIC_SCHEDULING = True
        inside._r.seed(seed)
        anyio.run(fn, backend="trio", backend_options={"instruments": [self]})


def driver_for(loop: str, points: Points) -> Driver:
    """Return the driver of one of `LOOPS`."""
    make: dict[str, Callable[[Points], Driver]] = {
        "asyncio": AsyncioDriver,
        "eager": partial(AsyncioDriver, kind="eager"),
        "shuffled": partial(AsyncioDriver, kind="shuffled"),
        "trio": TrioDriver,
    }
    return make[loop](points)
