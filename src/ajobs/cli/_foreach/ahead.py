"""Items that are read before they are needed: who shows how far it is wants to know how many."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio

from .done import Items

__all__ = ("Ahead",)

#: Most items that are kept; more come when there is room.
MOST = 100_000


class Ahead:
    """Reads a source to its end while its items are taken.

    Attributes:
        total: How many items there are, once that is known.
    """

    def __init__(self, source: Items) -> None:
        """Read *source*; nothing is read yet."""
        self._source = source
        self._items: deque[str] = deque()
        self._failure: OSError | None = None
        self._is_over = False
        self._change = anyio.Event()
        self.total = source.total

    async def read(self) -> None:
        """Read until there is nothing more."""
        count = 0
        try:
            async with aclosing(self._source.items()) as items:
                async for item in items:
                    count += 1
                    self._items.append(item)
                    self._tell()
                    if len(self._items) >= MOST:
                        await self._changed()  # half of them are gone

            self.total = count
        except OSError as error:
            self._failure = error  # raised for who takes the items

        self._is_over = True
        self._tell()

    async def items(self) -> AsyncGenerator[str, None]:
        """Yield them, as soon as they are there."""
        while True:
            while self._items:
                yield self._items.popleft()
                if len(self._items) == MOST // 2:
                    self._tell()

            if self._failure is not None:
                raise self._failure

            if self._is_over:
                return

            await self._changed()

    def _tell(self) -> None:
        self._change.set()

    async def _changed(self) -> None:
        self._change = anyio.Event()
        await self._change.wait()
