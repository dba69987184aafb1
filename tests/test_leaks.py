"""The leak check of conftest.py can fail: each kind of leak, found while it lasts."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from tests import conftest
from tests.conftest import footprint, left_since

pytest_plugins = ["pytester"]

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="the check reads /proc")


#: Seconds to wait for leaks that are there to stay.
BRIEFLY = 0.02


@contextmanager
def child(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that lives until its input ends."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process


def test_nothing_new_is_nothing_left() -> None:
    """What was there before is no leak."""
    assert left_since(footprint()) == []


@needs_proc
def test_open_descriptor_is_found() -> None:
    """A descriptor is named with its target."""
    before = footprint()
    fd = os.open("/dev/zero", os.O_RDONLY)

    left = left_since(before, BRIEFLY)

    os.close(fd)
    assert left == [f"file descriptor {fd} -> /dev/zero"]
    assert left_since(before) == []


@needs_proc
def test_descriptor_with_the_number_of_a_closed_one_is_found() -> None:
    """Closing one file does not hide that another was left open."""
    fd = os.open("/dev/null", os.O_RDONLY)
    before = footprint()
    os.close(fd)
    again = os.open("/dev/zero", os.O_RDONLY)

    left = left_since(before, BRIEFLY)

    os.close(again)
    assert again == fd
    assert left == [f"file descriptor {fd} -> /dev/zero"]


@needs_proc
def test_descriptor_held_by_a_cycle_only_is_no_leak() -> None:
    """What the garbage collector closes was not left behind."""

    class Holder:
        def __init__(self) -> None:
            self.fd = os.open("/dev/zero", os.O_RDONLY)
            self.me = self

        def __del__(self) -> None:
            os.close(self.fd)

    gc.disable()
    try:
        before = footprint()
        Holder()
        assert footprint() - before
        assert left_since(before) == []
    finally:
        gc.enable()


def test_thread_is_found_until_it_ends() -> None:
    """A thread is named, and one that is about to end gets the time to."""
    before = footprint()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="lingerer")
    thread.start()

    left = left_since(before, BRIEFLY)

    release.set()
    assert left == [f"thread lingerer ({thread.native_id})"]
    assert left_since(before) == []


async def test_pooled_thread_is_found_while_it_works_only() -> None:
    """The loop keeps idle workers for the next call; that is no leak, a stuck one is."""
    start = footprint()
    await anyio.to_thread.run_sync(int)  # both loops may open something for their first thread
    # It notes that it is idle after it has told its result.
    while [line for line in footprint() - start if line.startswith("thread")]:  # noqa: ASYNC110
        await anyio.sleep(0.001)

    before = footprint()
    entered, release = anyio.Event(), threading.Event()

    def work() -> None:
        anyio.from_thread.run_sync(entered.set)
        release.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, work)
        await entered.wait()
        left = left_since(before, BRIEFLY)
        release.set()

    assert [line.split()[0] for line in left] == ["thread"]
    assert left_since(before) == []


@needs_proc
def test_running_child_is_found() -> None:
    """A child that runs is named, whatever it calls itself."""
    before = footprint()
    rename = "printf ') 1 (' > /proc/$$/comm; echo; read line"
    with child("sh", "-c", rename) as process:
        assert process.stdout
        process.stdout.readline()
        left = left_since(before, BRIEFLY)

    assert f"child process {process.pid} () 1 ()" in left
    assert left_since(before) == []


@needs_proc
def test_zombie_is_found() -> None:
    """A dead child that nobody waited for is a leak too."""
    before = footprint()
    with child("sleep", "60") as process:
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        left = left_since(before, BRIEFLY)

    assert f"child process {process.pid} (sleep)" in left


@pytest.mark.slow
def test_leaks_fail_their_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check stands around every test, and around async ones on each loop."""
    monkeypatch.setattr(conftest, "PATIENCE", BRIEFLY)
    pytester.makeini("[pytest]\nanyio_mode = auto")
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyfile(
        """
        import asyncio, threading
        import pytest, trio

        release = threading.Event()

        @pytest.fixture(autouse=True, scope="module")
        def release_at_the_end():
            yield
            release.set()

        def test_clean():
            pass

        async def test_clean_async():
            pass

        def test_thread():
            threading.Thread(target=release.wait, name="lingerer").start()

        async def test_task(anyio_backend_name):
            if anyio_backend_name == "asyncio":
                asyncio.create_task(asyncio.sleep(60), name="lingerer")
            else:
                trio.lowlevel.spawn_system_task(trio.sleep_forever, name="lingerer")
        """
    )

    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=6, errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "*ERROR at teardown of test_thread*",
            "*ERROR at teardown of test_task?asyncio?*",
            "*ERROR at teardown of test_task?trio?*",
            "  thread lingerer*",
            "  task <Task*lingerer*",
        ]
    )
