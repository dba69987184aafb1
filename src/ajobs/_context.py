"""What the code inside a job may call: write to its streams, read its input, notice a stop.

The functions find their job through a context variable, so they work at any depth, in
tasks, in threads (anyio carries the context there) and in far workers. This file knows no
jobs and no event loop: whoever runs a job's code supplies a `JobContext` for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from ._errors import NoCurrentJob, StopRequested
from ._records import Progress, Stream

__all__ = (
    "check_stop",
    "cleanup",
    "job_input",
    "stop_requested",
    "write_debug",
    "write_error",
    "write_information",
    "write_output",
    "write_progress",
    "write_verbose",
    "write_warning",
)


class JobContext(ABC):
    """One place where a job's code runs, as that code sees it."""

    __slots__ = ()

    @abstractmethod
    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        """Write *value*; where code may block (a thread, a process) wait for room here."""

    def text(self, stream: Stream, line: str) -> None:
        """Write a line that was printed: an error one does not set `had_errors`."""
        self.write(stream, line)

    @abstractmethod
    def stop_requested(self) -> bool:
        """Tell whether the job was asked to end."""

    @abstractmethod
    def job_input(self) -> Any:
        """Return the job's input, iterable with ``for`` or ``async for`` as the place allows."""

    @abstractmethod
    def cleanup(self) -> AbstractContextManager[object]:
        """Return a shield for cleanup, bounded by the job's grace."""


class _Written:
    """Awaited where nothing has to be waited for."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


#: What `JobContext.write` returns where it already waited.
WRITTEN = _Written()

_current: ContextVar[JobContext | None] = ContextVar("ajobs_job_context", default=None)

#: Where one process runs one job's code, as a worker does, code without the job's context
#: variables (a bare thread) belongs to that job all the same: the worker says so here.
ambient: Callable[[], JobContext | None] | None = None

enter_context = _current.set
leave_context = _current.reset


def current_context() -> JobContext:
    """Return the context of the job whose code calls.

    Raises:
        NoCurrentJob: No job runs here.
    """
    found = context_or_none()
    if found is None:
        raise NoCurrentJob(
            "no job runs here: this call works inside a function that was started as a job"
        )

    return found


def context_or_none() -> JobContext | None:
    """Return the context of the job whose code calls, or None outside jobs."""
    found = _current.get()
    return ambient() if found is None and ambient is not None else found


def write_output(value: object) -> Awaitable[None]:
    """Write one output record of the current job, as a generator's ``yield`` does.

    In a thread or process it blocks while the job's output is full (`output_limit`). In a
    task it never blocks: await the returned object to wait for room. Without the await, a
    job may exceed its limit to twice its size.

    Raises:
        NoCurrentJob: No job runs here.
        OutputLimitExceeded: The output is full and nobody waited for room, or
            ``overflow="error"``.
        StopRequested: The job was stopped while this call waited for room.
    """
    return current_context().write(Stream.OUTPUT, value)


def write_error(value: object) -> Awaitable[None]:
    """Write an error record: the job goes on, ends Completed, and `Job.had_errors` is true.

    See `write_output` for waiting and what raises.
    """
    return current_context().write(Stream.ERROR, value)


def write_warning(value: object) -> Awaitable[None]:
    """Write a warning record. See `write_output` for waiting and what raises."""
    return current_context().write(Stream.WARNING, value)


def write_verbose(value: object) -> Awaitable[None]:
    """Write a verbose record; the newest 1,000 are kept. Never waits."""
    return current_context().write(Stream.VERBOSE, value)


def write_debug(value: object) -> Awaitable[None]:
    """Write a debug record; the newest 1,000 are kept. Never waits."""
    return current_context().write(Stream.DEBUG, value)


def write_information(value: object) -> Awaitable[None]:
    """Write an information record; the newest 1,000 are kept. Never waits."""
    return current_context().write(Stream.INFORMATION, value)


def write_progress(
    activity: str,
    status: str | None = None,
    percent: float | None = None,
    completed: float | None = None,
    total: float | None = None,
    seconds_remaining: float | None = None,
    id: int = 0,  # noqa: A002  # PowerShell's name for it
    parent_id: int | None = None,
    operation: str | None = None,
    done: bool = False,
) -> None:
    """Tell how far the current job is; `Job.progress` shows the newest of each *id*.

    Cheap enough for an inner loop: nothing is drawn or sent here. See `Progress` for the
    arguments; *percent* is worked out from *completed* and *total* when it is left out.

    Raises:
        NoCurrentJob: No job runs here.
    """
    if percent is None and total and completed is not None:
        percent = min(100.0, 100.0 * completed / total)

    progress = Progress(
        activity,
        status,
        percent,
        completed,
        total,
        seconds_remaining,
        id,
        parent_id,
        operation,
        done,
    )
    current_context().write(Stream.PROGRESS, progress)


def job_input() -> Any:
    """Return what the current job was given as `input`, to be read with a loop.

    ``async for`` in tasks and in async functions, ``for`` in threads and processes. Items
    are pulled from the source one by one, when asked for. A job without input reads nothing.

    Raises:
        NoCurrentJob: No job runs here.
        StopRequested: From the loop, when the job is stopped while it waits in a thread or
            process; in a task the wait is cancelled.
    """
    return current_context().job_input()


def stop_requested() -> bool:
    """Tell whether the current job was asked to end, by `stop` or by its time limit.

    Raises:
        NoCurrentJob: No job runs here.
    """
    return current_context().stop_requested()


def check_stop() -> None:
    """Leave the current job if it was asked to end: call it now and then in long loops.

    Raises:
        StopRequested: The job was asked to end; let it pass.
        NoCurrentJob: No job runs here.
    """
    if current_context().stop_requested():
        raise StopRequested("the job was asked to stop")


def cleanup() -> AbstractContextManager[object]:
    """Shield the ``await`` calls of a block from the stop of the current job.

    Cancellation is level-triggered: once a job is stopped, each of its awaits is cancelled,
    those in ``finally`` too. Inside ``with ajobs.cleanup():`` they work, until the grace of
    the stop is over. In threads and processes, where nothing is cancelled, it does nothing.

    Raises:
        NoCurrentJob: No job runs here.
    """
    return current_context().cleanup()
