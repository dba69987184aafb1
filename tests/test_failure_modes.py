"""What goes wrong around worker processes, and in what they print, that no other file is about.

The numbers in the names are those of docs/failure-modes.md.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import _memory
from ajobs._child import Child
from ajobs._errors import WorkerDied
from ajobs.runners.process import ProcessRunner
from tests.runners import far
from tests.runners.helpers import first_output, gone_within, texts

pytestmark = pytest.mark.kill

ROOT = Path(__file__).parent.parent


# Waiting


async def test_B10_waits_end_in_time_with_every_worker_wedged(anyio_backend: str) -> None:
    """Whether one was frozen, never lets its interpreter go, or is deaf: wait and stop return."""
    async with ProcessRunner(3) as runner, ajobs.Session(failures="keep") as jobs:
        wedged = [
            jobs.start(far.refuse_to_stop, runner=runner),
            jobs.start(far.hold_the_interpreter, runner=runner),
            jobs.start(far.swallow_stop, runner=runner),
        ]
        pids = [await first_output(job) for job in wedged]
        os.kill(pids[2], signal.SIGSTOP)
        with anyio.fail_after(20):
            assert not (await ajobs.wait_any(wedged, timeout=0.01)).done
            assert not await wedged[0].wait(0.01)
            assert await jobs.stop(wedged, grace=0.01)

        assert ["Stopped"] * 3 == [job.state for job in wedged]
        assert gone_within(5, pids) == []


# Death


def ask_for_too_much() -> None:
    """Ask for more memory than this process may have."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, limits[1]))
    try:
        bytearray(2 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


async def test_D3_memory_that_cannot_be_had(anyio_backend: str) -> None:
    """A MemoryError fails the job, and the worker goes on."""
    async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
        before = await jobs.start(far.pid, runner=runner)
        job = jobs.start(ask_for_too_much, runner=runner)
        await job.wait()

        assert isinstance(job.reason, MemoryError)
        assert before == await jobs.start(far.pid, runner=runner)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((3, 4), "killed by SIGKILL, by the system for want of memory"),
        ((3, 3), "killed by SIGKILL"),
        ((None, None), "killed by SIGKILL, perhaps by the system for want of memory"),
    ],
)
async def test_D3_killed_for_want_of_memory(
    anyio_backend: str,
    monkeypatch: pytest.MonkeyPatch,
    counts: tuple[int | None, int | None],
    text: str,
) -> None:
    """The reason says so if the system counts it, and guesses only if the system does not."""
    now = iter(counts)
    monkeypatch.setattr("ajobs._process.oom_kills", lambda: next(now, None))
    async with (
        ProcessRunner(1, max_jobs_per_worker=1) as runner,
        ajobs.Session(failures="keep") as jobs,
    ):
        job = jobs.start(far.die, signal.SIGKILL, runner=runner)
        await job.wait()

    assert str(job.reason).partition(";")[0].endswith(f" died: {text}")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("memory.events", "low 0\noom 2\noom_kill 7\noom_group_kill 0\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"),
        ("memory.events", "nothing of the sort\n"),
        ("other", ""),
    ],
)
def test_D3_what_the_system_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, lines: str
) -> None:
    """In both versions of control groups; what is not there, or cannot be read, is unknown."""
    groups = "4:memory:/\n3:cpu,cpuacct:/\n0::/\n"
    monkeypatch.setattr("ajobs._memory._ROOT", tmp_path)
    monkeypatch.setattr(Path, "read_text", _reader(groups))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(lines)

    assert (7 if "oom_kill 7" in lines else None) == _memory.oom_kills()


def _reader(groups: str) -> Any:
    """Return what reads any file but the list of control groups, which are *groups*."""
    read = Path.read_text

    def read_text(path: Path, encoding: str | None = None) -> str:
        return groups if path == Path("/proc/self/cgroup") else read(path, encoding)

    return read_text


def zombies() -> set[str]:
    """Return our children that have ended and were not collected."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue

        if fields[0] == "Z" and int(fields[1]) == os.getpid():
            found.add(stat.parent.name)

    return found


async def test_D18_no_zombies(anyio_backend: str) -> None:
    """Workers that end, and those that are killed, are collected while the runner is open."""
    options: dict[str, Any] = {"max_jobs_per_worker": 1}
    before = zombies()
    async with ProcessRunner(2, **options) as runner, ajobs.Session(failures="keep") as jobs:
        for _ in range(5):
            ended = jobs.start(far.pid, runner=runner)
            killed = jobs.start(far.die, signal.SIGKILL, runner=runner)
            await ajobs.wait_all(ended, killed)

        with anyio.fail_after(20):
            while zombies() - before:  # noqa: ASYNC110  # nobody is told
                await anyio.sleep(0.005)


async def test_D19_a_number_that_belongs_to_another_process_is_not_signalled(
    anyio_backend: str,
) -> None:
    """Collected by somebody else, a process has lost its number; who has it now lives on."""
    quiet: Any = {"stdin": -3, "stdout": -3, "stderr": -3, "cwd": None, "env": None}
    other = Child(["sleep", "600"], **quiet)
    child = Child(["sleep", "600"], **quiet)
    number, child.pid = child.pid, other.pid
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)  # noqa: ASYNC222  # it was killed just now
    await child.end()
    try:
        assert child.returncode is None
        with anyio.move_on_after(0.05):
            await anyio.wait_readable(other.fileno())

        assert not other.has_ended
    finally:
        await other.end()


async def test_D27_nothing_with_a_name_is_made(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No temporary file and no shared memory, so that a kill leaves none behind."""

    def shared() -> list[str]:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if "/dev/shm" in line or "sem." in line]

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
        big = bytes(3_000_000)
        assert big == await jobs.start(far.give, big, runner=runner)
        assert [] == await jobs.start(shared, runner=runner)
        await jobs.start(far.die, signal.SIGKILL, runner=runner).wait()

    assert [] == shared()
    assert [] == os.listdir(tmp_path)  # noqa: PTH208  # Path's way counts as blocking


PROGRAM = """
import anyio, ajobs, os, sys, time
from functools import partial

show = "import os; print(os.getpid(), flush=True); "

async def end(state):
    async with ajobs.Session(stop_grace=0.2) as jobs:
        start = partial(jobs.start, exec, runner="process")
        if state == "idle":
            job = start(show)
        elif state == "waiting for input":
            send, receive = anyio.create_memory_object_stream()
            job = start(show + "import ajobs; list(ajobs.job_input())", input=receive)
        elif state == "deaf":
            job = start("import signal, time; signal.signal(15, 1); " + show + "time.sleep(60)")
        else:
            job = start(show + "import time; time.sleep(60)")

        async for line in job.receive("information"):
            print(line, flush=True)
            if state == "idle":
                await job

            sys.exit(5)

anyio.run(end, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("state", ["idle", "running", "waiting for input", "deaf"])
def test_D31_a_program_that_ends_leaves_nothing_and_says_nothing(state: str) -> None:
    """In whatever state its workers are: its own exit code, no traceback, no process."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, state],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )

    assert (5, "") == (result.returncode, result.stderr)
    assert gone_within(5, [int(result.stdout)]) == []


async def test_D32_an_exit_hook_that_fails_is_logged(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No job can tell of it, since none runs."""

    def prepare() -> int:
        atexit.register(os._exit, 3)
        return os.getpid()

    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        pid = await jobs.start(prepare, runner=runner)

    told = [record.getMessage() for record in caplog.records if record.name == "ajobs"]
    assert [f"worker process {pid} ended without a job: exit code 3"] == told


# Output


def tell_and_die() -> None:
    """Tell something in every way, and be killed at once."""
    print("by print")
    print("by stderr", file=sys.stderr)
    os.write(1, b"by descriptor, without an end")
    os.kill(os.getpid(), signal.SIGKILL)


async def test_F4_what_was_printed_before_a_kill_is_kept(anyio_backend: str) -> None:
    """Down to the last byte: what was printed is on its way, not in a buffer of the worker."""
    async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
        job = jobs.start(tell_and_die, runner=runner)
        await job.wait()

        assert ["by print", "by descriptor, without an end"] == texts(job, "information")
        assert ["by stderr"] == texts(job, "error")
        assert isinstance(job.reason, WorkerDied)
        assert ("by stderr",) == job.reason.stderr


async def test_F4_records_before_a_kill_are_kept(anyio_backend: str) -> None:
    """All that were written a moment before it, also without another record to push them."""

    def write_and_wait() -> None:
        for number in range(1000):
            ajobs.write_output(number)

        threading.Event().wait()

    async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
        job = jobs.start(write_and_wait, runner=runner)
        while len(job.receive_nowait(keep=True)) < 1000:  # noqa: ASYNC110  # nothing is taken
            await anyio.sleep(0.001)

        await job.stop(grace=0)
        assert list(range(1000)) == job.receive_nowait()


async def test_F4_records_before_an_exit_are_kept(anyio_backend: str) -> None:
    """The last ones too: `os._exit` ends the process, not what the job has told."""

    def write_and_leave() -> None:
        for number in range(1000):
            ajobs.write_output(number)

        os._exit(3)

    async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
        job = jobs.start(write_and_leave, runner=runner)
        await job.wait()

        assert isinstance(job.reason, WorkerDied)
        assert list(range(1000)) == job.receive_nowait()


async def test_F4_records_before_the_exit_of_a_fork_are_sent_once(anyio_backend: str) -> None:
    """A process that the job forks off has a copy of what was not sent yet, and leaves it."""

    def write_and_fork() -> None:
        for number in range(1000):
            ajobs.write_output(number)
            if number % 100 == 1:
                pid = os.fork()
                if not pid:
                    os._exit(0)

                os.waitpid(pid, 0)

    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        assert list(range(1000)) == await jobs.start(write_and_fork, runner=runner).receive()


async def test_F7_a_reader_that_leaves_is_not_felt_by_the_job(anyio_backend: str) -> None:
    """In the middle of a flood: the job goes on, and another reader gets the rest."""

    def flood() -> Iterator[int]:
        for number in range(20_000):
            print(number)
            yield number

    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        job = jobs.start(flood, runner=runner)
        async for value in job.receive():
            if value == 100:
                break

        assert list(range(101, 20_000)) == [value async for value in job.receive()]
        assert "Completed" == job.state


async def test_F13_a_reader_that_waits_learns_of_the_death(anyio_backend: str) -> None:
    """It gets what there was, then what the job died of."""
    async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
        job = jobs.start(far.refuse_to_stop, runner=runner)
        pid = await first_output(job)
        receipt = job.receive()

        async def kill() -> None:
            await anyio.wait_all_tasks_blocked()
            os.kill(pid, signal.SIGKILL)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            with pytest.raises(WorkerDied, match="SIGKILL"), anyio.fail_after(20):
                await receipt.receive()
