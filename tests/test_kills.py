"""Death: of workers, at any moment, and of the program that has started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import _wire as wire
from ajobs._errors import WorkerDied
from ajobs._place import Place
from ajobs._poll import Poll
from ajobs._pool import Pool
from ajobs._process import WorkerProcess
from ajobs.runners.process import ProcessRunner
from tests.runners import far, killed
from tests.runners.helpers import first_output, gone_within

pytestmark = pytest.mark.kill

ROOT = Path(__file__).parent.parent


async def reason_of(job: ajobs.Job[Any], seconds: float = 20) -> BaseException | None:
    """Wait for the end of a job that must end, and return why it failed."""
    with anyio.fail_after(seconds):
        await job.wait()

    return job.reason


def workers_of(runner: ProcessRunner) -> list[WorkerProcess]:
    """Return the workers that *runner* has now."""
    assert runner._pool is not None
    return [place for place in runner._pool._places if isinstance(place, WorkerProcess)]


class TestWorker:
    """D1, D2: exactly that job fails, at once, and says how."""

    @pytest.mark.parametrize(
        "number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGALRM]
    )
    async def test_D1_a_signal(self, anyio_backend: str, number: int) -> None:
        """The reason names the signal and has the last lines of standard error."""
        async with ProcessRunner(2) as runner, ajobs.Session(failures="keep") as jobs:
            neighbour = jobs.start(far.wait_for_stop, runner=runner)
            await first_output(neighbour)
            job = jobs.start(far.die, number, runner=runner)
            reason = await reason_of(job)

            assert isinstance(reason, WorkerDied)
            assert reason.returncode == -number
            assert signal.Signals(number).name in str(reason)
            assert reason.stderr == ("about to die",)
            assert neighbour.state == "Running"
            assert await jobs.start(far.add, 1, 1, runner=runner) == 2
            await neighbour.stop()

    @pytest.mark.parametrize("code", [0, 1, 77])
    async def test_D1_an_exit(self, anyio_backend: str, code: int) -> None:
        """os._exit is a death too, with code 0 as well."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            reason = await reason_of(jobs.start(far.leave, code, runner=runner))

            assert isinstance(reason, WorkerDied)
            assert reason.returncode == code
            assert f"exit code {code}" in str(reason)

    async def test_D8_a_segfault(self, anyio_backend: str) -> None:
        """In C code."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            reason = await reason_of(jobs.start(far.segfault, runner=runner))

            assert isinstance(reason, WorkerDied)
            assert reason.returncode == -signal.SIGSEGV

    @pytest.mark.parametrize("fn", [far.close_everything, far.scribble])
    async def test_D12_a_connection_that_the_job_spoils(
        self, anyio_backend: str, monkeypatch: pytest.MonkeyPatch, fn: Callable[[], None]
    ) -> None:
        """Descriptors closed or written into: the job fails, nothing hangs."""
        monkeypatch.setattr("ajobs._talk._DYING_SECONDS", 0.01)  # it lives on
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            assert isinstance(await reason_of(jobs.start(fn, runner=runner)), WorkerDied)
            assert await jobs.start(far.add, 1, 1, runner=runner) == 2

    async def test_F4_F13_output_before_the_death_is_kept(self, anyio_backend: str) -> None:
        """What was printed and written is there, and the reader comes to an end."""

        def work() -> None:
            for number in range(1000):
                ajobs.write_output(number)

            print("printed")
            print("last words", end="", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            job = jobs.start(work, runner=runner)
            got = [value async for value in job.receive(errors="ignore")]

            # What was written in the very last millisecond may be lost, and nothing else.
            assert got == list(range(len(got)))
            assert job.receive_nowait("information") == ["printed", "last words"]

    async def test_D9_while_a_big_argument_is_sent(self, anyio_backend: str) -> None:
        """The parent does not wait for a reader that has died."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            pid = await jobs.start(far.pid, runner=runner)
            os.kill(pid, signal.SIGSTOP)
            job = jobs.start(far.give, bytearray(16 << 20), runner=runner)
            await anyio.wait_all_tasks_blocked()
            os.kill(pid, signal.SIGKILL)

            # It was not read whole, so it had not begun: another worker has run it.
            with anyio.fail_after(30):
                assert len(await job) == 16 << 20

    async def test_D23_idle_workers(self, anyio_backend: str) -> None:
        """All of them, 30 in turn: a job that is started right after it never notices."""
        async with ProcessRunner(2) as runner, ajobs.Session() as jobs:
            dead: set[int] = set()
            while len(dead) < 30:
                started = [jobs.start(far.pid, runner=runner) for _ in range(2)]
                pids = {await job for job in started}
                assert pids.isdisjoint(dead)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)

                dead |= pids

    async def test_D23_an_idle_worker_that_dies_as_its_pool_closes(
        self, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its end is heard of although nobody listens any more; it is collected all the same."""
        wait = Poll.wait

        async def wait_on(poll: Poll) -> None:
            # The first to wait is who keeps the house.
            monkeypatch.setattr(Poll, "wait", wait)
            with anyio.CancelScope(shield=True):
                await wait(poll)

        monkeypatch.setattr(Poll, "wait", wait_on)
        async with ProcessRunner(1) as runner:
            await anyio.wait_all_tasks_blocked()
            async with ajobs.Session() as jobs:
                pid = await jobs.start(far.pid, runner=runner)

            os.kill(pid, signal.SIGKILL)

    async def test_D23_a_worker_that_dies_right_after_its_job(
        self, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The job that was next in line for it runs in another."""
        give = Pool._give

        def give_dead(pool: Pool, place: Place) -> None:
            while not place.has_ended:
                time.sleep(0.001)

            give(pool, place)

        async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
            first = jobs.start(killed.after_the_result, runner=runner)
            second = jobs.start(far.add, 1, 1, runner=runner)
            monkeypatch.setattr(Pool, "_give", give_dead)
            assert await first == "done"
            monkeypatch.undo()
            assert await second == 2

    async def test_D22_a_worker_that_cannot_start(self, anyio_backend: str, tmp_path: Path) -> None:
        """The job fails and says what Python said, instead of waiting."""
        (tmp_path / "sitecustomize.py").write_text("import os; os._exit(9)", encoding="utf-8")
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        async with ProcessRunner(1, env=env) as runner, ajobs.Session(failures="keep") as jobs:
            reason = await reason_of(jobs.start(far.pid, runner=runner))

            assert isinstance(reason, WorkerDied)
            assert "could not start" in str(reason)
            assert reason.returncode == 9

    async def test_D22_a_worker_that_hangs_as_it_starts(
        self, anyio_backend: str, tmp_path: Path
    ) -> None:
        """Its job fails within the time limit and says so; the pool goes on."""
        (tmp_path / "sitecustomize.py").write_text(
            "import os, sys, time\n"
            f"if not os.path.exists({str(tmp_path / 'mended')!r}):\n"
            "    print('no server', file=sys.stderr, flush=True)\n"
            f"    open({str(tmp_path / 'hangs')!r}, 'w').close()\n"
            "    time.sleep(60)\n",
            encoding="utf-8",
        )
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        async with (
            ProcessRunner(1, env=env, start_timeout=3) as runner,
            ajobs.Session(failures="keep") as jobs,
        ):
            first = jobs.start(far.pid, runner=runner, timeout=60)
            second = jobs.start(far.pid, runner=runner)
            while not (tmp_path / "hangs").exists():  # noqa: ASYNC110  # nobody is told
                await anyio.sleep(0.01)

            (tmp_path / "mended").touch()
            reason = await reason_of(first)

            assert isinstance(reason, WorkerDied)
            assert "could not start: it was not ready after 3 s (start_timeout)" in str(reason)
            assert reason.stderr == ("no server",)
            assert await second
            assert await jobs.start(far.add, 1, 1, runner=runner) == 2
            assert runner.workers == 1

    async def test_D23_a_worker_that_dies_before_its_first_job(self, anyio_backend: str) -> None:
        """One that was started ahead, in place of a killed one, is as good as any other."""
        async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
            stopped = jobs.start(far.wait_for_stop, runner=runner)
            await first_output(stopped)
            await stopped.stop()
            (worker,) = workers_of(runner)
            # It has come up, and said so.
            await anyio.wait_readable(worker.poll)
            os.kill(worker.child.pid, signal.SIGSTOP)
            job = jobs.start(far.pid, runner=runner)
            await anyio.wait_all_tasks_blocked()
            os.kill(worker.child.pid, signal.SIGKILL)

            assert await job != worker.child.pid

    async def test_noise_of_an_idle_worker(self, anyio_backend: str, tmp_path: Path) -> None:
        """What is no frame, sent between two jobs, costs that worker and no job."""
        fifo = str(tmp_path / "now")
        os.mkfifo(fifo)
        async with ProcessRunner(1) as runner, ajobs.Session() as jobs:
            pid = await jobs.start(far.make_noise_later, fifo, runner=runner)
            (worker,) = workers_of(runner)
            # Opened by a thread that the job has left behind, which then writes.
            await anyio.Path(fifo).write_bytes(b"now")
            await anyio.wait_readable(worker.poll)

            assert await jobs.start(far.pid, runner=runner) != pid
            assert runner.workers == 1

    async def test_the_pool_fills_up_again(self, anyio_backend: str) -> None:
        """Within a second it has as many workers as before."""
        async with ProcessRunner(4) as runner, ajobs.Session(failures="keep") as jobs:
            running = [jobs.start(far.wait_for_stop, runner=runner) for _ in range(4)]
            for job in running:
                await first_output(job)

            assert runner.workers == 4
            await jobs.stop(running)
            with anyio.fail_after(1):
                while runner.workers < 4:  # noqa: ASYNC110  # nobody is told
                    await anyio.sleep(0.01)

    @pytest.mark.parametrize("kind", ["ignored", "stolen"])
    async def test_D14_an_exit_code_that_somebody_else_takes(
        self, anyio_backend: str, kind: str
    ) -> None:
        """The death is noticed all the same; the code is unknown, and is said to be."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            job = jobs.start(far.sleep_with_cleanup, runner=runner)
            await first_output(job)
            (worker,) = workers_of(runner)
            old = signal.signal(
                signal.SIGCHLD, signal.SIG_IGN if kind == "ignored" else signal.SIG_DFL
            )
            try:
                os.kill(worker.child.pid, signal.SIGKILL)
                if kind == "stolen":
                    os.waitpid(worker.child.pid, 0)  # noqa: ASYNC222  # it was killed just now

                reason = await reason_of(job)
            finally:
                signal.signal(signal.SIGCHLD, old)

            assert isinstance(reason, WorkerDied)
            assert reason.returncode is None
            assert "unknown" in str(reason)
            assert await jobs.start(far.add, 1, 1, runner=runner) == 2

    async def test_D24_an_interrupt_does_not_reach_a_worker(self, anyio_backend: str) -> None:
        """Ctrl-C is for the parent, in whose session no worker is; sent to one, it is ignored."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            job = jobs.start(far.wait_for_stop, runner=runner)
            await first_output(job)
            (worker,) = workers_of(runner)
            assert os.getpgid(worker.child.pid) != os.getpgid(0)
            os.killpg(worker.child.pid, signal.SIGINT)
            assert await job.stop()
            assert job.state == "Stopped"

    async def test_D25_a_sigterm_is_no_death(self, anyio_backend: str) -> None:
        """An idle worker ignores it; in a busy one it ends the job, which says how it ended."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            pid = await jobs.start(far.pid, runner=runner)
            os.kill(pid, signal.SIGTERM)
            job = jobs.start(far.wait_for_stop, runner=runner)
            await first_output(job)
            os.kill(pid, signal.SIGTERM)

            assert "ended by itself" == await job
            assert pid == await jobs.start(far.pid, runner=runner)


PARENT = """
import os, sys, anyio, ajobs
sys.path.insert(0, {root!r})
from tests.runners import far
from ajobs.runners.process import ProcessRunner
from ajobs.runners.command import Command, CommandRunner

async def show(job, tag):
    async for value in job.receive():
        print(tag, value, flush=True)

async def main():
    async with ProcessRunner(4) as runner, CommandRunner() as commands, ajobs.Session() as jobs:
        idle = await jobs.start(far.pid, runner=runner)
        {fork}
        family = jobs.start(far.start_family, runner=runner)
        stuck = jobs.start(far.hold_the_interpreter, runner=runner)
        script = "sh -c \\"trap '' TERM; echo \\\\$\\\\$; exec sleep 600\\" & echo $$; wait"
        command = jobs.start(Command(["sh", "-c", script]), runner=commands)
        print("idle", idle, flush=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(show, family, "family")
            tasks.start_soon(show, stuck, "stuck")
            tasks.start_soon(show, command, "command")
            async for job, record in jobs.follow():
                if getattr(record, "stream", None) == "information":
                    print(record.value, flush=True)

anyio.run(main, backend={backend!r})
"""

#: An idle worker, one with three generations of children, one that holds the interpreter, a
#: command and its child.
MEMBERS = 8


def kill_a_parent(backend: str, fork: str = "") -> list[int]:
    """Start a program with jobs of all sorts, kill it, and return who outlives it by 2 s."""
    code = PARENT.format(root=str(ROOT), backend=backend, fork=fork)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as parent:
        assert parent.stdout is not None
        pids: list[int] = []
        try:
            while len(pids) < MEMBERS:
                line = parent.stdout.readline()
                assert line, "the program ended early"
                pids.append(int(line.split()[-1]))
        finally:
            parent.kill()

    left = gone_within(2, pids)
    for pid in left:
        os.kill(pid, signal.SIGKILL)

    return left


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_D16_nobody_survives_the_parent(backend: str) -> None:
    """Nor a stuck worker, a child deaf to SIGTERM or a command: 20 times, half on each loop."""
    for _ in range(10):
        assert kill_a_parent(backend) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_D16_a_fork_of_the_parent_keeps_nobody_alive(backend: str) -> None:
    """C7: another process that has copies of our pipes does not hide the death."""
    fork = "pid = os.fork() or (os.closerange(0, 3), __import__('time').sleep(30), os._exit(0))"

    assert kill_a_parent(backend, fork) == []


DYING_PARENT = """
import os, signal, subprocess, anyio, ajobs

class Popen(subprocess.Popen):
    def __init__(self, argv, **options):
        super().__init__(argv, **options)
        if argv[0] == "sh":
            print(self.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

subprocess.Popen = Popen

async def main():
    async with ajobs.Session() as jobs:
        if {is_warm}:
            await jobs.start_command(["true"])
        await jobs.start_command(["sh", "-c", "trap '' TERM; sleep 600 & sleep 600"])

anyio.run(main)
"""


@pytest.mark.parametrize("is_warm", [False, True], ids=["first", "later"])
def test_D16_the_parent_dies_as_it_starts_a_command(is_warm: bool) -> None:
    """Before anybody could be told the command's number it is found all the same."""
    result = subprocess.run(
        [sys.executable, "-c", DYING_PARENT.format(is_warm=is_warm)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )

    assert result.returncode == -signal.SIGKILL
    left = gone_within(2, [int(result.stdout)])
    for pid in left:
        os.killpg(pid, signal.SIGKILL)

    assert left == []


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nobody_survives_the_parent_in_the_long_run(backend: str) -> None:
    """The same, a hundred times each."""
    for _ in range(100):
        assert kill_a_parent(backend) == []


class TestProtocol:
    """What answers may be anything: an error of that worker, never a hang or a crash."""

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            (b"", "closed its connection"),
            (b"Traceback (most recent call last)", "expected a greeting"),
            (b"\najobs wire 99\n", "version 1 of the protocol"),
            (b"\najobs wire 1\n" + b"\0" * 100, "damaged frame"),
            (b"\najobs wire 1\n\1\2\3", "closed its connection"),
            (wire.GREETING + b"".join(map(bytes, wire.encode(wire.JOB))), "unexpected frame"),
        ],
    )
    async def test_D28_another_program(
        self, anyio_backend: str, monkeypatch: pytest.MonkeyPatch, said: bytes, why: str
    ) -> None:
        """A worker of another version, or none at all."""
        code = (
            "import socket, sys\n"
            "far = socket.socket(fileno=int(sys.argv[1]))\n"
            f"far.sendall({said!r})\n"
            "far.shutdown(socket.SHUT_WR)\n"
            "while far.recv(65536): pass\n"
        )

        def command_line(_module: str, *fds: int) -> list[str]:
            return [sys.executable, "-c", code, *map(str, fds)]

        monkeypatch.setattr("ajobs._process.command_line", command_line)
        monkeypatch.setattr("ajobs._talk._DYING_SECONDS", 0.01)  # it lives on
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            reason = await reason_of(jobs.start(far.pid, runner=runner))

        assert isinstance(reason, WorkerDied)
        assert why in str(reason)


@pytest.mark.parametrize("spare", range(0, 12, 2))
async def test_D30_too_many_open_files(anyio_backend: str, spare: int) -> None:
    """That job fails, nothing is left half open, and the next one works."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.dup(0)
    os.close(highest)
    async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, hard))
        try:
            job = jobs.start(far.add, 1, 1, runner=runner)
            reason = await reason_of(job)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert reason is None or isinstance(reason, OSError | WorkerDied)
        assert await jobs.start(far.add, 1, 1, runner=runner) == 2
