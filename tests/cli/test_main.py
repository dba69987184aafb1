"""The command line itself: help, wrong usage, and how it ends."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from ajobs import cli
from ajobs.cli import main


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
    "arguments",
    [
        [],
        ["dmeo"],
        ["demo", "--backend"],
        ["demo", "--backend", "curio"],
        ["demo", "extra"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with status 2 and an explanation on stderr, without a traceback."""
    assert main(arguments) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "usage: ajobs" in printed.err
    assert "error: " in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["demo", "-h"]], ids=" ".join)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help goes to stdout and is no failure."""
    assert main(arguments) == 0

    printed = capsys.readouterr()
    assert "usage: ajobs" in printed.out
    assert "demo" in printed.out
    assert printed.err == ""


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


def fails_with(error: BaseException) -> Callable[[argparse.Namespace], int]:
    """Return a subcommand that raises *error*."""

    def command(options: argparse.Namespace) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "ajobs: interrupted; the jobs have been stopped\n"),
        (OSError(28, "No space left on device"), 1, "ajobs: [Errno 28] No space left on device\n"),
    ],
    ids=["Ctrl-C", "disk full"],
)
def test_end_without_traceback(
    error: BaseException,
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What can happen to any program is said in one line on stderr."""
    monkeypatch.setattr(cli, "_run_demo", fails_with(error))

    assert main(["demo"]) == status
    assert capsys.readouterr().err == said


def hello(_: argparse.Namespace) -> int:
    """Stand for a subcommand that prints."""
    sys.stdout.write("hello")
    sys.stdout.flush()
    return 0


def test_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads our output any more, stdout leads nowhere and nothing is said."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stdout:  # noqa: PTH123  # an open descriptor
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(cli, "_run_demo", hello)

        assert main(["demo"]) == 141
        stdout.write("what the interpreter still has to flush")
        stdout.flush()
        monkeypatch.undo()


@pytest.mark.slow
def test_as_a_module() -> None:
    """``python -m ajobs`` is the same command, and passes the status on."""
    ended = run("no-such-command")

    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ajobs")
