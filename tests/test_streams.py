"""Records: received, put back, followed, limited, saved."""

from __future__ import annotations

import gc
import json
import re
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import JobState, Progress, Record, StateChange, Stream
from ajobs._records import KEPT
from tests.support import (
    Deaf,
    Gate,
    give,
    nothing,
    reach,
    take,
    write,
)


class Error(Exception):
    """A failure of a job."""


async def write_everywhere() -> str:
    """Write one record on each stream."""
    ajobs.write_output("o")
    ajobs.write_error("e")
    ajobs.write_warning("w")
    ajobs.write_verbose("v")
    ajobs.write_debug("d")
    ajobs.write_information("i")
    ajobs.write_progress("p", completed=1, total=4)
    return "value"


async def write_and_fail(*values: object) -> None:
    """Write, then fail."""
    await write(*values)
    raise Error("at the end")


# Receiving with await


async def test_awaited_receive_waits_for_everything() -> None:
    """`await receive()` gives all output once the job has finished, the value last."""
    gate = Gate()

    async def work() -> int:
        await write(1, 2)
        await gate.wait()
        await write(3)
        return 4

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        gate.open()
        assert [1, 2, 3, 4] == await job.receive()
        assert [] == await job.receive()
        assert 4 == await job


async def test_one_order_over_all_streams() -> None:
    """All streams share one order; several streams give records, one gives values."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write_everywhere)
        await job
        assert ["o", "value"] == await job.receive(keep=True)
        assert ["e"] == await job.receive("error", keep=True)
        records = await job.receive("all", keep=True)
        assert list(range(1, 9)) == [record.seq for record in records]
        assert [*Stream, Stream.OUTPUT] == [record.stream for record in records]
        assert all(isinstance(record, Record) for record in records)
        assert Progress("p", percent=25.0, completed=1, total=4) == records[6].value
        some = await job.receive([Stream.WARNING, "output"])
        assert ["o", "w", "value"] == [record.value for record in some]
        assert ["e", "v", "d", "i"] == [r.value for r in job.receive_nowait("all")][:4]
        assert job.had_errors


async def test_failed_job_gives_its_output_back_and_raises() -> None:
    """On failure everything is put back in front, for `receive_nowait`; then it is raised."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write_and_fail, 1, 2)
        with pytest.raises(Error, match="at the end"):
            await job.receive()

        assert [1, 2] == await job.receive(errors="ignore", keep=True)
        assert [1, 2] == job.receive_nowait()
        with pytest.raises(Error):
            await job.receive()


async def test_stopped_job_raises_after_its_output() -> None:
    """A stopped job raises `JobStopped` in the same way, and its output stays."""

    async def work() -> None:
        await write(1)
        await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        await job.stop()
        with pytest.raises(ajobs.JobStopped, match=f"job {job.id} was stopped"):
            await job.receive()

        got = []
        with pytest.raises(ajobs.JobStopped):  # noqa: PT012 - the block is what raises
            async for value in job.receive():
                got.append(value)  # noqa: PERF401 - what came before counts

        assert [1] == got


async def test_cancelled_receive_puts_everything_back() -> None:
    """A1: a cancelled `await receive()` loses nothing, and later records come after it."""
    gate = Gate()

    async def work() -> None:
        await write(1, 2)
        await gate.wait()
        await write(3)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        with anyio.move_on_after(0.01) as scope:
            await job.receive()

        assert scope.cancelled_caught
        gate.open()
        await job
        assert [1, 2, 3] == job.receive_nowait()


async def test_F6_what_is_put_back_wakes_other_readers() -> None:
    """A reader that waits gets what another one puts back, and the writer goes on."""
    got: list[object] = []
    scope = anyio.CancelScope()

    async def all_of_it() -> None:
        with scope:
            await job.receive()

    async def one_by_one() -> None:
        async for value in job.receive():
            got.append(value)  # noqa: PERF401 - what came before counts

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        gate = Gate()

        async def work() -> None:
            await write(0, 1, 2)
            await gate.wait()
            await write(3)

        job = jobs.start(work, output_limit=4)
        group.start_soon(all_of_it)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(one_by_one)
        await anyio.wait_all_tasks_blocked()
        assert [] == got
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert [0, 1, 2] == got
        gate.open()

    assert [0, 1, 2, 3] == got


async def test_F6_two_that_put_back_keep_the_order() -> None:
    """Two receives that took in turns and were both cancelled leave the old order."""
    send, steps = anyio.create_memory_object_stream[int]()

    async def work() -> None:
        async for number in ajobs.job_input():
            ajobs.write_output(number)

    async with ajobs.Session() as jobs:
        async with send, anyio.create_task_group() as group:
            job = jobs.start(work, input=steps)
            for _ in range(2):
                group.start_soon(awaited, job)

            for number in range(6):
                await send.send(number)
                await anyio.wait_all_tasks_blocked()

            group.cancel_scope.cancel()

        assert list(range(6)) == job.receive_nowait()


async def awaited(job: ajobs.Job[Any]) -> None:
    """Receive everything."""
    await job.receive()


# One by one


async def test_incremental_receive_is_live() -> None:
    """`async for` gives each record when it is there, and ends with the job."""
    gates = [Gate() for _ in range(3)]
    got: list[object] = []

    async def work() -> None:
        for number, gate in enumerate(gates):
            await gate.wait()
            await write(number)

    async def reader() -> None:
        async for value in job.receive():
            got.append(value)  # noqa: PERF401 - what came before counts

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work)
        group.start_soon(reader)
        for number, gate in enumerate(gates):
            assert list(range(number)) == got
            gate.open()
            await anyio.wait_all_tasks_blocked()


async def test_consumer_that_stops_early_loses_nothing() -> None:
    """Taking is record by record: what a `break` left is there."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, *range(5))
        receipt = job.receive()
        async for value in receipt:
            if value == 1:
                break

        assert [2, 3, 4] == await receipt


async def test_failure_comes_after_the_last_record() -> None:
    """The failure is raised once all output was handed over, and then the stream has ended."""
    got = []
    async with ajobs.Session() as jobs:
        receipt = jobs.start(write_and_fail, 1, 2).receive()
        with pytest.raises(Error):  # noqa: PT012 - the block is what raises
            async for value in receipt:
                got.append(value)  # noqa: PERF401 - what came before counts

        assert [1, 2] == got
        with pytest.raises(anyio.EndOfStream):
            await receipt.receive()


@pytest.mark.parametrize("error", [anyio.EndOfStream, anyio.WouldBlock, StopAsyncIteration])
async def test_failure_that_looks_like_an_end(error: type[Exception]) -> None:
    """An item less would be the only sign of it: code reads streams of its own to their ends."""

    async def reads_on() -> None:
        ajobs.write_output(1)
        raise error

    async with ajobs.Session() as jobs:
        job = jobs.start(reads_on)
        with pytest.raises(RuntimeError, match=error.__name__) as caught:
            [value async for value in job.receive(keep=True)]

        assert type(caught.value.__cause__) is error
        with pytest.raises(RuntimeError, match=error.__name__):
            await job.receive(keep=True, stream="error").receive()

        receipt = job.receive()
        assert receipt.receive_nowait() == 1
        with pytest.raises(RuntimeError, match=error.__name__):
            receipt.receive_nowait()

        with pytest.raises(error):
            await job


async def test_errors_ignored() -> None:
    """`errors="ignore"` never raises how the job ended."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(write_and_fail, 1)
        assert [1] == [value async for value in job.receive(errors="ignore")]
        assert [] == await job.receive(errors="ignore")


async def test_generator_is_received_while_it_runs() -> None:
    """An endless generator's values can be taken one by one."""

    async def numbers() -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    async with ajobs.Session() as jobs:
        job = jobs.start(numbers, output_limit=3)
        got = []
        async for value in job.receive():
            got.append(value)
            if value == 99:
                break

        await job.stop()

    assert list(range(100)) == got


async def test_F6_readers_share_and_none_gets_a_record_twice() -> None:
    """Several readers of one job get each record once, all together."""
    got: list[list[int]] = [[], [], []]

    async def reader(mine: list[int]) -> None:
        async for value in job.receive():
            mine.append(value)
            await checkpoint()

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(write, *range(60))
        for mine in got:
            group.start_soon(reader, mine)

    assert list(range(60)) == sorted(value for mine in got for value in mine)
    assert all(sorted(mine) == mine for mine in got)


async def test_two_jobs_read_each_other_in_turns() -> None:
    """A16: two jobs that wait for each other's records in turns are no ring."""

    async def player(other: list[ajobs.Job[Any]], first: bool) -> list[int]:
        got = []
        if first:
            ajobs.write_output(0)

        async for value in other[0].receive():
            got.append(value)
            if value < 6:
                ajobs.write_output(value + 1)

            if value >= 5:
                break

        return got

    async with ajobs.Session() as jobs:
        of_ping: list[ajobs.Job[Any]] = []
        of_pong: list[ajobs.Job[Any]] = []
        ping = jobs.start(player, of_ping, True)
        pong = jobs.start(player, of_pong, False)
        of_ping.append(pong)
        of_pong.append(ping)
        assert [0, 2, 4, 6] == await pong
        assert [1, 3, 5] == await ping


async def test_reading_ones_own_output_is_a_deadlock() -> None:
    """A16: a job that waits for its own output raises `DeadlockError`."""

    async def work() -> None:
        await ajobs.current_job().receive()

    async with ajobs.Session() as jobs:
        with pytest.raises(ajobs.DeadlockError, match="waits for itself"):
            await jobs.start(work)


async def test_long_backlog_lets_others_run() -> None:
    """A14: a reader of a long backlog gives other tasks their turn."""
    turns = []

    async def other() -> None:
        while True:
            turns.append(True)
            await checkpoint()

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(write, *range(1000))
        await job
        group.start_soon(other)
        async for _ in job.receive("output", keep=True):
            pass

        kept = len(turns)
        async for _ in job.follow():
            pass

        followed = len(turns)
        async for _ in job.receive():
            pass

        group.cancel_scope.cancel()

    assert 0 < kept < followed < len(turns)


# The receipt as a stream


async def test_receipt_is_a_receive_stream() -> None:
    """A receipt is an anyio object stream: receive, end, close."""
    async with ajobs.Session() as jobs:
        receipt = jobs.start(write, 1, 2).receive()
        assert isinstance(receipt, ObjectReceiveStream)
        assert 1 == await receipt.receive()
        assert 2 == await receipt.receive()
        with pytest.raises(anyio.EndOfStream):
            await receipt.receive()

        with pytest.raises(anyio.EndOfStream):
            receipt.receive_nowait()


async def test_receipt_receive_nowait() -> None:
    """`receive_nowait` of a receipt gives a value, `WouldBlock`, or the end."""
    gate = Gate()

    async def work() -> None:
        await write(1)
        await gate.wait()
        raise Error

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        receipt = job.receive()
        with pytest.raises(anyio.WouldBlock):
            receipt.receive_nowait()

        await anyio.wait_all_tasks_blocked()
        assert 1 == receipt.receive_nowait()
        with pytest.raises(anyio.WouldBlock):
            receipt.receive_nowait()

        gate.open()
        await job.wait()
        with pytest.raises(Error):
            receipt.receive_nowait()

        with pytest.raises(anyio.EndOfStream):
            receipt.receive_nowait()


@pytest.mark.parametrize("keep", [False, True])
async def test_closed_receipt_takes_no_more(keep: bool) -> None:
    """What a closed receipt has not taken stays with the job."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, 1, 2)
        async with job.receive(keep=keep) as receipt:
            assert 1 == await receipt.receive()

        with pytest.raises(anyio.EndOfStream):
            await receipt.receive()

        await job
        assert ([1, 2] if keep else [2]) == job.receive_nowait()


async def test_cancelled_receive_of_one_loses_nothing() -> None:
    """A1: a record that comes with the cancellation stays."""
    gate = Gate()

    async def work() -> None:
        await gate.wait()
        await write(1)

    async def one(receipt: Any) -> None:
        await receipt.receive()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        async with anyio.create_task_group() as group:
            group.start_soon(one, job.receive())
            await anyio.wait_all_tasks_blocked()
            gate.open()
            group.cancel_scope.cancel()

        assert [1] == await job.receive()


# keep


async def test_keep_reads_from_the_oldest_again_and_again() -> None:
    """With `keep` each receipt has its own position and takes nothing."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, 1, 2)
        assert [1, 2] == await job.receive(keep=True)
        assert [1, 2] == [value async for value in job.receive(keep=True)]
        assert [1, 2] == job.receive_nowait(keep=True)
        assert [1] == job.receive_nowait(keep=True, limit=1)
        receipt = job.receive(keep=True)
        assert (1, 2) == (receipt.receive_nowait(), receipt.receive_nowait())
        assert [1, 2] == job.receive_nowait()
        assert [] == await job.receive(keep=True)


async def test_keep_is_live_too() -> None:
    """With `keep` records come live, whoever takes them meanwhile."""
    gate = Gate()

    async def work() -> None:
        await write(1)
        await gate.wait()
        await write(2)

    got: list[object] = []

    async def reader() -> None:
        async for value in job.receive(keep=True):
            got.append(value)  # noqa: PERF401 - what came before counts

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work)
        group.start_soon(reader)
        await anyio.wait_all_tasks_blocked()
        assert [1] == job.receive_nowait()
        gate.open()

    assert [1, 2] == got


async def test_keep_raises_the_failure() -> None:
    """With `keep` the failure is raised as well, and everything stays."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write_and_fail, 1)
        with pytest.raises(Error):
            await job.receive(keep=True)

        got = []
        with pytest.raises(Error):  # noqa: PT012 - the block is what raises
            async for value in job.receive(keep=True):
                got.append(value)  # noqa: PERF401 - what came before counts

        assert [1] == got == job.receive_nowait()


# receive_nowait


async def test_receive_nowait_takes_what_is_there() -> None:
    """It never waits and never raises for a failed job; `limit` takes the oldest."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(write_and_fail, 1, 2, 3)
        assert [] == job.receive_nowait()
        await job.wait()
        assert [] == job.receive_nowait(limit=0)
        assert [1, 2] == job.receive_nowait(limit=2)
        assert [3] == job.receive_nowait()
        assert [] == job.receive_nowait()


async def test_value_stays_with_result() -> None:
    """The return value is taken as output, and stays with `result()`."""
    async with ajobs.Session() as jobs:
        job = jobs.start(give, 1)
        await job
        assert [1] == job.receive_nowait()
        assert 1 == job.result()


# Following


async def test_follow_gives_everything_and_takes_nothing() -> None:
    """A follower gets what is held, then each record live, on all streams."""
    gate = Gate()

    async def work() -> int:
        ajobs.write_output(1)
        ajobs.write_debug(2)
        await gate.wait()
        ajobs.write_error(3)
        return 4

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        early, late = job.follow(), job.follow()
        gate.open()
        await job
        assert [1, 4] == job.receive_nowait()
        assert [1, 2, 3, 4] == [record.value async for record in early]
        assert [1, 2, 3, 4] == [record.value for record in await take(late)]
        assert [2, 3] == [record.value async for record in job.follow()]


async def test_follow_never_raises_the_failure() -> None:
    """A follower of a failed job just ends, and has seen no failure."""
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(write_and_fail, 1)
            assert [1] == [record.value async for record in job.follow()]


async def test_follow_with_states() -> None:
    """With `states` each move comes in its place, the reason with the last one."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(write_and_fail, 1)
        told = await take(job.follow(states=True))
        changes = [one for one in told if isinstance(one, StateChange)]
        assert [("NotStarted", "Running"), ("Running", "Failed")] == [
            (change.previous, change.state) for change in changes
        ]
        assert (None, job.reason) == (changes[0].reason, changes[1].reason)
        assert 1 == told[1].value


async def test_leaving_a_follower_leaves_nothing() -> None:
    """A follower that was left early is not filled any more."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, *range(3))
        async for _ in job.follow():
            break

        gc.collect()
        log: Any = job.open_log()
        assert [None] == [ref() for ref in log._feeds]
        assert {} == log.listeners


async def test_session_follow_joins_all_jobs() -> None:
    """The session's follower gets records and moves of all jobs, those to come included."""
    told: list[tuple[int, object]] = []

    async def follow() -> None:
        async for job, one in jobs.follow():
            told.append((job.id, one.state if isinstance(one, StateChange) else one.value))

    async with anyio.create_task_group() as group, ajobs.Session(failures="keep") as jobs:
        early = jobs.start(give, 1)
        await early
        group.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        late = jobs.start(write_and_fail, 2)
        await late.wait()
        await jobs.remove(late)
        await anyio.wait_all_tasks_blocked()
        assert [(late.id, "Failed")] == told[-1:]

    assert [
        (early.id, 1),
        (late.id, "Running"),
        (late.id, 2),
        (late.id, "Failed"),
    ] == told


async def test_session_follow_after_the_end() -> None:
    """A follower of a session that has closed gets what its jobs still hold."""
    async with ajobs.Session() as jobs:
        job = jobs.start(give, 1)

    told = await take(jobs.follow())
    assert [(job, 1)] == [(one, record.value) for one, record in told]


async def test_session_follower_can_be_left() -> None:
    """A session's follower that was dropped is not filled any more."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, 1)
        await job
        async for _, _ in jobs.follow():
            break

        gc.collect()
        assert 0 == len(jobs._followers)
        follower = jobs.follow()
        jobs.start(write, 2)
        log: Any = job.open_log()
        wake = next(iter(log.listeners))
        del follower
        gc.collect()
        wake()


async def test_session_follower_lets_others_run() -> None:
    """A14: a long backlog of a session does not hold up the loop."""
    turns = []

    async def other() -> None:
        while True:
            turns.append(True)
            await checkpoint()

    async with ajobs.Session() as jobs:
        await jobs.start(write, *range(1000))

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        assert 1000 == len([record async for _, record in jobs.follow()])
        assert turns
        group.cancel_scope.cancel()


async def test_thread_wakes_its_reader_each_time() -> None:
    """Each record that a thread writes gets to a reader that waits, while the thread goes on."""
    more = [threading.Event() for _ in range(3)]

    def work() -> None:
        for number, event in enumerate(more):
            ajobs.write_output(number)
            event.wait(10)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        seen = []
        async for record in job.follow():
            seen.append((record.value, job.is_finished))
            more[len(seen) - 1].set()

        assert [(0, False), (1, False), (2, False)] == seen


async def test_tasks_share_a_session_follower() -> None:
    """Each record goes to one of them, and each of them comes to the end."""
    gate = Gate()
    seen: list[object] = []
    ended = []

    async def take_all(me: int, follower: AsyncIterator[tuple[ajobs.Job[Any], Any]]) -> None:
        async for _, told in follower:
            if not isinstance(told, StateChange):
                seen.append(told.value)

        ended.append(me)

    async def work() -> None:
        await gate.wait()
        ajobs.write_output("one")

    async with anyio.create_task_group() as tasks:
        async with ajobs.Session() as jobs:
            follower = jobs.follow()
            for me in range(2):
                tasks.start_soon(take_all, me, follower)

            job = jobs.start(work)
            await anyio.wait_all_tasks_blocked()
            gate.open()
            await job

        await anyio.wait_all_tasks_blocked()
        assert ["one"] == seen
        assert [0, 1] == sorted(ended)
        tasks.cancel_scope.cancel()


# Limits


async def test_awaited_writes_wait_for_room() -> None:
    """`overflow="wait"`: a task that awaits its writes is Blocked while its output is full."""
    written: list[int] = []

    async def work() -> None:
        for number in range(10):
            await ajobs.write_output(number)
            written.append(number)

    async with ajobs.Session() as jobs:
        job = jobs.start(work, output_limit=3)
        await anyio.wait_all_tasks_blocked()
        assert JobState.BLOCKED == job.state
        held = len(written)
        assert held <= 3
        assert list(range(held + 1))[:3] == job.receive_nowait(limit=3)
        await anyio.wait_all_tasks_blocked()
        assert held < len(written) < 10
        assert 10 - 3 == len(await job.receive())


def three_plainly() -> Iterator[int]:
    """Give three values in a thread."""
    yield from range(3)


def three_writes() -> None:
    """Write three values in a thread."""
    for number in range(3):
        ajobs.write_output(number)


async def three_awaited() -> None:
    """Write three values in a task."""
    await write(*range(3))


async def three_yields() -> AsyncIterator[int]:
    """Give three values in a task."""
    for number in range(3):
        yield number


@pytest.mark.parametrize("fn", [three_plainly, three_writes, three_awaited, three_yields])
async def test_output_within_the_limit_waits_for_nobody(fn: Any) -> None:
    """A job that writes just as much as its limit allows ends, read or not."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, output_limit=3)

    assert JobState.COMPLETED == job.state
    assert [0, 1, 2] == job.receive_nowait()


async def test_unawaited_writes_beyond_twice_the_limit_fail() -> None:
    """Without await, more than twice the limit is `OutputLimitExceeded`, caught or not."""

    async def work() -> str:
        for number in range(6):
            ajobs.write_output(number)

        try:
            ajobs.write_output(6)
        except ajobs.OutputLimitExceeded:
            return "swallowed"

        return "allowed"

    async with ajobs.Session() as jobs:
        job = jobs.start(work, output_limit=3)
        with pytest.raises(ajobs.OutputLimitExceeded, match="output_limit is 3"):
            await job

        assert list(range(6)) == job.receive_nowait()


async def test_overflow_error_fails_at_the_limit() -> None:
    """`overflow="error"`: one record more than the limit fails the job, awaited or not."""
    async with ajobs.Session() as jobs:
        fits = jobs.start(write, 1, 2, 3, output_limit=3, overflow="error")
        await fits
        job = jobs.start(write, 1, 2, 3, 4, output_limit=3, overflow="error")
        with pytest.raises(ajobs.OutputLimitExceeded):
            await job

        assert JobState.FAILED == job.state
        assert [1, 2, 3] == job.receive_nowait()


@pytest.mark.parametrize("fn", [three_plainly, three_writes, three_awaited, three_yields])
async def test_overflow_error_fails_every_kind_of_writer(fn: Any) -> None:
    """`overflow="error"` lets nobody wait, generators neither."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, output_limit=2, overflow="error")
        with pytest.raises(ajobs.OutputLimitExceeded):
            await job

        assert [0, 1] == job.receive_nowait()


@pytest.mark.parametrize("fn", [three_plainly, three_writes, three_awaited, three_yields])
async def test_taking_one_makes_room_for_one(fn: Any) -> None:
    """A writer that waits goes on as soon as what it has in hand fits."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fn, output_limit=2)
        await reach(job, "Blocked")
        assert [0] == job.receive_nowait(limit=1)
        await job
        assert [1, 2] == job.receive_nowait()


async def test_limit_counts_output_errors_and_warnings_together() -> None:
    """The limit bounds the three streams that are never dropped, and no other."""

    async def work() -> None:
        for _ in range(10):
            ajobs.write_verbose("v")
            ajobs.write_progress("p")

        ajobs.write_output(1)
        ajobs.write_error(2)
        ajobs.write_warning(3)
        ajobs.write_warning(4)

    async with ajobs.Session() as jobs:
        with pytest.raises(ajobs.OutputLimitExceeded):
            await jobs.start(work, output_limit=3, overflow="error")


async def test_session_limits_are_defaults() -> None:
    """A session's limit and overflow hold for jobs that do not say."""
    async with ajobs.Session(output_limit=1, overflow="error") as jobs:
        with pytest.raises(ajobs.OutputLimitExceeded):
            await jobs.start(write, 1, 2)

        await jobs.start(write, 1, 2, output_limit=2)


async def test_generators_are_suspended() -> None:
    """F1: generators in tasks and threads wait for room by themselves."""
    yielded = {"task": 0, "thread": 0}

    async def other() -> AsyncIterator[int]:
        for number in range(20):
            yielded["task"] += 1
            yield number

    def plain() -> Iterator[int]:
        for number in range(20):
            yielded["thread"] += 1
            yield number

    async with ajobs.Session() as jobs:
        for job in (jobs.start(other, output_limit=2), jobs.start(plain, output_limit=2)):
            await reach(job, "Blocked")

            assert yielded[job.kind] <= 3
            assert list(range(20)) == await job.receive()


async def test_thread_waits_for_room() -> None:
    """A thread blocks in `write_output` while its output is full, and goes on after it."""

    def work() -> int:
        for number in range(50):
            ajobs.write_output(number)

        return 50

    async with ajobs.Session() as jobs:
        job = jobs.start(work, output_limit=1)
        got = []
        async for value in job.receive():
            got.append(value)
            await checkpoint()

    assert list(range(51)) == got


async def test_stop_leaves_a_wait_for_room() -> None:
    """A stop ends a thread and a task that wait for room."""

    def plain() -> None:
        for number in range(5):
            ajobs.write_output(number)

    async with ajobs.Session() as jobs:
        for job in (
            jobs.start(plain, output_limit=1),
            jobs.start(write, *range(5), output_limit=1),
        ):
            await reach(job, "Blocked")

            assert await job.stop()
            assert JobState.STOPPED == job.state
            assert [0] == job.receive_nowait(limit=1)


async def test_time_limit_leaves_a_wait_for_room() -> None:
    """So does a time limit."""

    def plain() -> None:
        for number in range(5):
            ajobs.write_output(number)

    async with ajobs.Session() as jobs:
        job = jobs.start(plain, output_limit=1, timeout=0.01)
        with pytest.raises(ajobs.JobTimeout):
            await job


@pytest.mark.parametrize("runner", ["task", "thread"])
async def test_leaving_fails_a_writer_that_nobody_reads(runner: str) -> None:
    """Leaving the session while a job waits for room and nobody reads fails it."""

    def plain() -> None:
        for number in range(5):
            ajobs.write_output(number)

    async with ajobs.Session(failures="keep") as jobs:
        if runner == "task":
            job = jobs.start(write, *range(5), output_limit=1)
        else:
            job = jobs.start(plain, output_limit=1)

    assert isinstance(job.reason, ajobs.OutputLimitExceeded)
    assert "nobody left to read" in str(job.reason)


async def test_leaving_lets_a_reader_finish() -> None:
    """While somebody reads, a writer that waits for room goes on during the exit."""
    got: list[object] = []

    async def reader() -> None:
        async for value in job.receive():
            got.append(value)
            await checkpoint()

    async with anyio.create_task_group() as group, ajobs.Session() as jobs:
        job = jobs.start(write, *range(10), output_limit=1)
        group.start_soon(reader)
        await anyio.wait_all_tasks_blocked()

    assert list(range(10)) == got


async def test_reader_that_leaves_during_the_exit() -> None:
    """When the last reader leaves while the session drains, the writer fails."""

    async def reader() -> None:
        async for value in job.receive():
            if value == 2:
                break

    async with anyio.create_task_group() as group:
        with anyio.fail_after(20):
            async with ajobs.Session(failures="keep") as jobs:
                job = jobs.start(write, *range(10), output_limit=1)
                group.start_soon(reader)
                await anyio.wait_all_tasks_blocked()

    assert isinstance(job.reason, ajobs.OutputLimitExceeded)


async def test_saving_counts_as_reading(tmp_path: Path) -> None:
    """A `save` under way keeps a limited writer going while the session is left."""
    async with anyio.create_task_group() as group, ajobs.Session() as jobs:
        job = jobs.start(write, *range(10), output_limit=1)
        group.start_soon(job.save, tmp_path / "out")
        await anyio.wait_all_tasks_blocked()

    assert list("0123456789") == (tmp_path / "out").read_text().split()


async def test_much_unread_output_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1: many unread records without a limit give one RuntimeWarning, not inside the job."""
    monkeypatch.setattr("ajobs._log.MANY", 10)
    async with ajobs.Session() as jobs:
        with pytest.warns(RuntimeWarning, match=r"job \d+ has \d+ unread records") as caught:  # noqa: PT031 - the block is what warns
            job = jobs.start(write, *range(50))
            await job
            await anyio.wait_all_tasks_blocked()

        assert 1 == len(caught)
        assert 50 == len(job.receive_nowait())


async def test_warning_as_error_does_not_fail_the_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F1: where warnings are errors, it is logged instead, and the job goes on."""
    monkeypatch.setattr("ajobs._log.MANY", 10)
    async with ajobs.Session() as jobs:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await jobs.start(write, *range(50))
            await anyio.wait_all_tasks_blocked()

    assert "unread records" in caplog.text


async def test_dropped_records_are_counted() -> None:
    """F9: of the streams that drop, the newest 1,000 are kept and the others counted."""

    async def work() -> None:
        for number in range(KEPT + 7):
            ajobs.write_verbose(number)
            ajobs.write_progress("p", completed=number)

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        assert {} == job.dropped
        await job
        assert list(range(7, KEPT + 7)) == job.receive_nowait("verbose")
        assert {Stream.VERBOSE: 7, Stream.PROGRESS: 7} == job.dropped
        assert KEPT + 6 == job.progress[0].completed


async def test_records_from_many_threads_of_one_job() -> None:
    """C9: threads that a job starts write in one order; a reader gets all of it live."""

    def work() -> None:
        context = __import__("contextvars").copy_context
        threads = [threading.Thread(target=context().run, args=[burst, n]) for n in range(4)]
        for thread in threads:
            thread.start()

        for thread in threads:
            thread.join()

    def burst(writer: int) -> None:
        for number in range(100):
            ajobs.write_output((writer, number))

    async with ajobs.Session() as jobs:
        got = [value async for value in jobs.start(work).receive()]

    assert 400 == len(got)
    for writer in range(4):
        assert list(range(100)) == [number for who, number in got if who == writer]


# Saving


async def test_save_text(tmp_path: Path) -> None:
    """`save` writes one line a value, and takes what it wrote."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, "a", 2, "ü")
        await job.save(tmp_path / "out")
        assert [] == job.receive_nowait()

    assert "a\n2\nü\n" == (tmp_path / "out").read_text(encoding="utf-8")


async def test_save_replaces_or_appends(tmp_path: Path) -> None:
    """A file is emptied first, unless `append`."""
    path = tmp_path / "out"
    path.write_text("old\n")
    async with ajobs.Session() as jobs:
        await jobs.start(write, 1).save(path)
        await jobs.start(write, 2).save(str(path), append=True)
        await jobs.start(nothing).save(path, append=True)

    assert "1\n2\n" == path.read_text()


async def test_save_of_several_streams_names_them(tmp_path: Path) -> None:
    """With several streams each line says which it is from."""
    async with ajobs.Session() as jobs:
        await jobs.start(write_everywhere).save(tmp_path / "out", stream=["output", "error"])

    assert "OUTPUT: o\nERROR: e\nOUTPUT: value\n" == (tmp_path / "out").read_text()


async def test_save_jsonl(tmp_path: Path) -> None:
    """JSON lines carry order, time, stream and value; what JSON cannot say is its repr."""
    async with ajobs.Session() as jobs:
        await jobs.start(write, {"a": 1}, Error("x"), "ü").save(tmp_path / "out", format="jsonl")

    lines = [json.loads(line) for line in (tmp_path / "out").read_text("utf-8").splitlines()]
    assert [{"a": 1}, "Error('x')", "ü"] == [line["value"] for line in lines]
    assert [1, 2, 3] == [line["seq"] for line in lines]
    assert {"output"} == {line["stream"] for line in lines}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", lines[0]["time"])


async def test_save_of_what_has_no_encoding(tmp_path: Path) -> None:
    """A lone surrogate is written as an escape: no record is lost."""
    async with ajobs.Session() as jobs:
        await jobs.start(write, "a\udc80b").save(tmp_path / "out")

    assert "a\\udc80b\n" == (tmp_path / "out").read_text()


async def test_save_is_live(tmp_path: Path) -> None:
    """Records are taken and written while the job still runs."""
    gate, taken = Gate(), anyio.Event()

    async def work() -> None:
        await write(1, 2)
        taken.set()
        await gate.wait()
        await write(3)

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work, output_limit=1)
        group.start_soon(job.save, tmp_path / "out")
        await taken.wait()
        gate.open()

    assert "1\n2\n3\n" == (tmp_path / "out").read_text()


async def test_save_does_not_raise_the_failure(tmp_path: Path) -> None:
    """How the job ended is not raised, and has not been seen."""
    with pytest.raises(ExceptionGroup):
        async with ajobs.Session() as jobs:
            await jobs.start(write_and_fail, 1).save(tmp_path / "out")

    assert "1\n" == (tmp_path / "out").read_text()


async def test_save_that_cannot_open(tmp_path: Path) -> None:
    """A file that cannot be opened is an OSError, and nothing is taken."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, 1)
        with pytest.raises(OSError, match="no-folder"):
            await job.save(tmp_path / "no-folder" / "out")

        await job
        assert [1] == job.receive_nowait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
async def test_F10_save_that_cannot_write() -> None:
    """What could not be written stays with the job, in order, and the job goes on."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, *(["x" * 100_000] * 3))
        with pytest.raises(OSError, match="No space"):
            await job.save("/dev/full")

        await job
        assert 3 == len(job.receive_nowait())


async def test_cancelled_save_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """A1: after a cancelled save each record is in the file or with the job, once."""
    gate = Gate()

    async def work() -> None:
        await write(*range(10))
        await gate.wait()
        await write(*range(10, 20))

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        async with anyio.create_task_group() as group:
            group.start_soon(job.save, tmp_path / "out")
            await anyio.wait_all_tasks_blocked()
            gate.open()
            group.cancel_scope.cancel()

        await job
        written = [int(line) for line in (tmp_path / "out").read_text().split()]
        assert list(range(20)) == [*written, *job.receive_nowait()]


async def test_save_needs_none_of_the_loops_threads(tmp_path: Path) -> None:
    """C4: saving works while jobs hold every thread of anyio's own limiter."""
    with Deaf() as deaf:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        async with anyio.create_task_group() as group:

            async def hold() -> None:
                await anyio.to_thread.run_sync(deaf)

            group.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            async with ajobs.Session() as jobs:
                await jobs.start(write, 1).save(tmp_path / "out")

            deaf.release()

        limiter.total_tokens = 40

    assert "1\n" == (tmp_path / "out").read_text()


async def test_receipt_says_what_it_is() -> None:
    """A receipt shown in a console tells what to do with it."""
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing)
        assert "await" in repr(job.receive(["output", "error"]))
        assert f"job {job.id}" in repr(job.receive())
