"""The scenarios of the sweep with `parallel_foreach` on the event loop, in all its forms."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from anyio.lowlevel import checkpoint

import ajobs

from .harness.sweep import Scenario, Stage
from .scenarios import MAY_FAIL, MAY_STOP, Jobs, careful, numbers, turn

FOREACH: list[Scenario] = []

MARK: ContextVar[int] = ContextVar("mark")


def foreach_is_victim(name: str, fn: Callable[[], Awaitable[Any]]) -> None:
    """Add a scenario whose victim is a whole `parallel_foreach`."""

    async def play(stage: Stage) -> None:
        await stage.victim(fn)

    FOREACH.append(Scenario(name, play, MAY_STOP))


async def _awaited() -> None:
    assert await ajobs.parallel_foreach(range(5), turn, throttle=2) == list(range(5))


async def _streamed(ordered: bool | None = None, buffer: int | None = None) -> None:
    got = []
    each = ajobs.parallel_foreach(numbers(5), turn, throttle=2, ordered=ordered, buffer=buffer)
    async with each as results:
        async for result in results:
            got.append(result)
            await checkpoint()

    assert sorted(got) == list(range(5))


async def _left_early() -> None:
    async with ajobs.parallel_foreach(numbers(99), turn, throttle=3) as results:
        async for _ in results:
            break


async def _generated() -> None:
    async def twice(item: int) -> AsyncIterator[int]:
        for _ in range(2):
            await checkpoint()
            yield item

    assert await ajobs.parallel_foreach(range(3), twice) == [0, 0, 1, 1, 2, 2]


async def _with_errors(on_error: Any) -> None:
    async def odd_fails(item: int) -> int:
        await checkpoint()
        if item % 2:
            raise ValueError("injected")

        return item

    try:
        await ajobs.parallel_foreach(range(4), odd_fails, on_error=on_error, throttle=2)
    except (ValueError, ajobs.ForeachErrors):
        assert on_error != "return"


async def _limited() -> None:
    await ajobs.parallel_foreach(range(3), turn, timeout=60, item_timeout=60, max_per_second=1e6)


async def _room_in_items() -> None:
    async def write(item: int) -> None:
        for _ in range(3):
            await ajobs.write_output(item)

    async with ajobs.parallel_foreach(range(3), write, throttle=2, buffer=0) as results:
        assert len([result async for result in results]) == 9


async def _room_in_generators() -> None:
    async def many(item: int) -> AsyncIterator[int]:
        for _ in range(70):
            yield item

    async with ajobs.parallel_foreach(range(2), many, throttle=2, buffer=4) as results:
        assert len([result async for result in results]) == 140


async def _items_that_set_variables() -> None:
    async def mark(item: int) -> int:
        await checkpoint()
        MARK.set(item)
        await checkpoint()
        return MARK.get()

    assert await ajobs.parallel_foreach(range(4), mark, throttle=2) == [0, 1, 2, 3]


async def _long_items() -> None:
    async def busy(item: int) -> int:
        time.sleep(0.003)  # noqa: ASYNC251  # it must hold the loop
        return item

    assert await ajobs.parallel_foreach(range(6), busy, throttle=1) == list(range(6))


async def _source_that_cleans_up() -> None:
    async def source() -> AsyncIterator[int]:
        try:
            for number in range(99):
                yield number
        finally:
            await checkpoint()

    # It is ahead of the items, and so stands where it gives one.
    async with ajobs.parallel_foreach(source(), turn, throttle=1, buffer=0) as results:
        async for _ in results:
            break


async def _source_that_fails() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(2):
            await checkpoint()
            yield number

        raise ValueError("injected")

    with suppress(ValueError):
        await ajobs.parallel_foreach(source(), turn)


async def _nested_calls() -> None:
    async def inner(item: int) -> list[int]:
        return await ajobs.parallel_foreach(range(item), turn, throttle=1)

    assert await ajobs.parallel_foreach(range(3), inner, throttle=2) == [[], [0], [0, 1]]


foreach_is_victim("foreach_awaited", _awaited)
foreach_is_victim("foreach_streamed", _streamed)
foreach_is_victim("foreach_ordered", partial(_streamed, ordered=True))
foreach_is_victim("foreach_buffered", partial(_streamed, buffer=0))
foreach_is_victim("foreach_left_early", _left_early)
foreach_is_victim("foreach_generators", _generated)
foreach_is_victim("foreach_raise", partial(_with_errors, "raise"))
foreach_is_victim("foreach_continue", partial(_with_errors, "continue"))
foreach_is_victim("foreach_return", partial(_with_errors, "return"))
foreach_is_victim("foreach_limited", _limited)
foreach_is_victim("foreach_nested", _nested_calls)
foreach_is_victim("foreach_room_in_items", _room_in_items)
foreach_is_victim("foreach_room_in_generators", _room_in_generators)
foreach_is_victim("foreach_items_that_set_variables", _items_that_set_variables)
foreach_is_victim("foreach_long_items", _long_items)
foreach_is_victim("foreach_source_that_cleans_up", _source_that_cleans_up)
foreach_is_victim("foreach_source_that_fails", _source_that_fails)


# Held by a session: without a block, and as a job


def held(
    name: str, body: Callable[[Jobs], Awaitable[object]], allowed: Any = MAY_STOP, **options: Any
) -> None:
    """Add a scenario whose victim is a session with *body*."""

    async def play(stage: Stage) -> None:
        async def block() -> None:
            async with ajobs.Session(failures="keep", **options) as jobs:
                await body(jobs)

        await stage.victim(block)

    FOREACH.append(Scenario(name, play, allowed))


async def _bare(jobs: Jobs) -> None:
    got = [result async for result in ajobs.parallel_foreach(numbers(5), turn, throttle=2)]
    assert sorted(got) == list(range(5))


async def _bare_left_early(jobs: Jobs) -> None:
    async for _ in ajobs.parallel_foreach(numbers(99), turn, throttle=3):
        break

    await checkpoint()


async def _bare_closed(jobs: Jobs) -> None:
    results: Any = aiter(ajobs.parallel_foreach(numbers(99), turn, throttle=3))
    await anext(results)
    await results.aclose()


async def _bare_in_a_job(jobs: Jobs) -> None:
    await jobs.start(_bare, jobs)


async def _as_a_job(jobs: Jobs) -> None:
    job = jobs.start_foreach(numbers(6), turn, throttle=2, output_limit=1)
    got = [value async for value in job.receive(errors="ignore")]
    assert sorted(got) == list(range(6)) or job.state != "Completed"


async def _as_a_job_that_is_stopped(jobs: Jobs) -> None:
    async def linger(_: int) -> None:
        await careful(2, [])

    job = jobs.start_foreach(range(3), linger, throttle=3)
    while len(job.children) < 3 and not job.is_finished:
        await checkpoint()

    for child in job.children[:1]:
        await child.stop()

    await checkpoint()
    await job.stop()


async def _as_a_job_that_fails(jobs: Jobs) -> None:
    async def odd_fails(item: int) -> int:
        await checkpoint()
        if item % 2:
            raise ValueError("injected")

        return item

    await jobs.start_foreach(range(4), odd_fails, throttle=2).wait()


held("foreach_bare", _bare)
held("foreach_bare_left_early", _bare_left_early)
held("foreach_bare_closed", _bare_closed)
held("foreach_bare_in_a_job", _bare_in_a_job, MAY_FAIL)
held("foreach_job", _as_a_job)
held("foreach_job_stopped", _as_a_job_that_is_stopped)
held("foreach_job_failing", _as_a_job_that_fails, MAY_FAIL)
