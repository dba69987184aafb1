"""The job: a handle on one run, by which it is read, waited for and stopped.

What is known of it is its `Fold`. A job does not know sessions or runners; what it needs of
the one who keeps it is the `Keeper` below.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from contextvars import Context
from functools import partial
from typing import Any, Generic, Literal, TypeVar, overload

import anyio

from ._apart import run_apart
from ._blocking import blocked, check_loop, current_subject
from ._checks import count, one_of, seconds
from ._errors import JobNotFinished, JobStopped, JobStuck
from ._fold import Fold
from ._log import streams_of
from ._loop import Loop
from ._reading import Follower, KeepingReceipt, Readable, Receipt
from ._records import Record, StateChange, Stream
from ._saving import save
from ._spec import JobSpec
from ._state import JobState
from ._text import line_of
from ._waiting import wait_until

__all__ = ("Job",)

T_co = TypeVar("T_co", covariant=True)

StreamsAsked = Stream | str | Iterable[Stream | str]


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


class Job(Fold, Readable, Generic[T_co]):
    """One piece of work: started, listed, waited for, received from, stopped and removed.

    Jobs are made by `Session.start`. All attributes can be read at any time, also when no
    event loop runs. ``await job`` waits and returns the value of the job's function, or
    raises what it raised.
    """

    __slots__ = ("_keeper",)

    def __init__(self, keeper: Keeper, runner: Any, spec: JobSpec, context: Context) -> None:
        """Make a job that is not started; only sessions do that."""
        Fold.__init__(self, runner, spec, context)
        self._keeper = keeper

    @property
    def children(self) -> tuple[Job[Any], ...]:
        """The jobs that are parts of this one; empty for all but groups."""
        return ()

    @property
    def reason(self) -> BaseException | None:
        """Why it failed; None in every other state. Reading it counts as having seen it."""
        ending = self._ending
        if ending is None or ending.reason is None:
            return None

        self._see()
        return ending.reason

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
        await self.stopped(limited=False)
        if not self.is_finished:
            raise JobStuck(
                f"{self.label()} was told to end and its code still runs after its grace; "
                f"let it call ajobs.check_stop(), or run it in a process"
            )

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

    async def stopped(self, limited: bool = True) -> None:
        """Wait until the job has finished, or its code has outlasted the grace of a stop.

        Args:
            limited: The wait is sure to end, since the job was told to.
        """
        while not self.is_finished and not (self.run is not None and self.run.is_stuck):
            event = anyio.Event()
            watcher = _EndOrStuck(event)
            with blocked((self,), limited=limited):
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

    def taken(self) -> None:
        """Note that records were taken."""
        if self._options.auto_remove and self._ending is not None:
            self._keeper.note_drained(self)


class _EndOrStuck:
    """Wakes for the end, and for a stop that was not obeyed in time."""

    __slots__ = ("_event",)

    def __init__(self, event: anyio.Event) -> None:
        self._event = event

    def finished(self, one: object) -> None:
        self._event.set()

    def stuck(self, one: object) -> None:
        self._event.set()
