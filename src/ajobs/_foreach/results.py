"""What items gave, in the order in which it is handed out.

Plain data structures without a clock or an event loop: items add results, in whatever order
they come, and the consumer takes them from `ready`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Outcome(NamedTuple, Generic[T, R]):
    """One result, or one failure, of an item under ``on_error="return"``.

    Attributes:
        index: The place of the item in the input, from 0.
        item: The item itself.
        value: What the function gave; None for a failed item.
        error: Why the item failed; None for a result.
    """

    index: int  # type: ignore[assignment]  # the field, not the method of tuples
    item: T
    value: R | None
    error: Exception | None


class Results(ABC):
    """Results between the items and the consumer.

    Attributes:
        ready: What the consumer may take, in its order.
    """

    __slots__ = ("ready",)

    def __init__(self) -> None:
        self.ready: deque[Any] = deque()

    @abstractmethod
    def only(self, index: int, value: object) -> None:
        """Take the one result of item *index*, which has ended with it."""

    @abstractmethod
    def several(self, first: int, values: Iterable[object]) -> None:
        """Take the only results of the items from *first* on, which have ended."""

    @abstractmethod
    def add(self, index: int, value: object) -> None:
        """Take one result of item *index*, which goes on."""

    @abstractmethod
    def end(self, index: int) -> None:
        """Note that item *index* has ended and gives no more."""

    @abstractmethod
    def is_next(self, index: int) -> bool:
        """Tell whether what item *index* gives goes to `ready` at once."""


class AsCompleted(Results):
    """Results in the order in which they came."""

    __slots__ = ()

    def only(self, index: int, value: object) -> None:
        self.ready.append(value)

    def several(self, first: int, values: Iterable[object]) -> None:
        self.ready.extend(values)

    def add(self, index: int, value: object) -> None:
        self.ready.append(value)

    def end(self, index: int) -> None:
        pass

    def is_next(self, index: int) -> bool:
        return True


class InOrder(Results):
    """Results in the order of the input; what comes too early waits.

    How much waits is not bounded here: whoever takes items from the input does that.
    """

    __slots__ = ("_early", "_ended", "_next", "_only")

    def __init__(self) -> None:
        super().__init__()
        self._next = 0
        self._early: dict[int, list[Any]] = {}
        self._ended: set[int] = set()
        self._only: dict[int, object] = {}

    def only(self, index: int, value: object) -> None:
        if index == self._next:
            self.ready.append(value)
            self._next += 1
            if self._only or self._early or self._ended:
                self._go_on()
        else:
            self._only[index] = value

    def several(self, first: int, values: Iterable[object]) -> None:
        for index, value in enumerate(values, first):
            self.only(index, value)

    def add(self, index: int, value: object) -> None:
        if index == self._next:
            self.ready.append(value)
        else:
            self._early.setdefault(index, []).append(value)

    def end(self, index: int) -> None:
        if index == self._next:
            self._next += 1
            self._go_on()
        else:
            self._ended.add(index)

    def _go_on(self) -> None:
        while True:
            if self._next in self._only:
                self.ready.append(self._only.pop(self._next))
            else:
                self.ready.extend(self._early.pop(self._next, ()))
                if self._next not in self._ended:
                    return

                self._ended.remove(self._next)

            self._next += 1

    def is_next(self, index: int) -> bool:
        return index == self._next
