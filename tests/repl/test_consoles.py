"""Sessions without a block in the real consoles: asyncio's, trio's and IPython's, in a terminal.

What is typed are the statements of the tests; an interrupt is a Ctrl-C from the terminal.
"""

from __future__ import annotations

import importlib.util
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest

pty = pytest.importorskip("pty")

PATIENCE = 30.0


class Console(NamedTuple):
    """How a console is started, and what it shows before it reads a statement."""

    module: list[str]
    prompt: str


PLAIN = re.escape(">>> ")

#: A job in a thread that tells when somebody waits for *job*, and the loop has come to rest.
TELL = """
def tell(job):
    import time
    while not job.is_watched:
        time.sleep(0.01)
    time.sleep(0.1)
    print("somebody", "waits", flush=True)
    while not job.is_finished:
        time.sleep(0.01)
"""
CONSOLES = {
    "asyncio": Console(["asyncio"], PLAIN),
    "trio": Console(["trio"], PLAIN),
    "ipython": Console(
        ["IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"], r"In \[\d+\]: "
    ),
}

needs_ipython = pytest.mark.skipif(
    importlib.util.find_spec("IPython") is None, reason="IPython is not installed"
)


class Terminal:
    """A console in a pseudo-terminal."""

    def __init__(self, console: Console, process: subprocess.Popen[bytes], master: int) -> None:
        self._prompt = re.compile(rf"\n{console.prompt}")
        self._process = process
        self._master = master
        self._read_to(re.compile(rf"(?:^|\n){console.prompt}\Z"))

    def type(self, statement: str) -> str:
        """Type *statement*, and return what is shown until the next prompt."""
        os.write(self._master, f"{statement}\n".encode())
        return self._read_to(self._prompt)

    def interrupt(self, job: str) -> str:
        """Type a statement that waits for *job*, and press Ctrl-C while it does."""
        self.type(f"exec({TELL!r})")
        self.type(f"telling = jobs.start(tell, {job})")
        os.write(self._master, f"await {job}\n".encode())
        self._read_to(re.compile("somebody waits\n"))
        os.write(self._master, b"\x03")
        return self._read_to(self._prompt)

    def end(self, by: str) -> str:
        """Leave the console; return what it shows at the end."""
        os.write(self._master, by.encode())
        shown = b""
        with suppress(OSError):  # Linux: the other end is gone
            while piece := os.read(self._master, 4096):
                shown += piece

        assert 0 == self._process.wait(PATIENCE)
        return shown.decode().replace("\r", "")

    def _read_to(self, prompt: re.Pattern[str]) -> str:
        shown, deadline = "", time.monotonic() + PATIENCE
        while not prompt.search(shown):  # what is logged may come after it
            left = deadline - time.monotonic()
            assert select.select([self._master], [], [], max(left, 0))[0], shown
            shown += os.read(self._master, 4096).decode(errors="replace").replace("\r", "")

        return shown


@contextmanager
def started(console: Console) -> Iterator[Terminal]:
    """Run *console* in a terminal of its own."""
    master, slave = pty.openpty()
    # The plain console of Python 3.13 too: the other one draws each key again.
    environment = {**os.environ, "TERM": "dumb", "PYTHON_BASIC_REPL": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", *console.module],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=own_terminal,  # noqa: PLW1509  # two calls of the system, and no lock
        env=environment,
    ) as process:
        os.close(slave)
        try:
            yield Terminal(console, process, master)
        finally:
            process.kill()
            os.close(master)


def own_terminal() -> None:
    """Let the terminal's Ctrl-C reach the process: in the child."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asyncio", "trio", pytest.param("ipython", marks=needs_ipython)])
def test_console(name: str) -> None:
    """Start, look, await, receive, a failing job, Ctrl-C that leaves the jobs alone, the end."""
    with started(CONSOLES[name]) as terminal:
        terminal.type("import ajobs, anyio")
        assert "Traceback" not in terminal.type("jobs = await ajobs.open_session('mine')")
        terminal.type("job = jobs.start(sum, [1, 2, 3])")
        assert "6" in terminal.type("await job")
        assert "Completed" in terminal.type("job")
        assert "[6]" in terminal.type("job.receive_nowait()")
        # Were it not waited for, its failure would be logged, perhaps into the next prompt.
        assert "invalid literal" in terminal.type("await jobs.start(int, 'x')")
        assert "True" in terminal.type("ajobs.current_session() is jobs")
        terminal.type("long = jobs.start(anyio.sleep, 60)")
        assert "KeyboardInterrupt" in terminal.interrupt("long")
        assert "Running" in terminal.type("long")
        assert "True" in terminal.type("await long.stop()")
        terminal.type("await jobs.aclose()")
        assert "closed" in terminal.type("repr(jobs)")
        assert "left open" not in terminal.end("exit()\n" if name == "ipython" else "\x04")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asyncio", "trio", pytest.param("ipython", marks=needs_ipython)])
def test_forgotten_session(name: str) -> None:
    """A console that is left with a session open ends at once, and says so in one line."""
    with started(CONSOLES[name]) as terminal:
        terminal.type("import ajobs, anyio, time")
        terminal.type("jobs = await ajobs.open_session('mine')")
        terminal.type("a = jobs.start(anyio.sleep, 60); b = jobs.start_command(['sleep', '60'])")
        terminal.type("c = jobs.start(sum, []); await c; await anyio.sleep(0.1)")
        end = terminal.end("exit()\n" if name == "ipython" else "\x04")
        told = [line for line in end.splitlines() if "ajobs" in line]
        assert 1 == len(told), end
        assert "session 'mine' was left open" in told[0]
        assert "Traceback" not in end
