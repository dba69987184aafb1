"""Many short programs, run by one small process."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from ajobs._errors import WorkerDied
from ajobs._programs import Programs, Ran
from tests.runners.helpers import gone_within


async def sh(programs: Programs, script: str) -> tuple[int, bytes, bytes]:
    """Run a shell script; return its exit code and what it printed."""
    ran = await programs.run(["sh", "-c", script])
    try:
        return ran.returncode, ran.stdout.read(), ran.stderr.read()
    finally:
        ran.close()


@pytest.mark.parametrize(
    ("script", "ran"),
    [
        ("exit 0", (0, b"", b"")),
        ("echo out; echo err >&2; exit 3", (3, b"out\n", b"err\n")),
        ("kill -TERM $$", (-signal.SIGTERM, b"", b"")),
        ("printf 'no end'; read line; exit $?", (1, b"no end", b"")),
    ],
)
async def test_how_it_ran(script: str, ran: tuple[int, bytes, bytes]) -> None:
    """The exit code and both streams arrive, apart; the input is empty."""
    async with Programs() as programs:
        assert await sh(programs, script) == ran


@pytest.mark.parametrize("size", [32768, 32769, 3_000_000])
async def test_long_output(size: int) -> None:
    """Output of any size arrives, and nobody had to read it meanwhile."""
    script = f"head -c {size} /dev/zero | tr '\\0' x | tee /dev/stderr"
    async with Programs() as programs, anyio.create_task_group() as tasks:
        for _ in range(3):  # side by side, each with files of its own

            async def check() -> None:
                assert await sh(programs, script) == (0, b"x" * size, b"x" * size)

            tasks.start_soon(check)


async def test_many() -> None:
    """Each gets its own, whatever the order in which they end."""
    got: dict[int, bytes] = {}

    async def echo(number: int) -> None:
        ran = await programs.run(["echo", str(number)])
        got[number] = ran.stdout.read()

    async with Programs() as programs, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(echo, number)

    assert got == {number: b"%d\n" % number for number in range(100)}


async def test_time_is_measured() -> None:
    """When it began is the time of day, and how long it ran has the sleep in it."""
    async with Programs() as programs:
        ran: Ran = await programs.run(["sleep", "0.05"])

    assert ran.began > 1_700_000_000
    assert 0.05 <= ran.seconds < 5


async def test_not_started(tmp_path: Path) -> None:
    """What cannot be started is an error of that program alone, with the system's reason."""
    text = tmp_path / "text"
    text.write_text("no program")
    async with Programs() as programs:
        with pytest.raises(FileNotFoundError):
            await programs.run(["no-such-program"])

        with pytest.raises(PermissionError):
            await programs.run([str(text)])

        with pytest.raises(OSError, match="Argument list too long"):
            await programs.run(["true", "x" * 3_000_000])

        assert await sh(programs, "exit 0") == (0, b"", b"")


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A place where a script tells a number, and who reads waits for it."""
    path = tmp_path / "told"
    os.mkfifo(path)
    return path


async def number_in(told: Path) -> int:
    """Wait for the number."""
    return int(await anyio.Path(told).read_text())


@pytest.mark.parametrize("trap", ["exit 7", ""], ids=["polite", "deaf"])
async def test_cancelled(trap: str, told: Path) -> None:
    """Cancelling sends SIGTERM and then SIGKILL to the program and to all that it started."""
    script = f"trap '{trap}' TERM; sleep 60 & echo $! > {told}; while :; do wait; done"
    async with Programs(grace=0.2) as programs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sh, programs, script)
            sleeper = await number_in(told)
            tasks.cancel_scope.cancel()

        assert gone_within(5, [sleeper]) == []
        assert await sh(programs, "exit 0") == (0, b"", b"")


async def test_left_behind() -> None:
    """What a program leaves running in its group ends with it."""
    async with Programs() as programs:
        code, out, _ = await sh(programs, "sleep 60 & echo $!")

    assert code == 0
    number = int(out)

    assert gone_within(5, [number]) == []


@pytest.mark.kill
async def test_death_of_the_process(told: Path) -> None:
    """When the process that runs them is killed, their callers are told, and they end too."""
    async with Programs() as programs:

        async def run() -> None:
            with pytest.raises(WorkerDied, match="killed by SIGKILL"):
                await sh(programs, f"echo $$ > {told}; sleep 60")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            number = await number_in(told)
            os.kill(os.getsid(number), signal.SIGKILL)

        with pytest.raises(WorkerDied):
            await sh(programs, "exit 0")

    assert gone_within(5, [number]) == []


PARENT = """
import sys, anyio
from ajobs._programs import Programs

async def main():
    async with Programs() as programs:
        await programs.run(["sh", "-c", "echo $$ > " + sys.argv[1] + "; sleep 60"])

anyio.run(main)
"""


@pytest.mark.kill
@pytest.mark.slow
def test_death_of_the_parent(told: Path) -> None:
    """When the parent is killed, so are the programs."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(told)]) as parent:
        number = int(told.read_text())
        parent.kill()

    assert gone_within(5, [number]) == []


@pytest.mark.parametrize("trap", ["", "exit 3"], ids=["deaf", "polite"])
async def test_too_late(trap: str) -> None:
    """What a program has printed before its time was over is there."""
    async with Programs(grace=30 if trap else 0.1) as programs:
        script = f"trap '{trap}' TERM; echo printed; while :; do :; done"
        ran = await programs.run(["sh", "-c", script], timeout=1)

    assert ran.is_late
    assert ran.returncode == (3 if trap else -signal.SIGKILL)
    assert ran.stdout.read() == b"printed\n"


async def test_cancelled_from_outside(told: Path) -> None:
    """A cancellation that takes everything with it ends the programs too."""
    with anyio.CancelScope() as everything:
        async with Programs() as programs, anyio.create_task_group() as tasks:
            tasks.start_soon(sh, programs, f"echo $$ > {told}; sleep 60")
            number = await number_in(told)
            everything.cancel()

    assert gone_within(0, [number]) == []


async def test_only_so_many_at_once(tmp_path: Path, told: Path) -> None:
    """The others wait their turn, in order; one that waits can be cancelled."""
    ran: list[str] = []

    async def run(name: str, script: str) -> None:
        await sh(programs, script)
        ran.append(name)

    async with Programs(most=1) as programs, anyio.create_task_group() as tasks:
        tasks.start_soon(run, "first", f"echo 1 > {told}; read line < {told}")
        await number_in(told)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as doomed:
                doomed.start_soon(run, "never", f"touch {tmp_path}/never")
                await anyio.wait_all_tasks_blocked()
                scope.cancel()

        tasks.start_soon(run, "second", "exit 0")
        await anyio.wait_all_tasks_blocked()
        assert ran == []
        await anyio.to_thread.run_sync(told.write_text, "go\n")

    # Both may be told of at once, and then they wake up in any order.
    assert sorted(ran) == ["first", "second"]
    assert not await anyio.Path(tmp_path, "never").exists()


async def test_too_late_while_it_waits(told: Path) -> None:
    """One whose time is over before its turn comes is late too, and never runs."""
    async with Programs(most=1) as programs, anyio.create_task_group() as tasks:
        tasks.start_soon(sh, programs, f"echo 1 > {told}; read line < {told}")
        await number_in(told)
        ran = await programs.run(["true"], timeout=0.01)
        await anyio.to_thread.run_sync(told.write_text, "go\n")

    assert ran.is_late
    assert ran.returncode == -signal.SIGTERM


@contextmanager
def no_more_files() -> Iterator[None]:
    """A process that has as many files open as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        with suppress(OSError):
            while True:
                held.callback(os.close, os.dup(0))

        yield


async def test_no_room_for_its_output() -> None:
    """Output that this process cannot open is an error of that program alone."""
    script = "head -c 100000 /dev/zero | tee /dev/stderr"
    async with Programs() as programs:
        await sh(programs, "exit 0")
        with no_more_files(), anyio.fail_after(20), pytest.raises(OSError, match="Too many open"):
            await sh(programs, script)

        assert await sh(programs, script) == (0, bytes(100_000), bytes(100_000))


async def test_null_byte() -> None:
    """An argument with a null byte in it, which would be two, is refused."""
    async with Programs() as programs:
        with pytest.raises(OSError, match="null byte"):
            await programs.run(["echo", "one\0two"])


async def test_what_cannot_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the listening is told to everybody who waits, and nobody waits for ever."""

    def fail(_: Programs) -> None:
        raise MemoryError

    async with Programs() as programs:
        monkeypatch.setattr(Programs, "_take", fail)
        with anyio.fail_after(20), pytest.raises(WorkerDied, match="MemoryError"):
            await sh(programs, "exit 0")


async def test_fewer_at_once_where_there_is_no_room() -> None:
    """Programs that the system has no room for wait until others have ended."""
    codes: list[int] = []

    async def run() -> None:
        codes.append((await sh(programs, "sleep 0.01"))[0])

    async with Programs() as programs:
        await sh(programs, "exit 0")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(programs._child.pid, resource.RLIMIT_NOFILE, (16, hard))
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(run)

    assert codes == [0] * 30
