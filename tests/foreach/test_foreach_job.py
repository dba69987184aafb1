"""`start_foreach` beyond PowerShell's cases: one child, limits, policies, memory, wrong calls."""

import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import ajobs
from ajobs import JobState
from ajobs._foreach.counts import SPAN, ForeachCounts, Rate
from tests.foreach import work
from tests.foreach.conftest import Place
from tests.foreach.helpers import Gate

STOPPED = JobState.STOPPED
COMPLETED = JobState.COMPLETED


async def test_child_is_stopped_alone(place: Place) -> None:
    """To stop a child stops its item; that is no failure, and the others go on."""
    waiting = threading.Event()

    def wait(item: int) -> int:
        while item == 1 and not ajobs.stop_requested():
            waiting.wait(0.001)

        return item

    async def wait_async(item: int) -> int:
        if item == 1:
            await anyio.sleep_forever()

        return item

    fn: Any = wait_async if place.is_async else wait
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(range(9), fn, runner=place.runner, throttle=2)
        async for _ in job.receive():
            if job.counts.ended == 8:
                break

        [child] = job.children
        assert await child.stop()
        assert child.state is STOPPED

    assert job.state is COMPLETED
    assert (job.counts.stopped, job.counts.completed) == (1, 8)


async def test_child_in_a_process() -> None:
    """It is stopped with its worker, which nobody else was in; the others go on."""
    async with ajobs.ProcessRunner(max_workers=2) as runner, ajobs.Session() as jobs:
        job = jobs.start_foreach([3600, 0, 0, 0], time.sleep, runner=runner, throttle=2)
        async for _ in job.receive():
            if job.counts.ended == 3:
                break

        [child] = job.children
        assert (child.kind, child.name) == ("process", "item 0: 3600")
        assert await child.stop()

    assert (job.state, child.state) == (COMPLETED, STOPPED)


async def test_worker_goes_on_after_a_stop_of_its_item_that_was_swallowed() -> None:
    """The cancellation of one item does not reach the next one in the same task."""
    begun = anyio.Event()

    async def swallow(item: int) -> int:
        if item == 0:
            begun.set()
            with anyio.CancelScope(), pytest.raises(BaseException):  # noqa: B017, PT011
                await anyio.sleep_forever()
        else:
            await anyio.lowlevel.checkpoint()

        return item

    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(range(3), swallow, throttle=1)
        await begun.wait()
        [child] = job.children
        await child.stop()

    assert (job.state, job.receive_nowait()) == (COMPLETED, [0, 1, 2])
    assert child.state is STOPPED


async def test_time_limit() -> None:
    """The job fails with `JobTimeout`, which says what did not run."""
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([*range(9)], Gate(), throttle=2, timeout=1)
        await job.wait()
        text = "7 of 9 items did not run, 2 were stopped while they ran"
        assert job.status_message.endswith(text)
        assert isinstance(job.reason, ajobs.JobTimeout)
        assert job.reason.__notes__ == [f"ajobs: {text}"]


async def test_output_limit_holds_items_back() -> None:
    """With an output limit items wait until somebody receives."""
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    async def give(item: int) -> int:
        return item

    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(numbers(), give, output_limit=3, buffer=2, throttle=2)
        await anyio.wait_all_tasks_blocked()
        assert len(taken) < 20
        assert len([value async for value in job.receive()]) == 1000


@pytest.mark.parametrize("on_error", ["raise", "return"])
async def test_other_policies(on_error: Any) -> None:
    """Under "raise" the job fails with the item's own error, under "return" it completes."""
    gate = Gate(1)
    gate.opened.set()
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start_foreach([0, 1, 2], gate, on_error=on_error, ordered=True)

    [child] = job.children
    assert isinstance(child.reason, ValueError)
    if on_error == "raise":
        assert job.reason is child.reason
    else:
        assert job.state is COMPLETED
        assert [outcome.index for outcome in job.receive_nowait()] == [0, 1, 2]


async def test_finished_job_holds_no_items() -> None:
    """A handle that is kept keeps the counts, and neither items nor input."""

    class Item:
        pass

    items = [Item() for _ in range(3)]
    seen = weakref.ref(items[1])

    async def take(item: Item) -> None:
        pass

    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(items, take)

    items.clear()
    gc.collect()
    assert seen() is None
    assert job.counts.completed == 3


async def test_bad_calls() -> None:
    """What is wrong is said at the call."""
    async with ajobs.Session() as jobs:
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            jobs.start_foreach([1], abs, colour="red")  # type: ignore[call-arg]

        with pytest.raises(TypeError, match="the items are its input"):
            jobs.start_foreach([1], abs, input=[2])

        with pytest.raises(ValueError, match="throttle"):
            jobs.start_foreach([1], abs, throttle=0)

        assert len(jobs) == 0

    with pytest.raises(ajobs.SessionClosed):
        jobs.start_foreach([1], abs)


async def test_input_fails() -> None:
    """The error of the input is among those of the items."""

    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    gate = Gate()
    gate.opened.set()
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(numbers(), gate)
        with pytest.raises(LookupError, match="no more"):
            await job

    assert job.receive_nowait() == [1]


def test_rate() -> None:
    """Items per second of late; nothing before one has ended."""
    rate = Rate()
    assert rate.per_second(0.0, 0) is None
    rate.note(0.0, 0)
    assert rate.per_second(2.0, 0) is None
    assert rate.per_second(2.0, 8) == 4
    for second in range(1, 30):
        rate.note(float(second), second)

    assert rate.per_second(29.0, 29) == 1
    assert rate.per_second(29.0 + SPAN, 29 + 2 * int(SPAN)) == pytest.approx(1.5, abs=0.1)


def test_counts_in_words() -> None:
    """What is not known is left out."""
    assert ForeachCounts().text() == "0"
    counts = ForeachCounts(2000, 1200, 1, 0, 5, 794, 12.345, 64.4)
    assert counts.text() == "1,201 of 2,000, 1 failed, 5 running, 12.3/s, 64 s left"


async def test_child_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its grace is over it is told to be stuck, and is Stopping until its code has ended."""
    monkeypatch.setattr("ajobs._foreach.children.FORCE_SECONDS", 0.0)
    is_open = threading.Event()
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([1], lambda _: is_open.wait(10))
        while not job.children:
            await anyio.lowlevel.checkpoint()

        [child] = job.children
        assert not await child.stop(grace=0.0)
        assert str(child.state) == "Stopping"
        assert "still runs" in child.status_message
        is_open.set()

    assert str(child.state) == "Stopped"


async def stop_twice(job: ajobs.Job[Any]) -> None:
    """Stop *job* patiently, and then at once."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(job.stop, 3600)
            await anyio.wait_all_tasks_blocked()
            await job.stop(0.01)


async def test_second_stop_is_less_patient() -> None:
    """The cleanup of items has no more time than the earlier deadline allows."""
    begun = anyio.Event()

    async def linger(_: int) -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([1], linger)
        await begun.wait()
        await stop_twice(job)

    assert (job.state, job.counts.stopped) == (JobState.STOPPED, 1)


async def test_second_stop_kills_a_worker() -> None:
    """A process that does not listen is killed at the earlier deadline."""
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([1], work.refuse_to_stop, runner="process")
        async for _ in job.receive():
            break

        await stop_twice(job)

    assert (job.state, job.counts.stopped) == (JobState.STOPPED, 1)
