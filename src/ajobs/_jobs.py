"""The jobs that a session has: found, followed, stopped and removed.

What can be done with jobs that are there, whoever started them and however they run. It
begins and ends no job itself.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import anyio

from ._blocking import current_subject
from ._checks import count, seconds
from ._errors import DeadlockError, JobNotFinished, JobNotFound, JobStuck
from ._following import SessionFollower
from ._job import Job
from ._state import JobState
from ._table import JobList, one_by_id, one_by_name, select
from ._waiting import Jobs, flat

if TYPE_CHECKING:
    from datetime import datetime

AnyJobs = Jobs[Job[Any]]


class JobTable:
    """The jobs of one session, in the order of their ids."""

    name: str | None

    def __init__(self, retain: int | None, stop_grace: float) -> None:
        """Begin with none; see `ajobs.Session` for *retain* and *stop_grace*."""
        self._retain = count(retain, "retain", least=0)
        self._stop_grace = seconds(stop_grace, "stop_grace")
        self._table: dict[int, Job[Any]] = {}
        self._finished: dict[int, None] = {}
        self._followers: weakref.WeakSet[SessionFollower] = weakref.WeakSet()
        self._is_followed = False
        self._is_closed = False

    def __getitem__(self, key: int | str) -> Job[Any]:
        """Return the job with this id, or the only one with exactly this name.

        Raises:
            JobNotFound: None has it, or several have this name.
        """
        return (
            one_by_id(self._table, key) if isinstance(key, int) else one_by_name(self._table, key)
        )

    def __iter__(self) -> Iterator[Job[Any]]:
        """Iterate over a snapshot of the jobs, in id order."""
        return iter(list(self._table.values()))

    def __len__(self) -> int:
        """Return how many jobs are in the table."""
        return len(self._table)

    def __contains__(self, job: object) -> bool:
        """Tell whether *job* is in the table."""
        return isinstance(job, Job) and self._table.get(job.id) is job

    def __bool__(self) -> bool:
        """Return True: a session without jobs is a session."""
        return True

    def __str__(self) -> str:
        """Return the table that ``Get-Job`` shows, or its `repr` without jobs."""
        return str(JobList(self)) if self._table else repr(self)

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        """Show the same by rich, in colour."""
        return JobList(self).__rich_console__(console, options) if self._table else [repr(self)]

    def _repr_html_(self) -> str:
        return JobList(self)._repr_html_()

    def get(
        self,
        name: str | Iterable[str] | None = None,
        id: int | Iterable[int] | None = None,  # noqa: A002  # the word of the field
        kind: str | None = None,
        state: JobState | str | None = None,
        has_more_data: bool | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        newest: int | None = None,
        children: bool = False,
    ) -> list[Job[Any]]:
        """Return the jobs that pass all the filters given, in id order.

        Args:
            name: Names, or patterns with ``*``, ``?`` and ``[...]``, ignoring case.
            id: Ids.
            kind: The word of a runner, such as "thread".
            state: A `JobState`, or its word in any case.
            has_more_data: Whether something is unread.
            before: Finished before this time (aware).
            after: Finished after this time (aware).
            newest: Of those left, the finished ones that ended last, this many.
            children: Look at the children of jobs too.

        Raises:
            JobNotFound: An id, or a name without wildcards, belongs to no job. A pattern
                that fits nothing gives an empty list.
            ValueError: A state is unknown, or a time is not aware.
        """
        return select(
            self._table,
            name=name,
            id=id,
            kind=kind,
            state=state,
            has_more_data=has_more_data,
            before=before,
            after=after,
            newest=newest,
            children=children,
        )

    def follow(self) -> SessionFollower:
        """Iterate over ``(job, record)`` for every record and change of state of all jobs.

        It begins with what the jobs hold, goes on with each as it comes, jobs started later
        included, and ends when the session has closed. Nothing is taken.
        """
        follower = SessionFollower()
        for job in self._table.values():
            follower.add(job)

        self._followers.add(follower)
        self._is_followed = True
        if self._is_closed:
            follower.end()

        return follower

    async def watch(self) -> None:
        """Show a live table of the jobs until all have finished, those to come included.

        On a terminal (standard error) it needs rich, of the extra ``cli``; in a notebook it
        is one output of the cell; elsewhere it is a line for each job every ten seconds and
        at its end. The environment variable ``AJOBS_PROGRESS`` can be ``plain`` or ``off``.
        Nothing is taken from the jobs, and no failure counts as seen. Cancelling it leaves
        the jobs alone.

        Raises:
            ValueError: ``AJOBS_PROGRESS`` is something else.
        """
        from ._view.live import watch  # loaded by those who look

        await watch(self.__iter__)

    def trace(self, path: str | os.PathLike[str]) -> None:
        """Write a time line of the jobs to *path*, for https://ui.perfetto.dev or chrome://tracing.

        Jobs that ran side by side stand in slots below one another; the time that each spent
        in the queue stands apart, as do the children of jobs. It can be called at any time,
        also when the session has closed; a job that still runs lasts until now. Jobs that
        were removed are missing. No failure counts as seen. The file is written at once.

        Raises:
            OSError: It cannot be written.
        """
        from ._view.trace import trace  # loaded by those who look

        title = f"ajobs {self.name}" if self.name else "ajobs"
        Path(path).write_text(trace(list(self), title, time()), encoding="utf-8")

    # Stopping and removing

    async def stop(self, *jobs: AnyJobs, grace: float | None = None) -> bool:
        """Stop *jobs*, all at the same time; return whether all have finished.

        Args:
            jobs: Jobs and iterables of jobs. None at all stops nothing; all of a session are
                ``jobs.stop(jobs)``.
            grace: As for `Job.stop`.

        Raises:
            ValueError: *grace* is negative or NaN.
            TypeError: Something is no job.
        """
        seconds_left = self._stop_grace if grace is None else seconds(grace, "grace")
        given = flat(jobs)
        own = current_subject()
        for job in given:
            job.tell_to_stop(seconds_left)

        for job in given:
            if job is not own:
                await job.stopped()

        if own in given:
            await anyio.lowlevel.checkpoint()

        return all(job.is_finished for job in given)

    async def remove(self, *jobs: AnyJobs, force: bool = False) -> None:
        """Take *jobs* off the table. A handle that you hold keeps its data.

        Args:
            jobs: Jobs and iterables of jobs of this session; None at all removes nothing.
            force: Stop those that have not finished first.

        Raises:
            JobNotFinished: One has not finished, and *force* is not given. None is removed.
            JobNotFound: One is not in the table of this session. None is removed.
            JobStuck: One was stopped and its code does not end; it stays, the others go.
        """
        given = flat(jobs)
        strange = [job.label() for job in given if job not in self]
        if strange:
            raise JobNotFound(f"not in the table of this session: {', '.join(strange)}")

        unfinished = [job for job in given if not job.is_finished]
        if unfinished and not force:
            labels = ", ".join(f"{job.label()} ({job.state})" for job in unfinished)
            raise JobNotFinished(f"not finished: {labels}; wait for them, or use force=True")

        await self.stop(unfinished)
        for job in given:
            if job.is_finished:
                self._forget(job)

        stuck = [job.label() for job in given if not job.is_finished]
        if stuck:
            raise JobStuck(f"told to end, and still running: {', '.join(stuck)}")

    # The books. They are kept for every job, so the owner looks first whether one has to be.

    def _show(self, job: Job[Any]) -> None:
        for follower in self._followers:
            follower.add(job)

    def _retire(self, job: Job[Any]) -> None:
        """Take *job*, which has finished, off the table, or older ones, as was asked for."""
        if job._options.auto_remove:
            self.job_drained(job)

        if self._retain is not None:
            if job._id in self._table:
                self._finished[job._id] = None

            while len(self._finished) > self._retain:
                self._forget(self._table[next(iter(self._finished))])

    def job_drained(self, job: Job[Any]) -> None:
        """Take *job* off the table if it asked for that and nothing is left to see."""
        if job.is_spent:
            self._forget(job)

    def _forget(self, job: Job[Any]) -> None:
        self._finished.pop(job._id, None)
        if self._table.pop(job._id, None) is not None:
            for follower in self._followers:
                follower.forget(job)

    def refuse_own_job(self) -> None:
        """Raise at a job of this table that is about to wait for the end of all of them.

        Raises:
            DeadlockError: Such a job calls.
        """
        own = current_subject()
        if isinstance(own, Job) and own in self and not own.is_finished:
            raise DeadlockError(
                f"{own.label()} would wait for its own end: the session closes when its jobs have "
                f"finished. Let the code that opened it close it"
            )

    def _close_table(self) -> None:
        """Let followers end: no more jobs will come."""
        self._is_closed = True
        for follower in self._followers:
            follower.end()
