"""Memory shared with workers: what they have begun, and what they are asked to give back."""

from __future__ import annotations

import mmap
import os
from typing import Final


class Marks:
    """Shared memory in which each worker says which item it has begun.

    So that of a batch whose worker died it is known what can still be run; and a worker that
    is held up by a slow item can be asked for what waits behind it. Where the system has no
    such memory, neither is known.
    """

    SLOTS: Final = 512

    def __init__(self) -> None:
        self._free = list(range(self.SLOTS))
        self._fd = -1
        self._memory: mmap.mmap | None = None
        self._view: memoryview | None = None
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("ajobs", os.MFD_CLOEXEC)
            os.truncate(self._fd, 16 * self.SLOTS)
            self._memory = mmap.mmap(self._fd, 16 * self.SLOTS)
            self._view = memoryview(self._memory).cast("Q")

    def take(self) -> int | None:
        """Return a free slot."""
        return self._free.pop() if self._free and self._view is not None else None

    def address(self, slot: int | None) -> tuple[str, int] | None:
        """Return how a worker finds *slot*."""
        return None if slot is None else (f"/proc/{os.getpid()}/fd/{self._fd}", slot)

    def read(self, slot: int | None) -> int | None:
        """Return the index of the last item that was begun there, plus one."""
        return None if slot is None or self._view is None else self._view[2 * slot]

    def want_back(self, slot: int | None, number: int) -> None:
        """Ask for a batch that waits behind a slow one."""
        if slot is not None and self._view is not None:
            self._view[2 * slot + 1] = number

    def give_back(self, slot: int | None) -> int | None:
        """Free *slot* and return what it said last."""
        said = self.read(slot)
        if slot is not None and self._view is not None:
            self._view[2 * slot] = self._view[2 * slot + 1] = 0
            self._free.append(slot)

        return said

    def close(self) -> None:
        """Give the memory back."""
        if self._view is not None and self._memory is not None:
            self._view.release()
            self._memory.close()
            os.close(self._fd)
            self._view = None
