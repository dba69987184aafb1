"""Waiting for one descriptor again and again, at little cost.

anyio's `wait_readable` tells the event loop about the descriptor each time and takes it back
afterwards. For a worker, which is waited for once or twice a job, that costs more than all of
the job's own work in this process, so on asyncio the loop keeps being told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

import anyio
from anyio.lowlevel import current_token

#: Times that something may be readable with nobody waiting before the loop stops looking:
#: it would spin. Once is usual, since the loop looks again before the waiter has read.
_UNWANTED = 2


class Wakeup:
    """Tells one waiter when descriptor *fd* is readable. It belongs to the loop of its first."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._callback: Callable[[], object] | None = None
        self._is_watched = False
        self._unwanted = 0

    async def wait(self) -> None:
        """Wait until there is something to read; sometimes less long."""
        loop = self._loop or self._find_loop()
        if loop is None:
            await anyio.wait_readable(self._fd)
            return

        self._watch(loop)
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def call(self, callback: Callable[[], object]) -> None:
        """Call *callback* once when there is something to read, in no task. On asyncio only."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()

        self._watch(self._loop)
        self._callback = callback

    def forget_call(self) -> None:
        """Do not call."""
        self._callback = None

    def _find_loop(self) -> asyncio.AbstractEventLoop | None:
        native = current_token().native_token
        if isinstance(native, asyncio.AbstractEventLoop):
            self._loop = native

        return self._loop

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._unwanted = 0
        if not self._is_watched:
            # In a context of its own: it is kept as long as the loop is told.
            Context().run(loop.add_reader, self._fd, self._readable)
            self._is_watched = True

    def _readable(self) -> None:
        callback = self._callback
        if callback is not None:
            self._callback = None
            callback()
            return

        waiter = self._waiter
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)

            return

        self._unwanted += 1
        if self._unwanted >= _UNWANTED:
            self.close()

    def close(self) -> None:
        """Let the loop look no more; before the descriptor is closed."""
        if self._is_watched and self._loop is not None:
            self._is_watched = False
            # The loop may be over, and with it everything that it watched.
            with suppress(RuntimeError):
                self._loop.remove_reader(self._fd)
