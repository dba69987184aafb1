"""Where the items of a `parallel_foreach` run, as the run sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple


class AtWork(NamedTuple):
    """An item that runs now.

    Attributes:
        index: Its place in the input.
        item: The item itself.
        seconds: How long it has run, as far as its place knows.
    """

    index: int  # type: ignore[assignment]  # the field, not the method of tuples
    item: Any
    seconds: float


class Place(ABC):
    """Where items run."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """True while anything of it runs that the loop has to wait for."""

    @abstractmethod
    def wake(self) -> None:
        """See to it that somebody takes an item, if one may start."""

    def room_given(self) -> None:  # noqa: B027  # most places need not know
        """Note that there is room for results again."""

    @abstractmethod
    def at_work(self) -> Iterator[AtWork]:
        """Iterate over the items that run now."""

    @abstractmethod
    def stop(self) -> None:
        """End every item; what runs may take the grace for its cleanup."""

    @abstractmethod
    def hurry(self) -> None:
        """The grace of the stop is over already: a second one was less patient."""

    @abstractmethod
    def stop_item(self, index: int, deadline: float) -> None:
        """End one item, if it runs; it may take until *deadline* for its cleanup."""
