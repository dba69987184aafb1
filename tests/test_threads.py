"""Jobs in threads: places, initializers, loops of their own, ways back to the loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint, current_token

import ajobs
from ajobs import JobState, ThreadRunner
from tests.support import Deaf, Gate, collect, forever, give, in_thread, reach


async def test_runs_in_another_thread() -> None:
    """A plain function runs in a thread, not on the loop's."""
    async with ajobs.Session() as jobs:
        assert threading.get_ident() != await jobs.start(threading.get_ident)


async def test_async_function_has_a_loop_of_its_own(anyio_backend_name: str) -> None:
    """An async function given to "thread" runs there, on a loop of the caller's kind."""

    async def where() -> tuple[int, str]:
        await checkpoint()
        loop = current_token().native_token
        kind = "asyncio" if isinstance(loop, asyncio.AbstractEventLoop) else "trio"
        return threading.get_ident(), kind

    async with ajobs.Session() as jobs:
        thread, kind = await jobs.start(where, runner="thread")
        assert threading.get_ident() != thread
        assert anyio_backend_name == kind


async def test_async_generator_in_a_thread() -> None:
    """Each yield of an async generator in a thread is output, and a stop closes it."""
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
                await checkpoint()
        finally:
            closed.append(True)

    async with ajobs.Session() as jobs:
        job = jobs.start(numbers, runner="thread", output_limit=5)
        got = []
        async for value in job.receive():
            got.append(value)
            if value == 20:
                break

        assert await job.stop()
        assert JobState.STOPPED == job.state

    assert list(range(21)) == got
    assert [True] == closed


async def test_async_function_in_a_thread_is_cancelled_by_a_stop() -> None:
    """A stop cancels the async function in its own loop."""
    begun = threading.Event()
    ended = []

    async def work() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    async with ajobs.Session() as jobs:
        job = jobs.start(work, runner="thread")
        await in_thread(begun)
        assert await job.stop()
        assert JobState.STOPPED == job.state

    assert [True] == ended


async def test_stop_before_the_loop_in_the_thread_began() -> None:
    """A15: a stop that comes before the thread's loop runs is not lost."""
    limit = ThreadRunner(1)
    with Deaf() as deaf:
        async with ajobs.Session() as jobs:
            first = jobs.start(deaf, runner=limit)
            await in_thread(deaf.begun)
            second = jobs.start(forever, runner=limit)
            await anyio.wait_all_tasks_blocked()
            assert JobState.NOT_STARTED == second.state
            assert await second.stop()
            assert (JobState.STOPPED, None) == (second.state, second.begin_time)
            deaf.release()
            await first


async def test_stop_while_the_thread_gets_ready() -> None:
    """A15: a stop that comes before the loop in the thread is there is not lost either."""
    begun = threading.Event()
    steps: list[str] = []

    def prepare() -> None:
        begun.set()
        while not ajobs.stop_requested():
            pass

    async def work() -> None:
        steps.append("begun")
        await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job = jobs.start(work, runner=ThreadRunner(1, initializer=prepare))
        await in_thread(begun)
        assert await job.stop()
        assert JobState.STOPPED == job.state

    assert ["begun"] == steps


async def test_max_threads_bounds_what_runs() -> None:
    """A runner runs so many threads at once; the others are not started."""
    release = threading.Event()
    begun = threading.Semaphore(0)

    def work() -> None:
        begun.release()
        release.wait(30)

    async with ajobs.Session() as jobs:
        runner = ThreadRunner(max_threads=2)
        started = [jobs.start(work, runner=runner) for _ in range(4)]
        for _ in range(2):
            await anyio.to_thread.run_sync(begun.acquire)

        await anyio.wait_all_tasks_blocked()
        assert ["Running", "Running", "NotStarted", "NotStarted"] == [j.state for j in started]
        release.set()


async def test_own_limiter_leaves_anyios_alone() -> None:
    """C4: more jobs run at once than anyio's default limiter has places."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    barrier = threading.Barrier(4)
    before = limiter.total_tokens
    limiter.total_tokens = 1
    try:
        async with ajobs.Session() as jobs:
            for _ in range(4):
                jobs.start(barrier.wait, 30)
    finally:
        limiter.total_tokens = before

    assert {JobState.COMPLETED} == {job.state for job in jobs}


async def test_nested_thread_jobs_do_not_deadlock() -> None:
    """C4: thread jobs that use threads of anyio's inside get on."""

    def work() -> int:
        return anyio.from_thread.run(anyio.to_thread.run_sync, give_it)

    def give_it() -> int:
        return 7

    async with ajobs.Session() as jobs:
        assert [7] * 5 == [await job for job in [jobs.start(work) for _ in range(5)]]


async def test_initializer_runs_once_in_each_thread() -> None:
    """The initializer is called once in each thread, before its first job."""
    prepared: list[int] = []
    used: list[int] = []
    barrier = threading.Barrier(2)
    runner = ThreadRunner(2, initializer=lambda: prepared.append(threading.get_ident()))

    def work() -> None:
        barrier.wait(30)
        assert threading.get_ident() in prepared
        used.append(threading.get_ident())

    async with ajobs.Session() as jobs:
        for _ in range(4):
            jobs.start(work, runner=runner)

    assert sorted(set(used)) == sorted(prepared)


async def test_failing_initializer_fails_its_job() -> None:
    """An initializer that raises fails that job; the next one tries again."""
    errors: list[Exception] = [ValueError("not yet")]

    def prepare() -> None:
        if errors:
            raise errors.pop()

    async with ajobs.Session() as jobs:
        runner = ThreadRunner(1, initializer=prepare)
        first, second = jobs.start(len, (), runner=runner), jobs.start(len, (), runner=runner)
        with pytest.raises(ValueError, match="not yet"):
            await first

        assert 0 == await second


@pytest.mark.parametrize("max_threads", [0, -1])
def test_bad_max_threads(max_threads: int) -> None:
    """A runner has at least one place."""
    with pytest.raises(ValueError, match="max_threads"):
        ThreadRunner(max_threads)


@pytest.mark.parametrize("max_threads", [None, 1.5, "2", True])
def test_max_threads_of_no_int(max_threads: Any) -> None:
    """Its number of places is an int."""
    with pytest.raises(TypeError, match="max_threads"):
        ThreadRunner(max_threads)


@pytest.mark.parametrize("initializer", [3, forever])
def test_bad_initializer(initializer: Any) -> None:
    """An initializer is a plain function."""
    with pytest.raises(TypeError):
        ThreadRunner(initializer=initializer)


async def test_one_runner_serves_several_sessions_and_loops() -> None:
    """A18: a runner object can be used by sessions on several loops."""
    runner = ThreadRunner(2)

    async def other_loop() -> int:
        async with ajobs.Session() as mine:
            return await mine.start(len, (1, 2), runner=runner)

    async with ajobs.Session() as one, ajobs.Session() as two:
        assert 0 == await one.start(len, (), runner=runner)
        assert 1 == await two.start(len, (1,), runner=runner)
        assert 2 == await one.start(other_loop, runner="thread")


async def test_generator_writes_and_returns() -> None:
    """A generator in a thread may also write; the order is kept."""

    def work() -> Iterator[int]:
        ajobs.write_output("before")
        yield 1
        ajobs.write_output("between")
        yield 2

    async with ajobs.Session() as jobs:
        assert ["before", 1, "between", 2] == await jobs.start(work).receive()


async def test_generator_that_fails_keeps_its_output() -> None:
    """What a generator gave before it failed is there."""

    def work() -> Iterator[int]:
        yield 1
        raise ValueError("half-way")

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        with pytest.raises(ValueError, match="half-way"):
            await job

        assert [1] == job.receive_nowait()


async def test_check_stop_ends_a_thread() -> None:
    """A thread that looks ends by its stop; what it wrote stays."""
    begun = threading.Event()

    def work() -> None:
        ajobs.write_output("begun")
        begun.set()
        while True:
            ajobs.check_stop()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await in_thread(begun)
        assert await job.stop()
        assert JobState.STOPPED == job.state
        assert ["begun"] == job.receive_nowait()


async def test_stop_leaves_a_wait_for_input() -> None:
    """A thread that waits for input is let go by a stop, with `StopRequested`."""
    send, receive = anyio.create_memory_object_stream[int]()
    raised = []

    def work() -> None:
        try:
            for _ in ajobs.job_input():
                pass
        except ajobs.StopRequested as exc:
            raised.append(exc)
            raise

    with send:
        async with ajobs.Session() as jobs:
            job = jobs.start(work, input=receive)
            await reach(job, "Blocked")
            assert await job.stop()
            assert JobState.STOPPED == job.state

    assert 1 == len(raised)


async def test_stop_leaves_a_wait_for_input_in_a_loop_of_a_thread() -> None:
    """So is an async function in a thread that waits for input."""
    send, receive = anyio.create_memory_object_stream[int]()
    with send:
        async with ajobs.Session() as jobs:
            job = jobs.start(collect, input=receive, runner="thread")
            await reach(job, "Blocked")
            assert await job.stop()
            assert JobState.STOPPED == job.state


async def test_input_after_the_stop_raises_at_once() -> None:
    """A thread that asks for input after its stop gets `StopRequested`, not an item."""
    begun, go = threading.Event(), threading.Event()

    def work() -> object:
        begun.set()
        go.wait(30)
        return next(iter(ajobs.job_input()))

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work, input=[1])
        await in_thread(begun)
        group.start_soon(job.stop)
        await anyio.wait_all_tasks_blocked()
        go.set()
        await job.wait()
        assert JobState.STOPPED == job.state


async def test_B10_many_stuck_threads_do_not_hold_up_others() -> None:
    """Jobs go on and time limits hold while threads are wedged."""
    with Deaf() as deaf:
        async with ajobs.Session(stop_grace=0) as jobs:
            stuck = [jobs.start(deaf) for _ in range(8)]
            await in_thread(deaf.begun)
            assert ajobs.WaitResult([], stuck) == await ajobs.wait_all(stuck, timeout=0.01)
            assert not await jobs.stop(stuck)
            assert 5 == await jobs.start(give, 5)
            assert 0 == await jobs.start(len, ())
            deaf.release()
            await ajobs.wait_all(stuck)


async def test_context_inside_a_thread() -> None:
    """C6: a thread job sees a copy of its starter's context and changes only its own."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="none")
    var.set("outside")

    def work() -> str:
        seen = var.get()
        var.set("inside")
        return seen

    async with ajobs.Session() as jobs:
        assert ["outside"] * 3 == [await jobs.start(work) for _ in range(3)]

    assert "outside" == var.get()


async def test_thread_jobs_in_two_sessions_do_not_mix() -> None:
    """Each session's threads write to their own jobs."""
    gate = Gate()

    def work(tag: str) -> None:
        for number in range(50):
            ajobs.write_output((tag, number))

    async with ajobs.Session() as one, ajobs.Session() as two:
        first, second = one.start(work, "one"), two.start(work, "two")
        gate.open()
        assert [("one", number) for number in range(50)] == await first.receive()
        assert [("two", number) for number in range(50)] == await second.receive()
