"""Following all jobs of a session at once, those to come included.

It joins the logs of many jobs in one queue; it knows jobs, not sessions.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Self

import anyio
from anyio import WouldBlock
from anyio.lowlevel import checkpoint

from ._job import Job
from ._log import Feed, Told
from ._reading import BURST
from ._records import Record, StateChange


class _TaggedFeed(deque[Told]):
    """What one job's log fills: it passes everything on, with the job."""

    def __init__(self, job: Job[Any], joined: deque[tuple[Job[Any], Told]]) -> None:
        super().__init__()
        self._job = job
        self._joined = joined

    def append(self, told: Told, /) -> None:
        self._joined.append((self._job, told))


class _Wake:
    """Wakes a follower while there is one; it does not keep it alive."""

    def __init__(self, follower: SessionFollower) -> None:
        self._ref = weakref.ref(follower)

    def __call__(self) -> None:
        follower = self._ref()
        if follower is not None:
            follower.wake()


class SessionFollower:
    """``async for job, record in jobs.follow()``: every record and change of state of all jobs.

    First what the jobs hold, then each as it comes, also from jobs that are started later.
    Nothing is taken. It ends when the session has closed.
    """

    def __init__(self) -> None:
        """Follow nothing yet: the session adds its jobs."""
        self._joined: deque[tuple[Job[Any], Told]] = deque()
        self._feeds: dict[Job[Any], Feed] = {}
        self._wake = _Wake(self)
        self._event: anyio.Event | None = None
        self._has_ended = False
        self._since_wait = 0
        # A loop over it that is left early must not stay with jobs that live for long.
        weakref.finalize(self, _leave, self._feeds, self._wake).atexit = False

    def add(self, job: Job[Any]) -> None:
        """Follow *job* too."""
        log = job.open_log()
        feed = _TaggedFeed(job, self._joined)
        log.follow_into(feed)
        self._feeds[job] = feed
        log.listeners[self._wake] = None
        self.wake()

    def forget(self, job: Job[Any]) -> None:
        """Let go of a job that has left the session, after all that it told."""
        if self._feeds.pop(job, None) is not None:
            job.open_log().listeners.pop(self._wake, None)

    def end(self) -> None:
        """Note that the session has closed: nothing more will come."""
        self._has_ended = True
        self.wake()

    def wake(self) -> None:
        """Look again."""
        event, self._event = self._event, None
        if event is not None:
            event.set()

    def __aiter__(self) -> Self:
        """Return itself: a follower has one position."""
        return self

    async def __anext__(self) -> tuple[Job[Any], Record | StateChange]:
        """Return the next thing that a job told, with the job."""
        self._since_wait += 1
        if self._since_wait > BURST:
            self._since_wait = 0
            await checkpoint()

        while not self._joined:
            if self._has_ended:
                raise StopAsyncIteration

            self._since_wait = 0
            if self._event is None:  # else another task waits already
                self._event = anyio.Event()

            await self._event.wait()

        return self.next_nowait()

    def next_nowait(self) -> tuple[Job[Any], Record | StateChange]:
        """Return the next thing that is there; in any thread.

        Raises:
            WouldBlock: Nothing is there now.
        """
        if not self._joined:
            raise WouldBlock

        job, told = self._joined.popleft()
        return job, told if isinstance(told, StateChange) else Record.of(told)


def _leave(feeds: dict[Job[Any], Feed], wake: _Wake) -> None:
    for job in feeds:
        job.open_log().listeners.pop(wake, None)
