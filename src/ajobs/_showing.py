"""`show_progress`: bars for jobs, for as long as a block runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn

from ._job import Job
from ._view.live import bars
from ._waiting import Jobs

__all__ = ("show_progress",)


def show_progress(*jobs: Jobs[Job[Any]]) -> AbstractAsyncContextManager[None]:
    """Show what jobs tell by `write_progress` and `track` as bars, while a block runs.

    ``async with ajobs.show_progress(jobs):`` in the block of a session shows all its jobs,
    those to come included. Leaving the block waits until they have finished, as leaving the
    session does; leaving it by an exception does not wait. The bars are sampled: jobs pay
    nothing for being shown. See `Session.watch` for where and how they are shown.

    Args:
        jobs: Sessions, jobs, and iterables of jobs.

    Raises:
        TypeError: Something is none of these.
        ValueError: ``AJOBS_PROGRESS`` is none of its words; on entering.
    """
    sources: list[Iterable[Job[Any]]] = []
    for one in jobs:
        if isinstance(one, Job):
            sources.append([one])
        elif isinstance(one, Iterable):
            # A session is asked again each time; what can be read once only is read now.
            sources.append(list(one) if iter(one) is one else one)
        else:
            refuse(one)

    def found() -> Iterable[Job[Any]]:
        return dict.fromkeys(job for source in sources for job in source)

    for job in found():
        if not isinstance(job, Job):
            refuse(job)

    return bars(found)


def refuse(thing: object) -> NoReturn:
    """Raise for what is neither a job nor holds any."""
    raise TypeError(f"show_progress() takes sessions and jobs, not {thing!r:.80}")
