"""Arguments checked at the call that brought them, before anything starts.

Pure functions: each returns the value in the form that the library uses or raises a
`TypeError` or `ValueError` that names the argument and says what it takes.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from ._records import Stream


class Kind(Enum):
    """How a callable gives its results."""

    PLAIN = auto()
    GENERATOR = auto()
    COROUTINE = auto()
    ASYNC_GENERATOR = auto()

    @property
    def is_async(self) -> bool:
        """True for what needs an event loop."""
        return self in (Kind.COROUTINE, Kind.ASYNC_GENERATOR)


_KINDS = (
    (inspect.CO_COROUTINE, Kind.COROUTINE),
    (inspect.CO_GENERATOR, Kind.GENERATOR),
    (inspect.CO_ASYNC_GENERATOR, Kind.ASYNC_GENERATOR),
)


def kind_of(fn: object) -> Kind:
    """Tell how *fn* gives its results, by its code and without calling it.

    Partials, bound methods and objects with ``__call__`` are looked through.

    Raises:
        TypeError: *fn* cannot be called.
    """
    # Most are functions, whose code says it; what was marked as async has an attribute more.
    if type(fn) is FunctionType and not fn.__dict__:
        flags = fn.__code__.co_flags
        return next((kind for flag, kind in _KINDS if flags & flag), Kind.PLAIN)

    if type(fn) is BuiltinFunctionType:
        return Kind.PLAIN

    return _kind_looked_through(fn)


def _kind_looked_through(fn: object) -> Kind:
    while isinstance(fn, partial | MethodType):
        fn = fn.func if isinstance(fn, partial) else fn.__func__

    if not callable(fn):
        raise TypeError(_not_callable(fn))

    target: Any = fn
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = getattr(type(fn), "__call__", fn)  # noqa: B004  # looked at, not asked for

    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(fn):
        return Kind.COROUTINE

    if inspect.isasyncgenfunction(target):
        return Kind.ASYNC_GENERATOR

    if inspect.isgeneratorfunction(target):
        return Kind.GENERATOR

    return Kind.PLAIN


def _not_callable(fn: object) -> str:
    if inspect.iscoroutine(fn):
        name = getattr(fn, "__name__", "fn")
        fn.close()
        return (
            f"got a coroutine object, not a function: pass `{name}` and its arguments "
            f"separately, start({name}, ...), not start({name}(...))"
        )

    if inspect.isasyncgen(fn) or inspect.isgenerator(fn):
        return (
            f"got a generator object, not a function: pass `{fn.__name__}` and its arguments "
            f"separately"
        )

    return f"a job needs something to call, not {type(fn).__name__}: {fn!r:.80}"


def seconds(value: float | None, name: str, *, zero: bool = True) -> float:
    """Return a time limit in seconds; None and infinity both mean: no limit.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative or NaN, or 0 where *zero* is False.
    """
    if value is None:
        return math.inf

    number = _number(value, name, "seconds, or None for no limit")
    if number < 0 or (number == 0 and not zero):
        least = "at least 0" if zero else "more than 0"
        raise ValueError(f"{name} must be {least} seconds, not {value!r}")

    return number


def rate(value: float | None, name: str) -> float | None:
    """Return how often something may happen in a second; None means: no limit.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not above 0, infinite, or NaN.
    """
    if value is None:
        return None

    number = _number(value, name, "a number above 0, or None for no limit")
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be a number above 0, not {value!r}")

    return number


def limit(value: float, name: str) -> float:
    """Return a number of things at once: a whole number from 1, or infinity.

    Raises:
        TypeError: It is not a number.
        ValueError: It is below 1, NaN, or not whole.
    """
    number = _number(value, name, "a whole number from 1, or math.inf for no limit")
    if number < 1 or (number != math.inf and number != int(number)):
        raise ValueError(f"{name} must be a whole number from 1, or math.inf, not {value!r}")

    return number


def count(value: int | None, name: str, *, least: int = 1) -> int | None:
    """Return a count of at least *least*; None means: no bound.

    Raises:
        TypeError: It is not an int.
        ValueError: It is below *least*.
    """
    if value is None:
        return None

    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int or None, not {value!r}")

    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")

    return value


def flag(value: object, name: str) -> bool:
    """Return a choice between two; what merely counts as true may be a slip."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r:.80}")

    return value


def one_of(value: object, name: str, words: tuple[str, ...]) -> None:
    """Raise `ValueError` unless *value* is one of *words*."""
    if value not in words:
        known = ", ".join(repr(word) for word in words)
        raise ValueError(f"{name} must be one of {known}, not {value!r}")


def stream(value: object) -> Stream:
    """Return the stream that *value* (a `Stream` or its name) means."""
    try:
        return Stream(value)  # type: ignore[arg-type]  # what it is not, it refuses
    except ValueError:
        known = ", ".join(Stream)
        raise ValueError(f"unknown stream {value!r}: there are {known}, or 'all'") from None


def _number(value: object, name: str, takes: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} takes {takes}, not {value!r}")

    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{name} takes {takes}, not NaN")

    return value


def command_of(fn: Callable[..., object]) -> str:
    """Return a name for *fn* as people would write it, such as ``shop.orders.fetch``."""
    while isinstance(fn, partial):
        fn = fn.func

    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    module = getattr(fn, "__module__", None)
    return name if module in (None, "__main__", "builtins") else f"{module}.{name}"


def current_directory() -> str:
    """Return where this program is now, as text: a path object costs as much as all else.

    Raises:
        FileNotFoundError: The directory has been removed.
    """
    try:
        return os.getcwd()  # noqa: PTH109  # see above
    except FileNotFoundError as exc:
        text = "the current directory of this program has been removed: change it, or give cwd"
        raise FileNotFoundError(exc.errno, text) from None
