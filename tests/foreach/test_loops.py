"""The same where not every Python can: on uvloop, with eager tasks, in interpreters."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import parallel_foreach
from tests.foreach import work


def eager_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose tasks take their first step where they are made."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


def uvloop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop's."""
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS = [
    pytest.param(
        eager_loop,
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12"),
    ),
    pytest.param(uvloop, marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="no uvloop")),
]


@pytest.fixture(scope="module", autouse=True)
def first_uvloop() -> None:
    """Run the first loop of uvloop's: libuv keeps the pipe for signals that it opens then."""
    if find_spec("uvloop") is not None:
        with asyncio.Runner(loop_factory=uvloop) as runner:
            runner.run(asyncio.sleep(0))


async def at_once(number: int) -> int:
    """Give the number without waiting."""
    return +number


async def in_a_turn(number: int) -> int:
    """Give the number after a turn of the loop; a negative one never ends."""
    await anyio.lowlevel.checkpoint()
    if number < 0:
        await anyio.sleep_forever()

    return number


def several(number: int) -> Iterator[int]:
    """Give the number twice."""
    yield number
    yield number


async def all_forms(fn: Callable[[int], Any], runner: str | None = None) -> None:
    """Await, stream, iterate, run as a job, leave early and fail."""
    numbers = [*range(200)]
    assert await parallel_foreach(numbers, fn, runner=runner) == numbers
    async with parallel_foreach(count(), fn, runner=runner, ordered=True) as results:
        assert [await anext(results) for _ in numbers] == numbers

    async with ajobs.Session() as jobs:
        assert sorted([x async for x in parallel_foreach(numbers, fn, runner=runner)]) == numbers
        assert sorted(await jobs.start_foreach(numbers, fn, runner=runner).receive()) == numbers

    broken: list[Any] = [*numbers, None]
    with pytest.raises(TypeError):
        await parallel_foreach(broken, fn, runner=runner)


async def limits() -> None:
    """Limits for an item, and for all."""
    outcomes = await parallel_foreach([1, -1, 2], in_a_turn, item_timeout=1, on_error="return")
    assert [type(one.error) for one in outcomes] == [type(None), ajobs.ItemTimeout, type(None)]
    with pytest.raises(ajobs.ForeachTimeout):
        await parallel_foreach([-1] * 9, in_a_turn, timeout=0.02)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fn", [at_once, in_a_turn, abs])
def test_other_loops(loop: Callable[[], asyncio.AbstractEventLoop], fn: Any) -> None:
    """Whoever makes asyncio's tasks, and whenever they begin."""

    async def main() -> None:
        await all_forms(fn)
        assert sorted(await parallel_foreach([1, 2], several)) == [1, 1, 2, 2]

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_limits_on_other_loops(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Time is their business, too."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(limits())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="interpreters came with 3.13")
async def test_interpreters() -> None:
    """Items in subinterpreters: batches, failures, results one by one."""
    await all_forms(abs, "interpreter")
    assert sorted(await parallel_foreach([1, 2], work.twice, runner="interpreter")) == [1, 1, 2, 2]
    outcomes = await parallel_foreach(
        range(4), work.fail_if_odd, runner="interpreter", on_error="return"
    )
    assert [type(one.error) for one in outcomes] == [type(None), ValueError] * 2
