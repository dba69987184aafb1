"""The pictures of a live view as HTML."""

from __future__ import annotations

from html import escape

from .html import block, cell, grid, state_html
from .lines import Bars, Line, Table, Totals


def bars_html(picture: Bars) -> str:
    """Return bars with, if there are several jobs, all of them together below."""
    rows = "".join(
        f'<tr><td style="padding-left:{1.5 * bar.depth}em">{escape(bar.title)}</td>'
        f"<td>{_drawn(bar.fraction)}</td>"
        + cell(bar.amount, "n")
        + cell(bar.left, "n")
        + cell(bar.text)
        + "</tr>"
        for bar in picture.bars
    )
    return block(
        f"<table><tbody>{rows}</tbody></table>", *_below(picture.more, "bars", picture.totals)
    )


def table_html(picture: Table) -> str:
    """Return a table of jobs with all of them counted below."""
    has_bars = any(line.fraction is not None for line in picture.lines)
    titles = ("Id", "Name", "Kind", "State", "Time", *(["Progress"] if has_bars else []), "")
    rows = (_row(line, has_bars) for line in picture.lines)
    return block(grid(titles, rows), *_below(picture.more, "jobs", picture.totals))


def _row(line: Line, has_bars: bool) -> str:
    return (
        cell(line.id, "n")
        + cell(line.name)
        + cell(line.kind)
        + f"<td>{state_html(line.state)}</td>"
        + cell(line.time, "n")
        + (f"<td>{_drawn(line.fraction)}</td>" if has_bars else "")
        + cell(line.text)
    )


def _drawn(fraction: float | None) -> str:
    return "" if fraction is None else f'<progress max="1" value="{fraction:.3f}"></progress>'


def _below(more: int, what: str, totals: Totals) -> list[str]:
    left_out = [f"<p>... and {more:,} more {what}</p>"] if more else []
    return [*left_out, *([f"<p>{escape(totals.text)}</p>"] if totals.jobs > 1 else [])]
