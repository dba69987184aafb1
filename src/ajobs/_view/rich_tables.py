"""Jobs as rich shows them. Loaded by those who have rich loaded already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .rows import (
    COLUMNS,
    LEAVE_OUT,
    MOST_ROWS,
    SHRINK,
    Row,
    Viewed,
    failure_lines,
    fit,
    left_out,
    notes,
    shown,
)
from .text import GAP, cells, fitted

STYLES = {
    "NotStarted": "dim",
    "Running": "bright_blue",
    "Blocked": "yellow",
    "Stopping": "yellow",
    "Completed": "green",
    "Failed": "bold red",
    "Stopped": "dim",
}


def job_rich(job: Viewed, width: int) -> Iterable[RenderableType]:
    """Give *job* as a table of one row, with what else there is to say about it below."""
    yield table([job], width)
    failure = failure_lines(job)
    if failure:
        *lines, last = failure
        yield Text("")
        yield Text("\n".join(lines), style="dim")
        yield Text(last, style="red")
    elif job.status_message:
        yield Text(f"\n{shown(job.status_message)}")


def jobs_rich(jobs: Sequence[Viewed], width: int) -> Iterable[RenderableType]:
    """Give *jobs* as a table, with a line for each failure below."""
    yield table(jobs[:MOST_ROWS], width)
    more = left_out(jobs)
    if more:
        yield Text(more, style="dim")

    failed = notes(jobs)
    if failed:
        yield Text("")
        yield from (one_line(line, "red") for line in failed)


def one_line(text: str, style: str = "") -> Text:
    """Return *text* so that it is cut where the line ends."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def table(jobs: Iterable[Viewed], width: int) -> Table:
    """Return a table of *jobs* with the columns that fit into *width*."""
    rows = list(map(Row.of, jobs))
    natural = [max(map(cells, column)) for column in zip(COLUMNS, *rows, strict=True)]
    widths = fitted(dict(zip(COLUMNS, natural, strict=True)), width, SHRINK, LEAVE_OUT)
    grid = columns(widths, right=("Id",))
    for row in rows:
        values = dict(zip(COLUMNS, row, strict=True))
        grid.add_row(*(_cell(name, fit(name, values[name], size)) for name, size in widths.items()))

    return grid


def columns(widths: dict[str, int], right: Sequence[str], **options: Any) -> Table:
    """Return an empty table of columns with these *widths*; cells are cut, never wrapped."""
    # Two spaces between columns, as in plain text.
    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", **options)
    for name, size in widths.items():
        justify: Literal["left", "right"] = "right" if name in right else "left"
        grid.add_column(name, justify=justify, width=size, no_wrap=True, overflow="ellipsis")

    return grid


def _cell(name: str, text: str) -> Text:
    return Text(text, style=STYLES.get(text, "") if name == "State" else "")
