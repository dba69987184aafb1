"""Standard input and files, read without holding up the event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import anyio

__all__ = ("chunks",)

_CHUNK = 1 << 16


async def chunks(fd: int) -> AsyncIterator[bytes]:
    """Yield what can be read from *fd*, as soon as it is there, until it ends."""
    can_wait = True
    while True:
        if can_wait:
            try:
                await anyio.wait_readable(fd)
            except OSError:
                can_wait = False  # a file on a disk, which is always ready

        data = os.read(fd, _CHUNK)
        if not data:
            return

        yield data
