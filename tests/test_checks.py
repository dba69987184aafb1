"""Arguments: what is taken, in which form, and what is refused with which words."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from ajobs import Stream
from ajobs._checks import Kind, command_of, count, kind_of, limit, one_of, seconds, stream


async def coroutine() -> None:
    """Be an async function."""


async def async_generator() -> AsyncIterator[int]:
    """Be an async generator."""
    yield 1


def generator() -> Iterator[int]:
    """Be a generator."""
    yield 1


def plain() -> None:
    """Be a plain function."""


class Methods:
    """Methods of every kind."""

    async def coroutine(self) -> None:
        """Be an async method."""

    async def async_generator(self) -> AsyncIterator[int]:
        """Be an async generator method."""
        yield 1

    def generator(self) -> Iterator[int]:
        """Be a generator method."""
        yield 1

    def plain(self) -> None:
        """Be a plain method."""

    @classmethod
    async def of_class(cls) -> None:
        """Be an async class method."""

    @staticmethod
    async def static() -> None:
        """Be an async static method."""


class AsyncCall:
    """Called, it gives a coroutine."""

    async def __call__(self) -> None:
        """Do nothing."""


class GeneratorCall:
    """Called, it gives an async generator."""

    async def __call__(self) -> AsyncIterator[int]:
        """Give one."""
        yield 1


class PlainCall:
    """Called, it gives nothing."""

    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (coroutine, Kind.COROUTINE),
        (async_generator, Kind.ASYNC_GENERATOR),
        (generator, Kind.GENERATOR),
        (plain, Kind.PLAIN),
        (lambda: None, Kind.PLAIN),
        (len, Kind.PLAIN),
        (int, Kind.PLAIN),
        (Methods, Kind.PLAIN),
        (Methods().coroutine, Kind.COROUTINE),
        (Methods().async_generator, Kind.ASYNC_GENERATOR),
        (Methods().generator, Kind.GENERATOR),
        (Methods().plain, Kind.PLAIN),
        (Methods.of_class, Kind.COROUTINE),
        (Methods.static, Kind.COROUTINE),
        ([].append, Kind.PLAIN),
        (AsyncCall(), Kind.COROUTINE),
        (GeneratorCall(), Kind.ASYNC_GENERATOR),
        (PlainCall(), Kind.PLAIN),
        (partial(coroutine), Kind.COROUTINE),
        (partial(partial(async_generator)), Kind.ASYNC_GENERATOR),
        (partial(Methods().generator), Kind.GENERATOR),
        (partial(AsyncCall()), Kind.COROUTINE),
        (partial(plain), Kind.PLAIN),
    ],
)
def test_kind(fn: object, kind: Kind) -> None:
    """Functions, methods, callable objects and partials of them are told apart uncalled."""
    assert kind == kind_of(fn)


def test_kinds_that_need_a_loop() -> None:
    """Coroutines and async generators need a loop, the others do not."""
    assert [Kind.COROUTINE, Kind.ASYNC_GENERATOR] == [kind for kind in Kind if kind.is_async]


@pytest.mark.parametrize("value", [None, 3, "print", object(), [plain], partial])
def test_what_cannot_be_called(value: object) -> None:
    """What cannot be called is refused with its type; a class can be called."""
    if value is partial:
        assert Kind.PLAIN == kind_of(value)
        return

    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        kind_of(value)


def test_coroutine_object_is_refused_and_closed() -> None:
    """A coroutine object is told from a function, with the way to write it, and closed."""
    made = coroutine()

    with pytest.raises(TypeError, match=r"start\(coroutine, \.\.\.\), not start\(coroutine\("):
        kind_of(made)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        made.send(None)


@pytest.mark.parametrize("make", [generator, async_generator])
def test_generator_object_is_refused(make: Callable[[], object]) -> None:
    """A generator object is told from a function."""
    with pytest.raises(TypeError, match=f"generator object.*{make.__name__}"):
        kind_of(make())


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, math.inf), (math.inf, math.inf), (0, 0), (0.0, 0), (2, 2), (0.25, 0.25)],
)
def test_B11_seconds(value: float | None, expected: float) -> None:
    """None and infinity are no limit, 0 is a limit."""
    assert expected == seconds(value, "timeout")


@pytest.mark.parametrize("value", [-1, -0.1, -math.inf, math.nan])
def test_B11_seconds_out_of_range(value: float) -> None:
    """Negative and NaN are ValueErrors that name the argument."""
    with pytest.raises(ValueError, match="timeout"):
        seconds(value, "timeout")


@pytest.mark.parametrize("value", ["1", True, 1j, [1], object()])
def test_B11_seconds_of_no_number(value: Any) -> None:
    """What is no number is a TypeError that names the argument."""
    with pytest.raises(TypeError, match="timeout takes seconds"):
        seconds(value, "timeout")


def test_seconds_without_zero() -> None:
    """Where no time at all makes no sense, 0 is refused."""
    with pytest.raises(ValueError, match="more than 0"):
        seconds(0, "timeout", zero=False)

    assert 1 == seconds(1, "timeout", zero=False)


@pytest.mark.parametrize("value", [1, 2.0, 10**400, math.inf])
def test_limit(value: float) -> None:
    """A limit is a whole number from 1, or infinity."""
    assert value == limit(value, "throttle")


@pytest.mark.parametrize("value", [0, -1, 0.5, 1.5, math.nan, -math.inf])
def test_limit_out_of_range(value: float) -> None:
    """Other numbers are refused by name."""
    with pytest.raises(ValueError, match="throttle"):
        limit(value, "throttle")


@pytest.mark.parametrize("value", [None, "5", True])
def test_limit_of_no_number(value: Any) -> None:
    """What is no number is a TypeError."""
    with pytest.raises(TypeError, match="throttle"):
        limit(value, "throttle")


def test_count() -> None:
    """A count is an int of at least the least; None is no bound."""
    assert None is count(None, "retain")
    assert 1 == count(1, "retain")
    assert 0 == count(0, "retain", least=0)


@pytest.mark.parametrize(("value", "least"), [(0, 1), (-1, 0)])
def test_count_out_of_range(value: int, least: int) -> None:
    """Below the least it is refused."""
    with pytest.raises(ValueError, match=f"retain must be at least {least}"):
        count(value, "retain", least=least)


@pytest.mark.parametrize("value", [1.0, "1", True, math.inf])
def test_count_of_no_int(value: Any) -> None:
    """Only ints count."""
    with pytest.raises(TypeError, match="retain must be an int"):
        count(value, "retain")


def test_one_of() -> None:
    """A word is refused with those that there are."""
    one_of("wait", "overflow", ("wait", "error"))
    with pytest.raises(ValueError, match="overflow must be one of 'wait', 'error', not 'drop'"):
        one_of("drop", "overflow", ("wait", "error"))


@pytest.mark.parametrize("known", list(Stream))
def test_stream(known: Stream) -> None:
    """A stream is named by itself or its word."""
    assert known is stream(known)
    assert known is stream(str(known))


@pytest.mark.parametrize("value", ["outputs", "Output", "", 1, None, [], b"output"])
def test_unknown_stream(value: object) -> None:
    """An unknown stream is refused with those that there are."""
    with pytest.raises(ValueError, match=r"unknown stream .* output, error, warning"):
        stream(value)


@pytest.mark.parametrize(
    ("fn", "command"),
    [
        (len, "len"),
        (partial(partial(len, ())), "len"),
        (Iterator, "collections.abc.Iterator"),
        (math.floor, "math.floor"),
    ],
)
def test_command(fn: Callable[..., object], command: str) -> None:
    """A command is the dotted name of the function, partials looked through."""
    assert command == command_of(fn)


def test_command_of_an_object() -> None:
    """An object that can be called shows its class."""
    assert command_of(PlainCall()).endswith("test_checks.PlainCall")
