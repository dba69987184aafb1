"""A user's function, called for one item where it runs. Standard library only."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ("Answer", "call", "call_async")


class Answer(NamedTuple):
    """What came of a call.

    Attributes:
        began: When it was called, in seconds since 1970.
        seconds: How long it took.
        values: What it returned (nothing for None), or each value that it yielded.
        error: What the last try raised.
    """

    began: float
    seconds: float
    values: list[Any]
    error: str | None


def call(fn: Callable[[str], Any], tries: int, task: tuple[int, str]) -> Answer:
    """Call *fn* with the item of *task*, again if it fails, *tries* times at most."""
    began, clock = time.time(), time.perf_counter()
    error = None
    values: list[Any] = []
    for _ in range(tries):
        try:
            result = fn(task[1])
            values = list(result) if inspect.isgenerator(result) else _value(result)
        except Exception as exc:  # noqa: BLE001  # told with the item
            error = f"{type(exc).__name__}: {exc}"
        else:
            error = None
            break

    return Answer(began, time.perf_counter() - clock, values, error)


async def call_async(fn: Callable[[str], Any], tries: int, task: tuple[int, str]) -> Answer:
    """Do the same with an async function or an async generator."""
    began, clock = time.time(), time.perf_counter()
    error = None
    values: list[Any] = []
    for _ in range(tries):
        try:
            result = fn(task[1])
            if inspect.isasyncgen(result):
                values = [value async for value in result]
            else:
                values = _value(await result)
        except Exception as exc:  # noqa: BLE001  # as above
            error = f"{type(exc).__name__}: {exc}"
        else:
            error = None
            break

    return Answer(began, time.perf_counter() - clock, values, error)


def _value(result: object) -> list[Any]:
    return [] if result is None else [result]
