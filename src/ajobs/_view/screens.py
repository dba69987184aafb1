"""Where a live view is shown: on a terminal, in a notebook, or as plain lines.

These write and decide nothing else; what they show is a picture, what changed is drawn.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TextIO, TypeAlias

from .._writable import is_writable
from .estimate import Estimates
from .lines import Bars, LeftOf, Table, bars, table
from .plain import PlainLines
from .rows import Viewed

#: Rows that are shown at most: nobody reads more of them while they change.
MOST_ROWS = 20

#: The variable that says how to show progress, and what it may say.
VARIABLE = "AJOBS_PROGRESS"
WORDS = ("auto", "plain", "off")

#: What writing raises once nobody listens any more: no work must fail by that.
GONE = (OSError, ValueError)

Handler: TypeAlias = "logging.StreamHandler[TextIO]"

NEEDS_RICH = "ajobs shows live progress here once rich is installed: pip install 'ajobs[cli]'"


class Screen(Protocol):
    """Shows jobs.

    Attributes:
        every: Seconds between two pictures.
    """

    every: float

    def show(self, jobs: Sequence[Viewed], now: float) -> None:
        """Show *jobs* as they are at Unix time *now*."""

    def close(self) -> None:
        """End the view; `show` was called with the last state of things."""


class Picture(Protocol):
    """One sort of live view, in the forms that screens need.

    Attributes:
        stays: Whether the last picture is left on the screen.
    """

    stays: bool

    def look(self, jobs: Sequence[Viewed], now: float, most: int) -> Any:
        """Return what is to be seen, in at most *most* rows."""

    def by_rich(self, seen: Any, width: int) -> Any:
        """Return *seen* for rich."""

    def by_html(self, seen: Any) -> str:
        """Return *seen* as HTML."""

    def plain(self) -> PlainLines:
        """Return what says the same in lines."""


class _Estimating:
    """What pictures know of the time that is left."""

    def __init__(self) -> None:
        self._estimates = Estimates()

    def _left_at(self, jobs: Sequence[Viewed], now: float) -> LeftOf:
        self._estimates.forget_all_but({job.id for job in jobs if not job.is_finished})
        return partial(self._estimates.left, now=now)


class BarsPicture(_Estimating):
    """A bar for whatever tells how far it is; gone when all is done."""

    stays = False

    def look(self, jobs: Sequence[Viewed], now: float, most: int) -> Bars:
        return bars(jobs, most, self._left_at(jobs, now))

    def by_rich(self, seen: Bars, width: int) -> Any:
        from .rich_live import draw_bars

        return draw_bars(seen, width)

    def by_html(self, seen: Bars) -> str:
        from .html_live import bars_html

        return bars_html(seen)

    def plain(self) -> PlainLines:
        return PlainLines(tells_all=False)


class TablePicture(_Estimating):
    """A row for each job; the last table stays."""

    stays = True

    def look(self, jobs: Sequence[Viewed], now: float, most: int) -> Table:
        return table(jobs, now, most, self._left_at(jobs, now))

    def by_rich(self, seen: Table, width: int) -> Any:
        from .rich_live import draw_table

        return draw_table(seen, width)

    def by_html(self, seen: Table) -> str:
        from .html_live import table_html

        return table_html(seen)

    def plain(self) -> PlainLines:
        return PlainLines(tells_all=True)


class Terminal:
    """A part of the terminal that is drawn again and again, by rich, on standard error."""

    every = 0.1

    def __init__(self, picture: Picture) -> None:
        """Take the lower end of the terminal; what is printed meanwhile stands above."""
        from rich.console import Console
        from rich.live import Live

        self._picture = picture
        self._seen: Any = None
        self._width = 0
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=not picture.stays,
            # What is redirected to a file must not come out here.
            redirect_stdout=sys.stdout.isatty(),
            vertical_overflow="ellipsis",
        )
        streams = sys.stdout, sys.stderr
        with suppress(*GONE):
            self._live.start()

        # rich has put others in their place, which let what is written appear above.
        self._loggers = redirect_logging(dict(zip(streams, (sys.stdout, sys.stderr), strict=True)))

    def show(self, jobs: Sequence[Viewed], now: float) -> None:
        """Draw what has changed."""
        width, height = self._console.size
        seen = self._picture.look(jobs, now, max(min(MOST_ROWS, height - 5), 1))
        if (seen, width) != (self._seen, self._width) and is_writable(self._console.file):
            self._seen, self._width = seen, width
            with suppress(*GONE):
                self._live.update(self._picture.by_rich(seen, width), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        for handler, stream in self._loggers:
            handler.setStream(stream)

        with suppress(*GONE):
            self._live.stop()


class Notebook:
    """One output of a notebook's cell that is replaced again and again."""

    every = 0.25

    def __init__(self, picture: Picture) -> None:
        """Add the output to the current cell."""
        ipython: Any = import_module("IPython.display")
        self._picture = picture
        self._seen: Any = None
        self._html: Callable[[str], Any] = ipython.HTML
        self._handle: Any = ipython.display(self._html(""), display_id=True)

    def show(self, jobs: Sequence[Viewed], now: float) -> None:
        """Replace it if something has changed."""
        seen = self._picture.look(jobs, now, MOST_ROWS)
        if seen != self._seen:
            self._seen = seen
            self._handle.update(self._html(self._picture.by_html(seen)))

    def close(self) -> None:
        """Leave the last picture, or nothing."""
        if not self._picture.stays:
            self._handle.update(self._html(""))


class Plain:
    """Lines on standard error."""

    every = 1.0

    def __init__(self, picture: Picture) -> None:
        """Begin; nothing is written yet."""
        self._lines = picture.plain()

    def show(self, jobs: Sequence[Viewed], now: float) -> None:
        """Write what there is to say."""
        for line in self._lines.lines(jobs, now):
            write_line(line)

    def close(self) -> None:
        """Leave the lines."""


class Nothing:
    """No screen at all."""

    every = 10.0

    def show(self, jobs: Sequence[Viewed], now: float) -> None:
        """Show nothing."""

    def close(self) -> None:
        """End nothing."""


def redirect_logging(instead: Mapping[TextIO, TextIO]) -> list[tuple[Handler, TextIO]]:
    """Let the log handlers that write to a key of *instead* write to its value.

    They hold on to the stream that they were made with, and so would write right into the
    picture.

    Returns:
        Each of them with its own stream.
    """
    loggers = (logging.getLogger(), *logging.Logger.manager.loggerDict.values())
    handlers = (one for logger in loggers for one in getattr(logger, "handlers", ()))
    found = [
        (one, one.stream)
        for one in dict.fromkeys(handlers)
        if isinstance(one, logging.StreamHandler) and one.stream in instead
    ]
    for handler, stream in found:
        handler.setStream(instead[stream])

    return found


def write_line(line: str) -> None:
    """Write to standard error, if there is one and anybody listens."""
    with suppress(*GONE, AttributeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def wanted_word() -> str:
    """Return how the environment asks for progress to be shown.

    Raises:
        ValueError: It asks for something unknown.
    """
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted not in WORDS:
        raise ValueError(f"{VARIABLE} is {wanted!r}; it can be {', '.join(WORDS)}")

    return wanted


def open_screen(picture: Picture) -> Screen:
    """Return the screen that suits the place where the program runs.

    Raises:
        ValueError: The environment asks for something unknown.
    """
    wanted = wanted_word()
    if wanted == "off":
        return Nothing()

    if wanted == "plain":
        return Plain(picture)

    if in_notebook():
        return Notebook(picture)

    if on_terminal():
        if find_spec("rich"):
            return Terminal(picture)

        write_line(NEEDS_RICH)

    return Plain(picture)


def in_notebook() -> bool:
    """Tell whether a Jupyter kernel runs this program."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def on_terminal() -> bool:
    """Tell whether standard error is a terminal on which one can draw."""
    try:
        is_terminal = sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False

    # Somebody else draws there already, by rich too: two that move the cursor spoil both.
    is_taken = type(sys.stderr).__module__.startswith("rich.")
    is_dumb = os.environ.get("TERM", "") in ("dumb", "unknown")
    return is_terminal and not is_taken and not is_dumb
