"""Items as coroutines on the loop."""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
import trio
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ajobs._context import check_stop, cleanup, stop_requested, write_output
from ajobs._errors import ForeachTimeout, ItemTimeout, OutputLimitExceeded
from ajobs._foreach import parallel_foreach, task_worker, tasks
from ajobs._foreach.task_worker import TaskWorker
from tests.foreach.conftest import collect


class Gates:
    """Items that wait until they are let through, and what has begun."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.stopped: list[Any] = []
        self._gates: dict[Any, anyio.Event] = {}

    def _gate(self, item: Any) -> anyio.Event:
        return self._gates.setdefault(item, anyio.Event())

    async def work(self, item: Any) -> Any:
        """Wait at the gate."""
        self.begun.append(item)
        try:
            await self._gate(item).wait()
        except BaseException:
            self.stopped.append(item)
            raise

        return item

    def open(self, *items: Any) -> None:
        """Let items through."""
        for item in items:
            self._gate(item).set()


async def test_results_stream_as_items_end() -> None:
    """D44: the result of an item is there as soon as it ends, whatever the others do."""
    gates = Gates()
    async with parallel_foreach("abc", gates.work) as results:
        for item in "bca":
            gates.open(item)
            assert await anext(results) == item


async def test_first_item_runs_before_the_input_is_complete() -> None:
    """D46: items start while the input still comes."""
    begun = anyio.Event()

    async def work(item: int) -> int:
        begun.set()
        return item

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await begun.wait()
        yield 2

    with anyio.fail_after(20):
        assert await parallel_foreach(numbers(), work) == [1, 2]


@pytest.mark.parametrize("throttle", [1, 3, 8])
async def test_G2_as_many_run_as_may(throttle: int) -> None:
    """G2: the throttle is reached, and not passed."""
    gates = Gates()
    async with parallel_foreach(range(20), gates.work, throttle=throttle) as results:
        await wait_all_tasks_blocked()
        assert gates.begun == list(range(throttle))
        gates.open(0)
        assert await anext(results) == 0
        await wait_all_tasks_blocked()
        assert gates.begun == list(range(throttle + 1))


async def test_G5_ordered_memory_is_bounded() -> None:
    """G5: one slow item holds the input back, not a growing heap of results."""
    gates = Gates()
    gates.open(*range(1, 1000))
    async with parallel_foreach(
        range(1000), gates.work, throttle=4, buffer=6, ordered=True
    ) as results:
        await wait_all_tasks_blocked()
        assert len(gates.begun) == 10
        gates.open(0)
        assert [value async for value in results] == list(range(1000))


async def test_slow_consumer_holds_items_back() -> None:
    """D45: without a buffer only the throttle is ahead."""
    gates = Gates()
    gates.open(*range(50))
    async with parallel_foreach(range(50), gates.work, throttle=4, buffer=0) as results:
        await wait_all_tasks_blocked()
        assert len(gates.begun) == 4
        await anext(results)
        await wait_all_tasks_blocked()
        assert len(gates.begun) == 5


async def test_generators_are_suspended() -> None:
    """An endless generator stops at the bound until results are taken."""
    given = 0

    async def count(_: object) -> AsyncIterator[int]:
        nonlocal given
        for given in itertools.count(1):
            yield given

    async with parallel_foreach("a", count, throttle=1, buffer=3) as results:
        await wait_all_tasks_blocked()
        assert given <= 5
        assert [await anext(results) for _ in range(20)] == list(range(1, 21))
        await wait_all_tasks_blocked()
        assert given <= 25


async def test_awaited_write_output_waits() -> None:
    """`write_output` is back-pressure where it is awaited."""
    written = 0

    async def write(_: object) -> None:
        nonlocal written
        for number in range(100):
            await write_output(number)
            written = number

    async with parallel_foreach("a", write, throttle=1, buffer=3) as results:
        await wait_all_tasks_blocked()
        assert written < 6
        assert [value async for value in results] == list(range(100))


async def test_write_output_without_await_has_an_end() -> None:
    """An item that never waits for room fails at twice the bound."""

    async def write(_: object) -> None:
        for number in range(100):
            write_output(number)

    with pytest.raises(OutputLimitExceeded):
        await collect(parallel_foreach("a", write, throttle=1, buffer=3))


async def test_G4_early_leave_stops_items() -> None:
    """G4: those that run are cancelled, and have ended when the block is left."""
    gates = Gates()
    gates.open(0)
    async with parallel_foreach(itertools.count(), gates.work, throttle=5) as results:
        assert await anext(results) == 0
        await wait_all_tasks_blocked()

    assert sorted(gates.stopped) == gates.begun[1:]


async def test_failure_stops_the_others() -> None:
    """The rest has ended when the error comes out of the await."""
    gates = Gates()

    async def work(item: int) -> None:
        if item == 3:
            await wait_all_tasks_blocked()
            raise ValueError("three")

        await gates.work(item)

    with pytest.raises(ValueError, match="three"):
        await parallel_foreach(itertools.count(), work, throttle=4)

    assert sorted(gates.stopped) == sorted(gates.begun)


async def test_second_failure_is_told() -> None:
    """What fails while the rest is being stopped goes along as a note."""

    async def work(item: int) -> None:
        if item == 1:
            raise ValueError("first")

        try:
            await anyio.sleep_forever()
        finally:
            raise LookupError("second")

    with pytest.raises(ValueError, match="first") as caught:
        await parallel_foreach(range(2), work)

    assert any("LookupError: second" in note for note in caught.value.__notes__)


async def test_stop_is_level_triggered() -> None:
    """An item that catches its cancellation is cancelled again at its next await."""
    caught = 0

    async def stubborn(_: object) -> None:
        nonlocal caught
        for _ in range(3):
            try:
                await anyio.sleep_forever()
            except BaseException:  # noqa: BLE001
                caught += 1

    async with parallel_foreach("a", stubborn):
        await wait_all_tasks_blocked()

    assert caught == 3


async def test_cleanup_may_await() -> None:
    """Inside `cleanup` the awaits of a stopped item work."""
    cleaned = False

    async def work(_: object) -> None:
        nonlocal cleaned
        try:
            await anyio.sleep_forever()
        finally:
            assert stop_requested()
            with cleanup():
                await checkpoint()
                cleaned = True

    async with parallel_foreach("a", work):
        await wait_all_tasks_blocked()

    assert cleaned


async def test_G7_cleanup_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """G7: a cleanup that hangs is over with the grace."""
    from ajobs._foreach import run

    monkeypatch.setattr(run, "STOP_GRACE", 0.05)

    async def work(_: object) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with cleanup():
                await anyio.sleep_forever()

    with anyio.move_on_after(20) as limit:
        async with parallel_foreach("a", work):
            await wait_all_tasks_blocked()

    assert not limit.cancel_called


async def test_refusing_item_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A task cannot be left: whoever waits for one is told for which."""
    from ajobs._foreach import run

    monkeypatch.setattr(run, "STOP_GRACE", 0.02)

    async def refuse(_: object) -> None:
        with anyio.CancelScope(shield=True):
            while "refuses" not in caplog.text:  # noqa: ASYNC110 - a log sends no event
                await anyio.sleep(0.005)

    with caplog.at_level(logging.WARNING):
        async with parallel_foreach("a", refuse):
            await wait_all_tasks_blocked()

    assert "item 0: 'a', which refuses to stop" in caplog.text


async def test_timeout_stops_and_counts() -> None:
    """D36, D37, D47: past the limit nothing runs, and the error says how many did not end."""
    gates = Gates()
    gates.open(0, 1)
    with pytest.raises(ForeachTimeout) as caught:
        await parallel_foreach(list(range(10)), gates.work, throttle=3, timeout=1)

    assert caught.value.not_run == 8
    assert sorted(gates.stopped) == [2, 3, 4]


async def test_timeout_of_an_endless_input() -> None:
    """Where nobody knows how many there are, nobody says so."""
    with pytest.raises(ForeachTimeout, match="an unknown number") as caught:
        await parallel_foreach(itertools.count(), Gates().work, timeout=0.02)

    assert caught.value.not_run is None


async def test_G3_G8_timeout_while_the_input_hangs() -> None:
    """G3, G8: an input that never gives anything does not hold the limit up."""
    closed = False

    async def silent() -> AsyncIterator[int]:
        nonlocal closed
        try:
            await anyio.sleep_forever()
            yield 1
        finally:
            closed = True

    with pytest.raises(ForeachTimeout):
        await parallel_foreach(silent(), Gates().work, timeout=0.02)

    assert closed


async def test_G7_item_timeout() -> None:
    """D47: an item that waits too long is ended, the others go on."""
    gates = Gates()
    gates.open(0, 2, 3)
    outcomes = await parallel_foreach(
        range(4), gates.work, throttle=2, item_timeout=1, on_error="return"
    )

    assert [type(o.error) for o in outcomes] == [type(None), ItemTimeout, type(None), type(None)]
    assert gates.stopped == [1]


async def test_item_timeout_under_raise() -> None:
    """It fails the call like any failure, and can be told from the limit of the whole."""
    with pytest.raises(ItemTimeout, match=r"item 0 ran longer than item_timeout=0\.02 s"):
        await parallel_foreach("a", Gates().work, item_timeout=0.02, timeout=10)


async def test_item_timeout_with_an_error_of_its_own() -> None:
    """What the item raised on its way out is the cause."""

    async def work(_: object) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise LookupError("on the way out")

    with pytest.raises(ItemTimeout) as caught:
        await parallel_foreach("a", work, item_timeout=0.02)

    assert isinstance(caught.value.__cause__, LookupError)


async def test_worker_goes_on_after_a_timeout() -> None:
    """The next item in the same place has a clean scope and its whole time."""

    async def work(item: int) -> int:
        if item % 2:
            await anyio.sleep_forever()

        await checkpoint()
        return item

    outcomes = await parallel_foreach(
        range(8), work, throttle=1, item_timeout=0.1, on_error="return"
    )

    assert [o.value for o in outcomes] == [0, None, 2, None, 4, None, 6, None]


async def test_functions_that_never_wait_do_not_starve_the_loop() -> None:
    """Others get a turn at least every few milliseconds."""
    turns = 0
    is_over = False

    async def others() -> None:
        nonlocal turns
        while not is_over:
            await checkpoint()
            turns += 1

    async def work(number: int) -> int:
        return sum(range(number % 100))

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        await parallel_foreach(range(40_000), work)
        is_over = True

    assert turns >= 5


async def test_no_item_begins_after_a_stop_that_came_between_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that lets others have their turn looks, before it takes another item."""
    monkeypatch.setattr(task_worker, "TURN", 0.0)
    begun = anyio.Event()
    late: list[int] = []

    async def quick(number: int) -> None:
        begun.set()
        if stop_requested():
            late.append(number)

    async def run() -> None:
        await parallel_foreach(range(1 << 40), quick)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await begun.wait()
        group.cancel_scope.cancel()

    assert late == []


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The workers that are made in this test."""
    made: list[object] = []
    init = TaskWorker.__init__

    def count(self: Any, place: Any) -> None:
        made.append(self)
        init(self, place)

    monkeypatch.setattr(TaskWorker, "__init__", count)
    return made


async def test_one_task_serves_items_that_do_not_wait(made: list[object]) -> None:
    """117: workers are used again; no more are made than items wait at once."""

    async def quick(number: int) -> int:
        return number

    await parallel_foreach(range(1000), quick, throttle=50)
    assert len(made) == 1

    made.clear()
    gates = Gates()
    gates.open(*range(4))
    await parallel_foreach(range(4), gates.work, throttle=2)
    assert len(made) <= 2


async def test_debug_mode_has_a_task_for_each_item(anyio_backend_name: str) -> None:
    """Tools that look at tasks see one item in each."""
    if anyio_backend_name == "trio":
        pytest.skip("a mode of asyncio")

    loop = asyncio.get_running_loop()

    async def which(_: object) -> object:
        await checkpoint()
        return asyncio.current_task()

    loop.set_debug(True)
    try:
        names = await parallel_foreach(range(5), which, throttle=5)
    finally:
        loop.set_debug(False)

    assert len(set(names)) == 5


async def test_pending_native_cancellation_hits_nobody_else(anyio_backend_name: str) -> None:
    """An item that cancels its own task and goes spoils no other item."""
    if anyio_backend_name == "trio":
        pytest.skip("only asyncio lets a task be cancelled so")

    async def work(number: int) -> int:
        if number == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        else:
            await checkpoint()

        return number

    assert await parallel_foreach(range(4), work, throttle=1) == [0, 1, 2, 3]


async def test_native_cancellation_before_the_first_step(anyio_backend_name: str) -> None:
    """A worker that somebody cancels before it has an item is replaced; nothing waits for it."""
    if anyio_backend_name == "trio":
        pytest.skip("only asyncio lets a task be cancelled so")

    async def double(number: int) -> int:
        return 2 * number

    others = asyncio.all_tasks()
    async with parallel_foreach(range(3), double) as results:
        for task in asyncio.all_tasks() - others:
            task.cancel()

        with anyio.fail_after(20):
            assert sorted([result async for result in results]) == [0, 2, 4]


async def test_native_cancellation_of_the_caller(anyio_backend_name: str) -> None:
    """`Task.cancel` on the caller waits for the items all the same."""
    if anyio_backend_name == "trio":
        pytest.skip("only asyncio lets a task be cancelled so")

    ended = False

    async def work(_: object) -> None:
        nonlocal ended
        try:
            await anyio.sleep_forever()
        finally:
            with cleanup():
                await anyio.sleep(0.02)
                ended = True

    async def call() -> None:
        await parallel_foreach("a", work)

    task = asyncio.create_task(call())
    await wait_all_tasks_blocked()
    task.cancel()
    await checkpoint()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert task.cancelled()
    assert ended


async def test_scopes_of_an_item_are_its_own() -> None:
    """Task groups and timeouts inside items nest as everywhere."""

    async def work(number: int) -> str:
        with anyio.move_on_after(0.01 if number % 2 else 5) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 0.03)

        return "late" if scope.cancelled_caught else "done"

    assert await parallel_foreach(range(4), work) == ["done", "late"] * 2


async def test_callers_scope_reaches_into_items_by_the_call_alone() -> None:
    """Cancelling the caller's scope stops the call, which stops the items."""
    gates = Gates()
    async with anyio.create_task_group() as group:

        async def call() -> None:
            await parallel_foreach(range(3), gates.work)

        group.start_soon(call)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert sorted(gates.stopped) == [0, 1, 2]


async def test_check_stop_without_a_stop_is_nothing() -> None:
    """An item may look as often as it likes."""

    async def work(number: int) -> int:
        check_stop()
        return number

    assert await parallel_foreach(range(3), work) == [0, 1, 2]


@pytest.mark.parametrize("steps", range(30))
async def test_cancellation_at_any_step(steps: int) -> None:
    """Wherever the caller is cancelled, everything ends and is closed."""
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(6):
                await checkpoint()
                yield number
        finally:
            closed.append("input")

    async def work(number: int) -> AsyncIterator[int]:
        try:
            await checkpoint()
            yield number
            await checkpoint()
            yield number
        finally:
            closed.append("item")

    async def call() -> None:
        async with parallel_foreach(numbers(), work, throttle=2, buffer=1) as results:
            async for _ in results:
                await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        for _ in range(steps):
            await checkpoint()

        group.cancel_scope.cancel()

    assert closed.count("input") <= 1


@pytest.mark.parametrize("seed", range(10))
async def test_like_a_plain_loop(seed: int) -> None:
    """Whatever the items do, the ordered results are those of a plain loop."""
    import random

    random_ = random.Random(seed)
    plan = [(random_.randrange(4), random_.randrange(3)) for _ in range(60)]

    async def work(step: tuple[int, int]) -> AsyncIterator[tuple[int, int]]:
        waits, gives = step
        for number in range(gives):
            for _ in range(waits):
                await checkpoint()

            yield (waits, number)

    expected = [(waits, number) for waits, gives in plan for number in range(gives)]
    throttle, buffer = random_.choice([1, 2, 7]), random_.choice([None, 0, 1, 5])
    results = parallel_foreach(plan, work, throttle=throttle, buffer=buffer, ordered=True)

    assert await collect(results) == expected
    assert await parallel_foreach(plan, work, throttle=throttle, buffer=buffer) == expected


async def test_two_consumers_share_a_stream() -> None:
    """Each result goes to one of them, and both see the end."""
    taken: list[int] = []

    async def work(number: int) -> int:
        await checkpoint()
        return number

    async def consume(results: Any) -> None:
        async for value in results:
            taken.append(value)
            await checkpoint()

    results = parallel_foreach(range(100), work)
    async with results, anyio.create_task_group() as group:
        group.start_soon(consume, results)
        group.start_soon(consume, results)

    assert sorted(taken) == list(range(100))


async def test_input_that_never_waits_lets_items_run() -> None:
    """An async input that is always ready is not read ahead without end."""
    pulled = 0

    async def numbers() -> AsyncIterator[int]:
        nonlocal pulled
        for pulled in itertools.count(1):
            yield pulled

    async with parallel_foreach(numbers(), Gates().work, throttle=3, buffer=2):
        await wait_all_tasks_blocked()
        assert pulled <= 5


def test_unused_generator_input_is_left_alone() -> None:
    """A call that was never awaited does not own its input yet."""

    def numbers() -> Iterator[int]:
        yield 1

    source = numbers()
    with pytest.warns(RuntimeWarning, match="never awaited"):
        parallel_foreach(source, Gates().work)

    assert next(source) == 1


def test_G8_ctrl_c_while_leaving(anyio_backend_name: str) -> None:
    """It waits until the items that are being stopped have ended, and is raised then."""
    log: list[str] = []

    async def stubborn(_: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with cleanup():
                signal.raise_signal(signal.SIGINT)
                await anyio.sleep(0.01)
                log.append("cleaned up")

    async def main() -> None:
        async with parallel_foreach([1], stubborn):
            await anyio.wait_all_tasks_blocked()

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=anyio_backend_name)

    assert log == ["cleaned up"]


def test_ctrl_c_does_not_break_us_off() -> None:
    """On trio it may come between any two lines, but not between two of ours."""
    safe: list[bool] = []

    class Numbers:
        def __iter__(self) -> "Numbers":
            return self

        def __next__(self) -> int:
            safe.append(trio.lowlevel.currently_ki_protected())
            return len(safe)

    async def double(number: int) -> int:
        await checkpoint()
        return 2 * number

    async def main() -> None:
        for fn in (double, abs):
            async with parallel_foreach(Numbers(), fn, throttle=1, buffer=0) as results:
                for _ in range(3):
                    await anext(results)

    trio.run(main)
    assert all(safe)


async def test_items_that_wait_all_begin() -> None:
    """However many are wanted at once, they have begun when nothing else is left to do."""
    gates = Gates()
    async with anyio.create_task_group() as group:
        group.start_soon(collect, parallel_foreach(range(1000), gates.work, throttle=300))
        await wait_all_tasks_blocked()
        assert len(gates.begun) == 300
        gates.open(*range(1000))


async def test_quick_items_of_a_stream_need_few_workers(
    made: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker does not end each time when it is ahead of a consumer that keeps up."""
    monkeypatch.setattr(tasks, "AHEAD", 1e6)

    async def quick(number: int) -> int:
        return number

    assert len(await collect(parallel_foreach(range(5000), quick, throttle=2))) == 5000
    assert len(made) <= 20
