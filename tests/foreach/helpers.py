"""What several tests of items need."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import anyio

from ajobs._context import WRITTEN, JobContext
from ajobs._records import Stream


class FakeCaller(JobContext):
    """The context of a job that calls `parallel_foreach`, and notes what comes."""

    def __init__(self) -> None:
        self.written: list[tuple[Stream, object]] = []
        self.is_stopping = False

    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        """Note it."""
        self.written.append((stream, value))
        return WRITTEN

    def stop_requested(self) -> bool:
        """Tell what the test said."""
        return self.is_stopping

    def job_input(self) -> list[object]:
        """Give nothing."""
        return []

    @contextmanager
    def cleanup(self) -> Iterator[None]:
        """Shield nothing."""
        yield


class Gate:
    """Items that wait for a gate to open; those in *failing* raise then."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.begun: list[int] = []
        self.opened = anyio.Event()

    async def __call__(self, item: int) -> int:
        """Wait, then give *item*."""
        self.begun.append(item)
        await self.opened.wait()
        if item in self.failing:
            raise ValueError(f"item {item} is bad")

        return item
