"""What runs beside the user's function, also in workers: each item timed where it runs.

Standard library only, since a worker loads it before its first item.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import MethodType
from typing import Any

from .measures import Span

__all__ = ("drained", "idling", "is_async", "span_since", "timed", "warming")

Function = Callable[[Any], Any]

#: Which item of the input it is, and the item.
Pair = tuple[int, Any]

#: A result with the `Span` of its item; of a generator the last one, without a value, has it.
Timed = tuple[Span | None, Any]

#: Seconds that a warm-up item holds its worker, so that the next item starts another one.
HOLD = 0.05


def timed(fn: Function) -> Callable[[Pair], Any]:
    """Return a function of the sort of *fn* that takes a `Pair` and gives a `Timed`."""
    target = _target(fn)
    if inspect.isasyncgenfunction(target):
        return partial(_async_generator, fn)

    if inspect.iscoroutinefunction(target):
        return partial(_coroutine, fn)

    return partial(_generator if inspect.isgeneratorfunction(target) else _plain, fn)


def drained(fn: Function) -> Function:
    """Return a plain or an async function that runs *fn* to its end, generators too."""
    target = _target(fn)
    if inspect.isasyncgenfunction(target):
        return partial(_drain_async, fn)

    return partial(_drain, fn) if inspect.isgeneratorfunction(target) else fn


def warming(fn: Function) -> Callable[[Pair], Any]:
    """Return a function that runs *fn* to its end, takes a little longer, and gives a `Span`."""
    return partial(_hold_async if is_async(fn) else _hold, drained(fn))


def idling(fn: Function) -> Callable[[Pair], Span]:
    """Return a function that takes a little time and gives a `Span`, without a call of *fn*.

    It brings *fn* along: what that needs is loaded where it runs.
    """
    return partial(_idle, fn)


def is_async(fn: Function) -> bool:
    """Tell whether *fn* needs an event loop."""
    target = _target(fn)
    return inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target)


def _target(fn: Any) -> Any:
    """Return the function that a call of *fn* ends in: of a partial, a method, an object."""
    while isinstance(fn, partial | MethodType):
        fn = fn.func if isinstance(fn, partial) else fn.__func__

    if inspect.isroutine(fn) or inspect.isclass(fn):
        return fn

    return getattr(type(fn), "__call__", fn)  # noqa: B004  # looked at, not asked for


def span_since(begin: int, index: int) -> Span:
    """Return the span of an item that began at *begin* and ends now, here."""
    return Span(index, begin, time.perf_counter_ns(), os.getpid(), threading.get_ident())


def _plain(fn: Function, pair: Pair) -> Timed:
    index, item = pair
    begin = time.perf_counter_ns()
    value = fn(item)
    return span_since(begin, index), value


def _generator(fn: Callable[[Any], Iterator[Any]], pair: Pair) -> Iterator[Timed]:
    index, item = pair
    begin = time.perf_counter_ns()
    for value in fn(item):
        yield None, value

    yield span_since(begin, index), None


async def _coroutine(fn: Function, pair: Pair) -> Timed:
    index, item = pair
    begin = time.perf_counter_ns()
    value = await fn(item)
    return span_since(begin, index), value


async def _async_generator(
    fn: Callable[[Any], AsyncIterator[Any]], pair: Pair
) -> AsyncIterator[Timed]:
    index, item = pair
    begin = time.perf_counter_ns()
    async for value in fn(item):
        yield None, value

    yield span_since(begin, index), None


def _drain(fn: Callable[[Any], Iterator[Any]], item: Any) -> None:
    for _ in fn(item):
        pass


async def _drain_async(fn: Callable[[Any], AsyncIterator[Any]], item: Any) -> None:
    async for _ in fn(item):
        pass


def _idle(_fn: Function, pair: Pair) -> Span:
    begin = time.perf_counter_ns()
    time.sleep(HOLD)
    return span_since(begin, pair[0])


def _hold(fn: Function, pair: Pair) -> Span:
    index, item = pair
    begin = time.perf_counter_ns()
    fn(item)
    time.sleep(HOLD)
    return span_since(begin, index)


async def _hold_async(fn: Function, pair: Pair) -> Span:
    index, item = pair
    begin = time.perf_counter_ns()
    await fn(item)
    time.sleep(HOLD)  # noqa: ASYNC251  # the worker is to be busy
    return span_since(begin, index)
