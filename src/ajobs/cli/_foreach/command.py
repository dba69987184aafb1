"""``ajobs foreach``: its options. What they mean is loaded when something is to run."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import rich_click as click

from .._options import SECONDS, WORDS, backend_option, runner_option
from .halt import Halt, parse

__all__ = ("command",)


class Throttle(click.ParamType[int]):
    """How many at once: a number, or a share of the CPUs."""

    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the number that *value* means."""
        match = re.fullmatch(r"(\d{1,9})(%?)", str(value))
        if match is None or not int(match[1]):
            self.fail(f"{value!r} is no number of jobs: write 8, or 50% for half the CPUs")

        number = int(match[1])
        return max(1, cpus() * number // 100) if match[2] else number


class HaltRule(click.ParamType[Halt]):
    """A rule for giving up."""

    name = "RULE"

    def convert(self, value: Any, param: Any, ctx: Any) -> Halt:
        """Return the rule that *value* means."""
        try:
            return parse(value)
        except ValueError as error:
            self.fail(str(error))


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command("foreach", context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND... [::: ITEM...]", nargs=-1, required=True, type=WORDS)
@click.option(
    "-j",
    "--throttle",
    "--jobs",
    type=Throttle(),
    default="100%",
    help="Most at once: 8, or 50% of the CPUs. [default: 100%]",
)
@click.option("-k", "--keep-order", is_flag=True, help="Print in the order of the items.")
@click.option("-a", "--arg-file", metavar="FILE", help="Read the items from FILE, one a line.")
@click.option("-0", "--null", is_flag=True, help="Items end with a null byte, not with a line.")
@click.option("--tag", is_flag=True, help="Put the item before each line of its output.")
@click.option("--dry-run", is_flag=True, help="Print what would be run.")
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="End an item that runs longer; it has failed.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    help="Try an item N times until it succeeds.",
)
@click.option(
    "--halt",
    type=HaltRule(),
    default="never",
    help="Give up: now,fail=1 stops the others, soon,fail=3 lets those that run finish. "
    "[default: never]",
)
@click.option(
    "--bar", "--eta", is_flag=True, help="Show on stderr how far it is, and how long it will take."
)
@click.option(
    "--joblog", type=click.Path(path_type=Path), metavar="FILE", help="Note what has run."
)
@click.option("--resume", is_flag=True, help="Leave out what has run by the job log.")
@click.option(
    "--resume-failed",
    is_flag=True,
    help="Leave out what has succeeded; run again what has failed.",
)
@runner_option
@click.option("--raw", is_flag=True, help="Do not escape control characters on a terminal.")
@click.option("--jsonl", is_flag=True, help="Print a line of JSON for each item.")
@backend_option
def command(words: tuple[str, ...], backend: str, **options: Any) -> int:
    """Run a command, or call a function, for each of many items at once.

    Items are read from the command line after three colons, from a file, or from standard
    input, as they are needed:

        ajobs foreach gzip -9 ::: *.log
        find . -name '*.png' | ajobs foreach -j4 --bar optipng
        ajobs foreach --tag ping -c1 {} ::: alpha beta
        ajobs foreach -k package.module:function ::: 1 2 3

    {} is the item (without it, the item is the last argument), {.} the item without its
    extension, {/} its last part, {//} the folder, {/.} both, {#} its number. What an item
    prints comes in one piece, when it has ended.

    No shell takes the command apart. Where you need one, name it:

        ajobs foreach sh -c 'gunzip < "$1" | wc -l' sh {} ::: *.gz
    """
    from .plan import carry  # the help does without an event loop

    return carry(words, backend, options)
