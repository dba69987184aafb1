"""Three functions for those who bring none: they differ in what keeps an item busy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import anyio

__all__ = ("BUILT_IN",)


async def io_wait(item: int) -> int:
    """Wait 10 ms, as for the answer of a server."""
    await anyio.sleep(0.01)
    return item


def pure_python(item: int) -> int:
    """Compute in Python for some milliseconds, with the interpreter lock held."""
    total = item
    for number in range(50_000):
        total = (total * 31 + number) % 1_000_003

    return total


def c_call(item: int) -> str:
    """Compute in C for some milliseconds, with the interpreter lock free."""
    return hashlib.pbkdf2_hmac("sha256", b"password", str(item).encode(), 10_000).hex()


#: What each does, and the function.
BUILT_IN: dict[str, Callable[[Any], Any]] = {
    "io_wait, built in: waits 10 ms, as for the answer of a server": io_wait,
    "pure_python, built in: computes in Python": pure_python,
    "c_call, built in: computes in C, with the interpreter lock free": c_call,
}
