"""Cases D13 to D32: what PowerShell's tests leave open about waiting and receiving, decided."""

import gc
import math
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

import ajobs
from tests.powershell.conftest import Gate, Place, first_record, running


def two() -> int:
    """Return what most cases need: something."""
    return 1 + 1


def counting() -> Iterator[int]:
    """Write 1 to 5."""
    yield from range(1, 6)


# Waiting


async def test_D13_wait_for_nothing() -> None:
    """D13: waiting for no jobs returns at once, with nothing."""
    assert await ajobs.wait_all() == ajobs.WaitResult([], [])
    assert await ajobs.wait_all([], timeout=0) == ajobs.WaitResult([], [])
    none: list[ajobs.Job[int]] = []
    assert [job async for job in ajobs.as_completed(none)] == []


async def test_D14_timeout_0_polls(place: Place, gate: Gate) -> None:
    """D14: a timeout of 0 returns those that have finished."""
    async with ajobs.Session() as jobs:
        finished, held = jobs.start(place.fn(two)), jobs.start(place.hold(gate))
        await finished.wait()
        assert await ajobs.wait_all(finished, timeout=0) == ajobs.WaitResult([finished], [])
        assert await ajobs.wait_any(jobs, timeout=0) == ajobs.WaitResult([finished], [held])
        assert await finished.wait(timeout=0)
        assert not await held.wait(timeout=0)
        gate.open()


async def test_D15_timeout_tells_both(place: Place, gate: Gate) -> None:
    """D15: after a timeout the finished and the others are returned, each in the given order."""
    async with ajobs.Session() as jobs:
        a, b = jobs.start(place.hold(gate)), jobs.start(place.fn(two))
        c, d = jobs.start(place.fn(two)), jobs.start(place.hold(gate))
        await b.wait()
        await c.wait()
        result = await ajobs.wait_all(d, c, b, a, timeout=0.05)
        assert result == ajobs.WaitResult([c, b], [d, a])
        gate.open()


async def test_D16_the_same_job_twice(place: Place) -> None:
    """D16: a job that is given twice counts once."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        assert await ajobs.wait_all(job, [job, job]) == ajobs.WaitResult([job], [])
        assert await ajobs.wait_any(job, job) == ajobs.WaitResult([job], [])
        assert [one async for one in ajobs.as_completed(job, job)] == [job]


async def test_D17_several_have_finished(place: Place, gate: Gate) -> None:
    """D17: a wait for any returns all that have finished, in the order given."""
    async with ajobs.Session() as jobs:
        first, second = jobs.start(place.fn(two)), jobs.start(place.fn(two))
        held = jobs.start(place.hold(gate))
        await ajobs.wait_all(first, second)
        result = await ajobs.wait_any(second, held, first)
        assert result == ajobs.WaitResult([second, first], [held])
        gate.open()


async def test_D18_any_of_nothing() -> None:
    """D18: a wait for any of no jobs returns at once, with nothing."""
    assert await ajobs.wait_any() == ajobs.WaitResult([], [])
    assert await ajobs.wait_any([]) == ajobs.WaitResult([], [])


async def test_D19_one_clock(place: Place, gate: Gate) -> None:
    """D19: the timeout is one clock for the call, however many jobs there are."""
    async with ajobs.Session() as jobs:
        held = [jobs.start(place.hold(gate)) for _ in range(20)]
        begin = anyio.current_time()
        result = await ajobs.wait_all(held, timeout=0.2)
        assert 0.2 <= anyio.current_time() - begin < 20 * 0.2
        assert result.pending == held
        gate.open()


WAITS: dict[str, Callable[[ajobs.Job[Any], Any], Any]] = {
    "wait": lambda job, timeout: job.wait(timeout),
    "wait_any": lambda job, timeout: ajobs.wait_any(job, timeout=timeout),
    "wait_all": lambda job, timeout: ajobs.wait_all(job, timeout=timeout),
    "as_completed": lambda job, timeout: anext(ajobs.as_completed(job, timeout=timeout)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("bad", [-1, -0.001, -math.inf, math.nan])
async def test_D20_bad_timeouts(
    wait: Callable[[ajobs.Job[Any], float], Any], bad: float, place: Place
) -> None:
    """D20: negative timeouts (-1 too: None is no limit) and NaN are refused."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        with pytest.raises(ValueError, match="timeout"):
            await wait(job, bad)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("huge", [2_147_484, 1e300, math.inf, 10**30, None])
async def test_D20_huge_timeouts(
    wait: Callable[[ajobs.Job[Any], float | None], Any],
    huge: float | None,
    gate: Gate,
) -> None:
    """D20: however large a timeout is, it does not overflow."""
    async with ajobs.Session() as jobs:
        job = jobs.start(gate.task)
        async with anyio.create_task_group() as tg:
            tg.start_soon(wait, job, huge)
            await anyio.wait_all_tasks_blocked()
            gate.open()

        assert job.state == "Completed"


async def test_D21_a_job_that_waits_in_the_queue() -> None:
    """D21: no job waits for a start: a queued one runs as soon as whoever has its place waits."""

    async def outer() -> int:
        inner = ajobs.current_session().start(lambda: 2)
        assert inner.state == "NotStarted"
        await inner.wait()
        return inner.result()

    async with ajobs.Session(throttle=1) as jobs:
        assert await jobs.start(outer) == 2


async def test_D22_waiting_takes_nothing(place: Place) -> None:
    """D22: no wait takes anything of a job's output."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(counting))
        await job
        for wait in WAITS.values():
            await wait(job, None)

        job.result()
        assert job.has_more_data
        assert job.receive_nowait() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
async def test_D23_cancelling_a_wait(
    wait: Callable[[ajobs.Job[Any], None], Any], place: Place, gate: Gate
) -> None:
    """D23: a wait that is cancelled leaves the job alone."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        async with anyio.create_task_group() as tg:
            tg.start_soon(wait, job, None)
            await running(job)
            await anyio.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()

        assert job.state == "Running"
        gate.open()
        assert await job == "done"


# Receiving


async def test_D24_nothing_there_yet(place: Place, gate: Gate) -> None:
    """D24: receiving what is there from a job without data gives nothing, at once."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate))
        assert job.receive_nowait() == []
        await running(job)
        assert job.receive_nowait() == []
        assert job.receive_nowait("all") == []
        assert not job.has_more_data
        with pytest.raises(anyio.WouldBlock):
            job.receive().receive_nowait()

        gate.open()


async def test_D25_the_reason_is_no_record(place: Place) -> None:
    """D25: why a job failed is an attribute, and never a record that comes back."""

    def fail() -> None:
        ajobs.write_error("a record")
        raise ValueError("the reason")

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(fail))
        await job.wait()
        assert str(job.reason) == "the reason"
        assert [record.value for record in job.receive_nowait("all")] == ["a record"]
        assert job.receive_nowait("all") == []
        assert await job.receive("all", errors="ignore") == []
        for _ in range(2):
            with pytest.raises(ValueError, match="the reason"):
                await job.receive()


async def test_D26_a_reader_that_leaves(place: Place) -> None:
    """D26: a consumer that stops reading part-way loses nothing."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(counting))
        async for value in job.receive():
            if value == 2:
                break

        assert await job.receive() == [3, 4, 5]


async def test_D26_a_reader_that_is_cancelled(place: Place, gate: Gate) -> None:
    """D26: an awaited receive that is cancelled puts everything back."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate, before=lambda: ajobs.write_output("first")))
        await first_record(job)
        with anyio.move_on_after(0.01):
            await job.receive()

        assert job.receive_nowait(keep=True) == ["first"]
        gate.open()
        assert await job.receive() == ["first", "done"]


async def test_D27_one_order(place: Place) -> None:
    """D27: over all streams the records come in the order in which they were written."""

    def write() -> str:
        ajobs.write_output(1)
        ajobs.write_information(2)
        ajobs.write_error(3)
        ajobs.write_debug(4)
        ajobs.write_output(5)
        return "last"

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(write))
        await job.wait()
        records = job.receive_nowait("all", keep=True)
        assert [record.value for record in records] == [1, 2, 3, 4, 5, "last"]
        assert [record.seq for record in records] == [1, 2, 3, 4, 5, 6]
        two_streams = await job.receive(("debug", "output"))
        assert [record.value for record in two_streams] == [1, 4, 5, "last"]


async def test_D28_none_is_output(place: Place) -> None:
    """D28: None that a job writes or yields is kept; returning None writes nothing."""

    def write() -> Iterator[None]:
        ajobs.write_output(None)
        yield None

    async with ajobs.Session() as jobs:
        assert await jobs.start(place.fn(write)).receive() == [None, None]


@pytest.mark.parametrize(
    "write",
    [
        ajobs.write_output,
        ajobs.write_error,
        ajobs.write_warning,
        ajobs.write_verbose,
        ajobs.write_debug,
        ajobs.write_information,
        ajobs.write_progress,
    ],
)
async def test_D29_more_data_of_any_stream(write: Callable[[str], object], place: Place) -> None:
    """D29: a record of any stream is more data, one of the information stream too."""

    def call() -> None:
        write("x")

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(call))
        await job
        assert job.has_more_data
        assert jobs.get(has_more_data=True) == [job]
        job.receive_nowait("all")
        assert not job.has_more_data


async def values_of(follower: AsyncIterator[object]) -> list[object]:
    """Read *follower* to its end."""
    return [one.value async for one in follower if isinstance(one, ajobs.Record)]


@pytest.mark.slow
async def test_D30_draining_is_linear() -> None:
    """D30: taking records bit by bit costs time in proportion to their number."""

    async def write(count: int) -> None:
        for i in range(count):
            ajobs.write_output(i)

    async def seconds_to_drain(count: int) -> float:
        job = jobs.start(write, count)
        await job
        begin = time.thread_time()
        taken = 0
        while part := job.receive_nowait(limit=10):
            taken += len(part)

        assert taken == count
        return time.thread_time() - begin

    async with ajobs.Session() as jobs:
        few = min([await seconds_to_drain(4_000) for _ in range(3)])
        many = min([await seconds_to_drain(80_000) for _ in range(2)])

    # 20 times as many: about 20 if it is linear, 400 if it is quadratic.
    assert many / few < 100


async def test_D31_no_copy_is_kept(place: Place) -> None:
    """D31: of what was received nothing stays in the job, though the handle is held."""

    class Big:
        """Something that takes memory."""

    def write() -> Iterator[Big]:
        ajobs.write_output(Big())
        ajobs.write_information(Big())
        yield Big()

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(write))
        await job
        refs = [weakref.ref(record.value) for record in job.receive_nowait("all", keep=True)]
        gc.collect()
        assert [ref() is None for ref in refs] == [False] * 3
        job.receive_nowait("all")
        gc.collect()
        assert [ref() is None for ref in refs] == [True] * 3
        assert jobs[job.id] is job


async def test_D32_two_consumers(place: Place) -> None:
    """D32: each record goes to one of two receivers; followers have positions of their own."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(counting))
        follower = job.follow()
        one, other = job.receive(), job.receive()
        taken = [await one.receive(), await other.receive(), await one.receive()]
        assert taken == [1, 2, 3]
        assert await values_of(job.follow()) == [4, 5]
        assert await values_of(follower) == [1, 2, 3, 4, 5]
        assert await other == [4, 5]
        with pytest.raises(anyio.EndOfStream):
            await one.receive()
