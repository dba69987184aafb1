"""What every kind of job promises, one test for each promise, over functions and programs.

What the kinds that run functions promise beyond that is in test_contract.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import JobState
from tests.runners.helpers import first_output
from tests.runners.kinds import KINDS, Kind
from tests.support import let_time_run_out, take

pytestmark = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


async def test_the_value_arrives(kind: Kind) -> None:
    """It is what awaiting the job gives, and the job has completed."""
    async with ajobs.Session() as jobs:
        job = kind.start(jobs, "double", 2)

        assert 4 == await job == job.result()
        assert (JobState.COMPLETED, kind.name) == (job.state, job.kind)


async def test_the_exception_arrives(kind: Kind) -> None:
    """Who awaits the job gets it; what the job wrote before is there."""
    async with ajobs.Session() as jobs:
        job = kind.start(jobs, "broken", "the reason")
        with pytest.raises(kind.failure, match="the reason"):
            await job

        assert isinstance(job.reason, kind.failure)
        assert JobState.FAILED == job.state
        assert ["before"] == job.receive_nowait()


@pytest.mark.parametrize("limit", [None, 7])
async def test_records_arrive_in_order(kind: Kind, limit: int | None) -> None:
    """All of them, with and without a limit of unread ones."""
    async with ajobs.Session() as jobs:
        job = kind.start(jobs, "write_much", 100, output_limit=limit)
        records = await take(job.receive("all"))

    output = [record for record in records if record.stream == "output"]
    others = [record for record in records if record.stream != "output"]
    assert [str(n) for n in range(100)] == [str(record.value) for record in output]
    assert [str(n) for n in range(100)] == [str(record.value) for record in others]
    assert sorted(record.seq for record in records) == [record.seq for record in records]


async def test_input_is_read_lazily(kind: Kind) -> None:
    """An endless source is pulled as far as the job reads, and closed when it ends."""
    pulled: list[int] = []
    closed = []

    def endless() -> Iterator[str]:
        try:
            while True:
                pulled.append(len(pulled))
                yield f"{pulled[-1]}".ljust(100_000, ".")
        finally:
            closed.append(True)

    async with ajobs.Session() as jobs:
        job = kind.start(jobs, "echo_two", input=endless())
        await job
        assert ["0", "1"] == [item.rstrip(".") for item in job.receive_nowait()]

    assert 2 <= len(pulled) <= 2 + kind.ahead
    assert [True] == closed


async def test_stop_ends_it_and_cleanup_runs(kind: Kind) -> None:
    """The job is stopped, and what its cleanup wrote is there."""
    async with ajobs.Session() as jobs:
        job = kind.start(jobs, "until_stopped")
        assert "begun" == await first_output(job)
        with anyio.fail_after(20):
            assert await job.stop()

        assert JobState.STOPPED == job.state
        assert ["cleaned"] == job.receive_nowait()
        with pytest.raises(ajobs.JobStopped):
            await job


async def test_a_time_limit_ends_it(kind: Kind) -> None:
    """The job fails by it, whatever it says at its end, and its cleanup runs."""
    async with ajobs.Session() as jobs:
        job = kind.start(jobs, "until_stopped", timeout=60)
        assert "begun" == await first_output(job)
        let_time_run_out(job)
        with pytest.raises(ajobs.JobTimeout), anyio.fail_after(20):
            await job

        assert JobState.FAILED == job.state
        assert ["cleaned"] == job.receive_nowait()


@pytest.mark.kill
async def test_death_of_its_place_fails_that_job_alone(kind: Kind) -> None:
    """A neighbour runs on, and the next job finds everything as it was."""
    async with ajobs.Session() as jobs:
        neighbour = kind.start(jobs, "until_stopped")
        await first_output(neighbour)
        job = kind.start(jobs, "die")
        with pytest.raises(kind.death), anyio.fail_after(20):
            await job

        assert JobState.FAILED == job.state
        assert JobState.RUNNING == neighbour.state
        assert 6 == await kind.start(jobs, "double", 3)
        await neighbour.stop()


async def test_nothing_is_left_behind(kind: Kind) -> None:
    """No thread, process, task or descriptor, also when jobs run at the end; see conftest.py."""
    with anyio.CancelScope() as scope:
        async with ajobs.Session() as jobs:
            await ajobs.wait_all(kind.start(jobs, "double", n) for n in range(4))
            job = kind.start(jobs, "until_stopped")
            await first_output(job)
            scope.cancel()
            await checkpoint()

    assert JobState.STOPPED == job.state
