"""The records of one run: written by its runner and by its code, with room for them or not.

A record goes straight into the job's log, from any thread; whoever reads is woken on the loop.
This file knows that a run may be told to end, not how.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Awaitable, Generator, Iterable, Sequence
from typing import Any, Protocol

import anyio
from anyio.lowlevel import checkpoint

from ._blocking import Blockable
from ._context import WRITTEN, JobContext
from ._errors import NoCurrentJob, OutputLimitExceeded, StopRequested
from ._job import Job
from ._log import Log
from ._loop import Loop
from ._records import LOSSLESS, Stream

_LOSSLESS = frozenset(LOSSLESS)


class WriterOwner(Protocol):
    """What runs jobs, as one that writes sees it. Called on the loop."""

    loop: Loop
    is_draining: bool

    def warn(self, message: str) -> object:
        """Give the user a RuntimeWarning."""


class Writer(JobContext, Blockable):
    """One run of one job, as far as it writes: that half of an `Emit`."""

    job: Job[Any]
    _owner: WriterOwner

    # Defaults on the class, so that a run which needs nothing costs nothing.
    begun: float | None = None
    is_over: bool = False
    overflow: OutputLimitExceeded | None = None
    _is_wake_posted: bool = False

    @abstractmethod
    def begin(self) -> None:
        """Note that the code begins: a first record implies it."""

    # Records

    def __call__(self, stream: Stream, value: object) -> None:
        """Write one record without waiting."""
        log = self._log_for(stream)
        if stream is Stream.ERROR:
            log.had_errors = True

        log.append(stream, value, time.time())
        self._wrote(log)

    def many(self, records: Iterable[tuple[float, Stream, object]]) -> None:
        """Write a batch of records; errors among them count as the job's own."""
        self._check_is_on()
        batch = list(records)
        log = self.job.open_log()
        log.extend(batch)
        self._wrote_batch(log, any(stream is Stream.ERROR for _, stream, _ in batch))

    def many_of(self, stream: Stream, times: Sequence[float], values: Sequence[object]) -> None:
        """Write a batch of one stream."""
        self._check_is_on()
        log = self.job.open_log()
        log.extend_one(stream, times, values)
        self._wrote_batch(log, stream is Stream.ERROR)

    def _wrote_batch(self, log: Log, has_errors: bool) -> None:
        if has_errors:
            log.had_errors = True

        if log.limit is not None and log.unread > log.limit:
            self._check_room(log)

        self._wrote(log)

    def text(self, stream: Stream, line: str | bytes) -> None:
        """Write a line that a program printed."""
        log = self._log_for(stream)
        log.append(stream, line, time.time())
        self._wrote(log)

    def _log_for(self, stream: Stream) -> Log:
        self._check_is_on()
        log = self.job.open_log()
        if stream in _LOSSLESS and log.limit is not None:
            self._check_room(log)

        return log

    def _check_is_on(self) -> None:
        if self.is_over:
            raise NoCurrentJob(
                f"{self.job.label()} has ended: a thread or task that it left behind cannot "
                f"write to it any more"
            )

        if self.begun is None:
            if self._owner.loop.in_thread:
                self.begin()
            else:
                self._owner.loop.call_soon(self.begin)

    def _check_room(self, log: Log) -> None:
        try:
            log.check_room(1 if self.job._options.overflow == "error" else 2)
        except OutputLimitExceeded as exc:
            self._overflowed(exc)
            raise

    def _overflowed(self, error: OutputLimitExceeded) -> None:
        # The job fails by it even where its code swallows the exception.
        if self.overflow is None:
            self.overflow = error

    def _wrote(self, log: Log) -> None:
        if self._owner.loop.in_thread:
            self._wake_readers()
        elif not self._is_wake_posted and (log.listeners or log.unread >= log.warn_at):
            self._is_wake_posted = True
            self._owner.loop.call_soon(self._wake_readers)

    def _wake_readers(self) -> None:
        self._is_wake_posted = False
        log = self.job._log
        if log is None:
            return

        if log.listeners:
            self.job.tell_readers()

        if log.unread >= log.warn_at and log.is_growing:
            # On a turn of the loop's own, never inside the job's code: where warnings are
            # errors, it must not fail the job.
            self._owner.loop.call_soon(self._warn_of_growth)

    def _warn_of_growth(self) -> None:
        self._owner.warn(
            f"{self.job.label()} has {self.job.open_log().unread:,} unread records, kept in "
            f"memory: receive them while it runs, or start it with an output_limit"
        )

    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        """Write *value*, as the functions of `_context` promise."""
        if stream not in _LOSSLESS:
            self(stream, value)
            return WRITTEN

        log = self.job.open_log()
        if self._owner.loop.in_thread:
            self(stream, value)
            return _Room(self, has_written=True)

        if log.is_full and self.job._options.overflow == "wait":
            self._wait_in_thread(log)

        self(stream, value)
        return WRITTEN

    # Room

    @property
    def is_full(self) -> bool:
        """True while `room` would wait."""
        log = self.job._log
        return log is not None and log.is_full and self.job._options.overflow == "wait"

    def room(self) -> Awaitable[None]:
        """Wait while the job's output is full."""
        return _Room(self, has_written=False)

    def _wait_in_thread(self, log: Log) -> None:
        loop = self._owner.loop
        room = threading.Event()
        loop.call_soon(self._begin_room_wait)
        try:
            while log.is_full:
                log.when_room(room.set)
                if log.is_full:
                    self._check_may_wait(log)
                    room.wait()

                room.clear()
        finally:
            log.forget_room(room.set)
            loop.call_soon(self._end_room_wait)

    def _check_may_wait(self, log: Log) -> None:
        if self.stop_requested():
            raise StopRequested("the job was asked to stop while it waited for room")

        if self._owner.is_draining and not log.has_readers:
            error = OutputLimitExceeded(
                f"{self.job.label()} waits for room in its output, which holds {log.unread} "
                f"records, and the session is ending with nobody left to read them"
            )
            self._overflowed(error)
            raise error

    def _begin_room_wait(self) -> None:
        self.block(None)
        self.job.open_log().on_no_readers = self._look_again_soon

    def _end_room_wait(self) -> None:
        self.job.open_log().on_no_readers = None
        self.unblock(None)

    def _look_again_soon(self) -> None:
        # Readers may be dropped in any thread; writers are woken on the loop.
        self._owner.loop.call_soon(self.job.open_log().wake_writers)

    async def wait_for_room(self, has_written: bool) -> None:
        """Wait, as a task, until one more record fits, or the last one does."""
        log = self.job._log
        if log is None or not (self.is_full and (log.is_over or not has_written)):
            await checkpoint()
            return

        self._begin_room_wait()
        try:
            while log.is_over if has_written else log.is_full:
                self._check_may_wait(log)
                event = anyio.Event()
                log.when_room(event.set)
                try:
                    await event.wait()
                finally:
                    log.forget_room(event.set)
        finally:
            self._end_room_wait()


class _Room:
    """Awaited by a task that is willing to wait for room in its output."""

    __slots__ = ("_has_written", "_run")

    def __init__(self, run: Writer, has_written: bool) -> None:
        self._run = run
        self._has_written = has_written

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run.wait_for_room(self._has_written).__await__()
