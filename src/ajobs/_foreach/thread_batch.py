"""The items that one thread takes at once, touched by the thread and by the loop.

By operations that Python makes indivisible: both ends of a deque, the end of a list, one entry
of a dict. This file knows neither threads nor the loop.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from time import perf_counter
from typing import Any


class Batch:
    """Items on their way through a thread.

    The thread takes items from the left and appends to `values`, one entry for each item;
    the loop may take untouched items from the right, and read values at any time.

    Attributes:
        first: The index of the first item.
        size: How many items it was left with.
        odd: What to do about items, by position, whose entry in `values` is no result.
        began: When the thread began with its items; infinity before.
        seconds: How long it was busy with them; 0 while it is.
        seen: How many values have been collected.
    """

    __slots__ = ("began", "first", "items", "odd", "seconds", "seen", "size", "values")

    def __init__(self, first: int, items: deque[Any]) -> None:
        self.first = first
        self.items = items
        self.size = len(items)
        self.values: list[Any] = []
        self.odd: dict[int, object] = {}
        self.began = math.inf
        self.seconds = 0.0
        self.seen = 0

    @contextmanager
    def timed(self) -> Generator[None]:
        """Note when the items begin, and how long they take."""
        self.began = perf_counter()
        try:
            yield
        finally:
            self.seconds = perf_counter() - self.began

    def split(self) -> Batch | None:
        """Take away the items that no thread has touched; None if there is none."""
        rest: deque[Any] = deque()
        try:
            while True:
                rest.appendleft(self.items.pop())
        except IndexError:
            pass

        if not rest:
            return None

        self.size -= len(rest)
        return Batch(self.first + self.size, rest)
