"""`parallel_foreach`: the public call, and what it returns."""

from __future__ import annotations

import math
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable
from collections.abc import Iterator as SyncIterator
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

from .._checks import Kind, command_of, count, kind_of, limit, one_of, seconds
from .._loop import current_loop
from .._runner import Runner
from .._spec import JobSpec
from ..runners.task import TaskRunner
from ..runners.thread import ThreadRunner
from .iteration import ResultIterator, iterate
from .results import Outcome
from .run import Place, Plan, Run
from .source import check_iterable
from .tasks import TaskPlace
from .threads import ThreadPlace

__all__ = ("Foreach", "Outcome", "parallel_foreach")

T = TypeVar("T")
R = TypeVar("R")

Items: TypeAlias = Iterable[T] | AsyncIterable[T]


class Foreach(ResultIterator[R]):
    """A `parallel_foreach` to be awaited, entered or iterated, once.

    Awaited, it gives a list. Entered with ``async with``, it gives results one by one to
    ``async for`` while items are running. In a session ``async for`` does without the block.
    """

    # Until the plan has been checked there is nothing to await.
    _is_used = True

    def __init__(self, plan: Plan, *, is_ours: bool) -> None:
        """Keep *plan*; nothing runs yet. Made by `parallel_foreach`.

        *is_ours*: The runner was made for this call, which opens and closes it.
        """
        self._plan = plan
        self._is_ours = is_ours
        self._spec: JobSpec | None = None
        if not isinstance(plan.runner, TaskRunner | ThreadRunner):
            from .far import spec_for

            self._spec = spec_for(plan, plan.runner)

        self._run: Run | None = None
        self._is_entered = False
        self._is_used = False

    def __del__(self) -> None:
        if not self._is_used:
            warnings.warn(
                f"parallel_foreach({command_of(self._plan.fn)}) was never awaited, entered or "
                f"iterated: nothing of it ran",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )

    def __repr__(self) -> str:
        name = command_of(self._plan.fn)
        run = self._run
        if run is None:
            return f"<parallel_foreach {name} not started>"

        state = "ended" if run.is_over else "running"
        return f"<parallel_foreach {name} {state}, {run.ended} of {run.taken} items ended>"

    def __await__(self) -> Generator[Any, Any, list[R]]:
        return self._collect().__await__()

    async def _collect(self) -> list[R]:
        run = await self._start(is_streamed=False)
        try:
            await run.wait_over()
        except BaseException as exc:
            await run.leave(exc)
            raise

        await run.leave(None)
        return list(run.ready)

    async def __aenter__(self) -> Self:
        await self._start(is_streamed=True)
        self._is_entered = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._run is not None
        await self._run.leave(exc)

    def __aiter__(self) -> ResultIterator[R]:  # type: ignore[override]  # without a block it is another one
        if self._is_entered:
            return self

        self._claim()
        iterator = iterate(self._plan, self._place)
        self._run = iterator.run
        return iterator

    async def _start(self, *, is_streamed: bool) -> Run:
        self._claim()
        loop = current_loop()
        loop.protect(Foreach, ResultIterator)  # the ways in: what they call is covered
        self._run = run = Run(self._plan, loop, is_streamed=is_streamed)
        await loop.open()
        run.start(self._place(run))
        return run

    def _claim(self) -> None:
        if self._is_used:
            raise RuntimeError("this parallel_foreach has been used: call parallel_foreach again")

        self._is_used = True

    def _place(self, run: Run) -> Place:
        match self._plan.runner:
            case ThreadRunner() as runner:
                return ThreadPlace(run, runner)
            case TaskRunner():
                return TaskPlace(run)
            case runner:
                from .far import FarPlace

                assert self._spec is not None
                return FarPlace(run, runner, self._spec, is_ours=self._is_ours)


class ForeachOptions(TypedDict, total=False):
    """The options of `parallel_foreach` that do not change what it returns."""

    throttle: float
    max_per_second: float | None
    runner: str | Runner | None
    ordered: bool | None
    timeout: float | None
    item_timeout: float | None
    buffer: int | None


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], AsyncIterator[R]],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], Coroutine[Any, Any, R]],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], SyncIterator[R]],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], R],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], AsyncIterator[R]],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], Coroutine[Any, Any, R]],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], SyncIterator[R]],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], R],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


def parallel_foreach(
    iterable: Items[Any],
    fn: Callable[[Any], Any],
    *,
    throttle: float = 5,
    max_per_second: float | None = None,
    runner: str | Runner | None = None,
    ordered: bool | None = None,
    timeout: float | None = None,
    item_timeout: float | None = None,
    on_error: str = "raise",
    buffer: int | None = None,
) -> Foreach[Any]:
    """Call *fn* for each item of *iterable*, at most *throttle* at once.

    PowerShell's ``ForEach-Object -Parallel``. Await it for a list, or enter it for a stream::

        pages = await ajobs.parallel_foreach(urls, fetch)

        async with ajobs.parallel_foreach(urls, fetch, throttle=100) as results:
            async for page in results:
                ...

    Inside a session, ``async for page in ajobs.parallel_foreach(...)`` does without the block:
    it is stopped when the iterator is dropped, at the latest with the session; what fails
    after that is logged.

    Items are taken as they are needed, so the input may be endless. Leaving the block, by
    whatever way, stops the items that still run and waits for them; so does cancelling the
    ``await``. A failure that the loop has not raised is raised on leaving.

    Args:
        iterable: The items. A synchronous iterable is advanced on this thread only, an
            asynchronous one by a single task; generators and streams are closed at the end.
        fn: Called with each item. Every ``yield`` of a generator is a result, and so is each
            `write_output`; else what it returns is one, None too.
        throttle: Most items that run at once, in this call; `math.inf` for no limit.
        max_per_second: Most items that start in a second, evenly spread.
        runner: Where *fn* runs. None: an async function as tasks, anything else in threads.
        ordered: True: results in the order of the input. False: as they come. None: the
            list in the order of the input, the stream as they come.
        timeout: Seconds for the whole, from the start of the ``await`` or the block.
        item_timeout: Seconds for each item; one that runs longer fails with `ItemTimeout`.
        on_error: What the failure of an item does. "raise": the rest is stopped and the
            item's own exception raised, with a note that names the item. "continue": the
            others go on, then `ForeachErrors` is raised. "return": every result and every
            failure comes as an `Outcome`.
        buffer: How far the items may be ahead of the consumer, besides those that run.
            None: as far as their speed makes good use of.

    Raises:
        TypeError: An argument is not of the right sort.
        ValueError: A number is out of range, or a word unknown.
        ForeachTimeout: The whole took longer than *timeout*.
        ForeachErrors: Items failed, under "continue".
    """
    check_iterable(iterable)
    kind = kind_of(fn)
    one_of(on_error, "on_error", ("raise", "continue", "return"))
    if ordered is not None and not isinstance(ordered, bool):
        raise TypeError(f"ordered must be True, False or None, not {ordered!r:.80}")

    if max_per_second is not None and not 0 < seconds(max_per_second, "max_per_second") < math.inf:
        raise ValueError(f"max_per_second must be more than 0, not {max_per_second!r}")

    plan = Plan(
        iterable=iterable,
        fn=fn,
        kind=kind,
        runner=_runner_for(fn, kind, runner),
        throttle=limit(throttle, "throttle"),
        per_second=max_per_second,
        ordered=ordered,
        timeout=seconds(timeout, "timeout"),
        item_timeout=seconds(item_timeout, "item_timeout", zero=False),
        on_error=on_error,
        buffer=count(buffer, "buffer", least=0),
    )
    return Foreach(plan, is_ours=not isinstance(runner, Runner))


def _runner_for(fn: Callable[..., object], kind: Kind, runner: object) -> Runner:
    """Return the runner object that *runner* and the sort of *fn* ask for."""
    if runner is None:
        runner = "task" if kind.is_async else "thread"

    if isinstance(runner, str):
        return _runner_named(runner, fn)

    if not isinstance(runner, Runner):
        raise TypeError(f"runner must be None, a name or a Runner, not {runner!r:.80}")

    if isinstance(runner, TaskRunner):
        runner.check(JobSpec(fn))

    return runner


def _runner_named(name: str, fn: Callable[..., object]) -> Runner:
    one_of(name, "runner", ("task", "thread", "process", "interpreter"))
    if name == "process":
        # Loaded for those who want it: processes need much that tasks and threads do not.
        from ..runners.process import ProcessRunner

        return ProcessRunner()

    if name == "interpreter":
        from ..runners.interpreter import InterpreterRunner

        return InterpreterRunner()

    if name == "thread":
        return ThreadRunner()

    runner = TaskRunner()
    runner.check(JobSpec(fn))
    return runner
