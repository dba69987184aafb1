"""Progress of a loop, told by wrapping what it iterates over.

The loop must not pay for it: items pass by in bundles that are counted in C, and the clock is
looked at between bundles. This file knows the context of a job, not jobs.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from operator import length_hint
from time import monotonic
from types import FrameType
from typing import Generic, TypeVar

from ._checks import count
from ._context import JobContext, context_or_none
from ._errors import NoCurrentJob, StopRequested
from ._records import Progress, Stream

__all__ = ("Track", "track")

T = TypeVar("T")

#: Seconds between two records: what a screen can show.
EVERY = 0.1

#: Most items between two looks at the clock. One look costs as much as one item's own share of
#: the loop; and when a fast loop turns slow, so many items pass before that is noticed.
MOST_ITEMS = 31

#: Ids of their own, apart from those that people give to `write_progress`.
_ids = itertools.count(1_000_000)

#: The innermost loop that is tracked here: the next one is a part of it.
_innermost: ContextVar[int | None] = ContextVar("ajobs_track", default=None)


class _Bar:
    """One loop under way, in one job."""

    def __init__(self, context: JobContext, activity: str, total: int | None) -> None:
        self._context = context
        self._activity = activity
        self._total = total
        self._id = next(_ids)
        self._parent = _innermost.get()
        self._begun = self._told = monotonic()
        self._is_open = True
        self._tell(0)
        _innermost.set(self._id)

    def look(self, items: int) -> bool:
        """Tell that *items* are done, if it is time to; return whether it was."""
        now = monotonic()
        if now - self._told < EVERY:
            return False

        self._told = now
        left = None
        if self._total is not None and items:
            left = (now - self._begun) / items * max(self._total - items, 0)

        self._tell(items, left)
        return True

    def _tell(self, items: int, left: float | None = None, done: bool = False) -> None:
        total = self._total
        percent = min(100.0, 100.0 * items / total) if total else None
        progress = Progress(
            self._activity,
            percent=percent,
            completed=items,
            total=total,
            seconds_remaining=left,
            id=self._id,
            parent_id=self._parent,
            done=done,
        )
        self._context.write(Stream.PROGRESS, progress)

    def close(self, items: int, *, was_dropped: bool = False) -> None:
        """End the bar. It may be called again, and after the job has ended."""
        if not self._is_open:
            return

        self._is_open = False
        if _innermost.get() == self._id:
            _innermost.set(self._parent)

        # A loop that is dropped together with what else is garbage is dropped at any place,
        # inside of what writes records too. The bar then ends with the job.
        if was_dropped and _is_ours(sys._getframe(1).f_back):
            return

        with suppress(NoCurrentJob, StopRequested, OSError):
            self._tell(items, done=True)


def _is_ours(frame: FrameType | None) -> bool:
    return frame is None or str(frame.f_globals.get("__name__")).partition(".")[0] == "ajobs"


class Track(Generic[T]):
    """What `track` returns: iterate over it once, with ``for`` or ``async for``."""

    def __init__(
        self, iterable: Iterable[T] | AsyncIterable[T], activity: str, total: int | None
    ) -> None:
        """Wrap *iterable*."""
        self._iterable = iterable
        self._activity = activity
        self._total = total

    def __iter__(self) -> Iterator[T]:
        """Iterate over a plain iterable."""
        if not isinstance(self._iterable, Iterable):
            raise TypeError(f"iterate with `async for`: {_named(self._iterable)} is asynchronous")

        items = iter(self._iterable)
        context = context_or_none()
        return items if context is None else _each(items, context, self._activity, self._total)

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over an async iterable."""
        if not isinstance(self._iterable, AsyncIterable):
            raise TypeError(f"iterate with `for`: {_named(self._iterable)} is not asynchronous")

        items = aiter(self._iterable)
        context = context_or_none()
        return (
            items if context is None else _Each(items, _Bar(context, self._activity, self._total))
        )


def _named(thing: object) -> str:
    return f"the {type(thing).__name__}"


def _each(items: Iterator[T], context: JobContext, activity: str, total: int | None) -> Iterator[T]:
    bar = _Bar(context, activity, total)
    size = length_hint(items)
    counter = itertools.count(1)
    if not size:
        # Every number from 1 on is true: they all pass, and are counted.
        items = itertools.compress(items, counter)

    done = bundle = 0
    try:
        while True:
            # The first of a bundle tells that the last one was full; the others pass by
            # without a step of ours.
            for item in items:
                yield item
                break
            else:
                bar.close(size or next(counter) - 1)
                return

            yield from itertools.islice(items, bundle)
            done += 1 + bundle
            bundle = 0 if bar.look(done) else min(2 * bundle + 1, MOST_ITEMS)
    except GeneratorExit:
        bar.close(done, was_dropped=True)
        raise
    finally:
        bar.close(done)


class _Each(Generic[T]):
    """The same for ``async for``; no generator, since those are left open by a ``break``."""

    def __init__(self, items: AsyncIterator[T], bar: _Bar) -> None:
        self._items = items
        self._bar = bar
        self._done = -1
        self._look_at = 0
        self._bundle = 1

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        self._done += 1
        if self._done >= self._look_at:
            is_slow = self._bar.look(self._done)
            self._bundle = 1 if is_slow else min(2 * self._bundle, MOST_ITEMS)
            self._look_at = self._done + self._bundle

        try:
            return await anext(self._items)
        except BaseException:
            self._bar.close(self._done)
            raise

    def __del__(self) -> None:
        self._bar.close(self._done, was_dropped=True)


def track(
    iterable: Iterable[T] | AsyncIterable[T], activity: str = "", total: int | None = None
) -> Track[T]:
    """Show the progress of a loop: ``for item in ajobs.track(items):``.

    Works in every job, with ``for`` and ``async for``, and costs next to nothing for an
    item. Loops inside one another give bars inside one another. The bar ends with the loop,
    however that ends. Outside of a job nothing is told.

    Args:
        iterable: What to iterate over, once.
        activity: The title of the bar; by default the job's name stands there.
        total: How many items there are, where ``len(iterable)`` does not say.

    Raises:
        TypeError: *iterable* cannot be iterated over, or *total* is no whole number.
        ValueError: *total* is negative.
    """
    if not isinstance(iterable, Iterable | AsyncIterable):
        raise TypeError(f"track() takes an iterable or an async iterable, not {iterable!r:.80}")

    if not isinstance(activity, str):
        raise TypeError(f"activity must be a str, not {activity!r:.80}")

    known = count(total, "total", least=0)
    return Track(iterable, activity, known if known is not None else length_hint(iterable) or None)
