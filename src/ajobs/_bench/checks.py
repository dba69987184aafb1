"""The call of `ajobs.bench`, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import islice
from typing import Any

from .measures import RUNNERS

__all__ = ("check_function", "check_runners", "check_throttles", "items_of", "name_of")

#: Of an input that is longer, the first so many items are used, in turn.
MOST_ITEMS = 10_000


def check_function(fn: object) -> None:
    """Raise `TypeError` unless *fn* can be called with one item."""
    if inspect.iscoroutine(fn):
        fn.close()

    if not callable(fn):
        raise TypeError(
            f"bench takes a function of one item, not {type(fn).__name__} ({fn!r:.60}): pass "
            f"the function itself, without calling it"
        )

    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return

    try:
        signature.bind(object())
    except TypeError:
        raise TypeError(
            f"bench calls {name_of(fn)} with one item, and it takes {signature}: fix the other "
            f"arguments with functools.partial, or wrap it in a function of one argument"
        ) from None


def items_of(source: object) -> list[Any]:
    """Return the items to use.

    Raises:
        TypeError: *source* is no iterable of items.
        ValueError: There is none in it.
    """
    if source is None:
        raise TypeError("bench needs items to call the function with: input=[...]")

    if isinstance(source, str | bytes) or not isinstance(source, Iterable):
        raise TypeError(
            f"input takes an iterable of items, not {type(source).__name__} ({source!r:.60}): "
            f"write input=[...], input=range(100), or input=open(path)"
        )

    items = list(islice(source, MOST_ITEMS))
    if not items:
        raise ValueError("input has no items: there is nothing to measure")

    return items


def check_runners(runners: Iterable[str] | None) -> tuple[str, ...]:
    """Return the runners to measure, in our order."""
    if runners is None:
        return RUNNERS

    wanted: Collection[object] = (runners,) if isinstance(runners, str) else tuple(runners)
    for name in wanted:
        if name not in RUNNERS:
            known = ", ".join(map(repr, RUNNERS))
            raise ValueError(f"runners takes names among {known}, not {name!r}")

    if not wanted:
        raise ValueError("runners is empty: leave it out to measure all of them")

    return tuple(name for name in RUNNERS if name in wanted)


def check_throttles(throttles: Iterable[int] | int | None) -> tuple[int, ...] | None:
    """Return the throttles to measure, in order; None to choose them by runner."""
    if throttles is None:
        return None

    wanted = (throttles,) if isinstance(throttles, int | float) else tuple(throttles)
    for number in wanted:
        if type(number) is not int or number < 1:
            raise ValueError(f"throttles takes whole numbers from 1, not {number!r}")

    if not wanted:
        raise ValueError("throttles is empty: leave it out to let bench choose")

    return tuple(sorted(set(wanted)))


def name_of(fn: Callable[..., object]) -> str:
    """Name *fn* as people would write it."""
    while isinstance(fn, partial):
        fn = fn.func

    name: str = getattr(fn, "__qualname__", type(fn).__qualname__)
    module = getattr(fn, "__module__", None)
    return name if module in (None, "__main__", "builtins") else f"{module}.{name}"
