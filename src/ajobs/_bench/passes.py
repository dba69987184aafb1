"""One sample: a function over items for a while, in a plain loop or at one place.

What a sample consists of, its `Shape` says.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import cycle, islice
from typing import Any

from anyio.from_thread import BlockingPortal

from .._errors import PayloadError
from .._foreach import parallel_foreach
from .._runner import Runner
from ..runners.interpreter import InterpreterRunner
from ..runners.process import ProcessRunner
from ..runners.task import TaskRunner
from ..runners.thread import ThreadRunner
from .measures import Cell, Sample, Span
from .rules import Shape
from .timed import Pair, drained, idling, is_async, span_since, timed, warming
from .usage import Usage

__all__ = ("Feed", "plain_sample", "runner_sample")

Function = Callable[[Any], Any]

#: Workers that are not up by then are left to come up during the pass.
_WARM_UP_SECONDS = 3.0

#: So many tiny items tell enough about how long one takes.
_MOST_LOOKED_AT = 5_000

_MAKERS: dict[str, Callable[[int], Runner]] = {
    "task": lambda _: TaskRunner(),
    "thread": ThreadRunner,
    "interpreter": InterpreterRunner,
    "process": ProcessRunner,
}


class Feed:
    """Items in turn until the time is over; at least one for each that may run at once."""

    def __init__(
        self, items: Sequence[Any], shape: Shape, least: int = 1, most: float = math.inf
    ) -> None:
        self._items = items
        self._shape = shape
        self._least = least
        self._most = most
        self.given = 0

    def __iter__(self) -> Iterator[Any]:
        items = cycle(self._items)
        deadline = time.perf_counter() + self._shape.seconds
        while True:
            yield from islice(items, self._shape.stride)
            self.given += self._shape.stride
            is_over = self.given >= self._most or time.perf_counter() >= deadline
            if is_over and self.given >= self._least:
                return


def plain_sample(
    fn: Function, items: Sequence[Any], shape: Shape, usage: Usage, portal: BlockingPortal
) -> Sample:
    """Measure a plain loop: on this thread, or on the loop of *portal* if *fn* is async.

    Raises:
        Exception: What *fn* raised, with a note that names the item.
        TypeError: A plain function returned a coroutine.
    """
    run = drained(fn)
    in_loop = is_async(fn)
    begin, cpu = time.perf_counter(), usage.cpu()
    feed = Feed(list(enumerate(items)), shape, most=_most(shape))
    spans = portal.call(_looking_async, run, feed) if in_loop else _looking(run, feed)
    if shape.is_bare:
        begin, cpu = time.perf_counter(), usage.cpu()
        feed = Feed(items, shape)
        portal.call(_loop_async, run, feed) if in_loop else _loop(run, feed)

    return Sample(
        items=feed.given,
        seconds=time.perf_counter() - begin,
        cpu=usage.cpu() - cpu,
        memory=usage.peak(),
        startup=0.0,
        spans=tuple(spans),
    )


def _most(shape: Shape) -> float:
    """Return how many items to look at: memory holds what was seen of each."""
    return _MOST_LOOKED_AT if shape.is_bare else math.inf


def _looking(fn: Function, pairs: Iterable[Pair]) -> list[Span]:
    spans = []
    for index, item in pairs:
        try:
            begin = time.perf_counter_ns()
            value = fn(item)
            spans.append(span_since(begin, index))
            _refuse_coroutine(value)
        except (Exception, SystemExit) as exc:  # noqa: BLE001  # it is raised again
            raise _noted(exc, index, item) from exc.__cause__

    return spans


async def _looking_async(fn: Function, pairs: Iterable[Pair]) -> list[Span]:
    spans = []
    for index, item in pairs:
        try:
            begin = time.perf_counter_ns()
            await fn(item)
            spans.append(span_since(begin, index))
        except (Exception, SystemExit) as exc:  # noqa: BLE001  # it is raised again
            raise _noted(exc, index, item) from exc.__cause__

    return spans


def _loop(fn: Function, items: Iterable[Any]) -> None:
    for item in items:
        fn(item)


async def _loop_async(fn: Function, items: Iterable[Any]) -> None:
    for item in items:
        await fn(item)


def _noted(exc: Exception | SystemExit, index: int, item: object) -> Exception:
    """Return the failure of *item* with a note that names it."""
    # One item may not end the program that measures.
    failure = (
        RuntimeError(f"the function asked the program to end, with status {exc.code!r}")
        if isinstance(exc, SystemExit)
        else exc
    )
    failure.add_note(f"item {index} of the input: {item!r:.200}")
    return failure


def _refuse_coroutine(value: object) -> None:
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError(
            f"a plain function returned a coroutine, {value.__qualname__}: pass the async "
            f"function itself, its other arguments fixed with functools.partial"
        )


async def runner_sample(
    fn: Function, items: Sequence[Any], shape: Shape, usage: Usage, cell: Cell
) -> Sample:
    """Measure the runner of *cell*, made anew and closed again.

    Raises:
        Exception: Whatever keeps the runner from running *fn*, or *fn* raised there.
    """
    throttle = cell.throttle
    pairs = list(enumerate(items))
    async with AsyncExitStack() as stack:
        called = time.perf_counter_ns()
        runner = _MAKERS[cell.runner](throttle)
        if isinstance(runner, ProcessRunner | InterpreterRunner):
            await stack.enter_async_context(runner)

        first = await _first(fn, items, runner) if shape.is_warmed else []
        if cell.runner in ("process", "interpreter"):
            # An item that takes long is not run just to have the workers up.
            warm = warming(fn) if shape.is_warmed else idling(fn)
            first += await _warm_up(warm, pairs, runner, throttle)

        begin, cpu = time.perf_counter(), usage.cpu()
        feed = Feed(pairs, shape, throttle, _most(shape))
        spans = await _pass(timed(fn), feed, runner, throttle)
        if shape.is_bare:
            begin, cpu = time.perf_counter(), usage.cpu()
            feed = Feed(items, shape, throttle)
            await _pass(fn, feed, runner, throttle)

        return Sample(
            items=feed.given,
            seconds=time.perf_counter() - begin,
            cpu=usage.cpu() - cpu,
            memory=usage.peak(),
            startup=(min(span.begin for span in first or spans) - called) / 1e9,
            spans=tuple(spans),
        )


async def _first(fn: Function, items: Sequence[Any], runner: Runner) -> list[Span]:
    try:
        return await _pass(timed(fn), [(0, items[0])], runner, 1)
    except PayloadError:
        # Without what looks at it: what is wrong is said of the function, or its result, alone.
        await parallel_foreach(items[:1], fn, throttle=1, runner=runner)
        raise


async def _warm_up(
    warm: Callable[[Pair], Any], pairs: Sequence[Pair], runner: Runner, throttle: int
) -> list[Span]:
    """Run items until every worker has had one, or it takes too long; return their spans."""
    seen = dict[tuple[int, int], Span]()
    deadline = time.perf_counter() + _WARM_UP_SECONDS

    def needed() -> Iterator[Pair]:
        for pair in cycle(pairs):
            if len(seen) >= throttle or time.perf_counter() > deadline:
                return

            yield pair

    async with parallel_foreach(needed(), warm, throttle=throttle, runner=runner) as spans:
        async for span in spans:
            seen.setdefault((span.process, span.thread), span)

    return list(seen.values())


async def _pass(fn: Function, items: Any, runner: Runner, throttle: int) -> list[Span]:
    """Run *fn* over *items*; return the spans among the results."""
    spans = []
    async with parallel_foreach(items, fn, throttle=throttle, runner=runner) as results:
        async for result in results:
            match result:
                case (Span() as span, _):
                    spans.append(span)

    return spans
