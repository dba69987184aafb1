"""Jobs on workers that are warm: on asyncio most of them never have a task of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import ajobs
from ajobs._errors import WorkerDied
from ajobs.runners.process import ProcessRunner
from tests.runners import far
from tests.runners.helpers import first_output, texts


@pytest.fixture
async def runner(anyio_backend: str) -> AsyncIterator[ProcessRunner]:
    """One worker that has run a job."""
    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        await jobs.start(far.pid, runner=runner)
        yield runner


@pytest.fixture
async def jobs(runner: ProcessRunner) -> AsyncIterator[ajobs.Session]:
    """A session whose failures stay in its table, inside the life of the runner."""
    async with ajobs.Session(failures="keep") as session:
        yield session


@asynccontextmanager
async def begun(pipe: Path) -> AsyncIterator[int]:
    """Wait until a job has begun that reads *pipe*; lend the end to write to."""
    while True:
        try:
            fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            await anyio.sleep(0.001)
        else:
            break

    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_job_without_a_task(
    jobs: ajobs.Session, runner: ProcessRunner, tmp_path: Path
) -> None:
    """While it runs there is none for it, and it shows as running."""
    before = len(asyncio.all_tasks())
    job = jobs.start(far.read_pipe, str(tmp_path / "pipe"), runner=runner)
    async with begun(tmp_path / "pipe") as pipe:
        assert len(asyncio.all_tasks()) == before
        assert job.state == "Running"
        os.write(pipe, b"went")
        assert await job == b"went"


async def test_records_and_prints(jobs: ajobs.Session, runner: ProcessRunner) -> None:
    """What comes before the outcome is passed on as it comes, in order."""
    job = jobs.start(far.count_then, 5000, "value", runner=runner)

    assert await job.receive() == [*range(5000), "value"]
    printing = jobs.start(print, "first", runner=runner)
    await printing
    assert texts(printing, "information") == ["first"]


async def test_stop(jobs: ajobs.Session, runner: ProcessRunner) -> None:
    """A stop reaches the code, which cleans up."""
    job = jobs.start(far.sleep_with_cleanup, runner=runner)
    await first_output(job)
    silent = jobs.start(far.wait_for_stop, runner=runner)
    assert await job.stop()
    assert job.state == "Stopped"
    await first_output(silent)
    await silent.stop()
    assert silent.state == "Stopped"


async def test_stop_before_a_word(jobs: ajobs.Session, runner: ProcessRunner) -> None:
    """A stop of a job that has said nothing yet ends it, and its worker."""
    pid = await jobs.start(far.pid, runner=runner)
    job = jobs.start(time.sleep, 60, runner=runner)
    await anyio.wait_all_tasks_blocked()
    assert job.state == "Running"
    await job.stop(grace=0)
    await job.wait()
    assert job.state == "Stopped"
    assert await jobs.start(far.pid, runner=runner) != pid


async def test_a_stop_at_once(jobs: ajobs.Session, runner: ProcessRunner) -> None:
    """A job that is stopped in the turn in which it was started never runs."""
    job = jobs.start(far.pid, runner=runner)
    assert job.state == "NotStarted"
    await job.stop()

    assert job.state == "Stopped"
    assert job.begin_time is None


async def test_death(jobs: ajobs.Session, runner: ProcessRunner, tmp_path: Path) -> None:
    """The worker's death is the job's failure alone."""
    pid = await jobs.start(far.pid, runner=runner)
    job = jobs.start(far.read_pipe, str(tmp_path / "pipe"), runner=runner)
    async with begun(tmp_path / "pipe"):
        os.kill(pid, signal.SIGKILL)
        await job.wait()

    assert isinstance(job.reason, WorkerDied)
    assert job.reason.returncode == -signal.SIGKILL
    assert await jobs.start(far.add, 1, 1, runner=runner) == 2


async def test_order_and_throttle(jobs: ajobs.Session, runner: ProcessRunner) -> None:
    """Jobs begin in the order in which they were started, mixed with jobs of other sorts."""
    order: list[str] = []

    async def note(name: str) -> None:
        order.append(name)

    jobs.throttle = 1
    given = [
        jobs.start(far.add, 1, 1, runner=runner),
        jobs.start(note, "first"),
        jobs.start(far.add, 1, 1, runner=runner, timeout=60),
        jobs.start(far.add, 1, 1, runner=runner),
        jobs.start(note, "second"),
    ]
    await ajobs.wait_all(given)
    begun = [job.begin_time for job in given]

    assert order == ["first", "second"]
    assert begun == sorted(begun, key=lambda time: (time is None, time))


async def test_a_run_that_has_a_task_keeps_it(jobs: ajobs.Session, runner: ProcessRunner) -> None:
    """What waited for something else before it took its worker waits on in the same task."""

    class Slow(ajobs.Runner):
        kind = "slow"
        needs_task = False

        async def run(self, spec: ajobs.JobSpec, emit: Any) -> Any:
            await anyio.sleep(0.001)
            return await runner.run(spec, emit)

        def check(self, spec: ajobs.JobSpec) -> ajobs.JobSpec:
            return runner.check(spec)

    jobs.start(anyio.lowlevel.checkpoint)  # has a task called, in which the next one begins too
    assert await jobs.start(far.add, 1, 2, runner=Slow()) == 3


async def test_a_runner_around_the_runner(
    jobs: ajobs.Session, runner: ProcessRunner, anyio_backend: str
) -> None:
    """A subclass may have a cancel scope around `run`."""

    class Patient(ProcessRunner):
        async def run(self, spec: ajobs.JobSpec, emit: Any) -> Any:
            with anyio.fail_after(60):
                return await super().run(spec, emit)

    async with Patient(1) as patient, ajobs.Session() as session:
        for number in range(3):
            assert await session.start(far.add, number, 1, runner=patient) == number + 1


async def test_another_worker_after_each_second_job(
    jobs: ajobs.Session, anyio_backend: str
) -> None:
    """A worker that is done is put away where there is no task."""
    async with ProcessRunner(1, max_jobs_per_worker=2) as runner:
        pids = [await jobs.start(far.pid, runner=runner) for _ in range(6)]

    assert len(set(pids)) == 3


async def test_the_runner_is_left_first(anyio_backend: str, tmp_path: Path) -> None:
    """A job whose runner is closed ends with it."""
    async with ajobs.Session(failures="keep") as jobs, ProcessRunner(1) as runner:
        await jobs.start(far.pid, runner=runner)
        job = jobs.start(far.read_pipe, str(tmp_path / "pipe"), runner=runner)
        async with begun(tmp_path / "pipe"):
            await runner.__aexit__(None, None, None)
            await job.wait()

        assert isinstance(job.reason, WorkerDied)
        await runner.__aenter__()


def test_without_anyio_run() -> None:
    """In a program of bare asyncio nothing asks anyio where it is, outside of tasks."""
    code = """
import asyncio, os, ajobs

async def main():
    async with ajobs.Session() as jobs:
        for number in range(3):
            assert await jobs.start(os.getpid, runner="process") != os.getpid()
        async with ajobs.ProcessRunner(1, max_jobs_per_worker=2) as runner:
            job = jobs.start(os.abort, runner=runner)
            await job.wait()
            assert job.reason is not None
            for number in range(5):
                assert await jobs.start(os.getpid, runner=runner) != os.getpid()

asyncio.run(main())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
