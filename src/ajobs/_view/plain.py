"""Progress where no terminal is: a line for each job, now and then. Pure: it is told the time."""

from __future__ import annotations

from collections.abc import Sequence

from .estimate import Estimates
from .lines import fraction_of, root_of, run_time, told_of, totals
from .rows import Viewed, shown

#: Seconds between two lines about one job.
EVERY = 10.0

#: Most lines at a time; the other jobs are counted.
MOST = 20


class PlainLines:
    """What was said already about each job, so that it is not said again."""

    def __init__(self, *, tells_all: bool) -> None:
        """Say something of all jobs, or only of those that tell how far they are."""
        self._tells_all = tells_all
        #: When something was last said about each job; None once its end was told.
        self._told: dict[int, float | None] = {}
        self._estimates = Estimates()

    def lines(self, jobs: Sequence[Viewed], now: float) -> list[str]:
        """Return what there is to say at Unix time *now*."""
        due = [job for job in jobs if self._is_due(job, now)]
        for job in due:
            self._told[job.id] = None if job.is_finished else now

        said = [line(job, now, self._left(job, now)) for job in due[:MOST]]
        if len(due) > MOST:
            said.append(f"... and {totals(due[MOST:]).text}")

        return said

    def _left(self, job: Viewed, now: float) -> float | None:
        progress = root_of(job)
        return None if progress is None else self._estimates.left(job, progress, now)

    def _is_due(self, job: Viewed, now: float) -> bool:
        if not self._tells_all and job.id not in self._told and not job.progress:
            return False

        begun = job.begin_seconds
        told = self._told.setdefault(job.id, now if begun is None else begun)
        return told is not None and (job.is_finished or (begun is not None and now - told >= EVERY))


def line(job: Viewed, now: float, left: float | None) -> str:
    """Return where *job* is, in one line, with the seconds *left* if they are known."""
    progress = root_of(job)
    words = told_of(job, progress, left)
    fraction = None if progress is None else fraction_of(progress)
    if fraction is not None and not words.startswith(f"{fraction:.0%}"):
        words = f"{fraction:.0%}, {words}"

    ran = run_time(job, now)
    time = f" {'after' if job.is_finished else 'for'} {ran}" if ran else ""
    return f"job {job.id} {shown(job.name)}: {job.state}{time}{': ' if words else ''}{words}"
