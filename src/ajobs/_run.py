"""One run of a job on this loop: what its code and its runner see of it.

The same object is the `emit` of the runner and the context of the job's code. It exists
while the code runs, so that queued and finished jobs stay small. It knows its job, not the
session.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context
from types import coroutine
from typing import Any, Protocol

import anyio
from anyio import CancelScope
from anyio.lowlevel import EventLoopToken, checkpoint

from ._blocking import Blockable, Wait, Waitable
from ._context import WRITTEN, JobContext
from ._drive import NEEDS_TASK, Pause, Waker
from ._errors import NoCurrentJob, OutputLimitExceeded, StopRequested
from ._input import JobInput, open_input
from ._job import Job
from ._log import Log
from ._loop import Loop, Timer, current_loop
from ._records import LOSSLESS, Stream
from ._state import Demand, JobState

# Looked up once: on Python 3.11 reading a member off its class costs as much as a call.
NOT_STARTED = JobState.NOT_STARTED
RUNNING = JobState.RUNNING

#: Seconds after the end of a grace in which a runner that ends its code by force may do so,
#: before the job counts as stuck.
FORCE_SECONDS = 1.0

_LOSSLESS = frozenset(LOSSLESS)

#: What stands for the end of an input on its way into a thread.
_END = object()


class Cancellable(Protocol):
    """What a job's call runs in."""

    def cancel(self) -> object:
        """Let it end."""


class RunOwner(Protocol):
    """What runs jobs, as one run sees it. Called on the loop."""

    loop: Loop
    token: EventLoopToken
    stop_grace: float
    is_draining: bool

    def paused(self) -> object:
        """A run has stopped to count as running: it waits."""

    def resumed(self) -> object:
        """It counts again."""

    def stuck(self, job: Job[Any]) -> object:
        """*job* was told to end and its code has outlasted its grace."""

    def warn(self, message: str) -> object:
        """Give the user a RuntimeWarning."""


class JobRun(JobContext, Blockable):
    """One run of one job."""

    # Most runs need only the first three; the others are class-level defaults, so that a run
    # which needs nothing costs nothing.
    begun: float | None = None
    is_stuck: bool = False
    demand: Demand | None = None
    stop_deadline: float = math.inf
    _grace_end: float = math.inf
    overflow: OutputLimitExceeded | None = None
    counts: bool = True
    has_extras: bool = False
    is_over: bool = False
    is_closed: bool = False
    _blocks: int = 0
    _waits: tuple[Wait, ...] = ()
    _input: JobInput | None = None
    _timer: Timer | None = None
    _grace_timer: Timer | None = None
    _cleanups: tuple[CancelScope, ...] = ()
    _on_stop: tuple[Callable[[], object], ...] = ()
    _on_deadline: tuple[Callable[[], object], ...] = ()
    _is_wake_posted: bool = False
    leave: Callable[[], object] | None = None

    # How far its code is, for the engine.
    coro: Coroutine[Any, Any, Any]
    context: Context
    yielded: object = None
    task: object = None
    may_pause: bool = True
    is_adrift: bool = False

    def __init__(self, job: Job[Any], owner: RunOwner, scope: Cancellable | None) -> None:
        """Run *job*; cancelling *scope* cancels its runner's call."""
        self.job = job
        self._owner = owner
        self.scope = scope

    # Beginning and ending

    def begin(self) -> None:
        """Note that the code begins: the job has its place."""
        if self.begun is not None or self.is_closed:
            return

        self.begun = time.time()
        job = self.job
        if job._state is NOT_STARTED:
            job.move(RUNNING)

        timeout = job._options.timeout
        if timeout != math.inf:
            loop = self._owner.loop
            self.has_extras = True
            self._timer = loop.call_at(loop.time() + timeout, self._time_is_over)

    def _time_is_over(self) -> None:
        self.end(Demand.TIMEOUT, self._owner.stop_grace)

    def end(self, demand: Demand, grace: float) -> None:
        """Tell the code to end, within *grace* seconds. A later call can only hurry it."""
        loop = self._owner.loop
        is_first = self.demand is None
        deadline = loop.time() + grace
        if deadline < self.stop_deadline:
            self.stop_deadline = deadline
            self._grace_end = time.monotonic() + grace
            for scope in self._cleanups:
                scope.deadline = deadline

            if self._grace_timer is not None:
                self._grace_timer.cancel()

            self._grace_timer = loop.call_at(deadline, self._grace_is_over)

        if is_first:
            self.demand = demand
            self.has_extras = True
            self.job.move(JobState.STOPPING)
            self._wake_all()

    def _wake_all(self) -> None:
        if self.scope is not None:
            self.scope.cancel()

        log = self.job._log
        if log is not None:
            log.wake_writers()

        for callback in self._on_stop:
            callback()

    def _grace_is_over(self) -> None:
        for callback in self._on_deadline:
            callback()

        if self._on_deadline:
            loop = self._owner.loop
            self._grace_timer = loop.call_at(loop.time() + FORCE_SECONDS, self._is_stuck_now)
        else:
            self._is_stuck_now()

    def _is_stuck_now(self) -> None:
        self.is_stuck = True
        self._owner.stuck(self.job)
        self.job.tell_stuck()

    def close(self) -> None:
        """Let go of everything: the code has ended, or nobody hears of its end any more."""
        self.is_closed = True
        log = self.job._log
        if log is not None and log.has_room_waiters:
            log.wake_writers()

        if self._timer is not None:
            self._timer.cancel()

        if self._grace_timer is not None:
            self._grace_timer.cancel()

        if not self.counts:
            # A task that its code left behind elsewhere still waits in its name.
            self.counts = True
            self._owner.resumed()
            if self.job._state is JobState.BLOCKED:
                self.job.move(RUNNING)

    # For the runner

    def __call__(self, stream: Stream, value: object) -> None:
        """Write one record without waiting."""
        log = self._log_for(stream)
        if stream is Stream.ERROR:
            log.had_errors = True

        log.append(stream, value, time.time())
        self._wrote(log)

    def many(self, records: Iterable[tuple[float, Stream, object]]) -> None:
        """Write a batch of records; errors among them count as the job's own."""
        self._check_is_on()
        batch = list(records)
        log = self.job.open_log()
        log.extend(batch)
        if any(stream is Stream.ERROR for _, stream, _ in batch):
            log.had_errors = True

        if log.limit is not None and log.unread > log.limit:
            self._check_room(log)

        self._wrote(log)

    def many_of(self, stream: Stream, times: Sequence[float], values: Sequence[object]) -> None:
        """Write a batch of one stream."""
        self._check_is_on()
        log = self.job.open_log()
        log.extend_one(stream, times, values)
        if stream is Stream.ERROR:
            log.had_errors = True

        if log.limit is not None and log.unread > log.limit:
            self._check_room(log)

        self._wrote(log)

    def text(self, stream: Stream, line: str | bytes) -> None:
        """Write a line that a program printed."""
        log = self._log_for(stream)
        log.append(stream, line, time.time())
        self._wrote(log)

    def _log_for(self, stream: Stream) -> Log:
        self._check_is_on()
        log = self.job.open_log()
        if stream in _LOSSLESS and log.limit is not None:
            self._check_room(log)

        return log

    def _check_is_on(self) -> None:
        if self.is_over:
            raise NoCurrentJob(
                f"{self.job.label()} has ended: a thread or task that it left behind cannot "
                f"write to it any more"
            )

        if self.begun is None:
            if self._owner.loop.in_thread:
                self.begin()
            else:
                self._owner.loop.call_soon(self.begin)

    def _check_room(self, log: Log) -> None:
        try:
            log.check_room(1 if self.job._options.overflow == "error" else 2)
        except OutputLimitExceeded as exc:
            self._overflowed(exc)
            raise

    def _overflowed(self, error: OutputLimitExceeded) -> None:
        # The job fails by it even where its code swallows the exception.
        if self.overflow is None:
            self.overflow = error

    def _wrote(self, log: Log) -> None:
        if self._owner.loop.in_thread:
            self._wake_readers()
        elif not self._is_wake_posted and (log.listeners or log.unread >= log.warn_at):
            self._is_wake_posted = True
            self._owner.loop.call_soon(self._wake_readers)

    def _wake_readers(self) -> None:
        self._is_wake_posted = False
        log = self.job._log
        if log is None:
            return

        if log.listeners:
            self.job.tell_readers()

        if log.unread >= log.warn_at and log.is_growing:
            # On a turn of the loop's own, never inside the job's code: where warnings are
            # errors, it must not fail the job.
            self._owner.loop.call_soon(self._warn_of_growth)

    def _warn_of_growth(self) -> None:
        self._owner.warn(
            f"{self.job.label()} has {self.job.open_log().unread:,} unread records, kept in "
            f"memory: receive them while it runs, or start it with an output_limit"
        )

    @property
    def is_full(self) -> bool:
        """True while `room` would wait."""
        log = self.job._log
        return log is not None and log.is_full and self.job._options.overflow == "wait"

    def room(self) -> Awaitable[None]:
        """Wait while the job's output is full."""
        return _Room(self, has_written=False)

    @property
    def input(self) -> JobInput | None:
        """The job's input, or None if it was given none."""
        source = self.job._options.input
        if self._input is None and source is not None:
            self.has_extras = True
            self._input = open_input(source, self._owner.loop)

        return self._input

    @coroutine
    def in_task(self) -> Generator[Any, Any, None]:
        """See to it that the call is in a task, which stays the same from here on."""
        if self.is_adrift:
            yield NEEDS_TASK

        self.may_pause = False

    @coroutine
    def pause(self, wakeup: Waker, take: Callable[[], bool]) -> Generator[Any, Any, None]:
        """Wait until *wakeup* has something, without a task where that can be."""
        is_free = self.task is None and self.may_pause and not self.job._runner.needs_task
        if is_free and self._owner.loop.call_next and not (yield Pause(wakeup, take)):
            return

        yield from wakeup.wait().__await__()

    @property
    def is_trio(self) -> bool:
        """True when the session runs on trio, False on asyncio."""
        return self._owner.loop.is_trio

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call *callback* on the loop when the job is told to end."""
        self._on_stop += (callback,)
        if self.demand is not None:
            callback()

    def on_deadline(self, callback: Callable[[], object]) -> None:
        """Call *callback* on the loop when the grace of a stop is over."""
        self._on_deadline += (callback,)

    def on_leave(self, callback: Callable[[], object]) -> None:
        """Call *callback* when the session has to leave without the job's code."""
        self.leave = callback

    # For the code inside

    @property
    def subject(self) -> Waitable:
        """The job whose code runs here."""
        return self.job

    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        """Write *value*, as the functions of `_context` promise."""
        if stream not in _LOSSLESS:
            self(stream, value)
            return WRITTEN

        log = self.job.open_log()
        if self._owner.loop.in_thread:
            self(stream, value)
            return _Room(self, has_written=True)

        if log.is_full and self.job._options.overflow == "wait":
            self._wait_in_thread(log)

        self(stream, value)
        return WRITTEN

    def _wait_in_thread(self, log: Log) -> None:
        loop = self._owner.loop
        room = threading.Event()
        loop.call_soon(self._begin_room_wait)
        try:
            while log.is_full:
                log.when_room(room.set)
                if log.is_full:
                    self._check_may_wait(log)
                    room.wait()

                room.clear()
        finally:
            log.forget_room(room.set)
            loop.call_soon(self._end_room_wait)

    def _check_may_wait(self, log: Log) -> None:
        if self.stop_requested():
            raise StopRequested("the job was asked to stop while it waited for room")

        if self._owner.is_draining and not log.has_readers:
            error = OutputLimitExceeded(
                f"{self.job.label()} waits for room in its output, which holds {log.unread} "
                f"records, and the session is ending with nobody left to read them"
            )
            self._overflowed(error)
            raise error

    def _begin_room_wait(self) -> None:
        self.block(None)
        self.job.open_log().on_no_readers = self._look_again_soon

    def _end_room_wait(self) -> None:
        self.job.open_log().on_no_readers = None
        self.unblock(None)

    def _look_again_soon(self) -> None:
        # Readers may be dropped in any thread; writers are woken on the loop.
        self._owner.loop.call_soon(self.job.open_log().wake_writers)

    async def wait_for_room(self, has_written: bool) -> None:
        """Wait, as a task, until one more record fits, or the last one does."""
        log = self.job._log
        if log is None or not (self.is_full and (log.is_over or not has_written)):
            await checkpoint()
            return

        self._begin_room_wait()
        try:
            while log.is_over if has_written else log.is_full:
                self._check_may_wait(log)
                event = anyio.Event()
                log.when_room(event.set)
                try:
                    await event.wait()
                finally:
                    log.forget_room(event.set)
        finally:
            self._end_room_wait()

    def stop_requested(self) -> bool:
        """Tell whether the job was told to end, or has ended without this code."""
        return self.demand is not None or self.is_closed

    def job_input(self) -> InputReader:
        """Return a reader of the job's input."""
        return InputReader(self, self._owner.token)

    async def next_input(self) -> Any:
        """Return the next item of the input; on the loop."""
        source = self.input
        if source is None:
            raise StopAsyncIteration

        self.block(None)
        try:
            return await source.next()
        finally:
            self.unblock(None)

    async def next_input_for_thread(self) -> Any:
        """Return the next item, or `_END`, for code that a cancellation does not reach.

        Raises:
            StopRequested: The job was told to end while it waited.
        """
        with CancelScope() as scope, self.stopping(scope.cancel):
            try:
                return await self.next_input()
            except StopAsyncIteration:
                return _END

        raise StopRequested("the job was asked to stop while it waited for input")

    @contextmanager
    def stopping(self, callback: Callable[[], object]) -> Generator[None]:
        """Call *callback* if the job is told to end while the block runs, or was already."""
        self.on_stop(callback)
        try:
            yield
        finally:
            self._on_stop = tuple(one for one in self._on_stop if one is not callback)

    @contextmanager
    def _shield(self) -> Generator[None]:
        with CancelScope(shield=True, deadline=self.stop_deadline) as scope:
            self._cleanups += (scope,)
            try:
                yield
            finally:
                self._cleanups = tuple(one for one in self._cleanups if one is not scope)

    def cleanup(self) -> AbstractContextManager[object]:
        """Return a shield that the grace of a stop ends; where nothing is cancelled, nothing."""
        if self._owner.loop.is_running_here:
            return self._shield()

        try:
            loop = current_loop()
        except RuntimeError:
            return _nothing()

        return self._shield_on(loop)

    @contextmanager
    def _shield_on(self, loop: Loop) -> Generator[None]:
        """Do what `_shield` does, on the loop of an async function that runs in a thread."""
        with CancelScope(shield=True) as scope:

            def bound() -> None:
                scope.deadline = loop.time() + max(0.0, self._grace_end - time.monotonic())

            def bound_there() -> None:
                loop.call_soon(bound)

            # First the callback, then the look: the stop may come from the other thread between.
            self._on_stop += (bound_there,)
            if self.demand is not None:
                bound()

            try:
                yield
            finally:
                self._on_stop = tuple(one for one in self._on_stop if one is not bound_there)

    # Waiting

    @property
    def waits(self) -> Sequence[Wait]:
        """What the code waits for, without a time limit."""
        return self._waits

    def block(self, wait: Wait | None) -> None:
        """Show that the code waits."""
        if self.is_closed:
            return

        self.has_extras = True
        self._blocks += 1
        if wait is not None:
            self._waits += (wait,)

        if self._blocks == 1 and self.counts:
            self.counts = False
            if self.job._state is JobState.RUNNING:
                self.job.move(JobState.BLOCKED)

            self._owner.paused()

    def unblock(self, wait: Wait | None) -> None:
        """Show that the wait is over. The code goes on at once, whatever the throttle says."""
        if self.is_closed:
            return

        self._blocks -= 1
        if wait is not None:
            self._waits = tuple(one for one in self._waits if one is not wait)

        if self._blocks == 0 and not self.counts:
            self.counts = True
            self._owner.resumed()
            if self.job._state is JobState.BLOCKED:
                self.job.move(JobState.RUNNING)


@contextmanager
def _nothing() -> Generator[None]:
    yield


class _Room:
    """Awaited by a task that is willing to wait for room in its output."""

    __slots__ = ("_has_written", "_run")

    def __init__(self, run: JobRun, has_written: bool) -> None:
        self._run = run
        self._has_written = has_written

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run.wait_for_room(self._has_written).__await__()


class InputReader:
    """A job's input, to be read with ``for`` in threads and ``async for`` in tasks."""

    def __init__(self, run: JobRun, token: EventLoopToken) -> None:
        """Read the input of *run*, which lives on the loop of *token*."""
        self._run = run
        self._token = token

    def __aiter__(self) -> InputReader:
        """Return itself: the job's input has one position."""
        return self

    async def __anext__(self) -> Any:
        """Return the next item, waiting for it."""
        if self._run._owner.loop.is_running_here:
            return await self._run.next_input()

        # An async function in a thread with a loop of its own, which must not be blocked.
        item = await anyio.to_thread.run_sync(self._next_or_end, abandon_on_cancel=True)
        if item is _END:
            raise StopAsyncIteration

        return item

    def __iter__(self) -> InputReader:
        """Return itself, in code that is not on the loop.

        Raises:
            RuntimeError: On the loop, where waiting would block every job.
        """
        if self._run._owner.loop.in_thread:
            raise RuntimeError("read job_input() with `async for` here: `for` would block the loop")

        return self

    def __next__(self) -> Any:
        """Return the next item, blocking the thread until it is there."""
        item = self._next_or_end()
        if item is _END:
            raise StopIteration

        return item

    def _next_or_end(self) -> Any:
        if self._run.is_closed:
            # Its loop may be about to end, and would leave the question unheard.
            raise StopRequested("the job has ended without this thread, which asked for input")

        return anyio.from_thread.run(self._run.next_input_for_thread, token=self._token)
