"""Jobs and bars as HTML, for notebooks. Pure functions; it reads well on white and on black."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .rows import COLUMNS, MOST_ROWS, Row, Viewed, failure_lines, left_out, shown

#: Of a lightness between that of white paper and of a black screen.
COLOURS = {
    "NotStarted": "#8a8f98",
    "Running": "#2f86eb",
    "Blocked": "#b07d10",
    "Stopping": "#b07d10",
    "Completed": "#2c9a4b",
    "Failed": "#e5484d",
    "Stopped": "#8a8f98",
}

#: Failures of a table that can be folded open.
_MOST_FOLDED = 20

#: Columns of numbers, which stand to the right.
_NUMBERS = frozenset({"Id", "Time"})

_STYLE = (
    "<style>"
    ".ajobs{overflow-x:auto;max-height:40em;font-size:13px}"
    ".ajobs table{border-collapse:collapse;margin:.3em 0;color:inherit;font-size:inherit}"
    ".ajobs th,.ajobs td{text-align:left;padding:.25em .9em .25em 0;border:0;"
    "max-width:28em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}"
    ".ajobs th{border-bottom:1px solid #8a8f98;font-weight:600}"
    ".ajobs td.n,.ajobs th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".ajobs p{margin:.3em 0}"
    ".ajobs pre{white-space:pre-wrap;font-size:12px;margin:.4em 0 .4em .2em;"
    "padding-left:.7em;border-left:3px solid #e5484d;background:none;color:inherit}"
    ".ajobs progress{width:12em;vertical-align:middle}"
    "</style>"
    # Said three times it outweighs what the page of a notebook says of all tables.
).replace(".ajobs", ".ajobs.ajobs.ajobs")


def job_html(job: Viewed) -> str:
    """Return *job* as a table of one row, with its failure below."""
    lines = failure_lines(job) or [shown(text) for text in (job.status_message,) if text]
    below = f"<pre>{text_of(lines)}</pre>" if lines else ""
    return block(table([job]), below)


def jobs_html(jobs: Sequence[Viewed]) -> str:
    """Return *jobs* as a table, with the failures below, folded."""
    failed = [job for job in jobs if job.unseen_reason is not None]
    folded = "".join(map(_folded, failed[:_MOST_FOLDED]))
    more = (left_out(jobs), _more_failed(len(failed) - _MOST_FOLDED))
    return block(table(jobs[:MOST_ROWS]), folded, *(f"<p>{text}</p>" for text in more if text))


def _more_failed(count: int) -> str | None:
    return f"... and {count:,} more have failed" if count > 0 else None


def _folded(job: Viewed) -> str:
    title = f"{shown(job.name)}: {shown(job.status_message)}"
    return (
        f"<details><summary>{escape(title)}</summary>"
        f"<pre>{text_of(failure_lines(job))}</pre></details>"
    )


def block(*parts: str) -> str:
    """Return *parts* as one piece of a page, with its style."""
    return f'<div class="ajobs">{_STYLE}{"".join(parts)}</div>'


def table(jobs: Iterable[Viewed]) -> str:
    """Return a table of *jobs*."""
    return grid(COLUMNS, (_row(Row.of(job)) for job in jobs))


def grid(titles: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table with these *titles*; each of *rows* is its cells."""
    head = "".join(
        f'<th class="n">{title}</th>' if title in _NUMBERS else f"<th>{title}</th>"
        for title in titles
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(row: Row) -> str:
    return "".join(
        cell(text, "n")
        if column == "Id"
        else f"<td>{state_html(text)}</td>"
        if column == "State"
        else cell(text)
        for column, text in zip(COLUMNS, row, strict=True)
    )


def state_html(state: str) -> str:
    """Return the word for a state in its colour."""
    return f'<span style="color:{COLOURS.get(state, "inherit")};font-weight:600">{state}</span>'


def text_of(lines: Iterable[str]) -> str:
    """Return *lines* as the inside of an element."""
    return escape("\n".join(lines))


def cell(text: str, style: str = "") -> str:
    """Return *text* as a cell, of the class *style*."""
    return f'<td class="{style}">{escape(text)}</td>' if style else f"<td>{escape(text)}</td>"
