"""Pipes that are closed from the other side, or by the job itself, too early."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

import ajobs
from tests.runners import far
from tests.runners.helpers import gone_within, texts
from tests.support import unmeasured


def close_streams() -> int:
    """Close what Python prints to."""
    print("last")
    sys.stdout.close()
    sys.stderr.close()
    return os.getpid()


def close_files() -> int:
    """Close the descriptors below them."""
    print("last", flush=True)
    for fd in range(3):
        os.close(fd)

    return os.getpid()


def redirect() -> int:
    """Let standard output lead elsewhere."""
    print("last", flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return os.getpid()


def say() -> int:
    """Print to both streams."""
    print("out")
    print("err", file=sys.stderr)
    return os.getpid()


async def test_a_job_that_closes_its_streams_closes_no_others() -> None:
    """The next job does not come into that worker."""
    async with ajobs.ProcessRunner(max_workers=1) as runner, ajobs.Session() as jobs:
        for close in (close_streams, close_files, redirect):
            job = jobs.start(close, runner=runner)
            pid = await job
            assert texts(job, "information") == ["last"]
            assert await jobs.start(far.pid, runner=runner) != pid

        last = jobs.start(say, runner=runner)
        await last
        assert (texts(last, "information"), texts(last, "error")) == (["out"], ["err"])


async def test_streams_that_an_initializer_has_closed_stay_so() -> None:
    """It says what every job finds; workers are used again."""
    runner = ajobs.ProcessRunner(max_workers=1, initializer=close_streams)
    async with runner, ajobs.Session() as jobs:
        assert await jobs.start(far.pid, runner=runner) == await jobs.start(far.pid, runner=runner)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="subinterpreters need Python 3.13")
async def test_a_job_in_an_interpreter_that_closes_its_streams_closes_no_others() -> None:
    """They are the interpreter's, and stay open."""
    async with ajobs.InterpreterRunner(max_interpreters=1) as runner, ajobs.Session() as jobs:
        first = jobs.start(close_streams, runner=runner)
        await first
        second = jobs.start(say, runner=runner)
        await second
        assert texts(first, "information") == ["last"]
        assert (texts(second, "information"), texts(second, "error")) == (["out"], ["err"])


async def given(closed: list[str]) -> AsyncIterator[str]:
    """Give lines for ever, and note that nobody wants more."""
    try:
        while True:
            yield "line"
    finally:
        closed.append("input")


@pytest.mark.parametrize("what", ["exec >&- 2>&-", "exec <&-", "exec <&- >&- 2>&-"])
async def test_a_program_that_closes_its_streams_is_waited_for(what: str) -> None:
    """Its exit code still comes, however long it runs on, and its input is closed."""
    closed: list[str] = []
    async with ajobs.Session() as jobs:
        script = f"read line; echo $line; {what}; sleep 0.1; exit 3"
        job = jobs.start_command(["sh", "-c", script], input=given(closed), check=False)
        assert await job == 3
        assert texts(job, "output") == ["line"]

    assert closed == ["input"]


PROGRAM = """
import os, sys, time
import anyio, ajobs

def say_pid():
    ajobs.write_output(os.getpid())
    time.sleep(99)

async def main():
    async with ajobs.Session() as jobs:
        workers = [jobs.start(say_pid, runner="process") for _ in range(2)]
        command = jobs.start_command(["sh", "-c", "echo $$; exec sleep 99"])
        pids = [str(await anext(job.receive())) for job in (*workers, command)]
        print(*pids, flush=True)
        sys.stdin.readline()
        while True:
            print("nobody reads this", flush=True)
            await anyio.sleep(0)

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_whose_reader_is_gone_takes_its_jobs_along(backend: str) -> None:
    """``python program.py | head -1``: the block fails as its print does, and nobody is left."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, backend],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=unmeasured(),
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        program.stdout.close()
        program.stdin.close()
        said = program.stderr.read()
        assert program.wait(timeout=30) != 0

    assert "BrokenPipeError" in said
    assert len(pids) == 3
    assert gone_within(5, pids) == []
