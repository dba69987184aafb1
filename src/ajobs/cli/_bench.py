"""``ajobs bench``: thread or process? Measured for a function of the user's own."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from shutil import get_terminal_size
from types import TracebackType
from typing import Any, Literal, TextIO

import rich_click as click

from .. import BenchReport, bench
from ._ends import Problem, Status
from ._options import backend_option
from ._targets import load_function

__all__ = ("command",)

RUNNERS = ("task", "thread", "interpreter", "process")

#: Of a long file so many lines are read: bench does not use more.
MOST_LINES = 10_000

#: What matplotlib draws everywhere.
PLOTS = (".png", ".svg", ".pdf", ".jpg", ".webp")


def _runners(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> list[str] | None:
    """Return the names among *words*, each of which may hold several."""
    names = [name for word in words for name in word.split(",")]
    for name in names:
        if name not in RUNNERS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(RUNNERS)}")

    return names or None


def _throttles(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> list[int] | None:
    """Return the numbers among *words*, each of which may hold several."""
    numbers = [number for word in words for number in word.split(",")]
    for number in numbers:
        if not number.isdecimal() or int(number) < 1:
            raise click.BadParameter(f"{number!r} is no whole number from 1")

    return [int(number) for number in numbers] or None


def _place(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Return where to write, when something can be written there."""
    if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        raise click.BadParameter(f"no file can be written at '{path}'")

    return path


def _plot_place(ctx: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Return where to draw, when this can be done."""
    if path is not None and path.suffix.lower() not in PLOTS:
        raise click.BadParameter(f"'{path}' has to end in one of {' '.join(PLOTS)}")

    if path is not None and find_spec("matplotlib") is None:
        raise Problem(
            "--plot needs matplotlib, which is not installed here: "
            "python -m pip install 'ajobs[plot]'; --report needs nothing",
            Status.USAGE,
        )

    return _place(ctx, option, path)


@click.command("bench")
@click.argument("target", metavar="[MODULE:FUNCTION]", required=False)
@click.option(
    "-i",
    "--input",
    "source",
    metavar="INPUT",
    help="The items: a file with one on each line, - for stdin, or numbers: 100 means 0 to 99, "
    "1..9 means 1 to 9.",
)
@click.option(
    "--runner",
    "runners",
    metavar="NAMES",
    multiple=True,
    callback=_runners,
    help=f"Measure only these, of {', '.join(RUNNERS)}.",
)
@click.option(
    "-j",
    "--throttle",
    "throttles",
    metavar="NUMBERS",
    multiple=True,
    callback=_throttles,
    help="How many items run at once, such as 1,4,16. [default: what suits the runner]",
)
@click.option("--quick", is_flag=True, help="Less than a minute; the figures vary more.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--report",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    callback=_place,
    help="Write a web page: charts, the table, and which slot ran which item when.",
)
@click.option(
    "--plot",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    callback=_plot_place,
    help="Draw throughput and latency over throttle.",
)
@backend_option
def command(
    target: str | None,
    source: str | None,
    runners: list[str] | None,
    throttles: list[int] | None,
    quick: bool,
    as_json: bool,
    report: Path | None,
    plot: Path | None,
    backend: Literal["asyncio", "trio"],
) -> None:
    """Thread or process? Measure a function and say which to take.

    Runs the function as task, in threads, interpreters and processes, and in a plain loop,
    over several throttles, in turns. Without a function: three built-in ones, that wait,
    compute in Python, and compute in C.

        ajobs bench --quick
        ajobs bench shop.images:resize --input paths.txt --report bench.html
        ajobs bench math:factorial --input 1..500 --runner thread,process -j 1,4

    The function is called with one item at a time, many times with the same ones; lines of a
    file come as text. What it prints is not shown.
    """
    fn, items = _asked(target, source)
    with _without_stdout(), _progress(sys.stderr) as tell:
        try:
            found = bench(
                fn,
                items,
                runners=runners,
                throttles=throttles,
                quick=quick,
                backend=backend,
                progress=tell,
            )
        except Exception as error:
            raise _problem(error) from error

    print(json.dumps(found.as_dict(), indent=2) if as_json else found)
    _save(found, report, plot)


def _asked(
    target: str | None, source: str | None
) -> tuple[Callable[..., Any] | None, Iterable[Any] | None]:
    """Return the function and the items."""
    if target is None:
        if source is not None:
            raise click.UsageError("--input is for a function of yours: name it, MODULE:FUNCTION")

        return None, None

    if source is None:
        raise click.UsageError(
            f"what is {target} to be called with? Give --input FILE, --input 100 or --input 1..9"
        )

    fn = load_function(target)
    return fn, read_items(source)


def read_items(source: str) -> Iterable[str] | range:
    """Return the items that the word *source* stands for.

    Raises:
        BadParameter: It is no numbers, and no file that can be read.
    """
    if source.isdecimal():
        return range(int(source))

    if numbers := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", source):
        first, last = map(int, numbers.groups())
        step = 1 if first <= last else -1
        return range(first, last + step, step)

    try:
        with sys.stdin if source == "-" else Path(source).open(encoding="utf-8") as lines:
            return [line for line in map(str.rstrip, islice(lines, MOST_LINES)) if line]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise click.BadParameter(
            f"{source!r} cannot be read ({why}); numbers are written 100 or 1..9",
            param_hint="'--input'",
        ) from error


@contextmanager
def _without_stdout() -> Generator[None]:
    """Let stdout lead nowhere, also for the programs that the function starts."""
    sys.stdout.flush()
    try:
        number = sys.stdout.fileno()
    except io.UnsupportedOperation:  # it is no file of the system
        yield
        return

    kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


@contextmanager
def _progress(stream: TextIO) -> Generator[Callable[[str, int, int], None] | None]:
    """Give what shows one line of progress on a terminal, and takes it away at the end."""
    if not stream.isatty():
        yield None
        return

    def show(what: str, done: int, total: int) -> None:
        line = f"{done:>3} of {total}  {what}"
        print(f"\r\x1b[K{line[: get_terminal_size().columns - 1]}", end="", file=stream, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=stream, flush=True)


def _problem(error: Exception) -> Exception:
    """Return what to tell about *error*."""
    item = next((note for note in getattr(error, "__notes__", ()) if note.startswith("item ")), "")
    if item:
        _print_traceback(error)
        return Problem(f"the function failed for {item}; mend it, or leave that item out")

    if isinstance(error, TypeError | ValueError):
        return Problem(str(error), Status.USAGE)

    return error


def _print_traceback(error: Exception) -> None:
    """Print where *error* came from, without our own part of the way."""
    home = str(Path(__file__).parent.parent)
    trace: TracebackType | None = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename.startswith(home):
        trace = trace.tb_next

    print(*traceback.format_exception(type(error), error, trace), sep="", end="", file=sys.stderr)


def _save(found: BenchReport, report: Path | None, plot: Path | None) -> None:
    if report is not None:
        found.save_html(report)
        print(f"Wrote {report}", file=sys.stderr)

    if plot is not None:
        found.save_plot(plot)
        print(f"Wrote {plot}", file=sys.stderr)
