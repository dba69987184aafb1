"""Reading 2,000 small files at once: which way to read, and who runs it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import aiofiles
import anyio

import ajobs

from .harness import Contest, Row
from .work import timed

PEERS = ("aiofiles",)

FILES = 2_000
SIZE = 4_096
THROTTLE = 40  # the threads of anyio's default limiter

Paths = list[Path]


async def read_aiofiles(path: Path) -> bytes:
    """Open, read and close with aiofiles: three hops to a thread."""
    async with aiofiles.open(path, "rb") as file:
        return await file.read()


async def read_anyio(path: Path) -> bytes:
    """Open, read and close with anyio: three hops to a thread."""
    async with await anyio.open_file(path, "rb") as file:
        return await file.read()


async def ours(fn: Any, paths: Paths) -> None:
    """Fan out with parallel_foreach: a plain function runs in threads, in batches."""
    await ajobs.parallel_foreach(paths, fn, throttle=THROTTLE)


async def gathered(fn: Callable[[Path], Awaitable[bytes]], paths: Paths) -> None:
    """Gather with a semaphore."""
    semaphore = asyncio.Semaphore(THROTTLE)

    async def work(path: Path) -> bytes:
        async with semaphore:
            return await fn(path)

    await asyncio.gather(*(work(path) for path in paths))


async def executor(paths: Paths) -> None:
    """Map over a thread pool, the loop blocked meanwhile."""
    with ThreadPoolExecutor(THROTTLE) as pool:
        list(pool.map(Path.read_bytes, paths))


async def to_thread(path: Path) -> bytes:
    """Read in one hop to a thread."""
    return await anyio.to_thread.run_sync(path.read_bytes)


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, f"{number}.txt") for number in range(FILES)]
        for path in paths:
            path.write_bytes(b"x" * SIZE)

        contests = [
            Contest(
                f"{FILES:,} files of 4 KiB, a plain function in threads",
                FILES,
                timed(partial(ours, Path.read_bytes, paths)),
                {
                    "ThreadPoolExecutor.map": timed(partial(executor, paths)),
                    "gather + anyio.to_thread": timed(partial(gathered, to_thread, paths)),
                    "gather + aiofiles": timed(partial(gathered, read_aiofiles, paths)),
                    "gather + anyio.open_file": timed(partial(gathered, read_anyio, paths)),
                },
            ),
            Contest(
                f"{FILES:,} files of 4 KiB, aiofiles",
                FILES,
                timed(partial(ours, read_aiofiles, paths)),
                {"gather + aiofiles": timed(partial(gathered, read_aiofiles, paths))},
            ),
            Contest(
                f"{FILES:,} files of 4 KiB, anyio.open_file",
                FILES,
                timed(partial(ours, read_anyio, paths)),
                {"gather + anyio.open_file": timed(partial(gathered, read_anyio, paths))},
            ),
        ]
        return [row for contest in contests for row in contest.run(rounds)]
