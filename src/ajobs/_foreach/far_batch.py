"""Items on their way through a worker, and what becomes of them when it dies."""

from __future__ import annotations

import math
from typing import Any

from .._errors import ItemTimeout, JobAborted, WorkerDied


class Batch:
    """Items on their way through a worker.

    Attributes:
        first: The index of the first item.
        items: The items, kept until they have ended.
        seen: How many of them have ended, as far as is known here.
        sent: When a worker took it, by the loop's clock.
    """

    __slots__ = ("first", "items", "seen", "sent")

    def __init__(self, first: int, items: list[Any]) -> None:
        self.first = first
        self.items = items
        self.seen = 0
        self.sent = math.inf

    def cut(self, count: int) -> Batch:
        """Take away what comes after the first *count* items."""
        rest = Batch(self.first + count, self.items[count:])
        del self.items[count:]
        return rest


def late(index: int, limit: float) -> ItemTimeout:
    """Return the error of an item that overran its limit."""
    return ItemTimeout(f"item {index} ran longer than item_timeout={limit:g} s")


class Lost:
    """What a worker took along when it ended.

    Attributes:
        begun: Index and item of those that it had begun.
        rest: Batches of those that it had not.
        ended_for: The item for which it was ended; -1 if it was not.
        is_late: That item had overrun its limit.
    """

    def __init__(self, ended_for: int, *, is_late: bool) -> None:
        self.begun: list[tuple[int, Any]] = []
        self.rest: list[Batch] = []
        self.ended_for = ended_for
        self.is_late = is_late

    def error_for(self, index: int, error: BaseException | None, limit: float) -> Exception:
        """Return the failure of item *index*: an error of its own for each."""
        if index == self.ended_for and self.is_late:
            return late(index, limit)

        if isinstance(error, WorkerDied):
            return WorkerDied(str(error), error.returncode, error.stderr)

        if self.ended_for >= 0:
            return WorkerDied("the result was lost with the worker, whose next item was ended")

        return JobAborted(f"the worker ended before the item did: {error!r}")
