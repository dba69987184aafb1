"""Cases 89 to 98 of PowerShell's tests: waiting, listing and filters."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import ajobs
from tests.powershell.conftest import Gate, Place, running


def two() -> int:
    """Return what the case does."""
    return 1 + 1


# Wait


async def test_89_wait_returns_the_job(place: Place) -> None:
    """89: waiting for a job gives that same object, Completed."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        (done,) = (await ajobs.wait_all(job)).done
        assert done is job
        assert done.state == "Completed"


async def test_90_wait_by_each_name(
    find: Callable[[ajobs.Session, ajobs.Job[Any]], ajobs.Job[Any]], place: Place
) -> None:
    """90: a finished job that was found in any way is waited for at once, with data left."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        await job.wait()
        assert await find(jobs, job).wait(timeout=0)
        assert (await ajobs.wait_all(find(jobs, job), timeout=0)).done == [job]
        assert job.has_more_data


async def test_91_wait_with_a_timeout(place: Place, gate: Gate) -> None:
    """91: a timeout shorter than the job gives nothing and raises nothing."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        await running(job)
        assert not await job.wait(timeout=0.01)
        assert (await ajobs.wait_all(job, timeout=0.01)).done == []
        assert job.state == "Running"
        gate.open()


async def test_93_wait_any(place: Place, gate: Gate) -> None:
    """93: of three jobs, one that has Completed is returned, and its result received."""
    async with ajobs.Session() as jobs:
        three = [
            jobs.start(place.hold(gate)),
            jobs.start(place.fn(two)),
            jobs.start(place.hold(gate)),
        ]
        (done,) = (await ajobs.wait_any(three)).done
        assert done is three[1]
        assert done.state == "Completed"
        assert await done.receive() == [2]
        assert not any(job.had_errors for job in three)
        gate.open()


async def test_94_chained(place: Place) -> None:
    """94: wait then receive may be chained, and so may start, wait and receive."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        assert [await one.receive() for one in (await ajobs.wait_all(job)).done] == [[2]]
        assert await jobs.start(place.fn(two)).receive() == [2]
        assert await jobs.start(place.fn(two)) == 2


async def test_95_wait_for_four(place: Place) -> None:
    """95: waiting for four jobs at once returns when all have finished."""
    async with ajobs.Session() as jobs:
        four = [jobs.start(place.fn(two)) for _ in range(4)]
        result = await ajobs.wait_all(four)
        assert result.done == four
        assert result.pending == []
        assert [job.state for job in four] == ["Completed"] * 4


# List and filter


async def test_97_get_by_each_name(
    find: Callable[[ajobs.Session, ajobs.Job[Any]], ajobs.Job[Any]], place: Place
) -> None:
    """97: each way to name it gives the finished job, with data left."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two), name="the one")
        await job.wait()
        assert find(jobs, job) is job
        assert find(jobs, job).has_more_data


async def test_98_filters(place: Place, gate: Gate) -> None:
    """98: before a time after its end, after one before its start, and more data, each give it."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two), name="the one")
        jobs.start(place.hold(gate), name="no end yet")
        await job.wait()
        assert job.begin_time is not None
        assert job.end_time is not None
        moment = timedelta(microseconds=1)
        late, early = job.end_time + moment, job.begin_time - moment
        assert jobs.get(before=late) == [job]
        assert jobs.get(before=job.end_time) == []
        assert jobs.get(after=early) == [job]
        assert jobs.get(after=job.end_time) == []
        assert jobs.get(has_more_data=True) == [job]
        assert jobs.get(name="the one", before=late, after=early, has_more_data=True) == [job]
        assert jobs.get(name="no*", before=late) == []
        gate.open()
