"""Workers are killed at every point of a job's life, and in storms; every job is accounted for."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import JobState
from ajobs._errors import WorkerDied
from ajobs._process import WorkerProcess
from ajobs.runners.process import ProcessRunner
from tests.runners import far
from tests.runners.helpers import first_output
from tests.runners.killed import POINTS

pytestmark = pytest.mark.kill

WORKERS = 4

#: The kills of the normal run, on each event loop, and of the long one.
FEW, MANY = 100, 2000

#: Short jobs for each kill.
SHORT = 5

FINAL = (JobState.COMPLETED, JobState.FAILED, JobState.STOPPED)

#: What a job comes to that is killed at a point where nobody needs its worker any more.
TOLD = {"after its result": "Completed: 'done'", "in its cleanup": "Failed: JobTimeout"}


def start_at(jobs: ajobs.Session, runner: ProcessRunner, point: str) -> ajobs.Job[Any]:
    """Start the job that is killed at *point*."""
    fn, args, options = POINTS[point]
    return jobs.start(fn, *args, runner=runner, name=point, **options)


def outcome(job: ajobs.Job[Any]) -> str:
    """Say how *job* ended."""
    told = repr(job.result()) if job.state == "Completed" else type(job.reason).__name__
    return f"{job.state}: {told}"


def worker_blamed(job: ajobs.Job[Any]) -> int:
    """Return the process id that the reason of a failed *job* names."""
    assert isinstance(job.reason, WorkerDied), job.reason
    found = re.match(
        r"worker process (\d+) (died|could not start): killed by SIGKILL", str(job.reason)
    )
    assert found, job.reason
    return int(found[1])


async def test_B2_D1_D2_killed_at_each_point(anyio_backend: str) -> None:
    """That job alone fails, at once, and every one of its waiters wakes."""
    woken: list[str] = []

    async def wait(job: ajobs.Job[Any]) -> None:
        await job.wait()
        woken.append(job.name)

    async with ProcessRunner(WORKERS) as runner, ajobs.Session(failures="keep") as jobs:
        neighbour = jobs.start(far.wait_for_stop, runner=runner)
        await first_output(neighbour)
        killed = {point: start_at(jobs, runner, point) for point in POINTS}
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for job in list(killed.values()) * 2:
                    tasks.start_soon(wait, job)

        assert {point: TOLD.get(point, "Failed: WorkerDied") for point in POINTS} == {
            point: outcome(job) for point, job in killed.items()
        }
        assert Counter(dict.fromkeys(POINTS, 2)) == Counter(woken)
        assert neighbour.state == "Running"
        assert await jobs.start(far.add, 1, 1, runner=runner) == 2
        await neighbour.stop()


def workers_of(runner: ProcessRunner) -> list[WorkerProcess]:
    """Return the workers that *runner* has now, and that live."""
    assert runner._pool is not None
    places = [place for place in runner._pool._places if isinstance(place, WorkerProcess)]
    return [place for place in places if not place.child.has_ended]


class Storm:
    """Short jobs on a few workers, which are killed at points of other jobs and at random."""

    def __init__(self, runner: ProcessRunner, jobs: ajobs.Session, seed: int) -> None:
        self.chance = random.Random(seed)
        self.runner = runner
        self.jobs = jobs
        self.sizes: list[int] = []
        self.short: list[ajobs.Job[int]] = []
        self.pointed: list[ajobs.Job[Any]] = []
        self.killed_at_random: list[int] = []
        self.finals = Counter[int]()

    async def note_final_states(self) -> None:
        """Count the final states that each job comes to."""
        async for job, record in self.jobs.follow():
            if isinstance(record, ajobs.StateChange) and record.state in FINAL:
                self.finals[job.id] += 1

    async def run(self, kills: int) -> None:
        """Kill workers so many times, half of them at points."""
        points = list(POINTS)
        for at in range(0, kills // 2, 2):
            with anyio.fail_after(30):
                await self.batch([points[at % len(points)], points[(at + 1) % len(points)]])

    async def batch(self, points: list[str]) -> None:
        """Kill at two *points*, and twice at random, in the middle of short jobs."""
        todo = [*points, *[""] * (4 * SHORT)]
        self.chance.shuffle(todo)
        async with anyio.create_task_group() as tasks:
            for point in todo:
                job = self.start_at(point) if point else self.start_short()
                tasks.start_soon(job.wait)

            for _ in points:
                await self.kill_one()

    def start_at(self, point: str) -> ajobs.Job[Any]:
        """Start a job that is killed."""
        self.pointed.append(start_at(self.jobs, self.runner, point))
        return self.pointed[-1]

    def start_short(self) -> ajobs.Job[int]:
        """Start one that is not, unless by chance."""
        self.sizes.append(self.chance.choice([0, 0, 1, 50]))
        self.short.append(self.jobs.start(far.write_some, self.sizes[-1], runner=self.runner))
        return self.short[-1]

    async def kill_one(self) -> None:
        """Kill a worker, busy or idle, at a random moment."""
        victims: list[WorkerProcess] = []
        while not victims:
            await anyio.sleep(self.chance.random() * 0.005)
            victims = workers_of(self.runner)

        child = self.chance.choice(victims).child
        child.kill()
        self.killed_at_random.append(child.pid)

    def check(self) -> None:
        """See that each job is accounted for: how it ended, and which kill it is to blame on."""
        every = [*self.short, *self.pointed]
        assert Counter(job.id for job in every) == self.finals
        blamed = []
        for job, size in zip(self.short, self.sizes, strict=True):
            if job.state == "Completed":
                assert [*range(size), size] == job.receive_nowait()
            else:
                blamed.append(worker_blamed(job))

        assert set(blamed) <= set(self.killed_at_random)
        for job in self.pointed:
            if outcome(job) != TOLD.get(job.name):
                assert "Failed: WorkerDied" == outcome(job)
                blamed.append(worker_blamed(job))

        # A process id may come back in a long run, but not twice in a row.
        assert len(blamed) - len(set(blamed)) <= len(every) // 30_000


async def storm(kills: int, seed: int) -> None:
    """Let a storm pass over a pool, and see that both the jobs and the pool are well."""
    async with (
        anyio.create_task_group() as tasks,
        ProcessRunner(WORKERS) as runner,
        ajobs.Session(failures="keep") as jobs,
    ):
        one = Storm(runner, jobs, seed)
        tasks.start_soon(one.note_final_states)
        await one.run(kills)
        with anyio.fail_after(1):
            after = [jobs.start(far.wait_for_stop, runner=runner) for _ in range(WORKERS)]
            for job in after:
                await first_output(job)

        assert WORKERS == runner.workers == len(workers_of(runner))
        await jobs.stop(after)
        await jobs.remove(after)

    for job in after:
        del one.finals[job.id]

    one.check()
    assert kills == len(one.pointed) + len(one.killed_at_random)
    assert kills * SHORT == len(one.short)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_D1_every_job_is_accounted_for(anyio_backend: str) -> None:
    """In 100 kills among 500 short jobs, only the jobs on killed workers fail."""
    await storm(FEW, seed=20)


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_D1_every_job_is_accounted_for_in_the_long_run(anyio_backend: str) -> None:
    """The same with 2,000 kills among 10,000 short jobs."""
    await storm(MANY, seed=4)
