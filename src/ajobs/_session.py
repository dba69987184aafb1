"""The session: it owns jobs, knows them all, and sees to it that none outlives it.

The table of jobs, the rules for entering and leaving, and the public verbs. How code is run
and stopped is the engine's business.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextvars import ContextVar, Token, copy_context
from inspect import CO_COROUTINE
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar, TypeVarTuple, overload

import anyio
from anyio import CancelScope

from ._blocking import current_subject
from ._checks import count, kind_of, limit, one_of, seconds
from ._engine import Engine
from ._errors import JobNotFinished, JobNotFound, JobStuck, NoCurrentJob, SessionClosed
from ._following import SessionFollower
from ._input import check_input
from ._job import Job
from ._log import Log
from ._logs import logger
from ._loop import Loop, current_loop
from ._named import NAMES, HostedRunner, make_runner
from ._reading import Receipt
from ._run import JobRun
from ._runner import Runner
from ._spec import Input, JobOptions, JobSpec
from ._state import JobState
from ._table import one_by_id, one_by_name, select
from ._waiting import Jobs, flat

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ("Session", "current_job", "current_session")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FAILED = JobState.FAILED

#: Unseen failures kept for the group at the end; the others are counted.
KEPT_FAILURES = 1000

_current: ContextVar[Session] = ContextVar("ajobs_session")

AnyJobs = Jobs[Job[Any]]


class Session:
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

        self.name = name
        self._throttle = limit(throttle, "throttle")
        self._failures = failures
        self._drain = seconds(drain, "drain")
        self._stop_grace = seconds(stop_grace, "stop_grace")
        self._retain = count(retain, "retain", least=0)
        self._defaults = JobOptions(
            output_limit=count(output_limit, "output_limit"), overflow=overflow
        )
        self._table: dict[int, Job[Any]] = {}
        self._finished: dict[int, None] = {}
        self._unseen: dict[Job[Any], None] = {}
        self._unseen_count = 0
        self._runners: dict[str, Runner] = {}
        self._followers: weakref.WeakSet[SessionFollower] = weakref.WeakSet()
        self._is_followed = False
        self._phase: str = "not entered"
        self._accepts = False
        self._is_interrupted = False
        self._token: Token[Session] | None = None

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
        self._token = _current.set(self)
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
        with CancelScope(shield=True):
            cancelled = await self._engine.shut_down(self._stop_grace)

        self._close_runners()
        self._loop.stop_timers()
        self._scope.__exit__(type(ended_by) if ended_by else None, ended_by, None)
        cancelled = await self._loop.join() or cancelled
        self._phase = "closed"
        if self._token is not None:
            _current.reset(self._token)

        for follower in self._followers:
            follower.end()

        self._settle(exc, ended_by or cancelled)

    async def _drain_jobs(self) -> None:
        self._phase = "draining"
        self._engine.start_draining()
        with anyio.move_on_after(self._drain):
            await self._engine.idle()

    def _close_runners(self) -> None:
        for runner in self._runners.values():
            if isinstance(runner, HostedRunner):
                runner.close()

    def _settle(self, exc: BaseException | None, ended_by: BaseException | None) -> None:
        """Raise how the block ends: an interrupt, its own exception, or unseen failures."""
        if self._engine.left_behind:
            self._engine.warn(self._left_message())

        if self._is_interrupted:
            raise KeyboardInterrupt

        if ended_by is not None:
            self._attach_unseen(ended_by)
            if ended_by is not exc:
                raise ended_by

        elif self._failures == "raise" and self._unseen_count:
            raise self._unseen_group()

    def _unseen_group(self) -> BaseException:
        count = self._unseen_count
        which = f"session {self.name!r}" if self.name else "the session"
        text = f"{count} job{'s' if count > 1 else ''} of {which} failed and nobody looked"
        reasons = []
        for job in tuple(self._unseen):
            reason = job.failure()
            assert isinstance(reason, Exception)
            reason.add_note(f"in {job.label()} ({job.command})")
            reasons.append(reason)

        return ExceptionGroup(text, reasons)

    def _attach_unseen(self, ended_by: BaseException) -> None:
        for job in self._unseen:
            reason = job.unseen_reason
            note = f"{job.label()} ({job.command}) had failed: {type(reason).__name__}: {reason}"
            ended_by.add_note(note)
            logger().error("%s", note)

        if self._unseen_count > len(self._unseen):
            ended_by.add_note(f"{self._unseen_count} jobs had failed in all")

    def _left_message(self) -> str:
        labels = ", ".join(job.label() for job in self._engine.left_behind)
        return (
            f"the session has left {labels} behind: asked to stop, and the function in the "
            f"thread still runs; let it call ajobs.check_stop(), or run it in a process"
        )

    # Starting

    @overload
    def start(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        runner: str | Runner | None = None,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
    ) -> Job[T]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], AsyncIterator[Any]],
        *args: *Ts,
        runner: str | Runner | None = None,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
    ) -> Job[None]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], Generator[Any, Any, T]],
        *args: *Ts,
        runner: str | Runner | None = None,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
    ) -> Job[T]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], T],
        *args: *Ts,
        runner: str | Runner | None = None,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
    ) -> Job[T]: ...

    def start(  # type: ignore[misc]  # mypy cannot match *Ts with *args: Any
        self,
        fn: Callable[..., Any],
        *args: Any,
        runner: str | Runner | None = None,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,  # noqa: A002  # the word of the field
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
        **keywords: object,
    ) -> Job[Any]:
        """Start ``fn(*args)`` as a job. An ordinary call: it never waits.

        It works until the last job has finished, also while the block is being left, so jobs
        may start jobs. Keyword arguments for *fn* go through `functools.partial`.

        Args:
            fn: An async function or async generator runs as a task on the loop, a plain
                function or generator in a thread, unless *runner* says otherwise.
            args: Its arguments.
            runner: None, "task", "thread", or a `Runner`. An async function given to another
                runner than "task" has an event loop of its own there.
            name: For people and look-ups; by default ``Job<id>``.
            timeout: Seconds of running, after which the job fails with `JobTimeout`.
            input: What the job reads with `ajobs.job_input()`: an iterable, pulled on the
                loop's thread, or an async iterable, pulled and closed by one task.
            output_limit: Most unread output, error and warning records; None takes the
                session's.
            overflow: What a full output does: the job waits ("wait") or fails ("error").
            auto_remove: Take the job off the table when it has finished, its failure was
                seen, and nothing is unread but the return value.
            keywords: None: an argument of *fn* is refused with the words to write instead.

        Returns:
            The job, queued; its code begins at the next turn of the loop at the earliest.

        Raises:
            TypeError: *fn* cannot be called or does not suit the runner; another argument
                is of the wrong sort.
            ValueError: An argument is out of range, or a word is unknown.
            SessionClosed: The session is not open, or stops its jobs already.
            RuntimeError: Called from another thread or loop.
        """
        if not self._accepts or not self._loop.is_running_here:
            self._refuse_start()

        if keywords:
            refuse_keywords(fn, keywords)

        if runner is None and type(fn) is FunctionType and fn.__code__.co_flags & CO_COROUTINE:
            place = self._runners.get("task") or self._named_runner("task")
            is_checked = True
        else:
            place = self._runner_for(runner, fn)
            is_checked = False

        options = self._defaults
        if (
            name is not None
            or timeout is not None
            or input is not None
            or output_limit is not None
            or overflow is not None
            or auto_remove
        ):
            options = self._options(name, timeout, input, output_limit, overflow, auto_remove)

        spec = JobSpec(fn, args, options)
        return self._add(place, spec if is_checked else place.check(spec))

    def start_command(
        self,
        argv: Sequence[str | bytes | os.PathLike[Any]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        check: bool = True,
        encoding: str | None = "utf-8",
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,  # noqa: A002  # the word of the field
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
    ) -> Job[int]:
        """Start a program as a job; its exit code is the value. No shell takes *argv* apart.

        Lines of its standard output are output, those of its standard error are error
        records that do not set `Job.had_errors`. A stop ends its whole process group:
        SIGTERM, after the grace SIGKILL.

        Args:
            argv: The program and its arguments.
            cwd: Its directory; None: the caller's, now.
            env: Its whole environment; None: this process's own.
            stdin: What it reads on standard input; None: nothing, or *input*, item by item.
            check: Whether an exit code other than 0 fails the job.
            encoding: Of its output; bytes that are none of it are kept as escapes. None:
                lines are bytes.
            name: As for `start`, like all that follow.
            timeout: Seconds of running.
            input: What it reads on standard input, each item a line.
            output_limit: Most unread records.
            overflow: What a full output does.
            auto_remove: Whether it leaves the table by itself.

        Raises:
            TypeError: *argv* is one string, or holds something else than arguments.
            ValueError: *argv* is empty, or another argument is out of range.
            FileNotFoundError: *cwd* does not exist.
            RunnerUnavailable: This system cannot run such jobs.
        """
        from .runners.command import Command  # loaded on use, see _named

        command = Command(argv, cwd=cwd, env=env, stdin=stdin, check=check, encoding=encoding)
        return self.start(
            command,
            runner="command",
            name=name,
            timeout=timeout,
            input=input,
            output_limit=output_limit,
            overflow=overflow,
            auto_remove=auto_remove,
        )

    def start_script(
        self,
        path: str | os.PathLike[str],
        *argv: str,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,  # noqa: A002  # the word of the field
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
    ) -> Job[int]:
        """Start a Python file as ``__main__`` of a worker process; its exit code is the value.

        Lines that it prints are output, those on standard error are error records that do
        not set `Job.had_errors`, and `ajobs.write_output` and the like work in it.

        Args:
            path: The file.
            *argv: Its arguments, ``sys.argv[1:]`` there.
            cwd: Its directory; None: the caller's, now.
            env: Its `os.environ`; None: the same as here.
            check: Whether an exit code other than 0 fails the job.
            name: As for `start`, like all that follow.
            timeout: Seconds of running.
            input: What it reads with `ajobs.job_input()`.
            output_limit: Most unread records.
            overflow: What a full output does.
            auto_remove: Whether it leaves the table by itself.

        Raises:
            FileNotFoundError: The file or *cwd* does not exist.
            TypeError: An argument is not text.
            RunnerUnavailable: This system cannot run such jobs.
        """
        from .runners.script import Script  # loaded on use, see _named

        return self.start(
            Script(path, *argv, cwd=cwd, env=env, check=check),
            runner="script",
            name=name,
            timeout=timeout,
            input=input,
            output_limit=output_limit,
            overflow=overflow,
            auto_remove=auto_remove,
        )

    def _refuse_start(self) -> NoReturn:
        if not self._accepts:
            why = {
                "not entered": "it was not entered: `async with ajobs.Session() as jobs:`",
                "stopping": "it is stopping its jobs",
                "closed": "its block was left",
            }[self._phase]
            raise SessionClosed(f"the session takes no jobs: {why}")

        raise RuntimeError(
            "a session's jobs are started on its own event loop and thread; from elsewhere "
            "use ajobs.blocking, or anyio.from_thread.run_sync(jobs.start, ...)"
        )

    def _options(
        self,
        name: str | None,
        timeout: float | None,
        source: Input | None,
        output_limit: int | None,
        overflow: str | None,
        auto_remove: bool,
    ) -> JobOptions:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r:.80}")

        if overflow is not None:
            one_of(overflow, "overflow", ("wait", "error"))

        if source is not None:
            check_input(source)
            if isinstance(source, Receipt):
                source.attach()

        most = count(output_limit, "output_limit")
        return JobOptions(
            name,
            seconds(timeout, "timeout"),
            source,
            self._defaults.output_limit if most is None else most,
            overflow or self._defaults.overflow,
            bool(auto_remove),
        )

    def _runner_for(self, runner: str | Runner | None, fn: object) -> Runner:
        kind = kind_of(fn)
        if isinstance(runner, Runner):
            return runner

        if runner is None:
            runner = "task" if kind.is_async else "thread"

        asked: object = runner
        if isinstance(asked, type) and issubclass(asked, Runner):
            raise TypeError(f"runner takes a Runner object, not its class: {asked.__name__}(...)")

        one_of(runner, "runner", NAMES)
        return self._runners.get(runner) or self._named_runner(runner)

    def _named_runner(self, name: str) -> Runner:
        runner = self._runners[name] = make_runner(name, self._loop)
        return runner

    def _add(self, runner: Runner, spec: JobSpec) -> Job[Any]:
        context = copy_context()
        if _current.get(None) is not self:
            context.run(_current.set, self)

        job: Job[Any] = Job(self._engine, runner, spec, context)
        self._table[job._id] = job
        if self._is_followed:
            for follower in self._followers:
                follower.add(job)

        self._engine.add(job)
        return job

    @property
    def throttle(self) -> float:
        """Most jobs running at once; setting it affects the waiting ones at once."""
        return self._throttle

    @throttle.setter
    def throttle(self, value: float) -> None:
        self._throttle = limit(value, "throttle")
        if self._accepts:
            self._engine.throttle = self._throttle

    # Looking

    def __getitem__(self, key: int | str) -> Job[Any]:
        """Return the job with this id, or the only one with exactly this name.

        Raises:
            JobNotFound: None has it, or several have this name.
        """
        return (
            one_by_id(self._table, key) if isinstance(key, int) else one_by_name(self._table, key)
        )

    def __iter__(self) -> Iterator[Job[Any]]:
        """Iterate over a snapshot of the jobs, in id order."""
        return iter(list(self._table.values()))

    def __len__(self) -> int:
        """Return how many jobs are in the table."""
        return len(self._table)

    def __contains__(self, job: object) -> bool:
        """Tell whether *job* is in the table."""
        return isinstance(job, Job) and self._table.get(job.id) is job

    def __bool__(self) -> bool:
        """Return True: a session without jobs is a session."""
        return True

    def __repr__(self) -> str:
        """Return name, phase and how many jobs are in which state."""
        states = Counter(str(job.state) for job in self._table.values())
        jobs = ", ".join(f"{count} {state}" for state, count in states.items()) or "no jobs"
        name = f" {self.name!r}" if self.name else ""
        return f"<Session{name} {self._phase}: {jobs}>"

    def get(
        self,
        name: str | Iterable[str] | None = None,
        id: int | Iterable[int] | None = None,  # noqa: A002  # the word of the field
        kind: str | None = None,
        state: JobState | str | None = None,
        has_more_data: bool | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        newest: int | None = None,
        children: bool = False,
    ) -> list[Job[Any]]:
        """Return the jobs that pass all the filters given, in id order.

        Args:
            name: Names, or patterns with ``*``, ``?`` and ``[...]``, ignoring case.
            id: Ids.
            kind: The word of a runner, such as "thread".
            state: A `JobState`, or its word in any case.
            has_more_data: Whether something is unread.
            before: Finished before this time (aware).
            after: Finished after this time (aware).
            newest: Of those left, the finished ones that ended last, this many.
            children: Look at the children of jobs too.

        Raises:
            JobNotFound: An id, or a name without wildcards, belongs to no job. A pattern
                that fits nothing gives an empty list.
            ValueError: A state is unknown, or a time is not aware.
        """
        return select(
            self._table,
            name=name,
            id=id,
            kind=kind,
            state=state,
            has_more_data=has_more_data,
            before=before,
            after=after,
            newest=newest,
            children=children,
        )

    def follow(self) -> SessionFollower:
        """Iterate over ``(job, record)`` for every record and change of state of all jobs.

        It begins with what the jobs hold, goes on with each as it comes, jobs started later
        included, and ends when the session has closed. Nothing is taken.
        """
        follower = SessionFollower()
        for job in self._table.values():
            follower.add(job)

        self._followers.add(follower)
        self._is_followed = True
        if self._phase == "closed":
            follower.end()

        return follower

    # Stopping and removing

    async def stop(self, *jobs: AnyJobs, grace: float | None = None) -> bool:
        """Stop *jobs*, all at the same time; return whether all have finished.

        Args:
            jobs: Jobs and iterables of jobs. None at all stops nothing; all of a session are
                ``jobs.stop(jobs)``.
            grace: As for `Job.stop`.

        Raises:
            ValueError: *grace* is negative or NaN.
            TypeError: Something is no job.
        """
        seconds_left = self._stop_grace if grace is None else seconds(grace, "grace")
        given = flat(jobs)
        own = current_subject()
        for job in given:
            job.tell_to_stop(seconds_left)

        for job in given:
            if job is not own:
                await job.stopped()

        if own in given:
            await anyio.lowlevel.checkpoint()

        return all(job.is_finished for job in given)

    async def remove(self, *jobs: AnyJobs, force: bool = False) -> None:
        """Take *jobs* off the table. A handle that you hold keeps its data.

        Args:
            jobs: Jobs and iterables of jobs of this session; None at all removes nothing.
            force: Stop those that have not finished first.

        Raises:
            JobNotFinished: One has not finished, and *force* is not given. None is removed.
            JobNotFound: One is not in the table of this session. None is removed.
            JobStuck: One was stopped and its code does not end; it stays, the others go.
        """
        given = flat(jobs)
        strange = [job.label() for job in given if job not in self]
        if strange:
            raise JobNotFound(f"not in the table of this session: {', '.join(strange)}")

        unfinished = [job for job in given if not job.is_finished]
        if unfinished and not force:
            labels = ", ".join(f"{job.label()} ({job.state})" for job in unfinished)
            raise JobNotFinished(f"not finished: {labels}; wait for them, or use force=True")

        await self.stop(unfinished)
        for job in given:
            if job.is_finished:
                self._forget(job)

        stuck = [job.label() for job in given if not job.is_finished]
        if stuck:
            raise JobStuck(f"told to end, and still running: {', '.join(stuck)}")

    def _forget(self, job: Job[Any]) -> None:
        self._finished.pop(job._id, None)
        if self._table.pop(job._id, None) is not None:
            for follower in self._followers:
                follower.forget(job)

    # What the engine tells

    def job_ended(self, job: Job[Any]) -> None:
        """Keep the books: *job* has reached its final state."""
        if job._state is FAILED:
            self._unseen_count += 1
            if len(self._unseen) < KEPT_FAILURES:
                self._unseen[job] = None

        if job._options.auto_remove:
            self.job_drained(job)

        if self._retain is not None:
            if job._id in self._table:
                self._finished[job._id] = None

            while len(self._finished) > self._retain:
                self._forget(self._table[next(iter(self._finished))])

    def job_seen(self, job: Job[Any]) -> None:
        """Somebody has seen that *job* failed."""
        self._unseen_count -= 1
        self._unseen.pop(job, None)
        if job._options.auto_remove:
            self.job_drained(job)

    def job_drained(self, job: Job[Any]) -> None:
        """Take *job* off the table if it asked for that and nothing is left to see."""
        if job.is_spent:
            self._forget(job)

    def interrupted(self) -> None:
        """Leave the block by the Ctrl-C that came while a job's code ran."""
        self._is_interrupted = True
        self._scope.cancel()


def refuse_keywords(fn: object, keywords: dict[str, object]) -> NoReturn:
    """Raise for keyword arguments that were meant for the function."""
    name = getattr(fn, "__name__", "fn")
    given = ", ".join(f"{key}=..." for key in keywords)
    raise TypeError(
        f"start() has no option {', '.join(keywords)}; keyword arguments for the function go "
        f"through functools.partial: start(partial({name}, {given}))"
    )


def current_session() -> Session:
    """Return the session whose block or job the caller is in.

    Raises:
        NoCurrentJob: There is none.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentJob("no session is open here: call this in its block or its jobs") from None


def current_job() -> Job[Any]:
    """Return the job whose code calls.

    Raises:
        NoCurrentJob: No job runs here.
    """
    job = current_subject()
    if not isinstance(job, Job):
        raise NoCurrentJob("no job runs here: call this inside a function started as a job")

    return job
