"""Several descriptors watched as one, so that one wait of one task sees them all.

The kernel can watch a set of descriptors that is a descriptor itself: what takes a task for
each of them otherwise is here a single ``await``. This file knows no processes.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import Protocol

from ._wakeup import Wakeup

#: Bytes that are read in one go.
CHUNK = 1 << 16


class HasFileno(Protocol):
    """A descriptor, or what has one."""

    def fileno(self) -> int:
        """Return it."""


class Poll:
    """A set of descriptors.

    Attributes:
        wakeup: Tells when something can be done on one of them.
    """

    def __init__(self) -> None:
        """Begin with none.

        Raises:
            OSError: Too many files are open.
        """
        self._epoll = select.epoll()
        self.wakeup = Wakeup(self._epoll.fileno())
        self._writing: set[int] = set()

    def fileno(self) -> int:
        """Return a descriptor that is readable when `ready` is not empty."""
        return self._epoll.fileno()

    def add(self, one: int | HasFileno) -> None:
        """Watch for something to read, or an end."""
        self._epoll.register(one, select.EPOLLIN)

    def watch_writing(self, fd: int, *, on: bool) -> None:
        """Watch, or do not, for room to write on *fd*, which was added."""
        if (fd in self._writing) is not on:
            self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if on else 0))
            (self._writing.add if on else self._writing.discard)(fd)

    def remove(self, one: int | HasFileno) -> None:
        """Watch it no more."""
        with suppress(OSError):
            self._epoll.unregister(one)

    def ready(self) -> list[int]:
        """Return the descriptors on which something can be done now."""
        return [fd for fd, _ in self._epoll.poll(0)]

    async def wait(self) -> None:
        """Wait until something can be done on one of them."""
        await self.wakeup.wait()

    def read(self, fd: int) -> bytes:
        """Return what can be had at once, at most `CHUNK` bytes; an ended one is removed."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return b""

        if not data:
            self.remove(fd)

        return data

    def close(self) -> None:
        """Close the set, not what is in it."""
        self.wakeup.close()
        self._epoll.close()
