"""Cases 47 to 74 of PowerShell's tests: states, results, errors and the streams."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import ajobs
from tests.powershell.conftest import Gate, Place, first_record, running

# States, results, errors


async def test_47_start_wait_receive(place: Place) -> None:
    """47: start, wait, receive gives the result; then Completed and no more data."""

    def two() -> int:
        return 1 + 1

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        assert await job.wait()
        assert await job.receive() == [2]
        assert job.state == "Completed"
        assert not job.has_more_data
        assert job.command.endswith(".two")


async def test_49_job_in_a_job() -> None:
    """49: a job that is started inside a job gives its result to the outer one."""

    async def outer() -> int:
        return await ajobs.current_session().start(lambda: 1 + 1)

    async with ajobs.Session() as jobs:
        job = jobs.start(outer)
        assert await job.receive() == [2]
        inner = jobs.get()[1]
        assert inner.state == "Completed"
        assert job.children == ()


async def test_50_native_program(place: Place) -> None:
    """50: a job runs a program: Completed, more data before the receive, and its result."""
    argv = [sys.executable, "-S", "-c", "print(1 + 1)"]

    async def in_task() -> str:
        return (await anyio.run_process(argv)).stdout.decode().strip()

    def in_thread() -> str:
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    async with ajobs.Session() as jobs:
        job = jobs.start(in_task) if place.kind == "task" else jobs.start(in_thread)
        await job.wait()
        assert job.state == "Completed"
        assert job.has_more_data
        assert await job.receive() == ["2"]


async def test_53_one_error_with_that_text(place: Place) -> None:
    """53: the error of a failed job comes once, as itself, when the job is received."""
    error = ValueError("the text")

    def fail() -> None:
        ajobs.write_output("before")
        raise error

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(fail))
        receipt = job.receive()
        assert await receipt.receive() == "before"
        with pytest.raises(ValueError, match="the text") as caught:
            await receipt.receive()

        assert caught.value is error
        assert job.reason is error
        with pytest.raises(anyio.EndOfStream):
            await receipt.receive()

        assert job.receive_nowait("all") == []


# Streams


def in_each_stream() -> list[Any]:
    """List a writer with the stream that it writes to."""
    return [
        pytest.param(ajobs.write_warning, "warning", id="warning"),
        pytest.param(ajobs.write_verbose, "verbose", id="verbose"),
        pytest.param(ajobs.write_debug, "debug", id="debug"),
        pytest.param(ajobs.write_information, "information", id="information"),
        pytest.param(ajobs.write_error, "error", id="error"),
    ]


async def written_by(place: Place, write: Callable[..., object], *args: object) -> ajobs.Job[None]:
    """Run a job that calls *write*, and return it when it has Completed."""

    def call() -> None:
        write(*args)

    async with ajobs.Session() as jobs:
        job: ajobs.Job[None] = jobs.start(place.fn(call))
        await job

    assert job.state == "Completed"
    return job


async def test_61_warning_is_received(place: Place) -> None:
    """61: a warning comes as a warning, among all records."""
    job = await written_by(place, ajobs.write_warning, "careful")
    (record,) = job.receive_nowait("all")
    assert (record.stream, record.value) == (ajobs.Stream.WARNING, "careful")


async def test_62_verbose_in_its_stream(place: Place) -> None:
    """62: a verbose message is in the verbose stream."""
    job = await written_by(place, ajobs.write_verbose, "in detail")
    assert await job.receive("verbose") == ["in detail"]


async def test_63_progress_record(place: Place) -> None:
    """63: a progress record is in the progress stream, activity and status intact."""
    job = await written_by(place, ajobs.write_progress, "Copying", "half-way")
    (progress,) = await job.receive("progress")
    assert (progress.activity, progress.status) == ("Copying", "half-way")


async def test_65_warning_stream(place: Place) -> None:
    """65: a warning is in the warning stream and in no other."""
    job = await written_by(place, ajobs.write_warning, "careful")
    assert job.receive_nowait("warning") == ["careful"]
    assert job.receive_nowait("all") == []


async def test_66_verbose_stream(place: Place) -> None:
    """66: a verbose message is in the verbose stream and in no other; nothing enables it."""
    job = await written_by(place, ajobs.write_verbose, "in detail")
    assert job.receive_nowait("verbose") == ["in detail"]
    assert job.receive_nowait("all") == []


async def test_67_debug_stream(place: Place) -> None:
    """67: a debug message is in the debug stream and in no other; nothing enables it."""
    job = await written_by(place, ajobs.write_debug, "x = 1")
    assert job.receive_nowait("debug") == ["x = 1"]
    assert job.receive_nowait("all") == []


async def test_69_print_is_information(place: Place) -> None:
    """69: what is printed lands in the information stream, where the job captures it."""

    def prints() -> None:
        with ajobs.capture():
            print("Hello")

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(prints))
        await job
        assert job.receive_nowait("information") == ["Hello"]
        assert job.receive_nowait("all") == []


@pytest.mark.parametrize(("write", "stream"), in_each_stream())
async def test_74_data_of_a_stopped_job(
    write: Callable[[object], object], stream: str, place: Place, gate: Gate
) -> None:
    """74: what a job wrote before it was stopped can be received afterwards."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate, before=lambda: write("early")))
        await running(job)
        await first_record(job)
        await job.stop()
        assert job.state == "Stopped"
        assert job.has_more_data
        assert job.receive_nowait(stream) == ["early"]
