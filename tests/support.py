"""What many test files need: code for jobs to run, and ways to hold it."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread

import ajobs

T = TypeVar("T")


def unmeasured() -> dict[str, str]:
    """Return the environment of a child that coverage leaves alone.

    What it says or writes while a program is interrupted, or as another user, would count as
    the program's.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


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

    async def wait(self) -> None:
        """Wait for `open`."""
        self.arrived += 1
        await self._event.wait()

    async def give(self, value: T) -> T:
        """Wait for `open`, then return *value*."""
        await self.wait()
        return value


class Deaf:
    """Code for threads that ignores every stop until it is let go.

    Leaving the block lets it go, so that no test leaves a thread behind.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self._release = threading.Event()

    def __call__(self) -> None:
        """Stay in the thread."""
        self.begun.set()
        self._release.wait(20)

    def release(self) -> None:
        """Let the threads go."""
        self._release.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


async def in_thread(event: threading.Event) -> None:
    """Wait for an event that a thread sets."""
    assert await anyio.to_thread.run_sync(event.wait, 30)


def let_time_run_out(job: ajobs.Job[Any]) -> None:
    """End the time limit of *job* now, which runs; a clock may strike before it has begun."""
    run: Any = job.run
    run._timer.run()


async def reach(job: ajobs.Job[Any], state: str) -> None:
    """Wait until *job* comes to *state*."""
    if job.state == state:
        return

    async for one in job.follow(states=True):
        if isinstance(one, ajobs.StateChange) and one.state == state:
            return

    raise AssertionError(f"{job} ended without ever being {state}")
