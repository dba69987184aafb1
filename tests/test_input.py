"""The input of a job: pulled lazily, on the loop's thread or by one task, and closed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
from anyio.lowlevel import checkpoint

import ajobs
from ajobs._input import open_input
from tests.support import collect, count_from, forever, give, nothing, take, write


def current_task() -> object:
    """Return the task that runs here."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return trio.lowlevel.current_task()


def collect_in_thread() -> list[Any]:
    """Return the input, in a thread."""
    return list(ajobs.job_input())


async def collect_async_in_thread() -> list[Any]:
    """Return the input, in an event loop in a thread."""
    assert not isinstance(threading.current_thread(), threading._MainThread)  # type: ignore[attr-defined]
    return await collect()


class Source:
    """An async iterable that notes what is done with it."""

    def __init__(self, *items: object) -> None:
        self.items = list(items)
        self.pulled: list[object] = []
        self.tasks: set[object] = set()
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[object]:
        """Return an iterator, which is the source."""
        return self

    async def __anext__(self) -> object:
        """Give the next item, or raise it."""
        self.tasks.add(current_task())
        await checkpoint()
        if not self.items:
            raise StopAsyncIteration

        self.pulled.append(item := self.items.pop(0))
        if isinstance(item, BaseException):
            raise item

        return item

    async def aclose(self) -> None:
        """Close."""
        self.tasks.add(current_task())
        self.is_closed = True


@pytest.mark.parametrize("reader", [collect, collect_in_thread, collect_async_in_thread])
@pytest.mark.parametrize("runner", [None, "thread"])
async def test_items_arrive_in_order(reader: Any, runner: str | None) -> None:
    """A sync and an async source are read to the end in tasks, threads and loops in threads."""
    if reader is collect_async_in_thread:
        runner = "thread"

    async with ajobs.Session() as jobs:
        plain = jobs.start(reader, input=range(5), runner=runner)
        counted = jobs.start(reader, input=count_from(0, 5), runner=runner)
        assert [0, 1, 2, 3, 4] == await plain
        assert [0, 1, 2, 3, 4] == await counted


@pytest.mark.parametrize("reader", [collect, collect_in_thread])
async def test_without_input_nothing_is_read(reader: Any) -> None:
    """A job that was given no input reads an empty one."""
    async with ajobs.Session() as jobs:
        assert [] == await jobs.start(reader)


async def test_sync_source_is_pulled_on_the_loops_thread() -> None:
    """A thread job's sync source runs on the loop's thread only."""
    threads = set()

    def source() -> Iterator[int]:
        for number in range(3):
            threads.add(threading.get_ident())
            yield number

    async with ajobs.Session() as jobs:
        assert [0, 1, 2] == await jobs.start(collect_in_thread, input=source())

    assert {threading.get_ident()} == threads


async def test_async_source_is_pulled_and_closed_by_one_task() -> None:
    """A17: all steps of an async source, its closing included, are taken by one task."""
    source = Source(1, 2, 3)
    async with ajobs.Session() as jobs:
        assert [1, 2, 3] == await jobs.start(collect, input=source)

    assert source.is_closed
    assert 1 == len(source.tasks)


async def test_source_is_pulled_lazily() -> None:
    """An endless source is pulled only as far as the job asks."""
    source = Source(*range(10))

    async def two() -> list[Any]:
        items = ajobs.job_input()
        return [await anext(items), await anext(items)]

    async with ajobs.Session() as jobs:
        job = jobs.start(two, input=source)
        assert [] == source.pulled
        assert [0, 1] == await job

    assert [0, 1] == source.pulled
    assert source.is_closed


async def test_waiting_for_input_is_blocked() -> None:
    """A job that waits for input is Blocked and goes on when it comes."""
    send, receive = anyio.create_memory_object_stream[int](1)
    async with ajobs.Session() as jobs, send:
        job = jobs.start(collect, input=receive)
        await anyio.wait_all_tasks_blocked()
        assert "Blocked" == job.state
        await send.send(1)
        await anyio.wait_all_tasks_blocked()
        assert "Blocked" == job.state
        send.close()
        assert [1] == await job


async def test_error_of_the_source_reaches_the_job_once() -> None:
    """What the source raises is raised at the reader, and then the source has ended."""
    reads: list[object] = []

    async def read() -> None:
        items = ajobs.job_input()
        try:
            await anext(items)
        except ValueError as exc:
            reads.append(exc)

        reads.append([item async for item in items])

    error = ValueError("broken source")
    async with ajobs.Session() as jobs:
        await jobs.start(read, input=Source(error, 2))
        assert [error, []] == reads


@pytest.mark.parametrize("reader", [collect, collect_in_thread])
async def test_error_of_the_source_fails_the_job(reader: Any) -> None:
    """A source's error that the job does not catch is its reason."""

    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken source")

    async with ajobs.Session() as jobs:
        job = jobs.start(reader, input=source())
        with pytest.raises(ValueError, match="broken source"):
            await job


async def test_source_that_cannot_begin_fails_the_job() -> None:
    """An `__aiter__` that raises is the job's failure."""

    class Bad:
        """No source."""

        def __aiter__(self) -> AsyncIterator[int]:
            raise ValueError("no source")

    async with ajobs.Session() as jobs:
        with pytest.raises(ValueError, match="no source"):
            await jobs.start(collect, input=Bad())


async def test_generator_source_is_closed_when_the_job_ends() -> None:
    """A sync generator that was not read to its end is closed."""
    closed = []

    def source() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def one() -> Any:
        return await anext(ajobs.job_input())

    async with ajobs.Session() as jobs:
        assert 1 == await jobs.start(one, input=source())
        assert [True] == closed


async def test_source_whose_iterator_is_a_generator_is_closed() -> None:
    """A17: an async generator made by `__aiter__` is closed too."""
    closed = []

    class Numbers:
        """An async iterable, as they are mostly written."""

        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                closed.append(True)

    async def one() -> Any:
        return await anext(ajobs.job_input())

    async with ajobs.Session() as jobs:
        assert 1 == await jobs.start(one, input=Numbers())

    assert [True] == closed


@pytest.mark.parametrize("is_async", [False, True])
async def test_failing_close_is_logged_only(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while a source is closed neither fails nor holds up the job."""

    def plain() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("close")

    async def other() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("close")

    async def one() -> Any:
        return await anext(ajobs.job_input())

    async with ajobs.Session() as jobs:
        assert 1 == await jobs.start(one, input=other() if is_async else plain())

    assert [("ajobs", logging.WARNING, "closing the input of a job failed")] == caplog.record_tuples


async def test_stream_that_is_not_read_is_closed() -> None:
    """A receive stream is closed by us, also when the job never reads it."""
    send, receive = anyio.create_memory_object_stream[int]()
    with send:
        async with ajobs.Session() as jobs:
            jobs.start(nothing, input=receive)

        with pytest.raises(anyio.BrokenResourceError):
            send.send_nowait(1)


async def test_stream_of_a_job_that_never_ran_is_closed() -> None:
    """A receive stream of a job that was stopped in the queue is closed."""
    send, receive = anyio.create_memory_object_stream[int]()
    with send:
        async with ajobs.Session(throttle=1) as jobs:
            first = jobs.start(forever)
            job = jobs.start(collect, input=receive)
            await jobs.stop(job)
            await jobs.stop(first)

        with pytest.raises(anyio.BrokenResourceError):
            send.send_nowait(1)


async def test_open_file_is_left_open(tmp_path: Any) -> None:
    """A sync iterable that is no generator, such as an open file, stays the caller's."""
    (tmp_path / "lines").write_text("a\nb\n")
    with (tmp_path / "lines").open() as lines:
        async with ajobs.Session() as jobs:
            assert ["a\n", "b\n"] == await jobs.start(collect, input=lines)

        assert not lines.closed


async def test_stop_closes_a_source_that_waits() -> None:
    """Stopping a job that waits for input ends the puller and closes the source."""
    closed = []

    async def source() -> AsyncIterator[int]:
        try:
            await anyio.sleep_forever()
            yield 1
        finally:
            closed.append(True)

    async with ajobs.Session() as jobs:
        job = jobs.start(collect, input=source())
        await anyio.wait_all_tasks_blocked()
        assert await job.stop()
        assert "Stopped" == job.state

    assert [True] == closed


async def test_cancelled_read_loses_nothing() -> None:
    """A1: an item that was pulled for a reader that gave up goes to the next one."""
    send, receive = anyio.create_memory_object_stream[int](10)
    got: list[object] = []

    async def read() -> None:
        items = ajobs.job_input()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anext_into, items)
                await anyio.wait_all_tasks_blocked()
                # The hand-over and the cancellation fall into one turn of the loop.
                send.send_nowait(1)
                scope.cancel()

        send.send_nowait(2)
        send.close()
        got.extend([item async for item in items])

    async def anext_into(items: Any) -> None:
        got.append(await anext(items))

    async with ajobs.Session() as jobs:
        await jobs.start(read, input=receive)

    assert [1, 2] == got


async def test_cancelled_read_goes_to_the_reader_that_waits() -> None:
    """A1: an item that was pulled for a reader that gave up goes to another one, in its turn."""
    send, receive = anyio.create_memory_object_stream[int](10)
    got: list[object] = []

    async def read() -> None:
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as cancelled:
                    cancelled.start_soon(anext_into, ajobs.job_input())
                    await anyio.wait_all_tasks_blocked()
                    group.start_soon(read_all)
                    await anyio.wait_all_tasks_blocked()
                    send.send_nowait(1)
                    scope.cancel()

            send.send_nowait(2)
            send.close()

    async def anext_into(items: Any) -> None:
        got.append(await anext(items))

    async def read_all() -> None:
        got.extend([item async for item in ajobs.job_input()])

    async with ajobs.Session() as jobs:
        await jobs.start(read, input=receive)

    assert [1, 2] == got


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_put_back_comes_before_the_end(is_async: bool) -> None:
    """Of readers that give up at once one may have an item, another one the end after it."""
    async with ajobs.Session() as jobs:
        items = open_input(Source(3) if is_async else [3], jobs._loop)
        items.put_back(2, None)
        items.put_back(1, None)
        items.put_back(None, StopAsyncIteration())
        assert [1, 2] == [await items.next(), await items.next()]
        items.put_back(None, LookupError())
        items.put_back(2, None)
        assert 2 == await items.next()
        with pytest.raises(LookupError):
            await items.next()

        assert 3 == await items.next()
        with pytest.raises(StopAsyncIteration):
            await items.next()


@pytest.mark.parametrize("is_early", [True, False])
async def test_cancelled_read_in_another_loop_loses_nothing(is_early: bool) -> None:
    """A1: nor does one that is cancelled before or after its item has come to the job's loop."""
    send, receive = anyio.create_memory_object_stream[int](10)
    is_there = threading.Event()
    got: list[object] = []

    async def read() -> list[object]:
        items = ajobs.job_input()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anext_into, items)
                await anyio.wait_all_tasks_blocked()
                if is_early:
                    scope.cancel()
                else:
                    # Its own loop hears of the item and of the cancellation in one turn.
                    ajobs.write_output("waits")
                    assert is_there.wait(30)
                    scope.cancel()

        if is_early:
            ajobs.write_output("has given up")

        return got + [item async for item in items]

    async def anext_into(items: Any) -> None:
        got.append(await anext(items))

    async with ajobs.Session() as jobs:
        job = jobs.start(read, input=receive, runner="thread")
        await anext(job.follow())
        await anyio.wait_all_tasks_blocked()
        send.send_nowait(1)
        await anyio.wait_all_tasks_blocked()
        is_there.set()
        send.send_nowait(2)
        send.close()
        assert [1, 2] == await job


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_failure_of_the_source_is_told_once_in_another_loop(is_cancelled: bool) -> None:
    """What the source raises for a reader that gave up is raised to the next one."""
    told = threading.Event()

    def source() -> Iterator[int]:
        yield from ()
        told.wait(30)
        raise LookupError("of the source")

    async def read() -> str:
        items = ajobs.job_input()
        if is_cancelled:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(anext, items)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
                    told.set()

        told.set()
        with pytest.raises(LookupError):
            await anext(items)

        return str([item async for item in items])

    async with ajobs.Session() as jobs:
        assert "[]" == await jobs.start(read, input=source(), runner="thread")


async def test_several_readers_share_the_input() -> None:
    """Readers in tasks of one job get each item once, and all see the end."""
    got: list[object] = []

    async def reader() -> None:
        async for item in ajobs.job_input():
            got.append(item)
            await checkpoint()

    async def read() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(reader)

    async with ajobs.Session() as jobs:
        await jobs.start(read, input=count_from(0, 20))

    assert list(range(20)) == sorted(got)  # type: ignore[type-var]  # they are ints


async def test_for_on_the_loop_is_refused() -> None:
    """`for` over the input in a task would block the loop, and says so."""

    async def read() -> None:
        for _ in ajobs.job_input():
            pass

    async with ajobs.Session() as jobs:
        with pytest.raises(RuntimeError, match="async for"):
            await jobs.start(read, input=[1])


async def test_thread_reads_much_input_at_constant_cost() -> None:
    """Reading in a thread leaves nothing behind for each item."""

    def read() -> int:
        total = sum(ajobs.job_input())
        job: Any = ajobs.current_job()
        assert len(job.run._on_stop) < 5
        return int(total)

    async with ajobs.Session() as jobs:
        assert sum(range(200)) == await jobs.start(read, input=range(200))


async def test_output_of_one_job_is_the_input_of_another() -> None:
    """A receipt is a source: two jobs make a pipeline."""
    async with ajobs.Session() as jobs:
        first = jobs.start(write, 1, 2, 3)
        second = jobs.start(collect, input=first.receive())
        third = jobs.start(collect, input=second.receive())
        assert [[1, 2, 3]] == await third


async def test_pipeline_keeps_back_pressure() -> None:
    """A reader that takes one item lets a limited writer go on by one."""
    written = []

    async def produce() -> None:
        for number in range(10):
            written.append(number)
            await ajobs.write_output(number)

    async with ajobs.Session() as jobs:
        first = jobs.start(produce, output_limit=1)
        send, receive = anyio.create_memory_object_stream[int](0)

        async def relay() -> None:
            async with send:
                async for item in ajobs.job_input():
                    await send.send(item)

        jobs.start(relay, input=first.receive())
        await anyio.wait_all_tasks_blocked()
        assert len(written) < 5
        assert list(range(10)) == await take(receive)
        receive.close()


async def test_consumer_that_does_not_read_frees_the_producer() -> None:
    """A job that ends without reading its input does not hold up a producer for ever."""
    with anyio.fail_after(20):
        async with ajobs.Session(failures="keep") as jobs:
            first = jobs.start(write, *range(5), output_limit=1)
            await jobs.start(give, 1, input=first.receive())

    assert isinstance(first.reason, ajobs.OutputLimitExceeded)


async def test_failed_job_as_input_fails_its_reader() -> None:
    """A reader sees how the job whose output it reads has failed, after its last output."""
    got = []

    async def broken() -> None:
        await write(1, 2)
        raise ValueError("first")

    async def read() -> None:
        async for item in ajobs.job_input():
            got.append(item)  # noqa: PERF401 - what came before counts

    async with ajobs.Session(failures="keep") as jobs:
        first = jobs.start(broken)
        with pytest.raises(ValueError, match="first"):
            await jobs.start(read, input=first.receive())

    assert [1, 2] == got


async def test_B8_finished_job_lets_go_of_its_input() -> None:
    """A handle of a finished job does not hold on to the source."""
    source: Any = Source(1)
    async with ajobs.Session() as jobs:
        job = jobs.start(collect, input=source)
        await job

    assert None is job.options.input


async def test_error_for_a_reader_that_gave_up_goes_to_the_next() -> None:
    """A1: the source's error is not lost with the reader that asked."""
    gate = anyio.Event()
    seen: list[object] = []

    async def source() -> AsyncIterator[int]:
        await gate.wait()
        yield int("late")

    async def ask(items: Any) -> None:
        await anext(items)

    async def read() -> None:
        items = ajobs.job_input()
        async with anyio.create_task_group() as group:
            group.start_soon(ask, items)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

        gate.set()
        try:
            await anext(items)
        except ValueError as exc:
            seen.append(str(exc))

    async with ajobs.Session() as jobs:
        await jobs.start(read, input=source())

    assert ["invalid literal for int() with base 10: 'late'"] == seen


async def test_item_pulled_for_nobody_is_kept() -> None:
    """A1: an item that comes after its reader has gone waits for the next one."""
    send, receive = anyio.create_memory_object_stream[int]()

    async def ask(items: Any) -> None:
        await anext(items)

    async def read() -> list[Any]:
        items = ajobs.job_input()
        async with anyio.create_task_group() as group:
            group.start_soon(ask, items)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

        await send.send(1)
        await anyio.wait_all_tasks_blocked()
        send.close()
        return [item async for item in items]

    async with ajobs.Session() as jobs:
        assert [1] == await jobs.start(read, input=receive)
