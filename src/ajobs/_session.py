"""The session: it owns jobs, and sees to it that none outlives it.

The life of a block: entering, draining, stopping what is left, and what is raised at the end.
What is started and how is `Starter`'s business, what can be done with jobs `JobTable`'s, and
how their code is run and stopped the engine's.
"""

from __future__ import annotations

import math
from collections import Counter
from contextvars import Token, copy_context
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import anyio
from anyio import CancelScope

from ._blocking import current_subject
from ._checks import count, limit, one_of, seconds
from ._engine import Engine
from ._errors import NoCurrentJob
from ._guests import Guest, Host, current_host, hosts
from ._job import Job
from ._jobs import JobTable
from ._log import Log
from ._loop import Loop, current_loop
from ._run import JobRun
from ._runner import Runner
from ._spec import JobOptions, JobSpec
from ._starting import J, Starter
from ._state import JobState
from ._unseen import UnseenFailures

__all__ = ("Session", "current_job", "current_session")

FAILED = JobState.FAILED


class Session(Starter, JobTable):
    """A block that owns jobs: ``async with ajobs.Session() as jobs:``.

    Leaving the block waits for every job, those started meanwhile included. Leaving it by an
    exception or a cancellation stops them all, and waits for that. A thread that does not
    end is left behind, with a RuntimeWarning, once its grace is over.
    """

    def __init__(
        self,
        name: str | None = None,
        throttle: float = math.inf,
        failures: Literal["raise", "keep"] = "raise",
        drain: float = math.inf,
        stop_grace: float = 5.0,
        retain: int | None = None,
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] = "wait",
    ) -> None:
        """Describe a session; entering it opens it.

        Args:
            name: For people.
            throttle: Most jobs running at once, settable while it runs. The others wait in
                order. Jobs that are Blocked do not count.
            failures: "raise": failures that nobody saw are raised when the block is left, in
                an ExceptionGroup. "keep": they stay in the table, PowerShell's way.
            drain: Seconds to wait for the jobs on leaving, before the rest is stopped.
            stop_grace: Seconds that stopped jobs have for their cleanup.
            retain: Keep the newest this many finished jobs in the table; None keeps all.
            output_limit: For jobs that do not say: most unread output, error and warning
                records of a job; None keeps all in memory.
            overflow: For jobs that do not say: a job whose output is full waits ("wait") or
                fails ("error").

        Raises:
            TypeError: A value is of the wrong sort.
            ValueError: A value is negative, NaN, or an unknown word.
        """
        one_of(failures, "failures", ("raise", "keep"))
        one_of(overflow, "overflow", ("wait", "error"))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r:.80}")

        defaults = JobOptions(output_limit=count(output_limit, "output_limit"), overflow=overflow)
        Starter.__init__(self, defaults)
        JobTable.__init__(self, retain, stop_grace)
        self.name = name
        self._throttle = limit(throttle, "throttle")
        self._failures = failures
        self._drain = seconds(drain, "drain")
        self._guests: set[Guest] = set()
        self._unseen = UnseenFailures()
        self._is_interrupted = False
        self._token: Token[Host] | None = None

    # Entering and leaving

    async def __aenter__(self) -> Self:
        """Open the session in the current task, which has to leave it too."""
        if self._phase != "not entered":
            raise RuntimeError("a session is entered once: make a new one")

        self._loop: Loop = current_loop()
        self._loop.protect(Session, Engine, JobRun, Job, Log)
        await self._loop.open()
        self._engine = Engine(self._loop, self._throttle, self._stop_grace, self)
        self._scope = CancelScope()
        self._scope.__enter__()
        self._token = current_host.set(self)
        self._phase = "open"
        self._accepts = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Wait for the jobs, or stop them; raise the failures that nobody saw."""
        ended_by = exc
        if exc is None:
            try:
                await self._drain_jobs()
            except BaseException as reason:  # noqa: BLE001  # it is raised again by _settle
                ended_by = reason

        self._phase = "stopping"
        self._accepts = False
        for guest in self._guests:
            guest.close()

        with CancelScope(shield=True):
            cancelled = await self._engine.shut_down(self._stop_grace)

        self._close_runners()
        self._loop.stop_timers()
        self._scope.__exit__(type(ended_by) if ended_by else None, ended_by, None)
        cancelled = await self._loop.join() or cancelled
        self._phase = "closed"
        if self._token is not None:
            current_host.reset(self._token)

        self._close_table()
        # What came while the jobs were being joined would be lost; *exc* stays as its context.
        self._settle(exc, cancelled or ended_by)

    async def _drain_jobs(self) -> None:
        self._phase = "draining"
        self._engine.start_draining()
        with anyio.move_on_after(self._drain):
            await self._engine.idle()

    def _settle(self, exc: BaseException | None, ended_by: BaseException | None) -> None:
        """Raise how the block ends: an interrupt, its own exception, or unseen failures."""
        if self._engine.left_behind:
            self._engine.warn(self._left_message())

        if self._is_interrupted:
            raise KeyboardInterrupt

        if ended_by is not None:
            self._unseen.attach(ended_by)
            if ended_by is not exc:
                raise ended_by

        elif self._failures == "raise" and self._unseen:
            raise self._unseen.group(f"session {self.name!r}" if self.name else "the session")

    def _left_message(self) -> str:
        labels = ", ".join(job.label() for job in self._engine.left_behind)
        return (
            f"the session has left {labels} behind: asked to stop, and the function in the "
            f"thread still runs; let it call ajobs.check_stop(), or run it in a process"
        )

    @property
    def loop(self) -> Loop:
        """The loop on which its jobs live, once it was entered."""
        return self._loop

    @property
    def throttle(self) -> float:
        """Most jobs running at once; setting it affects the waiting ones at once."""
        return self._throttle

    @throttle.setter
    def throttle(self, value: float) -> None:
        self._throttle = limit(value, "throttle")
        if self._accepts:
            self._engine.throttle = self._throttle

    # Owning

    def __repr__(self) -> str:
        """Return name, phase and how many jobs are in which state."""
        states = Counter(str(job.state) for job in self._table.values())
        jobs = ", ".join(f"{count} {state}" for state, count in states.items()) or "no jobs"
        name = f" {self.name!r}" if self.name else ""
        return f"<Session{name} {self._phase}: {jobs}>"

    def _add(self, runner: Runner, spec: JobSpec, make: type[J] = Job) -> J:  # type: ignore[assignment]  # as there
        context = copy_context()
        if current_host.get(None) is not self:
            context.run(current_host.set, self)

        job = make(self._engine, runner, spec, context)
        self._table[job._id] = job
        if self._is_followed:
            self._show(job)

        self._engine.add(job)
        return job

    def take_in(self, guest: Guest) -> bool:
        """Run *guest* in a task of its own, until the session ends; False if it cannot."""
        if not self._accepts or not self._loop.is_running_here:
            return False

        self._guests.add(guest)
        self._loop.spawn(partial(self._keep, guest), "ajobs guest")
        return True

    async def _keep(self, guest: Guest) -> None:
        try:
            with self._loop.scope():
                await guest.live()
        finally:
            self._guests.discard(guest)

    # What the engine tells

    def job_ended(self, job: Job[Any]) -> None:
        """Keep the books: *job* has reached its final state."""
        if job._state is FAILED:
            self._unseen.add(job)

        if job._options.auto_remove or self._retain is not None:
            self._retire(job)

    def job_seen(self, job: Job[Any]) -> None:
        """Somebody has seen that *job* failed."""
        self._unseen.discard(job)
        if job._options.auto_remove:
            self.job_drained(job)

    def interrupted(self) -> None:
        """Leave the block by the Ctrl-C that came while a job's code ran."""
        self._is_interrupted = True
        self._scope.cancel()


def current_session() -> Session:
    """Return the session whose block or job the caller is in.

    Raises:
        NoCurrentJob: There is none.
    """
    found = current_host.get(None)
    if isinstance(found, Session):
        return found

    for host in reversed(hosts):
        if isinstance(host, Session) and host.loop.may_start_here:
            return host

    raise NoCurrentJob("no session is open here: call this in its block or its jobs")


def current_job() -> Job[Any]:
    """Return the job whose code calls.

    Raises:
        NoCurrentJob: No job runs here.
    """
    job = current_subject()
    if not isinstance(job, Job):
        raise NoCurrentJob("no job runs here: call this inside a function started as a job")

    return job
