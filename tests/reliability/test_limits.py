"""Nothing is left, nothing grows, nothing spins, and every wait comes to its end in time.

The same in two sizes: one for each push, and a long one by `-m soak`.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint

import ajobs
from tests.conftest import footprint, left_since, live_tasks
from tests.runners import far
from tests.runners.helpers import first_output, gone_within
from tests.support import Deaf, forever, nothing, reach, unmeasured, write

PAGE = os.sysconf("SC_PAGE_SIZE")

#: Bytes that Python takes at once: so much may come in whichever cycle.
ARENA = 1 << 20


def resident() -> int:
    """Return the bytes of memory that this process uses."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


# Leaks


async def cycle(script: Path | None) -> None:
    """Open a session, start a job of each kind, and close it; without *script* two quick ones."""
    async with ajobs.Session() as jobs:
        jobs.start(nothing)
        jobs.start(far.give, 1)
        if script is None:
            return

        jobs.start(far.give, 1, runner="process")
        jobs.start_command(["cat"], input=["line"])
        jobs.start_script(script)
        if sys.version_info >= (3, 13):
            jobs.start(far.give, 1, runner="interpreter")


async def cycles(
    count: int, script: Path, backend: str, *, warm_up: int = 3, stride: int = 1
) -> tuple[float, float]:
    """Go round *count* times, warmed up.

    Kinds that start a process run in each *stride*-th of them.

    Returns:
        By how many bytes and by how many of Python's blocks each of them has made us grow.
    """
    for _ in range(warm_up):
        await cycle(script)

    gc.collect()
    held, tasks = footprint(), live_tasks(backend)
    blocks, size = sys.getallocatedblocks(), resident()
    for number in range(count):
        await cycle(None if number % stride else script)

    assert left_since(held) == []
    assert live_tasks(backend) == tasks
    gc.collect()
    return (resident() - size) / count, (sys.getallocatedblocks() - blocks) / count


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that does next to nothing."""
    path = tmp_path / "script.py"
    path.write_text("print(1)\n", encoding="utf-8")
    return path


@pytest.mark.slow
async def test_cycles_leave_nothing(anyio_backend: str, script: Path, tally: Counter[str]) -> None:
    """Descriptors, threads, children and tasks are as many as before."""
    await cycles(100, script, anyio_backend, stride=4)
    tally[f"cycles of a session on {anyio_backend}, 25 of them with each kind of job"] += 100


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_cycles_leave_nothing_in_the_long_run(
    anyio_backend: str, script: Path, tally: Counter[str]
) -> None:
    """Five hundred of them, whose memory does not grow either once the allocator is warm."""
    size, blocks = await cycles(500, script, anyio_backend, warm_up=150)
    assert size - ARENA / 500 < 1024
    assert blocks < 2  # a job that is held takes dozens
    tally[f"cycles of a session with each kind of job on {anyio_backend}"] += 500


# Size


async def queue(count: int) -> None:
    """Queue *count* jobs behind one, and stop them all."""
    async with ajobs.Session(throttle=1, failures="keep") as jobs:
        first = jobs.start(forever)
        await reach(first, "Running")
        gc.collect()
        before = resident()
        for _ in range(count):
            jobs.start(write, 1)

        assert (resident() - before) / count < 1536
        assert await jobs.stop(jobs)
        assert {str(job.state) for job in jobs} == {"Stopped"}


async def test_twenty_thousand_queued_jobs() -> None:
    """Each costs less than 1.5 KiB, and all can be stopped."""
    await queue(20_000)


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_hundred_thousand_queued_jobs() -> None:
    """The same with more of them."""
    await queue(100_000)


FLOOD = """
import sys
line = b"x" * 1023 + b"\\n"
for _ in range(int(sys.argv[1])):
    sys.stdout.buffer.write(line)
"""


async def flood(mebibytes: int) -> None:
    """Let a program write much, nobody read for a while, and then somebody all of it."""
    lines = mebibytes * 1024
    async with ajobs.Session() as jobs:
        before = resident()
        argv = [sys.executable, "-c", FLOOD, str(lines)]
        job = jobs.start_command(argv, output_limit=1000)
        await reach(job, "Blocked")
        other = jobs.start(far.give, 1)
        assert await other == 1

        got, most = 0, 0
        async for line in job.receive():
            got += len(line) == 1023
            if got % 1000 == 0:
                most = max(most, resident() - before)

        assert got == lines
        assert most < 9 << 20


async def test_much_output() -> None:
    """A bound holds the memory, however much passes through."""
    await flood(64)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_a_gibibyte_of_output() -> None:
    """The same with 1 GiB."""
    await flood(1024)


# Idling


Holder = Callable[[], AbstractAsyncContextManager[None]]


def idle_share(seconds: float, *holders: Holder) -> float:
    """Return the part of a core that this process uses while *holders* hold jobs on each loop."""
    with ExitStack() as stack:
        for backend in ("asyncio", "trio"):
            loop = stack.enter_context(start_blocking_portal(backend))
            for holder in holders:
                stack.enter_context(loop.wrap_async_context_manager(holder()))

        wall, cpu = time.perf_counter(), time.process_time()
        time.sleep(seconds)
        return (time.process_time() - cpu) / (time.perf_counter() - wall)


@asynccontextmanager
async def waiting_jobs() -> AsyncIterator[None]:
    """Let a thousand jobs wait, each for something else."""
    async with ajobs.Session(failures="keep") as jobs:
        gate = anyio.Event()
        last = jobs.start(gate.wait)
        for number in range(999):
            jobs.start(_wait_in_some_way, last, number % 3, timeout=3600)

        await anyio.wait_all_tasks_blocked()
        yield
        gate.set()


async def _wait_in_some_way(last: ajobs.Job[Any], way: int) -> None:
    if way == 0:
        await last.wait()
    elif way == 1:
        await ajobs.wait_any(last, timeout=3600)
    else:
        await last.receive()


@asynccontextmanager
async def long_cleanup() -> AsyncIterator[None]:
    """Cancel a session whose jobs take long for their cleanup."""
    begun, over = anyio.Event(), anyio.Event()

    async def clean_up() -> None:
        try:
            await forever()
        finally:
            begun.set()
            with ajobs.cleanup():
                await over.wait()

    async def be_cancelled() -> None:
        with anyio.CancelScope() as scope:
            async with ajobs.Session(stop_grace=3600) as jobs:
                for _ in range(10):
                    jobs.start(clean_up)

                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(be_cancelled)
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        yield
        over.set()


@pytest.mark.slow
def test_waiting_costs_nothing() -> None:
    """Ten seconds of waiting jobs and of a session in its cleanup: 1 % of a core in all."""
    assert idle_share(10, waiting_jobs, long_cleanup) < 0.01


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_thousand_waiting_jobs_cost_nothing_for_long() -> None:
    """A minute of it: they use less than a hundredth of a core."""
    assert idle_share(60, waiting_jobs) < 0.01


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_cleanup_of_a_minute_does_not_spin() -> None:
    """A cancelled session that waits uses less than a twentieth of a core."""
    assert idle_share(60, long_cleanup) < 0.05


# Deadlines

STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\ntime.sleep(99)"
)


async def wedge(jobs: ajobs.Session, deaf: Deaf) -> tuple[list[ajobs.Job[Any]], list[int]]:
    """Start a job of each kind but task that is wedged for good, the thread first.

    Return them, and the numbers of the workers.
    """
    command = jobs.start_command([sys.executable, "-c", STUBBORN])
    frozen = jobs.start(far.refuse_to_stop, runner="process")
    native = jobs.start(far.hold_the_interpreter, runner="process")
    thread = jobs.start(deaf)
    assert await anyio.to_thread.run_sync(deaf.begun.wait, 10)
    await first_output(command)
    pids = [await first_output(frozen), await first_output(native)]
    os.kill(pids[0], signal.SIGSTOP)
    return [thread, frozen, native, command], pids


async def leave_wedged(grace: float) -> float:
    """Leave a session with everything wedged; return the seconds it took."""
    with Deaf() as deaf:
        async with ajobs.Session(stop_grace=grace, drain=0, failures="keep") as jobs:
            wedged, pids = await wedge(jobs, deaf)
            begun = time.perf_counter()

        took = time.perf_counter() - begun
        assert wedged[0].state == "Stopping"

    assert gone_within(1, pids) == []
    return took


async def test_a_session_is_left_in_time(tally: Counter[str]) -> None:
    """Whatever its jobs do: the grace, and a second at most."""
    with pytest.warns(RuntimeWarning, match="left .* behind"):
        assert await leave_wedged(0.1) < 1.1 + 1

    tally["sessions with everything wedged left in time"] += 1


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_sessions_are_left_in_time_again_and_again(tally: Counter[str]) -> None:
    """A hundred times."""
    for _ in range(100):
        with pytest.warns(RuntimeWarning, match="left .* behind"):
            assert await leave_wedged(0.1) < 1.1

        tally["sessions with everything wedged left in time"] += 1


#: Verbs with a time limit of ten milliseconds.
VERBS: tuple[Callable[[list[ajobs.Job[Any]]], Awaitable[object]], ...] = (
    lambda jobs: ajobs.wait_all(jobs, timeout=0.01),
    lambda jobs: ajobs.wait_any(jobs, timeout=0.01),
    lambda jobs: jobs[1].wait(0.01),
    lambda jobs: jobs[2].wait(0.01),
    lambda jobs: jobs[3].wait(0.01),
    lambda jobs: jobs[0].stop(grace=0.01),
)


async def lateness(count: int) -> list[float]:
    """Return how many seconds *count* waits and stops came late, with everything wedged."""
    late = []
    with Deaf() as deaf:
        async with ajobs.Session(stop_grace=0.1, drain=0, failures="keep") as jobs:
            wedged, _ = await wedge(jobs, deaf)
            for number in range(count):
                begun = time.perf_counter()
                await VERBS[number % len(VERBS)](wedged)
                late.append(time.perf_counter() - begun - 0.01)

            assert not any(job.is_finished for job in wedged)

    return late


@pytest.mark.slow
async def test_waits_return_with_everything_wedged(tally: Counter[str]) -> None:
    """Two hundred waits and stops: 99 in a hundred within a second, however busy the machine."""
    with pytest.warns(RuntimeWarning, match="left .* behind"):
        late = await lateness(200)

    tally["waits and stops with everything wedged"] += len(late)
    assert sorted(late)[197] < 1


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_waits_return_in_time_with_everything_wedged(tally: Counter[str]) -> None:
    """Of 2,500 waits and stops 99 in a hundred return within 50 ms of their time limit."""
    late: list[float] = []
    for _ in range(5):
        with pytest.warns(RuntimeWarning, match="left .* behind"):
            late += await lateness(500)

    tally["waits and stops with everything wedged"] += len(late)
    assert sorted(late)[2_475] < 0.05


# What the system refuses

CROWDED = """
import resource, sys
import anyio, ajobs

async def main():
    async with ajobs.Session(failures="keep") as jobs:
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        task = jobs.start(anyio.sleep, 0)
        others = [jobs.start(pow, 2, 3, runner=kind) for kind in ("process", "thread")]
        others.append(jobs.start_command(["true"]))
        with anyio.fail_after(20):
            await ajobs.wait_all(jobs)

        print(task.state, *(type(job.reason).__name__ for job in others))

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root and setpriv"
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_process_and_no_thread_more(backend: str) -> None:
    """RLIMIT_NPROC, which root is free of: what needs one fails by it, and nothing hangs."""
    nobody = ["setpriv", "--reuid", "65534", "--clear-groups"]
    if subprocess.run(
        [*nobody, sys.executable, "-c", "import anyio, ajobs"], check=False
    ).returncode:
        pytest.skip("nobody else may run this Python")

    argv = [*nobody, sys.executable, "-c", CROWDED, backend]
    done = subprocess.run(
        argv, env=unmeasured(), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == (
        "Completed BlockingIOError RuntimeError BlockingIOError\n",
        "",
    )
