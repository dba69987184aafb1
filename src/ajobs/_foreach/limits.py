"""The time limits of items at work, all of them with one timer. Knows no tasks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from .._timers import Timer
from .run import Run

#: Least seconds between two looks.
GAP: Final = 0.001


class Limited(Protocol):
    """Somebody who runs items one after another, and can end the current one.

    Attributes:
        index: The item that runs now, less than 0 between two of them.
        started: When it began.
    """

    index: int
    started: float

    def expire(self) -> None:
        """End the current item: its time is over."""


class ItemLimits:
    """The time limits of items at work.

    Nothing is done for an item that keeps its limit: as it is the same for all, no item can be
    late before the one is that was the oldest at the last look.
    """

    def __init__(self, run: Run, workers: Collection[Limited]) -> None:
        """Look after whoever is among *workers*, now or later."""
        self._run = run
        self._workers = workers
        self._timer: Timer | None = None

    def watch(self) -> None:
        """Begin to look, if there are workers and nobody does."""
        if self._timer is None and self._workers:
            self._look()

    def _look(self) -> None:
        self._timer = None
        now = oldest = self._run.loop.time()
        limit = self._run.plan.item_timeout
        for worker in self._workers:
            if worker.index < 0:
                continue

            if worker.started + limit <= now:
                worker.expire()
            elif worker.started < oldest:
                oldest = worker.started

        if self._workers:
            self._timer = self._run.loop.call_at(max(oldest + limit, now + GAP), self._look)
