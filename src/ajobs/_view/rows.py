"""Jobs as the rows of a table, with the columns of PowerShell's ``Get-Job``. Pure functions."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from .._records import Progress
from .._state import JobState
from .._text import clean, line_of
from .text import GAP, cells, clean_lines, cut, cut_name, fitted, middle_out, pad

COLUMNS = ("Id", "Name", "Kind", "State", "HasMoreData", "Location", "Command")

#: Jobs, failures and lines of a traceback that one view shows; more are counted.
MOST_ROWS = 1000
MOST_FAILURES = 10
MOST_LINES = 90

#: Longest text of one value: nobody reads on, and a terminal takes long to draw it.
MOST_TEXT = 500

#: What may be cut in a narrow table, first to last, and the width at which that ends.
SHRINK = (("Command", 16), ("Location", 9), ("Name", 12), ("Command", 7))

#: What is left out of a table too narrow even for that, first to last.
LEAVE_OUT = ("Location", "HasMoreData", "Kind", "Command")


class Viewed(Protocol):
    """A job, as all views see it."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> JobState: ...
    @property
    def has_more_data(self) -> bool: ...
    @property
    def location(self) -> str: ...
    @property
    def command(self) -> str: ...
    @property
    def is_finished(self) -> bool: ...
    @property
    def status_message(self) -> str: ...
    @property
    def progress(self) -> Sequence[Progress]: ...
    @property
    def children(self) -> Sequence[Viewed]: ...
    @property
    def queued_seconds(self) -> float: ...
    @property
    def begin_seconds(self) -> float | None: ...
    @property
    def end_seconds(self) -> float | None: ...
    @property
    def unseen_reason(self) -> BaseException | None: ...
    @property
    def unseen_traceback(self) -> TracebackType | None: ...


class Row(NamedTuple):
    """One job, each value as text that can be shown anywhere."""

    id: str
    name: str
    kind: str
    state: str
    has_more_data: str
    location: str
    command: str

    @classmethod
    def of(cls, job: Viewed) -> Row:
        """Look at *job* once."""
        return cls(
            str(job.id),
            shown(job.name),
            shown(job.kind),
            str(job.state),
            str(job.has_more_data),
            shown(job.location),
            shown(job.command),
        )


def shown(value: object) -> str:
    """Return *value* as one line of harmless text."""
    return cut(clean(str(value)[: 2 * MOST_TEXT]), MOST_TEXT)


def failure_lines(job: Viewed) -> list[str]:
    """Return how *job* failed, with its traceback, the far side's included; [] if it did not.

    It does not count as having seen the failure.
    """
    reason = job.unseen_reason
    if reason is None:
        return []

    try:
        parts = traceback.format_exception(type(reason), reason, job.unseen_traceback)
    except Exception:  # noqa: BLE001  # methods of the user's exception may raise anything
        parts = [line_of(reason)]

    lines = clean_lines("".join(parts).rstrip("\n"))
    return [cut(line, 2 * MOST_TEXT) for line in middle_out(lines, MOST_LINES)]


def notes(jobs: Iterable[Viewed]) -> list[str]:
    """Return a line for each of *jobs* that failed, as far as they help."""
    failed = [job for job in jobs if job.state is JobState.FAILED]
    lines = [
        f"{shown(job.name)}: {shown(job.status_message)}" for job in islice(failed, MOST_FAILURES)
    ]
    if len(failed) > MOST_FAILURES:
        lines.append(f"... and {len(failed) - MOST_FAILURES:,} more have failed")

    return lines


def left_out(jobs: Collection[Any]) -> str | None:
    """Return the line that stands for the jobs beyond the last row."""
    return f"... and {len(jobs) - MOST_ROWS:,} more jobs" if len(jobs) > MOST_ROWS else None


def terminal_width() -> int:
    """Return the columns of the terminal, 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def job_text(job: Viewed, width: int) -> str:
    """Return *job* as a table of one row, with what else there is to say about it below."""
    below = failure_lines(job) or [shown(text) for text in (job.status_message,) if text]
    return "\n".join([*table([job], width), *(["", *below] if below else [])])


def jobs_text(jobs: Sequence[Viewed], width: int) -> str:
    """Return *jobs* as a table, with a line for each failure below."""
    lines = table(jobs[:MOST_ROWS], width)
    lines += filter(None, [left_out(jobs)])
    below = [cut(line, max(width, 20)) for line in notes(jobs)]
    return "\n".join([*lines, *(["", *below] if below else [])])


def table(jobs: Iterable[Viewed], width: int) -> list[str]:
    """Return the lines of a table of *jobs*, in at most *width* columns if that can be done."""
    rows = [COLUMNS, tuple("-" * len(name) for name in COLUMNS), *map(Row.of, jobs)]
    natural = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    widths = fitted(dict(zip(COLUMNS, natural, strict=True)), width, SHRINK, LEAVE_OUT)
    return [_line(row, widths) for row in rows]


def _line(row: Iterable[str], widths: dict[str, int]) -> str:
    values = dict(zip(COLUMNS, row, strict=True))
    texts = [
        # Numbers stand to the right.
        values[name].rjust(size) if name == "Id" else pad(fit(name, values[name], size), size)
        for name, size in widths.items()
    ]
    return (" " * GAP).join(texts).rstrip()


def fit(column: str, text: str, width: int) -> str:
    """Return *text* as it stands in a *column* that is so wide."""
    return cut_name(text, width) if column in {"Command", "Location"} else cut(text, width)
