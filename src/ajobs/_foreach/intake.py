"""What may start: the items of an input, as the window, the pace and the consumer let them.

This file counts the items that were taken and those that are ahead of the consumer. It does
not know what becomes of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, Final, NamedTuple

from .._checks import Kind
from .._loop import Loop
from .._runner import Runner
from .._timers import Timer
from .place import Place
from .sizing import Pace
from .source import AsyncSource, Source, SyncSource

#: Instead of an item, when none may start now.
NOTHING: Final = object()


class Plan(NamedTuple):
    """The checked arguments of a call."""

    iterable: Iterable[Any] | AsyncIterable[Any]
    fn: Callable[[Any], Any]
    kind: Kind
    runner: Runner
    throttle: float
    per_second: float | None
    ordered: bool | None
    timeout: float
    item_timeout: float
    on_error: str
    buffer: int | None


class Intake(ABC):
    """The input of one call, and how much of it may be under way.

    Attributes:
        taken: Items taken from the input: the index of the next one.
        ahead: Items taken, running or with a result that the consumer has not got; the
            `window` bounds it, and where that is infinite it is not kept up.
        is_held: Something waits for the consumer to make room.
    """

    __slots__ = (
        "_apart",
        "_pace",
        "_pace_timer",
        "ahead",
        "buffer",
        "is_bounded",
        "is_held",
        "is_stopping",
        "look_ahead",
        "loop",
        "place",
        "plan",
        "source",
        "taken",
        "window",
    )

    place: Place

    def __init__(self, plan: Plan, loop: Loop, *, is_streamed: bool) -> None:
        self.plan = plan
        self.loop = loop
        self.taken = self.ahead = 0
        self.buffer: float = plan.throttle if plan.buffer is None else plan.buffer
        self.look_ahead = plan.throttle + self.buffer
        self.is_bounded = is_streamed
        self.window = self.look_ahead if is_streamed else math.inf
        self.is_held = False
        self.is_stopping = False
        self._pace = None if plan.per_second is None else Pace(plan.per_second)
        self._pace_timer: Timer | None = None
        self._apart = copy_context()
        self.source = self._open()

    def _open(self) -> Source:
        iterable = self.plan.iterable
        if isinstance(iterable, AsyncIterable):
            return AsyncSource(
                iterable, self.loop, self._input_room, self._wake_place, self._input_ended
            )

        return SyncSource(iterable)

    @abstractmethod
    def input_failed(self, error: BaseException) -> None:
        """Deal with an input that raised."""

    @abstractmethod
    def _input_ended(self, error: BaseException | None) -> None:
        """Deal with the end of an async input, by *error* if it was not a good one."""

    def startable(self) -> float:
        """Return how many items may start now, at most; when it is 0, the place is woken later."""
        if self.ahead >= self.window:
            self.is_held = True
            return 0

        if self._pace is not None:
            return 0 if self._pace_timer else min(1, self.source.at_hand)

        return min(self.window - self.ahead, self.source.at_hand)

    def items(self) -> Iterator[tuple[int, Any]]:
        """Return an iterator over the items that may start, until none may for now.

        Each comes with its index. Whoever takes it sets `taken` to what follows that.
        """
        source = self.source
        if source.numbered is None or self.is_bounded or self._pace is not None:
            return self._items()

        return iter(()) if self.is_stopping else source.numbered

    def _items(self) -> Iterator[tuple[int, Any]]:
        # An item's worker must not see what the input sets, nor the input what items set.
        take = self._take if self.source.is_inert else partial(self._apart.run, self._take)
        while (item := take()) is not NOTHING:
            yield self.taken, item

    def _take(self) -> Any:
        if self.ahead >= self.window:
            self.is_held = True
            return NOTHING

        try:
            if self._pace is not None and not self._is_due(self._pace):
                return NOTHING

            item = self.source.pull()
        except StopIteration:
            self._pulled_nothing()
            return NOTHING
        except BaseException as exc:  # noqa: BLE001  # the input's own, for the consumer
            self.input_failed(exc)
            return NOTHING

        self.ahead += 1
        return item

    def take_many(self, items: deque[Any], count: int) -> None:
        """Append up to *count* items that may start now; the first has the index `taken`."""
        room = self.window - self.ahead
        if room <= 0:
            self.is_held = True
            return

        failure: BaseException | None = None
        try:
            if self._pace is not None and not self._is_due(self._pace):
                return

            self.source.pull_many(items, int(min(count, room)))
        except StopIteration:
            self._pulled_nothing()
        except BaseException as exc:  # noqa: BLE001  # as in `take`
            failure = exc

        self.taken += len(items)
        self.ahead += len(items)
        if failure is not None:
            self.input_failed(failure)

    def widen(self, buffer: float) -> None:
        """Let the items be *buffer* ahead of the consumer, if the caller left that to us."""
        if self.plan.buffer is None and buffer > self.buffer:
            self.buffer = buffer
            self.look_ahead = self.plan.throttle + buffer
            if self.is_bounded and not self.is_stopping:
                self.window = self.look_ahead

    def _is_due(self, pace: Pace) -> bool:
        # A look ahead, lest the end of the input is only seen when the next item would start.
        self.source.peek()
        if self._pace_timer is not None:
            return False

        now = self.loop.time()
        if now < pace.due:
            self._pace_timer = self.loop.call_at(pace.due, self._pace_allows)
            return False

        pace.started(now)
        return True

    def _pace_allows(self) -> None:
        self._pace_timer = None
        self.place.wake()

    def _pulled_nothing(self) -> None:
        if isinstance(self.source, SyncSource):
            self.source.is_dry = True

    def _input_room(self) -> float:
        waiting = self.source.waiting
        return min(self.window - self.ahead, self.look_ahead) - waiting

    def _wake_place(self) -> None:
        self.place.wake()
