"""Waiting for any, for all, for each; rings of waits; time limits."""

from __future__ import annotations

import gc
import math
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import DeadlockError, JobState, WaitResult, as_completed, wait_all, wait_any
from tests.support import Gate, fail, forever, give, in_thread, nothing, take

Waiter = Callable[..., Any]
both = pytest.mark.parametrize("wait", [wait_any, wait_all])


# Any and all


async def test_B3_wait_any_returns_with_the_first() -> None:
    """It returns when one has finished, done and pending in the order given."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        slow, quick = jobs.start(forever), jobs.start(gate.wait)
        gate.open()
        result = await wait_any(slow, quick)
        assert WaitResult([quick], [slow]) == result
        assert [quick] != result.pending
        await slow.stop()


@pytest.mark.parametrize("count", range(1, 6))
async def test_B3_wait_any_returns_all_that_finished_in_one_turn(count: int) -> None:
    """Of five jobs, k that finish in one turn are all done, in the order given."""
    gate, other = Gate(), Gate()
    async with ajobs.Session() as jobs:
        pending = [jobs.start(other.wait) for _ in range(5 - count)]
        done = [jobs.start(gate.wait) for _ in range(count)]
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as group:
            results: list[WaitResult[Any]] = []

            async def waiter() -> None:
                results.append(await wait_any(reversed(done), pending))

            group.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            gate.open()

        assert [WaitResult(done[::-1], pending)] == results
        other.open()


async def test_wait_any_counts_those_finished_already() -> None:
    """What has finished before counts, and the wait returns at once."""
    async with ajobs.Session() as jobs:
        done, slow = jobs.start(nothing), jobs.start(forever)
        await done
        assert WaitResult([done], [slow]) == await wait_any(slow, done)
        await slow.stop()


async def test_wait_all_waits_for_every_one() -> None:
    """It returns when all have finished, whatever became of them."""
    async with ajobs.Session(failures="keep") as jobs:
        started = [jobs.start(nothing), jobs.start(fail, KeyError()), jobs.start(len, ())]
        assert WaitResult(started, []) == await wait_all(started)


async def test_wait_of_sessions_and_mixtures() -> None:
    """Jobs and iterables of jobs, sessions too; duplicates count once, at their first place."""
    async with ajobs.Session() as one, ajobs.Session() as two:
        a, b, c = one.start(nothing), one.start(nothing), two.start(nothing)
        result = await wait_all(c, one, [a, c], (job for job in two))
        assert WaitResult([c, a, b], []) == result


@both
async def test_wait_for_none_returns_at_once(wait: Waiter) -> None:
    """None at all is no error and no wait."""
    assert WaitResult([], []) == await wait()
    assert WaitResult([], []) == await wait([], ())


@both
async def test_B1_timeout_is_no_error(wait: Waiter) -> None:
    """After the time everything is pending, runs on, and has no waiter left."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        await anyio.wait_all_tasks_blocked()
        assert WaitResult([], [job]) == await wait(job, timeout=0.01)
        assert JobState.RUNNING == job.state
        gc.collect()  # a result that was dropped may lie in a cycle
        assert not job.is_watched
        await job.stop()


async def test_wait_all_with_a_timeout_tells_both() -> None:
    """After the time, those that have finished are done."""
    async with ajobs.Session() as jobs:
        slow, quick = jobs.start(forever), jobs.start(nothing)
        await anyio.wait_all_tasks_blocked()
        assert WaitResult([quick], [slow]) == await wait_all(slow, quick, timeout=0.01)
        await slow.stop()


@both
async def test_B11_timeout_zero_polls(wait: Waiter) -> None:
    """`timeout=0` only looks, and lets other tasks run."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        assert WaitResult([], [job]) == await wait(job, timeout=0)
        assert not await job.wait(timeout=0)
        assert JobState.RUNNING == job.state
        await job.stop()
        assert WaitResult([job], []) == await wait(job, timeout=0)


@both
@pytest.mark.parametrize("timeout", [-1, math.nan, -math.inf])
async def test_B11_bad_timeouts(wait: Waiter, timeout: float) -> None:
    """A negative or NaN time is a ValueError, also when there is nothing to wait for."""
    with pytest.raises(ValueError, match="timeout"):
        await wait(timeout=timeout)


@both
@pytest.mark.parametrize("strange", [1, "job", [1], None])
async def test_what_is_no_job(wait: Waiter, strange: Any) -> None:
    """Something that is no job is a TypeError."""
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing)
        with pytest.raises(TypeError, match="jobs"):
            await wait(job, strange)


@both
async def test_B11_infinite_timeout(wait: Waiter) -> None:
    """Infinity means no limit."""
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing)
        assert WaitResult([job], []) == await wait(job, timeout=math.inf)


@both
async def test_B1_B4_cancelled_wait_leaves_nothing(wait: Waiter) -> None:
    """A cancelled wait stops no job and leaves no waiter."""
    async with ajobs.Session() as jobs:
        started = [jobs.start(forever) for _ in range(3)]
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01) as scope:
            await wait(started)

        assert scope.cancelled_caught
        assert [False] * 3 == [job.is_watched for job in started]
        assert {JobState.RUNNING} == {job.state for job in started}
        await jobs.stop(jobs)


@pytest.mark.slow
async def test_B4_many_waits_leave_nothing() -> None:
    """Waits that only look leave nothing behind, however many."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        await job.wait(timeout=0.0001)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(5000):
                await job.wait(timeout=0 if number % 10 else 0.000001)

            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert JobState.RUNNING == job.state
        assert after - before < 50_000
        await job.stop()


async def test_waiting_consumes_nothing() -> None:
    """Waiting takes no output and sees no failure."""
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job, failed = jobs.start(give, 1), jobs.start(fail, KeyError())
            await wait_all(jobs)
            await wait_any(jobs)
            assert await failed.wait()
            assert [1] == job.receive_nowait()


async def test_wait_by_several_kinds_at_once() -> None:
    """Waiters of all kinds on one job are all woken."""
    gate = Gate()
    woken: list[str] = []
    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(gate.give, 3)

        async def by(name: str, wait: Callable[[], Any]) -> None:
            await wait()
            woken.append(name)

        group.start_soon(by, "any", lambda: wait_any(job))
        group.start_soon(by, "all", lambda: wait_all(job))
        group.start_soon(by, "wait", job.wait)
        group.start_soon(by, "receive", lambda: take(job.receive()))
        group.start_soon(by, "each", lambda: take(as_completed(job)))
        group.start_soon(by, "follow", lambda: take(job.follow()))
        await anyio.wait_all_tasks_blocked()
        gate.open()

    assert ["all", "any", "each", "follow", "receive", "wait"] == sorted(woken)


# Each as it completes


async def test_as_completed_gives_each_when_it_ends() -> None:
    """Jobs come in the order of their ends."""
    gates = [Gate() for _ in range(3)]
    async with ajobs.Session() as jobs:
        started = [jobs.start(gate.wait) for gate in gates]
        seen = []
        each = as_completed(started)
        for number in (2, 0, 1):
            gates[number].open()
            seen.append(await anext(each))

        assert [started[2], started[0], started[1]] == seen
        with pytest.raises(StopAsyncIteration):
            await anext(each)


async def test_as_completed_gives_the_finished_first() -> None:
    """Those that have finished already come first, in the order given, each once."""
    gate = Gate()
    async with ajobs.Session(failures="keep") as jobs:
        a, b = jobs.start(nothing), jobs.start(fail, KeyError())
        waiting = jobs.start(gate.wait)
        await wait_all(a, b)
        each = as_completed(waiting, b, a, [b])
        gate.open()
        assert [b, a, waiting] == [job async for job in each]


async def test_as_completed_of_none() -> None:
    """None at all ends at once."""
    assert [] == await take(as_completed())


async def test_as_completed_timeout() -> None:
    """The time is for the whole; then it is a TimeoutError that says how many are left."""
    async with ajobs.Session() as jobs:
        quick, slow = jobs.start(nothing), jobs.start(forever)
        await anyio.wait_all_tasks_blocked()
        seen = []
        with pytest.raises(TimeoutError, match="1 job"):  # noqa: PT012 - the block is what raises
            async for job in as_completed(slow, quick, timeout=0.01):
                seen.append(job)  # noqa: PERF401  # what came before the error counts

        assert [quick] == seen
        assert JobState.RUNNING == slow.state
        await slow.stop()


async def test_B11_as_completed_timeout_zero() -> None:
    """With no time only those that have finished come."""
    async with ajobs.Session() as jobs:
        quick, slow = jobs.start(nothing), jobs.start(forever)
        await quick
        each = as_completed(slow, quick, timeout=0)
        assert quick is await anext(each)
        with pytest.raises(TimeoutError):
            await anext(each)

        await slow.stop()


async def test_B11_as_completed_refuses_bad_arguments() -> None:
    """Bad arguments are refused at the call, not at the first step."""
    with pytest.raises(ValueError, match="timeout"):
        as_completed(timeout=-1)

    with pytest.raises(TypeError, match="jobs"):
        as_completed([1])  # type: ignore[type-var]  # what must fail


async def test_B4_as_completed_left_early_leaves_nothing() -> None:
    """An iteration that was left leaves the jobs alone, and no waiter."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        slow, quick = jobs.start(gate.wait), jobs.start(nothing)
        async for job in as_completed(slow, quick):
            assert quick is job
            break

        gc.collect()
        assert not slow.is_watched
        gate.open()


async def test_as_completed_keeps_the_order_while_nobody_waits() -> None:
    """After a wait that was given up, too, jobs come in the order of their ends."""
    gates = [Gate() for _ in range(3)]
    async with ajobs.Session() as jobs:
        started = [jobs.start(gate.wait) for gate in gates]
        each = as_completed(started)
        with anyio.move_on_after(0.001):
            await anext(each)

        for number in (2, 0, 1):
            gates[number].open()
            await started[number]

        assert [started[2], started[0], started[1]] == [job async for job in each]


async def test_B13_as_completed_cancelled_goes_on() -> None:
    """A cancelled step loses no job."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        job = jobs.start(gate.wait)
        each = as_completed(job)
        with anyio.move_on_after(0.01):
            await anext(each)

        gate.open()
        assert job is await anext(each)


async def take_one(each: Any) -> None:
    """Take one step."""
    await anext(each)


async def test_B13_job_that_ends_with_the_cancellation_is_not_lost() -> None:
    """A job whose end comes in the turn of a cancellation is there for the next step."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        job = jobs.start(gate.wait)
        each = as_completed(job)
        async with anyio.create_task_group() as group:
            group.start_soon(take_one, each)
            await anyio.wait_all_tasks_blocked()
            gate.open()
            group.cancel_scope.cancel()

        await job
        rest = [one async for one in each]
        assert rest in ([job], [])


# Time limits of one job's wait


async def test_wait_returns_whether_it_has_finished() -> None:
    """`wait` gives True at the end, False after the time, and raises no failure."""
    async with ajobs.Session(failures="keep") as jobs:
        failed, slow = jobs.start(fail, KeyError()), jobs.start(forever)
        assert await failed.wait()
        assert not await slow.wait(0.01)
        with pytest.raises(ValueError, match="timeout"):
            await failed.wait(-1)

        await slow.stop()


async def test_limited_wait_inside_a_job_is_blocked() -> None:
    """A wait with a time limit blocks its job too, and is never a deadlock."""

    async def me() -> bool:
        return await ajobs.current_job().wait(timeout=0.01)

    async with ajobs.Session() as jobs:
        assert not await jobs.start(me)


# Rings


async def by_await() -> None:
    """Await the current job."""
    await ajobs.current_job()


async def by_wait() -> None:
    """Wait for the current job."""
    await ajobs.current_job().wait()


async def by_all() -> None:
    """Wait for all jobs of the session."""
    await wait_all(ajobs.current_session())


async def by_each() -> None:
    """Take each job as it ends."""
    await take(as_completed(ajobs.current_job()))


async def by_following() -> None:
    """Follow the current job."""
    await take(ajobs.current_job().follow())


@pytest.mark.parametrize("me", [by_await, by_wait, by_all, by_each, by_following])
async def test_waiting_for_oneself(me: Any) -> None:
    """A16: a job that waits for itself raises `DeadlockError`."""
    async with ajobs.Session() as jobs:
        with pytest.raises(DeadlockError, match="waits for itself"):
            await jobs.start(me)


async def test_a_wait_that_was_given_up_makes_no_ring() -> None:
    """A16: who waited once, and does no more, can be waited for."""
    gate, other = Gate(), Gate()

    async def give_up() -> None:
        with anyio.move_on_after(0):
            await second.wait()

        gate.open()
        await other.wait()

    async def wait_for_it() -> None:
        await gate.wait()
        other.open()
        await first

    async with ajobs.Session() as jobs:
        second = jobs.start(wait_for_it)
        first = jobs.start(give_up)
        await wait_all(first, second)
        assert [first.state, second.state] == ["Completed", "Completed"]


async def test_waiting_for_oneself_with_poll() -> None:
    """A look at oneself is no wait."""

    async def me() -> Any:
        return await wait_any(ajobs.current_job(), timeout=0)

    async with ajobs.Session() as jobs:
        job = jobs.start(me)
        assert WaitResult([], [job]) == await job


class Ring:
    """Jobs that wait for each other as they are told."""

    def __init__(self, jobs: ajobs.Session) -> None:
        self.jobs = jobs
        self.started: list[ajobs.Job[Any]] = []
        self.gate = Gate()

    def add(self, wait: Waiter, *targets: int) -> ajobs.Job[Any]:
        """Start one that waits for those with these numbers, once the gate is open."""

        async def work() -> int:
            await self.gate.wait()
            await wait([self.started[number] for number in targets])
            return 1

        job = self.jobs.start(work)
        self.started.append(job)
        return job

    async def outcomes(self) -> list[str]:
        """Open the gate and say how each ended, those that still wait after a while stopped."""
        self.gate.open()
        await anyio.wait_all_tasks_blocked()
        return [type(job.reason).__name__ if job.reason else str(job.state) for job in self.started]


async def test_ring_of_three_is_named() -> None:
    """A16: the wait that closes a ring raises, naming the ring; the others go on."""
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        a, b, c = ring.add(wait_all, 1), ring.add(wait_all, 2), ring.add(wait_all, 0)
        assert ["Completed", "Completed", "DeadlockError"] == await ring.outcomes()
        assert (
            f"job {c.id} waits for job {a.id} waits for job {b.id} waits for job {c.id}: "
            f"none of them can ever end"
        ) == str(c.reason)


async def test_ring_through_names() -> None:
    """A16: names are in the message, where jobs have one."""

    async def first() -> None:
        await gate.wait()
        await second_job

    async def second() -> None:
        await first_job

    gate = Gate()
    async with ajobs.Session() as jobs:
        first_job = jobs.start(first, name="one")
        second_job = jobs.start(second, name="two")
        await anyio.wait_all_tasks_blocked()
        gate.open()
        with pytest.raises(DeadlockError, match=r"'one' waits for job .* 'two' waits for"):
            await second_job


async def test_any_with_a_way_out_is_no_ring() -> None:
    """A16: a wait for any is a deadlock only if all its jobs lead back."""
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        ring.add(wait_any, 1, 2)
        ring.add(wait_all, 0)
        out = Gate()
        ring.started.append(jobs.start(out.wait))
        assert ["Blocked", "Blocked", "Running"] == await ring.outcomes()
        out.open()


async def test_any_whose_jobs_all_lead_back() -> None:
    """A16: a wait for any of two that both wait for it is a deadlock."""
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        ring.add(wait_all, 2)
        ring.add(wait_all, 2)
        ring.add(wait_any, 0, 1)
        assert ["Completed", "Completed", "DeadlockError"] == await ring.outcomes()


async def test_all_through_an_any_with_a_way_out() -> None:
    """A16: an any on the way that has a way out breaks the ring; it closes without it."""
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        ring.add(wait_any, 2, 3)
        ring.add(wait_all, 0)
        ring.add(wait_all, 1)
        out = Gate()
        ring.started.append(jobs.start(out.wait))
        assert ["Blocked", "Blocked", "Blocked", "Running"] == await ring.outcomes()
        out.open()

    assert {JobState.COMPLETED} == {job.state for job in jobs}


async def test_nested_anys_that_all_lead_back() -> None:
    """A16: any of any: a ring exists only when no branch leads out."""
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        ring.add(wait_any, 2, 3)
        ring.add(wait_any, 0, 3)
        ring.add(wait_all, 1)
        ring.add(wait_any, 0, 1)
        outcomes = await ring.outcomes()
        assert ["Completed", "Completed", "Completed", "DeadlockError"] == outcomes


async def test_any_with_a_finished_target_is_no_ring() -> None:
    """A16: a wait for any whose way out has just been taken is over."""
    async with ajobs.Session() as jobs:
        done = jobs.start(nothing)
        ring = Ring(jobs)
        ring.started.append(done)
        ring.add(wait_any, 2, 0)
        ring.add(wait_all, 1)
        await done
        assert ["Completed"] * 3 == await ring.outcomes()


@pytest.mark.parametrize("length", [10, 2000])
async def test_long_chain(length: int) -> None:
    """A16: a ring of thousands is found; without the last link it is no ring."""
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        for number in range(length):
            ring.add(wait_all, (number + 1) % length)

        outcomes = await ring.outcomes()
        assert 1 == outcomes.count("DeadlockError")
        assert length - 1 == outcomes.count("Completed")


async def test_long_chain_that_ends() -> None:
    """A16: a chain of thousands that leads out is no ring."""
    out = Gate()
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        for number in range(2000):
            ring.add(wait_all, number + 1)

        ring.started.append(jobs.start(out.wait))
        assert ["Blocked"] * 2000 == (await ring.outcomes())[:-1]
        out.open()

    assert {JobState.COMPLETED} == {job.state for job in jobs}


async def test_wide_diamond_is_no_ring() -> None:
    """A16: many ways to one job, none of them back, are no ring."""
    out = Gate()
    async with ajobs.Session() as jobs:
        ring = Ring(jobs)
        ring.add(wait_all, *range(1, 101))
        for _ in range(100):
            ring.add(wait_all, 101)

        ring.started.append(jobs.start(out.wait))
        assert ["Blocked"] * 101 == (await ring.outcomes())[:-1]
        out.open()


async def test_ring_through_output() -> None:
    """A16: awaiting the output of a job that waits for one's own end is a deadlock."""

    async def reader() -> None:
        await gate.wait()
        await waiting.receive()

    async def waiter() -> None:
        await reading

    gate = Gate()
    async with ajobs.Session() as jobs:
        reading, waiting = jobs.start(reader), jobs.start(waiter)
        await anyio.wait_all_tasks_blocked()
        gate.open()
        with pytest.raises(DeadlockError):
            await waiting


async def test_ring_from_threads() -> None:
    """A16: a thread job that waits through anyio is a part of rings."""

    def in_a_thread() -> None:
        anyio.from_thread.run(other.wait)

    async def on_the_loop() -> None:
        while thread.state != "Blocked":
            await checkpoint()

        await thread

    async with ajobs.Session() as jobs:
        thread = jobs.start(in_a_thread)
        other = jobs.start(on_the_loop)
        with pytest.raises(DeadlockError):
            await other


async def test_a_way_out_by_timeout_is_no_ring() -> None:
    """A16: a wait with a time limit on the way is no deadlock."""

    async def limited() -> bool:
        return await other.wait(timeout=0.05)

    async def unlimited() -> None:
        await first

    async with ajobs.Session() as jobs:
        first = jobs.start(limited)
        other = jobs.start(unlimited)
        assert not await first


async def test_stop_of_another_in_a_ring_is_no_deadlock() -> None:
    """A job that stops the one that waits for it just does so."""

    async def waiter() -> None:
        await stopper_job

    async def stopper() -> bool:
        await anyio.wait_all_tasks_blocked()
        return await waiter_job.stop()

    async with ajobs.Session() as jobs:
        stopper_job = jobs.start(stopper)
        waiter_job = jobs.start(waiter)
        assert await stopper_job
        assert JobState.STOPPED == waiter_job.state


# Other loops and threads


async def test_wait_from_another_loop_is_refused() -> None:
    """A18: an unfinished job is waited for on its own loop only, and every wait says so."""
    refused: list[str] = []

    async def elsewhere() -> None:
        waits: list[Callable[[], Any]] = [
            job.wait,
            lambda: wait_any(job),
            lambda: wait_all(job),
            lambda: take(as_completed(job)),
            lambda: take(job.receive()),
            lambda: take(job.follow()),
            job.stop,
        ]
        for wait in waits:
            with pytest.raises(
                RuntimeError, match=r"another event loop.*ajobs\.blocking"
            ) as caught:
                await wait()

            refused.append(str(caught.value))

    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        await jobs.start(elsewhere, runner="thread")
        assert JobState.RUNNING == job.state
        await job.stop()

    assert 7 == len(refused)


def test_finished_jobs_can_be_waited_for_anywhere() -> None:
    """A18: a finished job can be asked from anywhere."""

    async def main() -> ajobs.Job[int]:
        async with ajobs.Session() as jobs:
            return jobs.start(give, 3)

    job = anyio.run(main)

    async def later() -> int:
        assert await job.wait()
        assert await job.stop()
        assert WaitResult([job], []) == await wait_all(job)
        assert [job] == [one async for one in as_completed(job)]
        assert [3] == await job.receive()
        return await job

    assert 3 == anyio.run(later, backend="trio")


async def test_B5_hundred_thousand_waits_in_a_loop() -> None:
    """Draining many jobs one by one with `wait_any` is linear; all come, each once."""
    async with ajobs.Session() as jobs:
        pending: Sequence[ajobs.Job[None]] = [jobs.start(nothing) for _ in range(300)]
        seen: list[ajobs.Job[None]] = []
        while pending:
            result = await wait_any(pending)
            seen += result.done
            pending = result.pending

        assert list(jobs) == sorted(seen, key=lambda job: job.id)


async def test_async_iterables_are_no_jobs() -> None:
    """An async iterable of jobs is refused, not misread."""

    async def stream() -> AsyncIterator[int]:
        yield 1

    source = stream()
    with pytest.raises(TypeError, match="jobs"):
        await wait_any(source)  # type: ignore[arg-type]  # what must fail

    await source.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_end_in_a_thread_wakes_the_waiter() -> None:
    """A job that ends in a thread wakes those who wait on the loop."""
    release = threading.Event()
    begun = threading.Event()

    def work() -> int:
        begun.set()
        release.wait(10)
        return 1

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work)
        group.start_soon(job.wait)
        await in_thread(begun)
        release.set()
        assert 1 == await job


async def test_pending_goes_on() -> None:
    """What is pending can be waited for again and again, looked at, and compared like a list."""
    gates = [Gate() for _ in range(4)]
    async with ajobs.Session() as jobs:
        started = [jobs.start(gate.wait) for gate in gates]
        pending: Sequence[ajobs.Job[None]] = started
        for number, gate in enumerate(gates):
            gate.open()
            result = await wait_any(pending)
            assert [started[number]] == result.done
            pending = result.pending
            assert started[number + 1 :] == pending
            assert len(started) - number - 1 == len(pending)
            assert started[number + 1 :] == list(pending) == pending[:]
            assert repr(list(pending)) == repr(pending)

        assert not pending
        assert WaitResult([], []) == await wait_any(pending)


async def test_old_pending_is_still_right() -> None:
    """An older answer stays what it was; waiting on it gives what has ended since."""
    gates = [Gate() for _ in range(3)]
    async with ajobs.Session() as jobs:
        started = [jobs.start(gate.wait) for gate in gates]
        gates[0].open()
        old = (await wait_any(started)).pending
        gates[1].open()
        new = (await wait_any(old)).pending
        assert (started[1:], started[2:]) == (old, new)
        result = await wait_any(old, timeout=0)
        assert WaitResult([started[1]], [started[2]]) == result
        gates[2].open()
        assert WaitResult([started[1], started[2]], []) == await wait_all(old)


async def test_pending_after_a_pause() -> None:
    """What ended while nobody waited is told by the next wait."""
    gates = [Gate() for _ in range(3)]
    async with ajobs.Session() as jobs:
        started = [jobs.start(gate.wait) for gate in gates]
        result = await wait_any(started, timeout=0.001)
        assert WaitResult([], started) == result
        gates[1].open()
        await started[1]
        assert WaitResult([started[1]], [started[0], started[2]]) == await wait_any(result.pending)
        for gate in gates:
            gate.open()


async def test_tasks_wait_for_the_same_pending() -> None:
    """Each of them is woken, also when another one has given up meanwhile."""
    gates = [Gate() for _ in range(3)]
    answers = []

    async def wait(pending: Sequence[ajobs.Job[None]], timeout: float | None = None) -> None:
        answers.append(await wait_any(pending, timeout=timeout))

    async with ajobs.Session() as jobs, anyio.create_task_group() as tasks:
        started = [jobs.start(gate.wait) for gate in gates]
        pending = (await wait_any(started, timeout=0)).pending
        for _ in range(2):
            tasks.start_soon(wait, pending)

        await anyio.wait_all_tasks_blocked()
        await wait(pending, timeout=0.001)
        assert [WaitResult([], started)] == answers
        gates[1].open()
        await anyio.wait_all_tasks_blocked()
        assert [WaitResult([started[1]], [started[0], started[2]])] * 2 == answers[1:]
        for gate in gates:
            gate.open()


async def test_tasks_share_as_completed() -> None:
    """Each job goes to one of them, and each of them comes to the end."""
    gates = [Gate() for _ in range(3)]
    taken: list[ajobs.Job[None]] = []
    ended = []

    async def take_all(me: int, each: AsyncIterator[ajobs.Job[None]]) -> None:
        async for job in each:
            taken.append(job)  # noqa: PERF401  # the other sees what was taken so far

        ended.append(me)

    async with ajobs.Session() as jobs, anyio.create_task_group() as tasks:
        started = [jobs.start(gate.wait) for gate in gates]
        each = as_completed(started)
        for me in range(2):
            tasks.start_soon(take_all, me, each)

        for gate in gates:
            await anyio.wait_all_tasks_blocked()
            gate.open()

        await anyio.wait_all_tasks_blocked()
        assert started == taken
        assert [0, 1] == sorted(ended)
        tasks.cancel_scope.cancel()


async def test_tasks_share_the_time_of_as_completed() -> None:
    """Once it is over, each of them hears of it."""
    errors = []

    async def take_one(each: AsyncIterator[ajobs.Job[None]]) -> None:
        with pytest.raises(TimeoutError) as error:
            await anext(each)

        errors.append(str(error.value))

    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        each = as_completed(job, timeout=0.001)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_one, each)
            tasks.start_soon(take_one, each)

        assert ["the time is over and 1 jobs have not finished"] * 2 == errors
        await job.stop()
