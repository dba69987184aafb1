"""The one place that tells asyncio from trio.

anyio covers nearly everything; this file adds, by public names of both libraries only, tasks
at a fifth of a task group's cost and a wake-up from any thread. It knows no jobs.
"""

from __future__ import annotations

import os
import sys
import threading
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from contextvars import Context, copy_context
from functools import partial
from importlib import import_module
from types import FunctionType, coroutine
from typing import Any, ClassVar, TypeAlias, TypeVarTuple

import anyio
from anyio import CancelScope
from anyio.lowlevel import current_token

from ._timers import AsyncFn, Timer, Timers

Ts = TypeVarTuple("Ts")
Work: TypeAlias = Callable[[*Ts], Coroutine[Any, Any, object]]
Own: TypeAlias = Context | None

#: The name of a worker that has nothing to do yet.
WORKER = "ajobs worker"


class Loop(Timers):
    """The running event loop, as the owner of some tasks uses it.

    `open` and `join` it in the task that owns them; `join` waits for all of them, however
    long it takes, so the owner ends them first.

    Attributes:
        cancelled: The exception class by which this loop cancels.
        is_trio: True on trio, False on asyncio.
        one_job_per_task: True where debugging tools should see a task for each job.
        call_next: Runs a callback at the next turn, in no task; None where that cannot be.
    """

    cancelled: type[BaseException]
    is_trio: bool = False
    one_job_per_task: bool = False
    call_next: Callable[[Callable[[], object]], object] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self._process = os.getpid()
        # Looked up once: anyio's front door costs more than entering and leaving a scope.
        self._scope_class: Callable[..., CancelScope] = type(CancelScope())
        #: Tasks of `spawn` that have not ended.
        self._live = 0
        self._on_empty: anyio.Event | None = None

    @property
    def in_thread(self) -> bool:
        """True in the thread that runs this loop, whether the loop is running or not."""
        return threading.get_ident() == self._thread

    @property
    def is_inherited(self) -> bool:
        """True in a forked child of the process that runs this loop: nothing runs it there."""
        return os.getpid() != self._process

    @abstractmethod
    def protect(self, *owners: type) -> None:
        """Let a Ctrl-C never break off a method of *owners*, or of their bases, in its middle.

        asyncio turns the signal into a cancellation of the main task. trio raises it in
        whatever code runs, unless that is marked; then it reaches the main task at its next
        checkpoint, and so leaves through the block that owns the jobs.
        """

    @property
    @abstractmethod
    def is_running_here(self) -> bool:
        """True inside this loop: in its thread, while it runs."""

    @property
    def may_start_here(self) -> bool:
        """True where tasks may be started: inside this loop, or in its thread while it rests."""
        return self.is_running_here

    @abstractmethod
    def run_idle(self, fn: AsyncFn) -> None:
        """Run *fn* to its end if the loop rests, as that of a console does between statements."""

    @abstractmethod
    def current_task(self) -> CurrentTask:
        """Return the task that calls."""

    @abstractmethod
    def spawn_worker(self, fn: Work[*Ts], *args: *Ts, name: str = WORKER, own: Own = None) -> None:
        """Start a task as `spawn` does, that its owner waits for itself.

        It begins with ``await loop.entered()``, and from there on has a context of its own,
        a copy of *own*, if that is given. Before its next wait it must be held: see `CurrentTask`.
        """

    @abstractmethod
    def entered(self) -> Awaitable[None]:
        """Wait for the first turn of a worker, in the worker.

        asyncio drops a coroutine that is cancelled before its first step, so that none of it
        runs. Here the cancellation reaches it.
        """

    @abstractmethod
    def spawn_root(self, fn: AsyncFn, name: str) -> object:
        """Start a task that belongs to the loop itself; keep what is returned while it runs.

        It has the context of the caller. On the loop, open or not.
        """

    @abstractmethod
    def _post(self, callback: Callable[[], object]) -> None:
        """Hand *callback* to the loop, from any thread; raise `RuntimeError` if it is over."""

    def scope(self) -> CancelScope:
        """Return a scope that only its holder can cancel."""
        return self._scope_class(shield=True)

    def copy_context(self) -> Context:
        """Copy the caller's context, in any thread, for code that is to run on this loop."""
        context = copy_context()
        # anyio loads it where it is installed. What it says of the caller's loop is not so here.
        if sys.modules.get("sniffio") is not None:
            sniffio = import_module("sniffio")  # waits if another thread is just loading it
            library = "trio" if self.is_trio else "asyncio"
            context.run(sniffio.current_async_library_cvar.set, library)

        return context

    def call_soon(self, callback: Callable[[], object]) -> bool:
        """Run *callback* on the loop soon, from any thread; False when the loop is over."""
        try:
            self._post(callback)
        except RuntimeError:
            return False

        return True

    def _note_end(self) -> None:
        self._live -= 1
        if self._on_empty is not None and not self._live:
            self._on_empty.set()

    @abstractmethod
    async def open(self) -> None:
        """Make it possible to start tasks."""

    @abstractmethod
    async def join(self) -> BaseException | None:
        """Wait until all tasks have ended; cancel nothing and be cancelled by nothing.

        Returns:
            What no shield holds off, if it came meanwhile, to be raised by the caller in its
            own time: asyncio's own ``Task.cancel``, trio's Ctrl-C, or an error of the wait.
        """


class CurrentTask:
    """A task, as the work that it does now sees it. Keep it while the task waits.

    asyncio itself holds its tasks by weak references only.
    """

    __slots__ = ("_task", "is_spoiled")

    def __init__(self, task: Any) -> None:
        self._task = task
        #: Tells whether a cancellation is pending that nobody here has asked for.
        self.is_spoiled: Callable[[], int] = task.cancelling

    def rename(self, name: str) -> None:
        """Name the task, for debuggers."""
        self._task.set_name(name)


class TrioTask(CurrentTask):
    """The same of trio, where only scopes cancel."""

    __slots__ = ()

    def __init__(self, task: Any) -> None:
        self._task = task
        self.is_spoiled = int

    def rename(self, name: str) -> None:
        self._task.name = name


class AsyncioLoop(Loop):
    """Root tasks of asyncio: a cancellation of the owner's task does not reach them."""

    def __init__(self) -> None:
        super().__init__()
        # asyncio is running, so it is loaded; importing it here keeps it out of trio programs
        # and of `import ajobs`, whose time it would more than double.
        self._asyncio = asyncio = sys.modules["asyncio"]
        self.cancelled = asyncio.CancelledError
        self._get_running: Callable[[], object] = asyncio.get_running_loop
        self._loop = asyncio.get_running_loop()
        self.one_job_per_task = self._loop.get_debug()
        self.call_next = None if self.one_job_per_task else self._loop.call_soon
        self._context = copy_context()
        self._tasks: set[Any] = set()

    def protect(self, *owners: type) -> None:
        pass

    @property
    def is_running_here(self) -> bool:
        try:
            return self._get_running() is self._loop
        except RuntimeError:
            return False

    @property
    def may_start_here(self) -> bool:
        try:
            return self._get_running() is self._loop
        except RuntimeError:
            return self.in_thread and not self._loop.is_closed()

    def run_idle(self, fn: AsyncFn) -> None:
        if self.may_start_here and not self._loop.is_running():
            self._loop.run_until_complete(fn())

    def current_task(self) -> CurrentTask:
        return CurrentTask(self._asyncio.current_task(self._loop))

    def time(self) -> float:
        return float(self._loop.time())

    def spawn(self, fn: AsyncFn, name: str, own: Own = None) -> None:
        self._live += 1
        self._outside(self._create, fn, name, self._context if own is None else own)

    def _outside(self, create: Callable[[*Ts], object], *args: *Ts) -> None:
        if self._loop.get_task_factory() is None:
            create(*args)
        else:
            # An eager task factory would run the first step right here, inside the caller's
            # `start`, and a chain of jobs that start jobs would end in a RecursionError.
            self._loop.call_soon(create, *args)

    def _create(self, fn: AsyncFn, name: str, context: Context) -> None:
        task = self._loop.create_task(self._begun(fn), name=name, context=context)
        self._tasks.add(task)  # asyncio itself holds its tasks by weak references only
        task.add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        self._tasks.discard(task)
        self._note_end()

    def spawn_worker(self, fn: Work[*Ts], *args: *Ts, name: str = WORKER, own: Own = None) -> None:
        context = self._context if own is None else own.copy()
        self._outside(self._create_worker, name, context, fn, *args)

    def _create_worker(self, name: str, context: Context, fn: Work[*Ts], *args: *Ts) -> None:
        worker = fn(*args)
        worker.send(None)  # to its first wait, `entered`
        self._loop.create_task(worker, name=name, context=context)

    @staticmethod
    @coroutine
    def entered() -> Generator[None]:
        yield

    def spawn_root(self, fn: AsyncFn, name: str) -> object:
        return self._loop.create_task(self._begun(fn), name=name)

    def _begun(self, fn: AsyncFn) -> Coroutine[Any, Any, object]:
        """Return *fn* as a coroutine of which asyncio drops nothing, see `entered`."""

        async def whole() -> None:
            try:
                await self.entered()
            except self.cancelled:
                # Cancelled before its first step, *fn* hears of it in its first wait.
                self._asyncio.current_task(self._loop).cancel()

            await fn()

        begun = whole()
        begun.send(None)
        return begun

    def _post(self, callback: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(callback)

    async def open(self) -> None:
        pass

    async def join(self) -> BaseException | None:
        cancelled: BaseException | None = None
        while self._live:
            self._on_empty = anyio.Event()
            try:
                with self.scope():
                    await self._on_empty.wait()
            except (self.cancelled, Exception) as exc:  # noqa: BLE001  # raised later
                cancelled = exc

        return cancelled


class TrioLoop(Loop):
    """Tasks in a nursery of the owner's; their scopes are shielded from outer ones."""

    is_trio = True

    #: Whose methods are marked already, for all loops to come.
    _protected: ClassVar[set[type]] = set()

    def __init__(self) -> None:
        super().__init__()
        # trio is running, so it is loaded; importing it here keeps it out of asyncio programs.
        self._trio = sys.modules["trio"]
        self.cancelled = self._trio.Cancelled
        self._token = self._trio.lowlevel.current_trio_token()
        self._stack = AsyncExitStack()
        self._nursery: Any = None

    def protect(self, *owners: type) -> None:
        classes = {one for owner in (TrioLoop, Timer, *owners) for one in owner.__mro__}
        for one in classes - self._protected:
            self._protected.add(one)
            for member in vars(one).values():
                if isinstance(member, FunctionType):
                    self._trio.lowlevel.enable_ki_protection(member)

    @property
    def is_running_here(self) -> bool:
        try:
            return bool(self._trio.lowlevel.current_trio_token() is self._token)
        except RuntimeError:
            return False

    def time(self) -> float:
        return float(self._trio.current_time())

    def spawn(self, fn: AsyncFn, name: str, own: Own = None) -> None:
        self._live += 1
        start = partial(self._nursery.start_soon, self._counted, fn, name=name)
        start() if own is None else own.run(start)

    async def _counted(self, fn: AsyncFn) -> None:
        try:
            await fn()
        finally:
            self._note_end()

    def spawn_worker(self, fn: Work[*Ts], *args: *Ts, name: str = WORKER, own: Own = None) -> None:
        start = partial(self._nursery.start_soon, fn, *args, name=name)
        start() if own is None else own.run(start)

    def spawn_root(self, fn: AsyncFn, name: str) -> object:
        return self._trio.lowlevel.spawn_system_task(fn, name=name, context=copy_context())

    def current_task(self) -> CurrentTask:
        return TrioTask(self._trio.lowlevel.current_task())

    def _post(self, callback: Callable[[], object]) -> None:
        self._token.run_sync_soon(callback)

    def run_idle(self, fn: AsyncFn) -> None:
        pass  # trio's loop never rests

    async def entered(self) -> None:
        pass

    async def open(self) -> None:
        self._nursery = await self._stack.enter_async_context(self._trio.open_nursery())

    async def join(self) -> BaseException | None:
        interrupt: BaseException | None = None
        while self._nursery.child_tasks:
            try:
                with self.scope():
                    if self._live:
                        self._on_empty = anyio.Event()
                        await self._on_empty.wait()
                    else:
                        # Workers have nothing to wait for any more: a turn or two.
                        await anyio.lowlevel.checkpoint()
            except (KeyboardInterrupt, Exception) as exc:  # noqa: BLE001  # raised later
                interrupt = exc

        # The owner's own exception goes its way unwrapped: the nursery never sees it.
        await self._stack.aclose()
        return interrupt


def current_loop() -> Loop:
    """Return the loop that runs here, in a form that its caller may open.

    Raises:
        RuntimeError: No event loop runs here (anyio's `NoEventLoopError`).
    """
    native = current_token().native_token
    asyncio = sys.modules.get("asyncio")
    is_asyncio = asyncio is not None and isinstance(native, asyncio.AbstractEventLoop)
    return AsyncioLoop() if is_asyncio else TrioLoop()
