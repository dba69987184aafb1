"""``ajobs run``: functions, scripts and commands in the foreground."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ajobs.cli import main
from ajobs.cli._terminal import as_bytes, escaped
from tests.cli.helpers import on_terminal
from tests.runners.helpers import gone_within

pytestmark = pytest.mark.slow

WORK = """
import anyio, ajobs

def shout(text):
    ajobs.write_warning("loud")
    ajobs.write_progress("shouting", percent=50)
    print("printed")
    yield text.upper()
    return None

async def slow(seconds):
    await anyio.sleep(float(seconds))
    return seconds

async def paint(text):
    ajobs.write_progress("painting", percent=50)
    yield text
    await anyio.sleep(0.5)

def fail(text):
    raise ValueError(text)

def count(limit):
    for number in range(int(limit)):
        print(number)

value = 1
"""

SCRIPT = """
import sys
print(*sys.argv[1:])
print("told", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a module and a script."""
    (tmp_path / "work_of_run.py").write_text(WORK)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "work_of_run", raising=False)
    return tmp_path


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        (["work_of_run:slow", "0"], 0, "0\n", ""),
        (["--runner", "process", "work_of_run:shout", "a"], 0, "printed\nA\n", "WARNING: loud\n"),
        (["script.py", "3", "--x"], 3, "3 --x\n", "told\n"),
        (["--", "sh", "-c", "echo $0; echo err >&2; exit 4", "a b"], 4, "a b\n", "err\n"),
        (["--", "sh", "-c", "kill -KILL $$"], 137, "", ""),
        (["--timeout", "0.05", "--", "sleep", "60"], 124, "", "--timeout"),
        (["--timeout", "0.05", "work_of_run:slow", "60"], 124, "", "--timeout"),
        (["--", "no-such-program"], 1, "", "cannot run no-such-program: No such file"),
        (["work_of_run:fail", "why"], 1, "", "last):\n  File"),
        (["work_of_run:fail", "why"], 1, "", "ValueError: why"),
        (["time:sleep", "why"], 1, "", "TypeError: 'str' object cannot"),
        (["--runner", "process", "work_of_run:fail", "why"], 1, "", "Traceback in worker process"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_it_does(
    place: Path,
    words: list[str],
    status: int,
    out: str,
    err: str,
    backend: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each kind of target runs with its streams and its status."""
    assert main(["run", "--backend", backend, *words]) == status

    printed = capfd.readouterr()
    # What is printed in a process takes another way than what is yielded.
    assert sorted(printed.out.splitlines()) == sorted(out.splitlines())
    assert err in printed.err
    assert "/ajobs/" not in printed.err
    assert "/anyio/" not in printed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ls", "-l"], "'ls' is no target: write MODULE:FUNCTION, a script.py, or two dashes "),
        (["no_such:thing"], "there is no module 'no_such' here: "),
        (["work_of_run:nothing"], "work_of_run has no function 'nothing'\n"),
        (["work_of_run:value"], "work_of_run has no function 'value'\n"),
        (["nothing.py"], "there is no script 'nothing.py': check the path\n"),
        (["--runner", "thread", "--", "ls"], "--runner is for functions only: leave it out\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_target(
    place: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no target says what would be one."""
    assert main(["run", *words]) == 2
    assert capsys.readouterr().err.startswith(f"ajobs: {said}")


def test_what_cannot_be_had_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the system lacks something, one line says what to do instead."""
    monkeypatch.delattr(os, "pidfd_open")

    for words in (["run", "--", "true"], ["foreach", "true", ":::", "1"]):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert "need Linux 5.3 or newer" in said
        assert said.count("\n") == 1


def test_jsonl(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every record is a line with its stream and its value."""
    assert main(["run", "--jsonl", "work_of_run:shout", "a"]) == 0

    records = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[0] == "{"]
    assert [(record["stream"], record["value"]) for record in records if record["seq"] != 2] == [
        ("warning", "loud"),
        ("output", "A"),
    ]
    assert {record["schema"] for record in records} == {"ajobs.run/1"}
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    assert {name for name in records[0] if f"`{name}`" not in page} == set()


def test_standard_input() -> None:
    """A command reads what ajobs is given, byte by byte, and ends it when it has enough."""
    given = b"one\ntwo\xff\n" * 100_000
    argv = [sys.executable, "-m", "ajobs", "run", "--", "head", "-c", "900000"]
    ended = subprocess.run(argv, input=given, stdout=subprocess.PIPE, timeout=30, check=True)

    assert ended.stdout.removesuffix(b"\n") == given[:900_000].removesuffix(b"\n")


def test_every_line_that_a_worker_prints(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not the newest thousand only, which are what a job keeps of them."""
    assert main(["run", "--runner", "process", "work_of_run:count", "5000"]) == 0
    assert capsys.readouterr().out.split() == [str(number) for number in range(5000)]


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_nobody_reads_what_it_prints(place: Path, runner: str) -> None:
    """It ends quietly as other programs do, also if the function itself meets the broken pipe."""
    argv = [sys.executable, "-m", "ajobs", "run", "--runner", runner, "work_of_run:count", "99999"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""

    assert process.returncode == 141


@pytest.mark.kill
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal(backend: str, number: int, status: int) -> None:
    """Ctrl-C ends the command, lets it clean up, and leaves nothing."""
    script = "trap 'echo cleaned; exit' TERM; sleep 60 & echo $!; wait"
    argv = [sys.executable, "-m", "ajobs", "run", "--backend", backend, "--", "sh", "-c", script]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *argv], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        sleeper = int(process.stdout.readline())
        process.send_signal(number)
        assert process.stdout.read() == "cleaned\n"
        assert process.wait(timeout=30) == status

    assert gone_within(5, [sleeper]) == []


def test_terminal_gets_no_orders() -> None:
    """On a terminal, what would be an order for it is shown; with --raw it is given."""
    said = {}
    for option in ("--", "--raw"):
        screen, terminal = os.openpty()
        argv = [sys.executable, "-m", "ajobs", "run", *dict.fromkeys([option, "--"])]
        subprocess.run([*argv, "printf", r"\033[31mred\n"], stdout=terminal, timeout=30, check=True)
        said[option] = os.read(screen, 1000)
        os.close(terminal)
        os.close(screen)

    assert said == {"--": b"\\x1b[31mred\r\n", "--raw": b"\x1b[31mred\r\n"}


def test_terminal_gets_no_orders_from_a_failure(place: Path) -> None:
    """Neither does the message of an exception give any."""
    screen, terminal = os.openpty()
    argv = [sys.executable, "-m", "ajobs", "run", "work_of_run:fail", "\x1b[2J"]
    subprocess.run(argv, stderr=terminal, timeout=30, check=False)
    said = os.read(screen, 10_000)
    os.close(terminal)
    os.close(screen)

    assert b"\\x1b[2J" in said
    assert b"\x1b" not in said


def test_progress(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """On a terminal a bar shows it, below what is printed; elsewhere it is a line on stderr."""
    text = on_terminal("run", "work_of_run:paint", "a wall")
    lines = [line.rpartition("\x1b[2K")[2] for line in text.split("\r\n")]
    assert "work_of_run:paint: painting" in text
    assert any(line.endswith("a wall") for line in lines)

    assert main(["run", "work_of_run:shout", "a"]) == 0
    printed = capfd.readouterr()
    assert printed.out == "printed\nA\n"
    assert "work_of_run:shout: Completed after" in printed.err


def test_wrong_word_for_progress(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is wrong usage, and one line says what it can be."""
    monkeypatch.setenv("AJOBS_PROGRESS", "loud")

    for words in (["run", "work_of_run:shout", "a"], ["foreach", "--bar", "true", ":::", "1"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert said.endswith("ajobs: AJOBS_PROGRESS is 'loud'; it can be auto, plain, off\n")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain\ttext\n", b"plain\ttext\n"),
        (b"a\r\nb\rc", b"a\nb\\x0dc"),
        (b"\x1b]0;title\x07", b"\\x1b]0;title\\x07"),
        ("ä\x9b31m".encode(), "ä\\x9b31m".encode()),
        (b"\xff", b"\\xff"),
    ],
)
def test_escaped(data: bytes, shown: bytes) -> None:
    """Text stays; control characters and bytes that are none show."""
    assert escaped(data) == shown


@pytest.mark.parametrize(
    ("value", "printed"), [(b"\xff", b"\xff"), ("\udcff", b"\xff"), (1.5, b"1.5"), (None, b"None")]
)
def test_as_bytes(value: object, printed: bytes) -> None:
    """Values are printed as Python prints them, bytes as they are."""
    assert as_bytes(value) == printed


DEAF = """
import sys, time
from ajobs.cli import _run, console

def deaf(text):
    time.sleep(600)

_run.GRACE = 0.1
sys.modules["deaf"] = sys.modules["__main__"]
sys.argv[0] = "ajobs"
console()
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_function_that_does_not_stop(backend: str) -> None:
    """It is left behind, which is told, and the command ends all the same."""
    words = ["run", "--backend", backend, "--timeout", "0.05", "deaf:deaf", "x"]
    ended = subprocess.run(
        [sys.executable, "-c", DEAF, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 124
    assert (
        "ajobs run: deaf:deaf runs longer than 0.05 s; --timeout sets the limit\n" in ended.stderr
    )
    assert "let it call ajobs.check_stop(), or run it in a process\n" in ended.stderr
    assert "RuntimeWarning" not in ended.stderr
