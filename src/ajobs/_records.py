"""What a job may tell: records on seven streams, progress and changes of state.

Plain frozen data that everything else moves or reads. This file knows neither jobs nor
runners; it uses the standard library only, since far workers import it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ("Progress", "Record", "StateChange", "Stream")


class Stream(StrEnum):
    """The streams of a job, named and ordered as PowerShell numbers them."""

    OUTPUT = "output"
    ERROR = "error"
    WARNING = "warning"
    VERBOSE = "verbose"
    DEBUG = "debug"
    INFORMATION = "information"
    PROGRESS = "progress"


#: Never dropped, and what `output_limit` counts.
LOSSLESS = (Stream.OUTPUT, Stream.ERROR, Stream.WARNING)

#: Of each of the other streams the newest this many are kept.
KEPT = 1000

#: One record as the log holds it: order in the job, Unix time, stream, value. A `Record` is
#: built from it only when somebody looks: a frozen object per value costs more than the rest
#: of writing it.
Entry: TypeAlias = tuple[int, float, Stream, object]


def aware(seconds: float) -> datetime:
    """Return Unix time *seconds* as an aware datetime in UTC."""
    from datetime import UTC, datetime  # many never look at a time

    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a job wrote.

    Attributes:
        seq: Its place in the order of all records of the job, over all streams.
        time: When it was written (aware, UTC).
        stream: Where it was written.
        value: What was written: any object; a `Progress` on the progress stream.
    """

    seq: int
    time: datetime
    stream: Stream
    value: Any

    @classmethod
    def of(cls, entry: Entry) -> Record:
        """Build the record that *entry* stands for."""
        seq, seconds, stream, value = entry
        return cls(seq, aware(seconds), stream, value)


@dataclass(frozen=True, slots=True)
class StateChange:
    """A job has moved from one state to the next.

    Attributes:
        time: When it moved (aware, UTC).
        previous: The state that it left.
        state: The state that it is in now.
        reason: Why it failed; None in every other state.
    """

    time: datetime
    previous: str
    state: str
    reason: BaseException | None = None


class Progress(NamedTuple):
    """How far an activity of a job is: PowerShell's progress record.

    Attributes:
        activity: What is being done, the title of a bar.
        status: Where it is, in words.
        percent: 0 to 100; None when unknown. Derived from *completed* and *total* if absent.
        completed: Units done.
        total: Units in all.
        seconds_remaining: Estimated seconds to the end.
        id: Tells the activities of one job apart.
        parent_id: The activity that this one is a part of.
        operation: The step being done right now.
        done: True ends the activity.
    """

    activity: str
    status: str | None = None
    percent: float | None = None
    completed: float | None = None
    total: float | None = None
    seconds_remaining: float | None = None
    id: int = 0
    parent_id: int | None = None
    operation: str | None = None
    done: bool = False
