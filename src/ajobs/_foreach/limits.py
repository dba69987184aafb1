"""The time limits of items at work, all of them with one timer. Knows no tasks."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from .._timers import Timer
from .run import Run


class Limited(Protocol):
    """Somebody who runs items one after another, and can end the current one."""

    index: int

    def expire(self) -> None:
        """End the current item: its time is over."""


class ItemLimits:
    """The time limits of items at work.

    The limit is the same for all, so what began first is due first: a queue and one timer
    serve every item.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._queue: deque[tuple[float, Limited, int]] = deque()
        self._timer: Timer | None = None

    def watch(self, worker: Limited, started: float) -> None:
        """End the current item of *worker*, which began at *started*, when it is late."""
        self._queue.append((started + self._run.plan.item_timeout, worker, worker.index))
        if self._timer is None:
            self._sleep()

    def _sleep(self) -> None:
        self._timer = self._run.loop.call_at(self._queue[0][0], self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._run.loop.time()
        while self._queue:
            due, worker, index = self._queue[0]
            if worker.index == index:
                if due > now:
                    break

                worker.expire()

            self._queue.popleft()

        if self._queue:
            self._sleep()
