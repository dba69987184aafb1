"""The part that knows event loops: timers, tasks, wake-ups; and unusual loops."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

import ajobs
from ajobs._loop import Loop, current_loop
from tests.support import Gate, fail, forever, give, write


@asynccontextmanager
async def a_loop() -> AsyncIterator[Loop]:
    """Give the running loop, open, and end its timers."""
    loop = current_loop()
    await loop.open()
    try:
        yield loop
    finally:
        loop.stop_timers()
        await loop.join()


# Timers


async def test_timer_runs_once_it_is_due() -> None:
    """A timer calls when its time has come, not before."""
    event = anyio.Event()
    async with a_loop() as loop:
        begun = loop.time()
        loop.call_at(begun + 0.01, event.set)
        await event.wait()
        assert loop.time() >= begun + 0.01


async def test_timers_run_in_the_order_of_their_times() -> None:
    """The earlier one first, whatever was asked first; equal ones in the order asked."""
    calls: list[str] = []
    done = anyio.Event()
    async with a_loop() as loop:
        now = loop.time()
        loop.call_at(now + 0.03, done.set)
        loop.call_at(now + 0.02, lambda: calls.append("c"))
        loop.call_at(now + 0.01, lambda: calls.append("a"))
        loop.call_at(now + 0.01, lambda: calls.append("b"))
        await done.wait()

    assert ["a", "b", "c"] == calls


async def test_earlier_timer_shortens_the_sleep() -> None:
    """A timer that is set while a later one is slept for comes in time."""
    event = anyio.Event()
    async with a_loop() as loop:
        loop.call_at(loop.time() + 1000, lambda: None)
        await anyio.wait_all_tasks_blocked()
        loop.call_at(loop.time() + 0.01, event.set)
        with anyio.fail_after(20):
            await event.wait()


async def test_cancelled_timer_does_not_call() -> None:
    """A cancelled timer calls nothing and lets go of its callback."""
    calls: list[int] = []
    event = anyio.Event()
    async with a_loop() as loop:
        timer = loop.call_at(loop.time() + 0.005, lambda: calls.append(1))
        timer.cancel()
        assert None is timer.callback
        loop.call_at(loop.time() + 0.01, event.set)
        await event.wait()

    assert [] == calls


async def test_timer_of_infinity_never_calls() -> None:
    """A timer for the end of time costs nothing."""
    async with a_loop() as loop:
        timer = loop.call_at(float("inf"), lambda: None)
        assert [] == loop._heap
        timer.cancel()


async def test_timer_may_set_a_timer() -> None:
    """A timer's call may set the next one."""
    event = anyio.Event()
    async with a_loop() as loop:
        loop.call_at(0, lambda: loop.call_at(loop.time() + 0.001, event.set))
        with anyio.fail_after(20):
            await event.wait()


async def test_timers_go_on_after_a_pause() -> None:
    """After the last timer has run, a new one works."""
    async with a_loop() as loop:
        for _ in range(2):
            event = anyio.Event()
            loop.call_at(loop.time(), event.set)
            await event.wait()
            await anyio.wait_all_tasks_blocked()


async def test_B4_cancelled_timers_are_swept() -> None:
    """Thousands of timers that were cancelled long before they are due do not pile up."""
    async with a_loop() as loop:
        keep = loop.call_at(loop.time() + 1000, lambda: None)
        for _ in range(5000):
            loop.call_at(loop.time() + 1000, lambda: None).cancel()

        assert len(loop._heap) < 200
        assert any(timer is keep for _, _, timer in loop._heap)


async def test_B4_many_jobs_with_time_limits_leave_no_timers() -> None:
    """Jobs that end in time leave few timers."""
    async with ajobs.Session() as jobs:
        for _ in range(50):
            await ajobs.wait_all([jobs.start(give, 1, timeout=1000) for _ in range(20)])

        engine: Any = jobs._engine
        assert len(engine.loop._heap) < 200


async def test_overdue_timer_runs_at_once() -> None:
    """A time that has passed is now."""
    event = anyio.Event()
    async with a_loop() as loop:
        loop.call_at(loop.time() - 100, event.set)
        with anyio.fail_after(20):
            await event.wait()


# Tasks and wake-ups


async def test_join_waits_for_all_tasks() -> None:
    """Leaving waits for every task that was spawned."""
    done = []

    async def work() -> None:
        await anyio.wait_all_tasks_blocked()
        done.append(True)

    async with a_loop() as loop:
        loop.spawn(work, "a")

    assert [True] == done


async def test_call_soon_from_a_thread() -> None:
    """A call from a foreign thread runs on the loop."""
    event = anyio.Event()
    threads = []

    def note() -> None:
        threads.append(threading.get_ident())
        event.set()

    async with a_loop() as loop:
        assert await anyio.to_thread.run_sync(loop.call_soon, note)
        await event.wait()
        assert loop.in_thread
        assert loop.is_running_here
        assert not await anyio.to_thread.run_sync(lambda: loop.in_thread)
        assert not await anyio.to_thread.run_sync(lambda: loop.is_running_here)

    assert [threading.get_ident()] == threads


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_call_soon_after_the_loop_has_ended(backend: str) -> None:
    """C10: a call for a loop that is over is refused without a word."""

    async def main() -> Loop:
        async with a_loop() as loop:
            return loop

    loop = anyio.run(main, backend=backend)
    assert not loop.call_soon(lambda: None)
    assert not loop.is_running_here


def test_no_loop() -> None:
    """Without a running loop there is none to be had."""
    with pytest.raises(RuntimeError):
        current_loop()


async def test_which_loop_it_is(anyio_backend_name: str) -> None:
    """It knows which library it runs on, and its clock and cancellation."""
    async with a_loop() as loop:
        assert ("trio" == anyio_backend_name) == loop.is_trio
        assert anyio.get_cancelled_exc_class() is loop.cancelled
        assert abs(anyio.current_time() - loop.time()) < 1


async def test_root_task_outlives_its_starter() -> None:
    """A root task belongs to the loop, not to the scope around the call."""
    gate = Gate()
    done = anyio.Event()

    async def root() -> None:
        await gate.wait()
        done.set()

    with anyio.CancelScope() as scope:
        held = current_loop().spawn_root(root, "root")
        await anyio.wait_all_tasks_blocked()
        scope.cancel()

    gate.open()
    with anyio.fail_after(20):
        await done.wait()

    assert held is not None


async def test_long_run_of_jobs_lets_others_run() -> None:
    """A14: thousands of jobs that never wait give the loop to others now and then."""
    turns = []

    async def other() -> None:
        while True:
            turns.append(True)
            await checkpoint()

    async def busy() -> None:
        sum(range(2000))

    async with anyio.create_task_group() as group:
        async with ajobs.Session() as jobs:
            for _ in range(2000):
                jobs.start(busy)

            group.start_soon(other)

        assert len(turns) > 2
        group.cancel_scope.cancel()


async def test_generator_that_never_waits_lets_others_run() -> None:
    """A14: an async generator that never waits gives the loop to others now and then."""
    turns = []

    async def other() -> None:
        while True:
            turns.append(True)
            await checkpoint()

    async def numbers() -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        async with ajobs.Session() as jobs:
            jobs.start(numbers)

        assert len(turns) > 5
        group.cancel_scope.cancel()


# Unusual loops


async def whole_life() -> list[str]:
    """Use most of what there is; return the states at the end."""

    async def parent() -> int:
        return await ajobs.current_session().start(give, 2)

    async def cleaned() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await checkpoint()

    async with ajobs.Session(throttle=3, failures="keep") as jobs:
        one = jobs.start(give, 1)
        assert 1 == await one
        assert 2 == await jobs.start(parent)
        assert [1, 2] == await jobs.start(write, 1, 2, output_limit=1).receive()
        assert 0 == await jobs.start(len, ())
        stopped = jobs.start(cleaned)
        await checkpoint()
        await checkpoint()
        await stopped.stop()
        late = jobs.start(forever, timeout=0.01)
        await late.wait()
        failed = jobs.start(fail, KeyError())
        await ajobs.wait_all(jobs)
        assert isinstance(failed.reason, KeyError)
        return [str(job.state) for job in jobs]


LIFE = ["Completed"] * 5 + ["Stopped", "Failed", "Failed"]


async def test_usual_loop() -> None:
    """The life below, on the usual loops."""
    assert LIFE == await whole_life()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_task_factory() -> None:
    """A10: everything works where tasks begin eagerly, a chain of starts included."""

    async def chain(left: int) -> None:
        if left:
            ajobs.current_session().start(chain, left - 1)

    async def main() -> list[str]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        async with ajobs.Session() as jobs:
            jobs.start(chain, 2000)

        assert 2001 == len(jobs)
        return await whole_life()

    assert LIFE == asyncio.run(main())


def test_asyncio_debug_mode() -> None:
    """Everything works in asyncio's debug mode, with a task for each job."""
    assert LIFE == asyncio.run(whole_life(), debug=True)


def test_task_factory_of_ones_own() -> None:
    """Everything works with a task factory of the program's own."""
    made = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        made.append(options)
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> list[str]:
        asyncio.get_running_loop().set_task_factory(factory)
        return await whole_life()

    assert LIFE == asyncio.run(main())
    assert made


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_before_its_first_step_a_worker_is_replaced() -> None:
    """Whoever cancels every task of the loop does not strand the jobs that wait for one."""
    async with ajobs.Session(failures="keep") as jobs:
        others = asyncio.all_tasks()
        queued = [jobs.start(give, number) for number in range(3)]
        for task in asyncio.all_tasks() - others:
            task.cancel()

        with anyio.fail_after(20):
            await ajobs.wait_all(queued)
            assert 3 == await jobs.start(give, 3)

    assert ["Completed"] * 3 == [job.state for job in queued]
