"""The same attacks on other libraries, where they can take them.

Run by hand: ``python -m tests.reliability.peers``. Needs loky, trio-parallel and aiojobs besides
what the tests need; what is missing is left out. Each attack runs in a process of its own, which
is ended when it hangs.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any

import anyio
import anyio.to_process
import trio

LIMIT = 10.0


def die_or(number: int) -> int:
    """Be killed if *number* is 3; else return it after a while."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)

    time.sleep(0.1)
    return number


def sleep(seconds: float) -> None:
    """Stay."""
    time.sleep(seconds)


def tell(good: int) -> None:
    """Say how many of ten jobs came to a good end."""
    print(f"{good} of 9", flush=True)


# One worker is killed while ten jobs run on four: how many of the nine others have a result?


def kill_executor() -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(die_or, number) for number in range(10)]
        wait(futures)
        tell(sum(future.exception() is None for future in futures))


def kill_loky() -> None:
    loky: Any = importlib.import_module("loky")
    with loky.ProcessPoolExecutor(4) as pool:
        futures = [pool.submit(die_or, number) for number in range(10)]
        wait(futures)
        tell(sum(future.exception() is None for future in futures))


def kill_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = [pool.apply_async(die_or, (number,)) for number in range(10)]
        for result in results:
            result.wait()

        tell(sum(result.successful() for result in results))


async def _each(call: Callable[[int], Any]) -> None:
    good = 0

    async def one(number: int) -> None:
        nonlocal good
        try:
            await call(number)
        except Exception:  # noqa: BLE001  # counted by not being counted
            return

        good += 1

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, number)

    tell(good)


def kill_anyio() -> None:
    limiter: list[anyio.CapacityLimiter] = []

    async def main() -> None:
        limiter.append(anyio.CapacityLimiter(4))
        await _each(lambda n: anyio.to_process.run_sync(die_or, n, limiter=limiter[0]))

    anyio.run(main)


def kill_trio_parallel() -> None:
    trio_parallel: Any = importlib.import_module("trio_parallel")
    trio.run(_each, lambda n: trio_parallel.run_sync(die_or, n))


def kill_ajobs() -> None:
    import ajobs

    async def main() -> None:
        async with ajobs.Session(failures="keep") as jobs, ajobs.ProcessRunner(4) as runner:
            started = [jobs.start(die_or, number, runner=runner) for number in range(10)]
            await ajobs.wait_all(started)
            tell(sum(job.state == "Completed" for job in started))

    anyio.run(main)


# The program is killed while its workers work: how many processes are left after 2 s?


def orphan_executor() -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(sleep, [99] * 4))


def orphan_loky() -> None:
    loky: Any = importlib.import_module("loky")
    with loky.ProcessPoolExecutor(4) as pool:
        list(pool.map(sleep, [99] * 4))


def orphan_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(sleep, [99] * 4)


def orphan_anyio() -> None:
    anyio.run(_each, lambda _: anyio.to_process.run_sync(sleep, 99))


def orphan_trio_parallel() -> None:
    trio_parallel: Any = importlib.import_module("trio_parallel")
    trio.run(_each, lambda _: trio_parallel.run_sync(sleep, 99))


def orphan_ajobs() -> None:
    import ajobs

    async def main() -> None:
        async with ajobs.Session() as jobs, ajobs.ProcessRunner(4) as runner:
            for _ in range(4):
                jobs.start(sleep, 99, runner=runner)

            await ajobs.wait_all(jobs)

    anyio.run(main)


# A job with three awaits in its cleanup is told to end, and once more meanwhile.


async def _careful(done: list[str], cleanup: Any = None) -> None:
    try:
        await asyncio.sleep(99)
    finally:
        with cleanup() if cleanup else anyio.CancelScope():
            for _ in range(3):
                await asyncio.sleep(0.05)

            done.append("clean")


def cleanup_aiojobs() -> None:
    aiojobs: Any = importlib.import_module("aiojobs")

    async def main() -> None:
        done: list[str] = []
        scheduler = aiojobs.Scheduler(close_timeout=0.05)
        await scheduler.spawn(_careful(done))
        await asyncio.sleep(0.1)
        await scheduler.close()
        print(done or "cut off", flush=True)

    asyncio.run(main())


def cleanup_asyncio() -> None:
    async def main() -> None:
        done: list[str] = []
        task = asyncio.create_task(_careful(done))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        print(done or "cut off", flush=True)

    asyncio.run(main())


def cleanup_ajobs() -> None:
    import ajobs

    async def main() -> None:
        done: list[str] = []
        async with ajobs.Session() as jobs:
            job = jobs.start(_careful, done, ajobs.cleanup)
            await asyncio.sleep(0.1)
            await ajobs.wait_any(job, timeout=0.01)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(job.stop)
                tasks.start_soon(job.stop)

        print(done or "cut off", flush=True)

    asyncio.run(main())


def attack(name: str) -> str:
    """Run one attack in a process of its own; say what came of it."""
    argv = [sys.executable, "-m", "tests.reliability.peers", name]
    mark = f"peer{os.getpid()}{name}"
    program = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "MARK": mark}, start_new_session=True,
    )  # fmt: skip
    if name.startswith("orphan"):
        time.sleep(3)
        program.kill()
        time.sleep(2)
        result = f"{len(_marked(mark))} processes left"
    else:
        try:
            result = program.communicate(timeout=LIMIT)[0].strip() or "no answer"
        except subprocess.TimeoutExpired:
            result = f"hangs (> {LIMIT:g} s)"

    for pid in _marked(mark):
        os.kill(pid, signal.SIGKILL)

    program.communicate()
    return result


def _marked(mark: str) -> list[int]:
    from tests.reliability.test_signals import marked

    return marked(mark)


def main() -> None:
    """Make all attacks and print a table."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    for package in ("ajobs", "anyio", "trio", "loky", "trio-parallel", "aiojobs"):
        try:
            print(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{package} is missing")

    for name in list(globals()):
        if name.partition("_")[0] in {"kill", "orphan", "cleanup"}:
            print(f"{name:24} {attack(name)}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        globals()[sys.argv[1]]()
    else:
        main()
