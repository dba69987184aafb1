"""The cases of PowerShell's own tests for parallel jobs, and what it leaves open, by number."""

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import JobState
from tests.foreach.conftest import Place
from tests.foreach.helpers import Gate

RUNNING = JobState.RUNNING
STOPPED = JobState.STOPPED
COMPLETED = JobState.COMPLETED
FAILED = JobState.FAILED


async def test_7_children_have_the_command_of_their_parent() -> None:
    """Parent and children carry the same command text; the name of a child is its item."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach("ab", gate)
        await anyio.wait_all_tasks_blocked()
        assert [child.command for child in job.children] == [job.command] * 2
        assert [child.name for child in job.children] == ["item 0: 'a'", "item 1: 'b'"]
        gate.opened.set()


async def test_54_one_failing_item(place: Place) -> None:
    """No output, parent and child Failed, the child's reason has the message."""

    def fail(item: int) -> None:
        raise ValueError(f"item {item} is bad")

    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start_foreach([1], place.adapt(fail), runner=place.runner)

    [child] = job.children
    assert job.receive_nowait() == []
    assert (job.state, child.state) == (FAILED, FAILED)
    assert isinstance(job.reason, ajobs.ForeachErrors)
    assert str(child.reason) == "item 1 is bad"


async def test_55_others_go_on() -> None:
    """The output of the good item is there; the end of the failed one never ran."""
    gate = Gate(1)
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start_foreach([1, 2], gate)
        await anyio.wait_all_tasks_blocked()
        bad, good = job.children
        gate.opened.set()

    assert job.receive_nowait() == [2]
    assert (job.state, bad.state, good.state) == (FAILED, FAILED, COMPLETED)
    assert job.children == (bad,)
    assert (good.result(), good.has_more_data) == (2, False)


@pytest.mark.parametrize("stream", ["error", "warning", "verbose", "debug", "information"])
async def test_73_streams_of_items(place: Place, stream: str) -> None:
    """What items write arrives with their parent."""

    def write(item: int) -> None:
        getattr(ajobs, f"write_{stream}")(f"{stream} of {item}")

    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([1], place.adapt(write), runner=place.runner)

    assert job.receive_nowait(stream) == [f"{stream} of 1"]


async def test_86_auto_remove() -> None:
    """A parallel job of four leaves the listing, its children with it."""
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(range(4), Gate, auto_remove=True)
        assert len(await job.receive()) == 4
        assert jobs.get(children=True) == []


async def test_87_all_results(place: Place) -> None:
    """Ten items give ten results."""
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(range(10), place.adapt(lambda x: x), runner=place.runner)
        assert sorted(await job.receive()) == [*range(10)]


async def test_99_children_in_the_listing() -> None:
    """With children the listing has parent and child, the parent first; also by state and id."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([1], gate)
        await anyio.wait_all_tasks_blocked()
        [child] = job.children
        assert jobs.get() == [job]
        assert jobs.get(children=True) == jobs.get(state="running", children=True) == [job, child]
        assert jobs[child.id] is child
        gate.opened.set()


async def test_117_workers_are_used_again() -> None:
    """Four items with throttle 2 have exactly two threads."""
    threads: set[int] = set()
    meet = threading.Barrier(2)

    def note(item: int) -> None:
        meet.wait()
        threads.add(threading.get_ident())

    async with ajobs.Session() as jobs:
        jobs.start_foreach(range(4), note, throttle=2)

    assert len(threads) == 2


async def test_D36_no_child_stays_behind_a_stop(place: Place) -> None:
    """After a stop every child that there was is in a final state."""
    begun = anyio.Event()
    is_open = threading.Event()

    def wait(item: int) -> None:
        anyio.from_thread.run_sync(begun.set)
        while not ajobs.stop_requested():
            is_open.wait(0.001)

    async def wait_async(item: int) -> None:
        begun.set()
        await anyio.sleep_forever()

    fn: Any = wait if place.runner == "thread" else wait_async
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(range(9), fn, runner=None if fn is wait_async else "thread")
        await begun.wait()
        children = job.children
        assert await job.stop()

    assert children
    assert {child.state for child in children} == {STOPPED}
    assert job.children == ()


async def test_D37_a_stop_says_what_did_not_run() -> None:
    """State, counts and error of the stopped job say how many items did not run."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        job = jobs.start_foreach([*range(100)], gate, throttle=4)
        await anyio.wait_all_tasks_blocked()
        await job.stop()

    text = "96 of 100 items did not run, 4 were stopped while they ran"
    assert job.status_message == text
    assert (job.counts.not_run, job.counts.stopped, job.counts.completed) == (96, 4, 0)
    with pytest.raises(ajobs.JobStopped, match=text):
        job.result()


async def test_D37_a_queued_foreach_that_is_stopped() -> None:
    """It says so, too, when it never began."""
    async with ajobs.Session(throttle=1) as jobs:
        first = jobs.start(anyio.sleep_forever)
        job = jobs.start_foreach([1, 2], Gate())
        await jobs.stop(job, first)

    assert job.status_message == "2 of 2 items did not run"


async def test_D37_an_input_of_unknown_length() -> None:
    """Nobody knows what a generator would have given."""

    def numbers() -> Iterator[int]:
        yield from range(100)

    async with ajobs.Session() as jobs:
        job = jobs.start_foreach(numbers(), Gate(), throttle=2)
        await anyio.wait_all_tasks_blocked()
        await job.stop()

    assert job.counts.not_run is None
    assert job.status_message.startswith("the rest of the input did not run")


async def test_D46_begins_with_the_first_item() -> None:
    """It is NotStarted until an item comes, and Running long before the last one does."""
    send, receive = anyio.create_memory_object_stream[int]()
    gate = Gate()
    async with ajobs.Session() as jobs, send:
        job = jobs.start_foreach(receive, gate)
        await anyio.wait_all_tasks_blocked()
        assert job.state is JobState.NOT_STARTED
        await send.send(1)
        await anyio.wait_all_tasks_blocked()
        assert (job.state, gate.begun) == (RUNNING, [1])
        gate.opened.set()
        await send.aclose()


async def test_D48_progress_has_count_and_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of it come while items run; the job has the newest at any time."""
    monkeypatch.setattr("ajobs._foreach.job.TICK", 0.001)
    gate = Gate(2)
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start_foreach([*range(8)], gate, throttle=4)
        async for record in job.follow():
            if record.value.status == "4 running":
                break

        [progress] = job.progress
        assert (progress.completed, progress.total, progress.percent) == (0, 8, 0)
        assert job.status_message == "0 of 8, 4 running"
        gate.opened.set()

    last = job.receive_nowait("progress")[-1]
    assert (last.completed, last.total, last.percent, last.done) == (8, 8, 100, True)
    assert last.status.startswith("1 failed")
    assert job.progress == ()
