"""Live views of running jobs: sampled, a few times a second, whatever the jobs write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from time import perf_counter, time
from typing import Any, Protocol

import anyio

from .._blocking import Waitable, current_subject, waits_for
from .rows import Viewed
from .screens import BarsPicture, Screen, TablePicture, open_screen

#: A picture that takes long is drawn less often: at most one part in so many of the time.
SHARE = 20

#: Seconds between two looks for jobs that are still to be waited for.
BREATH = 0.01


class Live(Viewed, Protocol):
    """A job that can also be waited for."""

    def wait(self, timeout: float | None = None) -> Awaitable[bool]: ...


Source = Callable[[], Iterable[Live]]


#: The jobs that look until others have finished, with what they look at.
_looking: dict[object, Source] = {}


class _Sampler:
    """Looks at jobs again and again, and shows them on a screen."""

    def __init__(self, source: Source, screen: Screen) -> None:
        self._source = source
        self._screen = screen
        self._own: Any = current_subject()
        self.pause = screen.every
        self._has_looked = False

    def _jobs(self) -> list[Live]:
        # The job that looks would wait for itself.
        return [job for job in self._source() if job is not self._own]

    def look(self) -> None:
        """Show the jobs as they are now."""
        begin = perf_counter()
        self._screen.show(self._jobs(), time())
        if self._has_looked:  # the first time it was loaded, too
            self.pause = max(self._screen.every, SHARE * (perf_counter() - begin))

        self._has_looked = True

    async def for_ever(self) -> None:
        """Show the jobs until cancelled."""
        while True:
            self.look()
            await anyio.sleep(self.pause)

    def _pending(self) -> list[Live]:
        return [job for job in self._jobs() if not job.is_finished and not self._is_awaited_by(job)]

    def _is_awaited_by(self, job: object) -> bool:
        """Tell whether *job* ends only once the job that looks has ended."""
        if self._own is None or not isinstance(job, Waitable):
            return False

        looks_at = _looking.get(job)
        return waits_for(job, self._own) or (looks_at is not None and self._own in looks_at())

    async def to_the_end(self) -> None:
        """Show the jobs until all have finished, those started meanwhile included.

        Those that wait for the job that looks are not waited for.
        """
        if self._own is None:
            await self._to_the_end()
            return

        _looking[self._own] = self._source
        try:
            await self._to_the_end()
        finally:
            del _looking[self._own]

    async def _to_the_end(self) -> None:
        look_at = anyio.current_time()
        pending = self._pending()
        while pending:
            if anyio.current_time() >= look_at:
                self.look()
                look_at = anyio.current_time() + self.pause

            for job in pending:
                if not await job.wait(max(look_at - anyio.current_time(), 0.0)):
                    break

            pending = self._pending()
            if pending:
                # Jobs that start one another end again and again; this does not run with them.
                await anyio.sleep(BREATH)


async def watch(source: Source) -> None:
    """Show a table of jobs until all have finished."""
    screen = open_screen(TablePicture())
    sampler = _Sampler(source, screen)
    try:
        try:
            await sampler.to_the_end()
        finally:
            sampler.look()
    finally:
        screen.close()


@asynccontextmanager
async def bars(source: Source) -> AsyncIterator[None]:
    """Show the progress of jobs while the block runs, and until they have finished."""
    screen = open_screen(BarsPicture())
    sampler = _Sampler(source, screen)
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(sampler.for_ever)
            # Caught here, since the group would wrap it in another one.
            try:
                yield
            except BaseException as exc:  # noqa: BLE001  # it is raised again below
                failure = exc

            group.cancel_scope.cancel()

        if failure is not None:
            raise failure

        await sampler.to_the_end()
    finally:
        sampler.look()
        screen.close()
