"""`async for` without a block: the session holds what the block would."""

import errno
import gc
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import parallel_foreach
from tests.foreach.conftest import Place


class Items:
    """Async items that run until they are stopped, all but the first few."""

    def __init__(self, quick: int = 1) -> None:
        self.quick = quick
        self.begun = anyio.Event()
        self.running = 0

    async def __call__(self, item: int) -> int:
        """Return *item*, or wait for ever."""
        if item < self.quick:
            return item

        self.running += 1
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.running -= 1

        return item


async def test_all_results(place: Place) -> None:
    """In a session the loop needs no block."""
    async with ajobs.Session():
        assert sorted([x async for x in place.foreach(range(50), lambda x: x)]) == [*range(50)]


async def test_in_processes() -> None:
    """Workers of other places are opened and closed by the same task."""
    async with ajobs.Session():
        assert sorted([x async for x in parallel_foreach([-1, 2], abs, runner="process")]) == [1, 2]


async def test_inside_a_job() -> None:
    """A job may iterate, also while the block is being left."""

    async def crawl() -> list[int]:
        return [x async for x in parallel_foreach(range(9), Items(quick=9), ordered=True)]

    async with ajobs.Session() as jobs:
        job = jobs.start(crawl)

    assert job.result() == [*range(9)]


async def test_dropped_by_break() -> None:
    """Leaving the loop drops the iterator: what runs is stopped, the block goes on."""
    items = Items()
    async with ajobs.Session():
        async for _ in parallel_foreach(count(), items):
            await items.begun.wait()
            break

        await anyio.wait_all_tasks_blocked()
        assert items.running == 0


async def test_dropped_in_another_thread() -> None:
    """The garbage collector may do it anywhere."""
    items = Items()
    async with ajobs.Session():
        iterators = [aiter(parallel_foreach(count(), items))]
        assert await anext(iterators[0]) == 0
        await items.begun.wait()
        await anyio.to_thread.run_sync(iterators.clear)
        await anyio.wait_all_tasks_blocked()
        assert items.running == 0


async def test_wait_cancelled() -> None:
    """The cancelled wait for a result stops the items, and ends after them."""
    items = Items()
    async with ajobs.Session():
        iterator = aiter(parallel_foreach(count(), items))
        assert await anext(iterator) == 0
        await items.begun.wait()
        with anyio.move_on_after(0):
            await anext(iterator)

        assert items.running == 0
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_half_read_when_the_session_ends() -> None:
    """What was ready can still be taken; that the rest is missing is an error."""
    items = Items(quick=3)
    async with ajobs.Session():
        iterator = aiter(parallel_foreach(count(), items, throttle=4))
        assert await anext(iterator) == 0
        await items.begun.wait()

    assert items.running == 0
    taken = [await anext(iterator), await anext(iterator)]
    assert taken == [1, 2]
    with pytest.raises(ajobs.SessionClosed, match="stopped with its session"):
        await anext(iterator)


async def test_waiting_task_when_the_session_ends() -> None:
    """Whoever waits for a result that will not come is told."""
    items = Items(quick=0)

    async def take(iterator: AsyncIterator[int]) -> None:
        with pytest.raises(ajobs.SessionClosed):
            await anext(iterator)

    async with anyio.create_task_group() as tasks, ajobs.Session():
        tasks.start_soon(take, aiter(parallel_foreach(count(), items)))
        await items.begun.wait()


async def test_read_to_the_end_before_the_session_ends() -> None:
    """A complete run is no loss, whenever its end is looked at."""
    async with ajobs.Session():
        iterator = aiter(parallel_foreach(range(2), Items(quick=2)))
        assert await anext(iterator) == 0
        await anyio.wait_all_tasks_blocked()

    assert [x async for x in iterator] == [1]


async def test_failure_is_raised_after_the_others_ended() -> None:
    """As from a block: nothing runs any more where it is caught."""
    items = Items()

    async def fail(item: int) -> int:
        if item < 4:
            return await items(item)

        raise KeyError(item)

    async with ajobs.Session():
        with pytest.raises(KeyError, match="4"):
            async for _ in parallel_foreach(range(9), fail):
                pass

        assert items.running == 0


async def test_failure_that_nobody_sees(caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody to raise it at, so it is logged."""
    seen = anyio.Event()

    def numbers() -> Iterator[int]:
        yield 1
        seen.set()
        raise KeyError("input")

    async with ajobs.Session():
        async for _ in parallel_foreach(numbers(), Items(quick=2)):
            await seen.wait()
            break

    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "nobody looked" in record.message
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_aclose() -> None:
    """Closed by hand it has ended when the call returns."""
    items = Items()
    async with ajobs.Session():
        iterator = aiter(parallel_foreach(count(), items))
        await anext(iterator)
        await items.begun.wait()
        await iterator.aclose()  # type: ignore[attr-defined]  # as async generators have it
        assert items.running == 0


BOTH_FORMS = re.escape("async with parallel_foreach(") + ".*" + re.escape("await parallel_foreach(")


async def iterate(fn: Callable[[Any], Any]) -> None:
    """Iterate over something, without a block."""
    async for _ in parallel_foreach([1], fn):
        pytest.fail("there is a result")


async def test_outside_a_session() -> None:
    """The error shows what to write."""
    with pytest.raises(RuntimeError, match=BOTH_FORMS):
        await iterate(abs)


async def test_after_the_session() -> None:
    """Code that the session's variable leaked into is outside, too."""
    go_on = anyio.Event()

    async def late() -> None:
        await go_on.wait()
        with pytest.raises(RuntimeError, match=BOTH_FORMS):
            await iterate(abs)

    async with anyio.create_task_group() as tasks:
        async with ajobs.Session():
            tasks.start_soon(late)
            await anyio.wait_all_tasks_blocked()

        go_on.set()


async def test_on_another_loop() -> None:
    """An async function in a thread has a loop of its own, and the session is not there."""
    async with ajobs.Session() as jobs:
        job = jobs.start(iterate, abs, runner="thread")
        with pytest.raises(RuntimeError, match=BOTH_FORMS):
            await job


async def test_used_once() -> None:
    """What was iterated cannot be iterated, entered or awaited again."""
    async with ajobs.Session():
        results = parallel_foreach([1], abs)
        assert [x async for x in results] == [1]
        with pytest.raises(RuntimeError, match="has been used"):
            await results

        with pytest.raises(RuntimeError, match="has been used"):
            aiter(results)


def test_iterator_outlives_its_loop(anyio_backend_name: str) -> None:
    """The iterator may be dropped when there is no loop any more."""

    async def use() -> AsyncIterator[int]:
        async with ajobs.Session():
            iterator = aiter(parallel_foreach(count(), Items()))
            await anext(iterator)
            return iterator

    iterators = [anyio.run(use, backend=anyio_backend_name)]
    iterators.clear()
    gc.collect()


async def awaited(items: Any) -> None:
    """Await *items*."""
    await items


async def entered(items: Any) -> None:
    """Enter *items*."""
    async with items:
        pass


async def iterated(items: Any) -> None:
    """Iterate over *items* without a block."""
    async for _ in items:
        pass


@pytest.mark.parametrize("use", [awaited, entered, iterated])
async def test_no_place_for_the_items(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files are told to who iterates, and nobody waits for ever."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    async with ajobs.Session():
        items = ajobs.parallel_foreach([1], abs, runner="process")
        with anyio.move_on_after(20) as scope, pytest.raises(OSError, match="too many open files"):
            await use(items)

        assert not scope.cancelled_caught
        await anyio.lowlevel.checkpoint()
