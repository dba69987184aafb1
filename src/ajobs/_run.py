"""One run of a job on this loop: what its code and its runner see of it.

The same object is the `emit` of the runner and the context of the job's code. It exists
while the code runs, so that queued and finished jobs stay small. It knows its job, not the
session. What it writes is `Writer`'s business; here it begins, is told to end, and waits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from types import coroutine
from typing import Any, Protocol

from anyio import CancelScope
from anyio.lowlevel import EventLoopToken

from ._blocking import Wait, Waitable
from ._drive import NEEDS_TASK, Pause, Waker
from ._input import InputReader, JobInput, open_input
from ._job import Job
from ._loop import Loop, current_loop
from ._state import Demand, JobState
from ._timers import Timer
from ._writing import Writer, WriterOwner

# Looked up once: on Python 3.11 reading a member off its class costs as much as a call.
NOT_STARTED = JobState.NOT_STARTED
RUNNING = JobState.RUNNING
BLOCKED = JobState.BLOCKED

#: Seconds after the end of a grace in which a runner that ends its code by force may do so,
#: before the job counts as stuck.
FORCE_SECONDS = 1.0


class Cancellable(Protocol):
    """What a job's call runs in."""

    def cancel(self) -> object:
        """Let it end."""


class RunOwner(WriterOwner, Protocol):
    """What runs jobs, as one run sees it. Called on the loop."""

    token: EventLoopToken
    stop_grace: float

    def paused(self) -> object:
        """A run has stopped to count as running: it waits."""

    def resumed(self) -> object:
        """It counts again."""

    def stuck(self, job: Job[Any]) -> object:
        """*job* was told to end and its code has outlasted its grace."""


class JobRun(Writer):
    """One run of one job.

    Attributes:
        scope: What the runner's call is cancelled by; None while it has no task.
        demand: Why it was told to end, if it was.
        counts: Whether it counts against the throttle: it does not while it waits.
        has_extras: Whether `close` has something to let go of.
        is_closed: True once nobody hears of it any more.
        leave: Lets the runner's call end without the job's code, where the runner can do that.
        coro: The runner's call, whose steps are taken in `context`.
        yielded: What its last step gave: what it waits for, or the value of the whole call.
        task: The task that it has to itself, once it waits in one.
        may_pause: Whether it may wait without a task.
        is_adrift: True while it has no task.
    """

    _owner: RunOwner

    # Defaults on the class, as those of a writer.
    is_stuck: bool = False
    demand: Demand | None = None
    stop_deadline: float = math.inf
    _grace_end: float = math.inf
    counts: bool = True
    has_extras: bool = False
    is_closed: bool = False
    _blocks: int = 0
    _waits: tuple[Wait, ...] = ()
    _input: JobInput | None = None
    _timer: Timer | None = None
    _grace_timer: Timer | None = None
    _cleanups: tuple[CancelScope, ...] = ()
    _on_stop: tuple[Callable[[], object], ...] = ()
    _on_deadline: tuple[Callable[[], object], ...] = ()
    leave: Callable[[], object] | None = None
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
            self._count_again()

    # For the runner

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

    def stop_requested(self) -> bool:
        """Tell whether the job was told to end, or has ended without this code."""
        return self.demand is not None or self.is_closed

    def job_input(self) -> InputReader:
        """Return a reader of the job's input."""
        return InputReader(self, self._owner.loop, self._owner.token)

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

    def put_back_input(self, value: Any, error: BaseException | None) -> None:
        """Let the next reader have what another one was given and could not take."""
        if self._input is not None:
            self._input.put_back(value, error)

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
            return nullcontext()

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
            if self.job._state is RUNNING:
                self.job.move(BLOCKED)

            self._owner.paused()

    def unblock(self, wait: Wait | None) -> None:
        """Show that the wait is over. The code goes on at once, whatever the throttle says."""
        if self.is_closed:
            return

        self._blocks -= 1
        if wait is not None:
            self._waits = tuple(one for one in self._waits if one is not wait)

        if self._blocks == 0 and not self.counts:
            self._count_again()

    def _count_again(self) -> None:
        self.counts = True
        self._owner.resumed()
        if self.job._state is BLOCKED:
            self.job.move(RUNNING)
