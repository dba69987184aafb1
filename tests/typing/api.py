"""What type checkers see of the public interface: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, assert_type

import ajobs
from ajobs import Job, JobState, Progress, Record, StateChange


async def coroutine(number: int, text: str = "") -> bytes:
    """Be an async function."""
    return text.encode() * number


async def async_generator(number: int) -> AsyncIterator[str]:
    """Be an async generator."""
    yield str(number)


def generator(number: int) -> Iterator[str]:
    """Be a generator."""
    yield str(number)


def plain(number: int, text: str) -> float:
    """Be a plain function."""
    return number + float(text)


def no_arguments() -> None:
    """Be a function that takes and gives nothing."""


class Work:
    """Callable in several ways."""

    async def method(self, number: int) -> list[int]:
        """Be an async method."""
        return [number]

    def __call__(self, number: int) -> str:
        """Be callable."""
        return str(number)


async def start(jobs: ajobs.Session) -> None:
    """The value of a job has the type that its function returns."""
    assert_type(jobs.start(coroutine, 1, "x"), Job[bytes])
    assert_type(jobs.start(plain, 1, "2"), Job[float])
    assert_type(jobs.start(no_arguments), Job[None])
    assert_type(jobs.start(Work().method, 1), Job[list[int]])
    assert_type(jobs.start(Work(), 1), Job[str])
    assert_type(jobs.start(async_generator, 1), Job[None])
    assert_type(jobs.start(partial(coroutine, 1)), Job[bytes])
    assert_type(jobs.start(coroutine, 1, "x", runner="thread", name="n", timeout=1), Job[bytes])
    assert_type(jobs.start(plain, 1, "2", input=[1], output_limit=3, overflow="error"), Job[float])

    jobs.start(coroutine, "x")  # type: ignore[arg-type]  # an argument of the wrong type
    jobs.start(plain, 1)  # type: ignore[arg-type]  # one too few
    jobs.start(no_arguments, 1)  # type: ignore[arg-type]  # one too many
    jobs.start(3)  # type: ignore[call-overload]  # nothing to call


async def read(job: Job[int]) -> None:
    """Results, records and waits have types of their own."""
    assert_type(await job, int)
    assert_type(job.result(), int)
    assert_type(job.state, JobState)
    assert_type(job.reason, BaseException | None)
    assert_type(job.progress, tuple[Progress, ...])
    assert_type(await job.wait(timeout=1), bool)
    assert_type(await job.stop(), bool)
    assert_type(await job.receive(), list[Any])
    assert_type(job.receive_nowait(), list[Any])
    async for record in job.follow(states=True):
        assert_type(record, Record | StateChange)


async def covariance(job: Job[bool]) -> Job[int]:
    """A job of a subtype is a job of the type."""
    return job


async def session() -> None:
    """Look-ups and views are typed."""
    async with ajobs.Session("name", throttle=3, failures="keep") as jobs:
        assert_type(jobs, ajobs.Session)
        assert_type(jobs[1], Job[Any])
        assert_type(jobs["name"], Job[Any])
        assert_type(jobs.get(state="running"), list[Job[Any]])
        assert_type(len(jobs), int)
        for job in jobs:
            assert_type(job, Job[Any])

        async for one, record in jobs.follow():
            assert_type(one, Job[Any])
            assert_type(record, Record | StateChange)

        assert_type(await jobs.stop(jobs), bool)
        await jobs.remove(jobs, force=True)

    ajobs.Session(failures="ignore")  # type: ignore[arg-type]  # no such word


async def waits(first: Job[int], second: Job[int], other: Job[str]) -> None:
    """Waiting keeps the type of the jobs."""
    result = await ajobs.wait_any(first, [second])
    assert_type(result.done, list[Job[int]])
    assert_type(result.pending, Sequence[Job[int]])
    assert_type((await ajobs.wait_all([first, second], timeout=1)).done, list[Job[int]])
    async for job in ajobs.as_completed(first, second):
        assert_type(job, Job[int])

    mixed: list[Job[Any]] = [first, other]
    assert_type((await ajobs.wait_all(mixed)).done, list[Job[Any]])


def inside() -> None:
    """The functions for code inside a job."""
    assert_type(ajobs.stop_requested(), bool)
    assert_type(ajobs.current_job(), Job[Any])
    assert_type(ajobs.current_session(), ajobs.Session)
    assert_type(ajobs.check_stop(), None)
    ajobs.write_progress("a", percent=1, done=True)
    for number in ajobs.track([1, 2], "a"):
        assert_type(number, int)


async def inside_async() -> None:
    """Writes can be awaited, and need not be."""
    async for text in ajobs.track(async_generator(1), total=3):
        assert_type(text, str)

    ajobs.write_output(1)
    await ajobs.write_output(1)
    with ajobs.cleanup():
        await ajobs.write_error("x")


def measured() -> None:
    """What `bench` finds out has types too."""
    report = ajobs.bench(len, ["a"], runners=["thread", "process"], throttles=2, quick=True)
    assert_type(report, ajobs.BenchReport)
    assert_type(report.tables[0].best.throttle, int)
    assert_type(report.tables[0].verdict.sentence, str)


class Own(ajobs.Runner):
    """A runner of one's own is one method."""

    kind = "own"

    async def run(self, spec: ajobs.JobSpec, emit: ajobs.Emit) -> Any:
        """Run it."""
        emit.begin()
        emit(ajobs.Stream.OUTPUT, 1)
        return spec.fn(*spec.args)
