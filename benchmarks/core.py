"""Starting jobs, waiting for them, holding them: against aiojobs and the task groups."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import aiojobs
import anyio

import ajobs

from .harness import Contest, Measure, Row

PEERS = ("aiojobs",)

JOBS = 10_000

Work = Callable[[], Coroutine[Any, Any, None]]


async def nothing() -> None:
    """Return at once."""


async def yields_once() -> None:
    """Let the others run once."""
    await asyncio.sleep(0)


async def sleeps() -> None:
    """Sleep a millisecond."""
    await asyncio.sleep(0.001)


async def with_ajobs(work: Work) -> None:
    """Start the work as jobs of a session and wait for all."""
    async with ajobs.Session() as jobs:
        await ajobs.wait_all([jobs.start(work) for _ in range(JOBS)])


async def with_aiojobs(work: Work) -> None:
    """Spawn the work in a scheduler without limit and wait for each."""
    async with aiojobs.Scheduler(limit=None) as scheduler:
        jobs = [await scheduler.spawn(work()) for _ in range(JOBS)]
        for job in jobs:
            await job.wait()


async def with_asyncio(work: Work) -> None:
    """Create a task for each in asyncio's task group."""
    async with asyncio.TaskGroup() as group:
        for _ in range(JOBS):
            group.create_task(work())


async def with_anyio(work: Work) -> None:
    """Start a task for each in anyio's task group."""
    async with anyio.create_task_group() as group:
        for _ in range(JOBS):
            group.start_soon(work)


def timed(main: Callable[[], Awaitable[None]]) -> Measure:
    """Return a measure of *main* in an event loop of its own, the loop's start left out."""

    async def run() -> float:
        begin = time.perf_counter()
        await main()
        return time.perf_counter() - begin

    return lambda: asyncio.run(run())


def start_and_wait(work: Work, name: str, aim: float) -> Contest:
    """Compare 10,000 jobs of *work*, started at once and waited for."""
    return Contest(
        f"start + wait, {JOBS:,} jobs, each {name}",
        JOBS,
        timed(partial(with_ajobs, work)),
        {
            "aiojobs": timed(partial(with_aiojobs, work)),
            "asyncio.TaskGroup": timed(partial(with_asyncio, work)),
            "anyio task group": timed(partial(with_anyio, work)),
        },
        {"aiojobs": aim},
    )


async def drain_ajobs() -> float:
    """Wait for any of the jobs, which end one by one, until none is left."""
    async with ajobs.Session() as jobs:
        gates = [anyio.Event() for _ in range(JOBS)]
        pending: Any = [jobs.start(gate.wait) for gate in gates]
        await anyio.wait_all_tasks_blocked()
        begin = time.perf_counter()
        for gate in gates:
            gate.set()
            pending = (await ajobs.wait_any(pending)).pending

        return time.perf_counter() - begin


async def drain_asyncio() -> float:
    """Do the same with tasks and asyncio.wait."""
    gates = [asyncio.Event() for _ in range(JOBS)]
    pending = {asyncio.create_task(gate.wait()) for gate in gates}
    await asyncio.sleep(0)
    begin = time.perf_counter()
    for gate in gates:
        gate.set()
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    return time.perf_counter() - begin


async def takes_one(value: object) -> None:
    """Stand for a function with one argument."""


HELD = 20_000


async def memory_ajobs() -> float:
    """Hold jobs that may not run yet; return the bytes that they take."""
    async with ajobs.Session(throttle=1) as jobs:
        gate = anyio.Event()
        jobs.start(gate.wait)
        await anyio.wait_all_tasks_blocked()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(HELD):
            jobs.start(takes_one, number)

        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        gate.set()
        await jobs.stop(jobs)
        return float(used)


async def memory_asyncio() -> float:
    """Hold tasks that have not begun; return the bytes that they take."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.create_task(takes_one(number)) for number in range(HELD)]
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for task in tasks:
        await task

    return float(used)


def importing(module: str) -> Measure:
    """Return a measure of a fresh interpreter that imports *module*, its own start left out."""
    # With compiled modules, as an installed package has them, whatever the caller's setting.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def python(code: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=env)
        return time.perf_counter() - begin

    def best_of_five(code: str) -> float:
        return min(python(code) for _ in range(5))

    return lambda: best_of_five(f"import {module}") - best_of_five("pass")


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    contests = [
        start_and_wait(nothing, "returns at once", 0.5),
        start_and_wait(yields_once, "yields once", 1.0),
        start_and_wait(sleeps, "sleeps 1 ms", 1.0),
        Contest(
            f"wait_any until none of {JOBS:,} is left",
            JOBS,
            lambda: asyncio.run(drain_ajobs()),
            {"asyncio.wait": lambda: asyncio.run(drain_asyncio())},
            {"asyncio.wait": 1 / 50},
        ),
        Contest(
            "memory of a queued job, one argument",
            HELD,
            lambda: asyncio.run(memory_ajobs()),
            {"asyncio task, not started": lambda: asyncio.run(memory_asyncio())},
            {"asyncio task, not started": 0.6},
            scale=1,
            unit="B",
        ),
        Contest(
            "import",
            1,
            importing("ajobs"),
            {"import anyio": importing("anyio")},
            {"import anyio": 1.5},
            scale=1e3,
            unit="ms",
        ),
    ]
    found: list[Row] = []
    for contest in contests:
        # A drain with asyncio.wait takes half a minute: its ratio is known after one round.
        few = min(rounds, 1) if "wait_any" in contest.work else rounds
        found += contest.run(few)

    return found
