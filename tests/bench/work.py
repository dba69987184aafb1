"""Functions that workers can import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio


def square(number: int) -> int:
    """Return the square of *number*."""
    return number * number


async def rest(number: int) -> int:
    """Wait a millisecond."""
    await anyio.sleep(0.001)
    return number


def twice(number: int) -> Iterator[int]:
    """Give *number* two times."""
    yield number
    yield number


async def later(number: int) -> AsyncIterator[int]:
    """Give *number* after a while."""
    await anyio.sleep(0.001)
    yield number


def noisy(number: int) -> int:
    """Print, as functions do."""
    print("noise", number)
    return number


def fails_at_three(number: int) -> float:
    """Fail for one item."""
    return 1 / (number - 3)


def two(first: int, second: int) -> int:
    """Take more than an item."""
    return first + second
