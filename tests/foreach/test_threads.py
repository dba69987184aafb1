"""Items in threads."""

import itertools
import threading
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Iterator
from functools import partial
from operator import mul
from typing import Any

import anyio
import anyio.from_thread
import pytest

from ajobs._context import cleanup, stop_requested, write_output
from ajobs._errors import ForeachTimeout, ItemTimeout, JobStuck
from ajobs._foreach import Foreach, Outcome, parallel_foreach, run, threads
from ajobs._foreach.thread_batch import Batch
from ajobs.runners.thread import ThreadRunner
from tests.foreach.conftest import collect
from tests.support import in_thread


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for threads that do not stop."""
    monkeypatch.setattr(run, "STOP_GRACE", 0.05)
    monkeypatch.setattr(threads, "STOP_GRACE", 0.05)


class Gates:
    """Items that wait until they are let through, and what has begun."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self._condition = threading.Condition()
        self._open: set[Any] = set()
        self._news = anyio.Event()

    def work(self, item: Any) -> Any:
        """Wait at the gate, or for the stop."""
        self.begun.append(item)
        anyio.from_thread.run_sync(self._tell)
        with self._condition:
            while item not in self._open and not stop_requested():
                self._condition.wait(0.005)

        return item

    def _tell(self) -> None:
        self._news.set()

    def open(self, *items: Any) -> None:
        """Let items through."""
        with self._condition:
            self._open.update(items)
            self._condition.notify_all()

    async def until(self, count: int) -> None:
        """Wait until so many have begun."""
        with anyio.fail_after(20):
            while len(self.begun) < count:
                self._news = anyio.Event()
                await self._news.wait()


class TestBatch:
    """Items that two threads take from both ends."""

    def test_split(self) -> None:
        """What is untouched comes away, with its indices."""
        batch = Batch(10, deque("abcde"))
        batch.items.popleft()
        rest = batch.split()

        assert rest is not None
        assert (rest.first, list(rest.items)) == (11, list("bcde"))
        assert (batch.first, batch.size, list(batch.items)) == (10, 1, [])
        assert batch.split() is None

    def test_nothing_is_lost_between_both_ends(self) -> None:
        """However the two meet, each item is on one side."""
        for _ in range(200):
            batch = Batch(0, deque(range(300)))
            taken: list[int] = []

            def take(batch: Batch = batch, taken: list[int] = taken) -> None:
                try:
                    while True:
                        taken.append(batch.items.popleft())
                except IndexError:
                    pass

            thread = threading.Thread(target=take)
            thread.start()
            rest = batch.split()
            thread.join()
            left = [] if rest is None else list(rest.items)
            assert taken + left == list(range(300))
            assert rest is None or rest.first == len(taken)


async def test_results_stream_as_items_end() -> None:
    """D44: the result of an item is there as soon as it ends, whatever the others do."""
    gates = Gates()
    async with parallel_foreach("abc", gates.work) as results:
        for item in "bca":
            gates.open(item)
            assert await anext(results) == item

        gates.open(*"abc")


async def test_G2_as_many_run_as_may() -> None:
    """G2: the throttle is reached, and not passed."""
    gates = Gates()
    async with parallel_foreach(range(20), gates.work, throttle=3) as results:
        await gates.until(3)
        await anyio.sleep(0.02)
        assert len(gates.begun) == 3
        gates.open(gates.begun[0])
        await anext(results)
        await gates.until(4)


async def test_max_threads_of_a_runner() -> None:
    """A runner object may allow fewer."""
    gates = Gates()
    gates.open(*range(30))
    names = set()

    def work(item: int) -> int:
        names.add(threading.get_ident())
        return item

    await parallel_foreach(range(30), work, throttle=9, runner=ThreadRunner(max_threads=2))

    assert len(names) <= 2


async def test_initializer_runs_once_in_each_thread() -> None:
    """Before the first item of this runner there."""
    calls: list[int] = []
    runner = ThreadRunner(initializer=lambda: calls.append(threading.get_ident()))

    def work(_: int) -> int:
        return threading.get_ident()

    used = set(await parallel_foreach(range(30), work, throttle=3, runner=runner))

    assert used <= set(calls)
    assert len(calls) == len(set(calls))


async def test_broken_initializer_fails_the_call() -> None:
    """Where a thread cannot be prepared, nothing runs."""

    def broken() -> None:
        raise LookupError("not prepared")

    with pytest.raises(LookupError, match="not prepared"):
        await parallel_foreach("ab", str.upper, runner=ThreadRunner(initializer=broken))


async def test_from_thread_works() -> None:
    """Items may call back into the loop."""

    def work(number: int) -> int:
        return anyio.from_thread.run(double, number)

    async def double(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return 2 * number

    assert await parallel_foreach(range(10), work) == [2 * n for n in range(10)]


async def test_slow_item_holds_nobody_up() -> None:
    """What waits in a batch behind it is run by another thread."""
    release = threading.Event()

    def work(number: int) -> int:
        if number == 5000:
            release.wait(40)

        return number

    came: list[int] = []
    results: Foreach[int] = parallel_foreach(range(20_000), work, throttle=2)
    async with results:
        async for number in results:
            came.append(number)
            if len(came) == 19_999:
                release.set()

    assert sorted(came) == list(range(20_000))
    assert came[-1] == 5000


async def test_generators_are_suspended() -> None:
    """An endless generator stops at the bound until results are taken."""
    given = 0

    def count(_: object) -> Iterator[int]:
        nonlocal given
        for given in itertools.count(1):  # noqa: UP028 - read outside
            yield given

    async with parallel_foreach("a", count, throttle=1, buffer=3) as results:
        await anyio.sleep(0.05)
        assert given <= 6
        assert [await anext(results) for _ in range(20)] == list(range(1, 21))
        await anyio.sleep(0.05)
        assert given <= 27


async def test_write_output_blocks() -> None:
    """`write_output` waits for room, and is left when the block is."""
    written = 0

    def write(_: object) -> int:
        nonlocal written
        for written in itertools.count(1):
            write_output(written)

        return written

    async with parallel_foreach("a", write, throttle=1, buffer=2) as results:
        assert await anext(results) == 1
        await anyio.sleep(0.02)
        assert written <= 8


async def test_cleanup_is_allowed_everywhere() -> None:
    """In a thread there is nothing to shield."""

    def work(item: str) -> str:
        with cleanup():
            return item

    assert await parallel_foreach("a", work) == ["a"]


async def test_async_items_are_cancelled() -> None:
    """An async function in a thread is cancelled in its own loop."""
    begun, stopped = threading.Event(), threading.Event()

    async def work(_: object) -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async with parallel_foreach("a", work, runner="thread"):
        await in_thread(begun)

    assert stopped.is_set()


async def test_async_item_timeout() -> None:
    """So it is when its own time is over."""

    async def work(number: int) -> int:
        if number == 1:
            await anyio.sleep_forever()

        return number

    outcomes = await parallel_foreach(
        range(3), work, runner="thread", item_timeout=0.5, on_error="return"
    )

    assert [type(o.error) for o in outcomes] == [type(None), ItemTimeout, type(None)]


@pytest.mark.parametrize("is_async", [False, True])
async def test_items_are_taken_away_at_any_moment(
    monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """A thread whose last item the loop gives to another one just as it takes it has no error."""

    class Elusive(deque[Any]):
        """Seems to hold an item, and has none when it is asked for it."""

        def __bool__(self) -> bool:
            return True

    async def double(number: int) -> int:
        return 2 * number

    monkeypatch.setattr(threads, "Batch", lambda first, items: Batch(first, Elusive(items)))
    fn: Any = double if is_async else partial(mul, 2)

    assert await parallel_foreach(range(30), fn, runner="thread") == [*range(0, 60, 2)]


async def test_batches_grow_where_a_loop_starts_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the start of a thread's loop takes is no time of the items."""
    starts = 0
    start = anyio.run

    def slow_start(*args: Any, **options: Any) -> Any:
        nonlocal starts
        starts += 1
        time.sleep(0.005)
        return start(*args, **options)

    async def quick(number: int) -> int:
        return number

    monkeypatch.setattr(anyio, "run", slow_start)
    results = await parallel_foreach(range(300), quick, throttle=1, runner="thread")
    assert results == list(range(300))
    assert starts < 50


async def test_late_item_sees_its_stop() -> None:
    """D47: `stop_requested` is true in an item that ran too long, and in no other."""
    saw: dict[int, bool] = {}

    def work(number: int) -> int:
        if number == 1:
            while not stop_requested():
                time.sleep(0.001)

        saw[number] = stop_requested()
        return number

    outcomes = await parallel_foreach(
        range(4), work, throttle=1, item_timeout=0.5, on_error="return"
    )

    assert [type(o.error) for o in outcomes] == [
        type(None),
        ItemTimeout,
        type(None),
        type(None),
    ]
    assert saw == {0: False, 1: True, 2: False, 3: False}


async def test_late_item_is_reported_at_once() -> None:
    """Nobody has to wait for an item that does not look."""
    release = threading.Event()
    results: Foreach[Outcome[int, bool]] = parallel_foreach(
        [1], lambda _: release.wait(40), item_timeout=0.02, on_error="return"
    )
    async with results:
        with anyio.fail_after(20):
            assert isinstance((await anext(results)).error, ItemTimeout)

        release.set()


@pytest.mark.usefixtures("short_grace")
async def test_G7_others_run_when_threads_are_stuck() -> None:
    """G7: items that never end are left, and their places filled again."""
    release = threading.Event()

    def work(number: int) -> int:
        if number < 4:
            release.wait(40)

        return number

    results: Foreach[Outcome[int, int]] = parallel_foreach(
        range(8), work, throttle=2, item_timeout=0.5, on_error="return"
    )
    outcomes: list[Outcome[int, int]] = []
    try:
        with anyio.fail_after(20):
            async with results:
                outcomes.extend([outcome async for outcome in results])
    finally:
        release.set()

    errors = {o.index for o in outcomes if isinstance(o.error, ItemTimeout)}
    assert errors == {0, 1, 2, 3}
    assert {o.value for o in outcomes if o.error is None} == {4, 5, 6, 7}


@pytest.mark.usefixtures("short_grace")
async def test_too_many_stuck_threads_end_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound to how many are left behind."""
    monkeypatch.setattr(threads, "MOST_LEFT", 2)
    release = threading.Event()
    try:
        with warnings.catch_warnings(), pytest.raises(JobStuck, match="3 threads"):  # noqa: PT012 - as short as it gets
            warnings.simplefilter("ignore", RuntimeWarning)
            await parallel_foreach(
                range(100),
                lambda _: release.wait(40),
                throttle=1,
                item_timeout=0.01,
                on_error="return",
            )
    finally:
        release.set()


@pytest.mark.usefixtures("short_grace")
async def test_stuck_thread_is_left_with_a_warning() -> None:
    """Leaving is bounded; the thread that does not stop is named."""
    release = threading.Event()
    entered = anyio.Event()

    def work(_: object) -> None:
        anyio.from_thread.run_sync(entered.set)
        release.wait(40)

    try:
        with anyio.fail_after(20), pytest.warns(RuntimeWarning, match="item 0: 'a'"):
            async with parallel_foreach("a", work):
                await entered.wait()
    finally:
        release.set()


async def test_timeout_counts_what_ended() -> None:
    """D37: of a list it says how many items have no end."""
    gates = Gates()
    gates.open(0, 1)
    with pytest.raises(ForeachTimeout) as caught:
        await parallel_foreach(range(8), gates.work, throttle=2, timeout=1)

    assert caught.value.not_run == 6


async def test_batches_never_wait_for_input() -> None:
    """A slow input hands each item on as it comes."""
    seen: list[int] = []
    events = [anyio.Event() for _ in range(20)]

    async def numbers() -> AsyncIterator[int]:
        for number in range(20):
            yield number
            with anyio.fail_after(20):
                await events[number].wait()

    def work(number: int) -> None:
        seen.append(number)
        anyio.from_thread.run_sync(events[number].set)

    await parallel_foreach(numbers(), work)

    assert seen == list(range(20))


def test_slow_plain_input_makes_small_batches() -> None:
    """A slow iterable does not hold the loop for a whole batch."""
    from ajobs._foreach.source import SyncSource

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            time.sleep(0.002)
            yield number

    source = SyncSource(numbers())
    source.start()
    items: deque[int] = deque()
    source.pull_many(items, 2000)
    source.close()

    assert 1 <= len(items) <= 3


async def test_G9_memory_of_many_items_is_bounded() -> None:
    """G9: what is held does not grow with the number of items."""
    alive = most = 0

    class Item:
        def __init__(self) -> None:
            nonlocal alive
            alive += 1

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def items() -> Iterator[Item]:
        nonlocal most
        for _ in range(100_000):
            yield Item()
            most = max(most, alive)

    async with parallel_foreach(items(), lambda item: item, throttle=2) as results:
        async for _ in results:
            pass

    assert most < 40_000


async def test_G4_leave_from_the_middle_of_batches() -> None:
    """G4: batches that wait are forgotten."""
    assert len(await collect(parallel_foreach(range(10**6), abs, throttle=4), 5000)) == 5000
