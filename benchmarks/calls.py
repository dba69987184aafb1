"""Many plain calls in threads, processes and interpreters, against the pools."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import loky
import mpire
import trio
import trio_parallel

from ajobs.runners.process import ProcessRunner

from .harness import Contest, Measure, Row
from .work import computes, timed, tiny, uneven, with_ajobs

PEERS = ("joblib", "loky", "mpire", "trio-parallel")

THREAD_ITEMS = 50_000
FAR_ITEMS = 300_000
UNEVEN_ITEMS = 2_000
CPU_ITEMS = 6_000

#: Calls of a pool that has a cost of its own for each; the cost is for one call all the same.
FEW = 5_000

SPAWN = multiprocessing.get_context("spawn")

Call = Callable[[int], int]


def drain(start: Callable[[], Iterable[object]]) -> float:
    """Take all results of what *start* begins; return the seconds of both."""
    begin = time.perf_counter()
    for _ in start():
        pass

    return time.perf_counter() - begin


def scaled(measure: Callable[[Call, int], float], fn: Call, items: int, all_items: int) -> Measure:
    """Return a measure over *items* that counts as one over *all_items*."""
    return lambda: measure(fn, items) * all_items / items


# Threads


def thread_executor(fn: Call, items: int) -> float:
    """Map over a thread pool."""
    with ThreadPoolExecutor(4) as pool:
        return drain(lambda: pool.map(fn, range(items)))


def joblib_threads(fn: Call, items: int) -> float:
    """Map with joblib's threads, which batch by themselves."""
    with joblib.Parallel(4, backend="threading", return_as="generator_unordered") as parallel:
        return drain(lambda: parallel(joblib.delayed(fn)(item) for item in range(items)))


# Processes: two warm workers each


def ours(fn: Call, items: int) -> Measure:
    """Return a measure of our runner, nothing tuned."""

    async def run() -> float:
        async with ProcessRunner(2) as runner:
            await with_ajobs(fn, 2, 1_000, runner=runner)
            begin = time.perf_counter()
            await with_ajobs(fn, 2, items, runner=runner)
            return time.perf_counter() - begin

    return lambda: asyncio.run(run())


def pool(chunksize: int, fn: Call, items: int) -> float:
    """Map over multiprocessing's pool."""
    with SPAWN.Pool(2) as workers:
        workers.map(tiny, range(100))
        return drain(lambda: workers.imap_unordered(fn, range(items), chunksize=chunksize))


def executor(chunksize: int, fn: Call, items: int) -> float:
    """Map over concurrent.futures' process pool."""
    with ProcessPoolExecutor(2, mp_context=SPAWN) as workers:
        list(workers.map(tiny, range(100)))
        return drain(lambda: workers.map(fn, range(items), chunksize=chunksize))


def loky_executor(chunksize: int, fn: Call, items: int) -> float:
    """Map over loky's executor."""
    workers = loky.get_reusable_executor(2)
    list(workers.map(tiny, range(100)))
    return drain(lambda: workers.map(fn, range(items), chunksize=chunksize))


def joblib_loky(fn: Call, items: int) -> float:
    """Map with joblib's processes, which batch by themselves."""
    with joblib.Parallel(2, return_as="generator_unordered") as parallel:
        list(parallel(joblib.delayed(tiny)(item) for item in range(100)))
        return drain(lambda: parallel(joblib.delayed(fn)(item) for item in range(items)))


def mpire_pool(fn: Call, items: int) -> float:
    """Map over mpire's pool, which takes chunks by itself."""
    with mpire.WorkerPool(2, start_method="spawn", keep_alive=True) as workers:
        list(workers.imap_unordered(tiny, range(100)))
        return drain(lambda: workers.imap_unordered(fn, range(items), iterable_len=items))


def parallel_trio(fn: Call, items: int) -> float:
    """Call trio-parallel from two tasks that share an iterator."""

    async def main() -> float:
        async with trio_parallel.open_worker_context() as context:

            async def work(numbers: Iterator[int], call: Call) -> None:
                for item in numbers:
                    await context.run_sync(call, item)

            async def both(call: Call, count: int) -> None:
                numbers = iter(range(count))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(work, numbers, call)
                    nursery.start_soon(work, numbers, call)

            await both(tiny, 100)
            begin = time.perf_counter()
            await both(fn, items)
            return time.perf_counter() - begin

    return trio.run(main)


def interpreter_executor(fn: Call, items: int) -> float:
    """Map over concurrent.futures' interpreters, new in Python 3.14."""
    kind = concurrent.futures.InterpreterPoolExecutor  # type: ignore[attr-defined]
    with kind(2) as workers:
        list(workers.map(tiny, range(100)))
        return drain(lambda: workers.map(fn, range(items), chunksize=100))


def plain(fn: Call, items: int) -> float:
    """Loop without any help."""
    return drain(lambda: map(fn, range(items)))


def far_contest(
    work: str, fn: Call, items: int, few: int, chunksize: int, aims: dict[str, float]
) -> Contest:
    """Compare the pools; *few* items are what those get that have a cost for each call."""
    chunked = f"chunksize={chunksize}"
    alone = {
        "ProcessPoolExecutor.map": functools.partial(executor, 1),
        "trio-parallel": parallel_trio,
    }
    together = {
        f"Pool.imap_unordered, {chunked}": functools.partial(pool, chunksize),
        f"ProcessPoolExecutor.map, {chunked}": functools.partial(executor, chunksize),
        f"loky, {chunked}": functools.partial(loky_executor, chunksize),
        "joblib": joblib_loky,
        "mpire": mpire_pool,
    }
    if hasattr(concurrent.futures, "InterpreterPoolExecutor"):
        together["InterpreterPoolExecutor.map, chunksize=100"] = interpreter_executor

    peers = {name: scaled(measure, fn, items, items) for name, measure in together.items()}
    peers |= {name: scaled(measure, fn, few, items) for name, measure in alone.items()}
    peers["a plain loop, one core"] = scaled(plain, fn, items, items)
    return Contest(work, items, ours(fn, items), peers, aims)


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    contests = [
        Contest(
            f"{THREAD_ITEMS:,} calls of a tiny function in 4 threads",
            THREAD_ITEMS,
            timed(functools.partial(with_ajobs, tiny, 4, THREAD_ITEMS)),
            {
                "ThreadPoolExecutor.map": lambda: thread_executor(tiny, THREAD_ITEMS),
                "joblib": lambda: joblib_threads(tiny, THREAD_ITEMS),
            },
            {"ThreadPoolExecutor.map": 1 / 30},
        ),
        far_contest(
            f"{FAR_ITEMS:,} calls of a tiny function in 2 processes",
            tiny,
            FAR_ITEMS,
            FEW,
            100,
            {"Pool.imap_unordered, chunksize=100": 0.9, "ProcessPoolExecutor.map": 1 / 100},
        ),
        far_contest(
            f"{UNEVEN_ITEMS:,} calls in 2 processes, 1 in 50 takes 20 ms",
            uneven,
            UNEVEN_ITEMS,
            UNEVEN_ITEMS,
            1,
            {"Pool.imap_unordered, chunksize=1": 1.05},
        ),
        far_contest(
            f"{CPU_ITEMS:,} calls in 2 processes that compute for 0.3 ms",
            computes,
            CPU_ITEMS,
            CPU_ITEMS,
            10,
            {},
        ),
    ]
    return [row for contest in contests for row in contest.run(rounds)]
