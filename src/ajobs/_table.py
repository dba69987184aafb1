"""Finding jobs: pure functions over a table of them.

PowerShell's rules for names, wildcards and filters. This file changes no job and no table.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ._checks import count
from ._errors import JobNotFound
from ._job import Job
from ._state import JobState

if TYPE_CHECKING:
    from datetime import datetime

Table: TypeAlias = Mapping[int, Job[Any]]


class JobList(list[Job[Any]]):
    """Jobs that were found: a list that is shown as ``Get-Job`` shows them."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return a table."""
        if not self:
            return "[]"

        from ._view.rows import jobs_text, terminal_width  # loaded by who looks

        return jobs_text(self, terminal_width())

    __repr__ = __str__

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        """Show the same by rich, in colour."""
        from ._view.rich_tables import jobs_rich

        return jobs_rich(self, options.max_width) if self else ["[]"]

    def _repr_html_(self) -> str:
        from ._view.html import jobs_html

        return jobs_html(self)


_WILD = re.compile(r"[*?\[]")


def one_by_id(table: Table, job_id: int) -> Job[Any]:
    """Return the job with *job_id*, children included.

    Raises:
        JobNotFound: There is none.
    """
    found = table.get(job_id) or next((one for one in _children(table) if one.id == job_id), None)
    if found is None:
        raise JobNotFound(f"no job {job_id} in this session; it may have been removed")

    return found


def one_by_name(table: Table, name: str) -> Job[Any]:
    """Return the only job named exactly *name*.

    Raises:
        JobNotFound: None has this name, or several have.
    """
    found = [one for one in table.values() if one.name == name]
    if len(found) == 1:
        return found[0]

    if found:
        ids = ", ".join(str(one.id) for one in found)
        raise JobNotFound(f"several jobs are named {name!r}: use one of the ids {ids}")

    raise JobNotFound(f"no job named {name!r} in this session")


def select(
    table: Table,
    *,
    name: str | Iterable[str] | None,
    id: int | Iterable[int] | None,  # noqa: A002  # the word of the field
    kind: str | None,
    state: JobState | str | None,
    has_more_data: bool | None,
    before: datetime | None,
    after: datetime | None,
    newest: int | None,
    children: bool,
) -> JobList:
    """Return the jobs that pass all filters, in id order. See `Session.get`."""
    most = count(newest, "newest", least=0)
    wanted = None if state is None else _state(state)
    begin, end = _time(after, "after"), _time(before, "before")
    if id is None:
        jobs = [*table.values(), *(_children(table) if children else ())]
    else:
        asked = dict.fromkeys([id] if isinstance(id, int) else id)
        jobs = [one_by_id(table, job_id) for job_id in asked]

    if name is not None:
        jobs = _with_names(jobs, name)

    found = [
        one
        for one in jobs
        if (kind is None or one.kind == kind)
        and (wanted is None or one.state is wanted)
        and (has_more_data is None or one.has_more_data == has_more_data)
        and (begin is None or (one.end_time is not None and one.end_time > begin))
        and (end is None or (one.end_time is not None and one.end_time < end))
    ]
    if most is not None:
        found = _newest(found, most)

    return JobList(sorted(found, key=lambda one: one.id))


def _children(table: Table) -> Iterable[Job[Any]]:
    return (child for one in table.values() for child in one.children)


def _with_names(jobs: list[Job[Any]], names: str | Iterable[str]) -> list[Job[Any]]:
    found: dict[Job[Any], None] = {}
    for name in [names] if isinstance(names, str) else names:
        matches = re.compile(fnmatch.translate(name.casefold())).match
        named = [one for one in jobs if matches(one.name.casefold())]
        if not named and not _WILD.search(name):
            raise JobNotFound(f"no job named {name!r} in this session")

        found.update(dict.fromkeys(named))

    return list(found)


def _newest(jobs: list[Job[Any]], most: int) -> list[Job[Any]]:
    # Only finished jobs have an end to compare by.
    ended = [(one.end_time, one.id, one) for one in jobs if one.end_time is not None]
    ended.sort(key=lambda row: row[:2], reverse=True)
    return [one for _, _, one in ended[:most]]


def _state(value: JobState | str) -> JobState:
    for state in JobState:
        if str(value).casefold() == state.value.casefold():
            return state

    raise ValueError(f"unknown state {value!r}: there are {', '.join(JobState)}")


def _time(value: datetime | None, name: str) -> datetime | None:
    if value is not None and (getattr(value, "tzinfo", None) is None):
        raise ValueError(f"{name} must be an aware datetime, such as datetime.now(UTC): {value!r}")

    return value
