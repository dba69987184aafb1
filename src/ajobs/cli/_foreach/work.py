"""What is done for an item: a command is run, or a function is called."""

from __future__ import annotations

import shlex
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, Protocol

from ... import ItemTimeout, Outcome, parallel_foreach
from ..._checks import kind_of
from ..._programs import Programs
from .._terminal import as_bytes
from .calls import Answer, call, call_async
from .done import Done, Task

__all__ = ("Commands", "Functions", "Limits", "Work")

#: Commands that wait over there at least, so that the next one begins at once.
_AHEAD = 16

Results = AbstractAsyncContextManager[AsyncIterator[Done | None]]


class Course(Protocol):
    """How it goes.

    Attributes:
        is_halted: Whether nothing more is to begin.
    """

    is_halted: bool

    def note(self, done: Done) -> None:
        """Count an item that has ended."""


@dataclass(frozen=True)
class Limits:
    """What holds for all items.

    Attributes:
        throttle: Most that run at once.
        timeout: Seconds for each.
        tries: How often one that fails is tried.
        ordered: Whether the results come in the order of the items.
    """

    throttle: int
    timeout: float | None
    tries: int
    ordered: bool


class Work(Protocol):
    """What is done for items."""

    def show(self, task: Task) -> str:
        """Return what would be run, for people."""

    def over(self, tasks: AsyncIterator[Task], course: Course) -> Results:
        """Do it for *tasks*; *course* is told as soon as one has ended."""


def _late(limits: Limits) -> str:
    return f"ran longer than {limits.timeout:g} s"


class Commands:
    """Runs a command for each item, all of them from one small process."""

    def __init__(
        self, fill: Callable[[str, int], list[str]], limits: Limits, *, may_halt: bool
    ) -> None:
        """Run what *fill* makes of an item and its number; some may not run if it *may_halt*."""
        # The clock of a time limit, too, must not run while a command waits for its turn.
        self._is_strict = may_halt or limits.timeout is not None
        self._fill = fill
        self._limits = limits

    def show(self, task: Task) -> str:
        """Return the command as a shell would read it."""
        return shlex.join(self._fill(task.item, task.seq))

    @asynccontextmanager
    async def over(
        self, tasks: AsyncIterator[Task], course: Course
    ) -> AsyncGenerator[AsyncIterator[Done | None], None]:
        """Run it for *tasks*."""
        limits = self._limits
        ahead = 0 if self._is_strict else max(limits.throttle, _AHEAD)
        async with Programs(limits.throttle) as programs:

            async def attempt(task: Task) -> Done | None:
                if course.is_halted:  # it was on its way already
                    return None

                argv = self._fill(task.item, task.seq)
                done = await self._once(programs, task, argv)
                for _ in range(limits.tries - 1):
                    if done.succeeded:
                        break

                    done.close()
                    done = await self._once(programs, task, argv)

                course.note(done)
                return done

            async with parallel_foreach(
                tasks, attempt, throttle=limits.throttle + ahead, ordered=limits.ordered
            ) as results:
                yield results

    async def _once(self, programs: Programs, task: Task, argv: list[str]) -> Done:
        command = shlex.join(argv)
        try:
            ran = await programs.run(argv, self._limits.timeout)
        except OSError as error:
            return Done(
                task, command, 0.0, 0.0, 127, error=f"cannot run {argv[0]}: {error.strerror}"
            )

        code = ran.returncode
        return Done(
            task,
            command,
            ran.began,
            ran.seconds,
            max(code, -1),
            signal=max(-code, 0),
            error=_late(self._limits) if ran.is_late else None,
            stdout=ran.stdout,
            stderr=ran.stderr,
        )


class Functions:
    """Calls a function with each item."""

    def __init__(
        self, name: str, fn: Callable[[str], Any], runner: str | None, limits: Limits
    ) -> None:
        """Call *fn*, which the user called *name*, in *runner*."""
        self._name = name
        self._runner = runner
        self._limits = limits
        self._fn = partial(call_async if kind_of(fn).is_async else call, fn, limits.tries)

    def show(self, task: Task) -> str:
        """Return the call."""
        return f"{self._name}({task.item!r})"

    @asynccontextmanager
    async def over(
        self, tasks: AsyncIterator[Task], course: Course
    ) -> AsyncGenerator[AsyncIterator[Done | None], None]:
        """Call it for *tasks*."""
        limits = self._limits
        async with parallel_foreach(
            tasks,
            self._fn,
            throttle=limits.throttle,
            ordered=limits.ordered,
            runner=self._runner,
            item_timeout=limits.timeout,
            on_error="return",
        ) as outcomes:

            async def results() -> AsyncIterator[Done]:
                async for outcome in outcomes:
                    done = self._done(outcome)
                    course.note(done)
                    yield done

            yield results()

    def _done(self, outcome: Outcome[Task, Any]) -> Done:
        task = outcome.item
        answer: Answer | None = outcome.value
        if answer is None:
            error = f"{type(outcome.error).__name__}: {outcome.error}"
            if isinstance(outcome.error, ItemTimeout):
                error = _late(self._limits)

            return Done(task, self.show(task), time.time(), 0.0, 1, error=error)

        return Done(
            task,
            self.show(task),
            answer.began,
            answer.seconds,
            0 if answer.error is None else 1,
            error=answer.error,
            stdout=BytesIO(b"".join(as_bytes(value) + b"\n" for value in answer.values)),
            values=answer.values,
        )
