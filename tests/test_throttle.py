"""The throttle: who runs, who waits, in which order."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import anyio
import anyio.from_thread
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

import ajobs
from ajobs import JobState
from tests.support import Gate, collect, fail, forever, give, nothing, reach, write


def states(jobs: ajobs.Session) -> list[str]:
    """Return the states in id order."""
    return [str(job.state) for job in jobs]


@pytest.mark.parametrize("throttle", [1, 2, 5])
async def test_at_most_so_many_run(throttle: int) -> None:
    """A3: no more than the throttle run at once, the others are not started."""
    gate = Gate()
    async with ajobs.Session(throttle=throttle) as jobs:
        for _ in range(7):
            jobs.start(gate.wait)

        await anyio.wait_all_tasks_blocked()
        assert ["Running"] * throttle + ["NotStarted"] * (7 - throttle) == states(jobs)
        assert throttle == gate.arrived
        gate.open()


@pytest.mark.parametrize("throttle", [1, 3, math.inf])
async def test_first_in_first_out(throttle: float) -> None:
    """A20: jobs begin in the order in which they were started."""
    begun: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        if number % 3:
            await checkpoint()

    async with ajobs.Session(throttle=throttle) as jobs:
        for number in range(200):
            jobs.start(work, number)

    assert list(range(200)) == begun


async def test_threads_begin_in_order_too() -> None:
    """A20: so do thread jobs."""
    begun: list[int] = []
    async with ajobs.Session(throttle=1) as jobs:
        for number in range(20):
            jobs.start(begun.append, number)

    assert list(range(20)) == begun


async def test_a_place_that_is_free_is_taken_at_once() -> None:
    """A3: when one ends, fails or is stopped, the next begins."""
    gates = [Gate() for _ in range(4)]
    async with ajobs.Session(throttle=1, failures="keep") as jobs:
        first = jobs.start(gates[0].wait)
        second = jobs.start(forever)
        third = jobs.start(fail, KeyError())
        last = jobs.start(gates[1].wait)
        await anyio.wait_all_tasks_blocked()
        assert ["Running", "NotStarted", "NotStarted", "NotStarted"] == states(jobs)
        gates[0].open()
        await first
        await reach(second, "Running")
        await second.stop()
        await third.wait()
        await reach(last, "Running")
        gates[1].open()


async def test_raising_the_throttle_starts_the_waiting() -> None:
    """Setting a higher throttle lets waiting jobs begin at once."""
    gate = Gate()
    async with ajobs.Session(throttle=1) as jobs:
        for _ in range(4):
            jobs.start(gate.wait)

        await anyio.wait_all_tasks_blocked()
        assert 1 == jobs.throttle
        jobs.throttle = 3
        assert 3 == jobs.throttle
        await anyio.wait_all_tasks_blocked()
        assert ["Running"] * 3 + ["NotStarted"] == states(jobs)
        jobs.throttle = math.inf
        await anyio.wait_all_tasks_blocked()
        assert ["Running"] * 4 == states(jobs)
        gate.open()


async def test_lowering_the_throttle_stops_nobody() -> None:
    """Setting a lower throttle lets the running ones run, and starts none until it fits."""
    gates = [Gate() for _ in range(4)]
    async with ajobs.Session(throttle=3) as jobs:
        started = [jobs.start(gate.wait) for gate in gates]
        await anyio.wait_all_tasks_blocked()
        jobs.throttle = 1
        await anyio.wait_all_tasks_blocked()
        assert ["Running"] * 3 + ["NotStarted"] == states(jobs)
        for number in (0, 1):
            gates[number].open()
            await started[number]
            await anyio.wait_all_tasks_blocked()
            assert JobState.NOT_STARTED == started[3].state

        gates[2].open()
        await reach(started[3], "Running")
        gates[3].open()


async def test_lowering_the_throttle_before_the_first_turn() -> None:
    """A throttle that is lowered before the jobs had their turn holds for them too."""
    gate = Gate()
    async with ajobs.Session(throttle=3) as jobs:
        for _ in range(3):
            jobs.start(gate.wait)

        jobs.throttle = 1
        await anyio.wait_all_tasks_blocked()
        assert 1 == gate.arrived
        gate.open()


async def test_lowering_the_throttle_while_places_are_taken_up() -> None:
    """The same while some have begun and others are on their way."""
    gate = Gate()

    async def work(number: int) -> None:
        if number == 1:
            jobs.throttle = 1

        await gate.wait()

    async with ajobs.Session(throttle=5) as jobs:
        for number in range(5):
            jobs.start(work, number)

        await anyio.wait_all_tasks_blocked()
        assert 2 == gate.arrived
        gate.open()


@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan])
async def test_bad_throttle(value: float) -> None:
    """A throttle that is none is refused, and the old one stays."""
    async with ajobs.Session(throttle=2) as jobs:
        with pytest.raises(ValueError, match="throttle"):
            jobs.throttle = value

        assert 2 == jobs.throttle

    with pytest.raises(ValueError, match="throttle"):
        ajobs.Session(throttle=value)


async def test_throttle_can_be_set_outside_of_the_block() -> None:
    """Before and after the block it is only remembered."""
    jobs = ajobs.Session(throttle=1)
    jobs.throttle = 2
    async with jobs:
        gate = Gate()
        for _ in range(3):
            jobs.start(gate.wait)

        await anyio.wait_all_tasks_blocked()
        assert 2 == gate.arrived
        gate.open()

    jobs.throttle = 5
    assert 5 == jobs.throttle


async def test_blocked_jobs_do_not_count() -> None:
    """C4: a job that waits for another lends its place, however deep."""

    async def parent(depth: int) -> int:
        if not depth:
            return 0

        job: ajobs.Job[int] = ajobs.current_session().start(parent, depth - 1)
        return 1 + await job

    async with ajobs.Session(throttle=1) as jobs:
        assert 10 == await jobs.start(parent, 10)


async def test_blocked_threads_do_not_count() -> None:
    """C4: the same in threads, which wait through anyio."""

    def parent(depth: int) -> int:
        if not depth:
            return 0

        job = anyio.from_thread.run_sync(jobs.start, parent, depth - 1)
        anyio.from_thread.run(job.wait)
        return 1 + job.result()

    async with ajobs.Session(throttle=1) as jobs:
        assert 5 == await jobs.start(parent, 5)


async def test_every_kind_of_wait_lends_the_place() -> None:
    """Waiting for a job, for input or for room in the output: the next job begins."""
    send, receive = anyio.create_memory_object_stream[int]()
    gate = Gate()

    async def waiter() -> None:
        await held

    async with ajobs.Session(throttle=1) as jobs:
        held = jobs.start(gate.wait)
        await anyio.wait_all_tasks_blocked()
        jobs.throttle = 2
        blocked = [
            jobs.start(waiter),
            jobs.start(collect, input=receive),
            jobs.start(write, 1, 2, output_limit=1),
        ]
        last = jobs.start(give, 5)
        assert 5 == await last
        assert {JobState.BLOCKED} == {job.state for job in blocked}
        send.close()
        gate.open()
        blocked[2].receive_nowait()


async def test_a_wait_that_ends_goes_on_at_once() -> None:
    """A job whose wait ends runs again at once, even above the throttle."""
    gate, hold = Gate(), Gate()
    got = []

    async def waiter() -> None:
        got.append(await first)

    async with ajobs.Session(throttle=1) as jobs:
        first = jobs.start(gate.give, 1)
        await anyio.wait_all_tasks_blocked()
        jobs.throttle = 2
        second = jobs.start(waiter)
        await reach(second, "Blocked")
        jobs.start(hold.wait)
        await anyio.wait_all_tasks_blocked()
        jobs.throttle = 1
        gate.open()
        await second
        assert [1] == got
        hold.open()


async def test_a_task_that_only_sleeps_counts() -> None:
    """Other awaits than ours keep the place."""
    async with ajobs.Session(throttle=1) as jobs:
        sleeper, other = jobs.start(forever), jobs.start(nothing)
        await anyio.wait_all_tasks_blocked()
        assert (JobState.RUNNING, JobState.NOT_STARTED) == (sleeper.state, other.state)
        await sleeper.stop()


async def test_two_waits_in_one_job_lend_one_place() -> None:
    """A3: a job with several tasks that wait lends its place once and takes it back once."""
    gates = [Gate(), Gate()]

    async def work() -> None:
        async with anyio.create_task_group() as group:
            for other in others:
                group.start_soon(other.wait)

    async with ajobs.Session() as outer:
        others = [outer.start(gate.wait) for gate in gates]
        async with ajobs.Session(throttle=1) as jobs:
            job = jobs.start(work)
            await reach(job, "Blocked")
            running, queued = jobs.start(forever), jobs.start(forever)
            await anyio.wait_all_tasks_blocked()
            assert (JobState.RUNNING, JobState.NOT_STARTED) == (running.state, queued.state)
            gates[0].open()
            await anyio.wait_all_tasks_blocked()
            assert JobState.BLOCKED == job.state
            gates[1].open()
            await job
            await anyio.wait_all_tasks_blocked()
            assert JobState.NOT_STARTED == queued.state
            await running.stop()
            await reach(queued, "Running")
            await queued.stop()


async def test_sessions_throttle_apart() -> None:
    """Each session has its own throttle."""
    gate = Gate()
    async with ajobs.Session(throttle=1) as one, ajobs.Session(throttle=2) as two:
        for jobs in (one, two):
            for _ in range(3):
                jobs.start(gate.wait)

        await anyio.wait_all_tasks_blocked()
        assert 3 == gate.arrived
        gate.open()


class Meter:
    """Counts how much runs at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


@given(
    throttle=st.integers(1, 4),
    plan=st.lists(st.sampled_from(["quick", "yield", "fail", "child", "stop"]), max_size=15),
    backend=st.sampled_from(["asyncio", "trio"]),
)
@settings(max_examples=60, deadline=None)
def test_any_mixture_keeps_the_throttle(  # noqa: C901 - kinds of jobs
    throttle: int, plan: list[str], backend: str
) -> None:
    """A3: whatever jobs do, at most so many run, all end, and every place is free again."""

    async def main() -> None:
        meter = Meter()

        async def work(kind: str) -> None:
            with meter:
                if kind == "fail":
                    raise KeyError

                if kind == "stop":
                    await anyio.sleep_forever()

                if kind != "quick":
                    await checkpoint()

            if kind == "child":
                await ajobs.current_session().start(work, "yield")

        async with ajobs.Session(throttle=throttle, failures="keep") as jobs:
            started = [(kind, jobs.start(work, kind)) for kind in plan]
            for kind, job in started:
                if kind == "stop":
                    await job.stop()

            await ajobs.wait_all(jobs)
            engine: Any = jobs._engine
            assert 0 == engine._running

        # A parent that goes on after its child may run above the throttle for a moment.
        assert meter.most <= throttle + plan.count("child")
        assert all(job.is_finished for job in jobs)

    anyio.run(main, backend=backend)


async def test_G11_queued_job_is_a_small_record() -> None:
    """A job that waits for its turn has no task, and takes less than a KiB."""
    async with ajobs.Session(throttle=1) as jobs:
        jobs.start(anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        tasks = len(anyio.get_running_tasks())
        tracemalloc.start()
        try:
            queued = [jobs.start(forever) for _ in range(10_000)]
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        await checkpoint()
        assert tasks == len(anyio.get_running_tasks())
        assert grown < 1024 * len(queued)
        await jobs.stop(jobs)
