"""Timers without a task each: one task of the loop serves all of them.

This file needs a clock and a way to start that task; which event loop it is, it does not know.
"""

from __future__ import annotations

import heapq
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

import anyio
from anyio import CancelScope

AsyncFn = Callable[[], Coroutine[Any, Any, object]]


class Timer:
    """A call to come; `cancel` forgets it."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def run(self) -> None:
        """Make the call, unless it was cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()

    def cancel(self) -> None:
        """Forget the call, and what it refers to."""
        self.callback = None


class Timers(ABC):
    """The timers of one loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._sweep_at = 64
        self._ticking = False
        self._sleep: CancelScope | None = None

    @abstractmethod
    def time(self) -> float:
        """Return the loop's clock in seconds; `anyio.current_time` of this loop."""

    @abstractmethod
    def spawn(self, fn: AsyncFn, name: str, own: Context | None = None) -> None:
        """Start a task, in the context *own* if that is given, else in that of the loop's owner.

        It must not raise, and must end when its owner asks it to.
        """

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Run *callback* once the clock reads *when*; one task serves all timers."""
        timer = Timer(callback)
        if when == math.inf:
            return timer

        if len(self._heap) >= self._sweep_at:
            self._sweep()

        heapq.heappush(self._heap, (when, next(self._order), timer))
        if not self._ticking:
            self._ticking = True
            self.spawn(self._run_timers, "ajobs timers")
        elif self._sleep is not None and when < self._sleep.deadline:
            self._sleep.deadline = when

        return timer

    def _sweep(self) -> None:
        # Most timers are cancelled long before they are due (a job that ends in time). Looking
        # at all of them each time their number has doubled costs O(1) for each timer.
        self._heap = [entry for entry in self._heap if entry[2].callback is not None]
        heapq.heapify(self._heap)
        self._sweep_at = max(64, 2 * len(self._heap))

    async def _run_timers(self) -> None:
        while self._heap:
            with CancelScope(deadline=self._heap[0][0], shield=True) as self._sleep:
                await anyio.sleep_forever()

            self._sleep = None
            while self._heap and self._heap[0][0] <= self.time():
                heapq.heappop(self._heap)[2].run()

        self._ticking = False

    def stop_timers(self) -> None:
        """Forget all timers and end their task."""
        self._heap.clear()
        if self._sleep is not None:
            self._sleep.cancel()
