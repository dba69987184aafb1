"""Live bars for what jobs tell of their progress, by the same renderer as in any program."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from .. import Job, Session, show_progress
from ._ends import Problem, Status

__all__ = ("show_bars",)


async def show_bars(jobs: Job[Any] | Session, stack: AsyncExitStack) -> None:
    """Show the progress of *jobs* on stderr until *stack* is left.

    Raises:
        Problem: The environment asks for something unknown.
    """
    try:
        await stack.enter_async_context(show_progress(jobs))
    except ValueError as error:
        raise Problem(str(error), Status.USAGE) from error
