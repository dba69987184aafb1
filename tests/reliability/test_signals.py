"""Ctrl-C and SIGTERM, once, twice and three times, at moments that a seed decides."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
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

    A third Ctrl-C may break off what asyncio itself does at its end. Then nobody tells anyio's
    idle threads to go, and Python waits for them: one more is needed.
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


def moments_of(times: int, chance: random.Random) -> list[float]:
    """Return after how many seconds each of *times* signals comes."""
    return [chance.uniform(0, 0.4)] + [chance.uniform(0, 0.1) for _ in range(times - 1)]


def press(backend: str, number: int, moments: list[float]) -> list[str]:
    """Start the program and signal it at these *moments*; return what is wrong."""
    times = len(moments)
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
        time.sleep(moment)
        program.send_signal(number)

    said = end_of(program, number, is_last=not (backend == "asyncio" and times == 3))
    if said is None:
        return [f"{moments}: it did not end"]

    lines = [line for line in said.splitlines() if times < 3 or PYTHONS_OWN not in line]
    wrong = [f"{moments}: {line}" for line in lines if any(noise in line for noise in NOISE)]
    if program.returncode != -number:
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
    wrong = []
    for times in (1, 2, 3) * rounds:
        wrong += press(backend, signal.Signals[name], moments_of(times, chance))
        tally[f"programs ended by {name}, seed {seed}"] += 1

    assert not wrong, "\n".join(wrong[:10])


both_loops = pytest.mark.parametrize("backend", ["asyncio", "trio"])
both_signals = pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])


@pytest.mark.kill
@both_loops
@both_signals
def test_signals(backend: str, name: str, seed: int, tally: Counter[str]) -> None:
    """The program ends as the signal says, in time, quietly, and with all that it started."""
    storm(backend, name, 1, seed, tally)


@pytest.mark.kill
@both_loops
def test_a_second_ctrl_c_at_once(backend: str) -> None:
    """It breaks off the wait that the first one ended; no job is told to have failed by that."""
    assert [press(backend, signal.SIGINT, [0.2, gap]) for gap in (0.002, 0.015)] == [[], []]


@pytest.mark.soak
@pytest.mark.kill
@pytest.mark.timeout(1200)
@both_loops
@both_signals
def test_signals_in_the_long_run(
    backend: str, name: str, long_seed: int, tally: Counter[str]
) -> None:
    """Many more of them."""
    storm(backend, name, 40, long_seed, tally)
