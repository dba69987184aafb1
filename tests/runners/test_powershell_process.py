"""PowerShell's cases about process jobs, by their numbers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import ajobs
from ajobs._errors import RunnerUnavailable
from ajobs.runners.process import ProcessRunner
from tests.runners import far
from tests.runners.helpers import first_output, gone_within


async def test_29_a_process_job_starts_in_the_callers_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the one that is current when `start` is called, also with a warm worker."""
    async with ajobs.Session() as jobs:
        assert await jobs.start(far.directory, runner="process") == str(Path.cwd())
        monkeypatch.chdir(tmp_path)
        assert await jobs.start(far.directory, runner="process") == str(tmp_path)


async def test_33_a_directory_with_spaces_in_its_name(tmp_path: Path) -> None:
    """It works."""
    odd = tmp_path / "with some spaces "
    odd.mkdir()
    async with ProcessRunner(1, cwd=odd) as runner, ajobs.Session() as jobs:
        assert await jobs.start(far.directory, runner=runner) == str(odd)


async def test_34_a_directory_with_quotes_in_its_name(tmp_path: Path) -> None:
    """It works."""
    odd = tmp_path / "with \"quotes\" 'of' both sorts"
    odd.mkdir()
    async with ProcessRunner(1, cwd=odd) as runner, ajobs.Session() as jobs:
        assert await jobs.start(far.directory, runner=runner) == str(odd)


def test_37_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    """An error at the call that brings it, of the sort that the system gives."""
    with pytest.raises(FileNotFoundError, match="cwd does not exist"):
        ProcessRunner(cwd=tmp_path / "none")


@pytest.mark.parametrize("cwd", ["", "   "])
def test_38_an_empty_or_blank_directory(cwd: str) -> None:
    """A wrong argument."""
    with pytest.raises(ValueError, match="cwd must be a directory"):
        ProcessRunner(cwd=cwd)


async def test_51_an_uncaught_error_crosses_the_border() -> None:
    """It is the reason, with its message; taking what is there does not raise it."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(far.fail, ValueError("no such customer"), runner="process")
        await job.wait()

        assert job.receive_nowait("error") == []
        assert isinstance(job.reason, ValueError)
        assert str(job.reason) == "no such customer"


def test_59_a_program_without_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call says so; there is no job, and nothing hangs."""
    monkeypatch.setattr(sys, "executable", "")

    with pytest.raises(RunnerUnavailable, match="need a Python to start"):
        ProcessRunner()


async def test_109_the_process_ends_after_completion() -> None:
    """With the session at the latest, which keeps it warm for the next job."""
    async with ajobs.Session() as jobs:
        pid = await jobs.start(far.pid, runner="process")

    assert gone_within(0, [pid]) == []


async def test_110_the_process_ends_after_a_stop() -> None:
    """At once."""
    async with ajobs.Session() as jobs:
        job = jobs.start(far.refuse_to_stop, runner="process")
        pid = await first_output(job)
        await job.stop(grace=0.05)

        assert gone_within(5, [pid]) == []


async def test_111_the_process_ends_after_a_forced_removal() -> None:
    """The job is stopped, and gone."""
    async with ajobs.Session(stop_grace=0.05) as jobs:
        job = jobs.start(far.refuse_to_stop, runner="process")
        pid = await first_output(job)
        await jobs.remove(job, force=True)

        assert job not in jobs
        assert gone_within(5, [pid]) == []


async def test_118_a_new_worker_for_each_job() -> None:
    """With one job per worker, ten jobs have ten, however few run at once."""
    async with ProcessRunner(2, max_jobs_per_worker=1) as runner, ajobs.Session() as jobs:
        started = [jobs.start(far.pid, runner=runner) for _ in range(10)]

        assert len({await job for job in started}) == 10


async def test_D49_a_used_worker_does_not_leak_state() -> None:  # its number
    """Directory, environment, context, and what else a job can spoil."""
    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        clean = await jobs.start(far.state, runner=runner)
        spoilt = jobs.start(far.spoil, runner=runner)
        await spoilt
        same = jobs.start(far.pid, runner=runner)

        assert await jobs.start(far.state, runner=runner) == clean
        assert await same != os.getpid()
        assert runner.workers == 1
