"""What is printed while nobody reads it."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import BinaryIO

import anyio
import pytest
from anyio import to_thread

from ajobs._writable import is_writable
from ajobs.cli._terminal import Printer
from ajobs.cli._writer import Piece, open_writer


@contextmanager
def piped() -> Iterator[BinaryIO]:
    """Let standard output lead into a pipe; give its other end."""
    out, into = os.pipe()
    with (
        os.fdopen(out, "rb") as reader,
        os.fdopen(into, "w") as stdout,
        redirect_stdout(stdout),
    ):
        yield reader


async def test_who_writes_waits_for_who_reads() -> None:
    """Only so much is taken while nobody reads; all of it comes, in its order."""
    expected = [b"%d\n" % number * 1000 for number in range(200)]
    taken: list[Piece] = []

    def pieces() -> Iterator[Piece]:
        printer = Printer("stdout")
        for data in expected:
            taken.append((printer, data))
            yield taken[-1]

    with piped() as reader:
        async with open_writer() as writer, anyio.create_task_group() as tasks:
            tasks.start_soon(writer.write, pieces())
            await anyio.wait_all_tasks_blocked()
            assert 0 < len(taken) < len(expected)
            size = len(b"".join(expected))
            assert await to_thread.run_sync(reader.read, size) == b"".join(expected)

    assert len(taken) == len(expected)


async def test_flush_waits_for_the_last_byte() -> None:
    """Also for what is so little that nobody has to wait before the next."""
    with piped() as reader:
        size = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
        os.write(sys.stdout.fileno(), b"x" * size)
        async with open_writer() as writer, anyio.create_task_group() as tasks:
            await writer.write([(Printer("stdout"), b"last")])
            is_written = anyio.Event()

            async def flush() -> None:
                await writer.flush()
                is_written.set()

            tasks.start_soon(flush)
            await anyio.wait_all_tasks_blocked()
            assert not is_written.is_set()
            assert await to_thread.run_sync(reader.read, size + 4) == b"x" * size + b"last"
            await is_written.wait()


async def test_broken_pipe_ends_what_goes_on() -> None:
    """Nobody needs what is done for a reader who has gone."""

    async def work_on() -> None:
        async with open_writer() as writer:
            await writer.write([(Printer("stdout"), b"for nobody\n")])
            await anyio.sleep_forever()

    with piped() as reader:
        reader.close()
        with pytest.raises(BrokenPipeError):
            await work_on()


def test_terminal_that_was_stopped() -> None:
    """After Ctrl-S nothing is drawn, since drawing would wait until Ctrl-Q."""
    screen, terminal = os.openpty()
    with os.fdopen(terminal, "w") as file:
        seen = [is_writable(file)]
        for action in (termios.TCOOFF, termios.TCOON):
            termios.tcflow(terminal, action)
            seen.append(is_writable(file))

    os.close(screen)
    assert seen == [True, False, True]


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["run", "--", "yes", "x" * 99],
        ["foreach", "--backend", "trio", "head", "-c999999", ":::", "/dev/zero"],
    ],
)
def test_interrupt_while_nobody_reads(words: list[str]) -> None:
    """A pager that does not read holds up nobody who wants to leave."""
    out, into = os.pipe()
    argv = [sys.executable, "-m", "ajobs", *words]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *argv],
        stdin=subprocess.DEVNULL,
        stdout=into,
        stderr=subprocess.PIPE,
    ) as process:
        while select.select([], [into], [], 0)[1]:
            time.sleep(0.01)  # a pipe tells nobody that it is full

        os.close(into)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        said = process.stderr.read()

    os.close(out)
    assert b"the rest of it is lost" in said
    assert b"interrupted" in said
