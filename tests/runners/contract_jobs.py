"""What the contract's jobs do: importable, and light enough for a worker of each job's own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

import ajobs


class Error(Exception):
    """A failure of a job."""


def double(value: Any) -> Any:
    """Return twice the value."""
    return value * 2


async def adouble(value: Any) -> Any:
    """Return twice the value, after a wait."""
    await checkpoint()
    return value * 2


def none() -> None:
    """Return nothing."""


async def anone() -> None:
    """Return nothing."""


def broken(text: str) -> None:
    """Write, then fail."""
    ajobs.write_output("before")
    raise Error(text)


async def abroken(text: str) -> None:
    """Write, wait, then fail."""
    ajobs.write_output("before")
    await checkpoint()
    raise Error(text)


def leave() -> None:
    """Exit."""
    sys.exit(3)


async def aleave() -> None:
    """Exit."""
    sys.exit(3)


def die() -> None:
    """Have the system end this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def write_much(count: int) -> None:
    """Write on two streams."""
    for number in range(count):
        ajobs.write_output(number)
        ajobs.write_warning(number)


async def awrite_much(count: int) -> None:
    """Write on two streams, awaiting."""
    for number in range(count):
        await ajobs.write_output(number)
        await ajobs.write_warning(number)


def give_some(count: int) -> Iterator[int]:
    """Give numbers."""
    yield from range(count)


async def agive_some(count: int) -> AsyncIterator[int]:
    """Give numbers."""
    for number in range(count):
        yield number


def every_stream() -> None:
    """Write to each stream."""
    ajobs.write_output(1)
    ajobs.write_error(2)
    ajobs.write_warning(3)
    ajobs.write_verbose(4)
    ajobs.write_debug(5)
    ajobs.write_information(6)
    ajobs.write_progress("seven", completed=1, total=2)


async def aevery_stream() -> None:
    """Write to each stream."""
    every_stream()


def read_two() -> list[Any]:
    """Read two items."""
    items = iter(ajobs.job_input())
    return [next(items), next(items)]


async def aread_two() -> list[Any]:
    """Read two items."""
    items = ajobs.job_input()
    return [await anext(items), await anext(items)]


def echo_two() -> Iterator[Any]:
    """Give the first two items."""
    for _, item in zip(range(2), ajobs.job_input(), strict=False):
        yield item


async def aecho_two() -> AsyncIterator[Any]:
    """Give the first two items."""
    items = ajobs.job_input()
    for _ in range(2):
        yield await anext(items)


def read_all() -> list[Any]:
    """Read everything."""
    return list(ajobs.job_input())


async def aread_all() -> list[Any]:
    """Read everything."""
    return [item async for item in ajobs.job_input()]


def until_stopped() -> None:
    """Run until stopped, then clean up."""
    ajobs.write_output("begun")
    try:
        while True:
            ajobs.check_stop()
            time.sleep(0.001)
    finally:
        with ajobs.cleanup():
            ajobs.write_output("cleaned")


async def auntil_stopped() -> None:
    """Run until stopped, then clean up with an await."""
    ajobs.write_output("begun")
    try:
        await anyio.sleep_forever()
    finally:
        with ajobs.cleanup():
            await checkpoint()
            await ajobs.write_output("cleaned")
