"""The scenarios of the sweep that run on the event loop alone: one for each public verb.

Nothing in them waits for time: what blocks is woken by a job that takes a few turns.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

import ajobs

from .harness.sweep import NOT_ALL, Act, Allowed, Scenario, Stage

Jobs = ajobs.Session

#: Waiting never stops a job.
UNTOUCHED = Allowed(frozenset({"Completed"}), frozenset({"Completed", "Stopped"}))
#: The session is left by the cancellation, or the verb itself stops.
MAY_STOP = Allowed(frozenset({"Completed", "Stopped"}), frozenset({"Completed", "Stopped"}))
#: A job that waits for a stopped one fails by `JobStopped`; some fail by themselves.
MAY_FAIL = Allowed(
    frozenset({"Completed", "Stopped", "Failed"}), frozenset({"Completed", "Stopped", "Failed"})
)

SCENARIOS: list[Scenario] = []


def scenario(
    allowed: Allowed = UNTOUCHED, acts: tuple[Act, ...] = tuple(Act)
) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
    """Add the function to `SCENARIOS`, under its name."""

    def add(play: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
        name = getattr(play, "__name__", "")
        SCENARIOS.append(Scenario(name, play, allowed, acts=acts))
        return play

    return add


async def steps(count: int, result: object = None) -> object:
    """Write *count* numbers, a turn of the loop before each."""
    for number in range(count):
        await checkpoint()
        ajobs.write_output(number)

    await checkpoint()
    return result


async def numbers(count: int) -> AsyncIterator[int]:
    """Yield *count* numbers, a turn of the loop before each."""
    for number in range(count):
        await checkpoint()
        yield number


async def careful(count: int, done: list[str]) -> None:
    """Take turns for ever; on a stop, clean up in *count* turns."""
    try:
        await anyio.sleep_forever()
    finally:
        with ajobs.cleanup():
            for _ in range(count):
                await checkpoint()

            done.append("clean")


async def turn(item: int) -> int:
    """Return *item* after a turn of the loop."""
    await checkpoint()
    return item


@asynccontextmanager
async def open_stage(stage: Stage, **options: Any) -> AsyncIterator[Jobs]:
    """Give a session that outlives the victim, and is as good as new after it."""
    async with ajobs.Session(failures="keep", **options) as jobs:
        yield jobs
        for job in jobs:
            await job.wait()

        probe = jobs.start(turn, 7)
        stage.check(await probe == 7, "the session cannot run a job any more")


def check_all(stage: Stage, job: ajobs.Job[Any], taken: list[Any], count: int) -> None:
    """Look whether *taken*, and what is still there, is all that *job* wrote, in order."""
    rest = job.receive_nowait()
    written = list(range(count))
    if job.state == "Completed" and not stage.was_hurt:
        stage.check(taken + rest == written, f"took {taken}, then {rest} of {written}")
    else:
        stage.check(taken + rest == written[: len(taken + rest)], f"took {taken}, then {rest}")


# Waiting


def waits(name: str, verb: Callable[..., Awaitable[Any]], count: int = 3) -> None:
    """Add a scenario in which the victim waits for *count* jobs by *verb*."""

    async def play(stage: Stage) -> None:
        async with open_stage(stage) as jobs:
            await stage.victim(verb, [jobs.start(steps, n) for n in range(1, count + 1)])

    SCENARIOS.append(Scenario(name, play, UNTOUCHED))


async def _each(jobs: list[ajobs.Job[Any]]) -> None:
    for job in jobs:
        await job


async def _wait(jobs: list[ajobs.Job[Any]], timeout: float | None = None) -> None:
    for job in jobs:
        await job.wait(timeout)


async def _no_time(jobs: list[ajobs.Job[Any]]) -> None:
    await jobs[-1].wait(0)
    await ajobs.wait_any(jobs, timeout=0)
    await ajobs.wait_all(jobs, timeout=0)


async def _any_by_any(jobs: list[ajobs.Job[Any]], timeout: float | None = None) -> None:
    pending: Any = jobs
    while pending:
        pending = (await ajobs.wait_any(pending, timeout=timeout)).pending


async def _all(jobs: list[ajobs.Job[Any]], timeout: float | None = None) -> None:
    await ajobs.wait_all(jobs, timeout=timeout)


async def _completed(jobs: list[ajobs.Job[Any]], timeout: float | None = None) -> None:
    async for _ in ajobs.as_completed(jobs, timeout=timeout):
        pass


async def _first_completed(jobs: list[ajobs.Job[Any]]) -> None:
    async for _ in ajobs.as_completed(jobs):
        break


waits("await_job", _each)
waits("wait", _wait)
waits("wait_limited", partial(_wait, timeout=60))
waits("wait_no_time", _no_time)
waits("wait_any", _any_by_any)
waits("wait_any_limited", partial(_any_by_any, timeout=60))
waits("wait_all", _all)
waits("wait_all_limited", partial(_all, timeout=60))
waits("as_completed", _completed)
waits("as_completed_limited", partial(_completed, timeout=60))
waits("as_completed_left_early", _first_completed)


@scenario(MAY_FAIL)
async def jobs_that_wait_for_jobs(stage: Stage) -> None:
    """Jobs wait in every way for one another; a throttle of one must not hold them up."""
    async with open_stage(stage, throttle=1) as jobs:
        first = jobs.start(steps, 3, "first")

        async def wait_in_all_ways() -> None:
            await first
            await ajobs.wait_any(first, second)
            await second.wait()

        second = jobs.start(_each, [first])
        await stage.victim(_all, [jobs.start(wait_in_all_ways), first, second])


# Reading


@scenario()
async def receive_awaited(stage: Stage) -> None:
    """A list of everything."""
    async with open_stage(stage) as jobs:
        job = jobs.start(steps, 4)

        async def receive() -> Any:
            return await job.receive(errors="ignore")

        taken = await stage.victim(receive)
        await job.wait()
        check_all(stage, job, taken or [], 4)


@scenario()
async def receive_iterated(stage: Stage) -> None:
    """One by one."""
    async with open_stage(stage) as jobs:
        job = jobs.start(steps, 4)
        taken: list[Any] = []

        async def receive() -> None:
            async for value in job.receive():
                taken.append(value)
                await checkpoint()

        await stage.victim(receive)
        await job.wait()
        check_all(stage, job, taken, 4)


@scenario()
async def receive_as_a_stream(stage: Stage) -> None:
    """By anyio's own verbs."""
    async with open_stage(stage) as jobs:
        job = jobs.start(steps, 4)
        taken: list[Any] = []

        async def receive() -> None:
            async with job.receive(errors="ignore") as stream:
                taken.append(await stream.receive())
                taken.append(await stream.receive())
                await checkpoint()

        await stage.victim(receive)
        await job.wait()
        check_all(stage, job, taken, 4)


@scenario()
async def receive_keeping(stage: Stage) -> None:
    """Both forms, leaving all records in place."""
    async with open_stage(stage) as jobs:
        job = jobs.start(steps, 3)

        async def receive() -> None:
            async for _ in job.receive("all", keep=True, errors="ignore"):
                await checkpoint()

            await job.receive(keep=True, errors="ignore")

        await stage.victim(receive)
        await job.wait()
        check_all(stage, job, [], 3)


async def read_to_an_end(followers: list[Any]) -> None:
    """Read the one follower of a session, which is kept nowhere else, until a job has ended."""
    async for _, told in followers.pop():
        if isinstance(told, ajobs.StateChange) and ajobs.JobState(told.state).finished:
            break


@scenario()
async def follow(stage: Stage) -> None:
    """Two followers of a job and one of the session."""
    async with open_stage(stage) as jobs:
        everything = [jobs.follow()]
        job = jobs.start(steps, 3)

        async def read() -> None:
            async for _ in job.follow(states=True):
                await checkpoint()

            async for _ in job.follow():
                pass

            await read_to_an_end(everything)

        await stage.victim(read)
        everything.clear()
        await job.wait()
        check_all(stage, job, [], 3)


@scenario()
async def follow_from_the_start(stage: Stage) -> None:
    """A follower of the session waits for jobs that have not begun."""
    async with open_stage(stage) as jobs:
        everything = [jobs.follow()]
        job = jobs.start(steps, 3)

        async def read() -> None:
            await read_to_an_end(everything)

        await stage.victim(read)
        everything.clear()
        stage.ending = None  # it holds where the victim was, and so the follower
        await job.wait()
        check_all(stage, job, [], 3)


@scenario()
async def receive_keeping_from_the_start(stage: Stage) -> None:
    """Each form by itself, while the job runs."""
    async with open_stage(stage) as jobs:
        job = jobs.start(steps, 3)

        async def receive() -> None:
            async with job.receive(keep=True, errors="ignore") as stream:
                await stream.receive()

            await job.receive(keep=True, errors="ignore")

        await stage.victim(receive)
        await job.wait()
        check_all(stage, job, [], 3)


@scenario()
async def read_in_bursts(stage: Stage) -> None:
    """So many records that readers and writers give way to others between them."""

    async def write() -> AsyncIterator[int]:
        for number in range(70):
            yield number

    async with open_stage(stage) as jobs:
        everything = [jobs.follow()]
        job = jobs.start(write)
        seen: list[Any] = []

        async def read() -> None:
            await job.wait()
            async for value in job.receive(keep=True, errors="ignore"):
                seen.append(value)  # noqa: PERF401  # each counts as soon as it is taken

            async for _ in job.follow():
                pass

            await read_to_an_end(everything)

        await stage.victim(read)
        everything.clear()
        stage.ending = None  # it holds where the victim was, and so the follower
        await job.wait()
        taken = [value async for value in job.receive(errors="ignore")]
        stage.check(seen == taken[: len(seen)], f"saw {seen} of {taken}")
        stage.check(taken == list(range(70)) or job.state != "Completed", f"took {taken}")


@scenario()
async def two_readers_and_a_bound(stage: Stage) -> None:
    """A writer that waits for room, one reader that is attacked and one that is not."""
    async with open_stage(stage, output_limit=1) as jobs:

        async def write() -> None:
            for number in range(6):
                await ajobs.write_output(number)

        job = jobs.start(write)
        taken: list[Any] = []

        async def receive() -> None:
            async for value in job.receive(errors="ignore"):
                taken.append(value)  # noqa: PERF401  # each counts as soon as it is taken

        await stage.victim(receive)
        await receive()
        check_all(stage, job, taken, 6)


@scenario()
async def a_generator_and_a_bound(stage: Stage) -> None:
    """A generator is suspended while its output is full."""
    async with open_stage(stage, output_limit=1) as jobs:
        job = jobs.start(numbers, 5)

        async def receive() -> Any:
            return await job.receive(errors="ignore")

        taken = await stage.victim(receive)
        rest = await job.receive(errors="ignore")
        check_all(stage, job, (taken or []) + rest, 5)


# Input


@scenario(MAY_STOP)
async def input_of_every_sort(stage: Stage) -> None:
    """A chain: an async generator feeds a job, its output a second, a list a third."""
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            for number in range(3):
                await checkpoint()
                yield number
        finally:
            closed.append("source")

    async def double() -> None:
        async for item in ajobs.job_input():
            await ajobs.write_output(item * 2)

    async with open_stage(stage) as jobs:
        first = jobs.start(double, input=source())
        second = jobs.start(double, input=first.receive(errors="ignore"), output_limit=2)
        third = jobs.start(double, input=[1, 2])

        async def receive() -> Any:
            return await second.receive(errors="ignore")

        taken = await stage.victim(receive)
        rest = await second.receive(errors="ignore")
        await ajobs.wait_all(first, second, third)
        if all(job.state == "Completed" for job in jobs):
            stage.check((taken or []) + rest == [0, 4, 8], f"the chain gave {taken} and {rest}")

    is_read = bool(first.receive_nowait(keep=True)) or taken or rest
    stage.check(closed == ["source"] or stage.was_hurt or not is_read, "the source is not closed")


@scenario(MAY_STOP, NOT_ALL)
async def input_read_by_two(stage: Stage) -> None:
    """Two tasks of one job read its input; nothing is lost, nothing comes twice."""
    got: list[int] = []

    async def source() -> AsyncIterator[int]:
        for number in range(6):
            await checkpoint()
            yield number

    async def reader() -> None:
        async for item in ajobs.job_input():
            got.append(item)  # noqa: PERF401  # two readers share the list

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader)
            await reader()

    async with open_stage(stage) as jobs:
        job = jobs.start(both, input=source())
        await stage.victim(job.wait)
        await job.wait()
        if job.state == "Completed":
            stage.check(sorted(got) == list(range(6)), f"read {got}")


# Stopping and removing


@scenario(MAY_STOP)
async def stop_jobs(stage: Stage) -> None:
    """Several at once: one that cleans up, one that ends, one that never ran."""
    done: list[str] = []
    async with open_stage(stage, throttle=2) as jobs:
        started = [jobs.start(careful, 2, done), jobs.start(steps, 2), jobs.start(steps, 1)]

        async def stop() -> None:
            await jobs.stop(started[0], started[1:])

        await checkpoint()
        await stage.victim(stop)
        stage.check(await jobs.stop(jobs), "the second stop did not end them")
        ran = started[0].begin_time is not None
        stage.check(done == ["clean"] * ran or stage.was_hurt, f"cleanup: {done}")


@scenario(MAY_STOP)
async def stop_one(stage: Stage) -> None:
    """A job whose cleanup waits."""
    done: list[str] = []
    async with open_stage(stage) as jobs:
        job = jobs.start(careful, 3, done)
        for _ in range(3):
            await checkpoint()

        await stage.victim(job.stop)
        await job.stop()
        stage.check(done == ["clean"] or stage.was_hurt, f"cleanup: {done}")


@scenario(MAY_STOP)
async def stop_itself(stage: Stage) -> None:
    """A job that stops itself."""

    async def suicide() -> None:
        await ajobs.current_job().stop()
        await checkpoint()

    async with open_stage(stage) as jobs:
        job = jobs.start(suicide)
        await stage.victim(job.wait)


@scenario(MAY_STOP)
async def remove_jobs(stage: Stage) -> None:
    """Stop, then remove, while somebody follows."""
    async with open_stage(stage, throttle=1) as jobs:
        started = [jobs.start(careful, 2, []), jobs.start(steps, 2), jobs.start(steps, 1)]
        follower = jobs.follow()
        await checkpoint()

        async def remove() -> None:
            await jobs.remove(started, force=True)

        await stage.victim(remove)
        await jobs.remove([job for job in started if job in jobs], force=True)
        stage.check(len(jobs) == 0, f"{jobs!r} after removing all")
        del follower


# Sessions


def session_is_victim(
    name: str,
    body: Callable[[Jobs], Awaitable[None]],
    allowed: Allowed = MAY_STOP,
    **options: Any,
) -> None:
    """Add a scenario whose victim enters and leaves a session."""

    async def play(stage: Stage) -> None:
        async def block() -> None:
            async with ajobs.Session(**options) as jobs:
                await body(jobs)

        await stage.victim(block)

    SCENARIOS.append(Scenario(name, play, allowed))


async def _some(jobs: Jobs) -> None:
    for count in range(3):
        jobs.start(steps, count)


async def _some_and_wait(jobs: Jobs) -> None:
    await _some(jobs)
    await ajobs.wait_any(jobs)


async def _cleaning(jobs: Jobs) -> None:
    jobs.start(careful, 3, [])
    jobs.start(steps, 2)
    await checkpoint()
    await checkpoint()


async def _cleaning_generator(jobs: Jobs) -> None:
    async def generate() -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
        finally:
            with ajobs.cleanup():
                await checkpoint()

    # It waits for room, and so stands where it gives a value.
    job = jobs.start(generate, output_limit=1)
    for _ in range(4):
        await checkpoint()

    await job.stop()


async def _family(jobs: Jobs) -> None:
    async def grow(depth: int) -> None:
        await checkpoint()
        if depth:
            jobs.start(grow, depth - 1)
            jobs.start(grow, depth - 1)

    jobs.start(grow, 2)


async def _failing(jobs: Jobs) -> None:
    async def fail() -> None:
        await checkpoint()
        raise ValueError("injected")

    job = jobs.start(fail)
    jobs.start(steps, 2)
    with suppress(ValueError):
        await job


async def _nested(jobs: Jobs) -> None:
    async def inner() -> None:
        async with ajobs.Session(throttle=1) as more:
            more.start(steps, 1)
            more.start(steps, 1)

    jobs.start(inner)
    async with ajobs.Session() as more:
        more.start(steps, 2)


async def _tiny(jobs: Jobs) -> None:
    async def tiny() -> None:
        pass

    for _ in range(5):
        jobs.start(tiny, auto_remove=True)
        await checkpoint()


async def _bounded_in_time(jobs: Jobs) -> None:
    jobs.start(steps, 3, timeout=60)
    jobs.start(steps, 3, timeout=60)
    await checkpoint()


async def _input_never_read(jobs: Jobs) -> None:
    jobs.start(steps, 1, input=numbers(3))
    jobs.start(turn, 1, input=numbers(3))


session_is_victim("session", _some)
session_is_victim("session_with_a_wait", _some_and_wait)
session_is_victim("session_throttled", _some, throttle=1)
session_is_victim("session_with_cleanup", _cleaning, drain=0)
session_is_victim("session_with_cleanup_in_a_generator", _cleaning_generator, drain=0)
session_is_victim("session_family", _family, throttle=2)
session_is_victim("session_failing", _failing, MAY_FAIL)
session_is_victim("session_nested", _nested, MAY_FAIL)
session_is_victim("session_tiny", _tiny, retain=2)
session_is_victim("session_timeouts", _bounded_in_time)
session_is_victim("session_input_unread", _input_never_read)


@scenario(MAY_STOP)
async def session_broken_off(stage: Stage) -> None:
    """The block raises while jobs run."""

    class Oops(Exception):
        pass

    async def block() -> None:
        try:
            async with ajobs.Session() as jobs:
                jobs.start(careful, 2, [])
                jobs.start(steps, 2)
                await checkpoint()
                await checkpoint()
                raise Oops
        except Oops:
            pass

    await stage.victim(block)


@scenario(MAY_STOP)
async def hosted_session(stage: Stage) -> None:
    """A session without a block is opened and closed."""
    opened: list[Any] = []

    async def whole() -> None:
        jobs = await ajobs.open_session()
        opened.append(jobs)
        try:
            jobs.start(steps, 2)
        except ajobs.SessionClosed:
            assert stage.was_hurt

        await checkpoint()
        await jobs.aclose()

    await stage.victim(whole)
    for jobs in opened:
        await _close_again(jobs, stage)


async def _close_again(jobs: Any, stage: Stage) -> None:
    """Close what the victim may have closed, or take what nobody has heard yet."""
    try:
        await jobs.aclose()
    except (OSError, MemoryError):
        stage.check(stage.was_hurt, "the session fails")


async def _many(jobs: Jobs) -> None:
    async def tiny() -> None:
        time.sleep(0.0002)  # noqa: ASYNC251  # all together they hold the loop for long

    for _ in range(70):
        jobs.start(tiny)


async def _stopped_from_within(jobs: Jobs) -> None:
    async def stop_all() -> None:
        await jobs.stop(jobs)

    jobs.start(careful, 1, [])
    jobs.start(stop_all)


async def _stopped_by_itself(jobs: Jobs) -> None:
    async def stop_itself() -> None:
        await jobs.stop(ajobs.current_job())

    jobs.start(stop_itself)


async def _watched(jobs: Jobs) -> None:
    await _family(jobs)
    await jobs.watch()


async def _watched_by_a_job(jobs: Jobs) -> None:
    await _some(jobs)
    jobs.start(jobs.watch)


class Later:
    """Something that can be awaited, and is no coroutine."""

    def __await__(self) -> Any:
        return checkpoint().__await__()


def later() -> Later:
    """Return it."""
    return Later()


async def _awaitables(jobs: Jobs) -> None:
    mark: Any = vars(inspect)["markcoroutinefunction"]
    jobs.start(mark(later))


session_is_victim("session_with_many", _many)
session_is_victim("session_stopped_from_within", _stopped_from_within)
session_is_victim("session_stopped_by_itself", _stopped_by_itself)
session_is_victim("session_watched", _watched)
session_is_victim("session_watched_by_a_job", _watched_by_a_job)
if sys.version_info >= (3, 12):
    session_is_victim("session_with_awaitables", _awaitables)


@scenario(MAY_STOP, NOT_ALL)
async def hosted_session_closed_by_two(stage: Stage) -> None:
    """One of them waits for the other."""
    jobs = await ajobs.open_session()
    jobs.start(steps, 2)

    async def close() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(jobs.aclose)
            await jobs.aclose()

    await stage.victim(close)
    await _close_again(jobs, stage)


@scenario(UNTOUCHED, NOT_ALL)
async def progress_shown(stage: Stage) -> None:
    """Bars while a block runs, and until the jobs have ended."""

    async def tracked() -> None:
        async for _ in ajobs.track(numbers(3), total=3):
            pass

    async with open_stage(stage) as jobs:
        started = [jobs.start(tracked), jobs.start(tracked)]

        async def show() -> None:
            async with ajobs.show_progress(*started):
                await started[0]

        await stage.victim(show)
