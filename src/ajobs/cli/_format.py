"""Jobs and numbers as text for people. Pure functions; 80 columns unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import Job

__all__ = ("cut", "job_table", "megabytes")

COLUMNS: dict[str, Callable[[Job[Any]], object]] = {
    "Id": lambda job: job.id,
    "Name": lambda job: job.name,
    "Kind": lambda job: job.kind,
    "State": lambda job: job.state,
    "HasMoreData": lambda job: job.has_more_data,
    "Location": lambda job: job.location,
    "Command": lambda job: job.command,
}


def job_table(jobs: Iterable[Job[Any]], width: int = 80) -> str:
    """Return *jobs* as the table that ``Get-Job`` prints, a line for each.

    The last column gets what is left of *width*.
    """
    rows = [tuple(COLUMNS), tuple("-" * len(name) for name in COLUMNS)]
    rows += [tuple(str(value(job)) for value in COLUMNS.values()) for job in jobs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # The first column holds numbers, with nothing but space to their left.
    lines = [
        "  ".join([row[0].rjust(widths[0]), *map(str.ljust, row[1:-1], widths[1:-1])])
        for row in rows
    ]
    left = max(width - len(lines[0]) - 2, len("Command"))
    return "\n".join(f"{line}  {cut(row[-1], left)}" for line, row in zip(lines, rows, strict=True))


def cut(text: str, width: int) -> str:
    """Return *text* in at most *width* characters.

    Of a path or a dotted name the last parts are kept, since they tell most; of other text
    the beginning.
    """
    if len(text) <= width:
        return text

    kept = width - len("...")
    if " " in text:
        return f"{text[:kept]}..."

    end = text[-kept:]
    mark = "/" if "/" in text else "."
    _, found, parts = end.partition(mark)
    return f"...{found}{parts}" if found and mark == "/" else f"...{parts or end}"


def megabytes(size: int) -> str:
    """Return *size* bytes in megabytes, such as ``12.3 MB``."""
    return f"{size / 1e6:,.1f} MB"
