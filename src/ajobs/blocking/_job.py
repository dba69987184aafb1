"""A job as code without an event loop sees it, and the loops over what jobs give.

It holds nothing of its own: the job behind it is the truth.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from anyio import EndOfStream, WouldBlock

from .._foreach.job import ForeachJob as AsyncForeachJob
from .._job import Job as AsyncJob
from .._job import StreamsAsked
from .._reading import Receipt as AsyncReceipt
from .._records import Progress, Record, StateChange, Stream
from .._state import JobState
from ._bridge import Bridge
from ._seen import Seen

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from .._foreach.counts import ForeachCounts

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Same(Generic[T]):
    """An attribute that is the one of the job behind."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.__doc__ = getattr(AsyncJob, name).__doc__

    @overload
    def __get__(self, job: None, owner: type) -> Self: ...
    @overload
    def __get__(self, job: Job[Any], owner: type) -> T: ...
    def __get__(self, job: Job[Any] | None, owner: type) -> T | Self:
        if job is None:
            return self

        value: T = getattr(job.behind, self._name)
        return value

    def __set__(self, job: Job[Any], value: object) -> None:
        raise AttributeError(f"{self._name} of a job cannot be set")


class Job(Seen, Generic[T_co]):
    """A handle on one job: an `ajobs.Job` whose waits block the thread that calls.

    Its attributes can be read at any time, also when its session has closed. Two handles on
    one job are equal.
    """

    __slots__ = ("_bridge", "behind")

    id: _Same[int] = _Same()
    instance_id: _Same[uuid.UUID] = _Same()
    command: _Same[str] = _Same()
    kind: _Same[str] = _Same()
    location: _Same[str] = _Same()
    state: _Same[JobState] = _Same()
    is_finished: _Same[bool] = _Same()
    begin_time: _Same[datetime | None] = _Same()
    end_time: _Same[datetime | None] = _Same()
    has_more_data: _Same[bool] = _Same()
    had_errors: _Same[bool] = _Same()
    dropped: _Same[dict[Stream, int]] = _Same()
    progress: _Same[tuple[Progress, ...]] = _Same()
    status_message: _Same[str] = _Same()

    def __init__(self, job: AsyncJob[T_co], bridge: Bridge) -> None:
        """Look at *job*; sessions make handles."""
        #: The job itself, for code that runs on its event loop.
        self.behind = job
        self._bridge = bridge

    @property
    def name(self) -> str:
        """Its name, by default ``Job<id>``. It can be set, and need not be unique."""
        return self.behind.name

    @name.setter
    def name(self, name: str) -> None:
        self.behind.name = name

    @property
    def reason(self) -> BaseException | None:
        """Why it failed; None in every other state. Reading it counts as having seen it."""
        return self._bridge.call(lambda: self.behind.reason)

    @property
    def children(self) -> tuple[Job[Any], ...]:
        """The jobs that are parts of this one; empty for all but groups."""
        children = self._bridge.call(lambda: self.behind.children)
        return tuple(handle(child, self._bridge) for child in children)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.behind is other.behind

    def __hash__(self) -> int:
        return hash(self.behind)

    def __repr__(self) -> str:
        return repr(self.behind)

    @property
    def _shown_as(self) -> AsyncJob[T_co]:
        return self.behind

    # Waiting

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has finished; return whether it has. See `ajobs.Job.wait`."""
        job = self.behind
        if job.is_finished:
            return True

        return self._bridge.run(lambda: job.wait(timeout))

    def result(self, timeout: float | None = None) -> T_co:
        """Wait for the job and return its value, or raise how it ended, as ``await job`` does.

        Args:
            timeout: Seconds to wait; None waits for ever.

        Raises:
            TimeoutError: It has not finished by then; it goes on.
            BaseException: What the job's function raised, `JobStopped`, `JobTimeout`, ...
        """
        job = self.behind
        if not job.is_finished:
            self._bridge.run(lambda: _ended(job, timeout))

        # Raised here and not there: the traceback leads from the caller right to the job's code.
        failure = self._bridge.call(job.failure)
        if failure is not None:
            raise failure

        return job.result()

    def stop(self, grace: float | None = None) -> bool:
        """Tell the job to end and wait until it has; return whether it has.

        See `ajobs.Job.stop`.
        """
        job = self.behind
        if job.is_finished:
            return True

        return self._bridge.run(lambda: job.stop(grace), stops=False)

    # Reading

    def receive(
        self,
        stream: StreamsAsked = Stream.OUTPUT,
        keep: bool = False,
        errors: Literal["raise", "ignore"] = "raise",
    ) -> Receipt:
        """Take what the job writes: one by one as it comes, or all at once.

        ``for value in job.receive():`` takes each record when it is there, and only that
        one. ``job.receive().result()`` gives a list, once the job has finished; if it failed,
        everything is put back before that is raised. See `ajobs.Job.receive`.
        """
        receipt = self.behind.receive(stream, keep, errors)
        return Receipt(self.behind, receipt, self._bridge)

    def receive_nowait(
        self,
        stream: StreamsAsked = Stream.OUTPUT,
        keep: bool = False,
        limit: int | None = None,
    ) -> list[Any]:
        """Return what the job has written so far, and take it. Never waits for the job.

        See `ajobs.Job.receive_nowait`.
        """
        return self._bridge.call(lambda: self.behind.receive_nowait(stream, keep, limit))

    @overload
    def follow(self, states: Literal[False] = False) -> Iterator[Record]: ...
    @overload
    def follow(self, states: Literal[True]) -> Iterator[Record | StateChange]: ...
    def follow(self, states: bool = False) -> Iterator[Any]:
        """Iterate over every record that the job holds, then over each as it is written.

        Nothing is taken. See `ajobs.Job.follow`.
        """
        job = self.behind
        follower: Any = self._bridge.call(lambda: job.follow(True) if states else job.follow())
        return Each(self._bridge, follower.next_nowait, follower.__anext__)

    def save(
        self,
        path: str | os.PathLike[str],
        stream: StreamsAsked = Stream.OUTPUT,
        format: Literal["text", "jsonl"] = "text",  # noqa: A002  # the word of the field
        append: bool = False,
    ) -> None:
        """Take the job's records into a file as they come, until it has finished.

        See `ajobs.Job.save`.
        """
        self._bridge.run(lambda: self.behind.save(path, stream, format, append))


class ForeachJob(Job[None]):
    """A handle on what `Session.start_foreach` gives: an `ajobs.ForeachJob`."""

    __slots__ = ()
    behind: AsyncForeachJob

    # All of these look at the items that run, which only the loop's thread may do.

    @property
    def counts(self) -> ForeachCounts:
        """How many items there are, have ended, run, and how fast they end."""
        return self._bridge.call(lambda: self.behind.counts)

    @property
    def progress(self) -> tuple[Progress, ...]:  # type: ignore[override]  # a descriptor there
        """How far its items are, and below that the progress that they write themselves."""
        return self._bridge.call(lambda: self.behind.progress)

    @property
    def status_message(self) -> str:  # type: ignore[override]  # as above
        """One line on where it stands: while it runs how far it is, after a stop what is left."""
        return self._bridge.call(lambda: self.behind.status_message)


@overload
def handle(job: AsyncForeachJob, bridge: Bridge) -> ForeachJob: ...
@overload
def handle(job: AsyncJob[T], bridge: Bridge) -> Job[T]: ...
def handle(job: AsyncJob[Any], bridge: Bridge) -> Job[Any]:
    """Return a handle on *job*, of the class that shows all of it."""
    return (ForeachJob if isinstance(job, AsyncForeachJob) else Job)(job, bridge)


async def _ended(job: AsyncJob[Any], timeout: float | None) -> None:
    if timeout is None:
        await job.value_known()
    elif not await job.wait(timeout):
        raise TimeoutError(f"{job.label()} has not finished within {timeout:g} s; it goes on")


class Receipt:
    """The output of a job: iterate over it, or call `result` for a list of everything."""

    def __init__(self, job: AsyncJob[Any], receipt: AsyncReceipt, bridge: Bridge) -> None:
        """Take from *job* by *receipt*."""
        #: The receipt itself, for code that runs on the job's event loop.
        self.behind = receipt
        self._bridge = bridge
        # Where there is no limit nobody waits for room, so values can be taken in any thread.
        self._is_free = job.options.output_limit is None

    def __iter__(self) -> Iterator[Any]:
        iteration = self._bridge.call(self.behind.__aiter__)
        return Each(self._bridge, self._next_nowait, iteration.__anext__)

    def _next_nowait(self) -> Any:
        if self._bridge.is_over:
            return self.behind.receive_nowait()

        if self._is_free:
            return self.behind.next_nowait()

        raise WouldBlock

    def result(self) -> list[Any]:
        """Wait until the job has finished; return everything that nobody has taken.

        Raises:
            BaseException: What the job raised, `JobStopped`, `JobTimeout`, ...; what was
                there is put back in front. Never with ``errors="ignore"``.
        """
        return self._bridge.run(self._all)

    async def _all(self) -> list[Any]:
        return await self.behind

    def __repr__(self) -> str:
        return repr(self.behind).replace(
            "await it for a list, or take it with async for", "iterate, or call result() for a list"
        )


class Each(Generic[T]):
    """A ``for`` over what comes on the loop."""

    def __init__(
        self,
        bridge: Bridge,
        next_nowait: Callable[[], T],
        wait: Callable[[], Coroutine[Any, Any, T]],
    ) -> None:
        """Give what *next_nowait* returns here, and while nothing is there what *wait* does."""
        self._bridge = bridge
        self._next_nowait = next_nowait
        self._wait = wait

    def __iter__(self) -> Self:
        """Return itself: there is one position."""
        return self

    def __next__(self) -> T:
        """Return the next one, waiting for it."""
        try:
            with suppress(WouldBlock):
                return self._next_nowait()

            if not self._bridge.is_over:
                return self._bridge.run(self._wait)

        except (EndOfStream, StopAsyncIteration):
            pass

        raise StopIteration
