"""Cases D1 to D12, D33 to D35 and D38 to D43: what PowerShell's tests leave open, decided."""

import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import pytest

import ajobs
from tests.powershell.conftest import Gate, Place, first_record, running


def two() -> int:
    """Return what most cases need: something."""
    return 1 + 1


# Identity


async def test_D1_ids_rise(place: Place) -> None:
    """D1: ids are unique and rise over the process, whatever the session and the kind."""
    async with ajobs.Session() as one, ajobs.Session() as other:
        jobs = [session.start(place.fn(two)) for session in (one, other, one, other)]

    ids = [job.id for job in jobs]
    assert ids == list(range(ids[0], ids[0] + 4))
    assert len({job.instance_id for job in jobs}) == 4


async def test_D2_names(place: Place) -> None:
    """D2: `Job<id>` by default; a new name is seen by look-ups; two jobs may share one."""
    async with ajobs.Session() as jobs:
        first, second = jobs.start(place.fn(two)), jobs.start(place.fn(two))
        assert first.name == f"Job{first.id}"
        first.name = "same"
        assert jobs["same"] is first
        assert jobs.get(name=f"*{first.id}") == []
        second.name = "same"
        assert jobs.get(name="same") == [first, second]
        with pytest.raises(ajobs.JobNotFound, match=f"{first.id}, {second.id}"):
            jobs["same"]


async def test_D3_wildcards(place: Place) -> None:
    """D3: names ignore case and take wildcards; only a plain name without a match raises."""
    async with ajobs.Session() as jobs:
        backup = jobs.start(place.fn(two), name="Backup-7")
        jobs.start(place.fn(two), name="other")
        for pattern in ("backup-7", "BACK*", "b?ckup-7", "*[67]", "Backup-7"):
            assert jobs.get(name=pattern) == [backup]

        assert jobs.get(name="none*") == []
        with pytest.raises(ajobs.JobNotFound):
            jobs.get(name="none")


async def test_D4_times(place: Place, gate: Gate) -> None:
    """D4: the begin time is set at Running, the end time at the end, and neither moves."""

    def times() -> tuple[datetime | None, datetime | None]:
        return job.begin_time, job.end_time

    async with ajobs.Session() as jobs:
        before = datetime.now(UTC)
        job = jobs.start(place.hold(gate))
        assert times() == (None, None)
        await running(job)
        begin, end = times()
        assert begin is not None
        assert before <= begin <= datetime.now(UTC)
        assert end is None
        gate.open()
        await job
        begin_now, end = times()
        assert begin_now == begin
        assert end is not None
        assert begin <= end <= datetime.now(UTC)
        await job.stop()
        job.receive_nowait()

    assert times() == (begin, end)


# Changes of state


async def test_D5_streams_end_before_the_state(place: Place) -> None:
    """D5: whoever sees a finished state can receive everything, the return value included."""

    def write() -> int:
        ajobs.write_output(1)
        ajobs.write_warning("w")
        return 2

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(write))
        async for told in job.follow(states=True):
            if isinstance(told, ajobs.StateChange) and told.state == "Completed":
                assert [record.value for record in job.receive_nowait("all")] == [1, "w", 2]
                break
        else:
            pytest.fail("the end was never told")


async def test_D6_waiters_wake_last(place: Place) -> None:
    """D6: a waiter wakes after the last record, the state and the end time were there."""
    seen: list[tuple[object, ...]] = []

    async def waiter(wait: Callable[[], Awaitable[object]]) -> None:
        await wait()
        seen.append((str(job.state), job.end_time is not None, job.receive_nowait(keep=True)))

    async with ajobs.Session() as jobs, anyio.create_task_group() as tg:
        job = jobs.start(place.fn(two))
        follower = jobs.follow()
        tg.start_soon(waiter, job.wait)
        tg.start_soon(waiter, lambda: ajobs.wait_any(job))
        await job
        told = [(await anext(follower))[1] for _ in range(3)]

    assert seen == [("Completed", True, [2])] * 2
    assert isinstance(told[-1], ajobs.StateChange)
    assert told[-1].state == "Completed"


async def test_D7_an_observer_that_fails(place: Place) -> None:
    """D7: an exception in whoever observes a job is that code's own; the job never sees it."""

    async def observe(job: ajobs.Job[Any]) -> None:
        async for _ in job.follow(states=True):
            raise ZeroDivisionError

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        with pytest.raises(ZeroDivisionError):
            await observe(job)

        assert await job == 2


async def test_D8_finished_is_final(place: Place, gate: Gate) -> None:
    """D8: no state follows a finished one: a runner that tries that gets an error."""

    def fail() -> None:
        raise ValueError("x")

    async with ajobs.Session(failures="keep") as jobs:
        ended = [jobs.start(place.fn(two)), jobs.start(place.fn(fail))]
        ended.append(jobs.start(place.hold(gate)))
        await jobs.stop(ended[2])
        await ajobs.wait_all(ended)
        assert states(ended) == ["Completed", "Failed", "Stopped"]
        for job in ended:
            for state in ajobs.JobState:
                with pytest.raises(ajobs.InvalidTransition, match=f"{job.state} to {state}"):
                    job.move(state)

        assert states(ended) == ["Completed", "Failed", "Stopped"]


async def test_D8_a_stopped_job_stays_stopped(place: Place, gate: Gate) -> None:
    """D8: nothing that is done to a stopped job makes it Failed or changes its end."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        await running(job)
        await job.stop()
        end = job.end_time
        gate.open()
        await job.stop()
        with pytest.raises(ajobs.JobStopped):
            await job

    assert (job.state, job.end_time) == ("Stopped", end)


# Streams


async def test_D9_writing_after_the_end(place: Place) -> None:
    """D9: code that outlives its job cannot write into it any more: that raises."""
    left: list[Context] = []
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(lambda: left.append(copy_context())))
        await job
        with pytest.raises(ajobs.AjobsError):
            left[0].run(ajobs.write_output, "late")

        assert job.receive_nowait("all") == []


async def test_D9_closing_twice(place: Place) -> None:
    """D9: closing a receipt twice is harmless, and what was not taken stays with the job."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        receipt = job.receive()
        await receipt.aclose()
        await receipt.aclose()
        assert await job.receive() == [2]


async def test_D10_concurrent_writers() -> None:
    """D10: of what many threads write to one stream at the same time, nothing is lost."""

    def write(writer: int) -> None:
        for i in range(500):
            ajobs.write_output((writer, i))

    def write_together() -> None:
        # Each thread needs a context of its own: that is what carries the job.
        threads = [threading.Thread(target=copy_context().run, args=(write, n)) for n in range(4)]
        for thread in threads:
            thread.start()

        for thread in threads:
            thread.join()

    async with ajobs.Session() as jobs:
        job = jobs.start(write_together)
        records = [one async for one in job.receive("all")]

    assert [record.seq for record in records] == list(range(1, 2001))
    for n in range(4):
        assert [one.value[1] for one in records if one.value[0] == n] == list(range(500))


async def test_D11_told_when_it_is_there(place: Place, gate: Gate) -> None:
    """D11: whoever is woken by a record finds it in the job."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate, before=lambda: ajobs.write_output("there")))
        async for record in job.follow():
            assert job.has_more_data
            assert isinstance(record, ajobs.Record)
            assert job.receive_nowait() == [record.value] == ["there"]
            break

        gate.open()


async def test_D12_iteration_ends_with_the_job(place: Place, gate: Gate) -> None:
    """D12: a loop over a stream waits for more, and ends when the job has finished."""
    got: list[object] = []

    async def read() -> None:
        async for value in job.receive():
            got.append(value)  # noqa: PERF401  # it is looked at while it grows

        got.append("the end")

    async with ajobs.Session() as jobs, anyio.create_task_group() as tg:
        job = jobs.start(place.hold(gate, before=lambda: ajobs.write_output("first")))
        tg.start_soon(read)
        await first_record(job)
        await anyio.wait_all_tasks_blocked()
        assert got == ["first"]
        gate.open()

    assert got == ["first", "done", "the end"]


# Errors and stops


async def test_D33_had_errors(place: Place) -> None:
    """D33: an error record leaves the job Completed, and a flag tells, also once it was read."""

    def write() -> str:
        ajobs.write_error("not so good")
        return "result"

    async with ajobs.Session() as jobs:
        job, good = jobs.start(place.fn(write)), jobs.start(place.fn(two))
        assert await job == "result"
        await good
        assert job.state == "Completed"
        assert job.receive_nowait("error") == ["not so good"]
        assert job.had_errors
        assert not good.had_errors


async def test_D34_stop_a_finished_job(place: Place) -> None:
    """D34: stopping a finished job does nothing."""

    def fail() -> None:
        raise ValueError("x")

    async with ajobs.Session(failures="keep") as jobs:
        good, bad = jobs.start(place.fn(two)), jobs.start(place.fn(fail))
        await ajobs.wait_all(jobs)
        ends = [job.end_time for job in jobs]
        assert await jobs.stop(good, bad)
        assert [job.state for job in jobs] == ["Completed", "Failed"]
        assert [job.end_time for job in jobs] == ends
        assert await good == 2


async def test_D35_stop_a_queued_job(place: Place, gate: Gate) -> None:
    """D35: a queued job that is stopped never runs, and the count of the running stays right."""
    ran: list[int] = []
    most = 0

    def note(n: int) -> None:
        nonlocal most
        ran.append(n)
        most = max(most, len(jobs.get(state="Running")))

    async with ajobs.Session(throttle=2) as jobs:
        held = [jobs.start(place.hold(gate)) for _ in range(2)]
        queued = [jobs.start(place.fn(note), n) for n in range(6)]
        await running(*held)
        assert await jobs.stop(queued[:3])
        assert [job.state for job in queued] == ["Stopped"] * 3 + ["NotStarted"] * 3
        assert queued[0].begin_time is None
        await jobs.stop(held[0])
        await ajobs.wait_all(queued)
        assert ran == [3, 4, 5]
        assert most <= 2
        gate.open()


async def test_D35_stop_a_blocked_job(gate: Gate) -> None:
    """D35: the count of the running stays right when a job that waits is stopped."""

    async def wait_for(job: ajobs.Job[Any]) -> None:
        await job.wait()

    async with ajobs.Session(throttle=1) as jobs:
        held = jobs.start(gate.task)
        blocked = jobs.start(wait_for, held)
        queued = [jobs.start(gate.task) for _ in range(2)]
        jobs.throttle = 2
        await running(held, blocked, queued[0])
        assert states([held, blocked, *queued]) == ["Running", "Blocked", "Running", "NotStarted"]
        await blocked.stop()
        await anyio.wait_all_tasks_blocked()
        assert states([held, blocked, *queued]) == ["Running", "Stopped", "Running", "NotStarted"]
        gate.open()


async def test_D38_stops_are_concurrent() -> None:
    """D38: one job that does not react delays no other, and the grace limits the wait."""
    let_go = threading.Event()
    async with ajobs.Session() as jobs:
        deaf = jobs.start(let_go.wait, 20, name="deaf")
        others = [jobs.start(anyio.sleep_forever) for _ in range(5)]
        await running(deaf, *others)
        async with anyio.create_task_group() as tg:
            tg.start_soon(partial(jobs.stop, deaf, others, grace=60))
            await ajobs.wait_all(others)
            assert deaf.state == "Stopping"
            assert "still runs" not in deaf.status_message
            assert not await jobs.stop(deaf, others, grace=0.01)

        assert [job.state for job in others] == ["Stopped"] * 5
        assert deaf.state == "Stopping"
        assert "still runs" in deaf.status_message
        let_go.set()
        await deaf.wait()
        assert deaf.state == "Stopped"


async def test_D39_cleanup_in_a_task() -> None:
    """D39: the cleanup of a stopped task runs to its end, awaits included."""
    steps: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                steps.append("begin")
                await anyio.sleep(0.001)
                steps.append("end")

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        assert await job.stop()

    assert steps == ["begin", "end"]
    assert job.state == "Stopped"


async def test_D39_cleanup_in_a_thread(gate: Gate) -> None:
    """D39: the cleanup of a stopped thread job runs to its end, its output included."""

    def work() -> None:
        ajobs.write_output("working")
        try:
            gate.thread()
        finally:
            ajobs.write_output("cleaned up")

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await first_record(job)
        assert await job.stop()
        assert job.state == "Stopped"
        assert job.receive_nowait() == ["working", "cleaned up"]


async def test_D40_one_rule_for_removal(place: Place, gate: Gate) -> None:
    """D40: jobs that were selected by their state are removed by the same rule as any others."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        finished = jobs.start(place.fn(two))
        await finished
        await running(job)
        for selected in (jobs.get(state="Running"), jobs.get(id=job.id), list(jobs)):
            with pytest.raises(ajobs.JobNotFinished):
                await jobs.remove(selected)

        assert list(jobs) == [job, finished]
        await jobs.remove(jobs.get(state="Running"), force=True)
        assert list(jobs) == [finished]
        assert job.state == "Stopped"


async def test_D41_removal_frees(place: Place, gate: Gate) -> None:
    """D41: a wait for a job that is removed ends, and nothing of the job is kept after that."""

    class Big:
        """Something that a job is given, and writes."""

    async with ajobs.Session() as jobs:
        big = Big()
        job = jobs.start(place.hold(gate, before=partial(ajobs.write_output, big)))
        kept = weakref.ref(big)
        del big
        await first_record(job)
        async with anyio.create_task_group() as tg:
            tg.start_soon(job.wait)
            await anyio.wait_all_tasks_blocked()
            await jobs.remove(job, force=True)

        assert list(jobs) == []
        ref = weakref.ref(job)
        del job
        # Its thread may still be on the way out of the job's code.
        with anyio.move_on_after(20):
            while ref() or kept():
                gc.collect()
                await anyio.sleep(0.001)

        assert ref() is None
        assert kept() is None


# Throttle


async def test_D42_throttle_of_a_session(place: Place, gate: Gate) -> None:
    """D42: a throttle is one session's; changing it wakes the waiting and stops nobody."""
    async with ajobs.Session(throttle=1) as narrow, ajobs.Session() as wide:
        queue = [narrow.start(place.hold(gate)) for _ in range(4)]
        free = [wide.start(place.hold(gate)) for _ in range(3)]
        await running(queue[0], *free)
        await anyio.wait_all_tasks_blocked()
        assert states(queue) == ["Running"] + ["NotStarted"] * 3

        narrow.throttle = 3
        await running(*queue[:3])
        await anyio.wait_all_tasks_blocked()
        assert states(queue) == ["Running"] * 3 + ["NotStarted"]

        narrow.throttle = 1
        await anyio.wait_all_tasks_blocked()
        assert states(queue) == ["Running"] * 3 + ["NotStarted"]
        gate.open()


def states(jobs: list[ajobs.Job[Any]]) -> list[str]:
    """Return the state of each."""
    return [str(job.state) for job in jobs]


async def test_D43_nesting_does_not_deadlock() -> None:
    """D43: jobs that start jobs and wait for them come to an end at a throttle of 1."""

    async def sum_to(n: int) -> int:
        if n == 0:
            return 0

        return n + await ajobs.current_session().start(sum_to, n - 1)

    async with ajobs.Session(throttle=1) as jobs:
        tens = [jobs.start(sum_to, 10) for _ in range(3)]
        assert [await job for job in tens] == [55, 55, 55]
        assert len(jobs) == 33
