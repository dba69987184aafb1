"""Ctrl-C and SIGTERM, once, twice and three times, at moments that a seed decides."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.support import unmeasured

#: One job of each kind, each with something to clean up, and a thread that looks for its stop.
PROGRAM = """
import signal, sys, time
import anyio, ajobs

# Whoever starts us in the background makes us ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def task():
    try:
        await anyio.sleep(99)
    finally:
        with ajobs.cleanup():
            await anyio.sleep(0.05)
            print("resting", flush=True)
            await anyio.sleep(0.1)

def thread():
    while not ajobs.stop_requested():
        time.sleep(0.01)

async def main():
    async with ajobs.Session(stop_grace=1) as jobs:
        print("open", flush=True)
        for _ in range(3):
            jobs.start(task)
            jobs.start(thread)
        jobs.start(time.sleep, 99, runner="process")
        jobs.start_command(["sleep", "99"])
        await jobs.start(task).wait()

anyio.run(main, backend=sys.argv[1])
"""

#: Programs that run at once: each mostly waits, for its moments and for its jobs.
AT_ONCE = 4

#: What a program that ends well never says.
NOISE = (
    "Exception ignored",
    "never retrieved",
    "never awaited",
    "unhandled",
    "InternalError",
    "JobAborted",
    ") failed:",
)

#: What Python says by itself if a further Ctrl-C comes while it waits for threads at its end.
PYTHONS_OWN = "Exception ignored in: <module 'threading'"


def marked(mark: str) -> list[int]:
    """Return the processes that have inherited *mark*."""
    found = []
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)

    return found


def end_of(program: subprocess.Popen[str], number: int, *, is_last: bool) -> str | None:
    """Return what *program* says on its way out; None if it has to be killed.

    Unless this *is_last*, one more signal may be needed.
    """
    for patience in (8, 20):
        try:
            return program.communicate(timeout=patience)[1]
        except subprocess.TimeoutExpired:
            if is_last:
                break

            program.send_signal(number)

    program.kill()
    program.communicate()
    return None


#: Instead of seconds: once the program rests in its cleanup.
RESTING = math.inf


def moments_of(times: int, chance: random.Random) -> list[float]:
    """Return after how many seconds each of *times* signals comes."""
    return [chance.uniform(0, 0.4)] + [chance.uniform(0, 0.1) for _ in range(times - 1)]


def press(backend: str, number: int, moments: list[float]) -> list[str]:
    """Start the program and signal it at these *moments*; return what is wrong.

    asyncio raises a further Ctrl-C in whatever it does just then, be it half-way through a step
    of a task: the step may be lost, or fail by it. Where the loop may be busy, such a program need
    not be quiet, may end with a traceback, and may take one more.
    """
    is_again = number == signal.SIGINT and len(moments) > 1
    is_rough = backend == "asyncio" and is_again and RESTING not in moments
    mark = uuid.uuid4().hex
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**unmeasured(), "MARK": mark},
    )
    assert program.stdout is not None
    program.stdout.readline()
    for moment in moments:
        if moment == RESTING:
            program.stdout.readline()
        else:
            time.sleep(moment)

        program.send_signal(number)

    said = end_of(program, number, is_last=not is_rough)
    if said is None:
        return [f"{moments}: it did not end"]

    lines = [] if is_rough else said.splitlines()
    if len(moments) == 3:
        lines = [line for line in lines if PYTHONS_OWN not in line]

    wrong = [f"{moments}: {line}" for line in lines if any(noise in line for noise in NOISE)]
    if program.returncode not in ({-number, 1} if is_rough else {-number}):
        wrong.append(f"{moments}: it ended with {program.returncode}:\n{said[-2000:]}")

    deadline = time.monotonic() + 5
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)

    for pid in left:
        os.kill(pid, signal.SIGKILL)

    return wrong + [f"{moments}: {len(left)} processes survived"] * bool(left)


def storm(backend: str, name: str, rounds: int, seed: int, tally: Counter[str]) -> None:
    """Press once, twice and three times, *rounds* times each."""
    chance = random.Random(f"{seed} {backend} {name}")
    moments = [moments_of(times, chance) for times in (1, 2, 3) * rounds]
    with ThreadPoolExecutor(AT_ONCE) as programs:
        found = list(programs.map(partial(press, backend, signal.Signals[name]), moments))

    tally[f"programs ended by {name}, seed {seed}"] += len(found)
    wrong = [line for lines in found for line in lines]
    assert not wrong, "\n".join(wrong[:10])


both_loops = pytest.mark.parametrize("backend", ["asyncio", "trio"])
both_signals = pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])


@pytest.mark.kill
@pytest.mark.slow
@both_loops
@both_signals
def test_signals(backend: str, name: str, seed: int, tally: Counter[str]) -> None:
    """The program ends as the signal says, in time, quietly, and with all that it started."""
    storm(backend, name, 8, seed, tally)


@pytest.mark.kill
@pytest.mark.parametrize(
    ("backend", "moment"),
    [("asyncio", RESTING), ("trio", 0.002), ("trio", 0.015), ("trio", RESTING)],
)
def test_a_second_ctrl_c(backend: str, moment: float) -> None:
    """It breaks off the wait that the first one ended; no job is told to have failed by that."""
    assert press(backend, signal.SIGINT, [0.2, moment]) == []


@pytest.mark.soak
@pytest.mark.kill
@pytest.mark.timeout(1200)
@both_loops
@both_signals
def test_signals_in_the_long_run(
    backend: str, name: str, long_seed: int, tally: Counter[str]
) -> None:
    """Two thousand of them in all."""
    storm(backend, name, 167, long_seed, tally)
