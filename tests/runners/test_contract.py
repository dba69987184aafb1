"""What every runner of functions promises, each promise once, over all of them.

A runner joins by one word in `RUNNERS`. What programs promise too is in test_promises.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import JobState, Stream
from tests.runners.contract_jobs import (
    Error,
    abroken,
    adouble,
    aevery_stream,
    agive_some,
    aleave,
    anone,
    aread_all,
    aread_two,
    auntil_stopped,
    awrite_much,
    broken,
    double,
    every_stream,
    give_some,
    leave,
    none,
    read_all,
    read_two,
    until_stopped,
    write_much,
)
from tests.support import let_time_run_out, reach, take

#: The names of all runners that keep the contract.
RUNNERS = (
    "task",
    "thread",
    "process",
    *(["interpreter"] if sys.version_info >= (3, 13) else []),
)

#: Those that run plain functions, and those that also take async ones.
PLAIN = tuple(name for name in RUNNERS if name != "task")

on_all = pytest.mark.parametrize("runner", RUNNERS)
on_plain = pytest.mark.parametrize("runner", PLAIN)


def case(plain: Callable[..., Any], other: Callable[..., Any]) -> pytest.MarkDecorator:
    """Parametrise over every runner with the forms of a function that it takes."""
    pairs = [(name, plain) for name in PLAIN] + [(name, other) for name in RUNNERS]
    names = [f"{name}-{fn.__name__}" for name, fn in pairs]
    return pytest.mark.parametrize(("runner", "fn"), pairs, ids=names)


# The value arrives


@case(double, adouble)
@pytest.mark.parametrize("value", [3, "x", [1], 2.5, b"bytes"])
async def test_value_arrives(runner: str, fn: Any, value: Any) -> None:
    """The value of the function is the result, and the last output."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, value, runner=runner)
        assert value * 2 == await job == job.result()
        assert [value * 2] == job.receive_nowait()
        assert JobState.COMPLETED == job.state
        assert runner == job.kind


@case(none, anone)
async def test_none_is_a_value_and_no_output(runner: str, fn: Any) -> None:
    """A function that returns None has None as its result and gives no output."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, runner=runner)
        assert None is await job
        assert [] == job.receive_nowait()


@on_all
async def test_many_values_arrive(runner: str) -> None:
    """Many jobs at once all give their own value."""
    async with ajobs.Session(throttle=8) as jobs:
        started = [jobs.start(adouble, n, runner=runner) for n in range(30)]
        assert [2 * n for n in range(30)] == [await job for job in started]


# The exception arrives


@case(broken, abroken)
async def test_exception_arrives(runner: str, fn: Any) -> None:
    """What the function raises is raised to who awaits it; its output is there."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, "bad", runner=runner)
        with pytest.raises(Error, match="bad"):
            await job

        assert isinstance(job.reason, Error)
        assert JobState.FAILED == job.state
        assert ["before"] == job.receive_nowait()


@case(leave, aleave)
async def test_exit_is_that_jobs_failure(runner: str, fn: Any) -> None:
    """A12: `sys.exit` fails the job; the place serves the next one."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, runner=runner)
        with pytest.raises(ajobs.JobAborted):
            await job

        assert 4 == await jobs.start(adouble, 2, runner=runner)


# Records arrive in order


@case(write_much, awrite_much)
@pytest.mark.parametrize("limit", [None, 7])
async def test_F12_records_arrive_in_order(runner: str, fn: Any, limit: int | None) -> None:
    """All records arrive in the order of writing, with and without a limit."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, 100, runner=runner, output_limit=limit)
        records = await take(job.receive(["output", "warning"]))

    assert [(n, s) for n in range(100) for s in (Stream.OUTPUT, Stream.WARNING)] == [
        (record.value, record.stream) for record in records
    ]
    assert sorted(record.seq for record in records) == [record.seq for record in records]


@case(give_some, agive_some)
@pytest.mark.parametrize("limit", [None, 3])
async def test_yields_are_output(runner: str, fn: Any, limit: int | None) -> None:
    """Each yield is one output record, in order."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, 50, runner=runner, output_limit=limit)
        assert list(range(50)) == await take(job.receive())


@case(every_stream, aevery_stream)
async def test_every_stream_arrives(runner: str, fn: Any) -> None:
    """Every stream works, and an error record does not fail the job."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, runner=runner)
        await job
        records = await job.receive("all")
        assert list(Stream) == [record.stream for record in records]
        assert [1, 2, 3, 4, 5, 6] == [record.value for record in records[:6]]
        assert 50 == records[6].value.percent
        assert (JobState.COMPLETED, True) == (job.state, job.had_errors)


# Input is read lazily


@case(read_all, aread_all)
async def test_input_arrives(runner: str, fn: Any) -> None:
    """A job reads its input to the end, in order."""
    async with ajobs.Session() as jobs:
        assert list(range(50)) == await jobs.start(fn, runner=runner, input=range(50))
        assert [0, 1] == await jobs.start(fn, runner=runner, input=agive_some(2))
        assert [] == await jobs.start(fn, runner=runner)


@case(read_two, aread_two)
async def test_input_is_read_lazily(runner: str, fn: Any) -> None:
    """An endless source is pulled as far as the job asks, and closed."""
    pulled: list[int] = []
    closed = []

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                pulled.append(number)
                yield number
                number += 1
        finally:
            closed.append(True)

    async with ajobs.Session() as jobs:
        assert [0, 1] == await jobs.start(fn, runner=runner, input=endless())

    assert 2 <= len(pulled) <= 4
    assert [True] == closed


@case(read_all, aread_all)
async def test_failing_source_is_raised_at_the_reader(runner: str, fn: Any) -> None:
    """What the source raises fails the job that reads it."""

    def source() -> Iterator[int]:
        yield 1
        raise Error("source")

    async with ajobs.Session() as jobs:
        with pytest.raises(Error, match="source"):
            await jobs.start(fn, runner=runner, input=source())


@case(read_all, aread_all)
async def test_waiting_for_input_is_blocked(runner: str, fn: Any) -> None:
    """A job that waits for input is Blocked, and can be stopped there."""
    send, receive = anyio.create_memory_object_stream[int]()
    with send:
        async with ajobs.Session() as jobs:
            job = jobs.start(fn, runner=runner, input=receive)
            await reach(job, "Blocked")
            assert await job.stop()
            assert JobState.STOPPED == job.state


# Stop ends it and cleanup runs


@case(until_stopped, auntil_stopped)
async def test_F8_stop_ends_it_and_cleanup_runs(runner: str, fn: Any) -> None:
    """A stop ends the code, its cleanup runs, and its output stays."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, runner=runner)
        assert "begun" == await job.receive().receive()
        assert await job.stop()
        assert JobState.STOPPED == job.state
        assert ["cleaned"] == job.receive_nowait()
        with pytest.raises(ajobs.JobStopped):
            await job


@case(until_stopped, auntil_stopped)
async def test_leaving_stops_it(runner: str, fn: Any) -> None:
    """Leaving the session by an exception stops the job, and its cleanup runs."""
    with pytest.raises(Error):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(fn, runner=runner)
            assert "begun" == await job.receive().receive()
            raise Error

    assert JobState.STOPPED == job.state
    assert ["cleaned"] == job.receive_nowait()


@case(until_stopped, auntil_stopped)
async def test_stopped_in_the_queue_it_never_runs(runner: str, fn: Any) -> None:
    """A15: a job that is stopped before its turn never runs."""
    async with ajobs.Session(throttle=1) as jobs:
        first = jobs.start(auntil_stopped)
        job = jobs.start(fn, runner=runner)
        assert await job.stop()
        await first.stop()

    assert (JobState.STOPPED, None, []) == (job.state, job.begin_time, job.receive_nowait())


# Time limits


@case(until_stopped, auntil_stopped)
async def test_time_limit_ends_it(runner: str, fn: Any) -> None:
    """Past its time limit the code is ended, its cleanup runs, and it is `JobTimeout`."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, runner=runner, timeout=60)
        assert "begun" == await job.receive().receive()
        let_time_run_out(job)
        with pytest.raises(ajobs.JobTimeout):
            await job

        assert JobState.FAILED == job.state
        assert ["cleaned"] == job.receive_nowait()


@case(double, adouble)
async def test_time_limit_of_a_quick_job(runner: str, fn: Any) -> None:
    """A job that ends in time has no trouble from its limit."""
    async with ajobs.Session() as jobs:
        assert 4 == await jobs.start(fn, 2, runner=runner, timeout=60)


# Its states and times


@case(double, adouble)
async def test_states_and_times(runner: str, fn: Any) -> None:
    """It goes from NotStarted over Running to Completed, with both times."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, 1, runner=runner)
        told = await take(job.follow(states=True))
        states = [one.state for one in told if isinstance(one, ajobs.StateChange)]
        assert ["Running", "Completed"] == states
        assert job.begin_time is not None
        assert job.end_time is not None
        assert job.begin_time <= job.end_time


# Nothing is left behind


@case(double, adouble)
async def test_nothing_is_left_behind(runner: str, fn: Any) -> None:
    """After the session no thread, process, task or descriptor is left; see conftest.py."""
    for _ in range(3):
        async with ajobs.Session() as jobs:
            started = [jobs.start(fn, n, runner=runner) for n in range(4)]
            await ajobs.wait_all(started)


@case(until_stopped, auntil_stopped)
async def test_nothing_is_left_behind_by_a_cancellation(runner: str, fn: Any) -> None:
    """Nor after a session that was cancelled from outside."""
    with anyio.CancelScope() as scope:
        async with ajobs.Session() as jobs:
            job = jobs.start(fn, runner=runner)
            assert "begun" == await job.receive().receive()
            scope.cancel()
            await checkpoint()

    assert JobState.STOPPED == job.state


@on_plain
async def test_lambda_or_closure_runs(runner: str) -> None:
    """Functions without a name of their own run too."""
    factor = 3
    async with ajobs.Session() as jobs:
        assert 6 == await jobs.start(lambda value: value * factor, 2, runner=runner)
