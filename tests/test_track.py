"""`ajobs.track`: the progress of a loop, told without the loop's help."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

import ajobs
from ajobs import Job, Progress, Session, _track
from tests.support import count_from


class Clock:
    """A clock that goes on by *step* seconds with each look at it."""

    def __init__(self, step: float) -> None:
        self.now = 100.0
        self.step = step
        self.looks = 0

    def __call__(self) -> float:
        """Return the time."""
        self.looks += 1
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stand in for the clock; it stands still until told otherwise."""
    clock = Clock(0)
    monkeypatch.setattr(_track, "monotonic", clock)
    return clock


def told(job: Job[Any]) -> list[Progress]:
    """Take what *job* told of its progress."""
    return [one for one in job.receive_nowait("progress") if isinstance(one, Progress)]


def numbers(end: int) -> Iterator[int]:
    """Give numbers, without a length."""
    yield from range(end)


def total(iterable: Iterable[int], activity: str = "", known: int | None = None) -> int:
    """Add the numbers up."""
    return sum(ajobs.track(iterable, activity, known))


async def run(fn: Any, *args: Any) -> Job[Any]:
    """Run ``fn(*args)`` as a job to its end."""
    async with Session(failures="keep") as jobs:
        jobs.start(fn, *args)

    return jobs.get()[0]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 31, 32, 33, 100, 1000])
@pytest.mark.parametrize("make", [range, numbers])
async def test_items_pass_unchanged(make: Any, size: int) -> None:
    """All items pass, in order, and the last record says how many there were."""

    async def through() -> list[int]:
        return list(ajobs.track(make(size)))

    job = await run(through)
    first, *_, last = told(job)
    assert job.result() == list(range(size))
    assert (first.completed, first.done) == (0, False)
    assert (last.completed, last.done) == (size, True)
    assert last.total == (size or None if make is range else None)
    assert job.progress == ()


async def test_slow_items_are_told_one_by_one(clock: Clock) -> None:
    """While items take long, each is told, with the time that is left."""
    clock.step = 2.0

    async def slow() -> None:
        for _ in ajobs.track(range(4), "copying"):
            pass

    records = told(await run(slow))
    assert [one.completed for one in records] == [0, 1, 2, 3, 4, 4]
    assert [one.percent for one in records] == [0, 25, 50, 75, 100, 100]
    assert [one.seconds_remaining for one in records] == [None, 6, 4, 2, 0, None]
    assert {one.activity for one in records} == {"copying"}


async def test_more_items_than_were_announced(clock: Clock) -> None:
    """What is too much is never less than done, and no time is left for it."""
    clock.step = 2.0

    async def slow() -> None:
        for _ in ajobs.track(range(3), total=1):
            pass

    records = told(await run(slow))
    assert [one.percent for one in records] == [0, 100, 100, 100, 100]
    assert [one.seconds_remaining for one in records] == [None, 0, 0, 0, None]


async def test_fast_items_cost_no_clock(clock: Clock) -> None:
    """The clock is looked at once for some thirty items, and nothing is told in between."""
    job = await run(total, range(3200))
    assert clock.looks < 110
    assert len(told(job)) == 2


async def test_a_loop_that_turns_slow_is_noticed(clock: Clock) -> None:
    """At most one bundle of items goes by unnoticed when a fast loop turns slow."""

    async def turning() -> None:
        for number in ajobs.track(range(2000)):
            if number == 1000:
                clock.step = 1.0

    records = told(await run(turning))
    assert 1000 < (records[1].completed or 0) <= 1000 + _track.MOST_ITEMS + 1


@pytest.mark.parametrize("make", [range, numbers])
async def test_break_and_error_end_the_bar(make: Any) -> None:
    """Leaving the loop ends its bar at once, while the job goes on."""

    def fails() -> None:
        for number in ajobs.track(make(10)):
            if number == 3:
                raise ValueError("three")

    async def leaves() -> list[int]:
        open_bars = []
        for number in ajobs.track(make(10)):
            if number == 3:
                break

        open_bars.append(len(ajobs.current_job().progress))
        with pytest.raises(ValueError, match="three"):
            fails()

        open_bars.append(len(ajobs.current_job().progress))
        return open_bars

    job = await run(leaves)
    assert job.result() == [0, 0]
    assert [one.done for one in told(job)] == [False, True, False, True]


class Endless:
    """An async iterator that needs no closing."""

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> int:
        """Give the same again."""
        return 1


async def test_async_iterables() -> None:
    """`async for` works alike: to the end, with a break, and with an error of the source."""

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise LookupError

    async def loops() -> tuple[list[int], list[int]]:
        seen = [number async for number in ajobs.track(count_from(0, 50), total=50)]
        open_bars = [len(ajobs.current_job().progress)]
        async for _ in ajobs.track(Endless()):
            break

        open_bars.append(len(ajobs.current_job().progress))
        with pytest.raises(LookupError):
            async for _ in ajobs.track(failing()):
                pass

        open_bars.append(len(ajobs.current_job().progress))
        return seen, open_bars

    job = await run(loops)
    assert job.result() == (list(range(50)), [0, 0, 0])
    ends = [one for one in told(job) if one.done]
    assert [one.completed for one in ends] == [50, 0, 1]
    assert ends[0].total == 50


async def test_loops_in_loops() -> None:
    """A loop inside a tracked one is a part of it, also after others were left early."""

    async def nested() -> None:
        for _ in ajobs.track(range(2), "outer"):
            for _ in ajobs.track(range(3), "inner"):
                break

        for _ in ajobs.track(range(1), "next"):
            pass

    records = [one for one in told(await run(nested)) if one.done]
    outer = next(one for one in records if one.activity == "outer")
    assert [(one.activity, one.parent_id) for one in records] == [
        ("inner", outer.id),
        ("inner", outer.id),
        ("outer", None),
        ("next", None),
    ]


@pytest.mark.slow
async def test_in_every_place() -> None:
    """Jobs in threads, processes and loops of their own track alike, their input as well."""

    def with_input() -> int:
        return sum(ajobs.track(ajobs.job_input()))

    async def with_async_input() -> int:
        return sum([number async for number in ajobs.track(ajobs.job_input())])

    async with Session() as jobs:
        started = [
            jobs.start(total, range(5), "adding", runner="thread"),
            jobs.start(total, range(5), "adding", runner="process"),
            jobs.start(with_input, runner="process", input=range(5)),
            jobs.start(with_async_input, input=range(5)),
        ]

    for job in started:
        records = told(job)
        assert job.result() == 10
        assert records[-1].done
        assert records[-1].completed == 5


def test_outside_of_jobs() -> None:
    """Outside of a job the loop is the plain one."""
    assert list(ajobs.track([1, 2, 3])) == [1, 2, 3]


async def test_outside_of_jobs_async() -> None:
    """The same with `async for`."""
    assert [number async for number in ajobs.track(count_from(0, 3))] == [0, 1, 2]


async def test_garbage_ends_quietly() -> None:
    """A loop that ends up in a cycle of garbage never writes from within the collection."""

    class Holder:
        pass

    async def leaves() -> None:
        holder: Any = Holder()
        holder.loop = iter(ajobs.track(range(10)))
        holder.self = holder
        next(holder.loop)
        del holder
        gc.collect() if collect is None else collect()

    # The collector may run at any allocation, also where the log holds its lock.
    inside: dict[str, Any] = {"__name__": "ajobs._log", "gc": gc}
    exec("def collect(): gc.collect()", inside)
    collect = inside["collect"]
    assert [one.done for one in told(await run(leaves))] == [False]
    collect = None
    assert [one.done for one in told(await run(leaves))] == [False, True]


def test_bad_input() -> None:
    """What cannot be tracked is refused by the call."""
    with pytest.raises(TypeError, match="iterable"):
        ajobs.track(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="activity must be a str"):
        ajobs.track([], 5)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="total must be at least 0"):
        ajobs.track([], total=-1)

    with pytest.raises(TypeError, match="iterate with `for`"):
        aiter(ajobs.track([]))

    with pytest.raises(TypeError, match="iterate with `async for`"):
        iter(ajobs.track(count_from(0, 1)))
