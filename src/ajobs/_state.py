"""The states of a job, the moves between them, and how an ended run is judged.

Everything that decides what may follow what stands in this file, as data or as a pure
function; it knows no jobs, no clocks and no event loop.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final, NoReturn

from ._errors import InvalidTransition, JobAborted, StopRequested
from ._text import line_of

__all__ = ("JobState",)


class JobState(StrEnum):
    """Where a job is in its life, in PowerShell's words."""

    NOT_STARTED = "NotStarted"
    """Accepted; it waits for its turn, or for a place in its runner."""
    RUNNING = "Running"
    """Its code runs."""
    BLOCKED = "Blocked"
    """Its code waits for a job, for input, or for room in its output."""
    STOPPING = "Stopping"
    """It was asked to stop, or its time is over, and its code may still run."""
    COMPLETED = "Completed"
    """Its code returned. Final."""
    FAILED = "Failed"
    """Its code did not come to a good end: `Job.reason` says why. Final."""
    STOPPED = "Stopped"
    """It was stopped, and none of its code runs any more. Final."""

    @property
    def finished(self) -> bool:
        """True for the three final states."""
        return self in FINISHED


_S = JobState

FINISHED: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.STOPPED})

#: Every legal move. A job that is not started can fail (its place could not be made) or be
#: stopped without ever running; one that was asked to stop can no longer complete.
TRANSITIONS: Final = {
    _S.NOT_STARTED: frozenset({_S.RUNNING, _S.STOPPING, _S.FAILED, _S.STOPPED}),
    _S.RUNNING: frozenset({_S.BLOCKED, _S.STOPPING, _S.COMPLETED, _S.FAILED}),
    _S.BLOCKED: frozenset({_S.RUNNING, _S.STOPPING, _S.FAILED}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.FAILED}),
    _S.COMPLETED: frozenset[JobState](),
    _S.FAILED: frozenset[JobState](),
    _S.STOPPED: frozenset[JobState](),
}


def refuse_move(old: JobState, new: JobState, job_id: int) -> NoReturn:
    """Raise for a move that is not in the table."""
    raise InvalidTransition(
        f"job {job_id} cannot go from {old} to {new}; please report this as a bug in ajobs"
    )


class Demand(Enum):
    """Why a job was told to end; the first demand is the one that counts."""

    STOP = "stop"
    TIMEOUT = "timeout"
    OVERFLOW = "overflow"


def judge(
    demand: Demand | None,
    raised: BaseException | None,
    cancelled: type[BaseException],
) -> tuple[JobState, BaseException | None]:
    """Say how a run ended: the final state, and the reason if it failed.

    Args:
        demand: Why the job was told to end, if it was. `TIMEOUT` and `OVERFLOW` fail the
            job whatever its code did afterwards; their reason is the caller's to make, so
            none is returned unless an error of the job's own should go along.
        raised: What the job's code raised, if it did.
        cancelled: The event loop's cancellation exception.
    """
    own = _without(raised, (cancelled, StopRequested)) if demand else raised
    if demand in (Demand.TIMEOUT, Demand.OVERFLOW):
        return JobState.FAILED, own

    if own is None:
        return (JobState.STOPPED if demand else JobState.COMPLETED), None

    if isinstance(own, Exception):
        return JobState.FAILED, own

    # A base exception must not be raised at whoever waits for the job: there it would be
    # taken for that task's own cancellation or exit.
    aborted = JobAborted(f"the job's code was ended by {line_of(own)}")
    aborted.__cause__ = own
    return JobState.FAILED, aborted


def in_iteration(failure: BaseException, *ends: type[BaseException]) -> BaseException:
    """Return what to raise for *failure* out of an iteration that *ends* end.

    One of these would be taken for the end of what there is, and nobody would know that
    anything failed. Python does the same with a generator that raises `StopIteration`.
    """
    if not isinstance(failure, ends):
        return failure

    error = RuntimeError(f"the code raised {line_of(failure)}, which is not the end of its output")
    error.__cause__ = failure
    for note in getattr(failure, "__notes__", ()):
        error.add_note(note)

    return error


def _without(
    raised: BaseException | None, kinds: tuple[type[BaseException], ...]
) -> BaseException | None:
    """Return *raised* without the exceptions of *kinds*, inside groups too."""
    if isinstance(raised, BaseExceptionGroup):
        return raised.split(kinds)[1]

    return None if isinstance(raised, kinds) else raised
