"""Races: things that may happen in any order, and must come out right in each.

They are played with nothing injected; the seed of the event loop decides who goes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import trio
from anyio.lowlevel import checkpoint

import ajobs

from .harness.sweep import Allowed, Scenario, Stage
from .scenarios import (
    MAY_FAIL,
    MAY_STOP,
    UNTOUCHED,
    Jobs,
    careful,
    numbers,
    read_to_an_end,
    steps,
    turn,
)

RACES: list[Scenario] = []

Race = Callable[[Stage, Jobs], Awaitable[object]]


def race(allowed: Allowed = UNTOUCHED, **options: Any) -> Callable[[Race], Race]:
    """Add a race in a session with *options* to `RACES`, under its name."""

    def add(run: Race) -> Race:
        async def play(stage: Stage) -> None:
            # In company, so that there is always somebody else who may go first.
            kept = ajobs.Session(failures="keep", **options)
            async with ajobs.Session() as company, kept as jobs:
                company.start(steps, 3)
                company.start(steps, 2)
                await run(stage, jobs)

        name = getattr(run, "__name__", "")
        RACES.append(Scenario(name, play, allowed))
        return run

    return add


async def together(*calls: Callable[[], Awaitable[object]]) -> None:
    """Call all at the same time."""

    async def call(one: Callable[[], Awaitable[object]]) -> None:
        await one()

    async with anyio.create_task_group() as tasks:
        for one in calls:
            tasks.start_soon(call, one)


async def later(count: int, verb: Callable[[], Awaitable[object]]) -> None:
    """Use *verb* after *count* turns."""
    for _ in range(count):
        await checkpoint()

    await verb()


async def ended(job: ajobs.Job[Any]) -> str:
    """Wait for *job* as one who wants its value; say how it ended."""
    try:
        await job
    except ajobs.JobStopped:
        return "Stopped"

    return "Completed"


@race(MAY_STOP)
async def two_stops(stage: Stage, jobs: Jobs) -> None:
    """Both stops see the end; the cleanup runs once."""
    done: list[str] = []
    job = jobs.start(careful, 2, done)
    await together(partial(later, 3, job.stop), partial(later, 3, job.stop), job.wait)
    stage.check(done == ["clean"] or job.begin_time is None, f"cleanup: {done}")


@race(MAY_STOP)
async def stop_against_finish(stage: Stage, jobs: Jobs) -> None:
    """Whoever is first decides, and everybody hears the same."""
    job = jobs.start(steps, 2, "value")
    said: list[str] = []

    async def ask() -> None:
        said.append(await ended(job))

    await together(partial(later, 2, job.stop), ask, ask)
    stage.check(set(said) == {str(job.state)}, f"{said} of a job that is {job.state}")


@race(MAY_STOP)
async def stop_against_start(stage: Stage, jobs: Jobs) -> None:
    """A job that was stopped before its turn has never begun."""
    job = jobs.start(steps, 1)
    await together(job.stop, partial(later, 1, job.wait))
    stage.check(job.state == "Stopped" or job.begin_time, "it ended without a beginning")


@race(MAY_STOP, throttle=1)
async def stop_against_the_queue(stage: Stage, jobs: Jobs) -> None:
    """Places go on to the next job, whoever leaves."""
    started = [jobs.start(steps, 1) for _ in range(4)]
    await together(started[0].stop, started[2].stop, partial(ajobs.wait_all, started))
    stage.check(await jobs.start(turn, 5) == 5, "no place is left")


@race(throttle=1)
async def throttle_against_start(stage: Stage, jobs: Jobs) -> None:
    """The throttle moves while jobs begin and end."""
    running = 0

    async def work() -> None:
        nonlocal running
        running += 1
        stage.check(running <= 3, f"{running} at once")
        await checkpoint()
        await checkpoint()
        running -= 1

    async def widen() -> None:
        for throttle in (3, 1, 2):
            jobs.throttle = throttle
            await checkpoint()

    for _ in range(6):
        jobs.start(work)

    await together(widen, partial(ajobs.wait_all, jobs))


@race(MAY_FAIL, output_limit=1)
async def receive_against_overflow(stage: Stage, jobs: Jobs) -> None:
    """A writer that waits for room, a reader, a stop: order is kept, nothing is lost."""

    async def write() -> None:
        for number in range(4):
            await ajobs.write_output(number)

    job = jobs.start(write)
    taken: list[int] = []

    async def read() -> None:
        async for value in job.receive(errors="ignore"):
            taken.append(value)  # noqa: PERF401  # each counts as soon as it is taken

    await together(read, partial(later, 4, job.stop))
    stage.check(taken == list(range(len(taken))), f"took {taken}")
    stage.check(job.state == "Stopped" or len(taken) == 4, f"took {taken} of a job that ended")


@race(output_limit=2)
async def two_takers(stage: Stage, jobs: Jobs) -> None:
    """Each record goes to one of them."""
    job = jobs.start(numbers, 6)
    taken: list[int] = []

    async def read() -> None:
        async for value in job.receive():
            taken.append(value)
            await checkpoint()

    await together(read, read)
    stage.check(sorted(taken) == list(range(6)), f"took {taken}")


@race()
async def list_against_nowait(stage: Stage, jobs: Jobs) -> None:
    """An awaited list and someone who takes what is there share the records."""
    job = jobs.start(steps, 5)
    taken: list[Any] = []

    async def grab() -> None:
        while not job.is_finished:
            taken.extend(job.receive_nowait())
            await checkpoint()

    async def collect() -> None:
        taken.extend(await job.receive())

    await together(grab, collect)
    stage.check(sorted(taken + job.receive_nowait()) == list(range(5)), f"took {taken}")


@race()
async def followers_against_takers(stage: Stage, jobs: Jobs) -> None:
    """Followers from the start see all, whoever takes."""
    job = jobs.start(steps, 4)
    seen: list[list[Any]] = []

    async def follow(follower: Any) -> None:
        seen.append([record.value async for record in follower])

    take = partial(_taken, job)
    await together(partial(follow, job.follow()), partial(follow, job.follow()), take, take)
    stage.check(seen == [[0, 1, 2, 3]] * 2, f"saw {seen}")


async def _taken(job: ajobs.Job[Any]) -> list[Any]:
    return [value async for value in job.receive()]


@race()
async def many_finish_in_one_tick(stage: Stage, jobs: Jobs) -> None:
    """Chained waits for any give each job once."""
    started = [jobs.start(steps, 1) for _ in range(8)]
    got: list[ajobs.Job[Any]] = []
    pending: Any = started
    while pending:
        result = await ajobs.wait_any(pending)
        got += result.done
        pending = result.pending

    stage.check(sorted(job.id for job in got) == [job.id for job in started], f"got {got}")


@race(MAY_STOP)
async def completed_against_stop(stage: Stage, jobs: Jobs) -> None:
    """Every job comes out once, however it ends."""
    started = [jobs.start(steps, count % 3) for count in range(6)]
    got: list[int] = []

    async def watch() -> None:
        async for job in ajobs.as_completed(started):
            got.append(job.id)  # noqa: PERF401  # as they come

    await together(watch, partial(jobs.stop, started[::2]), partial(later, 1, started[1].stop))
    stage.check(sorted(got) == [job.id for job in started], f"got {got}")


@race()
async def waits_against_cancelled_waits(stage: Stage, jobs: Jobs) -> None:
    """One who goes away leaves the others waiting."""
    started = [jobs.start(steps, 2) for _ in range(3)]

    async def impatient() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(later, 2, _cancel(scope)))
                await ajobs.wait_any(started)
                await ajobs.wait_all(started)

    await together(impatient, partial(ajobs.wait_all, started), partial(ajobs.wait_any, started))
    stage.check(all(job.is_finished for job in started), "a wait for all came too early")


@race()
async def two_waits_for_what_is_pending(stage: Stage, jobs: Jobs) -> None:
    """Both go on to the last, though a third one goes away."""
    started = [jobs.start(steps, count % 3) for count in range(5)]
    first = (await ajobs.wait_any(started, timeout=0)).pending

    async def go_on() -> None:
        pending: Sequence[ajobs.Job[Any]] = first
        while pending:
            pending = (await ajobs.wait_any(pending)).pending

    async def impatient() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(later, 1, _cancel(scope)))
                await go_on()

    await together(go_on, impatient, go_on)
    stage.check(all(job.is_finished for job in started), "a wait came to its end too early")


@race()
async def two_takers_of_what_ends(stage: Stage, jobs: Jobs) -> None:
    """Each job goes to one of them."""
    started = [jobs.start(steps, count % 3) for count in range(5)]
    each = ajobs.as_completed(started)
    got: list[int] = []

    async def take() -> None:
        async for job in each:
            got.append(job.id)
            await checkpoint()

    await together(take, take)
    stage.check(sorted(got) == [job.id for job in started], f"got {got}")


@race()
async def two_takers_of_what_a_session_tells(stage: Stage, _: Jobs) -> None:
    """Each record goes to one of them."""
    taken: list[int] = []

    async def take(follower: AsyncIterator[tuple[object, Any]]) -> None:
        async for _, told in follower:
            if isinstance(told, ajobs.Record):
                taken.append(told.value)
                await checkpoint()

    async with anyio.create_task_group() as tasks, ajobs.Session() as jobs:
        follower = jobs.follow()
        tasks.start_soon(take, follower)
        tasks.start_soon(take, follower)
        jobs.start(numbers, 3)
        jobs.start(numbers, 3)

    stage.check(sorted(taken) == [0, 0, 1, 1, 2, 2], f"took {taken}")


@race()
async def input_against_readers_that_go(stage: Stage, jobs: Jobs) -> None:
    """What was pulled for one that goes away is read by another."""
    got: list[int] = []

    async def read() -> None:
        async for item in ajobs.job_input():
            got.append(item)  # noqa: PERF401  # the readers share the list

    async def impatient() -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(later, 1, _cancel(scope)))
                await read()

    async def work() -> None:
        await together(impatient, read, impatient)
        await read()  # an item may have been on its way to one that went last

    await jobs.start(work, input=numbers(5))
    stage.check(sorted(got) == list(range(5)), f"read {got}")


def _cancel(scope: anyio.CancelScope) -> Callable[[], Awaitable[None]]:
    async def cancel() -> None:
        scope.cancel()

    return cancel


@race(MAY_STOP)
async def remove_against_follow(stage: Stage, jobs: Jobs) -> None:
    """A follower of the session sees the end of what is removed under it."""
    job = jobs.start(steps, 2)
    follow = partial(read_to_an_end, [jobs.follow()])
    await together(follow, partial(later, 1, partial(jobs.remove, job, force=True)))
    stage.check(job not in jobs, "it is still in the table")


@race(MAY_STOP)
async def two_removes(stage: Stage, jobs: Jobs) -> None:
    """One of them may find it gone."""
    job = jobs.start(steps, 1)
    misses: list[Exception] = []

    async def remove() -> None:
        try:
            await jobs.remove(job, force=True)
        except ajobs.JobNotFound as exc:
            misses.append(exc)

    await together(remove, remove)
    stage.check(len(misses) < 2 and len(jobs) == 0, f"{misses}")


@race(MAY_STOP)
async def await_against_remove(stage: Stage, jobs: Jobs) -> None:
    """Who waits for a job that is removed hears how it ended."""
    job = jobs.start(steps, 2, "value")
    said: list[str] = []

    async def ask() -> None:
        said.append(await ended(job))

    await together(ask, ask, partial(later, 2, partial(jobs.remove, job, force=True)))
    stage.check(said == [str(job.state)] * 2, f"{said} of a job that is {job.state}")
    stage.check(job not in jobs, "it is still in the table")


@race(MAY_STOP, retain=1)
async def retention_against_remove(stage: Stage, jobs: Jobs) -> None:
    """The table keeps the newest finished one, and never more."""
    started = [jobs.start(steps, count) for count in (0, 1, 1, 2)]

    async def remove() -> None:
        for job in started:
            if job in jobs:
                await jobs.remove(job, force=True)

    await together(remove, partial(ajobs.wait_all, started))
    stage.check(len(jobs) <= 1, f"{jobs!r}")


@race(MAY_STOP)
async def exit_against_start(stage: Stage, jobs: Jobs) -> None:
    """A job that starts others while the block is left: all run, or the door is shut."""
    begun: list[int] = []

    async def child(number: int) -> None:
        begun.append(number)
        await checkpoint()

    async def parent(inner: Jobs) -> None:
        for number in range(4):
            await checkpoint()
            inner.start(child, number)

    async with ajobs.Session() as inner:
        inner.start(parent, inner)

    stage.check(sorted(begun) == list(range(4)), f"began {begun}")


@race(MAY_STOP)
async def broken_exit_against_start(stage: Stage, jobs: Jobs) -> None:
    """The same, with the block left by an error."""
    refused: list[Exception] = []

    async def parent(inner: Jobs) -> None:
        while True:
            await checkpoint()
            try:
                inner.start(steps, 1)
            except ajobs.SessionClosed as exc:
                refused.append(exc)
                raise

    try:
        async with ajobs.Session(failures="keep") as inner:
            inner.start(parent, inner)
            await checkpoint()
            await checkpoint()
            raise LookupError
    except LookupError:
        pass

    stage.check(all(job.is_finished for job in inner), f"{inner!r}")


@race()
async def two_closings(stage: Stage, jobs: Jobs) -> None:
    """A session without a block is closed twice."""
    hosted = await ajobs.open_session()
    hosted.start(steps, 2)
    await together(hosted.aclose, hosted.aclose, partial(later, 1, hosted.aclose))
    stage.check("closed" in repr(hosted) or not hosted._accepts, repr(hosted))


@race(MAY_STOP)
async def timeout_against_stop(stage: Stage, jobs: Jobs) -> None:
    """Time limits that are far away, and stops that take them back."""
    started = [jobs.start(careful, 1, [], timeout=60) for _ in range(3)]
    await together(
        partial(later, 3, partial(jobs.stop, started)), partial(later, 2, started[0].stop)
    )
    stage.check(all(job.state == "Stopped" for job in started), "a stopped job is not Stopped")


@race(MAY_FAIL)
async def a_ring_that_closes(stage: Stage, jobs: Jobs) -> None:
    """Two jobs wait for one another: the second to ask is told, and both end."""
    pair: list[ajobs.Job[Any]] = []

    async def wait_for(other: int) -> None:
        await checkpoint()
        await pair[other].wait()

    pair += [jobs.start(wait_for, 1), jobs.start(wait_for, 0)]
    await ajobs.wait_all(pair)
    rings = [job for job in pair if isinstance(job.reason, ajobs.DeadlockError)]
    stage.check(len(rings) == 1, f"{len(rings)} rings")


@race(MAY_STOP)
async def input_against_stop(stage: Stage, jobs: Jobs) -> None:
    """The source is closed, whoever goes first."""
    pulled: list[str] = []
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        pulled.append("source")
        try:
            for number in range(5):
                await checkpoint()
                yield number
        finally:
            closed.append("source")

    async def read() -> None:
        async for _ in ajobs.job_input():
            await checkpoint()

    async with ajobs.Session() as inner:
        job = inner.start(read, input=source())
        await later(4, job.stop)

    stage.check(closed == pulled, f"pulled {pulled}, closed {closed}")


@race()
async def a_chain_of_inputs(stage: Stage, jobs: Jobs) -> None:
    """Output to input, three jobs long, each with little room."""

    async def forward() -> None:
        async for item in ajobs.job_input():
            await ajobs.write_output(item + 1)

    source: Any = numbers(4)
    for _ in range(3):
        source = jobs.start(forward, input=source, output_limit=1).receive()

    stage.check([item async for item in source] == [3, 4, 5, 6], "the chain is broken")


@race(MAY_STOP)
async def native_cancellation_of_waiters(stage: Stage, jobs: Jobs) -> None:
    """Asyncio cancels the waiting tasks themselves, trio their scopes."""
    job = jobs.start(steps, 3)

    async def wait() -> None:
        await job.wait()

    if stage.injection.loop == "trio":
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await checkpoint()
            nursery.cancel_scope.cancel()
    else:
        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        await checkpoint()
        for task in tasks:
            task.cancel()

        await asyncio.gather(*tasks, return_exceptions=True)

    stage.check(await ended(job) == "Completed", "the job heard of it")


@race()
async def foreach_left_at_any_time(stage: Stage, jobs: Jobs) -> None:
    """The loop over results is left while items and input run."""
    started: list[int] = []

    async def work(item: int) -> int:
        started.append(item)
        return await turn(item)

    async with ajobs.parallel_foreach(numbers(50), work, throttle=3, buffer=1) as results:
        async for result in results:
            if result >= 2:
                break

    stage.check(len(started) < 20, f"{len(started)} items were started")


@race()
async def foreach_that_fails_at_any_time(stage: Stage, jobs: Jobs) -> None:
    """Several items fail in one tick; one failure is raised, and nothing runs on."""

    async def work(item: int) -> int:
        await checkpoint()
        if item % 3 == 2:
            raise ValueError(item)

        return item

    try:
        await ajobs.parallel_foreach(range(9), work, throttle=4)
    except ValueError:
        return

    stage.check(False, "no failure was raised")
