"""What the pages share: the functions that are fanned out, and how one run is timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel

import ajobs

from .harness import Measure

#: Loops that work is measured on; uvloop is left out where it is not installed.
LOOPS = ("asyncio", "uvloop", "trio")

Fn = Callable[[int], Coroutine[Any, Any, Any]]


async def nothing(item: int) -> int:
    """Return at once."""
    return item


async def yields_once(item: int) -> int:
    """Let the others run once."""
    await asyncio.sleep(0)
    return item


async def trio_yields_once(item: int) -> int:
    """Let the others run once, on trio."""
    await anyio.lowlevel.checkpoint()
    return item


async def sleeps(item: int) -> int:
    """Sleep a millisecond, with asyncio's own words."""
    await asyncio.sleep(0.001)
    return item


async def trio_sleeps(item: int) -> int:
    """Sleep a millisecond, on trio."""
    await anyio.sleep(0.001)
    return item


def tiny(item: int) -> int:
    """Return at once."""
    return item


def uneven(item: int) -> int:
    """Take 20 ms for one of 50 items, 0.1 ms for the others."""
    time.sleep(0.02 if item % 50 == 0 else 0.0001)
    return item


def computes(item: int) -> int:
    """Count in pure Python for about a third of a millisecond."""
    total = 0
    for number in range(5_000):
        total += number ^ item

    return total


async def with_ajobs(fn: Any, throttle: int, items: int, **how: Any) -> None:
    """Stream the results of our fan-out."""
    async with ajobs.parallel_foreach(range(items), fn, throttle=throttle, **how) as results:
        async for _ in results:
            pass


def timed(main: Callable[[], Awaitable[None]], loop: str = "asyncio") -> Measure:
    """Return a measure of *main* in an event loop of its own, the loop's start left out."""

    async def run() -> float:
        begin = time.perf_counter()
        await main()
        return time.perf_counter() - begin

    backend = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    return lambda: anyio.run(run, backend=backend, backend_options=options)


def loops() -> list[str]:
    """Return the loops that can be measured here."""
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return [loop for loop in LOOPS if loop != "uvloop"]

    return list(LOOPS)
