"""The table of states, every pair of it, and the judge of ended runs, every case of it."""

from __future__ import annotations

import asyncio
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

import ajobs
from ajobs import JobAborted, JobState, StopRequested
from ajobs._job import Job
from ajobs._state import FINISHED, TRANSITIONS, Demand, judge

Cancelled = asyncio.CancelledError

NEW, RUN, BLOCK = JobState.NOT_STARTED, JobState.RUNNING, JobState.BLOCKED
STOPPING, DONE, FAILED, STOPPED = (
    JobState.STOPPING,
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.STOPPED,
)

#: The contract, written down a second time: a move is legal if it stands here.
LEGAL = {
    (NEW, RUN),
    (NEW, STOPPING),
    (NEW, FAILED),
    (NEW, STOPPED),
    (RUN, BLOCK),
    (RUN, STOPPING),
    (RUN, DONE),
    (RUN, FAILED),
    (BLOCK, RUN),
    (BLOCK, STOPPING),
    (BLOCK, FAILED),
    (STOPPING, STOPPED),
    (STOPPING, FAILED),
}


def job_in(state: JobState) -> Job[Any]:
    """Make a job in *state* that nobody keeps."""
    keeper: Any = SimpleNamespace(loop=None)
    runner = SimpleNamespace(kind="task", location="localhost")
    spec = ajobs.JobSpec(print)
    job: Job[Any] = Job(keeper, runner, spec, cast("Any", None))
    job._state = state
    return job


@pytest.mark.parametrize(("old", "new"), list(product(JobState, JobState)))
def test_B6_table_has_exactly_the_legal_moves(old: JobState, new: JobState) -> None:
    """Of the 49 pairs of states the table knows the legal ones and no other."""
    assert ((old, new) in LEGAL) == (new in TRANSITIONS[old])


@pytest.mark.parametrize(("old", "new"), list(product(JobState, JobState)))
def test_B6_job_moves_by_the_table_only(old: JobState, new: JobState) -> None:
    """A job takes a legal move and refuses any other, and then stays where it was."""
    job = job_in(old)
    if (old, new) in LEGAL:
        job.move(new)
        assert new == job.state
    else:
        with pytest.raises(ajobs.InvalidTransition, match=f"{old} to {new}"):
            job.move(new)

        assert old == job.state


def test_final_states_are_the_three_without_a_way_out() -> None:
    """A state is finished if and only if no move leads out of it."""
    assert {DONE, FAILED, STOPPED} == FINISHED
    assert {state for state in JobState if not TRANSITIONS[state]} == FINISHED
    assert [state for state in JobState if state.finished] == [DONE, FAILED, STOPPED]


def test_every_state_can_be_reached_and_left() -> None:
    """From NotStarted every state can be reached, and from every state a final one."""
    reached = {NEW}
    for _ in JobState:
        reached |= {new for old in reached for new in TRANSITIONS[old]}

    assert set(JobState) == reached
    for state in JobState:
        assert state.finished or TRANSITIONS[state]


def test_states_are_powershells_words() -> None:
    """The words are PowerShell's, and a state is a string."""
    assert [
        "NotStarted",
        "Running",
        "Blocked",
        "Stopping",
        "Completed",
        "Failed",
        "Stopped",
    ] == list(JobState)


OWN = ValueError("own")

#: demand, what was raised -> state, reason
JUDGED: list[tuple[Demand | None, BaseException | None, JobState, BaseException | None]] = [
    (None, None, DONE, None),
    (None, OWN, FAILED, OWN),
    (Demand.STOP, None, STOPPED, None),
    (Demand.STOP, Cancelled(), STOPPED, None),
    (Demand.STOP, StopRequested(), STOPPED, None),
    (Demand.STOP, OWN, FAILED, OWN),
    (Demand.TIMEOUT, None, FAILED, None),
    (Demand.TIMEOUT, Cancelled(), FAILED, None),
    (Demand.TIMEOUT, StopRequested(), FAILED, None),
    (Demand.TIMEOUT, OWN, FAILED, OWN),
    (Demand.OVERFLOW, None, FAILED, None),
    (Demand.OVERFLOW, OWN, FAILED, OWN),
]


@pytest.mark.parametrize(("demand", "raised", "state", "reason"), JUDGED)
def test_judged(
    demand: Demand | None,
    raised: BaseException | None,
    state: JobState,
    reason: BaseException | None,
) -> None:
    """A11: the outcome follows from why the job was told to end and what its code raised."""
    assert (state, reason) == judge(demand, raised, Cancelled)


@pytest.mark.parametrize(
    "raised", [SystemExit(3), GeneratorExit(), Cancelled("native"), StopRequested("own")]
)
def test_base_exceptions_abort(raised: BaseException) -> None:
    """A12: without a stop, a base exception fails the job and stays the cause."""
    state, reason = judge(None, raised, Cancelled)

    assert state is FAILED
    assert isinstance(reason, JobAborted)
    assert raised is reason.__cause__
    assert type(raised).__name__ in str(reason)


def test_system_exit_of_a_stopped_job_aborts() -> None:
    """A12: what is no cancellation is not excused by a stop."""
    state, reason = judge(Demand.STOP, SystemExit(3), Cancelled)

    assert state is FAILED
    assert isinstance(reason, JobAborted)


def test_other_loops_cancellation_is_not_ours() -> None:
    """A11: only the cancellation of the session's own loop is excused by a stop."""

    class Strange(BaseException):
        """A cancellation of something else."""

    state, reason = judge(Demand.STOP, Strange(), trio.Cancelled)

    assert state is FAILED
    assert isinstance(reason, JobAborted)


def test_group_of_cancellations_only_is_a_stop() -> None:
    """A11: a stopped task group raises a group of cancellations, three deep: Stopped."""
    group = BaseExceptionGroup(
        "a", [BaseExceptionGroup("b", [BaseExceptionGroup("c", [Cancelled()])]), Cancelled()]
    )

    assert (STOPPED, None) == judge(Demand.STOP, group, Cancelled)


def test_mixed_group_keeps_only_the_errors() -> None:
    """A11: of errors and cancellations in one group, a stop leaves the errors, three deep."""
    group = BaseExceptionGroup(
        "a", [BaseExceptionGroup("b", [BaseExceptionGroup("c", [Cancelled(), OWN])]), Cancelled()]
    )

    state, reason = judge(Demand.STOP, group, Cancelled)

    assert state is FAILED
    assert isinstance(reason, ExceptionGroup)
    inner: Any = reason.exceptions[0]
    inner = inner.exceptions[0]
    assert (OWN,) == inner.exceptions


def test_mixed_group_without_a_stop_aborts() -> None:
    """A11: a cancellation that is not ours is never turned into success or a plain failure."""
    group = BaseExceptionGroup("a", [Cancelled(), OWN])

    state, reason = judge(None, group, Cancelled)

    assert state is FAILED
    assert isinstance(reason, JobAborted)
    assert group is reason.__cause__


def test_group_of_errors_is_the_reason_itself() -> None:
    """A11: a group of ordinary errors is the job's own exception."""
    group = ExceptionGroup("a", [OWN, KeyError()])

    assert (FAILED, group) == judge(None, group, Cancelled)
