"""The pictures of a live view as rich draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from .lines import Bar, Bars, Line, Table, Totals
from .rich_tables import STYLES, columns, one_line
from .text import cells, fitted

#: Widest bar.
_MOST_BAR = 32

_BAR = "Progress"

_BARS_SHRINK = (
    *(("Text", 24), (_BAR, 20), ("Text", 16), (_BAR, 16)),
    *(("Title", 20), (_BAR, 8), ("Text", 8), ("Title", 8)),
)
_BARS_LEAVE_OUT = ("Text", "Left", _BAR)

_TABLE_SHRINK = (("Text", 24), ("Name", 16), (_BAR, 8), ("Text", 12), ("Name", 8))
_TABLE_LEAVE_OUT = ("Kind", "Text", _BAR, "Time")

Cells = Mapping[str, Text | float | None]


def draw_bars(picture: Bars, width: int) -> RenderableType:
    """Return bars with, if there are several jobs, all of them together below."""
    rows = list(map(_bar_cells, picture.bars))
    parts = [_grid(rows, width, _BARS_SHRINK, _BARS_LEAVE_OUT, has_head=False)] if rows else []
    return Group(*parts, *_below(picture.more, "bars", picture.totals))


def _bar_cells(bar: Bar) -> Cells:
    return {
        "Title": Text("  " * bar.depth + bar.title),
        _BAR: bar.fraction,
        "Amount": Text(bar.amount),
        "Left": Text(bar.left, style="cyan"),
        "Text": Text(bar.text, style="dim"),
    }


def draw_table(picture: Table, width: int) -> RenderableType:
    """Return a table of jobs with all of them counted below."""
    rows = list(map(_line_cells, picture.lines))
    table = _grid(rows, width, _TABLE_SHRINK, _TABLE_LEAVE_OUT, has_head=True)
    return Group(table, *_below(picture.more, "jobs", picture.totals))


def _line_cells(line: Line) -> Cells:
    return {
        "Id": Text(line.id),
        "Name": Text(line.name),
        "Kind": Text(line.kind),
        "State": Text(line.state, style=STYLES.get(line.state, "")),
        "Time": Text(line.time),
        _BAR: line.fraction,
        "Text": Text(line.text, style="red" if line.state == "Failed" else "dim"),
    }


def _grid(
    rows: Sequence[Cells],
    width: int,
    shrink: Sequence[tuple[str, int]],
    leave_out: Sequence[str],
    *,
    has_head: bool,
) -> RenderableType:
    """Return *rows* in columns that fit; those with nothing in them take no room."""
    natural = {
        name: max(_natural(name, row[name], has_head) for row in rows) for name in (rows or [{}])[0]
    }
    used = {name: size for name, size in natural.items() if size}
    widths = fitted(used, width, shrink, leave_out)
    grid = columns(widths, right=("Id", "Time", "Amount", "Left"), show_header=has_head)
    for column in grid.columns:
        column.header = "" if column.header == "Text" else column.header

    for row in rows:
        grid.add_row(*(_drawn(row[name], size) for name, size in widths.items()))

    return grid


def _natural(name: str, value: Text | float | None, has_head: bool) -> int:
    if isinstance(value, Text):
        head = len(name) if has_head and name != "Text" else 0
        return max(cells(value.plain), head)

    return 0 if value is None else _MOST_BAR


def _drawn(value: Text | float | None, width: int) -> RenderableType:
    if isinstance(value, Text):
        return value

    return "" if value is None else ProgressBar(total=1.0, completed=value, width=width)


def _below(more: int, what: str, totals: Totals) -> list[RenderableType]:
    left_out = [one_line(f"... and {more:,} more {what}", "dim")] if more else []
    return [*left_out, *([_total(totals)] if totals.jobs > 1 else [])]


def _total(totals: Totals) -> Text:
    text = one_line(f"{totals.jobs:,} jobs: ")
    for place, (state, count) in enumerate(totals.states):
        text.append(", " if place else "")
        text.append(f"{count:,} {state}", STYLES.get(state, ""))

    return text
