"""What is known of one job: what it is, where it stands, what it wrote and how it ended.

Folded from what is told of it, and looked at at any time, in any thread. Nothing here waits,
and nothing knows who keeps the job or what becomes of it in a session.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextvars import Context
from time import time
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ._blocking import Wait, Waitable
from ._checks import command_of
from ._log import Log
from ._records import Progress, StateChange, Stream, aware
from ._spec import JobOptions, JobSpec
from ._state import TRANSITIONS, JobState, refuse_move

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

NOT_STARTED = JobState.NOT_STARTED

#: Ids rise over the process, so that a number in a log means one job.
_ids = itertools.count(1)


class Run(Protocol):
    """What a job knows of its code while that runs."""

    begun: float | None
    is_stuck: bool
    is_over: bool

    @property
    def waits(self) -> Sequence[Wait]:
        """What the code waits for, without a time limit."""


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


class Fold(Waitable):
    """A job as data: the attributes to look at, and the moves by which it comes to them."""

    __slots__ = (
        "_context",
        "_ending",
        "_id",
        "_instance_id",
        "_log",
        "_name",
        "_options",
        "_runner",
        "_state",
        "_what",
        "queued_seconds",
        "run",
    )

    def __init__(self, runner: Any, spec: JobSpec, context: Context) -> None:
        """Begin with a job that is not started."""
        self._watchers = None
        self.is_finished = False
        self._id = next(_ids)
        self._runner = runner
        #: The spec until the job begins, then its function, then the text of its command: a
        #: finished handle must not hold on to arguments.
        self._what: Any = spec
        self._options = options = spec.options
        self._name = options.name
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

    # Where it stands

    @property
    def state(self) -> JobState:
        """Where it is in its life. Completed, Failed and Stopped are final."""
        return self._state

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

    # Looked at from inside

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

    # What becomes of it

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
