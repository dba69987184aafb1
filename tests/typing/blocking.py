"""What type checkers see of `ajobs.blocking`: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

import ajobs
from ajobs import blocking
from tests.typing.api import async_generator, coroutine, generator, no_arguments, plain


def start(jobs: blocking.Session) -> None:
    """The value of a job has the type that its function returns."""
    assert_type(jobs.start(coroutine, 1, "x"), blocking.Job[bytes])
    assert_type(jobs.start(plain, 1, "2", name="n", runner="process"), blocking.Job[float])
    assert_type(jobs.start(async_generator, 1), blocking.Job[None])
    assert_type(jobs.start_command(["true"], check=False), blocking.Job[int])
    assert_type(jobs.start_script("a.py", "-v", name="n"), blocking.Job[int])
    assert_type(jobs.start_foreach([1], str, throttle=2).counts.running, int)
    jobs.start_foreach([1], str, colour="red")  # type: ignore[call-arg]  # no such option

    jobs.start(coroutine, "x")  # type: ignore[arg-type]  # an argument of the wrong type
    jobs.start(no_arguments, 1)  # type: ignore[arg-type]  # one too many
    jobs.start_command(["true"], shell=True)  # type: ignore[call-arg]  # no such option


def read(job: blocking.Job[int]) -> None:
    """Attributes are those of `ajobs.Job`; what waits returns what is awaited there."""
    assert_type(job.id, int)
    assert_type(job.instance_id, UUID)
    assert_type(job.state, ajobs.JobState)
    assert_type(job.begin_time, datetime | None)
    assert_type(job.progress, tuple[ajobs.Progress, ...])
    assert_type(job.reason, BaseException | None)
    assert_type(job.result(timeout=1), int)
    assert_type(job.wait(1), bool)
    assert_type(job.stop(), bool)
    assert_type(job.receive().result(), list[Any])
    assert_type(job.receive_nowait(), list[Any])
    assert_type(job.follow(), Iterator[ajobs.Record])
    for record in job.follow(states=True):
        assert_type(record, ajobs.Record | ajobs.StateChange)


def session() -> None:
    """A block, look-ups, waits."""
    with blocking.Session("name", backend="trio", throttle=3) as jobs:
        assert_type(jobs, blocking.Session)
        assert_type(jobs["name"], blocking.Job[Any])
        assert_type(jobs.get(state="running"), list[blocking.Job[Any]])
        first, second = jobs.start(coroutine, 1), jobs.start(coroutine, 2)
        assert_type(jobs.wait_any(first, [second]).done, list[blocking.Job[bytes]])
        assert_type(jobs.wait_all(first).pending, Sequence[blocking.Job[bytes]])
        for job in jobs.as_completed([first, second]):
            assert_type(job, blocking.Job[bytes])

        assert_type(jobs.stop(jobs), bool)

    assert_type(blocking.current(), blocking.SessionView)
    assert_type(blocking.open_session(), blocking.Session)
    blocking.Session(backend="curio")  # type: ignore[arg-type]  # no such loop


def many(jobs: blocking.Session) -> None:
    """Results have the type that the function gives."""
    assert_type(jobs.parallel_foreach([1], coroutine).result(), list[bytes])
    assert_type(list(jobs.parallel_foreach([1], generator)), list[str])
    outcomes = jobs.parallel_foreach([1], coroutine, on_error="return")
    assert_type(outcomes.result(), list[ajobs.Outcome[int, bytes]])
    with jobs.parallel_foreach([1], coroutine, throttle=2) as results:
        for result in results:
            assert_type(result, bytes)
