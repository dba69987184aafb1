"""The promise of a place where jobs run: one method.

A runner emits records and returns a value; it does not know jobs, sessions or waiters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, ClassVar, Protocol

from ._drive import Waker
from ._records import Stream
from ._spec import JobSpec

__all__ = ("Emit", "Runner")


class InputSource(Protocol):
    """The input of a job, on the loop's side."""

    async def next(self) -> Any:
        """Return the next item, pulling it from the source only now.

        Raises:
            StopAsyncIteration: The input has ended.
        """


class Emit(Protocol):
    """What a runner may tell a job, and ask about it. Called on the loop unless noted."""

    def __call__(self, stream: Stream, value: object) -> None:
        """Write one record, from any thread. Never waits: see `room`."""

    def many(self, records: Iterable[tuple[float, Stream, object]]) -> None:
        """Write a batch of (Unix time, stream, value) in one go, from any thread."""

    def many_of(self, stream: Stream, times: Sequence[float], values: Sequence[object]) -> None:
        """Write a batch of one stream, the cheapest way; from any thread."""

    def text(self, stream: Stream, line: str | bytes) -> None:
        """Write a line that a program printed: an error one does not set `had_errors`."""

    def begin(self) -> None:
        """Say that the job has its place: it is Running and its time limit counts.

        Called again it does nothing; a first record or a returned value imply it.
        """

    def room(self) -> Awaitable[None]:
        """Wait while the job's output is full.

        Raises:
            OutputLimitExceeded: Nobody will ever make room.
        """

    @property
    def is_full(self) -> bool:
        """True while `room` would wait."""

    @property
    def input(self) -> InputSource | None:
        """The job's input, or None if it was given none."""

    async def next_input(self) -> Any:
        """Return the next item of the input; the job shows as Blocked while it waits.

        Raises:
            StopAsyncIteration: The input has ended, or the job was given none.
        """

    @property
    def stop_deadline(self) -> float:
        """When the grace of a stop ends, by `anyio.current_time`; infinity if none is set.

        It may move closer while a stop is under way (a second, more impatient stop).
        """

    def in_task(self) -> Awaitable[None]:
        """See to it that `run` is in a task, which stays the same from here on.

        Only for `run` of a runner that says `needs_task` is False, before all that belongs to
        a task: cancel scopes, task groups, and what asks anyio which event loop this is.
        """

    def pause(self, wakeup: Waker, take: Callable[[], bool]) -> Awaitable[None]:
        """Wait until *wakeup* has something, without a task where that can be.

        Only for `run` of a runner that says `needs_task` is False.

        Args:
            wakeup: Tells when something has come.
            take: Called then, on the loop, where `run` has no task: it takes what has come,
                must not raise, and tells whether `run` can go on to its end without one.
        """

    @property
    def is_trio(self) -> bool:
        """True when the session runs on trio, False on asyncio."""

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call *callback* on the loop when the job is told to end, now if it was."""

    def on_deadline(self, callback: Callable[[], object]) -> None:
        """Call *callback* on the loop when the grace of a stop is over."""

    def on_leave(self, callback: Callable[[], object]) -> None:
        """Call *callback* when the session has to leave without the job's code.

        Only for places that cannot be ended from outside. The callback lets `run` end soon
        by raising `LeftBehind`.
        """


class InTask:
    """That part of an `Emit` for those who await `run` in a task of their own."""

    async def in_task(self) -> None:
        """Do nothing: it is."""

    def pause(self, wakeup: Waker, take: Callable[[], bool]) -> Awaitable[None]:
        """Wait until *wakeup* has something."""
        return wakeup.wait()


class LeftBehind(BaseException):
    """Raised by `Runner.run` when the code goes on without it.

    Attributes:
        on_end: Takes a callback to be called, in any thread, with what the code returned
            and what it raised, once it ends.
    """

    def __init__(
        self, on_end: Callable[[Callable[[Any, BaseException | None], object]], object]
    ) -> None:
        """Keep *on_end* for the session."""
        super().__init__()
        self.on_end = on_end


class Runner(ABC):
    """Where and how a job runs.

    The job lives exactly as long as the call of `run`. A runner may also be an async context
    manager: a session enters the ones that it made from a name, before the first job; an
    object that you made and entered stays yours.

    Attributes:
        kind: The word for it, `Job.kind`.
        location: Where its code runs, `Job.location`.
        value_is_output: Whether the value is the last record of the job's output too; the
            exit code of a program is its result only.
        needs_task: Whether `run` is awaited in one task from its beginning to its end. Where
            it is not, it may begin in none: see ``emit.in_task`` and ``emit.pause``.
    """

    kind: ClassVar[str]
    location: str = "localhost"
    value_is_output: bool = True
    needs_task: bool = True

    @abstractmethod
    def run(self, spec: JobSpec, emit: Emit) -> Coroutine[Any, Any, Any]:
        """Run *spec* to its end and return its value.

        Most runners define it with ``async def``. Called inside the job's context, so that
        context variables and functions such as `ajobs.write_output` work. The job is not
        started until ``emit.begin()``: waiting for a place comes before it.

        Cancelling the call is stopping the job: it comes at once when the job is told to
        end. `run` returns or raises only when none of the job's code runs any more, within
        ``emit.stop_deadline`` where that can be done by force.

        Raises:
            BaseException: Whatever the job's code raised; it becomes the job's reason.
        """

    def check(self, spec: JobSpec) -> JobSpec:
        """Refuse what cannot run here, at the call of `start`, before anything begins.

        Returns:
            The spec to run: *spec* itself, or what the runner made of it (a pickled form).

        Raises:
            TypeError: The callable is not of a sort that runs here.
        """
        return spec
