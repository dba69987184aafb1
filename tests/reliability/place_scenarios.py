"""The scenarios of the sweep that leave the event loop: threads, files, workers and programs.

How many suspensions they have is up to the machine, and each costs what a place costs, so
fewer of them are attacked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio.from_thread
from anyio.lowlevel import checkpoint

import ajobs
from tests.runners import far

from .harness.sweep import GRACE, NOT_ALL, Act, Allowed, Scenario, Stage
from .scenarios import MAY_FAIL, MAY_STOP, UNTOUCHED, Jobs, check_all, numbers, open_stage, steps

PLACES: list[Scenario] = []

#: A write to a file that fails while its thread goes on is nothing that happens.
NO_ERRORS = (Act.CANCEL, Act.TASK_CANCEL, Act.STOP, Act.INTERRUPT)


def place(
    name: str,
    play: Callable[[Stage], Awaitable[None]],
    cost: float,
    allowed: Allowed,
    acts: tuple[Act, ...] = NOT_ALL,
) -> None:
    """Add a scenario."""
    PLACES.append(Scenario(name, play, allowed, cost, acts))


def whole(
    name: str,
    body: Callable[[Jobs], Awaitable[object]],
    cost: float,
    acts: tuple[Act, ...] = NOT_ALL,
    allowed: Allowed = MAY_STOP,
    **options: Any,
) -> None:
    """Add a scenario whose victim is a session with all that is in it."""

    async def play(stage: Stage) -> None:
        async def block() -> None:
            async with ajobs.Session(stop_grace=GRACE, **options) as jobs:
                await body(jobs)

        await stage.victim(block)

    place(name, play, cost, allowed, acts)


# Threads


def add(left: int, right: int) -> int:
    """Return a sum."""
    return left + right


def call_the_loop() -> None:
    """Use the loop from the thread."""
    anyio.from_thread.run(checkpoint)


def write_some() -> Iterator[int]:
    """Yield, and look for a stop on the way."""
    for number in range(3):
        ajobs.check_stop()
        yield number


def read_all() -> int:
    """Sum the input up."""
    return sum(ajobs.job_input())


async def _threads(jobs: Jobs) -> None:
    jobs.start(add, 1, 2)
    jobs.start(call_the_loop)
    jobs.start(steps, 2, runner="thread")
    job = jobs.start(write_some, output_limit=1)
    assert await job.receive() == [0, 1, 2]


async def _thread_room(jobs: Jobs) -> None:
    jobs.start(add, 1, 2)
    jobs.start(steps, 2, runner="thread")
    job = jobs.start(write_some, output_limit=1)
    assert await job.receive() == [0, 1, 2]


async def _thread_input(jobs: Jobs) -> None:
    first = jobs.start(read_all, input=numbers(3))
    second = jobs.start(read_all, input=range(3))
    assert [await first, await second] == [3, 3]


def numbers_in(path: Path) -> list[int]:
    """Return what was saved."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def slow_steps(count: int) -> None:
    """Write *count* numbers, the second half when the first may be in a file."""
    await steps(count // 2)
    await anyio.sleep(0.005)
    for number in range(count // 2, count):
        ajobs.write_output(number)


async def save(stage: Stage) -> None:
    """What is not in the file is still there."""
    async with open_stage(stage) as jobs:
        job = jobs.start(slow_steps, 4)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "saved")
            await stage.victim(job.save, path)
            await job.wait()
            check_all(stage, job, numbers_in(path), 4)


async def _threads_with_loops(jobs: Jobs) -> None:
    job = jobs.start(numbers, 3, runner="thread", output_limit=1)
    reader = jobs.start(far.async_collect, input=numbers(2), runner="thread")
    assert await job.receive() == [0, 1, 2]
    assert await reader == [0, 1]


def wait_for_stop() -> None:
    """Look for it, and wait."""
    with ajobs.cleanup():
        while not ajobs.stop_requested():
            time.sleep(0.001)


async def _stopped_threads(jobs: Jobs) -> None:
    started = [jobs.start(wait_for_stop), jobs.start(anyio.sleep_forever, runner="thread")]
    await ajobs.wait_any(started, timeout=0)
    await jobs.stop(started)


whole("threads", _threads, 10)
whole("threads_with_loops", _threads_with_loops, 20)
whole("stopped_threads", _stopped_threads, 20)
whole("thread_room", _thread_room, 10, tuple(Act))
whole("threads_throttled", _threads, 10, throttle=1)
whole("thread_input", _thread_input, 10)
PLACES.append(Scenario("save", save, UNTOUCHED, 5, NO_ERRORS))


# Workers and programs


async def _processes(jobs: Jobs) -> None:
    job = jobs.start(far.count, 3, runner="process")
    other = jobs.start(far.add, 1, 2, runner="process")
    assert await job.receive() == [0, 1, 2]
    assert await other == 3


async def process_runner(stage: Stage) -> None:
    """A runner that the user opens, with one worker for two jobs."""

    async def block() -> None:
        async with ajobs.ProcessRunner(max_workers=1) as runner, ajobs.Session() as jobs:
            jobs.start(far.async_add, 1, 2, runner=runner, timeout=60)
            jobs.start(far.add, 1, 2, runner=runner)
            await ajobs.wait_all(jobs)

    await stage.victim(block)


async def _input_of_a_process(jobs: Jobs) -> None:
    job = jobs.start(far.collect, input=numbers(3), runner="process")
    assert await job == [0, 1, 2]


async def _interpreter(jobs: Jobs) -> None:
    job = jobs.start(far.count, 3, runner="interpreter")
    assert await job.receive() == [0, 1, 2]


async def _commands(jobs: Jobs) -> None:
    job = jobs.start_command(["cat"], input=["one", "two"])
    jobs.start_command(["true"])
    assert await job.receive() == ["one", "two"]


async def _stopped_command(jobs: Jobs) -> None:
    job = jobs.start_command(["sh", "-c", "echo ready; exec sleep 60"])
    async for _ in job.receive(errors="ignore"):
        break

    await job.stop()


async def script(stage: Stage) -> None:
    """A file as ``__main__``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.py")
        path.write_text("import ajobs\nprint(1)\najobs.write_output(2)\n")  # noqa: ASYNC240

        async def block() -> None:
            async with ajobs.Session() as jobs:
                job = jobs.start_script(path)
                assert sorted(map(str, await job.receive())) == ["1", "2"]

        await stage.victim(block)


async def _room_for_a_process(jobs: Jobs) -> None:
    job = jobs.start(far.count, 9, runner="process", output_limit=2)
    # Meanwhile it comes to where it waits.
    assert await jobs.start(far.add, 1, 2, runner="process") == 3
    assert await job.receive() == list(range(9))


async def _stopped_processes(jobs: Jobs) -> None:
    started = [
        jobs.start(far.async_sleep_with_cleanup, runner="process"),
        jobs.start(far.sleep_with_cleanup, runner="process", timeout=60),
    ]
    async for _ in started[1].receive(errors="ignore"):
        break

    await jobs.stop(started)


async def _dead_process(jobs: Jobs) -> None:
    await jobs.start(far.give, 1, runner="process")
    with suppress(ajobs.WorkerDied):
        await jobs.start(far.leave, 3, runner="process")


async def _hung_up_process(jobs: Jobs) -> None:
    with suppress(ajobs.WorkerDied):
        await jobs.start(far.hang_up, runner="process")


async def _room_for_a_command(jobs: Jobs) -> None:
    job = jobs.start_command(["cat"], input=wide_lines(3), output_limit=1)
    assert [len(line) async for line in job.receive()] == [100_000] * 3


async def _room_for_lines(jobs: Jobs) -> None:
    job = jobs.start_command(["printf", r"a\nb\nc\nd"], output_limit=1)
    assert await job.receive() == ["a", "b", "c", "d"]


async def _wide_input(jobs: Jobs) -> None:
    job = jobs.start_command(["wc", "-c"], stdin="x" * 200_000)
    assert await job.receive() == ["200000"]


async def wide_lines(count: int) -> AsyncIterator[str]:
    """Give lines that no pipe holds."""
    for _ in range(count):
        yield "x" * 100_000


whole("processes", _processes, 120)
whole("process_room", _room_for_a_process, 120)
whole("stopped_processes", _stopped_processes, 150)
whole("dead_process", _dead_process, 100, allowed=MAY_FAIL)
whole("hung_up_process", _hung_up_process, 120, allowed=MAY_FAIL)
whole("command_room", _room_for_a_command, 40)
whole("command_room_for_lines", _room_for_lines, 30)
whole("command_with_a_wide_input", _wide_input, 30)
place("process_runner", process_runner, 120, MAY_STOP)
whole("process_input", _input_of_a_process, 80)
whole("commands", _commands, 30)
whole("stopped_command", _stopped_command, 20)
place("script", script, 80, MAY_STOP)


# parallel_foreach


def square(item: int) -> int:
    """Return the square."""
    return item * item


async def items(count: int) -> AsyncIterator[int]:
    """Give numbers."""
    for number in range(count):
        yield number


def foreach(name: str, runner: str, cost: float) -> None:
    """Add both forms of a `parallel_foreach` on *runner*."""
    fn: Any = square if runner == "thread" else far.give

    async def awaited() -> None:
        got = await ajobs.parallel_foreach(range(20), fn, runner=runner, throttle=2)
        assert got == [fn(item) for item in range(20)]

    async def streamed() -> None:
        async with ajobs.parallel_foreach(items(20), fn, runner=runner, throttle=2) as results:
            async for _ in results:
                await checkpoint()

    async def play(victim: Callable[[], Awaitable[None]], stage: Stage) -> None:
        await stage.victim(victim)

    place(name, partial(play, awaited), cost, MAY_STOP)
    place(f"{name}_streamed", partial(play, streamed), cost, MAY_STOP)


def foreach_with_loops(name: str, runner: str, cost: float) -> None:
    """Add async items and async generators on *runner*, with little room and limits of time."""

    async def block() -> None:
        limits: Any = {"runner": runner, "throttle": 2, "item_timeout": 60}
        add_one = partial(far.async_add, 1)
        assert await ajobs.parallel_foreach(range(4), add_one, **limits) == [1, 2, 3, 4]
        async with ajobs.parallel_foreach([2] * 4, far.async_count, buffer=1, **limits) as results:
            assert len([result async for result in results]) == 8

    async def play(stage: Stage) -> None:
        await stage.victim(block)

    place(name, play, cost, MAY_STOP)


foreach_with_loops("foreach_threads_with_loops", "thread", 20)
foreach_with_loops("foreach_processes_with_loops", "process", 300)
foreach("foreach_threads", "thread", 5)
foreach("foreach_processes", "process", 120)

if sys.version_info >= (3, 13):
    whole("interpreter", _interpreter, 60)
    foreach("foreach_interpreters", "interpreter", 60)
