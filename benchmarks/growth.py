"""How the cost of an item grows: with the throttle, with the number of items, in memory."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import aiometer

from .harness import Contest, Row
from .work import timed, with_ajobs, yields_once

PEERS = ("aiometer",)

#: Items for the throttles; it is the sizes' middle.
ITEMS = 100_000

SIZES = (1_000, 10_000, 1_000_000)
THROTTLES = (100, 1_000)

#: A peer that needs half a minute for a million items is not asked for more than this.
MOST_FOR_PEERS = 100_000

MEMORY = """
import asyncio, re, sys
from pathlib import Path
from benchmarks.work import nothing, tiny, with_ajobs

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


async def with_aiometer(throttle: int, items: int) -> None:
    """Stream from aiometer."""
    async with aiometer.amap(yields_once, list(range(items)), max_at_once=throttle) as results:
        async for _ in results:
            pass


def by_throttle(throttle: int) -> Contest:
    """Compare with throttle 10, and with a peer at the same throttle."""
    return Contest(
        f"{ITEMS:,} coroutines that yield once, throttle {throttle:,}",
        ITEMS,
        timed(partial(with_ajobs, yields_once, throttle, ITEMS)),
        {
            "the same, throttle 10": timed(partial(with_ajobs, yields_once, 10, ITEMS)),
            f"aiometer.amap, throttle {throttle:,}": timed(partial(with_aiometer, throttle, ITEMS)),
        },
        {"the same, throttle 10": 1.3},
    )


def by_size(items: int) -> list[Contest]:
    """Compare the cost of an item with that among 100,000, and with a peer's."""
    work = f"{items:,} coroutines that yield once, throttle 100"
    ours = timed(partial(with_ajobs, yields_once, 100, items))
    among = timed(partial(with_ajobs, yields_once, 100, ITEMS))
    contests = [
        Contest(work, items, ours, {f"the same, of {ITEMS:,}": lambda: among() * items / ITEMS})
    ]
    if items <= MOST_FOR_PEERS:
        peer = timed(partial(with_aiometer, 100, items))
        contests.append(Contest(work, items, ours, {f"aiometer.amap, {items:,}": peer}))

    return contests


def memory(runner: str) -> Row:
    """Measure how much the peak of memory grows over a million items."""
    argv = [sys.executable, "-c", MEMORY, runner]
    kib = float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    mib = kib / 1024
    return Row(f"growth over 1,000,000 items, {runner}", mib, "16 MiB", 16, mib / 16, 1.0, "MiB")


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    contests = [by_throttle(throttle) for throttle in THROTTLES]
    contests += [contest for items in SIZES for contest in by_size(items)]
    found = [row for contest in contests for row in contest.run(rounds)]
    return found + [memory(runner) for runner in ("task", "thread", "process")]
