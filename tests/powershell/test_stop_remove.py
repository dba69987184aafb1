"""Cases 101 to 121 of PowerShell's tests: stopping, removing, throttle, workers."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

import ajobs
from tests.conftest import footprint, left_since, live_threads
from tests.powershell.conftest import Gate, Place, first_record, running

Find = Callable[[ajobs.Session, ajobs.Job[Any]], ajobs.Job[Any]]


# Stop


async def test_101_stop_by_id(place: Place, gate: Gate) -> None:
    """101: a running job that is stopped by its id is Stopped, with no output and no error."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        await running(job)
        assert await jobs[job.id].stop()
        assert job.state == "Stopped"
        assert job.reason is None
        assert not job.had_errors
        assert job.receive_nowait("all") == []
        assert await job.receive("all", errors="ignore") == []


async def test_102_stop_by_each_name(find: Find, place: Place, gate: Gate) -> None:
    """102: stopped by any name it is Stopped, and has no more data once that was drained."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate, before=lambda: ajobs.write_output(1)))
        await running(job)
        await first_record(job)
        assert job.receive_nowait() == [1]
        await jobs.stop(find(jobs, job))
        assert job.state == "Stopped"
        assert not job.has_more_data


async def test_106_stop_in_a_hurry(place: Place, gate: Gate) -> None:
    """106: stopped through the object, and in a hurry, the job is Stopped on return."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        await running(job)
        # A thread has to look at its flag first, so no grace at all would be a race.
        assert await job.stop(grace=0 if place.kind == "task" else 1)
        assert job.state == "Stopped"


async def test_107_stop_in_the_background(place: Place, gate: Gate) -> None:
    """107: stopped without waiting for that, the job is Stopped once it was waited for."""
    async with ajobs.Session() as jobs, anyio.create_task_group() as tg:
        job = jobs.start(place.hold(gate))
        await running(job)
        tg.start_soon(job.stop)
        assert await job.wait()
        assert job.state == "Stopped"


# Remove


async def test_103_remove_without_force(place: Place, gate: Gate) -> None:
    """103: removing a running job without force is an error, and it is still listed."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        await running(job)
        with pytest.raises(ajobs.JobNotFinished, match=f"job {job.id} .*force=True"):
            await jobs.remove(job)

        assert list(jobs) == [job]
        assert job.state == "Running"
        gate.open()


async def test_105_remove_by_each_name(find: Find, place: Place) -> None:
    """105: a finished job that is removed by any name is not listed any more."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(lambda: 2))
        await job
        await jobs.remove(find(jobs, job))
        assert list(jobs) == []
        assert job not in jobs


async def test_113_remove_all_by_force(place: Place, gate: Gate) -> None:
    """113: forced removal of four, running and queued, leaves none."""
    async with ajobs.Session(throttle=2) as jobs:
        four = [jobs.start(place.hold(gate)) for _ in range(4)]
        await running(*four[:2])
        await jobs.remove(jobs, force=True)
        assert list(jobs) == []
        assert [job.state for job in four] == ["Stopped"] * 4
        assert [job.begin_time is None for job in four] == [False, False, True, True]


# Workers


def working_since(before: frozenset[str]) -> int:
    """Return how many threads work now that did not before."""
    return len(frozenset(live_threads()) - before)


async def test_114_threads_are_given_back() -> None:
    """114: when four short thread jobs have ended, no more threads are at work than before."""
    before = footprint()
    together = threading.Barrier(4, timeout=30)
    async with ajobs.Session() as jobs:
        await ajobs.wait_all([jobs.start(together.wait) for _ in range(4)])
        assert left_since(before) == []


async def test_115_removal_frees_threads(gate: Gate) -> None:
    """115: of four jobs, two at a time, each removal gives its thread to the next, or back."""
    place = Place("thread")
    before = frozenset(live_threads())
    everything = footprint()
    async with ajobs.Session(throttle=2) as jobs:
        hold = place.hold(gate, before=lambda: ajobs.write_verbose("in its thread"))
        first, second, third, fourth = [jobs.start(hold) for _ in range(4)]
        await first_record(first)
        await first_record(second)
        assert working_since(before) == 2
        await jobs.remove(first, third, force=True)
        await first_record(fourth)
        assert list(jobs) == [second, fourth]
        assert working_since(before) == 2
        assert third.begin_time is None
        await jobs.remove(second, fourth, force=True)
        assert list(jobs) == []
        assert left_since(everything) == []


async def test_121_output_is_not_mixed() -> None:
    """121: with four threads for many jobs at once, each job's output is its own."""

    def write(job: int) -> Iterator[tuple[int, int]]:
        for i in range(50):
            ajobs.write_output((job, i))
            yield job, i

    async with ajobs.Session() as jobs:
        runner = ajobs.ThreadRunner(max_threads=4)
        started = [jobs.start(write, n, runner=runner) for n in range(12)]
        for n, job in enumerate(started):
            assert await job.receive() == [(n, i) for i in range(50) for _ in range(2)]
