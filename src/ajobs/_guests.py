"""What a session keeps running beside its jobs, and how code finds the session to ask.

Below the session, so that what is hosted need not know it: a guest knows its host by this
promise only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

#: The session whose block or job the code is in. It may belong to another loop, or be over.
current_host: ContextVar[Host] = ContextVar("ajobs_session")

#: Open sessions that no block holds, the newest last. Consoles and notebooks run each
#: statement in a context of its own, or in none that lasts.
hosts: list[Host] = []


class Guest(ABC):
    """Something that lives in a task of its host's."""

    @abstractmethod
    async def live(self) -> None:
        """Run until closed. Must not raise."""

    @abstractmethod
    def close(self) -> None:
        """End: its host ends."""


class Host(Protocol):
    """Who runs guests and ends before none of them."""

    def take_in(self, guest: Guest) -> bool:
        """Run *guest*; False if the call does not come from the host's loop, or too late."""


async def until_set(closing: anyio.Event) -> None:
    """Wait for *closing*, which ends what the session keeps.

    A want of memory or descriptors in this wait is no reason to end what runs: it is repeated.
    """
    wait = closing.wait
    while not closing.is_set():
        try:
            await wait()
            wait = closing.wait
        except (OSError, MemoryError):
            wait = checkpoint  # first the others have their turns
