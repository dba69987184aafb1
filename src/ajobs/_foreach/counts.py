"""How far a foreach job is, and how fast: numbers and words. No clock, no items at work."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from .._records import Progress

#: Seconds over which the rate is taken: long against the length of a batch, short enough to
#: follow an input that becomes slower.
SPAN: Final = 10.0

#: Tells our progress from that of items, which begin at 0.
PROGRESS_ID: Final = -1


class ForeachCounts(NamedTuple):
    """How far a foreach job is.

    Attributes:
        total: Items in the input; None while the input does not say.
        completed: Items that ended well.
        failed: Items that failed.
        stopped: Items that were stopped while they ran.
        running: Items that run now.
        not_run: Items that have not begun; None while *total* is not known.
        per_second: Items that end in a second, over the last few; None before there is one.
        seconds_remaining: Estimated seconds until all have ended; None when unknown.
    """

    total: int | None = None
    completed: int = 0
    failed: int = 0
    stopped: int = 0
    running: int = 0
    not_run: int | None = None
    per_second: float | None = None
    seconds_remaining: float | None = None

    @property
    def ended(self) -> int:
        """Items that have ended, in whatever way."""
        return self.completed + self.failed + self.stopped

    def text(self) -> str:
        """Return the numbers in words that people read at a glance."""
        count = f"{self.ended:,}" + ("" if self.total is None else f" of {self.total:,}")
        left = self.seconds_remaining
        parts = (count, self._details(), "" if left is None else f"{left:,.0f} s left")
        return ", ".join(filter(None, parts))

    def _details(self) -> str:
        parts = (
            f"{self.failed:,} failed" if self.failed else "",
            f"{self.running:,} running" if self.running else "",
            "" if self.per_second is None else f"{self.per_second:,.3g}/s",
        )
        return ", ".join(filter(None, parts))

    def left_text(self) -> str:
        """Say how many items a stop has left."""
        if self.not_run is None:
            rest = "the rest of the input did not run"
        else:
            rest = f"{self.not_run:,} of {self.total:,} items did not run"

        return f"{rest}, {self.stopped:,} were stopped while they ran" if self.stopped else rest

    def progress(self, activity: str, *, done: bool) -> Progress:
        """Return the same as a progress record."""
        percent = None if not self.total else min(100.0, 100.0 * self.ended / self.total)
        return Progress(
            activity,
            self._details() or None,  # the rest stands in the other fields
            percent,
            self.ended,
            self.total,
            self.seconds_remaining,
            id=PROGRESS_ID,
            done=done,
        )


class Rate:
    """Items per second, from what was counted when."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, ended: int) -> None:
        """Note that *ended* items had ended by *now*."""
        seen = self._seen
        while len(seen) > 1 and seen[1][0] <= now - SPAN:
            seen.popleft()

        seen.append((now, ended))

    def per_second(self, now: float, ended: int) -> float | None:
        """Return the rate of late; None while nothing can be said."""
        if not self._seen:
            return None

        then, before = self._seen[0]
        return (ended - before) / (now - then) if now > then and ended > before else None
