"""Jobs as tasks on the event loop of their session."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import aclosing
from types import CoroutineType
from typing import Any

from anyio.lowlevel import checkpoint

from .._checks import command_of, kind_of
from .._records import Stream
from .._runner import Emit, Runner
from .._spec import JobSpec

__all__ = ("TaskRunner",)

#: Records that a generator may yield before other tasks get a turn.
BURST = 64


class TaskRunner(Runner):
    """Runs async functions and async generators on the loop.

    Stopping is cancellation, level-triggered as anyio and trio have it: after a stop every
    ``await`` of the job is cancelled, so cleanup that awaits goes into `ajobs.cleanup`.
    """

    kind = "task"

    def run(self, spec: JobSpec, emit: Emit) -> Coroutine[Any, Any, Any]:
        """Return the function's own coroutine, or one that takes a generator to its end."""
        emit.begin()
        result: Any = spec.fn(*spec.args)
        if type(result) is CoroutineType:
            return result

        return _await(result) if inspect.isawaitable(result) else yield_all(result, emit)

    def check(self, spec: JobSpec) -> JobSpec:
        """Refuse plain functions: they would block the loop."""
        if not kind_of(spec.fn).is_async:
            raise TypeError(
                f"{command_of(spec.fn)} is a plain function and would block the event loop: "
                f"leave out runner, or pass runner='thread', to run it in a thread"
            )

        return spec


async def _await(result: Awaitable[Any]) -> Any:
    return await result


async def yield_all(generator: AsyncGenerator[Any, None], emit: Emit) -> None:
    """Give each value of *generator* as output, suspending it while the output is full."""
    count = 0
    async with aclosing(generator) as values:
        async for value in values:
            if emit.is_full:
                await emit.room()

            emit(Stream.OUTPUT, value)
            count += 1
            if count % BURST == 0:
                await checkpoint()
