"""The ``ajobs`` command.

Data goes to stdout, everything else to stderr. Each subcommand is a module of its own,
loaded when it is asked for, with a function that returns the exit status.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ("main",)

FAILURE = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, by default the one of this process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C.
    """
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print("ajobs: interrupted; the jobs have been stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads our output any more. Python flushes stdout once more at exit, which must
        # not fail again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return BROKEN_PIPE
    except OSError as error:
        print(f"ajobs: {error}", file=sys.stderr)
        return FAILURE


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has printed its message, or the help
        return USAGE if end.code else 0

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal cannot show must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")

    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ajobs", description="PowerShell's background jobs for async Python."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="command", required=True)

    demo = commands.add_parser(
        "demo",
        help="watch real jobs at work; no network, a few seconds",
        description="Hash the standard library in threads while tasks ask a small web server "
        "on this machine; receive, wait, stop, fail, and list the jobs.",
    )
    demo.add_argument(
        "--backend",
        choices=("asyncio", "trio"),
        default="asyncio",
        help="the event loop to run on (default: %(default)s)",
    )
    demo.set_defaults(run=_run_demo)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that reads files, and needs an installed copy."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"ajobs {version('ajobs')}")
        except PackageNotFoundError:
            print("ajobs, from a source tree that is not installed")

        parser.exit()


def _run_demo(options: argparse.Namespace) -> int:
    from ._demo import demo

    return demo(options.backend)
