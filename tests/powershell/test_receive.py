"""Cases 75 to 85 of PowerShell's tests: receiving."""

from collections.abc import Iterator

import anyio
import pytest

import ajobs
from tests.powershell.conftest import Gate, Place, running


def two() -> int:
    """Return what the case does."""
    return 1 + 1


def counting() -> Iterator[int]:
    """Write 1 to 5."""
    yield from range(1, 6)


async def test_75_receive_a_finished_job(place: Place) -> None:
    """75: receiving a finished job gives its output."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(counting))
        await job.wait()
        assert await job.receive() == [1, 2, 3, 4, 5]


async def test_77_peek_then_take(place: Place) -> None:
    """77: what is taken after a peek begins with what was peeked, and goes on from there."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(counting))
        await job.wait()
        assert job.receive_nowait(keep=True, limit=2) == [1, 2]
        assert job.receive_nowait(limit=2) == [1, 2]
        assert await job.receive() == [3, 4, 5]


async def test_78_peek_take_nothing(place: Place) -> None:
    """78: a peek gives the result, a receive gives it, and another one gives nothing."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        assert await job.receive(keep=True) == [2]
        assert await job.receive() == [2]
        assert await job.receive() == []


async def test_79_receive_waits(place: Place, gate: Gate) -> None:
    """79: receiving a running job waits for its end and gives everything."""
    got: list[object] = []

    async def receive() -> None:
        got.extend(await job.receive())

    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate, before=lambda: ajobs.write_output("first")))
        async with anyio.create_task_group() as tg:
            tg.start_soon(receive)
            await running(job)
            await anyio.wait_all_tasks_blocked()
            assert got == []
            gate.open()

        assert got == ["first", "done"]
        assert job.state == "Completed"
        assert not job.has_more_data


async def test_81_location(place: Place) -> None:
    """81: jobs at the location "localhost" are found by it, and give their data."""
    async with ajobs.Session() as jobs:
        jobs.start(place.fn(two))
        (found,) = [one for one in jobs if one.location == "localhost"]
        assert await found.receive() == [2]


async def test_82_with_events(place: Place) -> None:
    """82: followed with its changes of state, a job tells the result first, then its end."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        told = [one async for one in job.follow(states=True)]

    begin, result, end = told
    assert isinstance(begin, ajobs.StateChange)
    assert (begin.previous, begin.state) == ("NotStarted", "Running")
    assert isinstance(result, ajobs.Record)
    assert result.value == 2
    assert isinstance(end, ajobs.StateChange)
    assert (end.previous, end.state) == ("Running", "Completed")


async def test_83_the_job_then_its_result(place: Place) -> None:
    """83: the job comes first, Completed by then, its result after it; no more data then."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        async for one in ajobs.as_completed(jobs):
            assert one is job
            assert one.state == "Completed"
            assert await one.receive() == [2]
            assert not one.has_more_data


async def test_85_auto_remove(place: Place) -> None:
    """85: with auto-remove, nothing is left of four jobs that were received."""
    async with ajobs.Session() as jobs:
        four = [jobs.start(place.fn(two), auto_remove=True) for _ in range(4)]
        assert len(jobs) == 4
        assert [await job.receive() for job in four] == [[2]] * 4
        assert list(jobs) == []


async def test_85_auto_remove_of_a_failed_job(place: Place) -> None:
    """85: a failed job stays until its failure was seen; one without output goes at its end."""

    def fail() -> None:
        raise ValueError("x")

    async with ajobs.Session() as jobs:
        silent = jobs.start(place.fn(lambda: None), auto_remove=True)
        failed = jobs.start(place.fn(fail), auto_remove=True)
        await ajobs.wait_all(silent, failed)
        assert list(jobs) == [failed]
        with pytest.raises(ValueError, match="x"):
            await failed.receive()

        assert list(jobs) == []
