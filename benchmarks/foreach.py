"""Many items: `parallel_foreach` on tasks, threads and processes, against other fan-outs."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import aiometer
import aiostream

import ajobs
from ajobs.runners.process import ProcessRunner

from .harness import Contest, Measure, Row

PEERS = ("aiometer", "aiostream")

ITEMS = 50_000
THROTTLE = 100
REQUESTS = 3_000
FAR_ITEMS = 300_000

#: Calls through `ProcessPoolExecutor.map` as it comes, which needs 100 us for each.
FEW = 5_000

SPAWN = multiprocessing.get_context("spawn")

Fn = Callable[[int], Coroutine[Any, Any, Any]]


async def nothing(item: int) -> int:
    """Return at once."""
    return item


async def yields_once(item: int) -> int:
    """Let the others run once."""
    await asyncio.sleep(0)
    return item


async def sleeps(item: int) -> int:
    """Sleep a millisecond."""
    await asyncio.sleep(0.001)
    return item


def tiny(item: int) -> int:
    """Return at once."""
    return item


def uneven(item: int) -> int:
    """Take 20 ms for one of 50 items, 0.1 ms for the others."""
    time.sleep(0.02 if item % 50 == 0 else 0.0001)
    return item


def timed(main: Callable[[], Awaitable[None]]) -> Measure:
    """Return a measure of *main* in an event loop of its own, the loop's start left out."""

    async def run() -> float:
        begin = time.perf_counter()
        await main()
        return time.perf_counter() - begin

    return lambda: asyncio.run(run())


# Coroutines, results streamed


async def with_ajobs(fn: Any, throttle: int = THROTTLE, items: int = ITEMS, **how: Any) -> None:
    """Stream the results."""
    async with ajobs.parallel_foreach(range(items), fn, throttle=throttle, **how) as results:
        async for _ in results:
            pass


async def with_aiometer(fn: Fn, items: int = ITEMS) -> None:
    """Do the same with aiometer."""
    async with aiometer.amap(fn, list(range(items)), max_at_once=THROTTLE) as results:
        async for _ in results:
            pass


async def with_aiostream(fn: Fn, items: int = ITEMS) -> None:
    """Do the same with aiostream."""
    source = aiostream.stream.iterate(range(items))
    mapped = aiostream.stream.map(source, fn, ordered=False, task_limit=THROTTLE)
    async with mapped.stream() as results:
        async for _ in results:
            pass


def coroutines(fn: Fn, name: str, aiometer_aim: float | None, aiostream_aim: float) -> Contest:
    """Compare fan-outs of one coroutine function."""
    aims = {"aiometer.amap": aiometer_aim, "aiostream.map": aiostream_aim}
    return Contest(
        f"{ITEMS:,} coroutines, throttle {THROTTLE}, each {name}",
        ITEMS,
        timed(functools.partial(with_ajobs, fn)),
        {
            "aiometer.amap": timed(functools.partial(with_aiometer, fn)),
            "aiostream.map": timed(functools.partial(with_aiostream, fn)),
        },
        {peer: aim for peer, aim in aims.items() if aim},
    )


# A real fan-out


SERVER = """
import asyncio

async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def server() -> Iterator[int]:
    """Run a small HTTP server in another process; give its port."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.terminate()


async def get(port: int, _: int) -> bytes:
    """Make one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def awaited(fn: Fn) -> None:
    """Await the list, as the loop by hand makes one."""
    await ajobs.parallel_foreach(range(REQUESTS), fn, throttle=THROTTLE)


async def by_hand(fn: Fn) -> None:
    """Do what one writes who wants no library: workers that share an iterator."""
    items = iter(range(REQUESTS))
    results: list[Any] = []

    async def work() -> None:
        for item in items:
            results.append(await fn(item))  # noqa: PERF401 - other workers append meanwhile

    async with asyncio.TaskGroup() as group:
        for _ in range(THROTTLE):
            group.create_task(work())


def fan_out(port: int) -> Contest:
    """Compare a fan-out of requests with a loop written by hand."""
    fetch = functools.partial(get, port)
    return Contest(
        f"{REQUESTS:,} requests to a server in another process, throttle {THROTTLE}",
        REQUESTS,
        timed(functools.partial(awaited, fetch)),
        {"a worker loop by hand": timed(functools.partial(by_hand, fetch))},
        {"a worker loop by hand": 1.05},
    )


# Threads and processes


def threads_executor() -> float:
    """Map over a thread pool."""
    with ThreadPoolExecutor(4) as pool:
        begin = time.perf_counter()
        for _ in pool.map(tiny, range(ITEMS)):
            pass

        return time.perf_counter() - begin


def far_ajobs(fn: Callable[[int], int], items: int) -> Measure:
    """Return a measure of two warm workers."""

    async def run() -> float:
        async with ProcessRunner(2) as runner:
            await with_ajobs(fn, 2, 1000, runner=runner)
            begin = time.perf_counter()
            await with_ajobs(fn, 2, items, runner=runner)
            return time.perf_counter() - begin

    return lambda: asyncio.run(run())


def far_pool(fn: Callable[[int], int], items: int, chunksize: int) -> Measure:
    """Return a measure of two warm workers of multiprocessing."""

    def run() -> float:
        with SPAWN.Pool(2) as pool:
            pool.map(tiny, range(100))
            begin = time.perf_counter()
            for _ in pool.imap_unordered(fn, range(items), chunksize=chunksize):
                pass

            return time.perf_counter() - begin

    return run


def far_executor() -> float:
    """Map over a process pool as it comes; scaled to the number of items of the others."""
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        list(pool.map(tiny, range(100)))
        begin = time.perf_counter()
        for _ in pool.map(tiny, range(FEW)):
            pass

        return (time.perf_counter() - begin) * FAR_ITEMS / FEW


# Memory


GROWTH = """
import asyncio, re, sys
from pathlib import Path
from benchmarks.foreach import nothing, tiny, with_ajobs

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

async def main():
    how = {} if sys.argv[1] == "task" else {"runner": sys.argv[1]}
    fn = nothing if sys.argv[1] == "task" else tiny
    await with_ajobs(fn, 4, 20_000, **how)
    before = peak()
    await with_ajobs(fn, 4, 1_000_000, **how)
    print(peak() - before)

asyncio.run(main())
"""


def growth(runner: str) -> Row:
    """Measure how much the peak of memory grows over a million items."""
    argv = [sys.executable, "-c", GROWTH, runner]
    kib = float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    mib = kib / 1024
    return Row(f"growth over 1,000,000 items, {runner}", mib, "16 MiB", 16, mib / 16, 1.0, "MiB")


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    contests = [
        coroutines(nothing, "returns at once", 1 / 20, 1 / 40),
        coroutines(yields_once, "yields once", 1 / 10, 1 / 20),
        coroutines(sleeps, "sleeps 1 ms", None, 0),
        Contest(
            f"{ITEMS:,} coroutines that yield once, throttle 1,000",
            ITEMS,
            timed(functools.partial(with_ajobs, yields_once, 1000)),
            {"the same, throttle 10": timed(functools.partial(with_ajobs, yields_once, 10))},
            {"the same, throttle 10": 1.3},
        ),
        Contest(
            f"{ITEMS:,} calls of a tiny function in 4 threads",
            ITEMS,
            timed(functools.partial(with_ajobs, tiny, 4)),
            {"ThreadPoolExecutor.map": threads_executor},
            {"ThreadPoolExecutor.map": 1 / 30},
        ),
        Contest(
            f"{FAR_ITEMS:,} calls of a tiny function in 2 processes",
            FAR_ITEMS,
            far_ajobs(tiny, FAR_ITEMS),
            {
                "Pool.imap_unordered, chunksize=100": far_pool(tiny, FAR_ITEMS, 100),
                "ProcessPoolExecutor.map": far_executor,
            },
            {"Pool.imap_unordered, chunksize=100": 0.9, "ProcessPoolExecutor.map": 1 / 100},
        ),
        Contest(
            "2,000 calls in 2 processes, 1 in 50 takes 20 ms",
            2000,
            far_ajobs(uneven, 2000),
            {"Pool.imap_unordered, chunksize=1": far_pool(uneven, 2000, 1)},
            {"Pool.imap_unordered, chunksize=1": 1.05},
        ),
    ]
    found = [row for contest in contests for row in contest.run(rounds)]
    with server() as port:
        found += fan_out(port).run(rounds)

    return found + [growth(runner) for runner in ("task", "thread", "process")]
