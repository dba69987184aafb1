"""How many items go into a batch, and when the next item may start.

Pure rules: they know neither items nor clocks, `now` and measured times are handed in.
"""

from __future__ import annotations

import math
from typing import Final

#: Seconds of work that a batch should hold: long against the microseconds that handing one
#: over costs, short against what a person, or a stop, notices.
TARGET: Final = 0.002

#: A batch grows by at most this factor, so that one lucky measurement cannot do much harm.
GROWTH: Final = 4

#: The most items in a batch, however small they are: what it holds is read ahead of need.
LARGEST: Final = 2000

#: Seconds by which a start may be late before the following ones are put off, too: it makes
#: up for the coarse timers of the event loops, and is the length of the longest burst.
SLACK: Final = 0.01


def next_size(
    previous: int, count: int, seconds: float, target: float = TARGET, largest: int = LARGEST
) -> int:
    """Return the size for the next batch, from how long the last one took.

    Args:
        previous: The size in force until now.
        count: How many items the measured batch held.
        seconds: How long it took.
        target: Seconds of work that a batch should hold.
        largest: The most items in a batch.

    Returns:
        From 1 to *largest*: growing step by step, shrinking at once.
    """
    ceiling = min(largest, previous * GROWTH)
    if seconds * ceiling <= target * count:
        return ceiling

    return max(1, min(ceiling, int(target * count / seconds)))


def fair_share(size: int, remaining: float, workers: int, least: int = 1) -> int:
    """Return *size*, cut so that the last items are spread over all *workers*.

    Args:
        size: What the times of the items allow.
        remaining: Items still to come; infinity when unknown.
        workers: How many places share them.
        least: A batch of fewer would cost more to hand over than to run.
    """
    if remaining >= 2 * workers * size:
        return size

    return max(1, min(size, least), math.ceil(remaining / (2 * workers)))


class Pace:
    """Even starts: at most so many in a second, without a burst after a pause."""

    __slots__ = ("_interval", "due")

    def __init__(self, per_second: float) -> None:
        """Allow *per_second* starts in a second, the first one at once."""
        self._interval = 1 / per_second
        #: When the next item may start, by the clock that `started` is told.
        self.due = -math.inf

    def started(self, now: float) -> None:
        """Note that an item has started *now*."""
        self.due = max(self.due, now - SLACK) + self._interval
