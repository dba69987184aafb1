"""Stopping: what ends, when, with what state; and how a session comes to its end."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import JobState
from tests.support import Deaf, Gate, fail, forever, give, in_thread, nothing, reach, write


class Error(Exception):
    """A failure of a job."""


def note_in(ran: list[int]) -> None:
    """Note that it ran."""
    ran.append(1)


# One job


async def test_stop_of_a_running_job() -> None:
    """A running task is cancelled: Stopped, True, and `JobStopped` for who awaits it."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        await anyio.wait_all_tasks_blocked()
        assert await job.stop()
        assert JobState.STOPPED == job.state
        assert None is job.reason
        with pytest.raises(ajobs.JobStopped, match=f"job {job.id} was stopped"):
            await job

        with pytest.raises(ajobs.JobStopped):
            job.result()


async def test_stop_of_a_queued_job() -> None:
    """A15: a job that waits for its turn never runs, in either runner."""
    ran: list[int] = []
    async with ajobs.Session(throttle=1) as jobs:
        first = jobs.start(forever)
        task, thread = jobs.start(give, 1), jobs.start(note_in, ran)
        assert await task.stop()
        assert await thread.stop()
        assert (JobState.STOPPED, JobState.STOPPED) == (task.state, thread.state)
        assert (None, None) == (task.begin_time, thread.begin_time)
        assert None is not task.end_time
        await first.stop()

    assert [] == ran


async def test_stop_right_after_start() -> None:
    """A15: a job that is stopped before its first turn never runs."""
    ran = []

    async def note() -> None:
        ran.append(True)

    async with ajobs.Session() as jobs:
        job = jobs.start(note)
        assert await job.stop()
        assert JobState.STOPPED == job.state

    assert [] == ran


async def test_stop_of_a_finished_job() -> None:
    """Nothing happens to a finished job."""
    async with ajobs.Session() as jobs:
        done = jobs.start(give, 1)
        assert 1 == await done
        assert await done.stop()
        assert await jobs.stop(done)
        assert JobState.COMPLETED == done.state
        assert 1 == done.result()


async def test_stop_keeps_the_output() -> None:
    """What a stopped job wrote stays, cleanup's output included."""

    async def work() -> None:
        await write(1)
        try:
            await anyio.sleep_forever()
        finally:
            ajobs.write_output(2)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
        assert [1, 2] == job.receive_nowait()


async def test_normal_return_after_a_stop_is_stopped() -> None:
    """A job that returned normally after its stop is Stopped; its value is not kept."""

    async def work() -> int:
        with suppress(BaseException):
            await anyio.sleep_forever()

        return 5

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        assert await job.stop()
        assert JobState.STOPPED == job.state
        with pytest.raises(ajobs.JobStopped):
            job.result()


async def test_error_in_cleanup_fails() -> None:
    """An exception in cleanup is a failure."""

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Error("cleanup")

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        assert await job.stop()
        with pytest.raises(Error, match="cleanup"):
            await job


async def test_cancellation_is_level_triggered() -> None:
    """A6: after a stop every await of the job is cancelled, those in `finally` too."""
    cancelled = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            for number in range(3):
                try:
                    await checkpoint()
                except BaseException:  # noqa: BLE001  # what a stubborn job does
                    cancelled.append(number)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        await job.stop()

    assert [0, 1, 2] == cancelled


async def test_cleanup_is_shielded() -> None:
    """A6: inside `cleanup()` all awaits work, however many."""
    done = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                for number in range(3):
                    await checkpoint()
                    done.append(number)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        assert await job.stop()

    assert [0, 1, 2] == done


async def test_cleanup_begun_before_the_stop_goes_on() -> None:
    """A shield that was there when the stop came holds it off too."""
    gate = Gate()
    done = []

    async def work() -> None:
        with ajobs.cleanup():
            await gate.wait()
            done.append(True)

        await checkpoint()
        done.append(False)

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(job.stop)
        await anyio.wait_all_tasks_blocked()
        gate.open()

    assert [True] == done
    assert JobState.STOPPED == job.state


@pytest.mark.parametrize("runner", ["task", "thread"])
async def test_cleanup_is_bounded_by_the_grace(runner: str) -> None:
    """A5: the shield of cleanup ends with the grace."""
    begun = threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job = jobs.start(work, runner=runner)
        await in_thread(begun)
        with anyio.fail_after(15):
            await job.stop(grace=0.02)
            await job.wait()

        assert JobState.STOPPED == job.state


async def test_cleanup_in_a_loop_of_a_thread() -> None:
    """`cleanup()` works for an async function in a thread as well."""
    begun = threading.Event()
    done = []

    async def work() -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await checkpoint()
                done.append(True)

    async with ajobs.Session() as jobs:
        job = jobs.start(work, runner="thread")
        await in_thread(begun)
        assert await job.stop()

    assert [True] == done


async def test_second_stop_shortens_the_grace() -> None:
    """The earlier deadline of two stops counts; a later one changes nothing."""
    results = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await anyio.sleep_forever()

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()

        async def stop(grace: float) -> None:
            results.append(await job.stop(grace=grace))

        group.start_soon(stop, math.inf)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(stop, 0.01)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(stop, 100)
        with anyio.fail_after(15):
            await job.wait()

    assert [True] * 3 == results


async def test_cancelled_stop_stays_armed() -> None:
    """Cancelling the wait for a stop leaves the stop in force."""
    gate = Gate()

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await gate.wait()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as scope:
            await job.stop()

        assert scope.cancelled_caught
        assert JobState.STOPPING == job.state
        gate.open()
        await job.wait()
        assert "Stopped" == str(job.state)


@pytest.mark.parametrize("grace", [-1, math.nan])
async def test_B11_bad_grace(grace: float) -> None:
    """A negative or NaN grace is a ValueError, and stops nothing."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        with pytest.raises(ValueError, match="grace"):
            await job.stop(grace)

        with pytest.raises(ValueError, match="grace"):
            await jobs.stop(jobs, grace=grace)

        await anyio.wait_all_tasks_blocked()
        assert JobState.RUNNING == job.state
        await job.stop()


async def test_job_stops_itself() -> None:
    """A job may stop itself: its next await is cancelled."""
    after = []

    async def work() -> None:
        await ajobs.current_job().stop()
        after.append(True)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await job.wait()
        assert JobState.STOPPED == job.state

    assert [] == after


async def test_job_stops_its_session() -> None:
    """A job may stop all jobs, itself among them; the session takes more afterwards."""

    async def work() -> None:
        await jobs.stop(jobs)

    async with ajobs.Session() as jobs:
        job, other = jobs.start(work), jobs.start(forever)
        await ajobs.wait_all(jobs)
        assert (JobState.STOPPED, JobState.STOPPED) == (job.state, other.state)
        assert 1 == await jobs.start(give, 1)


async def test_thread_job_stops_itself() -> None:
    """A thread job may stop itself through anyio, and goes on until it looks."""
    seen = []

    def work() -> None:
        seen.append(anyio.from_thread.run(ajobs.current_job().stop))
        seen.append(ajobs.stop_requested())
        ajobs.check_stop()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await job.wait()
        assert JobState.STOPPED == job.state

    assert [False, True] == seen


async def test_stop_of_a_blocked_job() -> None:
    """A job that waits for another, for input or for room can be stopped."""
    send, receive = anyio.create_memory_object_stream[int]()

    async def waiter() -> None:
        await running

    async def reader() -> None:
        async for _ in ajobs.job_input():
            pass

    with send:
        async with ajobs.Session() as jobs:
            running = jobs.start(forever)
            blocked = [
                jobs.start(waiter),
                jobs.start(reader, input=receive),
                jobs.start(write, 1, 2, output_limit=1),
            ]
            await anyio.wait_all_tasks_blocked()
            assert {JobState.BLOCKED} == {job.state for job in blocked}
            assert await jobs.stop(blocked)
            assert {JobState.STOPPED} == {job.state for job in blocked}
            assert JobState.RUNNING == running.state
            await running.stop()


async def test_generators_are_closed_by_a_stop() -> None:
    """A17: a stopped generator's `finally` runs before the job is Stopped."""
    closed: list[str] = []

    async def other() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await checkpoint()
        finally:
            with ajobs.cleanup():
                await checkpoint()
                closed.append("task")

    def plain() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("thread")

    async with ajobs.Session() as jobs:
        for job in (jobs.start(other, output_limit=2), jobs.start(plain, output_limit=2)):
            await reach(job, "Blocked")
            assert await job.stop()
            assert JobState.STOPPED == job.state

    assert ["task", "thread"] == closed


async def test_stop_requested_and_check_stop() -> None:
    """Inside, the flag is seen; `check_stop` raises what `except Exception` lets pass."""
    seen: list[object] = []

    async def work() -> None:
        seen.append(ajobs.stop_requested())
        ajobs.check_stop()
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(ajobs.stop_requested())
            try:
                ajobs.check_stop()
            except Exception:  # noqa: BLE001  # what must not catch it
                seen.append("caught")

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
        assert JobState.STOPPED == job.state

    assert [False, True] == seen


# Many jobs


async def test_stop_takes_jobs_and_iterables() -> None:
    """Jobs and iterables of jobs are stopped together; none at all stops nothing."""
    async with ajobs.Session() as jobs:
        a, b, c = (jobs.start(forever) for _ in range(3))
        await anyio.wait_all_tasks_blocked()
        assert await jobs.stop()
        assert await jobs.stop([])
        assert {JobState.RUNNING} == {job.state for job in jobs}
        assert await jobs.stop(a, [b])
        assert JobState.RUNNING == c.state
        assert await jobs.stop(jobs)
        assert {JobState.STOPPED} == {job.state for job in jobs}
        with pytest.raises(TypeError, match="jobs"):
            await jobs.stop(1)  # type: ignore[arg-type]  # what must fail


async def test_many_are_stopped_at_once() -> None:
    """All are told before any is waited for: each cleanup waits for the others to begin."""
    begun = 0
    all_begun = anyio.Event()

    async def work() -> None:
        nonlocal begun
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                begun += 1
                if begun == 10:
                    all_begun.set()

                await all_begun.wait()

    async with ajobs.Session() as jobs:
        for _ in range(10):
            jobs.start(work)

        await anyio.wait_all_tasks_blocked()
        assert await jobs.stop(jobs)

    assert 10 == begun


# Code that does not end


async def test_thread_that_ignores_a_stop_is_stopping() -> None:
    """C1: after its grace a stuck thread is reported: False, Stopping, and why."""
    with Deaf() as deaf:
        async with ajobs.Session() as jobs:
            job = jobs.start(deaf)
            await in_thread(deaf.begun)
            assert not await job.stop(grace=0.01)
            assert JobState.STOPPING == job.state
            assert "still runs" in job.status_message
            assert None is job.end_time
            assert not await jobs.stop(job, grace=0)
            assert not await job.wait(timeout=0.01)
            deaf.release()
            assert await job.wait()
            assert "Stopped" == str(job.state)


async def test_await_of_a_stuck_job_raises() -> None:
    """C1: `await job` raises `JobStuck` as soon as the grace is over, also for who waited."""
    raised: list[bool] = []

    async def waiter() -> None:
        with pytest.raises(ajobs.JobStuck, match=r"check_stop"):
            await job

        raised.append(True)

    with Deaf() as deaf:
        async with ajobs.Session() as jobs, anyio.create_task_group() as group:
            job = jobs.start(deaf)
            await in_thread(deaf.begun)
            group.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            await job.stop(grace=0.01)
            await waiter()
            deaf.release()
            assert await job.wait()
            with pytest.raises(ajobs.JobStopped):
                await job

    assert [True, True] == raised


async def test_stuck_job_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """C1: a job that has outlasted its grace is reported once to the log."""
    with Deaf() as deaf:
        async with ajobs.Session() as jobs:
            job = jobs.start(deaf, name="deaf")
            await in_thread(deaf.begun)
            await job.stop(grace=0)
            await job.stop(grace=0)
            deaf.release()
            await job.wait()

    assert [("ajobs", logging.WARNING)] == [record[:2] for record in caplog.record_tuples]
    assert "'deaf'" in caplog.messages[0]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancellation_while_a_thread_is_left_behind_is_not_lost() -> None:
    """One by asyncio itself, which no shield holds off, is raised once the thread is left."""

    async def block() -> None:
        async with ajobs.Session(stop_grace=0.01) as jobs:
            started.append(jobs.start(deaf, runner="thread"))
            await in_thread(deaf.begun)
            raise Error("the block's own")

    started: list[ajobs.Job[None]] = []
    with Deaf() as deaf:
        task = asyncio.create_task(block())
        while not started or started[0].state != JobState.STOPPING:
            await checkpoint()

        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    assert isinstance(caught.value.__context__, Error)
    assert await started[0].wait()


async def test_timed_out_thread_is_stuck_too() -> None:
    """C1: past its time limit a deaf thread is Stopping, and Failed once it ends."""
    with Deaf() as deaf:
        async with ajobs.Session(stop_grace=0.01) as jobs:
            job = jobs.start(deaf, timeout=0.01)
            await in_thread(deaf.begun)
            with pytest.raises(ajobs.JobStuck):
                await job

            assert JobState.STOPPING == job.state
            deaf.release()
            await job.wait()
            assert isinstance(job.reason, ajobs.JobTimeout)


async def test_task_that_refuses_is_reported_and_waited_for() -> None:
    """A13: a task that swallows its cancellation is stuck; the exit waits for it and warns."""
    gate = Gate()

    async def deaf() -> None:
        while not gate.arrived:
            with suppress(BaseException):
                await anyio.sleep(0.001)

    async with anyio.create_task_group() as group:

        async def let_go() -> None:
            # The exit has warned by then.
            while not caught:  # noqa: ASYNC110 - a warning sends no event
                await anyio.sleep(0.001)

            gate.arrived = 1

        with pytest.warns(RuntimeWarning, match="still waiting for job") as caught:  # noqa: PT031 - the block is what warns
            async with ajobs.Session(stop_grace=0.01, drain=0) as jobs:
                job = jobs.start(deaf)
                await reach(job, "Running")
                group.start_soon(let_go)
                assert not await job.stop()

    assert JobState.STOPPED == job.state


async def test_exit_leaves_a_stuck_thread_behind() -> None:
    """C2: leaving does not hang on a deaf thread: one RuntimeWarning, and the job is Stopping."""
    with Deaf() as deaf:
        with pytest.warns(RuntimeWarning, match=r"has left job \d+ behind") as caught:  # noqa: PT031 - the block is what warns
            async with ajobs.Session(stop_grace=0.01, drain=0) as jobs:
                job = jobs.start(deaf)
                await in_thread(deaf.begun)

        assert 1 == len(caught)
        assert JobState.STOPPING == job.state
        with pytest.raises(ajobs.JobStuck):
            await job

        assert not await job.stop(grace=0)
        deaf.release()
        assert await job.wait()
        assert "Stopped" == str(job.state)


async def test_left_thread_ends_with_an_error() -> None:
    """C10: a thread that was left behind and then fails is Failed, and disturbs nobody."""
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(10)
        raise Error("late")

    with pytest.warns(RuntimeWarning, match="behind"):  # noqa: PT031 - the block is what warns
        async with ajobs.Session(stop_grace=0, drain=0) as jobs:
            job = jobs.start(work)
            await in_thread(begun)

    go.set()
    await job.wait()
    assert isinstance(job.reason, Error)


def test_left_thread_outlives_its_loop() -> None:
    """C10: when the loop has gone, the end of a left thread is noted all the same."""
    release, ended = threading.Event(), threading.Event()
    begun = threading.Event()

    def work() -> None:
        begun.set()
        release.wait(10)
        ajobs.write_debug("late")

    async def main() -> ajobs.Job[None]:
        async with ajobs.Session(stop_grace=0, drain=0) as jobs:
            job = jobs.start(work)
            await in_thread(begun)

        return job

    for backend in ("asyncio", "trio"):
        for event in (release, ended, begun):
            event.clear()

        with pytest.warns(RuntimeWarning, match="behind"):
            job = anyio.run(main, backend=backend)

        assert JobState.STOPPING == job.state
        threads = [thread for thread in threading.enumerate() if thread.name != "MainThread"]
        release.set()
        for thread in threads:
            if "AnyIO" in thread.name:
                thread.join(5)

        spin_until_finished(job)
        assert job.state in (JobState.STOPPED, JobState.FAILED)


def spin_until_finished(job: ajobs.Job[Any]) -> None:
    """Wait for what a foreign thread does and tells nobody."""
    event = threading.Event()
    for _ in range(20_000):
        if job.is_finished:
            return

        event.wait(0.001)

    raise AssertionError("it did not happen")


async def test_left_thread_is_warned_of_when_jobs_failed() -> None:
    """C2: the warning is given also when the exit raises."""
    with (  # noqa: PT012, PT031 - the block is what raises
        Deaf() as deaf,
        pytest.warns(RuntimeWarning, match="behind"),
        pytest.raises(ExceptionGroup),
    ):
        async with ajobs.Session(stop_grace=0, drain=0) as jobs:
            jobs.start(deaf)
            await jobs.start(fail, Error()).wait()
            await in_thread(deaf.begun)


async def test_warning_as_error_at_exit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """C2: where warnings are errors, the exit logs instead of failing by its own warning."""
    with Deaf() as deaf, warnings.catch_warnings():
        warnings.simplefilter("error")
        async with ajobs.Session(stop_grace=0, drain=0) as jobs:
            jobs.start(deaf)
            await in_thread(deaf.begun)

    assert "behind" in caplog.text


# Leaving by force


async def test_cancelled_block_stops_and_joins() -> None:
    """Leaving by a cancellation stops every job and waits for its cleanup."""
    cleaned = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await checkpoint()
                cleaned.append(True)

    with anyio.CancelScope() as scope:
        async with ajobs.Session() as jobs:
            job = jobs.start(work)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await checkpoint()

    assert scope.cancelled_caught
    assert JobState.STOPPED == job.state
    assert [True] == cleaned
    assert "closed" in repr(jobs)


async def test_cancelled_while_draining() -> None:
    """A cancellation that comes while the block is being left stops the jobs as well."""
    async with anyio.create_task_group() as group:

        async def main() -> None:
            with pytest.raises(BaseException) as caught:  # noqa: PT011  # each loop's own
                async with ajobs.Session() as jobs:
                    started.append(jobs.start(forever))

            assert "Cancel" in type(caught.value).__name__
            raise caught.value

        started: list[ajobs.Job[Any]] = []
        group.start_soon(main)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert JobState.STOPPED == started[0].state


async def test_cancelled_exit_keeps_the_blocks_error() -> None:
    """A11: the block's own exception wins over a cancellation that comes while leaving."""
    with anyio.CancelScope() as scope, pytest.raises(Error):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(forever)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            raise Error

    assert JobState.STOPPED == job.state


asyncio_only = pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")


async def slow_to_stop(cleaned: list[bool]) -> None:
    """Clean up for some turns of the loop."""
    try:
        await anyio.sleep_forever()
    finally:
        with ajobs.cleanup():
            for _ in range(20):
                await checkpoint()

            cleaned.append(True)


@asyncio_only
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("is_draining", [False, True])
async def test_native_cancel_stops_and_joins(times: int, is_draining: bool) -> None:
    """A7: `task.cancel()`, once or again, leaves the block only when the jobs have ended."""
    cleaned: list[bool] = []
    sessions: list[ajobs.Session] = []

    async def main() -> None:
        async with ajobs.Session() as jobs:
            sessions.append(jobs)
            jobs.start(slow_to_stop, cleaned)
            if not is_draining:
                await anyio.sleep_forever()

    task = asyncio.create_task(main())
    await anyio.wait_all_tasks_blocked()
    for _ in range(times):
        task.cancel()
        await checkpoint()
        await checkpoint()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert task.cancelled()
    assert [True] == cleaned
    assert "<Session closed: 1 Stopped>" == repr(sessions[0])


@asyncio_only
async def test_asyncio_timeout_around_a_session() -> None:
    """A7: `asyncio.timeout` ends a session and is a TimeoutError."""
    cleaned: list[bool] = []
    with pytest.raises(TimeoutError):  # noqa: PT012 - the block is what raises
        async with asyncio.timeout(None) as limit:
            async with ajobs.Session():
                job = ajobs.current_session().start(slow_to_stop, cleaned)
                await reach(job, "Running")
                limit.reschedule(0)

    assert [True] == cleaned
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


@asyncio_only
async def test_asyncio_timeout_around_waits() -> None:
    """A7: native time limits and anyio's, nested both ways around waits, leave jobs alone."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await job

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ajobs.wait_all(job), 0.01)

        with pytest.raises(TimeoutError):  # noqa: PT012 - the block is what raises
            async with asyncio.timeout(10):
                with anyio.fail_after(0.01):
                    await ajobs.wait_any(job)

        with anyio.move_on_after(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await job.receive()

        assert JobState.RUNNING == job.state
        assert not job.is_finished
        await job.stop()


@asyncio_only
async def test_asyncio_timeout_inside_a_job() -> None:
    """A7: native time limits work inside jobs, and do not spoil the jobs after them."""

    async def work() -> str:
        try:
            async with asyncio.timeout(0.001):
                await anyio.sleep_forever()
        except TimeoutError:
            return "in time"

        return "never"

    async with ajobs.Session(throttle=1) as jobs:
        started = [jobs.start(work) for _ in range(3)]
        assert ["in time"] * 3 == [await job for job in started]


@asyncio_only
async def test_task_group_of_asyncio_around_a_session() -> None:
    """A7: a failing sibling in `asyncio.TaskGroup` ends the session and its jobs."""
    cleaned: list[bool] = []

    async def main() -> None:
        async with ajobs.Session() as jobs:
            jobs.start(slow_to_stop, cleaned)
            await anyio.sleep_forever()

    async def sibling() -> None:
        await anyio.wait_all_tasks_blocked()
        raise Error

    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the block is what raises
        async with asyncio.TaskGroup() as group:
            group.create_task(main())
            group.create_task(sibling())

    assert [True] == cleaned


# The end of the program


@pytest.mark.parametrize("is_draining", [False, True])
async def test_keyboard_interrupt_in_a_job_leaves_through_the_block(is_draining: bool) -> None:
    """A12: Ctrl-C in a job's code stops all jobs and leaves the block as KeyboardInterrupt."""
    gate = Gate()

    async def interrupted() -> None:
        await gate.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job, other = jobs.start(interrupted), jobs.start(forever)
            await anyio.wait_all_tasks_blocked()
            gate.open()
            if not is_draining:
                await anyio.sleep_forever()

    assert (JobState.STOPPED, JobState.STOPPED) == (job.state, other.state)
    assert "closed" in repr(jobs)


async def test_keyboard_interrupt_in_a_thread_is_an_outcome() -> None:
    """A12: KeyboardInterrupt raised by code in a thread fails that job alone."""

    def work() -> None:
        raise KeyboardInterrupt

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        with anyio.fail_after(15), pytest.raises(ajobs.JobAborted, match="KeyboardInterrupt"):
            await job


PROGRAM = """
import sys, anyio, ajobs
async def work():
    try:
        print("ready", flush=True)
        await anyio.sleep_forever()
    finally:
        with ajobs.cleanup():
            await anyio.sleep(0.01)
            print("cleaned", flush=True)
async def main():
    async with ajobs.Session() as jobs:
        jobs.start(work)
        {wait}
try:
    anyio.run(main, backend={backend!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("wait", ["pass", "await anyio.sleep_forever()"])
def test_ctrl_c_ends_a_program(backend: str, wait: str) -> None:
    """C2: a real SIGINT cleans up, leaves by KeyboardInterrupt, and prints no trace of ours."""
    program = PROGRAM.format(backend=backend, wait=wait)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert ("cleaned\ninterrupted\n", "", 130) == (out, err, process.returncode)


async def test_nothing_runs_after_the_block() -> None:
    """None outlives its session: after the block no code of a job runs."""
    steps = 0

    async def work() -> None:
        nonlocal steps
        while True:
            await checkpoint()
            steps += 1

    async with ajobs.Session(drain=0) as jobs:
        jobs.start(work)
        await checkpoint()
        await checkpoint()

    at_end = steps
    for _ in range(10):
        await checkpoint()

    assert at_end == steps


async def test_stop_before_any_turn_of_many() -> None:
    """Stopping thousands right after their start runs none of them."""
    ran = []

    async def note() -> None:
        ran.append(True)

    async with ajobs.Session() as jobs:
        started = [jobs.start(note) for _ in range(2000)]
        assert await jobs.stop(started)
        assert {JobState.STOPPED} == {job.state for job in started}
        await jobs.start(nothing)

    assert [] == ran


async def test_stop_from_a_foreign_thread_is_refused() -> None:
    """C5: the verbs that wait cannot be used from another loop."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match=r"ajobs\.blocking"):
                anyio.run(job.stop)

            with pytest.raises(RuntimeError, match=r"ajobs\.blocking"):
                anyio.run(jobs.stop, job)

        await anyio.to_thread.run_sync(elsewhere)
        assert not job.is_finished
        await job.stop()
