"""Run a coroutine in a context of its own inside somebody else's task.

A task costs several microseconds, a step taken here a fraction of one. It works on every
event loop, since it passes on what the coroutine yields without looking at it. This file
knows no jobs.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Waker(Protocol):
    """Tells when something has come, to a task or to nobody but a callback."""

    def wait(self) -> Coroutine[Any, Any, None]:
        """Wait until something has come; sometimes less long."""

    def call(self, callback: Callable[[], object]) -> None:
        """Call *callback* once when something has come, in no task. On asyncio only."""

    def forget_call(self) -> None:
        """Do not call."""


#: Yielded to its driver by a coroutine that must be in a task before it goes on.
NEEDS_TASK = object()


class Pause:
    """Yielded to its driver by a coroutine that needs no task until *wakeup* calls.

    The driver sends True if the coroutine is to wait itself, in the task that it has got;
    False once *wakeup* has called.

    Attributes:
        wakeup: Tells when something has come.
        take: Called then, on the loop. It takes what has come, must not raise, and tells
            whether the coroutine can go on without ever needing a task.
    """

    __slots__ = ("take", "wakeup")

    def __init__(self, wakeup: Waker, take: Callable[[], bool]) -> None:
        self.wakeup = wakeup
        self.take = take


@types.coroutine
def drive(
    coro: Coroutine[Any, Any, T], context: Context, on_block: Callable[[], object]
) -> Generator[Any, Any, T]:
    """Await *coro* with its steps taken in *context*.

    Args:
        coro: What to run; closed when the driving task is.
        context: Where its context variables live. Steps taken by the driver itself, and by
            other coroutines of the task, stay outside of it.
        on_block: Called once, when *coro* suspends for the first time: until then it has
            used the driving task alone, and nothing else has run.
    """
    try:
        yielded = context.run(coro.send, None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the protocol of coroutines is untyped

    on_block()
    return (yield from resume(coro, context, yielded))


@types.coroutine
def resume(
    coro: Coroutine[Any, Any, T], context: Context, yielded: object
) -> Generator[Any, Any, T]:
    """Await the rest of *coro*, which took its first step in *context* and gave *yielded*."""
    while True:
        try:
            sent = yield yielded
        except GeneratorExit:
            context.run(coro.close)
            raise
        except BaseException as exc:  # noqa: BLE001  # the coroutine gets it
            step: Callable[[Any], Any] = coro.throw
            argument: Any = exc
        else:
            step, argument = coro.send, sent

        try:
            yielded = context.run(step, argument)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # as above
