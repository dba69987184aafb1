"""The input of a `parallel_foreach`: pulled lazily, closed by whoever pulls it.

A synchronous iterable is advanced on the loop's thread only, by whoever needs an item; an
asynchronous one by a single task, since generators may hold task-bound things such as cancel
scopes. This file knows neither what runs items nor their results.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from itertools import chain, islice
from time import perf_counter
from typing import Any, Final

import anyio

from .._loop import Loop
from .items import LOGGER

#: Seconds that an asynchronous input may take to close.
CLOSE_SECONDS: Final = 5.0

#: Most items that an input reads ahead by itself, where nothing else limits it.
MOST_AHEAD: Final = 1000

#: Seconds after which a batch of items is cut short because the input is slow.
SLOW_INPUT: Final = 0.001

#: Iterators that neither run code of the caller's nor raise.
PLAIN: Final = frozenset(
    {type(iter([])), type(iter(())), type(iter(range(0))), type(iter(range(1 << 64)))}
)


def check_iterable(iterable: object) -> None:
    """Raise `TypeError` unless *iterable* can be iterated, in one way or the other.

    Nothing of it runs yet.
    """
    kind = type(iterable)
    if any(hasattr(kind, name) for name in ("__aiter__", "__iter__", "__getitem__")):
        return

    hint = ""
    if inspect.iscoroutine(iterable):
        iterable.close()
        hint = ": await it first"
    elif inspect.isroutine(iterable):
        hint = ": call it first"

    raise TypeError(
        f"parallel_foreach takes an iterable or an async iterable, not {iterable!r:.80}{hint}"
    )


class ReadAhead(AsyncIterator[Any]):
    """An asynchronous input that reads ahead of need by itself, as far as it is allowed to."""

    @abstractmethod
    def allow(self, most: int) -> None:
        """Have up to *most* items ready; each that is taken leaves one less to be had."""


class Source(ABC):
    """Where items come from.

    Attributes:
        pull: Returns the next item; raises `StopIteration` when there is none now, and
            whatever the input raised.
        is_dry: True once the input has ended, or was closed.
        is_inert: True where to pull runs no code of the caller's.
        numbered: The items with their indices, to be had at no cost; used instead of `pull`,
            or not at all. None where there is no such thing.
        size: How many items there are in all; infinity when the input does not say.
    """

    pull: Callable[[], Any]
    is_dry: bool = False
    is_inert: bool = False
    numbered: Iterator[tuple[int, Any]] | None = None

    def __init__(self, iterable: Iterable[Any] | AsyncIterable[Any]) -> None:
        self.size: float = len(iterable) if isinstance(iterable, Sized) else math.inf

    @property
    @abstractmethod
    def at_hand(self) -> float:
        """How many items may be pulled now, at most."""

    @property
    def waiting(self) -> int:
        """How many items were read from the input and not pulled yet."""
        return 0

    @property
    def is_busy(self) -> bool:
        """True while a task of the source runs."""
        return False

    @abstractmethod
    def start(self) -> None:
        """Begin to read."""

    def peek(self) -> None:
        """Find out whether there is an item, without pulling it.

        Raises:
            StopIteration: There is none now.
        """
        if not self.at_hand:
            raise StopIteration

    @abstractmethod
    def close(self) -> None:
        """Read no more; raise what a generator raises when it is closed."""

    def pull_many(self, items: deque[Any], count: int) -> None:
        """Append up to *count* items, fewer when the input is slow or has ended.

        What was appended before the input raised stays.

        Raises:
            StopIteration: There is none now.
        """
        # The first pull tells an end from a short batch.
        started = perf_counter()
        items.append(self.pull())
        wanted = count - 1
        step = 1
        while wanted > 0 and perf_counter() - started < SLOW_INPUT:
            before = len(items)
            items.extend(self._some(min(step, wanted)))
            got = len(items) - before
            if not got:
                return

            wanted -= got
            step *= 2

    @abstractmethod
    def _some(self, count: int) -> Iterable[Any]:
        """Return an iterator over up to *count* items."""


class SyncSource(Source):
    """An iterable."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        super().__init__(iterable)
        self._iterable = iterable
        self._iterator: Iterator[Any] = iter(())
        self._peeked: list[Any] = []

    @property
    def at_hand(self) -> float:
        return 0 if self.is_dry else math.inf

    @property
    def waiting(self) -> int:
        return len(self._peeked)

    def start(self) -> None:
        self._iterator = iter(self._iterable)
        self.pull = self._iterator.__next__
        if type(self._iterator) in PLAIN:
            self.is_inert = True
            self.numbered = chain(enumerate(self._iterator), self._ended())

    def _ended(self) -> Iterator[Any]:
        """Give nothing, but note that what came before has ended."""
        self.is_dry = True
        yield from ()

    def peek(self) -> None:
        if not self._peeked:
            self._peeked.append(next(self._iterator))
            self.pull = self._pull_peeked

    def _pull_peeked(self) -> Any:
        self.pull = self._iterator.__next__
        return self._peeked.pop()

    def close(self) -> None:
        self.is_dry = True
        self.numbered = None
        self._peeked.clear()
        iterator, self._iterator = self._iterator, iter(())
        if inspect.isgenerator(iterator):
            iterator.close()

    def _some(self, count: int) -> Iterable[Any]:
        return islice(self._iterator, count)


class AsyncSource(Source):
    """An async iterable, read ahead by a task of its own.

    Args:
        iterable: The input.
        loop: Where it is read.
        room: Returns how many more items may be read ahead of need.
        on_item: Called when an item is there to be pulled.
        on_end: Called when the input has ended and is closed, with what it raised.
    """

    is_inert = True

    def __init__(
        self,
        iterable: AsyncIterable[Any],
        loop: Loop,
        room: Callable[[], float],
        on_item: Callable[[], object],
        on_end: Callable[[BaseException | None], object],
    ) -> None:
        super().__init__(iterable)
        self._iterable = iterable
        self._loop = loop
        self._room = room
        self._on_item = on_item
        self._on_end = on_end
        self._items: deque[Any] = deque()
        self._scope = loop.scope()
        self._wanted: anyio.Event | None = None
        self._is_busy = False

    @property
    def at_hand(self) -> float:
        return len(self._items)

    @property
    def waiting(self) -> int:
        return len(self._items)

    @property
    def is_busy(self) -> bool:
        return self._is_busy

    def start(self) -> None:
        self._is_busy = True
        self._loop.spawn(self._read, "ajobs foreach input")

    def pull(self) -> Any:
        if not self._items:
            self.wake()
            raise StopIteration

        item = self._items.popleft()
        if self._wanted is not None:
            self.wake()

        return item

    def _some(self, count: int) -> Iterable[Any]:
        for _ in range(min(count, len(self._items))):
            yield self._items.popleft()

    def wake(self) -> None:
        """Read on, if there is room now."""
        if self._wanted is not None and self._room() > 0:
            self._wanted.set()
            self._wanted = None

    def close(self) -> None:
        self.is_dry = True
        self._items.clear()
        self._scope.cancel()

    async def _read(self) -> None:
        error: BaseException | None = None
        iterator: AsyncIterator[Any] | None = None
        try:
            with self._scope:
                iterator = aiter(self._iterable)
                await self._read_on(iterator)
        except BaseException as exc:  # noqa: BLE001  # whoever waits for items gets it
            error = exc
        finally:
            await self._close_iterator(iterator)
            self._is_busy = False
            self.is_dry = True
            self._on_end(error)

    async def _read_on(self, iterator: AsyncIterator[Any]) -> None:
        while not self.is_dry:
            while (room := self._room()) <= 0:
                self._wanted = anyio.Event()
                await self._wanted.wait()

            if isinstance(iterator, ReadAhead):
                iterator.allow(int(min(room, MOST_AHEAD)))

            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return

            self._items.append(item)
            self._on_item()

    async def _close_iterator(self, iterator: AsyncIterator[Any] | None) -> None:
        # An input that hangs in its own cleanup must not keep the caller for ever.
        aclose = getattr(iterator, "aclose", None)
        if aclose is None:
            return

        with self._loop.scope() as scope:
            scope.deadline = self._loop.time() + CLOSE_SECONDS
            try:
                await aclose()
            except BaseException as exc:  # its items were all given
                if scope.cancel_called:
                    raise

                LOGGER.warning("closing the input of parallel_foreach failed", exc_info=exc)
