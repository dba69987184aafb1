"""The job: a handle on one run, folded from what its runner tells.

A job knows its records and its state; it does not know sessions or runners. What it needs
of the one who keeps it is the `Keeper` below.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from contextvars import Context
from functools import partial
from time import time
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, overload

import anyio

from ._apart import run_apart
from ._blocking import Wait, blocked, check_loop, current_subject
from ._checks import command_of, count, one_of, seconds
from ._errors import JobNotFinished, JobStopped, JobStuck
from ._log import Log, streams_of
from ._loop import Loop
from ._reading import Follower, KeepingReceipt, Readable, Receipt
from ._records import Progress, Record, StateChange, Stream, aware
from ._saving import save
from ._spec import JobOptions, JobSpec
from ._state import TRANSITIONS, JobState, refuse_move
from ._text import line_of
from ._waiting import wait_until

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

__all__ = ("Job",)

T_co = TypeVar("T_co", covariant=True)

NOT_STARTED = JobState.NOT_STARTED

#: Ids rise over the process, so that a number in a log means one job.
_ids = itertools.count(1)

StreamsAsked = Stream | str | Iterable[Stream | str]


class Run(Protocol):
    """What a job knows of its code while that runs."""

    begun: float | None
    is_stuck: bool
    is_over: bool

    @property
    def waits(self) -> Sequence[Wait]:
        """What the code waits for, without a time limit."""


class Keeper(ABC):
    """The owner of jobs, as a job sees it."""

    loop: Loop
    stop_grace: float

    @abstractmethod
    def stop(self, job: Job[Any], grace: float) -> None:
        """Tell *job* to end; return at once."""

    @abstractmethod
    def note_seen(self, job: Job[Any]) -> None:
        """Note that somebody has seen that *job* failed."""

    @abstractmethod
    def note_drained(self, job: Job[Any]) -> None:
        """Note that records of a finished *job* were taken."""


class Ending:
    """How a job ended: what only a finished job has."""

    # Defaults on the class: most jobs end well, and are never looked at closely.
    reason: BaseException | None = None
    traceback: TracebackType | None = None
    is_seen = False
    is_value_unread = False

    def __init__(self, begin: float | None, value: Any) -> None:
        """Note the end of a job that began at Unix time *begin*, with *value*."""
        self.begin = begin
        self.end = time()
        self.value = value


class Job(Readable, Generic[T_co]):
    """One piece of work: started, listed, waited for, received from, stopped and removed.

    Jobs are made by `Session.start`. All attributes can be read at any time, also when no
    event loop runs. ``await job`` waits and returns the value of the job's function, or
    raises what it raised.
    """

    __slots__ = (
        "_context",
        "_ending",
        "_id",
        "_instance_id",
        "_keeper",
        "_log",
        "_name",
        "_options",
        "_runner",
        "_state",
        "_what",
        "queued_seconds",
        "run",
    )

    def __init__(
        self,
        keeper: Keeper,
        runner: Any,
        spec: JobSpec,
        context: Context,
    ) -> None:
        """Make a job that is not started; only sessions do that."""
        self._watchers = None
        self.is_finished = False
        self._id = next(_ids)
        self._keeper = keeper
        self._runner = runner
        #: The spec until the job begins, then its function, then the text of its command: a
        #: finished handle must not hold on to arguments.
        self._what: Any = spec
        self._options: JobOptions = spec.options
        self._name = spec.options.name
        self._context: Context | None = context
        self._state = NOT_STARTED
        self._log: Log | None = None
        self._ending: Ending | None = None
        self._instance_id: uuid.UUID | None = None
        #: When it was started, as Unix time; who runs it says so.
        self.queued_seconds = 0.0
        self.run: Run | None = None

    # What it is

    @property
    def id(self) -> int:
        """A small number, rising over the process, never used twice."""
        return self._id

    @property
    def instance_id(self) -> uuid.UUID:
        """A number that no other job anywhere has."""
        if self._instance_id is None:
            import uuid  # slow to load, and seldom asked for

            self._instance_id = uuid.uuid4()

        return self._instance_id

    @property
    def name(self) -> str:
        """Its name, by default ``Job<id>``. It can be set, and need not be unique."""
        return f"Job{self._id}" if self._name is None else self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r:.80}")

        self._name = name

    @property
    def command(self) -> str:
        """What it runs, as text: the name of the function."""
        what = self._what
        if isinstance(what, JobSpec):
            what = what.command or what.fn

        return what if isinstance(what, str) else command_of(what)

    @property
    def kind(self) -> str:
        """The word for its runner: "task", "thread", ..."""
        return str(self._runner.kind)

    @property
    def location(self) -> str:
        """The machine where its code runs."""
        return str(self._runner.location)

    @property
    def children(self) -> tuple[Job[Any], ...]:
        """The jobs that are parts of this one; empty for all but groups."""
        return ()

    # Where it stands

    @property
    def state(self) -> JobState:
        """Where it is in its life. Completed, Failed and Stopped are final."""
        return self._state

    @property
    def reason(self) -> BaseException | None:
        """Why it failed; None in every other state. Reading it counts as having seen it."""
        ending = self._ending
        if ending is None or ending.reason is None:
            return None

        self._see()
        return ending.reason

    @property
    def begin_time(self) -> datetime | None:
        """When its code began to run (aware, UTC); None before, or if it never did."""
        begin = self.begin_seconds
        return None if begin is None else aware(begin)

    @property
    def begin_seconds(self) -> float | None:
        """`begin_time` as Unix time."""
        if self._ending is not None:
            return self._ending.begin

        return None if self.run is None else self.run.begun

    @property
    def end_time(self) -> datetime | None:
        """When it reached its final state (aware, UTC); None before."""
        end = self.end_seconds
        return None if end is None else aware(end)

    @property
    def end_seconds(self) -> float | None:
        """`end_time` as Unix time."""
        return None if self._ending is None else self._ending.end

    @property
    def has_more_data(self) -> bool:
        """True while a record of any stream, or its return value, is unread."""
        if self._log is not None:
            return bool(self._log)

        return self._ending is not None and self._ending.is_value_unread

    @property
    def had_errors(self) -> bool:
        """True if it wrote to the error stream with `write_error`."""
        return self._log is not None and self._log.had_errors

    @property
    def dropped(self) -> dict[Stream, int]:
        """How many old records of each bounded stream were dropped to keep the newest."""
        return {} if self._log is None else dict(self._log.dropped)

    @property
    def progress(self) -> tuple[Progress, ...]:
        """The newest progress of each activity that is not done, oldest activity first."""
        return () if self._log is None else tuple(self._log.progress.values())

    @property
    def status_message(self) -> str:
        """One line on where it stands, for people; empty when the state says it all."""
        if self._state is JobState.FAILED and self._ending is not None:
            return line_of(self._ending.reason)

        if self._state is JobState.STOPPING:
            if self.run is not None and self.run.is_stuck:
                return f"asked to stop; its code still runs and has not looked ({self.kind})"

            return "asked to stop; waiting for its code to end"

        if self.progress and not self.is_finished:
            newest = self.progress[-1]
            percent = "" if newest.percent is None else f" {newest.percent:.0f} %"
            return f"{newest.activity}{percent}".lstrip()

        return ""

    def __repr__(self) -> str:
        """Return one line with id, name, command and state."""
        return f"<Job {self._id} {self.name!r} {self.kind} {self.command} {self._state}>"

    def __str__(self) -> str:
        """Return it as ``Get-Job`` shows it, and the traceback if it failed."""
        from ._view.rows import job_text, terminal_width  # like all views, loaded by who looks

        return job_text(self, terminal_width())

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        """Show the same by rich, in colour."""
        from ._view.rich_tables import job_rich

        return job_rich(self, options.max_width)

    def _repr_html_(self) -> str:
        from ._view.html import job_html

        return job_html(self)

    # Reading

    def receive(
        self,
        stream: StreamsAsked = Stream.OUTPUT,
        keep: bool = False,
        errors: Literal["raise", "ignore"] = "raise",
    ) -> Receipt:
        """Take what the job writes: all at once, or one by one as it comes.

        ``await job.receive()`` gives a list, once the job has finished. ``async for value in
        job.receive()`` takes each record when it is there, and only that one: a consumer that
        leaves early loses nothing. What is taken is gone, for everyone.

        Args:
            stream: A stream, or several, or "all": the last two give `Record` objects in the
                order in which they were written, the first bare values.
            keep: Leave the records in place and read from the oldest.
            errors: "raise" raises how the job failed after its last output, `JobStopped` for
                a stopped one; "ignore" never does.

        Raises:
            ValueError: *stream* or *errors* is unknown, or *keep* is asked of a job with an
                `output_limit`, which it could only fill.
        """
        one_of(errors, "errors", ("raise", "ignore"))
        streams, as_records = streams_of(stream)
        self._check_keep(keep)
        kind = KeepingReceipt if keep else Receipt
        return kind(self, streams, as_records, errors)

    def receive_nowait(
        self, stream: StreamsAsked = Stream.OUTPUT, keep: bool = False, limit: int | None = None
    ) -> list[Any]:
        """Return what the job has written so far, and take it. Never waits.

        A failed job raises nothing here. See `receive` for *stream* and *keep*.

        Args:
            stream: Which streams.
            keep: Leave the records in place.
            limit: Return at most this many, the oldest.

        Raises:
            ValueError: As for `receive`, or *limit* is negative.
        """
        streams, as_records = streams_of(stream)
        self._check_keep(keep)
        most = count(limit, "limit", least=0)
        log = self.open_log()
        entries = log.peek(streams)[:most] if keep else log.take(streams, most)
        if not keep:
            self.taken()

        return [Record.of(entry) if as_records else entry[3] for entry in entries]

    def _check_keep(self, keep: bool) -> None:
        if keep and self._options.output_limit is not None:
            raise ValueError(
                f"{self.label()} has an output_limit: with keep=True its output would stay full "
                f"for ever; use follow() to read without taking"
            )

    @overload
    def follow(self, states: Literal[False] = False) -> Follower[Record]: ...
    @overload
    def follow(self, states: Literal[True]) -> Follower[Record | StateChange]: ...
    def follow(self, states: bool = False) -> Follower[Any]:
        """Iterate over every record that the job holds, then over each as it is written.

        Nothing is taken, and each follower has a position of its own. The iteration ends
        with the job and never raises its failure.

        Args:
            states: Also give a `StateChange` for each move of the job from now on.
        """
        return Follower(self, states)

    async def save(
        self,
        path: str | os.PathLike[str],
        stream: StreamsAsked = Stream.OUTPUT,
        format: Literal["text", "jsonl"] = "text",  # noqa: A002  # the word of the field
        append: bool = False,
    ) -> None:
        """Take the job's records into a file as they come, until it has finished.

        What is written is taken, as by `receive`; what could not be written stays. How the
        job ended is not raised. Cancelling stops after the batch that is being written.

        Args:
            path: The file; it is made, or emptied first unless *append*.
            stream: See `receive`.
            format: "text" writes ``str(value)`` and a newline, with the stream's name in
                front when several are asked for; "jsonl" one JSON object a line with the
                keys seq, time, stream and value (its ``repr`` if JSON has no form for it).
            append: Add to the file.

        Raises:
            OSError: The file cannot be written.
            ValueError: *stream* or *format* is unknown.
        """
        one_of(format, "format", ("text", "jsonl"))
        streams, as_records = streams_of(stream)
        write_all = partial(save, self, path, streams, as_records, format, append)
        await run_apart(write_all, "ajobs save", self.loop.cancelled)

    # Waiting

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has finished; return whether it has.

        Never raises how the job ended, never stops it, and takes nothing from it.

        Args:
            timeout: Seconds; None waits for ever, 0 only looks.

        Raises:
            ValueError: *timeout* is negative or NaN.
            DeadlockError: It waits for the job whose code calls.
        """
        limit = seconds(timeout, "timeout")
        if not self.is_finished:
            await wait_until((self,), limit)

        return self.is_finished

    def __await__(self) -> Generator[Any, Any, T_co]:
        """Wait for the job and return its value, or raise what `result` raises."""
        if not self.is_finished:
            yield from self.value_known().__await__()

        return self.result()

    async def value_known(self) -> None:
        """Wait until `result` has something to say.

        Raises:
            JobStuck: It was told to end, and its code still runs after the grace.
        """
        check_loop((self,))
        while not self.is_finished:
            if self.run is not None and self.run.is_stuck:
                raise JobStuck(
                    f"{self.label()} was told to end and its code still runs after its grace; "
                    f"let it call ajobs.check_stop(), or run it in a process"
                )

            event = anyio.Event()
            watcher = _EndOrStuck(event)
            with blocked((self,)):
                try:
                    self.watch(watcher)
                    await event.wait()
                finally:
                    self.unwatch(watcher)

    def result(self) -> T_co:
        """Return what the job's function returned.

        Raises:
            JobNotFinished: It has not finished; await it.
            JobStopped: It was stopped.
            BaseException: What the function raised: the same object, with its traceback as it
                was, however often it is raised. `JobTimeout` or another `JobError` if that is
                why it failed.
        """
        ending = self._ending
        if ending is None:
            raise JobNotFinished(
                f"{self.label()} is {self._state}: `await job` waits for its value"
            )

        failure = self.failure()
        if failure is not None:
            raise failure

        value: T_co = ending.value
        return value

    # Stopping

    async def stop(self, grace: float | None = None) -> bool:
        """Tell the job to end and wait until it has; return whether it has.

        A job that waits for its turn never runs; a finished one stays as it is. A second
        stop can only shorten the grace. Cancelling this wait leaves the stop in force. A job
        may stop itself: then the call does not wait.

        Args:
            grace: Seconds for its cleanup, before it is ended by force or, where that cannot
                be done (tasks, threads), this returns False. None takes the session's
                `stop_grace`.

        Raises:
            ValueError: *grace* is negative or NaN.
        """
        seconds_left = self._keeper.stop_grace if grace is None else seconds(grace, "grace")
        if self.is_finished:
            return True

        self.tell_to_stop(seconds_left)
        if current_subject() is self:
            await anyio.lowlevel.checkpoint()
            return self.is_finished

        await self.stopped()
        return self.is_finished

    def tell_to_stop(self, grace: float) -> None:
        """Begin to stop, and return at once."""
        if not self.is_finished:
            check_loop((self,))
            self._keeper.stop(self, grace)

    async def stopped(self) -> None:
        """Wait until the job has finished, or its code has outlasted the grace of a stop."""
        while not self.is_finished and not (self.run is not None and self.run.is_stuck):
            event = anyio.Event()
            watcher = _EndOrStuck(event)
            with blocked((self,), limited=True):
                try:
                    self.watch(watcher)
                    await event.wait()
                finally:
                    self.unwatch(watcher)

    # For its keeper and its readers

    @property
    def loop(self) -> Loop:
        """The loop on which the job lives."""
        return self._keeper.loop

    @property
    def options(self) -> JobOptions:
        """What it was asked to be."""
        return self._options

    @property
    def runner(self) -> Any:
        """Where it runs."""
        return self._runner

    def waits(self) -> Sequence[Wait]:
        """Return what its code waits for at the moment, without a time limit."""
        return () if self.run is None else self.run.waits

    def label(self) -> str:
        """Return its id and name, for messages."""
        return f"job {self._id}" if self._name is None else f"job {self._id} {self._name!r}"

    def open_log(self) -> Log:
        """Return the log, made now if nothing was written yet."""
        if self._log is None:
            self._log = Log(self._options.output_limit)
            ending = self._ending
            if ending is not None and ending.is_value_unread:
                # The return value is its last record; most jobs' are never looked at as one.
                ending.is_value_unread = False
                self._log.append(Stream.OUTPUT, ending.value, ending.end)

        return self._log

    def failure(self) -> BaseException | None:
        """Return what to raise at a reader of the ended job, as it was first raised."""
        ending = self._ending
        if self._state is JobState.STOPPED:
            return JobStopped(f"{self.label()} was stopped")

        if ending is None or ending.reason is None:
            return None

        self._see()
        # Each raise adds its frames to the traceback of the one object: cut them off again.
        return ending.reason.with_traceback(ending.traceback)

    def _see(self) -> None:
        ending = self._ending
        if ending is not None and not ending.is_seen:
            ending.is_seen = True
            self._keeper.note_seen(self)

    @property
    def is_awaited(self) -> bool:
        """True while somebody waits for it, or for what it writes."""
        return self.is_watched or (self._log is not None and bool(self._log.listeners))

    @property
    def is_spent(self) -> bool:
        """True when it has finished and nothing is left to see but its return value."""
        ending = self._ending
        if ending is None or (ending.reason is not None and not ending.is_seen):
            return False

        # The return value is the last output record, if there is a log at all.
        values = int(ending.value is not None and self._runner.value_is_output)
        return self._log is None or not self._log.is_held_beside(Stream.OUTPUT, values)

    @property
    def unseen_reason(self) -> BaseException | None:
        """Why it failed, looked at without counting as seen: for our own views."""
        return None if self._ending is None else self._ending.reason

    @property
    def unseen_traceback(self) -> TracebackType | None:
        """The traceback of `unseen_reason`, as it was first raised."""
        return None if self._ending is None else self._ending.traceback

    def taken(self) -> None:
        """Note that records were taken."""
        if self._options.auto_remove and self._ending is not None:
            self._keeper.note_drained(self)

    def forget_input(self) -> None:
        """Let go of the input: it was closed."""
        self._options = self._options._replace(input=None)

    def take_up(self, run: Run) -> tuple[JobSpec, Context]:
        """Hand over what is needed to run the job, once, and forget it."""
        spec: JobSpec = self._what
        context = self._context
        assert context is not None
        self._what = spec.command or spec.fn
        self._context = None
        self.run = run
        return spec, context

    def move(self, state: JobState, reason: BaseException | None = None) -> None:
        """Go to *state*, if the table allows it, and tell the followers."""
        previous = self._state
        if state not in TRANSITIONS[previous]:
            refuse_move(previous, state, self._id)

        self._state = state
        log = self._log
        if log is not None:
            if log.is_followed:
                log.announce(StateChange(aware(time()), previous, state, reason))

            self.tell_readers()

    def tell_readers(self) -> None:
        """Wake whoever waits for a record of this job. On the loop only."""
        log = self._log
        if log is not None and log.listeners:
            for listener in tuple(log.listeners):
                listener()

    def finish(self, state: JobState, value: Any, reason: BaseException | None) -> None:
        """Come to the final *state*: last record first, then the state, then the waiters."""
        run = self.run
        if run is not None:
            run.is_over = True

        ending = Ending(None if run is None else run.begun, value)
        if reason is not None:
            ending.reason = reason
            ending.traceback = reason.__traceback__

        if value is not None and self._runner.value_is_output:
            if self._log is None:
                ending.is_value_unread = True
            else:
                self._log.append(Stream.OUTPUT, value, ending.end)

        what = self._what
        if type(what) is not FunctionType or what.__closure__ is not None:
            self._what = self.command  # A partial or a closure holds on to arguments.

        self._ending = ending
        self._context = None
        self.run = None
        self.is_finished = True
        self.move(state, reason)
        if self._watchers is not None:
            self._tell_watchers()

    def break_off(self, error: Exception) -> None:
        """End as failed by *error* whatever the table says: the last resort after a bug of ours."""
        self._ending = Ending(self.begin_seconds, None)
        self._ending.reason = error
        self._state = JobState.FAILED
        self.run = None
        self.is_finished = True
        self.tell_readers()
        self._tell_watchers()

    def tell_stuck(self) -> None:
        """Wake whoever must not wait for code that has outlasted its grace."""
        for watcher in self.watchers():
            watcher.stuck(self)


class _EndOrStuck:
    """Wakes for the end, and for a stop that was not obeyed in time."""

    __slots__ = ("_event",)

    def __init__(self, event: anyio.Event) -> None:
        self._event = event

    def finished(self, one: object) -> None:
        self._event.set()

    def stuck(self, one: object) -> None:
        self._event.set()
