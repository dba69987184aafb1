"""What a job prints, logs and warns of, in the streams of that job and nowhere else."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from functools import partial
from typing import Any

import anyio
import pytest

import ajobs


def lines(job: ajobs.Job[Any], stream: str) -> list[Any]:
    """Return what *job* holds on *stream*."""
    return job.receive_nowait(stream)


def talk(tag: str) -> None:
    """Use every way to say something."""
    with ajobs.capture():
        print(tag, "printed")
        print(tag, "to stderr", file=sys.stderr)
        warnings.warn(f"{tag} warned", stacklevel=1)
        log = logging.getLogger("tests.capture")
        log.setLevel(logging.DEBUG)
        log.debug("%s debug", tag)
        log.info("%s info", tag)
        log.warning("%s warning", tag)
        log.error("%s error", tag)


async def talk_in_task(tag: str) -> None:
    """Do the same in a task."""
    talk(tag)


@pytest.mark.parametrize("fn", [talk, talk_in_task], ids=["thread", "task"])
@pytest.mark.filterwarnings("default")
async def test_each_way_has_its_stream(fn: Any) -> None:
    """Prints are information, stderr an error line, warnings and logging go by their kind."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, "a")
        await job
        assert ["a printed"] == lines(job, "information")
        assert ["a to stderr", "a error"] == lines(job, "error")
        assert ["UserWarning: a warned", "a warning"] == lines(job, "warning")
        assert ["a info"] == lines(job, "verbose")
        assert ["a debug"] == lines(job, "debug")


async def test_printed_errors_are_no_errors() -> None:
    """A line on stderr does not set had_errors; only write_error does."""
    async with ajobs.Session() as jobs:
        job = jobs.start(talk_to_stderr)
        await job
        assert not job.had_errors


def talk_to_stderr() -> None:
    """Print to stderr."""
    with ajobs.capture():
        print("oops", file=sys.stderr)


async def test_jobs_do_not_mix() -> None:
    """C9: jobs that print at the same time each get their own lines."""
    gates = [anyio.Event() for _ in range(3)]

    async def speak(number: int) -> None:
        with ajobs.capture():
            for _ in range(3):
                print("task", number)
                gates[number].set()
                await gates[(number + 1) % 3].wait()

    async with ajobs.Session() as jobs:
        started = [jobs.start(speak, number) for number in range(3)]
        await ajobs.wait_all(started)
        for number, job in enumerate(started):
            assert [f"task {number}"] * 3 == lines(job, "information")


@pytest.mark.slow
async def test_threads_do_not_mix() -> None:
    """C9: eight threads with 2,000 lines each, none in a foreign job."""
    together = threading.Barrier(8)

    def speak(number: int) -> None:
        with ajobs.capture():
            together.wait()
            for line in range(2000):
                ajobs.write_output(number)
                if line % 20 == 0:
                    print(number)

    async with ajobs.Session() as jobs:
        started = [jobs.start(speak, number) for number in range(8)]
        await ajobs.wait_all(started)
        for number, job in enumerate(started):
            assert [str(number)] * 100 == lines(job, "information")


async def test_a_line_is_one_record(capsys: pytest.CaptureFixture[str]) -> None:
    """Parts of a line wait for its end; the last one is not lost."""

    def speak() -> None:
        with ajobs.capture():
            print("one", end=" ")
            print("line\nand", end="")
            sys.stdout.write(" a rest")
            sys.stdout.writelines([", of it", ""])
            sys.stdout.flush()

    async with ajobs.Session() as jobs:
        job = jobs.start(speak)
        await job
        assert ["one line", "and a rest, of it"] == lines(job, "information")

    assert "" == capsys.readouterr().out


async def test_threads_of_a_block_are_captured() -> None:
    """The threads that anyio starts for the block carry its context."""

    async def speak() -> None:
        with ajobs.capture():
            await anyio.to_thread.run_sync(partial(print, "from a thread"))

    async with ajobs.Session() as jobs:
        job = jobs.start(speak)
        await job
        assert ["from a thread"] == lines(job, "information")


async def test_everything_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of captures prints go where they went, and no hook stays behind."""
    before = sys.stdout, sys.stderr, warnings.showwarning, list(logging.getLogger().handlers)
    inside, outside = anyio.Event(), anyio.Event()

    async def speak() -> None:
        with ajobs.capture():
            inside.set()
            await outside.wait()
            raise ValueError("left by an exception")

    async with ajobs.Session(failures="keep") as jobs:
        jobs.start(speak)
        await inside.wait()
        print("outside")
        with pytest.warns(UserWarning, match="seen outside"):
            warnings.warn("seen outside", stacklevel=1)

        outside.set()

    assert before == (
        sys.stdout,
        sys.stderr,
        warnings.showwarning,
        list(logging.getLogger().handlers),
    )
    assert "outside\n" == capsys.readouterr().out


async def test_outside_of_jobs() -> None:
    """There is nothing to capture for."""
    with pytest.raises(ajobs.NoCurrentJob), ajobs.capture():
        pass
