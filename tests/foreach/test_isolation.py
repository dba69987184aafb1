"""Coroutines that share a task share no context variables, with each other or with the input."""

from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

import pytest
from anyio.lowlevel import checkpoint

from ajobs import parallel_foreach
from ajobs._foreach import isolation, task_worker

names: ContextVar[list[str]] = ContextVar("names")
callers: list[str] = []


@pytest.fixture(autouse=True)
def with_names() -> Iterator[None]:
    """Let the caller have a list of its own in the variable."""
    token = names.set(callers)
    yield
    names.reset(token)


async def test_an_equal_value_is_another_one() -> None:
    """What an item puts in the place of the caller's list is seen by no other, equal or not."""

    async def work(number: int) -> bool:
        await checkpoint()
        is_callers = names.get() is callers
        names.set([])
        await checkpoint()
        return is_callers and names.get() is not callers

    assert await parallel_foreach(range(30), work, throttle=3) == [True] * 30


async def test_an_item_that_fails_leaves_nothing() -> None:
    """Nor does one that raises after it has set something."""

    async def work(number: int) -> bool:
        if number % 2:
            names.set(["set"])
            raise LookupError

        return names.get() is callers

    outcomes = await parallel_foreach(range(10), work, throttle=1, on_error="return")
    assert [o.value for o in outcomes if o.error is None] == [True] * 5


async def test_generators_too() -> None:
    """An async generator sees what it has set itself, to its end, and nobody else does."""

    async def work(number: int) -> AsyncIterator[list[str]]:
        assert names.get() is callers
        names.set([str(number)])
        yield names.get()
        await checkpoint()
        yield names.get()

    results = await parallel_foreach(range(4), work, throttle=2)
    assert results == [[str(n)] for n in range(4) for _ in range(2)]


async def test_the_input_is_apart_from_items() -> None:
    """A generator sees its own variables when it goes on, and no item's; no item sees its."""
    seen: list[str] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            seen.extend(names.get())
            names.set([f"input {number}"])
            yield number

    async def work(number: int) -> bool:
        is_callers = names.get() is callers
        names.set([f"item {number}"])
        await checkpoint()
        return is_callers

    assert await parallel_foreach(numbers(), work, throttle=3) == [True] * 20
    assert seen == [f"input {number}" for number in range(19)]


async def test_where_a_change_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another Python than CPython each item gets a copy of the context."""
    assert isolation.CAN_TELL
    monkeypatch.setattr(task_worker, "CAN_TELL", False)
    await test_an_equal_value_is_another_one()
