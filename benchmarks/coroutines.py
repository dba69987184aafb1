"""Many small coroutines: `parallel_foreach` against the other ways to fan out, on each loop."""

from __future__ import annotations

import asyncio
from functools import partial

import aiojobs
import aiometer
import aiostream
import anyio

from .harness import Contest, Measure, Row
from .work import (
    Fn,
    loops,
    nothing,
    sleeps,
    timed,
    trio_sleeps,
    trio_yields_once,
    with_ajobs,
    yields_once,
)

PEERS = ("aiojobs", "aiometer", "aiostream", "uvloop")

ITEMS = 20_000
THROTTLE = 100


async def with_aiometer(fn: Fn) -> None:
    """Stream from aiometer, which takes a sequence."""
    async with aiometer.amap(fn, list(range(ITEMS)), max_at_once=THROTTLE) as results:
        async for _ in results:
            pass


async def with_aiostream(fn: Fn) -> None:
    """Stream from aiostream."""
    source = aiostream.stream.iterate(range(ITEMS))
    mapped = aiostream.stream.map(source, fn, ordered=False, task_limit=THROTTLE)
    async with mapped.stream() as results:
        async for _ in results:
            pass


async def with_aiojobs(fn: Fn) -> None:
    """Spawn in a scheduler; it has no results, so the jobs keep theirs."""
    async with aiojobs.Scheduler(limit=THROTTLE, pending_limit=THROTTLE) as scheduler:
        jobs = [await scheduler.spawn(fn(item)) for item in range(ITEMS)]
        for job in jobs:
            await job.wait()


async def with_amap(fn: Fn) -> None:
    """Await anyio's map, which has no limit and starts them all."""
    await anyio.amap(fn, range(ITEMS))


async def with_limiter(fn: Fn) -> None:
    """Do what anyio's manual shows for a limit: a task for each item, and a limiter."""
    limiter = anyio.CapacityLimiter(THROTTLE)

    async def work(item: int) -> None:
        async with limiter:
            await fn(item)

    async with anyio.create_task_group() as group:
        for item in range(ITEMS):
            group.start_soon(work, item)


async def with_semaphore(fn: Fn) -> None:
    """Create a task for each item in asyncio's task group, with a semaphore."""
    semaphore = asyncio.Semaphore(THROTTLE)

    async def work(item: int) -> None:
        async with semaphore:
            await fn(item)

    async with asyncio.TaskGroup() as group:
        for item in range(ITEMS):
            group.create_task(work(item))


async def by_hand(fn: Fn) -> None:
    """Do what one writes who wants no library: workers that share an iterator."""
    items = iter(range(ITEMS))

    async def work() -> None:
        for item in items:
            await fn(item)

    async with anyio.create_task_group() as group:
        for _ in range(THROTTLE):
            group.start_soon(work)


#: Peers, and whether they run on asyncio only.
WAYS = {
    "aiometer.amap": (with_aiometer, False),
    "aiostream.map": (with_aiostream, True),
    "aiojobs": (with_aiojobs, True),
    "anyio.amap, no limit": (with_amap, False),
    "anyio task group + CapacityLimiter": (with_limiter, False),
    "asyncio.TaskGroup + Semaphore": (with_semaphore, True),
    "a worker loop by hand, no results": (by_hand, False),
}

AIMS = {
    "returns at once": {"aiometer.amap": 1 / 20, "aiostream.map": 1 / 40},
    "yields once": {"aiometer.amap": 1 / 10, "aiostream.map": 1 / 20},
}


def contest(name: str, fn: Fn, loop: str) -> Contest:
    """Compare all the ways that run on *loop*."""
    peers: dict[str, Measure] = {
        peer: timed(partial(way, fn), loop)
        for peer, (way, is_asyncio) in WAYS.items()
        if loop != "trio" or not is_asyncio
    }
    return Contest(
        f"{ITEMS:,} coroutines, throttle {THROTTLE}, each {name}; {loop}",
        ITEMS,
        timed(partial(with_ajobs, fn, THROTTLE, ITEMS), loop),
        peers,
        AIMS.get(name, {}) if loop == "asyncio" else {},
    )


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    found: list[Row] = []
    for loop in loops():
        is_trio = loop == "trio"
        found += contest("returns at once", nothing, loop).run(rounds)
        found += contest("yields once", trio_yields_once if is_trio else yields_once, loop).run(
            rounds
        )
        found += contest("sleeps 1 ms", trio_sleeps if is_trio else sleeps, loop).run(rounds)

    return found
