"""Writing in a thread of its own: who does not read our output must not hold up what we watch over.

A pager that waits for a key, or a terminal after Ctrl-S, takes nothing for as long as it likes.
Meanwhile time limits, signals and progress go on here; only who has more to write waits.
"""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import groupby
from operator import itemgetter
from queue import SimpleQueue
from typing import TypeAlias

import anyio
from anyio import CancelScope

from .._loop import current_loop
from ._ends import say
from ._terminal import Printer

__all__ = ("Piece", "Writer", "open_writer")

#: Something to write, and where to.
Piece: TypeAlias = tuple[Printer, bytes]

#: Bytes that may wait to be written; about as many as a pipe holds.
ROOM = 1 << 16

#: What a piece counts beside its bytes.
_EACH = 64

#: Seconds that a reader has to take what is left, once it was interrupted.
PATIENCE = 0.5


class Writer:
    """Writes pieces in their order. Made by `open_writer`; used in one task at a time."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = current_loop()
        self._queue: SimpleQueue[Piece | None] = SimpleQueue()
        # Each is changed by one side only.
        self._given = 0
        self._taken = 0
        self._room: anyio.Event | None = None
        self._over = anyio.Event()
        self._last_moment = math.inf
        self.failure: Exception | None = None
        #: Cancelled when writing has failed: nobody needs to go on.
        self.scope = CancelScope()
        # A daemon: who never reads does not keep this process from its end either.
        self._thread = threading.Thread(target=self._work, name="ajobs writer", daemon=True)
        self._thread.start()

    async def write(self, pieces: Iterable[Piece]) -> None:
        """Have *pieces* written, taking the next one when there is room.

        When it is cancelled, what was taken will be written all the same.
        """
        for piece in pieces:
            self._given += len(piece[1]) + _EACH
            self._queue.put(piece)
            await self._wait_while_above(ROOM)

    async def flush(self) -> None:
        """Wait until all that was taken is written."""
        await self._wait_while_above(0)

    async def _wait_while_above(self, most: int) -> None:
        while self._waits_above(most):
            room = self._room = anyio.Event()
            if self._waits_above(most):  # still, now that the thread knows whom to wake
                await room.wait()

            self._room = None

    def _waits_above(self, most: int) -> bool:
        return self._given - self._taken > most and self.failure is None

    def last_moment(self) -> CancelScope:
        """Return a scope for what is left to write now that we have been interrupted.

        It ends `PATIENCE` seconds after this was first asked for.
        """
        self._last_moment = min(self._last_moment, anyio.current_time() + PATIENCE)
        return CancelScope(deadline=self._last_moment, shield=True)

    async def finish(self) -> None:
        """Wait until all is written; nothing more may come."""
        self._queue.put(None)
        await self._over.wait()
        self._thread.join()

    def _work(self) -> None:
        """Write. In the thread."""
        try:
            while pieces := self._next():
                self._write(pieces)
        except Exception as exc:  # noqa: BLE001  # raised where it can be told
            self.failure = exc
            self._loop.call_soon(self.scope.cancel)

        self._wake()
        self._loop.call_soon(self._over.set)

    def _next(self) -> list[Piece]:
        """Wait for something to write; return all that is there, nothing at the end."""
        pieces: list[Piece] = []
        while (piece := self._queue.get()) is not None:
            pieces.append(piece)
            if self._queue.empty():
                return pieces

        if pieces:
            self._queue.put(None)  # for the next time

        return pieces

    def _write(self, pieces: list[Piece]) -> None:
        """Write in one go what goes to one place."""
        for printer, group in groupby(pieces, itemgetter(0)):
            printer.write(*(data for _, data in group))

        self._taken += sum(len(data) + _EACH for _, data in pieces)
        self._wake()

    def _wake(self) -> None:
        """Wake who waits for room."""
        room = self._room
        if room is not None:
            self._loop.call_soon(room.set)


@asynccontextmanager
async def open_writer() -> AsyncGenerator[Writer, None]:
    """Write for a block; leaving it waits until all is written.

    Who leaves it by an exception waits `PATIENCE` seconds at most. What cannot be written
    cancels the block, and is raised by leaving it.
    """
    writer = Writer()
    with writer.scope:
        try:
            yield writer
            await writer.finish()
        except BaseException:
            with writer.last_moment() as last:
                await writer.finish()

            if last.cancelled_caught and writer.failure is None:
                say("nobody reads what is printed; the rest of it is lost")

            raise

    if writer.failure is not None:
        raise writer.failure
