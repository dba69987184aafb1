"""The command line itself: help, wrong usage, and how it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
import rich_click as click

from ajobs.cli import main
from ajobs.cli._app import COMMANDS
from ajobs.cli._ends import Problem, Status
from tests.cli.helpers import without_reminder


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m ajobs`` with *arguments*."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "ajobs", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dmeo"], "ajobs: there is no command 'dmeo'; did you mean 'demo'?\n"),
        (["Get-Job"], "ajobs: there is no command 'Get-Job'; a job lives in a program: "),
        (["gjb"], "ajobs: there is no command 'gjb'; a job lives in a program: use Session.get"),
        (["demo", "--backend"], "ajobs demo: option '--backend' requires an argument\n"),
        (["demo", "--backend", "curio"], "ajobs demo: invalid value for '--backend': 'curio' is "),
        (["demo", "extra"], "ajobs demo: got unexpected extra argument (extra)\n"),
        (["--no-such-option"], "ajobs: no such option '--no-such-option'\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with status 2, what is wrong, and where to look."""
    assert main(arguments) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(said)
    assert re.search(r"\nTry 'ajobs( demo)? --help'\.\n$", printed.err)


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command there is nothing to do; the help is an error message then."""
    assert main([]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Usage: ajobs" in printed.err


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["demo", "-h"]], ids=" ".join)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help goes to stdout, fits 80 columns, and is no failure."""
    assert main(arguments) == 0

    printed = capsys.readouterr()
    assert "Usage: ajobs" in printed.out
    assert "demo" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80
    assert printed.err == ""


def test_statuses_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The help tells every exit status that a script may meet."""
    main(["--help"])

    told = set(re.findall(r"\b\d+\b", capsys.readouterr().out.partition("Exit status:")[2]))
    assert {str(status.value) for status in Status} <= told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each entry of the table leads to a command, under all of its names, in any case."""
    for alias in (name, name.upper(), *COMMANDS[name].aliases):
        assert main([alias, "--help"]) == 0
        printed = capsys.readouterr().out
        assert f"Usage: ajobs {name}" in printed
        assert max(map(len, printed.splitlines())) <= 80


def test_help_loads_no_command() -> None:
    """What one command needs, the help of all does not wait for."""
    argv = [sys.executable, "-X", "importtime", "-m", "ajobs", "--help"]
    loaded = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stderr

    names = {line.rpartition("|")[2].strip() for line in loaded.splitlines()}
    assert names & {"ajobs.cli._app"} == {"ajobs.cli._app"}
    assert names & {f"ajobs.cli.{entry.home}" for entry in COMMANDS.values()} == set()
    assert names & {"asyncio", "trio", "anyio"} == set()


WITHOUT_EXTRA = """
import sys
sys.modules[sys.argv.pop(1)] = None
from ajobs.cli import main
sys.exit(main(["demo"]))
"""


@pytest.mark.parametrize("missing", ["click", "rich_click"])
def test_without_the_extra(missing: str) -> None:
    """Where the extra is missing, one line says what to install."""
    argv = [sys.executable, "-c", WITHOUT_EXTRA, missing]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        f"ajobs: the command line needs {missing}, which is not installed here: "
        "python -m pip install 'ajobs[cli]'\n"
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is one line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ajobs")


def test_version_without_an_installed_copy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source tree that is not installed has no version, and says so."""
    from importlib import metadata

    def not_found(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_found)

    assert main(["--version"]) == 0
    assert "not installed" in capsys.readouterr().out


def stand_in(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let ``ajobs demo`` do something else."""
    command = click.RichCommand(name="demo", callback=act)
    monkeypatch.setattr("ajobs.cli._demo.command", command)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "ajobs: interrupted; the jobs have been stopped\n"),
        (OSError(28, "No space left on device"), 1, "ajobs: [Errno 28] No space left on device\n"),
        (Problem("it is so; do this"), 1, "ajobs: it is so; do this\n"),
        (Problem("too late", Status.TIMEOUT), 124, "ajobs: too late\n"),
    ],
    ids=["Ctrl-C", "disk full", "problem", "time"],
)
def test_end_without_traceback(
    error: BaseException,
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What can happen to any program is said in one line on stderr."""

    def fail() -> None:
        raise error

    with open(os.devnull, "w", encoding="utf-8") as stdout:  # noqa: PTH123  # what main may close
        monkeypatch.setattr(sys, "stdout", stdout)
        stand_in(monkeypatch, fail)

        assert main(["demo"]) == status
        assert capsys.readouterr().err == said


def test_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads our output any more, stdout leads nowhere and nothing is said."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stdout:  # noqa: PTH123  # an open descriptor
        monkeypatch.setattr(sys, "stdout", stdout)
        stand_in(monkeypatch, lambda: stdout.write("hello"))

        assert main(["demo"]) == 141
        stdout.write("what the interpreter still has to flush")
        stdout.flush()
        monkeypatch.undo()


@pytest.mark.slow
def test_full_disk() -> None:
    """What cannot be written is an error, also when it is noticed last."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123  # for a subprocess
        argv = [sys.executable, "-m", "ajobs", "--version"]
        ended = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False, timeout=30)

    assert ended.returncode == 1
    assert ended.stderr == b"ajobs: [Errno 28] No space left on device\n"


SIGNALLED = """
import os, signal, sys
import anyio
from ajobs.cli._signals import run_until_signal

async def main():
    try:
        os.kill(os.getpid(), int(sys.argv[2]))
        await anyio.sleep_forever()
    finally:
        print("cleanup", flush=True)
        if len(sys.argv) > 3:
            os.kill(os.getpid(), int(sys.argv[3]))
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(run_until_signal(main, sys.argv[1]))
"""


def signalled(backend: str, *numbers: int) -> subprocess.CompletedProcess[str]:
    """Send signals to a command that runs."""
    argv = [sys.executable, "-c", SIGNALLED, backend, *(str(int(number)) for number in numbers)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signal(backend: str, number: int, status: int, word: str) -> None:
    """A signal ends a command in order, with its status and one line."""
    ended = signalled(backend, number)

    assert ended.stdout == "cleanup\n"
    assert without_reminder(ended.stderr) == f"ajobs: {word}; the jobs have been stopped\n"
    assert ended.returncode == status


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_second_signal(backend: str) -> None:
    """Who presses Ctrl-C again does not wait for the cleanup."""
    assert signalled(backend, signal.SIGINT, signal.SIGINT).returncode == -signal.SIGINT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "status", "out", "err"),
    [
        ("<&-", 0, "", ""),
        (">&-", 1, "", "standard output is closed"),
        ("2>&-", 0, "", ""),
    ],
)
def test_closed_streams(redirection: str, status: int, out: str, err: str) -> None:
    """A standard stream that is closed is empty, and none of our files gets its number."""
    line = f"{sys.executable} -m ajobs run -- sh -c 'cat; echo lost >&2' {redirection}"
    done = subprocess.run(
        ["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert done.returncode == status
    assert done.stdout == out
    assert err in done.stderr
    assert "Traceback" not in done.stderr


def test_as_a_module() -> None:
    """``python -m ajobs`` is the same command, and passes the status on."""
    ended = run("no-such-command")

    assert ended.returncode == 2
    assert ended.stderr.startswith("ajobs: there is no command")


def test_thread_that_does_not_end_keeps_nobody() -> None:
    """Python would wait for a thread that was left behind; the command ends with its status."""
    code = """
import sys, threading, time
from ajobs.cli import console

threading.Thread(target=time.sleep, args=(600,)).start()
sys.argv = ["ajobs", "no-such-command"]
console()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 2
    assert "no-such-command" in ended.stderr
