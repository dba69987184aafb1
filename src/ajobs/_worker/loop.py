"""Async functions in a worker: an event loop of their own for each job.

The only file of the far end that needs anyio; loaded when the first async function comes.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from functools import partial
from typing import Any

import anyio
from anyio import CancelScope

from .._context import JobContext, enter_context
from .._errors import StopRequested
from .._loop import current_loop
from .._records import Stream
from .job import FarInput, FarJob, raise_stop


def run_async(job: FarJob, backend: str, fn: Callable[..., Any], args: tuple[Any, ...]) -> object:
    """Run *fn* in an event loop and return its value; a stop cancels it there."""
    # As long as there is a loop no stop is raised: anyio's group would make something else of it,
    # and the loop would be broken.
    job.on_stop = _nothing
    try:
        value: object = anyio.run(_run, job, fn, args, backend=backend)
    finally:
        job.on_stop = None

    return value


def _nothing() -> None:
    pass


async def _run(job: FarJob, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    value: Any = None
    error: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        with CancelScope() as scope:
            view = AsyncView(job)
            enter_context(view)
            tasks.start_soon(view.listen, scope)
            job.on_stop = partial(current_loop().call_soon, scope.cancel)
            if job.is_stopped:
                scope.cancel()

            try:
                job.begin()
                result: Any = fn(*args)
                is_generator = inspect.isasyncgen(result)
                value = await (_write_each(job, result) if is_generator else result)
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as exc:  # noqa: BLE001  # it leaves below, outside of the group
                error = exc

        job.on_stop = _nothing
        tasks.cancel_scope.cancel()

    if error is not None:
        raise error

    return raise_stop() if scope.cancelled_caught else value


async def _write_each(job: FarJob, generator: Any) -> None:
    async with aclosing(generator) as values:
        async for value in values:
            job.write("output", value)


class AsyncView(JobContext):
    """A far job as code in an event loop sees it.

    Waiting for room blocks the loop, which belongs to the job alone; input is awaited, since
    other tasks of the job may have something else to do meanwhile.
    """

    __slots__ = ("_arrived", "_asking", "_job")

    def __init__(self, job: FarJob) -> None:
        self._job = job
        self._asking = anyio.Lock()
        self._arrived = anyio.Event()

    async def listen(self, scope: CancelScope) -> None:
        """Take what the parent sends; cancel *scope* when it tells the job to end."""
        while True:
            await anyio.wait_readable(self._job.channel)
            try:
                self._job.has_answer()
            except StopRequested:
                scope.cancel()

            self._arrived.set()
            self._arrived = anyio.Event()

    async def next_item(self) -> object:
        """Return the next item of the input, awaited."""
        async with self._asking:
            self._job.ask()
            while not self._job.has_answer():
                await self._arrived.wait()

            try:
                return self._job.answer()
            except StopIteration:
                raise StopAsyncIteration from None

    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        return self._job.write(stream, value)

    def text(self, stream: Stream, line: str) -> None:
        self._job.text(stream, line)

    def check_parent(self) -> None:
        self._job.check_parent()

    def stop_requested(self) -> bool:
        return self._job.stop_requested()

    def job_input(self) -> AsyncFarInput:
        return AsyncFarInput(self._job, self)

    def cleanup(self) -> AbstractContextManager[object]:
        # Without a deadline: when the grace is over, the parent kills the worker.
        return CancelScope(shield=True)


class AsyncFarInput(FarInput):
    """The items that a job was given, for ``async for`` as well."""

    def __init__(self, job: FarJob, view: AsyncView) -> None:
        super().__init__(job)
        self._view = view

    def __aiter__(self) -> AsyncFarInput:
        return self

    async def __anext__(self) -> object:
        return await self._view.next_item()
