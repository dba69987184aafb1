"""Jobs in processes: round trips, cold starts, records, big arrays, against other pools."""

from __future__ import annotations

import math
import multiprocessing
import operator
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
from anyio import to_process

import ajobs
from ajobs.runners.process import ProcessRunner

from .harness import Contest, Measure, Row

PEERS = ("numpy",)

#: Calls one after another in one measure.
CALLS = 300

RECORDS = 100_000

#: Bytes of the array that is sent there and back.
ARRAY = 100_000_000

SPAWN = multiprocessing.get_context("spawn")


def on(backend: str, main: Callable[[], Awaitable[float]]) -> Measure:
    """Return a measure of *main*, which tells its seconds, in an event loop of its own."""
    return lambda: anyio.run(main, backend=backend)


# One call after another, to a worker that is warm


async def calls_ajobs() -> float:
    """Start a job and wait for it."""
    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        for _ in range(20):
            await jobs.start(operator.add, 1, 2, runner=runner)

        begin = time.perf_counter()
        for _ in range(CALLS):
            await jobs.start(operator.add, 1, 2, runner=runner)

        return time.perf_counter() - begin


async def calls_anyio() -> float:
    """Await anyio's function."""
    for _ in range(20):
        await to_process.run_sync(operator.add, 1, 2)

    begin = time.perf_counter()
    for _ in range(CALLS):
        await to_process.run_sync(operator.add, 1, 2)

    return time.perf_counter() - begin


async def calls_executor() -> float:
    """Await the executor's future."""
    import asyncio

    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        for _ in range(20):
            await loop.run_in_executor(pool, operator.add, 1, 2)

        begin = time.perf_counter()
        for _ in range(CALLS):
            await loop.run_in_executor(pool, operator.add, 1, 2)

        return time.perf_counter() - begin


# The first call of all


async def cold_ajobs() -> float:
    """Open a runner, run one importable function and close it."""
    async with ajobs.Session() as jobs:
        begin = time.perf_counter()
        async with ProcessRunner(1) as runner:
            await jobs.start(math.sqrt, 16, runner=runner)
            return time.perf_counter() - begin


async def cold_anyio() -> float:
    """Do the same with anyio, whose workers end with the loop."""
    begin = time.perf_counter()
    await to_process.run_sync(math.sqrt, 16)
    return time.perf_counter() - begin


def python_pass() -> float:
    """Start Python and let it do nothing."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - begin


# Records


def numbers(end: int) -> Iterator[int]:
    yield from range(end)


async def records_ajobs() -> float:
    """Receive what a generator yields in another process, while it runs."""
    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        await jobs.start(math.sqrt, 16, runner=runner)
        begin = time.perf_counter()
        received = 0
        job = jobs.start(numbers, RECORDS, runner=runner)
        while received < RECORDS:
            received += len(job.receive_nowait())
            await anyio.lowlevel.checkpoint()

        return time.perf_counter() - begin


def put_numbers(queue: Any, end: int) -> None:
    for number in range(end):
        queue.put(number)


def records_queue() -> float:
    """Get what another process puts into a queue."""
    queue: Any = SPAWN.Queue()
    process = SPAWN.Process(target=put_numbers, args=(queue, RECORDS))
    process.start()
    queue.get()
    begin = time.perf_counter()
    for _ in range(RECORDS - 1):
        queue.get()

    seconds = time.perf_counter() - begin
    process.join()
    return seconds


# Big arrays


def give(value: Any) -> Any:
    return value


def array() -> Any:
    """Return 100 MB that are not all the same."""
    import numpy

    return numpy.arange(ARRAY // 8, dtype=numpy.float64)


async def array_ajobs() -> float:
    """Send an array there and back."""
    data = array()
    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        await jobs.start(give, data[:10], runner=runner)
        begin = time.perf_counter()
        back = await jobs.start(give, data, runner=runner)
        seconds = time.perf_counter() - begin
        assert back[-1] == data[-1]
        return seconds


def array_executor() -> float:
    """Do the same with the executor."""
    data = array()
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        pool.submit(give, data[:10]).result()
        begin = time.perf_counter()
        back = pool.submit(give, data).result()
        seconds = time.perf_counter() - begin
        assert back[-1] == data[-1]
        return seconds


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    contests = [
        Contest(
            "warm round trip, asyncio",
            CALLS,
            on("asyncio", calls_ajobs),
            {
                "anyio.to_process": on("asyncio", calls_anyio),
                "ProcessPoolExecutor": on("asyncio", calls_executor),
            },
            {"anyio.to_process": 1.0, "ProcessPoolExecutor": 0.4},
        ),
        Contest(
            "warm round trip, trio",
            CALLS,
            on("trio", calls_ajobs),
            {"anyio.to_process": on("trio", calls_anyio)},
            {"anyio.to_process": 1.0},
        ),
        Contest(
            "first job, cold, importable function",
            1,
            on("asyncio", cold_ajobs),
            {"python -c pass": python_pass, "anyio.to_process": on("asyncio", cold_anyio)},
            {"python -c pass": 2.0},
            scale=1e3,
            unit="ms",
        ),
        Contest(
            "one output record, received while the job runs",
            RECORDS,
            on("asyncio", records_ajobs),
            {"multiprocessing.Queue": records_queue},
            {"multiprocessing.Queue": 0.1},
        ),
        Contest(
            f"array of {ARRAY // 10**6} MB to a process and back",
            1,
            on("asyncio", array_ajobs),
            {"ProcessPoolExecutor": array_executor},
            {"ProcessPoolExecutor": 0.25},
            scale=1e3,
            unit="ms",
        ),
    ]
    # The others run the caller's main module again in each of their processes.
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        return [row for contest in contests for row in contest.run(rounds)]
    finally:
        sys.modules["__main__"] = main
