"""Items in worker processes."""

import functools
import itertools
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ajobs import _far_messages
from ajobs._context import enter_context, leave_context
from ajobs._errors import (
    ForeachErrors,
    ForeachTimeout,
    ItemTimeout,
    JobAborted,
    PayloadError,
    WorkerDied,
)
from ajobs._far_messages import Parcel
from ajobs._foreach import Outcome, far, far_worker, parallel_foreach
from ajobs._records import Stream
from ajobs.runners.process import ProcessRunner
from tests.foreach import work
from tests.foreach.conftest import collect
from tests.foreach.helpers import FakeCaller

pytestmark = pytest.mark.slow


@pytest.fixture
async def runner() -> AsyncIterator[ProcessRunner]:
    """Two workers."""
    async with ProcessRunner(max_workers=2) as runner:
        yield runner


def errors_of(outcomes: list[Outcome[Any, Any]]) -> dict[int, type[BaseException]]:
    """Return the kinds of errors by the index of their items."""
    return {o.index: type(o.error) for o in outcomes if o.error is not None}


class TestResults:
    """What comes out."""

    async def test_by_name(self) -> None:
        """The name is enough: workers come and go with the call."""
        results = await parallel_foreach(range(3000), work.identity, runner="process")

        assert results == list(range(3000))

    async def test_no_items(self, runner: ProcessRunner) -> None:
        """Nothing gives nothing."""
        assert await parallel_foreach([], work.identity, runner=runner) == []

    async def test_stream(self, runner: ProcessRunner) -> None:
        """Each result comes once."""
        assert sorted(
            await collect(parallel_foreach(range(5000), work.identity, runner=runner))
        ) == list(range(5000))

    async def test_ordered_stream(self, runner: ProcessRunner) -> None:
        """In the order of the input, if asked for."""
        results = parallel_foreach(range(5000), work.identity, runner=runner, ordered=True)

        assert await collect(results) == list(range(5000))

    async def test_runner_is_used_again(self, runner: ProcessRunner) -> None:
        """Workers of a runner that you opened stay warm for the next call."""
        first = set(await parallel_foreach(range(20), work.pid, runner=runner, throttle=1))
        second = set(await parallel_foreach(range(20), work.pid, runner=runner, throttle=1))

        assert first == second
        assert len(first) == 1

    async def test_lambda(self, runner: ProcessRunner) -> None:
        """What exists only here travels by value."""
        factor = 3

        assert await parallel_foreach(range(4), lambda n: factor * n, runner=runner) == [0, 3, 6, 9]

    async def test_async_function(self, runner: ProcessRunner) -> None:
        """An async function runs in an event loop of the worker's own."""
        results = await parallel_foreach(range(500), work.identity_async, runner=runner)

        assert results == list(range(500))

    async def test_generator(self, runner: ProcessRunner) -> None:
        """Every yield is a result."""
        assert await parallel_foreach("abc", work.twice, runner=runner) == list("aabbcc")

    async def test_long_generators_wait_for_the_consumer(self, runner: ProcessRunner) -> None:
        """Results are held back in the worker, in order, without a deadlock."""
        results = parallel_foreach(
            [3000] * 4, work.count_to, runner=runner, ordered=True, buffer=10
        )

        assert await collect(results) == list(range(3000)) * 4

    async def test_async_input(self, runner: ProcessRunner) -> None:
        """Batches never wait for a slow input to fill them."""

        async def numbers() -> AsyncIterator[int]:
            for number in range(50):
                await anyio.sleep(0.0005)
                yield number

        assert await parallel_foreach(numbers(), work.identity, runner=runner) == list(range(50))

    async def test_big_arrays(self, runner: ProcessRunner) -> None:
        """Big buffers go there and back."""
        data = [bytearray(1 << 20) for _ in range(3)]

        assert await parallel_foreach(data, work.identity, runner=runner) == data

    async def test_streams(self, runner: ProcessRunner) -> None:
        """Output is results; the rest, and what is printed, goes to the caller's job."""
        caller = FakeCaller()
        token = enter_context(caller)
        try:
            results = await parallel_foreach("a", work.tell, runner=runner)
        finally:
            leave_context(token)

        assert results == ["a first", "a last"]
        assert (Stream.WARNING, "careful with a") in caller.written
        assert (Stream.INFORMATION, "printed a") in caller.written


class TestErrors:
    """What goes wrong with items."""

    async def test_raise(self, runner: ProcessRunner) -> None:
        """The item's own exception, with its far traceback."""
        with pytest.raises(ValueError, match="is odd") as caught:
            await parallel_foreach(range(10), work.fail_if_odd, runner=runner)

        assert any("fail_if_odd" in note for note in caught.value.__notes__)
        assert any("in parallel_foreach, item" in note for note in caught.value.__notes__)

    async def test_continue(self, runner: ProcessRunner) -> None:
        """The others go on."""
        with pytest.raises(ForeachErrors) as caught:
            await parallel_foreach(range(10), work.fail_if_odd, runner=runner, on_error="continue")

        assert caught.value.results == [0, 2, 4, 6, 8]
        assert caught.value.failed == 5

    async def test_return(self, runner: ProcessRunner) -> None:
        """Outcomes hold the items as they are here."""
        outcomes = await parallel_foreach(
            range(1000), work.fail_if_odd, runner=runner, on_error="return"
        )

        assert [o.item for o in outcomes] == list(range(1000))
        assert set(errors_of(outcomes)) == set(range(1, 1000, 2))

    async def test_death_of_a_worker(self, runner: ProcessRunner) -> None:
        """The items that it had begun fail, all the others run."""
        outcomes = await parallel_foreach(
            range(2000), work.die_at_three, runner=runner, on_error="return"
        )

        errors = errors_of(outcomes)
        assert set(errors.values()) == {WorkerDied}
        assert 3 in errors
        assert max(errors) == 3
        assert [o.index for o in outcomes] == list(range(2000))

    async def test_exit_in_an_item(self, runner: ProcessRunner) -> None:
        """`sys.exit` ends the item alone."""
        outcomes = await parallel_foreach(
            range(10), work.exit_at_three, runner=runner, on_error="return"
        )

        assert errors_of(outcomes) == {3: JobAborted}

    async def test_function_that_cannot_be_sent(self) -> None:
        """It is refused at the call."""
        lock = threading.Lock()

        def locked(_: str) -> object:
            return lock

        with pytest.raises(PayloadError, match=r"locked cannot be sent .* the variable 'lock'"):
            parallel_foreach("a", locked, runner="process")

    async def test_item_that_cannot_be_sent(self, runner: ProcessRunner) -> None:
        """It fails alone."""
        items = [0, 1, threading.Lock(), 3, 4]
        outcomes = await parallel_foreach(items, work.identity, runner=runner, on_error="return")

        assert errors_of(outcomes) == {2: PayloadError}
        assert [o.value for o in outcomes] == [0, 1, None, 3, 4]
        assert "an item cannot be sent to a worker: it is a _thread.lock" in str(outcomes[2].error)

    async def test_item_that_cannot_be_loaded(self, runner: ProcessRunner) -> None:
        """It fails alone, too, among many."""
        items: list[Any] = list(range(300))
        items[200] = work.LoadsNot()
        outcomes = await parallel_foreach(items, work.identity, runner=runner, on_error="return")

        assert errors_of(outcomes) == {200: PayloadError}

    async def test_result_that_cannot_be_sent(self, runner: ProcessRunner) -> None:
        """Its item fails."""
        outcomes = await parallel_foreach(
            range(10), work.lambda_at_three, runner=runner, on_error="return"
        )

        assert errors_of(outcomes) == {3: PayloadError}

    async def test_results_that_cannot_be_loaded(self, runner: ProcessRunner) -> None:
        """What came in one piece is lost in one; it is said so, and no more comes together."""
        fn = functools.partial(work.loadless_at, 1000)
        outcomes = await parallel_foreach(range(3000), fn, runner=runner, on_error="return")
        lost = [o for o in outcomes if o.error is not None]

        assert 1000 in {o.index for o in lost}
        assert [o.value for o in outcomes if o.error is None] == [
            o.item for o in outcomes if o.error is None
        ]
        first, last = lost[0].index, lost[-1].index
        together = f"the results of items {first} to {last} came together, and one of them"
        assert str(lost[0].error).startswith(together)

        with pytest.raises(PayloadError, match="the result of the item cannot be loaded") as caught:
            await parallel_foreach([1000], fn, runner=runner)

        assert caught.value.__notes__ == ["ajobs: in parallel_foreach, item 0: 1000"]

    async def test_raise_ends_the_batch_too(self, runner: ProcessRunner, tmp_path: Path) -> None:
        """What waits in the worker behind the item that failed does not run."""
        path = tmp_path / "ran"
        fn = functools.partial(work.note_and_fail_at, 700, str(path))
        with pytest.raises(ValueError, match="700 is bad"):
            await parallel_foreach(range(3000), fn, runner=runner, throttle=1)

        assert path.read_text(encoding="utf-8").split()[-1] == "700"

    async def test_broken_initializer(self) -> None:
        """Where no worker can be prepared, the call fails, and ends."""
        async with ProcessRunner(max_workers=2, initializer=work.exit_at_three, initargs=(3,)) as r:
            with anyio.fail_after(20), pytest.raises(JobAborted):
                await parallel_foreach(range(10), work.identity, runner=r)


class TestTime:
    """Limits and stops."""

    async def test_item_timeout(self, runner: ProcessRunner) -> None:
        """An item that overruns is ended with its worker; the others go on."""
        outcomes = await parallel_foreach(
            range(200), work.sleep_at_three, runner=runner, item_timeout=1, on_error="return"
        )

        assert errors_of(outcomes) == {3: ItemTimeout}

    async def test_G7_item_that_holds_the_interpreter(
        self, runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that lets no other thread of its worker run is ended as well."""
        monkeypatch.setattr(far_worker, "STOP_GRACE", 0.1)
        outcomes = await parallel_foreach(
            range(10), work.spin_at_three, runner=runner, item_timeout=0.3, on_error="return"
        )

        assert errors_of(outcomes)[3] is ItemTimeout

    async def test_G7_item_that_refuses_to_stop(
        self, runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that no signal ends is killed, though its worker goes on telling of it."""
        monkeypatch.setattr(far_worker, "STOP_GRACE", 0.2)
        with anyio.fail_after(20):
            outcomes = await parallel_foreach(
                range(10), work.refuse_at_three, runner=runner, item_timeout=1, on_error="return"
            )

        assert errors_of(outcomes) == {3: ItemTimeout}

    async def test_timeout(self, runner: ProcessRunner) -> None:
        """The limit for the whole ends everything."""
        with pytest.raises(ForeachTimeout) as caught:
            await parallel_foreach(range(10), work.run_until_stopped, runner=runner, timeout=0.3)

        assert caught.value.not_run == 10

    async def test_slow_item_holds_nobody_up(self, runner: ProcessRunner) -> None:
        """What waits in a batch behind it is run by the other worker."""
        came: list[int] = []
        async with parallel_foreach(
            range(4000), work.sleep_at_three, runner=runner, throttle=2
        ) as results:
            while len(came) < 3999:
                came.append(await anext(results))

        assert {*range(4000)} - {*came} == {3}

    async def test_nothing_waits_behind_a_slow_item(self, runner: ProcessRunner) -> None:
        """Not even where that item came alone, before it was known how long items take."""
        items = [3600.0, *[0.0] * 40]
        async with parallel_foreach(items, time.sleep, runner=runner, throttle=2) as results:
            for _ in range(40):
                await anext(results)

    async def test_early_leave(self, runner: ProcessRunner) -> None:
        """A consumer that has enough leaves at once."""
        with anyio.fail_after(30):
            results = parallel_foreach(itertools.count(), work.identity, runner=runner)
            assert len(await collect(results, 10)) == 10

    async def test_cancel(self, runner: ProcessRunner) -> None:
        """So does a caller that is cancelled."""
        with anyio.fail_after(30):
            with anyio.move_on_after(0.2) as scope:
                await parallel_foreach(itertools.count(), work.run_until_stopped, runner=runner)

        assert scope.cancelled_caught

    async def test_G10_two_calls_share_a_worker(self) -> None:
        """G10: a call that waits for its consumer gives its worker to others."""
        async with ProcessRunner(max_workers=1) as runner:
            with anyio.fail_after(20):
                async with parallel_foreach(
                    range(3), work.identity, runner=runner, throttle=1, buffer=0
                ) as outer:
                    async for number in outer:
                        inner = await parallel_foreach([number], work.identity, runner=runner)
                        assert inner == [number]


async def test_heavy_items_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """However quick they are: a batch is sent, and held, in one piece."""
    sizes: list[int] = []
    wrap = _far_messages.wrap

    def note(items: object) -> Parcel:
        parcel = wrap(items)
        sizes.append(parcel.size)
        return parcel

    monkeypatch.setattr(_far_messages, "wrap", note)
    heavy = bytes(50_000)
    async with parallel_foreach([heavy] * 400, len, runner="process", throttle=2) as results:
        assert [count async for count in results] == [50_000] * 400

    assert sum(sizes) < 401 * 50_100
    assert max(sizes) < 4 * far.HEAVY


async def test_heavy_results_make_small_batches() -> None:
    """The same for what comes back."""
    call = parallel_foreach([50_000] * 400, bytes, runner="process", throttle=2)
    async with call as results:
        async for _ in results:
            pass

        assert results._run.place._largest <= far.HEAVY // 50_000 + 1  # type: ignore[union-attr]
