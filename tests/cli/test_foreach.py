"""``ajobs foreach`` as people run it, and the rules behind it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from ajobs.cli import main
from ajobs.cli._foreach import ahead, halt, joblog
from ajobs.cli._foreach.items import Source
from ajobs.cli._foreach.template import Template
from tests.cli.helpers import on_terminal
from tests.runners.helpers import gone_within

WORK = """
import anyio

def double(text):
    if text == "bad":
        raise ValueError("no")
    yield text
    yield text * 2

async def nap(text):
    await anyio.sleep(0)
    return len(text)

tried = []

def third_time(text):
    tried.append(text)
    if len(tried) < 3:
        raise ValueError("not yet")
    return len(tried)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a module in it."""
    (tmp_path / "work_of_foreach.py").write_text(WORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "work_of_foreach", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "filled"),
    [
        (["gzip", "-9"], ["gzip", "-9", "/a.b/c.tar.gz"]),
        (["mv", "{}", "{.}"], ["mv", "/a.b/c.tar.gz", "/a.b/c.tar"]),
        (["x{/}y{//}", "{/.}"], ["xc.tar.gzy/a.b", "c.tar"]),
        (["echo", "{#}: {} {other}"], ["echo", "7: /a.b/c.tar.gz {other}"]),
    ],
)
def test_template(words: list[str], filled: list[str]) -> None:
    """Marks are filled in; without any the item comes last."""
    assert Template(words).fill("/a.b/c.tar.gz", 7) == filled


def test_items_are_not_taken_apart() -> None:
    """What an item holds is neither a mark nor a word of a shell."""
    assert Template(["echo", "{}", "-{}-"]).fill("{#} $(x); '", 1) == [
        "echo",
        "{#} $(x); '",
        "-{#} $(x); '-",
    ]


@pytest.mark.parametrize(
    ("text", "failed", "succeeded", "applies"),
    [
        ("never", 99, 99, False),
        ("now,fail=2", 1, 99, False),
        ("now,fail=2", 2, 0, True),
        ("soon,success=1", 9, 0, False),
        ("soon,done=3", 1, 2, True),
    ],
)
def test_halt(text: str, failed: int, succeeded: int, applies: bool) -> None:
    """A rule counts what it says."""
    assert halt.parse(text).applies(failed, succeeded) is applies


def foreach(*words: str) -> int:
    """Run the command in this process."""
    return main(["foreach", *words])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        (["-k", "echo", ":::", "b", "a"], 0, "b\na\n", ""),
        (["-k", "-j3", "sh", "-c", "sleep 0.0$1; echo $1", "sh", ":::", "3", "1"], 0, "3\n1\n", ""),
        (["-j2", "sh", "-c", "sleep 0.$1; echo $1", "sh", ":::", "3", "0"], 0, "0\n3\n", ""),
        (["-k", "--tag", "printf", r"%s\n.\n", ":::", "x"], 0, "x\tx\nx\t.\n", ""),
        (["--dry-run", "rm", "-r", ":::", "a b", "c"], 0, "rm -r 'a b'\nrm -r c\n", ""),
        (["-j1", "sh", "-c", "exit {}", ":::", "0", "3"], 1, "", "1 of 2 failed, the first was"),
        (["--timeout", "0.05", "sleep", ":::", "60"], 1, "", "item 1 '60': ran longer than 0.05 s"),
        (["{}", ":::", "true", "no-such"], 1, "", "cannot run no-such: No such file"),
        (["-j1", "--halt", "soon,fail=1", "false", ":::", "1", "2"], 1, "", "gave up with 1 done"),
        (
            ["-j2", "--halt", "now,success=1", "sleep", ":::", "0", "60"],
            0,
            "",
            "gave up with 1 done",
        ),
        (
            ["-j1", "--halt", "now,fail=1", "sh", "-c", "echo $1; exit 1", "sh", ":::", "a", "b"],
            1,
            "a\n",
            "gave up with 1 done",
        ),
        (["-k", "work_of_foreach:double", ":::", "a"], 0, "a\naa\n", ""),
        (["work_of_foreach:nap", ":::", "abc"], 0, "3\n", ""),
        (["work_of_foreach:double", ":::", "bad"], 1, "", "item 1 'bad': ValueError: no\n"),
        (["--retries", "3", "work_of_foreach:third_time", ":::", "x"], 0, "3\n", ""),
        (["--dry-run", "work_of_foreach:nap", ":::", "x"], 0, "work_of_foreach:nap('x')\n", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_it_does(
    words: list[str],
    status: int,
    out: str,
    err: str,
    backend: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each option does what GNU parallel's option of that name does."""
    assert foreach("--backend", backend, *words) == status

    printed = capfd.readouterr()
    assert printed.out == out
    assert err in printed.err
    assert bool(printed.err) is bool(err)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-program", ":::", "a"], "there is no program 'no-such-program': check its name"),
        (["gzip -9 {}", ":::", "a"], "there is no program 'gzip -9 {}': write its words apart"),
        ([":::", "a"], "there is no command before ':::'"),
        (["echo", ":::", "a", ":::", "b"], "one ':::' only"),
        (["-a", "x", "echo", ":::", "a"], "the items come from -a or from ':::', not from both"),
        (["-a", "no-such-file", "echo"], "cannot read no-such-file: No such file or directory"),
        (["--resume", "echo", ":::", "a"], "--resume needs the log of the last time: add --joblog"),
        (["-j0", "echo", ":::", "a"], "invalid value for '-j' / '--throttle'"),
        (["--halt", "maybe", "echo", ":::", "a"], "invalid value for '--halt': 'maybe' is no rule"),
        (["--joblog", "work_of_foreach.py", "--resume", "echo", ":::", "a"], "is no job log"),
        (["--runner", "thread", "echo", ":::", "a"], "--runner is for functions only"),
        (["--timeout", "nan", "echo", ":::", "a"], "'nan' is no number of seconds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_calls(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They end before anything runs, with what is wrong and what to do."""
    assert foreach(*words) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


def test_retries_of_a_command(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A command is tried again; what the last try printed is shown."""
    script = "echo try >> tries; echo $(wc -l < tries); [ $(wc -l < tries) = 3 ]"

    assert foreach("--retries", "5", "sh", "-c", script, ":::", "x") == 0
    assert capfd.readouterr().out.strip() == "3"


def test_job_log_that_is_none(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A line that is not ours is told before anything runs."""
    (place / "log").write_text(f"{joblog.HEADER}not\ta\tline\n")

    assert foreach("--joblog", "log", "--resume", "echo", ":::", "a") == 2
    assert "log is no job log: name another file" in capfd.readouterr().err


def test_resume_with_odd_items(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What stands in an item does not break the lines of the log."""
    again = ["--joblog", "log", "--resume", "true", ":::", "a\rb", "a\nb", "\t", "\udcff", "\x85"]
    assert foreach(*again) == 0
    size = (place / "log").stat().st_size

    assert foreach(*again) == 0
    assert (place / "log").stat().st_size == size


def test_job_log_and_resume(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What has run is in the log, as GNU parallel writes it, and is not run again."""
    again = ["-j1", "--joblog", "log", "sh", "-c", "echo {}; exit {}", ":::", "0", "3"]
    assert foreach(*again) == 1
    head, *lines = (place / "log").read_text().splitlines()
    assert head.split("\t") == [
        *["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal"],
        "Command",
    ]
    assert [[line.split("\t")[at] for at in (0, 5, 6, 7, 8)] for line in lines] == [
        ["1", "2", "0", "0", "sh -c 'echo 0; exit 0'"],
        ["2", "2", "3", "0", "sh -c 'echo 3; exit 3'"],
    ]

    with (place / "log").open("a") as log:
        log.write("3\t:\t17")  # cut off: it was killed while it wrote

    capfd.readouterr()
    assert foreach("--resume", *again, "0") == 0
    assert capfd.readouterr().out == "0\n"
    assert foreach("--resume-failed", *again, "0") == 1
    assert capfd.readouterr().out == "3\n"


def test_jsonl(capfd: pytest.CaptureFixture[str]) -> None:
    """A line for each item, with what a program wants to know."""
    assert (
        foreach("-k", "--jsonl", "sh", "-c", "echo {}; echo e >&2; exit {}", ":::", "0", "3") == 1
    )

    items = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {item["schema"] for item in items} == {"ajobs.foreach/1"}
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    assert {name for name in items[0] if f"`{name}`" not in page} == set()
    assert [
        [item[name] for name in ("seq", "item", "succeeded", "exit", "stdout", "stderr")]
        for item in items
    ] == [[1, "0", True, 0, "0\n", "e\n"], [2, "3", False, 3, "3\n", "e\n"]]


def ajobs(*words: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Run the command in a process of its own."""
    argv = [sys.executable, "-W", "error", "-m", "ajobs", "foreach", *words]
    return subprocess.run(argv, capture_output=True, timeout=30, check=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "options", "out"),
    [
        (b"a b\nc", [], b"a b\nc\n"),
        (b"a\nb\0c\0", ["-0"], b"a\nb\nc\n"),
        (b"\xff\n\n", [], b"\xff\n\n"),
        (b"", [], b""),
    ],
)
def test_items_from_standard_input(given: bytes, options: list[str], out: bytes) -> None:
    """An item is a line, or what ends with a null byte; any bytes will do."""
    ended = ajobs("-k", *options, "echo", input=given)

    assert (ended.stdout, ended.stderr, ended.returncode) == (out, b"", 0)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--bar", "-k"])
def test_endless_input_into_a_closed_pipe(option: str) -> None:
    """``yes | ajobs foreach echo | head`` comes to its end, and says nothing of the pipe."""
    with (
        subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless,
        subprocess.Popen(
            [sys.executable, "-m", "ajobs", "foreach", option, "echo"],
            stdin=endless.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert endless.stdout is not None
        assert process.stdout is not None
        assert process.stderr is not None
        endless.stdout.close()
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 141


@pytest.mark.slow
def test_full_disk() -> None:
    """What cannot be written ends it, in one line."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # for a subprocess
        argv = [sys.executable, "-m", "ajobs", "foreach", "echo", ":::", "a"]
        ended = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False, timeout=30)

    assert ended.returncode == 1
    assert ended.stderr == b"ajobs: [Errno 28] No space left on device\n"


@pytest.mark.slow
def test_results_come_before_the_input_ends() -> None:
    """An item is worked on when it is there."""
    argv = [sys.executable, "-m", "ajobs", "foreach", "echo"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"first\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"first\n"
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_signal(backend: str, number: int, status: int, place: Path) -> None:
    """Whatever ends it ends its commands, and what those have started."""
    os.mkfifo(place / "told")
    # Open for both, and once: what comes between two readers of a pipe is lost.
    told_to = os.open(place / "told", os.O_RDWR)
    script = "sleep 60 & echo $! > told; wait"
    argv = [sys.executable, "-m", "ajobs", "foreach", "--backend", backend, "-j2", "--bar"]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *argv, "sh", "-c", script, ":::", "1", "2", "3"],
        stderr=subprocess.PIPE,
    ) as process:
        told = b""
        while told.count(b"\n") < 2:
            told += os.read(told_to, 100)

        os.close(told_to)
        process.send_signal(number)
        assert process.wait(timeout=30) == status
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()

    assert gone_within(5, map(int, told.split())) == []


async def test_total_is_known_once_the_input_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar needs it, before the items are needed; of an endless input only so many are read."""
    monkeypatch.setattr(ahead, "MOST", 4)
    out, into = os.pipe()
    source = ahead.Ahead(Source(None, out, b"\n", None))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(source.read)
        os.write(into, b"a\nb\nc\nd\ne\n")
        items = source.items()
        assert await anext(items) == "a"
        assert source.total != 5

        os.close(into)
        assert [await anext(items) for _ in range(2)] == ["b", "c"]
        while source.total != 5:
            await anyio.lowlevel.checkpoint()

        assert [item async for item in items] == ["d", "e"]


@pytest.mark.slow
def test_bar_on_a_terminal() -> None:
    """What is printed stands above the bar, whole and without orders; the bar goes at the end."""
    script = r"printf '\033[31m%s' {}; sleep 0.1; exit {}"
    text = on_terminal("foreach", "-j1", "--bar", "sh", "-c", script, ":::", "0", "3")

    lines = [line.rpartition("\x1b[2K")[2] for line in text.split("\r\n")]
    assert sum(line.endswith(("\\x1b[31m0", "\\x1b[31m3")) for line in lines) == 2
    assert "1 of 2 failed, the first was item 2" in text
    assert "0/2" in text


@pytest.mark.kill
@pytest.mark.slow
def test_second_interrupt_gives_the_cursor_back(place: Path) -> None:
    """The bar hides it; who ends everything at once gets it back, in a line of its own."""
    screen, terminal = os.openpty()
    os.mkfifo("told")
    script = "trap '' TERM; echo > told; sleep 60"
    argv = [sys.executable, "-m", "ajobs", "foreach", "--bar", "sh", "-c", script, ":::", "1"]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *argv],
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        (place / "told").read_text()
        process.send_signal(signal.SIGINT)
        seen = b""
        while b"Ctrl-C again ends it" not in seen:
            seen += os.read(screen, 4096)

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT

    with suppress(OSError):  # how a terminal tells that all has been read
        while part := os.read(screen, 4096):
            seen += part

    os.close(screen)
    assert seen.endswith(b"\x1b[?25h\r\n")
