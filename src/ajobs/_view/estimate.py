"""Time to the end of what tells how much is done but not how long it takes. Pure."""

from __future__ import annotations

from .._records import Progress
from .rows import Viewed
from .text import number


class Estimates:
    """How far each activity was when it was first seen, and when that was."""

    def __init__(self) -> None:
        """Begin; nothing was seen."""
        self._first: dict[tuple[int, int], tuple[float, float]] = {}

    def left(self, job: Viewed, progress: Progress, now: float) -> float | None:
        """Return the seconds that are left of *progress* at Unix time *now*; None if unknown.

        What the job itself says counts. Otherwise it goes on as fast as since it was first
        seen.
        """
        told = number(progress.seconds_remaining)
        done = number(progress.percent)
        if told is not None or done is None:
            return told

        key = job.id, progress.id
        since, at_first = self._first.setdefault(key, (now, done))
        if done < at_first:  # it was begun anew
            self._first[key] = now, done
            return None

        if done == at_first:
            return None

        return (now - since) / (done - at_first) * max(100.0 - done, 0.0)

    def forget_all_but(self, ids: set[int]) -> None:
        """Forget the jobs that are not among *ids*."""
        self._first = {key: first for key, first in self._first.items() if key[0] in ids}
