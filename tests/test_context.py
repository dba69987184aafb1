"""Inside a job: context variables of its own, and the functions that code there may call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import Progress, Stream
from tests.support import Gate, count_from, give

var: ContextVar[str] = ContextVar("var", default="none")


# Context variables


async def test_context_is_copied_at_start() -> None:
    """C6: a job sees the values of the moment of `start`, not those set afterwards."""
    gate = Gate()

    async def read() -> str:
        await gate.wait()
        return var.get()

    async with ajobs.Session() as jobs:
        token = var.set("at start")
        job = jobs.start(read)
        var.set("later")
        gate.open()
        assert "at start" == await job
        var.reset(token)


async def test_jobs_do_not_share_their_context() -> None:
    """C6: what one job sets, neither its siblings nor its starter see, waits or not."""

    async def change(value: str, waits: bool) -> tuple[str, str]:
        before = var.get()
        var.set(value)
        if waits:
            await checkpoint()

        return before, var.get()

    async with ajobs.Session() as jobs:
        started = [jobs.start(change, str(n), bool(n % 2)) for n in range(20)]
        assert [("none", str(n)) for n in range(20)] == [await job for job in started]

    assert "none" == var.get()


async def test_a_jobs_context_stays_its_own_over_waits() -> None:
    """C6: each step of a job runs in its context, however the steps of jobs interleave."""

    async def work(value: str) -> None:
        var.set(value)
        for _ in range(10):
            await checkpoint()
            assert value == var.get()

    async with ajobs.Session() as jobs:
        for number in range(20):
            jobs.start(work, str(number))


async def test_tasks_of_a_job_get_its_context() -> None:
    """Tasks and threads that a job starts begin with its context."""
    seen = []

    async def child() -> None:
        seen.append((var.get(), ajobs.current_job()))

    def in_a_thread() -> None:
        seen.append((var.get(), ajobs.current_job()))

    async def work() -> None:
        var.set("job's")
        async with anyio.create_task_group() as group:
            group.start_soon(child)

        await anyio.to_thread.run_sync(in_a_thread)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)

    assert [("job's", job), ("job's", job)] == seen


async def test_child_job_gets_its_starters_context() -> None:
    """A job that a job starts begins with a copy of that job's context."""

    async def parent() -> str:
        var.set("parent's")
        return await ajobs.current_session().start(child)

    async def child() -> str:
        return var.get()

    async with ajobs.Session() as jobs:
        assert "parent's" == await jobs.start(parent)


async def test_generators_keep_their_context() -> None:
    """Each step of a generator job runs in the job's context."""

    async def other() -> AsyncIterator[str]:
        var.set("task")
        yield var.get()
        await checkpoint()
        yield var.get()

    def plain() -> Iterator[str]:
        var.set("thread")
        yield var.get()
        yield var.get()

    async with ajobs.Session() as jobs:
        assert ["task", "task"] == await jobs.start(other).receive()
        assert ["thread", "thread"] == await jobs.start(plain).receive()

    assert "none" == var.get()


async def test_reset_inside_a_job() -> None:
    """A token of a job's own context can be reset, after waits too."""

    async def work() -> str:
        token = var.set("inside")
        await checkpoint()
        var.reset(token)
        return var.get()

    async with ajobs.Session() as jobs:
        assert "none" == await jobs.start(work)


# The functions for code inside jobs

OUTSIDE: list[Callable[[], object]] = [
    lambda: ajobs.write_output(1),
    lambda: ajobs.write_error(1),
    lambda: ajobs.write_warning(1),
    lambda: ajobs.write_verbose(1),
    lambda: ajobs.write_debug(1),
    lambda: ajobs.write_information(1),
    lambda: ajobs.write_progress("p"),
    ajobs.job_input,
    ajobs.stop_requested,
    ajobs.check_stop,
    ajobs.cleanup,
    ajobs.current_job,
]


@pytest.mark.parametrize("call", OUTSIDE)
def test_outside_of_jobs(call: Callable[[], object]) -> None:
    """Outside of a job each of them is `NoCurrentJob`, a `LookupError`, that says where to."""
    with pytest.raises(ajobs.NoCurrentJob, match="inside a function"):
        call()

    assert issubclass(ajobs.NoCurrentJob, LookupError)


@pytest.mark.parametrize("call", OUTSIDE)
async def test_in_the_block_but_in_no_job(call: Callable[[], object]) -> None:
    """The block of a session is no job."""
    async with ajobs.Session():
        with pytest.raises(ajobs.NoCurrentJob):
            call()


WRITES: list[tuple[Stream, Callable[[object], object]]] = [
    (Stream.OUTPUT, ajobs.write_output),
    (Stream.ERROR, ajobs.write_error),
    (Stream.WARNING, ajobs.write_warning),
    (Stream.VERBOSE, ajobs.write_verbose),
    (Stream.DEBUG, ajobs.write_debug),
    (Stream.INFORMATION, ajobs.write_information),
]


def write_all(tag: str) -> None:
    """Write to each stream."""
    for _, write in WRITES:
        write(tag)

    ajobs.write_progress(tag)


async def write_all_awaited(tag: str) -> None:
    """Write to each stream and await it."""
    for _, write in WRITES:
        await write(tag)  # type: ignore[misc]  # each can be awaited

    ajobs.write_progress(tag)


async def write_in_task(tag: str) -> None:
    """Write without await in a task."""
    write_all(tag)


async def write_in_group(tag: str) -> None:
    """Write in a task of the job's."""
    async with anyio.create_task_group() as group:
        group.start_soon(write_all_awaited, tag)


async def write_in_worker(tag: str) -> None:
    """Write in a thread of the job's."""
    await anyio.to_thread.run_sync(write_all, tag)


def write_in_own_thread(tag: str) -> None:
    """Write in a bare thread that was given the context."""
    thread = threading.Thread(target=copy_context().run, args=[write_all, tag])
    thread.start()
    thread.join()


def write_from_thread(tag: str) -> None:
    """Write on the loop, on behalf of a thread job."""
    anyio.from_thread.run_sync(write_all, tag)


@pytest.mark.parametrize("runner", [None, "thread"])
@pytest.mark.parametrize("limit", [None, 10])
@pytest.mark.parametrize(
    "fn",
    [
        write_all,
        write_all_awaited,
        write_in_task,
        write_in_group,
        write_in_worker,
        write_in_own_thread,
        write_from_thread,
    ],
)
async def test_writing_from_everywhere(fn: Any, runner: str | None, limit: int | None) -> None:
    """Every stream can be written to from wherever a job's code runs, in order."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, "x", runner=runner, output_limit=limit)
        await job
        records = job.receive_nowait("all")
        assert list(Stream) == [record.stream for record in records]
        assert list(range(1, 8)) == [record.seq for record in records]
        assert ["x"] * 6 == [record.value for record in records[:6]]
        assert Progress("x") == records[6].value


async def test_progress_works_out_its_percentage() -> None:
    """The percentage follows from completed and total, 100 at most, unless it is given."""

    async def work() -> None:
        ajobs.write_progress("a", completed=1, total=8)
        ajobs.write_progress("a", completed=9, total=8)
        ajobs.write_progress("a", percent=5, completed=9, total=8)
        ajobs.write_progress("a", completed=1, total=0)
        ajobs.write_progress("a", total=10)
        ajobs.write_progress("a", done=True)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await job
        values = job.receive_nowait("progress")
        assert [12.5, 100.0, 5, None, None, None] == [value.percent for value in values]
        assert () == job.progress


async def test_progress_of_several_activities() -> None:
    """Activities are told apart by their id, and can be parts of each other."""

    async def work() -> None:
        ajobs.write_progress("outer", "begun", id=1, operation="copy", seconds_remaining=9)
        ajobs.write_progress("inner", id=2, parent_id=1)
        ajobs.write_progress("outer", "half", percent=50, id=1)
        await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        assert (
            Progress("outer", "half", 50, id=1),
            Progress("inner", id=2, parent_id=1),
        ) == job.progress
        await job.stop()


async def test_write_without_a_wait_needs_no_await() -> None:
    """Awaiting a write is allowed everywhere and never needed without a limit."""

    async def work() -> None:
        ajobs.write_output(1)
        await ajobs.write_output(2)
        await ajobs.write_verbose(3)

    async with ajobs.Session() as jobs:
        assert [1, 2] == await jobs.start(work).receive()


async def test_any_value_can_be_written() -> None:
    """Values are handed over as they are, exceptions, classes and None included."""
    values = [None, ValueError("x"), int, [], object(), StopIteration()]

    async def work() -> None:
        for value in values:
            ajobs.write_output(value)

    async with ajobs.Session() as jobs:
        got = await jobs.start(work).receive()

    assert all(one is other for one, other in zip(values, got, strict=True))


async def test_source_of_an_input_runs_outside_of_the_job() -> None:
    """The source of a job's input is the caller's code: no job is current in it."""
    seen = []

    async def source() -> AsyncIterator[int]:
        for number in range(2):
            try:
                seen.append(ajobs.current_job())
            except ajobs.NoCurrentJob:
                seen.append(None)  # type: ignore[arg-type]  # none

            yield number

    async def read() -> list[Any]:
        return [item async for item in ajobs.job_input()]

    async with ajobs.Session() as jobs:
        assert [0, 1] == await jobs.start(read, input=source())

    assert [None, None] == seen


async def test_nested_session_keeps_jobs_apart() -> None:
    """In a session inside a job, the inner jobs are current in their code, then the outer."""

    async def inner() -> Any:
        return ajobs.current_job()

    async def outer() -> bool:
        mine = ajobs.current_job()
        async with ajobs.Session() as jobs:
            job = jobs.start(inner, input=count_from(0, 3))
            assert job is await job
            assert mine is ajobs.current_job()

        return mine is ajobs.current_job()

    async with ajobs.Session() as jobs:
        assert await jobs.start(outer)


async def test_inner_input_does_not_block_the_outer_job() -> None:
    """Waiting inside a nested session is shown by the job that waits, not by its owner."""
    gate = Gate()
    states = []

    async def produce() -> int:
        return await gate.give(1)

    async def read() -> list[Any]:
        return [item async for item in ajobs.job_input()]

    async def outer() -> None:
        async with ajobs.Session() as jobs:
            producer = jobs.start(produce)
            job = jobs.start(read, input=producer.receive())
            await anyio.wait_all_tasks_blocked()
            states.extend([str(ajobs.current_job().state), str(job.state)])
            gate.open()

    async with ajobs.Session() as jobs:
        await jobs.start(outer)

    assert ["Running", "Blocked"] == states


@pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")
async def test_debuggers_see_the_jobs_name() -> None:
    """A task that waits bears its job's name on asyncio."""
    names = []

    async def work() -> None:
        await checkpoint()
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())

    async with ajobs.Session() as jobs:
        await jobs.start(work, name="mine")
        assert 1 == await jobs.start(give, 1)

    assert ["mine"] == names
