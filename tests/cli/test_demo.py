"""``ajobs demo`` as people run it: to the end, into a pipe that closes, and with Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import pytest

from ajobs.cli import main
from ajobs.cli._work import find_files, hash_file
from tests.cli.helpers import without_reminder
from tests.support import unmeasured

pytestmark = pytest.mark.slow

GRACE = 5  # seconds that stopped jobs have, in a session that says nothing else

HEADINGS = [
    "1. Start",
    "2. Receive",
    "3. Wait",
    "4. Stop",
    "5. Fail",
    "6. Elsewhere",
    "7. Get",
    "Results",
]


def library(tmp_path: Path, files: int) -> Path:
    """Make a small tree that looks like a standard library."""
    root = tmp_path / "lib"
    (root / "package" / "__pycache__").mkdir(parents=True)
    (root / "site-packages").mkdir()
    (root / "package" / "__pycache__" / "cached.pyc").write_bytes(b"not counted")
    (root / "site-packages" / "other.py").write_bytes(b"not counted")
    for number in range(files):
        (root / f"module{number:03}.py").write_text(f"x = {number}\n# TODO\n")

    (root / "package" / "data.txt").write_text("one\ntwo\n")
    return root


@pytest.fixture
def small_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the demo take a small tree for the standard library."""
    root = library(tmp_path, files=40)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(root))
    monkeypatch.setattr("ajobs.cli._demo.REPORT_EVERY", 10)
    return root


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_story(backend: str, small_library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that the demo promises happens, and the numbers are right."""
    assert main(["demo", "--backend", backend]) == 0

    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert printed.err == ""
    assert f"jobs on {backend}" in lines[0]
    assert [line for line in lines if line.startswith(tuple(HEADINGS))] != []
    assert "20 times of 40; job is" in printed.out
    assert "raised PageError: 404 Not Found: /no-such" in printed.out
    assert results(lines)["Files"].startswith("41, ")
    assert results(lines)["Python"] == "40 files, 80 lines"
    assert results(lines)["Over HTTP"].startswith("40 of 40 pages")
    assert results(lines)["Searched"].startswith("20 files: 20 lines")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_table(backend: str, small_library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table shows each job in the state that the story told."""
    main(["demo", "--backend", backend])

    lines = capsys.readouterr().out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.split()[:2] == ["Id", "Name"])
    rows = [line.split() for line in lines[start + 2 : lines.index("", start)]]
    assert [row[1:5] for row in rows] == [
        ["server", "task", "Stopped", "False"],
        ["find", "thread", "Completed", "False"],
        ["hash", "task", "Completed", "False"],
        ["client-1", "task", "Completed", "True"],
        ["client-2", "task", "Completed", "True"],
        ["client-3", "task", "Completed", "True"],
        ["client-4", "task", "Completed", "True"],
        ["search", "thread", "Stopped", "True"],
        ["broken", "task", "Failed", "False"],
        ["parse", "process", "Completed", "True"],
        ["python", "command", "Completed", "False"],
    ]


def test_unreadable_files_are_told(small_library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is a warning of its job, not the end of the demo."""
    (small_library / "nowhere.py").symlink_to("no-such-file")

    assert main(["demo"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert results(lines)["Warning"].endswith("nowhere.py")
    assert results(lines)["Files"].startswith("41, ")


def results(lines: list[str]) -> dict[str, str]:
    """Return the results by their titles."""
    rows = lines[lines.index("Results") + 1 :]
    return {row[2:15].strip(): row[15:] for row in rows}


def test_hash(tmp_path: Path) -> None:
    """A file is hashed, measured and its lines are counted."""
    path = tmp_path / "file.py"
    path.write_bytes(b"one\ntwo\nthree")

    file = hash_file(path)

    assert (file.size, file.lines, file.is_source) == (13, 2, True)
    assert file.digest == "058053d87c818d699cde0f00d670bca0e1c6ad857caa9758ea6a556d7c64fcee"


def test_files_found(tmp_path: Path) -> None:
    """Byte code and installed packages are no part of the library."""
    root = library(tmp_path, files=1)

    assert list(find_files(root)) == [root / "module000.py", root / "package" / "data.txt"]


# The demo as a shell runs it in the foreground: whoever starts us in the background makes us
# ignore SIGINT, and children inherit that.
IN_FOREGROUND = """
import os, signal, sys
from ajobs.cli import _demo, main

signal.signal(signal.SIGINT, signal.default_int_handler)
"""

DEMO = (
    IN_FOREGROUND
    + """
sys.exit(main(["demo", "--backend", sys.argv[1]]))
"""
)

# With a real signal at the very moment when it prints a line, in a small library.
DEMO_INTERRUPTED = (
    IN_FOREGROUND
    + """
import sysconfig

sysconfig.get_path = lambda name: sys.argv[3]
_demo.REPORT_EVERY = 10

def say(text="", original=_demo.say):
    original(text)
    if text.strip().startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGINT)

_demo.say = say
sys.exit(main(["demo", "--backend", sys.argv[1]]))
"""
)


@contextmanager
def running(*program: str) -> Iterator[subprocess.Popen[str]]:
    """Start Python with the arguments *program*; it does not outlive the block."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", *program],
        env=unmeasured(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def assert_interrupted(process: subprocess.Popen[str]) -> None:
    """Wait for *process*, and see that Ctrl-C ended it as it should."""
    _, said = process.communicate(timeout=GRACE + 25)

    assert without_reminder(said) == "ajobs: interrupted; the jobs have been stopped\n"
    assert process.returncode == 130


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_interrupt(backend: str) -> None:
    """Ctrl-C from outside ends the demo within the grace, in one line, with status 130."""
    with running("-c", DEMO, backend) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("2. Receive"):
            assert process.poll() is None

        process.send_signal(signal.SIGINT)
        assert_interrupted(process)


#: Each is tried on one of the event loops, in turns: a demo takes seconds.
MOMENTS = [
    (backend, moment)
    for backend, moment in zip(
        cycle(["asyncio", "trio"]),
        [*HEADINGS, "async for file", "jobs.start(find_files", "await client"],
        strict=False,
    )
]


@pytest.mark.parametrize(("backend", "moment"), MOMENTS)
def test_interrupt_at_a_line(backend: str, moment: str, tmp_path: Path) -> None:
    """So it does whatever the demo is doing, its last wait for the jobs included."""
    root = library(tmp_path, files=40)
    with running("-c", DEMO_INTERRUPTED, backend, moment, str(root)) as process:
        assert_interrupted(process)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_closed_pipe(backend: str) -> None:
    """``ajobs demo | head -1`` says nothing about the pipe."""
    with running("-m", "ajobs", "demo", "--backend", backend) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ajobs demo")
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 141


def test_terminal() -> None:
    """In a terminal of 80 columns no line is wider, and there are no control characters."""
    screen, terminal = os.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "ajobs", "demo"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        timeout=60,
        check=False,
    )
    os.close(terminal)
    text = b""
    while part := _read(screen):
        text += part

    os.close(screen)
    lines = text.decode("ascii").replace("\r\n", "\n").splitlines()
    assert ended.returncode == 0
    assert [line for line in lines if len(line) > 80 or re.search(r"[\x00-\x1f]", line)] == []
    assert [line for line in lines if line.startswith(tuple(HEADINGS))] != []


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # Linux says EIO at the end of a terminal
        return b""
