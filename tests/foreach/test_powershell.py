"""The cases of PowerShell's own tests for `ForEach-Object -Parallel`, by their numbers.

131 (a code block as captured value) and 133 (common parameters) are about things that Python
has not; 118 (a new runspace for each item) is the context of its own that each item has.
"""

import itertools
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from ajobs._context import (
    enter_context,
    leave_context,
    write_debug,
    write_error,
    write_information,
    write_output,
    write_verbose,
    write_warning,
)
from ajobs._errors import ForeachErrors, ForeachTimeout, ItemTimeout
from ajobs._foreach import parallel_foreach
from ajobs._records import Stream
from tests.foreach.conftest import Place
from tests.foreach.helpers import FakeCaller

setting: ContextVar[int] = ContextVar("setting")


async def test_31_items_are_in_the_directory_of_the_caller(place: Place) -> None:
    """An item sees the current directory that the caller sees."""

    def work(_: int) -> str:
        return os.getcwd()  # noqa: PTH109  # what the item itself would ask

    assert await place.foreach(range(3), work) == [os.getcwd()] * 3  # noqa: PTH109


async def test_39_wildcards_in_a_directory_mean_themselves(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory whose name is a pattern is taken by its name."""
    (tmp_path / "a[*]?").mkdir()
    monkeypatch.chdir(tmp_path / "a[*]?")

    def work(_: int) -> str:
        return Path.cwd().name

    assert await place.foreach([1], work) == ["a[*]?"]


async def test_70_errors_written_by_items_reach_the_caller(place: Place) -> None:
    """What an item writes as an error is on the caller's error stream, and the item goes on."""
    caller = FakeCaller()
    token = enter_context(caller)
    try:
        results = await place.foreach([1], partial(written, write_error))
    finally:
        leave_context(token)

    assert results == ["after"]
    assert caller.written == [(Stream.ERROR, "text 1")]


@pytest.mark.parametrize(
    ("write", "stream"),
    [
        (write_warning, Stream.WARNING),
        (write_verbose, Stream.VERBOSE),
        (write_debug, Stream.DEBUG),
        (write_information, Stream.INFORMATION),
    ],
)
async def test_71_streams_of_items_reach_the_caller(
    place: Place, write: Callable[[object], object], stream: Stream
) -> None:
    """Each stream of an item is the same stream of the caller."""
    caller = FakeCaller()
    token = enter_context(caller)
    try:
        await place.foreach([1], partial(written, write))
    finally:
        leave_context(token)

    assert caller.written == [(stream, "text 1")]


def written(write: Callable[[object], object], number: int) -> str:
    """Write a text and go on."""
    write(f"text {number}")
    return "after"


async def test_D44_results_do_not_wait_for_the_input() -> None:
    """The first result is handed out while the producer of the second item is still busy."""
    got_one = anyio.Event()

    async def produce() -> AsyncIterator[int]:
        yield 1
        await got_one.wait()
        yield 2

    async def work(number: int) -> int:
        return number

    got = []
    async with parallel_foreach(produce(), work) as results:
        async for result in results:
            got.append(result)
            got_one.set()

    assert got == [1, 2]


async def test_D45_input_is_pulled_as_capacity_allows() -> None:
    """An endless producer works: at most throttle + buffer items are ahead of the consumer."""
    pulled = itertools.count()
    taken = 0

    async def work(number: int) -> int:
        return number

    async with parallel_foreach(pulled, work, throttle=3, buffer=2) as results:
        async for _ in results:
            taken += 1
            if taken == 20:
                break

    assert next(pulled) <= 20 + 3 + 2


async def test_D47_both_limits_raise_their_own_error() -> None:
    """The limit of an item and that of the whole can be told apart, and are TimeoutErrors."""

    async def wait(_: int) -> None:
        await anyio.sleep_forever()

    with pytest.raises(ItemTimeout):
        await parallel_foreach([1], wait, item_timeout=0.01)

    with pytest.raises(ForeachTimeout):
        await parallel_foreach([1], wait, timeout=0.01)

    assert issubclass(ItemTimeout, TimeoutError)
    assert issubclass(ForeachTimeout, TimeoutError)


async def test_117_workers_are_used_again() -> None:
    """Four items with throttle 2 need two workers at most."""
    barrier = threading.Barrier(2)

    def work(_: int) -> int:
        barrier.wait(30)
        return threading.get_ident()

    workers = await parallel_foreach(range(4), work, throttle=2)

    assert len(set(workers)) == 2


async def test_118_each_item_has_a_context_of_its_own(place: Place) -> None:
    """What one item sets no other sees, however few the workers are."""

    def work(number: int) -> int:
        seen = setting.get(-1)
        setting.set(number)
        return seen

    assert await place.foreach(range(10), work, throttle=2) == [-1] * 10


async def test_119_items_start_in_the_order_of_the_input(place: Place) -> None:
    """Of ten items the first five are the first to begin."""
    begun: list[int] = []

    await place.foreach(range(10, 0, -1), begun.append, throttle=5)

    assert set(begun[:5]) <= set(range(10, 1, -1))
    assert sorted(begun) == list(range(1, 11))


async def test_121_calls_do_not_mix_their_output() -> None:
    """Four calls at once each get their own results."""
    import anyio

    results: dict[int, list[int]] = {}

    async def call(number: int) -> None:
        results[number] = await parallel_foreach([number] * 200, abs)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(call, number)

    assert results == {number: [number] * 200 for number in range(4)}


async def test_122_ten_in_ten_out(place: Place) -> None:
    """Each item is given to the function."""
    assert await place.foreach(range(10), lambda item: item) == list(range(10))


async def test_123_captured_values(place: Place) -> None:
    """A function sees what it closes over: a scalar, and an element of a list."""
    scalar, array = 5, [6, 7]

    assert await place.foreach([0], lambda _: (scalar, array[1])) == [(5, 7)]


async def test_125_two_levels(place: Place) -> None:
    """A call inside an item sees the names of both levels."""
    outer = 2

    async def item(_: int) -> list[Any]:
        inner = 4
        return await place.foreach([0], lambda _: (outer, inner))

    assert await parallel_foreach([0], item) == [[(2, 4)]]


async def test_126_inner_function(place: Place) -> None:
    """A function inside the item's function sees its names."""

    def item(number: int) -> int:
        def inner() -> int:
            return number + 1

        return inner()

    assert await place.foreach([1], item) == [2]


async def test_127_undefined_name(place: Place) -> None:
    """A name that is not there is the item's error."""
    with pytest.raises(NameError, match="nowhere"):
        await place.foreach([0], lambda _: nowhere)  # type: ignore[name-defined]  # noqa: F821


async def test_129_error_of_one_item(place: Place) -> None:
    """One error, its message whole, and no output after it."""

    def work(number: int) -> None:
        write_output("before")
        if number == 0:
            raise RuntimeError("Terminating Error!")

        write_output("after")

    seen = []
    with pytest.raises(ForeachErrors) as caught:  # noqa: PT012 - the loop ends by it
        async with place.foreach([0], work, on_error="continue") as results:
            async for value in results:
                seen.append(value)  # noqa: PERF401 - what came before the error counts

    assert seen == ["before"]
    [error] = caught.value.exceptions
    assert str(error) == "Terminating Error!"


async def test_130_error_of_one_of_two(place: Place) -> None:
    """The other item's output is there as well as the error."""

    def work(number: int) -> str:
        if number == 1:
            raise RuntimeError("Terminating Error!")

        return f"output {number}"

    with pytest.raises(ForeachErrors) as caught:
        await place.foreach([1, 2], work, on_error="continue")

    assert caught.value.results == ["output 2"]
    assert len(caught.value.exceptions) == 1


async def test_134_streams_reach_the_caller(place: Place) -> None:
    """Error, warning and information records go to the calling job, output to the results."""

    def work(_: int) -> None:
        write_error("an error")
        write_warning("a warning")
        write_information("information")
        write_output("output")

    caller = FakeCaller()
    token = enter_context(caller)
    try:
        assert await place.foreach([0], work) == ["output"]
    finally:
        leave_context(token)

    assert caller.written == [
        (Stream.ERROR, "an error"),
        (Stream.WARNING, "a warning"),
        (Stream.INFORMATION, "information"),
    ]


@pytest.mark.slow
async def test_115_no_worker_outlives_its_call() -> None:
    """Processes end with the call that made them."""
    pids = await parallel_foreach(range(4), _pid, runner="process")

    for pid in set(pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _pid(_: int) -> int:
    import os

    return os.getpid()


async def test_throttle_is_five_by_default() -> None:
    """No more than five items run at once unless you say so."""
    from anyio import Event, wait_all_tasks_blocked

    begun = 0
    gate = Event()

    async def work(_: int) -> None:
        nonlocal begun
        begun += 1
        await gate.wait()

    async with parallel_foreach(range(20), work) as results:
        await wait_all_tasks_blocked()
        assert begun == 5
        gate.set()
        assert len(await collect_all(results)) == 20


async def collect_all(results: Any) -> list[Any]:
    """Take what is left."""
    return [value async for value in results]
