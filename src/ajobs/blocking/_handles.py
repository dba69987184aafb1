"""Jobs and handles, from the one to the other.

A verb that takes jobs takes them as handles, in any iterable; what it gives are handles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar, overload

from .._job import Job as AsyncJob
from .._table import JobList as AsyncJobList
from ._bridge import Bridge
from ._job import Job, handle
from ._seen import Seen

T = TypeVar("T")

#: Jobs, or iterables of jobs.
Jobs: TypeAlias = Job[T] | Iterable[Job[T]]


class Handles(Sequence[Job[T]]):
    """Jobs seen as handles, made when they are looked at: there may be many."""

    def __init__(self, jobs: Sequence[AsyncJob[T]], bridge: Bridge) -> None:
        self.behind = jobs
        self._bridge = bridge

    def __len__(self) -> int:
        return len(self.behind)

    @overload
    def __getitem__(self, index: int) -> Job[T]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Job[T]]: ...
    def __getitem__(self, index: int | slice) -> Job[T] | list[Job[T]]:
        if isinstance(index, slice):
            return [handle(job, self._bridge) for job in self.behind[index]]

        return handle(self.behind[index], self._bridge)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __repr__(self) -> str:
        return repr(self.behind)


class JobList(Seen, list[Job[Any]]):
    """Jobs that were found: a list that is shown as ``Get-Job`` shows them."""

    __slots__ = ()

    @property
    def _shown_as(self) -> AsyncJobList:
        return AsyncJobList(job.behind for job in self)

    def __repr__(self) -> str:
        return str(self)


def behind(jobs: Iterable[Jobs[T]]) -> list[AsyncJob[T] | Iterable[AsyncJob[T]]]:
    """Return what is behind the handles in *jobs*; what is no handle stays as it is."""
    return [_behind(one) for one in jobs]


def _behind(one: Any) -> Any:
    if isinstance(one, Job | Handles):
        return one.behind

    if isinstance(one, Iterable) and not isinstance(one, str):
        return [job.behind if isinstance(job, Job) else job for job in one]

    return one
