"""How the records of a job are read: taken, or followed.

Each reader is an object with a position, never a generator, so that leaving it early leaves
nothing behind. This file knows what can be read, not jobs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar, cast

import anyio
from anyio import EndOfStream, WouldBlock
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint

from ._blocking import Waitable, blocked, check_loop
from ._log import Feed, Log, Streams
from ._records import Entry, Record, StateChange
from ._state import in_iteration

__all__ = ("Follower", "Receipt")

#: Records handed out without a wait before a reader lets other tasks run: a writer in
#: another thread can keep a log full for ever.
BURST = 64

#: What tells a reader that nothing comes, now or ever.
_ENDS = (EndOfStream, WouldBlock, StopIteration, StopAsyncIteration)

#: Returned where any object may be a value, and there is none.
NO_VALUE = object()


class Readable(Waitable):
    """Something that has a log and finishes: a job, as its readers see it."""

    __slots__ = ()

    @abstractmethod
    def open_log(self) -> Log:
        """Return the log, made now if nothing was written yet."""

    @abstractmethod
    def failure(self) -> BaseException | None:
        """Return what to raise at a reader of an ended job that did not complete.

        It counts as seen.
        """

    @abstractmethod
    def taken(self) -> None:
        """Note that records were taken."""


async def written(job: Readable, has_more: Callable[[], bool]) -> None:
    """Wait until *job* has written something more, or has finished.

    Its code may be in a thread, and write after the caller has looked: *has_more* looks again,
    once whoever writes would wake this.
    """
    check_loop((job,))
    log = job.open_log()
    event = anyio.Event()
    with blocked((job,)) as wait:

        def wake() -> None:
            event.set()
            if wait is not None:
                wait.is_over = True

        log.listeners[wake] = None
        try:
            if has_more():
                await checkpoint()
            else:
                await event.wait()
        finally:
            log.listeners.pop(wake, None)


class Receipt(ObjectReceiveStream[Any]):
    """The output of a job, to be awaited or taken one by one.

    ``await receipt`` gives a list of everything, once the job has finished; if the job did
    not complete, or the wait is cancelled, all of it is put back in front before that is
    raised. ``async for value in receipt`` gives each value as it comes, and raises how the
    job failed after the last one. It is also an anyio receive stream, so it can be the
    `input` of another job.
    """

    def __init__(self, job: Readable, streams: Streams, as_records: bool, errors: str) -> None:
        """Read *streams* of *job*, as records or as bare values."""
        self._job = job
        self._streams = streams
        self._as_records = as_records
        self._raises = errors == "raise"
        self._since_wait = 0
        self._has_ended = False
        self._is_attached = False

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        """Return a list of everything that the job still writes and nobody has taken.

        Raises:
            BaseException: What the job raised, `JobStopped`, `JobTimeout`, ...; never with
                ``errors="ignore"``.
            DeadlockError: The job that waits here can only finish after this wait.
        """
        return self._collect().__await__()

    def __repr__(self) -> str:
        """Say what it is and what to do with it: in a console one expects the data."""
        return (
            f"<receipt of {self._job.label()} ({', '.join(self._streams)}): await it for a list, "
            f"or take it with async for>"
        )

    def __aiter__(self) -> Iteration:  # type: ignore[override]  # anyio's returns itself
        """Return a view that lives as long as the loop over it."""
        return Iteration(self)

    async def _collect(self) -> list[Any]:
        taken: list[Entry] = []
        log = self._job.open_log()
        log.add_reader(self)
        try:
            while not self._job.is_finished:
                taken += log.take(self._streams)
                await written(self._job, self._has_more)

            taken += log.take(self._streams)
            self._raise_failure()
        except BaseException:
            log.put_back(taken)
            log.wake_readers()
            raise
        finally:
            log.drop_reader(self)

        self._has_ended = True
        self._job.taken()
        return [self._shown(entry) for entry in taken]

    def _take_one(self) -> Entry | None:
        return self._job.open_log().take_one(self._streams)

    def _shown(self, entry: Entry) -> Any:
        return Record.of(entry) if self._as_records else entry[3]

    async def receive(self) -> Any:
        """Return the next value, waiting for it.

        Cancelling the call loses nothing.

        Raises:
            EndOfStream: The job has finished and everything was taken.
            BaseException: What the job failed with, once, after its last value.
            DeadlockError: The current job can only get on after this wait.
        """
        self.attach()
        return await self.next()

    def attach(self) -> None:
        """Count as a reader: the job may wait for this one to make room."""
        if not self._is_attached:
            self._is_attached = True
            self._job.open_log().add_reader(self)

    async def next(self) -> Any:
        """Return the next value, as `receive` does."""
        self._since_wait += 1
        if self._since_wait > BURST:
            self._since_wait = 0
            await checkpoint()

        while True:
            entry = None if self._has_ended else self._take_one()
            if entry is not None:
                return self._shown(entry)

            self._check_end()
            self._since_wait = 0
            await written(self._job, self._has_more)

    def next_in_burst(self) -> Any:
        """Return the next value if it is there and no other task is due; else `NO_VALUE`.

        The short way of `next`: most values of a job that writes many are there already.
        """
        if self._since_wait >= BURST or self._has_ended:
            return NO_VALUE

        entry = self._take_one()
        if entry is None:
            return NO_VALUE

        self._since_wait += 1
        return Record.of(entry) if self._as_records else entry[3]

    def next_nowait(self) -> Any:
        """Return the next value that is there; in any thread, unless the job has a limit.

        How the job ended is not looked at.

        Raises:
            WouldBlock: None is there now.
        """
        entry = None if self._has_ended else self._take_one()
        if entry is None:
            raise WouldBlock

        return self._shown(entry)

    @property
    def log(self) -> Log:
        """The log that it reads."""
        return self._job.open_log()

    def receive_nowait(self) -> Any:
        """Return the next value if there is one.

        Raises:
            WouldBlock: The job runs and nothing is there now.
            EndOfStream: The job has finished and everything was taken.
            BaseException: As in `receive`.
        """
        try:
            return self.next_nowait()
        except WouldBlock:
            self._check_end()
            raise

    def _check_end(self) -> None:
        if self._has_ended:
            raise EndOfStream

        # Whoever sees a finished state can take everything: a last look after it.
        if self._job.is_finished and not self._has_more():
            self._end()
            self._job.taken()
            self._raise_failure(_ENDS)
            raise EndOfStream

    def _end(self) -> None:
        self._has_ended = True
        if self._is_attached:
            self._job.open_log().drop_reader(self)

    def _has_more(self) -> bool:
        return self._job.open_log().has(self._streams)

    def _raise_failure(self, ends: tuple[type[BaseException], ...] = ()) -> None:
        if self._raises and self._job.is_finished:
            failure = self._job.failure()
            if failure is not None:
                raise in_iteration(failure, *ends)

    async def aclose(self) -> None:
        """Stop taking; what was not taken stays with the job."""
        self._end()
        await checkpoint()


class Iteration:
    """One ``async for`` over a receipt.

    A loop that is left early drops this object, and with it the claim that somebody reads:
    a writer that waits for room must not wait for a reader that has gone.
    """

    def __init__(self, receipt: Receipt) -> None:
        """Read on from where *receipt* is."""
        self._receipt = receipt
        receipt.log.add_reader(self)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Any:
        """Return the next value of the receipt."""
        receipt = self._receipt
        value = receipt.next_in_burst()
        if value is not NO_VALUE:
            return value

        try:
            return await receipt.next()
        except EndOfStream:
            self._receipt.log.drop_reader(self)
            raise StopAsyncIteration from None


class KeepingReceipt(Receipt):
    """A receipt that leaves the records where they are, and has a position of its own."""

    def __init__(self, job: Readable, streams: Streams, as_records: bool, errors: str) -> None:
        """Read *streams* of *job*, as records or as bare values."""
        super().__init__(job, streams, as_records, errors)
        self._feed: Feed | None = None

    async def _collect(self) -> list[Any]:
        await self._job_end()
        self._raise_failure()
        return [self._shown(entry) for entry in self._job.open_log().peek(self._streams)]

    async def _job_end(self) -> None:
        while not self._job.is_finished:
            await written(self._job, lambda: False)

    def _take_one(self) -> Entry | None:
        feed = self._own_feed()
        while feed:
            told = feed.popleft()
            if not isinstance(told, StateChange) and told[2] in self._streams:
                return told

        return None

    def _own_feed(self) -> Feed:
        if self._feed is None:
            self._feed = self._job.open_log().follow()

        return self._feed

    def _has_more(self) -> bool:
        return bool(self._own_feed())

    async def aclose(self) -> None:
        """Stop reading."""
        self._feed = None
        await super().aclose()


T = TypeVar("T", Record, Record | StateChange)


class Follower(Generic[T]):
    """Every record that a job still holds, then each as it is written; nothing is consumed.

    Iterate with ``async for``; it ends when the job has finished. Leave it whenever you like.
    """

    def __init__(self, job: Readable, states: bool) -> None:
        """Follow *job* from the oldest record that it holds."""
        self._job = job
        self._states = states
        self._feed = job.open_log().follow()
        self._since_wait = 0

    def __aiter__(self) -> Self:
        """Return itself: a follower has one position."""
        return self

    async def __anext__(self) -> T:
        """Return the next record, waiting for it."""
        self._since_wait += 1
        if self._since_wait > BURST:
            self._since_wait = 0
            await checkpoint()

        while True:
            with suppress(WouldBlock):
                return self.next_nowait()

            if self._job.is_finished:
                raise StopAsyncIteration

            self._since_wait = 0
            await written(self._job, lambda: bool(self._feed))

    def next_nowait(self) -> T:
        """Return the next record that is there; in any thread.

        Raises:
            WouldBlock: None is there now.
        """
        while self._feed:
            told = self._feed.popleft()
            if self._states or not isinstance(told, StateChange):
                found: Any = told if isinstance(told, StateChange) else Record.of(told)
                return cast("T", found)

        raise WouldBlock
