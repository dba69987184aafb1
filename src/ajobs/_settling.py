"""What becomes of a run that has ended: it is judged, its job is finished, its owner is told.

Every end of a job comes from here. This file does not know when code runs, nor in which task.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

import anyio
from anyio import CancelScope

from ._errors import JobTimeout
from ._input import open_input
from ._job import Job, Keeper
from ._logs import logger
from ._loop import Loop
from ._run import JobRun
from ._runner import LeftBehind
from ._state import Demand, JobState, judge
from ._text import clean, line_of

# Looked up once: on Python 3.11 reading a member off its class costs as much as a call.
COMPLETED = JobState.COMPLETED


class Owner(Protocol):
    """Who keeps the table of the jobs that an engine runs. Called on the loop."""

    def job_ended(self, job: Job[Any]) -> object:
        """*job* has reached its final state."""

    def job_seen(self, job: Job[Any]) -> object:
        """Somebody has seen that *job* failed."""

    def job_drained(self, job: Job[Any]) -> object:
        """Records of *job*, which has finished, were taken."""

    def interrupted(self) -> object:
        """The program is being ended (Ctrl-C) while a job's code ran."""


class Settler(Keeper):
    """Ends jobs, and knows how many have not ended.

    Attributes:
        unfinished: How many jobs have not ended.
        left_behind: Those whose code goes on in a thread.
    """

    def __init__(self, loop: Loop, stop_grace: float, owner: Owner) -> None:
        """Begin with no jobs."""
        self.loop = loop
        self.stop_grace = stop_grace
        self.unfinished = 0
        self.left_behind: list[Job[Any]] = []
        #: Runs that count against the throttle.
        self._running = 0
        self._owner = owner
        self._home = loop.current_task()
        self._idle: anyio.Event | None = None

    # One job

    def end_unbegun(self, job: Job[Any]) -> None:
        """End *job*, which was stopped in the queue and never runs."""
        if job.options.input is not None:
            self._close_input(job)

        self._end(job, JobState.STOPPED, None, None)

    def conclude(self, run: JobRun, value: Any, error: BaseException | None) -> None:
        """End the job of *run*, whose code has returned *value* or raised *error*."""
        try:
            self._settle(run, value, error)
        except Exception as exc:  # noqa: BLE001  # a bug of ours; without this, waits would hang
            logger().critical("%s could not be ended properly", run.job.label(), exc_info=exc)
            if not run.job.is_finished:
                self.unfinished -= 1
                run.job.break_off(exc)
                self._owner.job_ended(run.job)

            if not self.unfinished:
                self._ring()

    def _settle(self, run: JobRun, value: Any, error: BaseException | None) -> None:
        if run.begun is None and error is None:
            run.begin()

        run.is_closed = True  # also for a thread that begins to wait only now
        if run.has_extras or run.job._log is not None:
            run.close()

        if run.job._options.input is not None:
            self._close_input(run.job)

        # The context holds the run: without this the two would hold each other.
        del run.context
        run.scope = None
        if run.counts:
            self._running -= 1

        if error is None and run.demand is None and run.overflow is None:
            self._end(run.job, COMPLETED, value, None)
        elif isinstance(error, LeftBehind):
            self._leave_behind(run, error)
        else:
            self._judge(run, value, error)

    def _judge(self, run: JobRun, value: Any, error: BaseException | None) -> None:
        if _is_interrupt(error):
            # Not an outcome of this job: it is the program that is being ended.
            self._owner.interrupted()
            error = None
            self._note_stop(run)
        elif isinstance(error, self.loop.cancelled) and self._home.is_spoiled():
            # Somebody cancels every task, this session's own too, which so stops its jobs.
            self._note_stop(run)

        if run.overflow is not None:
            run.demand = Demand.OVERFLOW

        _cut_traceback(error)
        state, reason = judge(run.demand, error, self.loop.cancelled)
        if state is not JobState.COMPLETED:
            value = None

        self._end(run.job, state, value, _reason_for(run, reason))

    def _note_stop(self, run: JobRun) -> None:
        if run.demand is None:
            run.demand = Demand.STOP
            run.job.move(JobState.STOPPING)

    def _end(
        self, job: Job[Any], state: JobState, value: Any, reason: BaseException | None
    ) -> None:
        if reason is not None and not job.is_awaited:
            command = clean(job.command)
            logger().error("%s (%s) failed: %s", job.label(), command, line_of(reason))

        job.finish(state, value, reason)
        self.unfinished -= 1
        self._owner.job_ended(job)
        if not self.unfinished:
            self._ring()

    def _ring(self) -> None:
        if self._idle is not None:
            self._idle.set()

    def _close_input(self, job: Job[Any]) -> None:
        """Close what *job* was given to read, read or not, and forget it."""
        run, source = job.run, job.options.input
        opened = run.input if isinstance(run, JobRun) else None
        if opened is None and source is not None:
            opened = open_input(source, self.loop)

        if opened is not None:
            opened.close()

        job.forget_input()

    def _leave_behind(self, run: JobRun, left: LeftBehind) -> None:
        job = run.job
        self.left_behind.append(job)
        self.unfinished -= 1
        if not self.unfinished:
            self._ring()

        def ended(value: Any, error: BaseException | None) -> None:
            self.unfinished += 1
            self._judge(run, value, error)

        # In whatever thread the code ends: on the loop if it is still there, else right here.
        def ended_somewhere(value: Any, error: BaseException | None) -> None:
            if not self.loop.call_soon(lambda: ended(value, error)):
                ended(value, error)

        left.on_end(ended_somewhere)

    # All of them

    async def idle(self) -> None:
        """Wait until every job has finished."""
        while self.unfinished:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def idle_within(self, limit: float) -> BaseException | None:
        """Wait for that, *limit* seconds at most, whatever comes; return what came."""
        cancelled: BaseException | None = None
        deadline = self.loop.time() + limit
        while self.unfinished and self.loop.time() < deadline:
            try:
                with CancelScope(deadline=deadline):
                    await self.idle()
            except (self.loop.cancelled, KeyboardInterrupt, Exception) as exc:  # noqa: BLE001  # raised later
                cancelled = exc  # also a want of memory: the jobs are joined all the same

        return cancelled

    # What jobs tell

    def note_seen(self, job: Job[Any]) -> None:
        """Note that somebody has seen that *job* failed."""
        self._owner.job_seen(job)

    def note_drained(self, job: Job[Any]) -> None:
        """Note that records of a finished *job* were taken."""
        self._owner.job_drained(job)


def _reason_for(run: JobRun, reason: BaseException | None) -> BaseException | None:
    """Return why the job failed, where it is not the job's own error."""
    if run.demand is Demand.OVERFLOW:
        return run.overflow

    if run.demand is not Demand.TIMEOUT:
        return reason

    job = run.job
    late = JobTimeout(f"{job.label()} ran longer than its timeout of {job.options.timeout:g} s")
    late.__cause__ = reason
    return late


def _is_interrupt(error: BaseException | None) -> bool:
    """Tell whether *error* is a Ctrl-C, or a group with one in it: what task groups make of it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None

    return isinstance(error, KeyboardInterrupt)


def _cut_traceback(error: BaseException | None) -> None:
    """Cut the frames before the job's own code off: they help nobody, and pin the task."""
    if error is None:
        return

    frames = error.__traceback__
    while frames is not None and _package(frames) in _BELOW:
        frames = frames.tb_next

    if frames is None:
        # A job that is a function of one of those libraries.
        frames = error.__traceback__
        while frames is not None and _package(frames) == "ajobs":
            frames = frames.tb_next

    error.__traceback__ = frames


def _package(frames: TracebackType) -> str:
    return str(frames.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


#: What stands between the event loop and a job's code, in a task or a thread.
_BELOW = frozenset({"ajobs", "anyio", "asyncio", "concurrent", "outcome", "threading", "trio"})
