"""What many test files need: code for jobs to run, and ways to hold it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread

import ajobs

T = TypeVar("T")


async def give(value: T) -> T:
    """Return *value* at once."""
    return value


async def nothing() -> None:
    """End at once."""


async def fail(error: BaseException) -> None:
    """Raise *error*."""
    raise error


async def forever() -> None:
    """Wait until stopped."""
    await anyio.sleep_forever()


async def write(*values: object) -> None:
    """Write *values*, and wait for room."""
    for value in values:
        await ajobs.write_output(value)


async def collect() -> list[Any]:
    """Return the input."""
    return [item async for item in ajobs.job_input()]


async def take(source: Any) -> list[Any]:
    """Return what an async iterable gives."""
    return [item async for item in source]


async def count_from(first: int, end: int) -> AsyncIterator[int]:
    """Give whole numbers."""
    for number in range(first, end):
        yield number


class Gate:
    """Holds code back until it is opened, and tells how many came to it."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.arrived = 0

    def open(self) -> None:
        """Let everybody go on."""
        self._event.set()

    async def wait(self, value: T = None) -> T:  # type: ignore[assignment]  # as good as an overload
        """Wait for `open`, then return *value*."""
        self.arrived += 1
        await self._event.wait()
        return value


@contextmanager
def held_thread() -> Iterator[tuple[threading.Event, Callable[[], None]]]:
    """Give an event that is set when the thread has begun, and a function that stays in it.

    The function ignores every stop and returns when the block is left.
    """
    begun, release = threading.Event(), threading.Event()

    def stay() -> None:
        begun.set()
        release.wait(20)

    try:
        yield begun, stay
    finally:
        release.set()


async def in_thread(event: threading.Event) -> None:
    """Wait for an event that a thread sets."""
    assert await anyio.to_thread.run_sync(event.wait, 10)


async def reach(job: ajobs.Job[Any], state: str) -> None:
    """Wait until *job* comes to *state*."""
    if job.state == state:
        return

    async for one in job.follow(states=True):
        if isinstance(one, ajobs.StateChange) and one.state == state:
            return

    raise AssertionError(f"{job} ended without ever being {state}")
