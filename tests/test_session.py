"""Sessions: entering, leaving, the failures that nobody saw, the table and its filters."""

from __future__ import annotations

import gc
import logging
import math
import threading
import tracemalloc
import weakref
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

import ajobs
from ajobs import JobState, SessionClosed
from tests.support import Deaf, Gate, fail, forever, give, in_thread, nothing, write


class Error(Exception):
    """A failure of a job."""


def errors(group: BaseExceptionGroup[Any]) -> list[str]:
    """Return the texts of what a group holds."""
    return [str(error) for error in group.exceptions]


# Entering and leaving


async def test_leaving_waits_for_every_job() -> None:
    """The block ends when the last job has, those started meanwhile included."""
    gate = Gate()

    async def parent() -> None:
        await gate.wait()
        jobs.start(child)

    async def child() -> None:
        await anyio.wait_all_tasks_blocked()

    async with ajobs.Session() as jobs:
        jobs.start(parent)
        gate.open()

    assert [JobState.COMPLETED] * 2 == [job.state for job in jobs]


async def test_jobs_start_jobs_while_the_block_is_left() -> None:
    """A crawler's jobs start jobs until there is nothing left to do."""

    async def crawl(depth: int) -> None:
        await anyio.lowlevel.checkpoint()
        if depth:
            for _ in range(2):
                ajobs.current_session().start(crawl, depth - 1)

    async with ajobs.Session(throttle=3) as jobs:
        jobs.start(crawl, 5)

    assert 63 == len(jobs)
    assert {JobState.COMPLETED} == {job.state for job in jobs}


async def test_start_before_entering_is_refused() -> None:
    """A session takes jobs once it was entered."""
    with pytest.raises(SessionClosed, match="not entered"):
        ajobs.Session().start(nothing)


async def test_start_after_leaving_is_refused() -> None:
    """A session takes no jobs after its block."""
    async with ajobs.Session() as jobs:
        pass

    with pytest.raises(SessionClosed, match="it is closed"):
        jobs.start(nothing)


async def test_start_while_stopping_is_refused() -> None:
    """Once stopping began, a job's cleanup cannot start jobs."""
    refused: list[BaseException] = []

    async def job() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with pytest.raises(SessionClosed, match="stopping") as caught:
                jobs.start(nothing)

            refused.append(caught.value)

    async with ajobs.Session(drain=0) as jobs:
        jobs.start(job)
        await anyio.wait_all_tasks_blocked()

    assert 1 == len(refused)
    assert isinstance(refused[0], RuntimeError)


async def test_a_session_is_entered_once() -> None:
    """A session that was used is not used again."""
    jobs = ajobs.Session()
    async with jobs:
        pass

    with pytest.raises(RuntimeError, match="entered once"):
        await jobs.__aenter__()


async def test_drain_stops_the_rest() -> None:
    """Leaving waits `drain` seconds at most, then the rest is stopped."""
    async with ajobs.Session(drain=0.01) as jobs:
        quick, slow = jobs.start(give, 1), jobs.start(forever)
        await anyio.wait_all_tasks_blocked()

    assert (JobState.COMPLETED, JobState.STOPPED) == (quick.state, slow.state)


async def test_drain_zero_stops_at_once() -> None:
    """With `drain=0` what has not finished is stopped at once; a queued job never runs."""
    ran = []

    async def note() -> None:
        ran.append(True)

    async with ajobs.Session(drain=0, throttle=1) as jobs:
        running, queued = jobs.start(forever), jobs.start(note)
        await anyio.wait_all_tasks_blocked()

    assert (JobState.STOPPED, JobState.STOPPED) == (running.state, queued.state)
    assert [] == ran
    assert None is queued.begin_time


async def test_exception_in_the_block_stops_the_jobs() -> None:
    """Leaving by an exception stops every job, joins, and raises that exception itself."""
    with pytest.raises(Error, match="block"):  # noqa: PT012 - the block is what raises
        async with ajobs.Session(throttle=1) as jobs:
            running, queued = jobs.start(forever), jobs.start(forever)
            await anyio.wait_all_tasks_blocked()
            raise Error("block")

    assert (JobState.STOPPED, JobState.STOPPED) == (running.state, queued.state)


async def test_empty_session() -> None:
    """A session without jobs is a session, and true."""
    async with ajobs.Session("empty") as jobs:
        assert jobs
        assert 0 == len(jobs)
        assert "<Session 'empty' open: no jobs>" == repr(jobs)

    assert "<Session 'empty' closed: no jobs>" == repr(jobs)


async def test_repr_counts_states() -> None:
    """A session shows how many jobs are in which state."""
    async with ajobs.Session(throttle=1) as jobs:
        await jobs.start(nothing)
        job = jobs.start(forever)
        jobs.start(forever)
        await anyio.wait_all_tasks_blocked()
        assert "<Session open: 1 Completed, 1 Running, 1 NotStarted>" == repr(jobs)
        await jobs.stop(jobs)
        assert "Stopped" == job.state


async def test_sessions_can_be_nested() -> None:
    """The inner session is current inside its block, the outer one again after it."""
    async with ajobs.Session() as outer:
        assert outer is ajobs.current_session()
        async with ajobs.Session() as inner:
            assert inner is ajobs.current_session()
            assert inner is await inner.start(current)
            assert outer is await outer.start(current)

        assert outer is ajobs.current_session()


async def current() -> ajobs.Session:
    """Return the current session."""
    return ajobs.current_session()


async def test_current_session_and_job_outside() -> None:
    """Outside there is no current session and no current job."""
    with pytest.raises(ajobs.NoCurrentJob):
        ajobs.current_session()

    with pytest.raises(LookupError):
        ajobs.current_job()


async def test_current_job_inside() -> None:
    """A job's code sees its job, in tasks and in threads; jobs it starts see themselves."""

    async def parent() -> Any:
        child = ajobs.current_session().start(get)
        return ajobs.current_job(), await child, child

    async def get() -> Any:
        return ajobs.current_job()

    async with ajobs.Session() as jobs:
        job = jobs.start(parent)
        seen, seen_by_child, child = await job
        assert (job, child) == (seen, seen_by_child)
        thread = jobs.start(ajobs.current_job)
        assert thread is await thread


async def test_block_of_a_session_inside_a_job() -> None:
    """A job may have a session of its own; it ends before the job does."""

    async def outer() -> list[int]:
        async with ajobs.Session() as mine:
            started = [mine.start(give, number) for number in range(3)]

        return [job.result() for job in started]

    async with ajobs.Session() as jobs:
        assert [0, 1, 2] == await jobs.start(outer)


async def test_fifty_sessions_in_a_row() -> None:
    """A18: sessions follow each other on one loop."""
    for number in range(50):
        async with ajobs.Session() as jobs:
            assert number == await jobs.start(give, number)


async def test_session_in_a_loop_of_a_thread_job() -> None:
    """A18: an async function in a thread job may have a session on its own loop."""

    async def inner() -> int:
        async with ajobs.Session() as mine:
            return await mine.start(give, 7)

    async with ajobs.Session() as jobs:
        assert 7 == await jobs.start(inner, runner="thread")


# Foreign threads and loops


async def test_start_from_a_thread_is_refused() -> None:
    """C5: `start` in another thread raises at once and names what to use."""
    async with ajobs.Session() as jobs:
        with pytest.raises(RuntimeError, match=r"ajobs\.blocking"):
            await jobs.start(jobs.start, nothing)

        assert 1 == len(jobs)


async def test_start_from_another_loop_is_refused() -> None:
    """A18: `start` on another loop raises at once."""
    async with ajobs.Session() as jobs:

        async def other() -> None:
            jobs.start(nothing)

        with pytest.raises(RuntimeError, match=r"ajobs\.blocking"):
            await jobs.start(other, runner="thread")


async def test_start_through_from_thread() -> None:
    """Thread jobs start jobs by way of anyio's own door to the loop."""

    def waiting() -> int:
        job: ajobs.Job[int] = anyio.from_thread.run_sync(jobs.start, give, 5)
        anyio.from_thread.run(job.wait)
        return job.result()

    async with ajobs.Session() as jobs:
        assert 5 == await jobs.start(waiting)


# Failures that nobody saw


async def test_unseen_failures_are_raised() -> None:
    """Failures that nobody saw are raised together, with a note naming the job."""
    with pytest.raises(ExceptionGroup, match="3 jobs of session 'shop' failed") as caught:
        async with ajobs.Session("shop") as jobs:
            started = [jobs.start(fail, Error(str(number))) for number in range(3)]

    assert ["0", "1", "2"] == errors(caught.value)
    for job, error in zip(started, caught.value.exceptions, strict=True):
        assert [f"in job {job.id} (tests.support.fail)"] == error.__notes__


async def test_one_unseen_failure() -> None:
    """One failure is a group too, so that `except*` works for any number."""
    with pytest.raises(ExceptionGroup, match=r"1 job of the session failed"):
        async with ajobs.Session() as jobs:
            jobs.start(fail, Error())


async def test_one_failure_stops_no_other() -> None:
    """The others go on when a job fails."""
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            jobs.start(fail, Error())
            other = jobs.start(anyio.wait_all_tasks_blocked)

    assert JobState.COMPLETED == other.state


async def see_by_await(job: ajobs.Job[Any]) -> None:
    """See a failure by awaiting the job."""
    with pytest.raises(Error):
        await job


async def see_by_result(job: ajobs.Job[Any]) -> None:
    """See a failure by asking for the result."""
    await job.wait()
    with pytest.raises(Error):
        job.result()


async def see_by_receive(job: ajobs.Job[Any]) -> None:
    """See a failure by receiving."""
    with pytest.raises(Error):
        await job.receive()


async def see_by_iteration(job: ajobs.Job[Any]) -> None:
    """See a failure at the end of the output."""
    with pytest.raises(Error):
        async for _ in job.receive():
            pass


async def see_by_reason(job: ajobs.Job[Any]) -> None:
    """See a failure by its reason."""
    await job.wait()
    assert isinstance(job.reason, Error)


@pytest.mark.parametrize(
    "see", [see_by_await, see_by_result, see_by_receive, see_by_iteration, see_by_reason]
)
async def test_seen_failures_are_not_raised(see: Any) -> None:
    """A failure that was raised to somebody, or whose reason was read, counts as seen."""
    async with ajobs.Session() as jobs:
        await see(jobs.start(fail, Error()))


async def test_views_do_not_see() -> None:
    """State, repr, status, wait, `receive_nowait` and ignoring receipts see no failure."""
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(fail, Error("text"))
            await job.wait()
            await ajobs.wait_all(jobs)
            assert [] == await job.receive(errors="ignore")
            assert [] == job.receive_nowait()
            assert "Error: text" in job.status_message
            assert "Failed" in repr(job)
            assert [job] == jobs.get(state="failed")


async def test_keep_leaves_failures_in_the_table() -> None:
    """`failures="keep"` raises nothing, PowerShell's way."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(fail, Error())

    assert JobState.FAILED == job.state
    assert [job] == list(jobs)


async def test_removed_failure_is_still_raised() -> None:
    """Taking a failed job off the table does not hide its failure."""
    with pytest.raises(ExceptionGroup):  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(fail, Error())
            await job.wait()
            await jobs.remove(job)


async def test_stopped_jobs_are_no_failures() -> None:
    """Jobs that were stopped raise nothing at the end."""
    async with ajobs.Session() as jobs:
        await jobs.stop(jobs.start(forever))


async def test_own_exception_takes_failures_along_as_notes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The block's own exception leaves alone; unseen failures are notes on it, and logged."""
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(fail, Error("late"))
            await job.wait()
            raise KeyError("own")

    note = f"job {job.id} (tests.support.fail) had failed: Error: late"
    assert [note] == caught.value.__notes__
    assert note in caplog.messages


async def test_failure_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """A job that fails while nobody waits for it logs one line at once."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(fail, Error("first\nsecond"))
        await anyio.wait_all_tasks_blocked()
        assert [
            ("ajobs", logging.ERROR, f"job {job.id} (tests.support.fail) failed: Error: first")
        ] == caplog.record_tuples


async def test_log_gives_a_terminal_no_orders(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the message of a failure nor a command can move a cursor or hide a line."""
    async with ajobs.Session(failures="keep") as jobs:
        jobs.start(fail, Error("\x1b[31mred\rgone"))
        jobs.start_command(["sh", "-c", "exit 3", "\x1b[2J"])
        await jobs._engine.idle()

    assert all(message.isprintable() for message in caplog.messages)
    assert caplog.messages[0].endswith(r"failed: Error: \x1b[31mred")
    assert r"\x1b[2J" in caplog.messages[1]


@pytest.mark.parametrize("how", ["await", "wait", "receive", "all"])
async def test_awaited_failure_is_not_logged(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """A failure that somebody waits for is not logged."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(fail, Error())
        if how == "await":
            with pytest.raises(Error):
                await job
        elif how == "receive":
            with pytest.raises(Error):
                await job.receive()
        elif how == "all":
            await ajobs.wait_all(jobs)
        else:
            await job.wait()

    assert [] == caplog.messages


class Bad(Exception):
    """It cannot be shown."""

    def __str__(self) -> str:
        raise ValueError


async def test_note_that_cannot_be_shown() -> None:
    """The block's own exception leaves it, whatever the text of an unseen failure does."""
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(fail, Bad())
            await job.wait()
            raise KeyError("own")

    assert "cannot be shown" in caught.value.__notes__[0]


async def test_message_that_cannot_be_shown(caplog: pytest.LogCaptureFixture) -> None:
    """An exception whose text raises is logged and raised all the same."""
    error = Bad()
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            job = jobs.start(fail, error)
            await anyio.wait_all_tasks_blocked()
            assert "Bad" in job.status_message

    assert (error,) == caught.value.exceptions
    assert "cannot be shown" in caplog.text


@pytest.mark.slow
async def test_a_thousand_failures_are_kept_and_all_counted() -> None:
    """Of many unseen failures 1,000 are raised and all are counted."""
    with pytest.raises(ExceptionGroup, match="1005 jobs") as caught:  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            for number in range(1005):
                jobs.start(fail, Error(number))

    assert 1000 == len(caught.value.exceptions)


@pytest.mark.slow
async def test_notes_are_bounded_too() -> None:
    """With the block's own exception, 1,000 notes and the count go along."""
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - the block is what raises
        async with ajobs.Session() as jobs:
            for number in range(1005):
                jobs.start(fail, Error(number))

            await anyio.wait_all_tasks_blocked()
            raise KeyError

    assert 1001 == len(caught.value.__notes__)
    assert "1005 jobs had failed in all" == caught.value.__notes__[-1]


# Looking


async def test_look_up_by_id_and_name() -> None:
    """A job is found by its id and by its exact name."""
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing, name="shop")
        assert job is jobs[job.id] is jobs["shop"]
        job.name = "bakery"
        assert job is jobs["bakery"]
        with pytest.raises(ajobs.JobNotFound, match="'shop'"):
            jobs["shop"]


async def test_look_up_of_what_is_not_there() -> None:
    """What is not there is a `JobNotFound`, which is a `LookupError`, with a readable text."""
    async with ajobs.Session() as jobs:
        with pytest.raises(LookupError, match=r"^no job 0 in this session"):
            jobs[0]

        with pytest.raises(ajobs.JobNotFound, match=r"^no job named 'Shop'"):
            jobs["Shop"]

        assert "" == str(ajobs.JobNotFound())


async def test_look_up_of_a_name_that_several_have() -> None:
    """A name that several jobs have is refused with their ids."""
    async with ajobs.Session() as jobs:
        first, second = jobs.start(nothing, name="x"), jobs.start(nothing, name="x")
        with pytest.raises(ajobs.JobNotFound, match=f"{first.id}, {second.id}"):
            jobs["x"]


async def test_B12_iteration_is_a_snapshot() -> None:
    """Jobs may be started and removed while the session is iterated over."""
    async with ajobs.Session() as jobs:
        started = [jobs.start(nothing) for _ in range(5)]
        await ajobs.wait_all(jobs)
        seen = []
        for job in jobs:
            await jobs.remove(job)
            jobs.start(nothing)
            seen.append(job)

        assert started == seen
        assert 5 == len(jobs)


async def test_membership() -> None:
    """`in` tells whether a job is in the table of this session."""
    async with ajobs.Session() as jobs, ajobs.Session() as others:
        job = jobs.start(nothing)
        await job
        assert job in jobs
        assert job not in others
        assert job.id not in jobs
        await jobs.remove(job)
        assert job not in jobs


async def test_filters() -> None:
    """Filters combine with AND, and results come in id order."""
    async with ajobs.Session(throttle=2, failures="keep") as jobs:
        gate = Gate()
        done = jobs.start(give, 1, name="Alpha-1")
        silent = jobs.start(nothing, name="alpha-2")
        failed = jobs.start(fail, Error(), name="beta")
        thread = jobs.start(len, (), name="gamma")
        await ajobs.wait_all(jobs)
        waiting = jobs.start(gate.wait, name="delta")
        await anyio.wait_all_tasks_blocked()

        assert [done, silent, failed, thread, waiting] == jobs.get()
        assert [done, silent] == jobs.get(name="ALPHA*")
        assert [done, failed] == jobs.get(name=["beta", "alpha-1"])
        assert [done, silent, failed] == jobs.get(name=["alpha-?", "[b]eta"])
        assert [] == jobs.get(name="nobody*")
        assert [silent, thread] == jobs.get(id=[thread.id, silent.id])
        assert [thread] == jobs.get(kind="thread")
        assert [failed] == jobs.get(state="FAILED") == jobs.get(state=JobState.FAILED)
        assert [done, thread] == jobs.get(has_more_data=True)
        assert [silent, failed, waiting] == jobs.get(has_more_data=False)
        assert [waiting] == jobs.get(state="running", kind="task", name="d*", children=True)
        assert [] == jobs.get(state="running", kind="thread")
        gate.open()


async def test_filters_by_time() -> None:
    """`before` and `after` look at the end, `newest` takes those that ended last."""
    async with ajobs.Session() as jobs:
        started = [jobs.start(nothing) for _ in range(3)]
        await ajobs.wait_all(jobs)
        for number, job in enumerate(started):
            job._ending.end = 1000.0 - number  # type: ignore[union-attr]  # they have finished

        running = jobs.start(forever)
        middle = started[1].end_time
        assert [started[2]] == jobs.get(before=middle)
        assert [started[0]] == jobs.get(after=middle)
        assert [] == jobs.get(before=middle, after=middle)
        assert started[:2] == jobs.get(newest=2)
        assert [] == jobs.get(newest=0)
        assert started == jobs.get(newest=10)
        assert [] == jobs.get(after=datetime.now(UTC) + timedelta(hours=1))
        await running.stop()


async def test_bad_filters() -> None:
    """Unknown ids, plain names and states, naive times and negative counts are refused."""
    async with ajobs.Session() as jobs:
        with pytest.raises(ajobs.JobNotFound):
            jobs.get(id=0)

        with pytest.raises(ajobs.JobNotFound, match="'nobody'"):
            jobs.get(name="nobody")

        with pytest.raises(ValueError, match="unknown state 'done'"):
            jobs.get(state="done")

        with pytest.raises(ValueError, match="before must be an aware datetime"):
            jobs.get(before=datetime(2026, 1, 1))  # noqa: DTZ001  # what must fail

        with pytest.raises(ValueError, match="newest"):
            jobs.get(newest=-1)


# Removing and retaining


async def test_remove_takes_jobs_and_iterables() -> None:
    """Jobs and iterables of jobs are removed together; none at all removes nothing."""
    async with ajobs.Session() as jobs:
        a, b, c = (jobs.start(give, number) for number in range(3))
        await ajobs.wait_all(jobs)
        await jobs.remove()
        assert [a, b, c] == list(jobs)
        await jobs.remove(a, [b])
        assert [c] == list(jobs)
        assert 0 == a.result()
        assert [0] == a.receive_nowait()


async def test_remove_of_the_unfinished_needs_force() -> None:
    """Without force, one unfinished job means that none is removed, and says which."""
    async with ajobs.Session() as jobs:
        done, running = jobs.start(nothing), jobs.start(forever)
        await done
        with pytest.raises(ajobs.JobNotFinished, match=f"job {running.id} "):
            await jobs.remove(jobs)

        assert [done, running] == list(jobs)
        await jobs.remove(jobs, force=True)
        assert [] == list(jobs)
        assert JobState.STOPPED == running.state


async def test_remove_of_a_stranger() -> None:
    """A job that is not in the table is refused, and nothing is removed."""
    async with ajobs.Session() as jobs, ajobs.Session() as others:
        mine, other = jobs.start(nothing), others.start(nothing)
        await ajobs.wait_all(mine, other)
        with pytest.raises(ajobs.JobNotFound, match=f"job {other.id}"):
            await jobs.remove(mine, other)

        assert [mine] == list(jobs)


async def test_remove_of_a_stuck_job() -> None:
    """A job whose code does not end stays in the table, with `JobStuck`; the others go."""
    with Deaf() as deaf:
        async with ajobs.Session(stop_grace=0.01) as jobs:
            stuck, other = jobs.start(deaf), jobs.start(forever)
            await in_thread(deaf.begun)
            with pytest.raises(ajobs.JobStuck, match=f"job {stuck.id}"):
                await jobs.remove(jobs, force=True)

            assert [stuck] == list(jobs)
            assert JobState.STOPPED == other.state
            deaf.release()


async def test_auto_remove() -> None:
    """A job with `auto_remove` leaves when nothing is unread but its value."""
    async with ajobs.Session() as jobs:
        silent = jobs.start(give, 1, auto_remove=True)
        assert 1 == await silent
        assert silent not in jobs

        writer = jobs.start(write, 1, 2, auto_remove=True)
        await writer.wait()
        assert writer in jobs
        assert [1] == writer.receive_nowait(limit=1)
        assert writer in jobs
        assert [2] == writer.receive_nowait()
        assert writer not in jobs


async def test_auto_remove_waits_for_a_failure_to_be_seen() -> None:
    """A failed job with `auto_remove` stays until somebody has seen why."""
    async with ajobs.Session() as jobs:
        job = jobs.start(fail, Error(), auto_remove=True)
        await job.wait()
        assert job in jobs
        assert isinstance(job.reason, Error)
        assert job not in jobs


@pytest.mark.parametrize("how", ["await", "for", "save"])
async def test_auto_remove_after_reading(how: str, tmp_path: Any) -> None:
    """However a job is read to its end, it leaves then."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, 1, 2, auto_remove=True)
        if how == "await":
            await job.receive()
        elif how == "for":
            async for _ in job.receive():
                pass
        else:
            await job.save(tmp_path / "x")

        assert job not in jobs


async def test_retain_keeps_the_newest() -> None:
    """Of the finished jobs the newest n stay; the unfinished ones stay anyhow."""
    async with ajobs.Session(retain=2) as jobs:
        gate = Gate()
        waiting = jobs.start(gate.wait)
        started = [jobs.start(give, number) for number in range(5)]
        await ajobs.wait_all(started)
        assert [waiting, *started[3:]] == list(jobs)
        assert 0 == started[0].result()
        gate.open()
        await waiting
        assert [waiting, started[4]] == list(jobs)


async def test_retain_counts_what_is_in_the_table() -> None:
    """Jobs that were removed do not use up the places of those retained."""
    async with ajobs.Session(retain=2) as jobs:
        first, second = [jobs.start(give, number) for number in range(2)]
        await ajobs.wait_all(first, second)
        await jobs.remove(second)
        third = jobs.start(nothing)
        await third
        assert [first, third] == list(jobs)


async def test_retain_none_of_them() -> None:
    """`retain=0` keeps no finished job."""
    async with ajobs.Session(retain=0) as jobs:
        assert 1 == await jobs.start(give, 1)
        assert [] == list(jobs)


# Many jobs, and memory


@pytest.mark.slow
async def test_hundred_thousand_jobs_in_order() -> None:
    """A20: 100,000 jobs at once, 100 of them running: all finish, begun in order."""
    begun: list[int] = []
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        begun.append(number)
        running += 1
        most = max(most, running)
        if number % 100 == 0:
            await anyio.lowlevel.checkpoint()

        running -= 1
        return number

    async with ajobs.Session(throttle=100) as jobs:
        started = [jobs.start(work, number) for number in range(100_000)]

    assert list(range(100_000)) == begun
    assert list(range(100_000)) == [job.result() for job in started]
    assert 0 == running
    assert most <= 100


@pytest.mark.slow
async def test_B8_memory_of_removed_jobs_is_given_back() -> None:
    """Of 5,000 jobs with output that were received and removed, nothing stays."""
    async with ajobs.Session(throttle=100) as jobs:
        await run_and_remove(jobs, 200)
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await run_and_remove(jobs, 5_000)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert after - before < 100_000


async def run_and_remove(jobs: ajobs.Session, count: int) -> None:
    """Start jobs that write 1 KB, receive and remove them."""
    for _ in range(count // 200):
        started = [jobs.start(write, bytes(1000)) for _ in range(200)]
        await ajobs.wait_all(started)
        for job in started:
            job.receive_nowait()

        await jobs.remove(started)


@pytest.mark.parametrize("how", ["remove", "auto_remove", "retain"])
async def test_B8_job_off_the_table_is_collected(how: str) -> None:
    """A job that left the table and whose handle was dropped is gone at once."""
    async with ajobs.Session(retain=0 if how == "retain" else None) as jobs:
        job = jobs.start(give, 1, auto_remove=how == "auto_remove")
        await job
        if how == "remove":
            await jobs.remove(job)

        gone = weakref.ref(job)
        del job
        await anyio.wait_all_tasks_blocked()
        assert None is gone()


class Big:
    """An argument that can be watched."""


@pytest.mark.parametrize("runner", ["task", "thread"])
async def test_B8_finished_job_lets_go_of_its_arguments(runner: str) -> None:
    """The handle of a finished job holds on to no argument."""

    async def take_it(_: object) -> None:
        await anyio.lowlevel.checkpoint()

    def take_it_here(_: object) -> None:
        pass

    async with ajobs.Session() as jobs:
        argument = Big()
        gone = weakref.ref(argument)
        job = jobs.start(take_it if runner == "task" else take_it_here, argument)
        bound = jobs.start(partial(take_it if runner == "task" else take_it_here, argument))
        del argument
        await ajobs.wait_all(job, bound)
        await anyio.wait_all_tasks_blocked()
        if runner == "thread":
            # The pooled thread keeps its last call until it gets another one.
            await jobs.start(len, ())

        assert None is gone()
        assert JobState.COMPLETED == job.state


async def test_B8_job_that_never_ran_lets_go_of_its_arguments() -> None:
    """So does a job that was stopped in the queue."""
    async with ajobs.Session(throttle=1) as jobs:
        first = jobs.start(forever)
        argument = Big()
        gone = weakref.ref(argument)
        job = jobs.start(give, argument)
        del argument
        await job.stop()
        await first.stop()
        assert None is gone()
        assert "tests.support.give" == job.command


async def test_received_values_are_free() -> None:
    """What was received without `keep` is not held by the job."""

    async def produce() -> None:
        for _ in range(3):
            ajobs.write_output(Big())

    async with ajobs.Session() as jobs:
        job = jobs.start(produce)
        await job
        refs = [weakref.ref(value) for value in job.receive_nowait()]
        assert [None] * 3 == [ref() for ref in refs]


async def test_B9_closed_session_is_collected() -> None:
    """A session that was left holds nothing alive that refers to it."""
    jobs = ajobs.Session()
    async with jobs:
        await jobs.start(give, 1)

    gone = weakref.ref(jobs)
    del jobs
    gc.collect()
    assert None is gone()


async def test_sessions_leave_nothing_on_the_loop() -> None:
    """Hundreds of sessions with thread jobs on one loop do not add up."""

    async def one() -> None:
        async with ajobs.Session() as jobs:
            await jobs.start(len, ())

    for _ in range(5):
        await one()

    gc.collect()
    before = len(gc.get_objects())
    for _ in range(200):
        await one()

    # One object of each would be 200. The last session, some 80 objects, may be there: nobody
    # knows when its thread, which has told its result, lets go of it.
    gc.collect()
    assert len(gc.get_objects()) - before < 200


def test_many_loops_in_a_row() -> None:
    """A18: each loop has sessions of its own, one after the other and side by side."""

    async def main() -> int:
        async with ajobs.Session() as jobs:
            return await jobs.start(give, 3)

    def run(backend: str) -> None:
        results.append(anyio.run(main, backend=backend))

    results: list[int] = []
    for backend in ("asyncio", "trio") * 5:
        run(backend)

    threads = [threading.Thread(target=run, args=[name]) for name in ("asyncio", "trio")]
    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert [3] * 12 == results


def test_handles_can_be_read_without_a_loop() -> None:
    """A job's attributes can be read in a program whose loop has ended."""

    async def main() -> ajobs.Job[int]:
        async with ajobs.Session(failures="keep") as jobs:
            jobs.start(fail, Error("x"))
            return jobs.start(give, 3)

    job = anyio.run(main)
    assert f"<Job {job.id} 'Job{job.id}' task tests.support.give Completed>" == repr(job)
    assert 3 == job.result()
    assert [3] == job.receive_nowait()
    assert math.inf == job.options.timeout
