"""What the harness has found, each once and by itself."""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import errno
import importlib
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import _named, _reading
from ajobs._blocking import blocked
from ajobs._child import Child
from ajobs._engine import Engine
from ajobs._log import Log
from ajobs._place import Rules
from ajobs._poll import Poll
from ajobs._pool import Pool
from ajobs._process import WorkerProcess
from ajobs._worker.hooks import OnImport
from ajobs.runners import command
from tests import support
from tests.conftest import footprint, left_since
from tests.runners import far, odd
from tests.support import Gate, count_from, fail, forever, give, reach


async def test_a_follower_of_the_session_that_was_left_does_not_count_as_a_waiter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It left a listener with every job, so failures were no longer logged."""
    async with ajobs.Session(failures="keep") as jobs:
        gate = Gate()

        async def wait_and_fail() -> None:
            await gate.wait()
            await fail(ValueError("seen in the log"))

        job = jobs.start(wait_and_fail)
        async for _ in jobs.follow():
            break

        assert not job.is_awaited
        gate.open()
        with caplog.at_level(logging.ERROR, "ajobs"):
            await job.wait(0)
            while not job.is_finished:
                await checkpoint()

    assert "seen in the log" in caplog.text


async def test_an_opening_that_is_cancelled_leaves_no_session() -> None:
    """Nobody had it, so nobody could have closed it."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ajobs.open_session()

    # The check for tasks left behind does the rest.
    assert scope.cancelled_caught


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_while_a_failed_block_is_left_is_not_lost() -> None:
    """The block's own exception went on, and the task never heard of its cancellation."""

    async def block() -> None:
        async with ajobs.Session() as jobs:
            jobs.start(clean_up)
            await checkpoint()
            await checkpoint()
            raise ValueError("the block's own")

    cleaning, gate = anyio.Event(), Gate()
    clean_up = cleaner(cleaning, gate)
    task = asyncio.create_task(block())
    await cleaning.wait()
    task.cancel()
    await checkpoint()
    gate.open()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task

    assert isinstance(caught.value.__context__, ValueError)


def test_ctrl_c_while_a_failed_block_is_left_is_not_lost() -> None:
    """As above: trio's Ctrl-C comes to the main task wherever that waits."""

    @trio.lowlevel.enable_ki_protection
    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    async def clean_up() -> None:
        try:
            await forever()
        finally:
            press()

    async def main() -> None:
        async with ajobs.Session() as jobs:
            jobs.start(clean_up)
            await checkpoint()
            await checkpoint()
            raise ValueError("the block's own")

    with pytest.raises(KeyboardInterrupt) as caught:
        trio.run(main)

    assert isinstance(caught.value.__context__, ValueError)


def cleaner(cleaning: anyio.Event, gate: Gate) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return a job that tells when it cleans up, and does so until *gate* is opened."""

    async def clean_up() -> None:
        try:
            await forever()
        finally:
            cleaning.set()
            with ajobs.cleanup():
                await gate.wait()

    return clean_up


async def test_an_error_in_the_wait_for_the_jobs_still_joins_them() -> None:
    """A want of memory there left the jobs running, and their loop in pieces."""
    ended = []
    idle, calls = Engine.idle, []

    async def idle_or_fail(engine: Engine) -> None:
        calls.append(engine)
        if len(calls) == 1:
            raise MemoryError

        await idle(engine)

    async def clean_up() -> None:
        try:
            await forever()
        finally:
            with ajobs.cleanup():
                await checkpoint()
                ended.append("job")

    async def block() -> None:
        async with ajobs.Session(drain=0) as jobs:
            jobs.start(clean_up)
            await checkpoint()
            await checkpoint()

    with patch.object(Engine, "idle", idle_or_fail), pytest.raises(MemoryError):
        await block()

    assert ended == ["job"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_session_whose_task_is_cancelled_before_its_first_step_is_no_hang() -> None:
    """Asyncio drops such a task without running any of it; the opening waited for ever."""
    opening = asyncio.create_task(ajobs.open_session())
    await checkpoint()
    for task in asyncio.all_tasks() - {asyncio.current_task(), opening}:
        if "session" in task.get_name():
            task.cancel()

    with anyio.fail_after(20):
        jobs = await opening
        await jobs.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_input_whose_reader_is_cancelled_before_its_first_step_is_no_hang() -> None:
    """Asyncio dropped the task that was to read it, and all waited for its first item."""
    others = asyncio.all_tasks()
    with anyio.fail_after(20):
        async with ajobs.parallel_foreach(count_from(0, 3), give) as results:
            begun = asyncio.all_tasks() - others
            [reader] = [task for task in begun if "input" in task.get_name()]
            reader.cancel()
            assert [0, 1, 2] == sorted([result async for result in results])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_save_that_is_cancelled_while_it_writes_writes_once(tmp_path: Path) -> None:
    """Asyncio's own cancellation: the thread wrote on, and the records were put back besides."""
    gate, got = Gate(), []

    async def write(text: str) -> None:
        await gate.wait()
        got.append(text)

    @asynccontextmanager
    async def open_file(*_: object) -> AsyncIterator[Any]:
        yield write

    async with ajobs.Session() as jobs:
        job = jobs.start(support.write, 1, 2)
        await job.wait()
        with patch("ajobs._saving._open_file", open_file):
            task = asyncio.create_task(job.save(tmp_path / "never made"))
            while not gate.arrived:
                await checkpoint()

            task.cancel()
            await checkpoint()
            gate.open()
            with pytest.raises(asyncio.CancelledError):
                await task

        assert [got, job.receive_nowait()] == [["1\n2\n"], []]


class IdlePlace:
    """A place that takes its time to end."""

    end_fd = -1
    jobs = 0
    idle_since = 0.0
    is_ready = True
    memory = 0.0

    def __init__(self) -> None:
        self.gate = Gate()
        self.ended = False

    def take_late_output(self) -> bool:
        """Say that it is usable."""
        return True

    async def end(self) -> None:
        """Wait for the gate."""
        with anyio.CancelScope(shield=True):
            await self.gate.wait()

        self.ended = True


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_pool_that_is_cancelled_while_it_closes_lets_go_of_everything() -> None:
    """Asyncio's own cancellation goes through shields: the poll's descriptor stayed open."""
    place = IdlePlace()
    make: Any = lambda: place  # noqa: E731

    async def open_and_close() -> None:
        pool = Pool(make, Rules(most=1, max_jobs=9, idle_timeout=60, max_memory=1e9))
        await pool.__aenter__()
        pool.give_back(await pool.take())
        await pool.__aexit__()

    task = asyncio.create_task(open_and_close())
    while not place.gate.arrived:
        await checkpoint()

    task.cancel()
    await checkpoint()
    place.gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert place.ended


async def test_a_child_is_waited_for_even_if_the_system_cannot_watch_it() -> None:
    """Where its descriptor could not be watched the child was left behind."""
    quiet = subprocess.DEVNULL
    child = Child(["sleep", "60"], stdin=quiet, stdout=quiet, stderr=quiet, cwd=None, env=None)
    with patch("anyio.wait_readable", side_effect=OSError("no room")):
        await child.end()

    assert child.is_reaped
    assert child.returncode == -signal.SIGKILL


async def wait_as_task(gate: Gate) -> None:
    """Write three, and after *gate* one more, waiting for room each time."""
    await support.write(1, 2, 3)
    await gate.wait()
    await support.write(4)


async def test_what_a_reader_puts_back_fails_no_writer_that_waits_for_room() -> None:
    """Back in front, it was more than twice the limit, and the next record was refused."""
    async with ajobs.Session() as jobs, anyio.create_task_group() as readers:
        gate = Gate()
        job = jobs.start(wait_as_task, gate, output_limit=1)

        async def read() -> None:
            await job.receive()

        readers.start_soon(read)
        while not gate.arrived:
            await checkpoint()

        readers.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            while job.open_log().unread < 3:
                await checkpoint()

            gate.open()
            while job.open_log().unread < 4 and not job.is_finished:
                await checkpoint()

            assert await job.receive() == [1, 2, 3, 4]


def write_four() -> None:
    """Write one."""
    ajobs.write_output(4)


async def test_what_a_reader_puts_back_fails_no_thread_that_has_waited_for_room() -> None:
    """The same between a thread's look and its writing."""
    taken: list[Any] = []

    def put_back(log: Log, times: int = 1) -> None:
        log.put_back(taken)
        taken.clear()
        check_room(log, times)

    check_room = Log.check_room
    async with ajobs.Session() as jobs:
        job = jobs.start(write_four, output_limit=1)
        log = job.open_log()
        log.extend((0.0, ajobs.Stream.OUTPUT, number) for number in (1, 2, 3))
        taken += log.take((ajobs.Stream.OUTPUT,))
        with patch.object(Log, "check_room", put_back):
            assert await job.receive() == [1, 2, 3, 4]


async def wait_badly(waits: Callable[[], bool], call: Callable[[], Any], **_: object) -> Any:
    """Run *call* in a thread, and fail as soon as that *waits*."""
    thread = threading.Thread(target=contextvars.copy_context().run, args=(call,))
    thread.start()
    while not waits():
        await checkpoint()

    raise OSError(errno.EMFILE, "no descriptor for the wait")


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_failed_wait_for_a_thread_gives_its_place_back_once(is_early: bool) -> None:
    """The thread waited for room for ever, and its place was given away twice."""
    threads = threading.active_count()
    async with ajobs.Session(throttle=1, failures="keep") as jobs:
        job = jobs.start(write_two, output_limit=1)
        log = job.open_log()

        def waits() -> bool:
            return log.has_room_waiters and (is_early or job.state == "Blocked")

        with patch("anyio.to_thread.run_sync", partial(wait_badly, waits)):
            await job.wait()

        assert isinstance(job.reason, OSError)
        while threading.active_count() > threads:
            await checkpoint()

        gate = Gate()
        first, second = jobs.start(gate.wait), jobs.start(gate.wait)
        while not gate.arrived:
            await checkpoint()

        await anyio.wait_all_tasks_blocked()
        assert [first.state, second.state] == ["Running", "NotStarted"]
        gate.open()


def write_two() -> None:
    """Write more than there is room for."""
    ajobs.write_output(1)
    ajobs.write_output(2)


def read_one() -> None:
    """Read what never comes."""
    next(iter(ajobs.job_input()))


async def never() -> AsyncIterator[int]:
    """Give nothing."""
    await forever()
    yield 1


def look_for_a_stop() -> None:
    """Do nothing until told to."""
    while not ajobs.stop_requested():
        time.sleep(0.001)


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("work", [write_two, read_one, look_for_a_stop, forever])
def test_a_thread_hears_of_it_when_all_tasks_are_cancelled(
    work: Callable[[], Any], is_told: bool
) -> None:
    """It waited for room, for input or for a stop, and nobody was left to tell it."""
    before, threads = footprint(), set(threading.enumerate())

    async def main() -> None:
        async with ajobs.Session(failures="keep") as jobs:
            given: Any = {"input": never()} if work is read_one else {}
            job: Any = jobs.start(work, runner="thread", output_limit=1, **given)
            await reach(job, "Running" if work in {look_for_a_stop, forever} else "Blocked")
            while threads.issuperset(threading.enumerate()):
                await checkpoint()

            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if is_told or "session" not in task.get_name():
                    task.cancel()

            await job.wait()

    asyncio.run(main())
    assert left_since(before) == []


class FailingEvent:
    """An event whose first wait fails for want of memory."""

    def __init__(self) -> None:
        self.fails = True
        event = self._event = anyio.Event()
        self.set, self.is_set = event.set, event.is_set

    async def wait(self) -> None:
        """Wait for it."""
        if self.fails:
            self.fails = False
            raise MemoryError

        await self._event.wait()


@contextmanager
def failing_event(module: str, number: int) -> Iterator[None]:
    """Let the event of this *number* among those that *module* makes be a failing one."""
    made: list[Any] = []

    def make() -> Any:
        made.append(FailingEvent() if len(made) == number - 1 else anyio.Event())
        return made[-1]

    with patch(f"{module}.anyio", SimpleNamespace(Event=make)):
        yield

    assert not made[number - 1].fails


async def test_a_runner_goes_on_if_the_wait_for_its_end_fails() -> None:
    """It closed, and all jobs in it failed."""
    with failing_event("ajobs._named", 2):
        async with ajobs.Session() as jobs:
            assert await jobs.start(far.add, 1, 2, runner="process") == 3


async def test_a_run_held_by_a_session_goes_on_if_the_wait_for_its_end_fails() -> None:
    """It was stopped, and whoever iterated over it took that for its end."""
    with failing_event("ajobs._foreach.iteration", 1):
        async with ajobs.Session():
            results = ajobs.parallel_foreach(range(5), support.give, throttle=1)
            assert [result async for result in results] == list(range(5))


async def test_a_run_held_by_a_session_goes_on_if_its_wait_fails_twice() -> None:
    """The second time was the end of the run, and looked like the end of the results."""
    failed: list[bool] = []

    async def turn_or_fail() -> None:
        if not failed:
            failed.append(True)
            raise MemoryError

        await checkpoint()

    with (
        failing_event("ajobs._foreach.iteration", 1),
        patch("ajobs._guests.checkpoint", turn_or_fail),
    ):
        async with ajobs.Session():
            results = ajobs.parallel_foreach(range(5), support.give, throttle=1)
            assert [result async for result in results] == list(range(5))

    assert failed


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_run_held_by_a_session_that_is_cancelled_does_not_look_complete() -> None:
    """Whoever iterated over it took that for its end."""

    async def first_only(item: int) -> int:
        if item:
            await forever()

        return item

    async with ajobs.Session():
        results = aiter(ajobs.parallel_foreach(range(5), first_only))
        assert await anext(results) == 0
        for task in asyncio.all_tasks():
            if task.get_name() == "ajobs guest":
                task.cancel()

        with pytest.raises(ajobs.JobAborted, match="CancelledError"):
            await anext(results)


async def test_a_pool_that_cannot_watch_its_idle_places_goes_on() -> None:
    """It closed, and all jobs in it failed."""
    wait, failed = Poll.wait, anyio.Event()

    async def wait_or_fail(poll: Poll) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EMFILE, "no room to watch one more")

        await wait(poll)

    with patch.object(Poll, "wait", wait_or_fail):
        async with ajobs.ProcessRunner(max_workers=1) as runner, ajobs.Session() as jobs:
            await failed.wait()
            await anyio.wait_all_tasks_blocked()
            assert await jobs.start(far.add, 1, 2, runner=runner) == 3


@pytest.mark.skipif(sys.version_info < (3, 13), reason="subinterpreters need Python 3.13")
async def test_an_interpreter_is_closed_even_if_the_wait_for_its_end_fails() -> None:
    """Its socket and its poll stayed open."""
    sleep = anyio.sleep
    failed: list[float] = []

    async def sleep_or_fail(seconds: float) -> None:
        if not failed:
            failed.append(seconds)
            raise MemoryError

        await sleep(seconds)

    def lives_until_then(thread: threading.Thread) -> bool:
        return not failed or is_alive(thread)

    is_alive = threading.Thread.is_alive
    async with AsyncExitStack() as stack:
        runner = await stack.enter_async_context(ajobs.InterpreterRunner(max_interpreters=1))
        async with ajobs.Session() as jobs:
            assert await jobs.start(far.add, 1, 2, runner=runner) == 3

        with (
            patch("anyio.sleep", sleep_or_fail),
            patch.object(threading.Thread, "is_alive", lives_until_then),
        ):
            await stack.aclose()

    assert failed


async def test_a_stop_while_a_call_is_loaded_is_no_failure() -> None:
    """It was told as an argument that cannot be loaded."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(far.give, odd.SlowToLoad(), runner="process")
        async for line in job.receive("information"):
            assert line == "loading"
            break

        await job.stop()
        assert (job.state, job.reason) == ("Stopped", None)


@pytest.mark.parametrize("module", ["typing", "ajobs._errors"])
async def test_a_stop_in_the_middle_of_an_import_is_no_failure(module: str) -> None:
    """To raise it the worker imported what had just been begun to be imported."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(odd.take, odd.LoadsHalf(module), runner="process")
        async for line in job.receive("information"):
            assert line == "loading"
            break

        await job.stop(grace=0.3)
        assert (job.state, job.reason) == ("Stopped", None)


async def test_an_item_whose_time_is_up_while_it_is_loaded_has_timed_out() -> None:
    """The same of `parallel_foreach`."""
    with pytest.raises(ajobs.ItemTimeout):
        await ajobs.parallel_foreach(
            [odd.SlowToLoad()], far.give, runner="process", item_timeout=0.1
        )


async def test_a_stop_while_an_item_is_loaded_is_no_failure() -> None:
    """The same of the input."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(far.collect, input=[odd.SlowToLoad()], runner="process")
        async for line in job.receive("information"):
            assert line == "loading"
            break

        await job.stop()
        assert (job.state, job.reason) == ("Stopped", None)


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_command_that_is_interrupted_in_its_start_does_not_live_on(
    monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """Nobody had its number, and the process that watches commands was told that it had none."""
    started = []

    class Program(subprocess.Popen[bytes]):
        def __init__(self, argv: list[str], **options: Any) -> None:
            super().__init__(argv, **options)
            if argv == ["sleep", "60"]:
                started.append(self)
                if not is_late:
                    raise KeyboardInterrupt

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Program)
    if is_late:
        monkeypatch.setattr(command, "Printed", interrupt)

    with pytest.raises(KeyboardInterrupt):
        async with ajobs.Session() as jobs:
            jobs.start_command(["sleep", "60"])

    (program,) = started
    if not is_late:
        assert await anyio.to_thread.run_sync(program.wait, 5) == -signal.SIGKILL

    # If it lived on, it would be found among what a test leaves behind.


async def test_a_command_that_cannot_be_started_ends_no_other() -> None:
    """What was told of the one before is none of its business."""
    async with ajobs.Session(failures="keep") as jobs:
        other = jobs.start_command(["cat"], input=never())
        await reach(other, "Blocked")
        await jobs.start_command(["no such program"]).wait()
        await jobs.start_command(["true"])

        assert not other.is_finished
        await other.stop()


async def followed(job: ajobs.Job[Any]) -> object:
    """Read by a follower."""
    return (await anext(job.follow())).value


async def received(job: ajobs.Job[Any]) -> object:
    """Take one."""
    return await anext(aiter(job.receive()))


async def kept(job: ajobs.Job[Any]) -> object:
    """Read one that stays."""
    return await anext(aiter(job.receive(keep=True)))


@pytest.mark.parametrize("read", [followed, received, kept])
async def test_what_a_thread_writes_just_before_its_reader_waits_wakes_it(
    read: Callable[[ajobs.Job[Any]], Coroutine[Any, Any, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader had looked, and nobody was told yet that it would wait."""
    begun, reading, has_written = threading.Event(), threading.Event(), threading.Event()

    def write_and_wait() -> None:
        begun.set()
        reading.wait()
        ajobs.write_output("early")
        has_written.set()
        look_for_a_stop()

    @contextmanager
    def blocked_late(subjects: Any) -> Iterator[Any]:
        reading.set()
        assert has_written.wait(10)
        with blocked(subjects) as wait:
            yield wait

    async with ajobs.Session() as jobs:
        job = jobs.start(write_and_wait)
        assert await anyio.to_thread.run_sync(begun.wait, 10)
        monkeypatch.setattr(_reading, "blocked", blocked_late)
        with anyio.fail_after(10):
            assert await read(job) == "early"

        await job.stop()


@pytest.mark.parametrize("initializer", [odd.halt_half_made_loops, odd.halt_loops_that_end])
async def test_a_stop_of_a_worker_whose_loop_begins_or_ends_is_no_failure(
    initializer: Callable[[], None],
) -> None:
    """It was raised there, anyio made a group of it, and the job failed by that."""
    async with (
        ajobs.ProcessRunner(max_workers=1, initializer=initializer) as runner,
        ajobs.Session() as jobs,
    ):
        job = jobs.start(far.async_add, 1, 2, runner=runner)
        async for said in job.receive(errors="ignore"):
            assert said == "ready"
            await job.stop()

        assert job.state == "Stopped"


async def test_a_stop_reaches_a_worker_whose_machine_stands_still() -> None:
    """Both signals came as one, which only says that there will be another."""
    told: list[object] = []
    second = anyio.Event()
    interrupt = WorkerProcess.interrupt

    def count(place: WorkerProcess) -> None:
        interrupt(place)
        told.append(place)
        if len(told) == 2:
            second.set()

    async with ajobs.ProcessRunner(max_workers=1) as runner, ajobs.Session() as jobs:
        pid = await jobs.start(far.pid, runner=runner)
        job = jobs.start(far.sleep_with_cleanup, runner=runner)
        assert await job.receive(errors="ignore").receive() == "ready"
        os.kill(pid, signal.SIGSTOP)
        with patch.object(WorkerProcess, "interrupt", count):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(job.stop, 5)
                await second.wait()
                os.kill(pid, signal.SIGCONT)

        assert await job.receive(errors="ignore") == ["cleaned"]


async def test_a_stop_in_the_last_step_of_a_write_is_not_lost() -> None:
    """It was to be raised by the write, which had looked whether there was one."""
    async with ajobs.Session() as jobs:
        job = jobs.start(odd.miss_a_due_stop, runner="process")
        assert await job.receive(errors="ignore").receive() == "ready"
        await job.stop(grace=5)
        assert await job.receive(errors="ignore") == ["cleaned"]


def test_a_worker_notices_an_import_that_was_broken_off_and_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop in the first import of what jobs write with: their cleanup was in no job."""
    (tmp_path / "hooked.py").write_text("import builtins\nbuiltins.at_import()\n")
    monkeypatch.syspath_prepend(tmp_path)
    ends = iter([ajobs.StopRequested()])

    def stop_once() -> None:
        for end in ends:
            raise end

    monkeypatch.setattr(builtins, "at_import", stop_once, raising=False)
    seen: list[object] = []
    with patch.object(sys, "meta_path", sys.meta_path.copy()), patch.dict(sys.modules):
        OnImport({"hooked": seen.append}).install()
        assert importlib.util.find_spec("hooked") is not None
        with pytest.raises(ajobs.StopRequested):
            importlib.import_module("hooked")

        assert seen == []
        assert seen == [importlib.import_module("hooked")]


def test_a_runner_is_looked_up_by_the_same_string_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was cut out of a longer one, and Python's cache of lookups kept thousands of them."""
    seen: list[str] = []

    class Module:
        def __getattr__(self, name: str) -> None:
            seen.append(name)

    monkeypatch.setattr(_named, "import_module", lambda *_: Module())
    _named.load_class("task")
    _named.load_class("task")
    first, second = seen
    assert first is second
