"""What `parallel_foreach` promises wherever its items run."""

import gc
import itertools
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from ajobs._context import (
    check_stop,
    enter_context,
    job_input,
    leave_context,
    stop_requested,
    write_error,
    write_output,
    write_progress,
    write_warning,
)
from ajobs._errors import ForeachErrors, ForeachTimeout, ItemTimeout, JobAborted
from ajobs._foreach import Outcome
from ajobs._records import Progress, Stream
from tests.foreach.conftest import Place, collect
from tests.foreach.helpers import FakeCaller
from tests.support import in_thread

colour: ContextVar[str] = ContextVar("colour", default="none")


def double(number: int) -> int:
    """Give twice the number."""
    return 2 * number


def identity(item: Any) -> Any:
    """Give the item."""
    return item


def twice(item: Any) -> Iterator[Any]:
    """Give the item two times."""
    yield item
    yield item


def odd_ones_fail(number: int) -> int:
    """Fail for every other number."""
    if number % 2:
        raise ValueError(f"{number} is odd")

    return number


async def numbers(count: int) -> AsyncIterator[int]:
    """Count, with a wait before each."""
    for number in range(count):
        await anyio.lowlevel.checkpoint()
        yield number


class TestResults:
    """What comes out, and in which order."""

    async def test_list_in_input_order(self, place: Place) -> None:
        """The awaited form gives one result for each item, in the order of the input."""
        assert await place.foreach(range(500), double) == [2 * n for n in range(500)]

    async def test_stream(self, place: Place) -> None:
        """The streamed form gives each result once."""
        assert sorted(await collect(place.foreach(range(500), double))) == list(range(0, 1000, 2))

    @pytest.mark.parametrize("throttle", [1, 3, float("inf")])
    async def test_ordered_stream(self, place: Place, throttle: float) -> None:
        """With ``ordered=True`` the stream keeps the order of the input."""
        results = place.foreach(range(300), identity, ordered=True, throttle=throttle)

        assert await collect(results) == list(range(300))

    async def test_unordered_list(self, place: Place) -> None:
        """With ``ordered=False`` the list comes in whatever order, complete."""
        assert sorted(await place.foreach(range(99), identity, ordered=False)) == list(range(99))

    async def test_no_items(self, place: Place) -> None:
        """An empty input gives nothing, at once."""
        assert await place.foreach([], double) == []
        assert await collect(place.foreach([], double)) == []

    async def test_none_is_a_result(self, place: Place) -> None:
        """What returns nothing gives None, once for each item."""
        assert await place.foreach(range(3), lambda _: None) == [None] * 3

    async def test_every_yield_is_a_result(self, place: Place) -> None:
        """A generator gives as many results as it yields, its items in order."""
        assert await place.foreach("abc", twice) == list("aabbcc")
        assert sorted(await collect(place.foreach("abc", twice))) == list("aabbcc")

    async def test_generator_that_yields_nothing(self, place: Place) -> None:
        """An item may have no result at all."""

        def only_even(number: int) -> Iterator[int]:
            if number % 2 == 0:
                yield number

        assert await place.foreach(range(6), only_even) == [0, 2, 4]
        assert await collect(place.foreach(range(6), only_even, ordered=True)) == [0, 2, 4]

    async def test_many_yields_stream_in_order(self, place: Place) -> None:
        """Long items wait for the consumer, and for those before them, without a deadlock."""

        def count(number: int) -> Iterator[tuple[int, int]]:
            for step in range(40):
                yield number, step

        results = place.foreach(range(7), count, throttle=3, ordered=True, buffer=2)

        assert await collect(results) == [(n, s) for n in range(7) for s in range(40)]

    async def test_write_output_is_a_result(self, place: Place) -> None:
        """What an item writes comes before what it returns; None then adds nothing."""

        def write(item: str) -> str | None:
            write_output(item + "1")
            write_output(item + "2")
            return item + "3" if item == "a" else None

        assert await place.foreach("ab", write) == ["a1", "a2", "a3", "b1", "b2"]

    async def test_await_twice(self, place: Place) -> None:
        """A call is good for one use."""
        results = place.foreach("a", identity)
        await results
        with pytest.raises(RuntimeError, match="has been used"):
            await results

    async def test_repr(self, place: Place) -> None:
        """It says what it is and how far."""
        results = place.foreach("ab", identity)
        assert (
            repr(results) == "<parallel_foreach tests.foreach.test_everywhere.identity not started>"
        )
        await results
        assert "ended, 2 of 2 items ended" in repr(results)

    async def test_stream_goes_on_saying_that_it_has_ended(self, place: Place) -> None:
        """After the end there is nothing, again and again."""
        async with place.foreach("a", identity) as results:
            assert [value async for value in results] == ["a"]
            assert [value async for value in results] == []


class TestInput:
    """What goes in."""

    async def test_async_input(self, place: Place) -> None:
        """An async iterable is as good as a plain one."""
        assert await place.foreach(numbers(200), double) == [2 * n for n in range(200)]

    async def test_receive_stream(self, place: Place) -> None:
        """The receiving end of a memory stream is an input; it is closed at the end."""
        send, receive = anyio.create_memory_object_stream[int](10)
        for number in range(5):
            send.send_nowait(number)

        send.close()
        assert await place.foreach(receive, double) == [0, 2, 4, 6, 8]
        assert receive.statistics().open_receive_streams == 0

    async def test_G1_endless_input(self, place: Place) -> None:
        """G1, D45: an input without an end is pulled as far as it is needed."""
        pulled = 0

        def count() -> Iterator[int]:
            nonlocal pulled
            for pulled in itertools.count(1):  # noqa: UP028 - read outside
                yield pulled

        taken = await collect(place.foreach(count(), identity, throttle=3, buffer=4), 20)

        assert len(taken) == 20
        assert pulled <= 20 + 3 + 4

    async def test_G1_endless_async_input(self, place: Place) -> None:
        """G1: the same for an async one, which is closed when it is no longer needed."""
        closed = False
        pulled = 0

        async def count() -> AsyncIterator[int]:
            nonlocal closed, pulled
            try:
                for pulled in itertools.count(1):
                    yield pulled
            finally:
                await anyio.lowlevel.checkpoint()
                closed = True

        taken = await collect(place.foreach(count(), identity, throttle=3, buffer=4), 20)

        assert len(taken) == 20
        assert closed
        assert pulled <= 20 + 3 + 4

    async def test_generator_is_closed(self, place: Place) -> None:
        """A generator that is not used up is closed on this thread."""
        closed_in: list[threading.Thread] = []

        def count() -> Iterator[int]:
            try:
                yield from itertools.count()
            finally:
                closed_in.append(threading.current_thread())

        await collect(place.foreach(count(), identity), 3)

        assert closed_in == [threading.current_thread()]

    async def test_plain_input_is_pulled_on_this_thread(self, place: Place) -> None:
        """Iterables may be bound to their thread."""
        threads = set()

        def count() -> Iterator[int]:
            for number in range(100):
                threads.add(threading.current_thread())
                yield number

        await place.foreach(count(), identity)

        assert threads == {threading.current_thread()}

    async def test_files_are_left_open(self, place: Place, tmp_path: Any) -> None:
        """Only generators are closed: a file belongs to whoever opened it."""
        path = tmp_path / "lines"
        path.write_text("a\nb\n")
        with path.open() as file:
            assert await place.foreach(file, str.strip) == ["a", "b"]
            assert not file.closed

    @pytest.mark.parametrize("at", [0, 3, 9])
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_G3_input_raises(self, place: Place, at: int, is_async: bool) -> None:
        """G3: the error of the input is raised once, with a note; nothing is pulled after it."""

        def broken() -> Iterator[int]:
            yield from range(at)
            raise LookupError("no more")

        async def broken_async() -> AsyncIterator[int]:
            for number in broken():
                yield number

        source = broken_async() if is_async else broken()
        with pytest.raises(LookupError, match="no more") as caught:
            await place.foreach(source, identity)

        assert any("input of parallel_foreach failed" in n for n in caught.value.__notes__)

    @pytest.mark.parametrize("on_error", ["continue", "return"])
    async def test_G3_input_raises_and_items_go_on(self, place: Place, on_error: str) -> None:
        """G3: where errors stop nothing, the items that were taken are finished first."""

        def broken() -> Iterator[int]:
            yield from range(4)
            raise LookupError("no more")

        seen: list[Any] = []
        with pytest.raises(LookupError):  # noqa: PT012 - the loop ends by it
            async with place.foreach(broken(), identity, on_error=on_error) as results:
                async for value in results:
                    seen.append(value)  # noqa: PERF401 - what came before the error counts

        values: list[Any] = [value.value if isinstance(value, Outcome) else value for value in seen]
        assert sorted(values) == [0, 1, 2, 3]

    async def test_iter_raises(self, place: Place) -> None:
        """An iterable whose iterator cannot be made fails the call, not the loop."""

        class Broken:
            def __iter__(self) -> Iterator[int]:
                raise LookupError("no iterator")

        with pytest.raises(LookupError, match="no iterator"):
            await place.foreach(Broken(), identity)

    async def test_closing_the_input_raises(self, place: Place) -> None:
        """An error in the cleanup of a generator is not lost."""

        def count() -> Iterator[int]:
            try:
                yield from itertools.count()
            finally:
                raise LookupError("cleanup failed")

        with pytest.raises(LookupError, match="cleanup failed"):
            await collect(place.foreach(count(), identity), 2)


class TestLimits:
    """How many at once, how far ahead, how fast, how long."""

    @pytest.mark.parametrize("buffer", [0, 1, 5])
    @pytest.mark.parametrize("ordered", [False, True])
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_never_too_far_ahead(
        self, place: Place, buffer: int, ordered: bool, is_async: bool
    ) -> None:
        """D45: at most throttle + buffer items are taken that the consumer has not got."""
        pulled = 0

        def count() -> Iterator[int]:
            nonlocal pulled
            for number in range(60):
                pulled += 1
                yield number

        async def count_async() -> AsyncIterator[int]:
            for number in count():
                yield number

        source = count_async() if is_async else count()
        most = given = 0
        async with place.foreach(
            source, identity, throttle=3, buffer=buffer, ordered=ordered
        ) as results:
            async for _ in results:
                given += 1
                await anyio.sleep(0.0005)
                most = max(most, pulled - given)

        assert given == 60
        assert most <= 3 + buffer

    async def test_G2_throttle_is_kept(self, place: Place) -> None:
        """G2: no more items run at once than *throttle*."""
        running = most = 0
        lock = threading.Lock()

        def work(item: int) -> Iterator[int]:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)

            yield item
            with lock:
                running -= 1

        await place.foreach(range(50), work, throttle=4)

        assert 1 <= most <= 4

    async def test_max_per_second(self, place: Place) -> None:
        """Starts are spread: ten at a hundred a second take at least 90 ms, less the slack."""
        begin = anyio.current_time()
        await place.foreach(range(10), identity, max_per_second=100, throttle=10)

        assert anyio.current_time() - begin >= 0.079

    async def test_pace_does_not_outlast_the_items(self, place: Place) -> None:
        """When the input has ended, nobody waits for the next turn."""
        with anyio.fail_after(20):
            assert await place.foreach("a", identity, max_per_second=0.01) == ["a"]

    async def test_G10_nested_calls(self, place: Place) -> None:
        """G10: calls inside items, three deep and one at a time, do not wait for each other."""

        async def level(depth: int) -> list[Any]:
            if not depth:
                return await place.foreach(range(2), identity, throttle=1)

            from ajobs._foreach import parallel_foreach

            return await parallel_foreach([depth - 1] * 2, level, throttle=1)

        with anyio.fail_after(20):
            assert await level(3) == [[[[0, 1]] * 2] * 2] * 2

    async def test_G7_timeout(self, place: Place) -> None:
        """D47: past the limit of the whole the call raises, and says how many did not run."""

        def work(number: int) -> Iterator[int]:
            yield number
            if number == 2:
                while not stop_requested():
                    yield -1

        with pytest.raises(ForeachTimeout, match=r"ran longer than 0\.05 s") as caught:
            await collect(
                place.foreach([2] * 8, work, throttle=2, timeout=0.05, buffer=0), most=None
            )

        assert caught.value.not_run == 8

    async def test_timeout_that_is_not_reached(self, place: Place) -> None:
        """A limit that is kept changes nothing and leaves nothing."""
        assert await place.foreach("ab", identity, timeout=60, item_timeout=60) == ["a", "b"]


class TestErrors:
    """What the failure of an item does."""

    async def test_G6_raise(self, place: Place) -> None:
        """G6: the item's own exception comes out, with a note that names the item."""
        with pytest.raises(ValueError, match="is odd") as caught:
            await place.foreach(range(8), odd_ones_fail)

        number = int(str(caught.value)[0])
        assert caught.value.__notes__[0] == f"ajobs: in parallel_foreach, item {number}: {number}"

    @pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
    async def test_failure_that_looks_like_an_end(
        self, place: Place, error: type[Exception]
    ) -> None:
        """A call of `next` too many in an item must not be the end of all results."""

        def step(number: int) -> int:
            if number == 3:
                raise error

            return number

        with pytest.raises(RuntimeError, match=error.__name__) as caught:
            await collect(place.foreach(range(5), step))

        assert caught.value.__notes__ == ["ajobs: in parallel_foreach, item 3: 3"]

    async def test_raise_hands_out_what_was_ready(self, place: Place) -> None:
        """Results that came before the failure are not lost."""
        seen: list[Any] = []
        with pytest.raises(ValueError, match="1 is odd"):  # noqa: PT012 - the loop ends by it
            async with place.foreach(range(8), odd_ones_fail, throttle=1) as results:
                async for value in results:
                    seen.append(value)  # noqa: PERF401 - what came before the error counts

        assert seen == [0]

    async def test_traceback_begins_in_the_function(self, place: Place) -> None:
        """Frames of ours do not stand in front of the user's."""
        with pytest.raises(ValueError, match="odd") as caught:
            await place.foreach([1], odd_ones_fail)

        files = [entry.path.name for entry in caught.traceback]  # type: ignore[union-attr]
        assert files[-1] == "test_everywhere.py"
        assert not {"threads.py", "tasks.py"} & set(files)

    async def test_G6_continue(self, place: Place) -> None:
        """G6: all items are finished, then the errors come together."""
        with pytest.raises(ForeachErrors, match="4 items") as caught:
            await place.foreach(range(8), odd_ones_fail, on_error="continue")

        errors = caught.value
        assert errors.results == [0, 2, 4, 6]
        assert (errors.failed, errors.not_run) == (4, 0)
        assert sorted(map(str, errors.exceptions)) == [f"{n} is odd" for n in (1, 3, 5, 7)]

    async def test_continue_streams(self, place: Place) -> None:
        """The results come as they do, the errors at the end."""
        seen: list[Any] = []
        with pytest.raises(ForeachErrors) as caught:  # noqa: PT012 - the loop ends by it
            async with place.foreach(range(8), odd_ones_fail, on_error="continue") as results:
                async for value in results:
                    seen.append(value)  # noqa: PERF401 - what came before the error counts

        assert sorted(seen) == [0, 2, 4, 6]
        assert caught.value.failed == 4

    async def test_continue_keeps_a_thousand(self, place: Place) -> None:
        """All failures are counted, the first thousand kept."""

        def fail(_: int) -> None:
            raise ValueError("no")

        with pytest.raises(ForeachErrors) as caught:
            await place.foreach(range(1500), fail, on_error="continue")

        assert caught.value.failed == 1500
        assert len(caught.value.exceptions) == 1000

    async def test_G6_return(self, place: Place) -> None:
        """G6: every result and every failure comes as an outcome."""
        outcomes = await place.foreach(range(4), odd_ones_fail, on_error="return")

        assert [(o.index, o.item, o.value) for o in outcomes] == [
            (0, 0, 0),
            (1, 1, None),
            (2, 2, 2),
            (3, 3, None),
        ]
        assert [type(o.error) for o in outcomes] == [type(None), ValueError, type(None), ValueError]

    async def test_return_with_generators(self, place: Place) -> None:
        """An item that fails after some results gives these first, then its failure."""

        def break_down(item: str) -> Iterator[str]:
            yield item
            raise KeyError(item)

        outcomes = await place.foreach("ab", break_down, on_error="return")

        assert [(o.index, o.value, str(o.error)) for o in outcomes] == [
            (0, "a", "None"),
            (0, None, "'a'"),
            (1, "b", "None"),
            (1, None, "'b'"),
        ]

    async def test_broken_repr(self, place: Place) -> None:
        """Naming an item survives a repr that raises, and one that is endless."""

        class Broken:
            def __repr__(self) -> str:
                raise RuntimeError("no repr")

        class Leaving:
            def __repr__(self) -> str:
                raise SystemExit("no repr")

        class Long:
            def __repr__(self) -> str:
                return "x" * 100_000

        def fail(_: object) -> None:
            raise ValueError("no")

        for item in (Broken(), Leaving(), Long(), ["y" * 1000] * 1000):
            with pytest.raises(ValueError, match="no") as caught:
                await place.foreach([item], fail)

            [note] = caught.value.__notes__
            assert "item 0: " in note
            assert len(note) < 400

    @pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, type("Odd", (BaseException,), {})])
    async def test_base_exceptions_stay_inside(
        self, place: Place, kind: type[BaseException]
    ) -> None:
        """What would end the caller's task is the failure of an item, with a cause."""

        def leave(_: object) -> None:
            raise kind("bye")

        with pytest.raises(JobAborted, match="bye") as caught:
            await place.foreach("a", leave)

        assert type(caught.value.__cause__) is kind

    async def test_foreign_cancellation_stays_inside(
        self, place: Place, anyio_backend_name: str
    ) -> None:
        """A cancellation that nobody here asked for is the failure of its item."""
        if anyio_backend_name == "trio":
            pytest.skip("trio lets nobody make a Cancelled")

        import asyncio

        def leave(number: int) -> int:
            if number == 1:
                raise asyncio.CancelledError

            return number

        outcomes = await place.foreach(range(3), leave, on_error="return")

        assert [type(o.error) for o in outcomes] == [type(None), JobAborted, type(None)]

    async def test_keyboard_interrupt_leaves_through_the_caller(self, place: Place) -> None:
        """It is no item's failure: the program is being ended."""

        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        for on_error in ("raise", "continue", "return"):
            with pytest.raises(KeyboardInterrupt):
                await place.foreach("abc", interrupt, on_error=on_error)

    async def test_unseen_failure_is_raised_on_leaving(self, place: Place) -> None:
        """A failure passes by nobody, also if the consumer stops before it."""
        with pytest.raises(ValueError, match="1 is odd"):  # noqa: PT012 - raised at the end
            async with place.foreach(range(2), odd_ones_fail, throttle=1) as results:
                assert await anext(results) == 0
                with anyio.fail_after(20):
                    while not results._run.is_over:  # type: ignore[union-attr]  # noqa: ASYNC110
                        await anyio.sleep(0.001)

    async def test_own_exception_of_the_block_comes_first(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The block's error leaves alone; the unseen failure goes with it as a note."""
        with pytest.raises(LookupError) as caught:  # noqa: PT012 - raised in the block
            async with place.foreach(range(2), odd_ones_fail, throttle=1) as results:
                assert await anext(results) == 0
                with anyio.fail_after(20):
                    while not results._run.is_over:  # type: ignore[union-attr]  # noqa: ASYNC110
                        await anyio.sleep(0.001)

                raise LookupError("mine")

        assert any("1 is odd" in note for note in caught.value.__notes__)
        assert "1 is odd" in caplog.text

    async def test_failures_do_not_hold_items(self, place: Place) -> None:
        """An error that is kept does not keep the worker's items alive."""

        class Item:
            pass

        item = Item()
        watch = weakref.ref(item)

        def fail(_: Item) -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no") as caught:
            await place.foreach(iter([item]), fail)

        del item, caught
        gc.collect()
        assert watch() is None


class TestLeaving:
    """However the call ends, nothing of it is left."""

    async def test_G4_early_leave(self, place: Place) -> None:
        """G4: a consumer that has enough stops the rest."""
        assert len(await collect(place.foreach(itertools.count(), identity), 5)) == 5

    async def test_leave_without_a_look(self, place: Place) -> None:
        """Entering and leaving is enough to clean up."""
        async with place.foreach(itertools.count(), identity):
            pass

    async def test_cancelled_await(self, place: Place) -> None:
        """Cancelling the await stops the items."""
        begun, stopped = threading.Event(), threading.Event()

        def work(_: int) -> Iterator[int]:
            begun.set()
            try:
                while True:
                    yield 0
                    check_stop()
            finally:
                stopped.set()

        async def cancel() -> None:
            await in_thread(begun)
            scope.cancel()

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                await place.foreach(itertools.count(), work, throttle=1)

        assert scope.cancelled_caught
        assert stopped.is_set()

    async def test_cancelled_stream(self, place: Place) -> None:
        """Cancelling the consumer does the same."""
        with anyio.move_on_after(0.05) as scope:
            async with place.foreach(itertools.count(), twice) as results:
                async for _ in results:
                    await anyio.sleep_forever()

        assert scope.cancelled_caught

    async def test_cancelled_wait_for_one_result(self, place: Place) -> None:
        """Giving up one wait loses nothing: the next one gets the result."""
        release = threading.Event()

        def work(item: str) -> Iterator[str]:
            while not release.is_set():
                if place.runner == "thread":
                    release.wait(5)
                else:
                    break

            yield item

        async with place.foreach(numbers(3), work) as results:
            with anyio.move_on_after(0):
                await anext(results)

            release.set()
            assert {value async for value in results} == {0, 1, 2}


class TestInsideAnItem:
    """What the code of an item may use."""

    async def test_context_is_the_callers_and_ones_own(self, place: Place) -> None:
        """An item sees the caller's variables; what it sets is for itself."""

        def paint(name: str) -> tuple[str, str]:
            before = colour.get()
            colour.set(name)
            return before, colour.get()

        token = colour.set("caller's")
        try:
            results = await place.foreach("ab" * 20, paint, throttle=2)
        finally:
            colour.reset(token)

        assert results == [("caller's", "a"), ("caller's", "b")] * 20

    async def test_streams_go_to_the_caller(self, place: Place) -> None:
        """What is no result goes to the job that made the call."""

        def tell(item: str) -> None:
            write_warning(item)
            write_progress("counting", completed=1, total=2)

        caller = FakeCaller()
        token = enter_context(caller)
        try:
            await place.foreach("a", tell)
        finally:
            leave_context(token)

        assert caller.written == [
            (Stream.WARNING, "a"),
            (Stream.PROGRESS, Progress("counting", percent=50.0, completed=1, total=2)),
        ]

    async def test_streams_go_to_the_log(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Outside a job there is a logger for them."""

        def tell(item: str) -> None:
            write_error("broken " + item)

        await place.foreach("a", tell)

        assert caplog.record_tuples == [("ajobs.foreach", logging.ERROR, "item 0: 'a': broken a")]

    async def test_stop_is_seen(self, place: Place) -> None:
        """`stop_requested` is false while all is well, and true when the caller's job stops."""
        caller = FakeCaller()
        token = enter_context(caller)
        try:
            assert await place.foreach("a", lambda _: stop_requested()) == [False]
            caller.is_stopping = True
            assert await place.foreach("a", lambda _: stop_requested()) == [True]
        finally:
            leave_context(token)

    async def test_item_leaves_with_its_callers_job(self, place: Place) -> None:
        """An item that follows the stop of the caller's job is stopped, not failed."""

        def work(item: str) -> str:
            check_stop()
            return item

        caller = FakeCaller()
        caller.is_stopping = True
        token = enter_context(caller)
        try:
            assert await place.foreach("ab", work) == []
        finally:
            leave_context(token)

    async def test_no_input(self, place: Place) -> None:
        """An item has no input of its own."""
        assert await place.foreach("a", lambda _: list(job_input())) == [[]]


async def test_many_items_in_each_place(place: Place) -> None:
    """Twenty thousand tiny items, each once, whatever the batches."""
    assert await place.foreach(range(20_000), identity, throttle=8) == list(range(20_000))


async def test_G7_item_timeout_of_quick_items(place: Place) -> None:
    """G7: a limit that all items keep costs no result."""
    results = await place.foreach(range(2000), identity, item_timeout=30)

    assert results == list(range(2000))


async def test_item_that_blocks_is_late(place: Place) -> None:
    """D47: an item that ran too long has failed, even if it came to an end."""

    def work(number: int) -> int:
        if number == 1:
            threading.Event().wait(0.5)

        return number

    outcomes = await place.foreach(range(3), work, item_timeout=0.25, on_error="return")

    assert [type(o.error) for o in outcomes] == [type(None), ItemTimeout, type(None)]


Fn = Callable[[Any], Any]
