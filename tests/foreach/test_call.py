"""Arguments are checked at the call, before anything runs."""

import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from ajobs._errors import PayloadError
from ajobs._foreach import Outcome, parallel_foreach
from ajobs._runner import Emit, Runner
from ajobs._spec import JobSpec
from ajobs.runners.task import TaskRunner
from ajobs.runners.thread import ThreadRunner


async def fetch(item: int) -> int:
    """Give the item."""
    return item


def plain(item: int) -> int:
    """Give the item."""
    return item


async def test_coroutine_object_instead_of_a_function() -> None:
    """The usual slip is named."""
    with pytest.raises(TypeError, match="got a coroutine object, not a function"):
        parallel_foreach([1], fetch(1))  # type: ignore[call-overload]


async def test_coroutine_object_instead_of_an_input() -> None:
    """So is the other one."""
    with pytest.raises(TypeError, match="await it first"):
        parallel_foreach(fetch(1), plain)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("iterable", "says"),
    [(5, "takes an iterable"), (None, "takes an iterable"), (plain, "call it first")],
)
def test_no_iterable(iterable: Any, says: str) -> None:
    """What cannot be iterated is no input."""
    with pytest.raises(TypeError, match=says):
        parallel_foreach(iterable, plain)


async def test_sequence_protocol_is_enough() -> None:
    """What Python itself can iterate is an input."""

    class Old:
        def __getitem__(self, index: int) -> int:
            raise IndexError

    assert await parallel_foreach(Old(), plain) == []  # type: ignore[call-overload]


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"throttle": 0}, ValueError, "throttle"),
    ({"throttle": -1}, ValueError, "throttle"),
    ({"throttle": 1.5}, ValueError, "throttle"),
    ({"throttle": math.nan}, ValueError, "throttle"),
    ({"throttle": "5"}, TypeError, "throttle"),
    ({"throttle": True}, TypeError, "throttle"),
    ({"max_per_second": 0}, ValueError, "max_per_second"),
    ({"max_per_second": -2}, ValueError, "max_per_second"),
    ({"max_per_second": math.inf}, ValueError, "max_per_second must be a number above 0"),
    ({"max_per_second": math.nan}, ValueError, "max_per_second takes a number above 0"),
    ({"max_per_second": "fast"}, TypeError, "max_per_second takes a number above 0"),
    ({"timeout": -1}, ValueError, "timeout"),
    ({"timeout": math.nan}, ValueError, "timeout"),
    ({"timeout": "1"}, TypeError, "timeout"),
    ({"item_timeout": 0}, ValueError, "item_timeout"),
    ({"item_timeout": -1}, ValueError, "item_timeout"),
    ({"buffer": -1}, ValueError, "buffer"),
    ({"buffer": 1.0}, TypeError, "buffer"),
    ({"on_error": "ignore"}, ValueError, "on_error"),
    ({"ordered": "yes"}, TypeError, "ordered"),
    ({"runner": "goroutine"}, ValueError, "runner"),
    ({"runner": 5}, TypeError, "runner"),
    ({"runner": ThreadRunner}, TypeError, "runner"),
]


@pytest.mark.parametrize(("options", "kind", "names"), BAD, ids=str)
def test_bad_options(options: dict[str, Any], kind: type[Exception], names: str) -> None:
    """Each wrong value is refused with the name of its argument."""
    with pytest.raises(kind, match=names):
        parallel_foreach([1], plain, **options)


@pytest.mark.parametrize("runner", ["task", TaskRunner()])
def test_plain_function_as_task(runner: Any) -> None:
    """It would block the loop."""
    with pytest.raises(TypeError, match="would block the event loop"):
        parallel_foreach([1], plain, runner=runner)


def test_nothing_runs_at_the_call() -> None:
    """A call that nobody awaits has not touched its input, needs no loop, and warns at its end."""

    def numbers() -> Iterator[int]:
        yield pytest.fail("pulled")

    results = parallel_foreach(numbers(), plain)

    assert "not started" in repr(results)
    with pytest.warns(RuntimeWarning, match=r"parallel_foreach\(.*plain\) was never awaited"):
        del results


async def test_refused_call_does_not_warn() -> None:
    """An argument that only the runner refuses leaves nothing behind that was never awaited."""
    lock = threading.Lock()
    with pytest.raises(PayloadError):
        parallel_foreach([1], lambda item: (lock, item), runner="process")


async def test_next_of_what_was_not_entered() -> None:
    """It is no iterator before it is entered."""
    results = parallel_foreach([1], plain)
    with pytest.raises(RuntimeError, match="not entered"):
        await anext(results)

    assert await results == [1]


async def test_runner_objects() -> None:
    """A runner object says how, a name which."""
    threads = ThreadRunner(max_threads=1)

    assert await parallel_foreach([1, 2], plain, runner=threads, throttle=9) == [1, 2]
    assert await parallel_foreach([1, 2], fetch, runner=TaskRunner()) == [1, 2]


async def test_lambda_around_an_async_function() -> None:
    """A plain function that returns a coroutine is told what to do."""
    with pytest.raises(TypeError, match="pass the async function itself"):
        await parallel_foreach([1], lambda item: fetch(item))  # noqa: PLW0108 - the slip itself


async def test_runner_of_ones_own() -> None:
    """Any runner whose jobs have input and output can run items."""

    class Here(Runner):
        kind = "here"

        async def run(self, spec: JobSpec, emit: Emit) -> Any:
            emit.begin()
            raise LookupError("no place")

    with pytest.raises(LookupError, match="no place"):
        await parallel_foreach([1], plain, runner=Here())


def check_types(fn: Callable[[int], Awaitable[str]]) -> None:
    """Only read by the type checker."""

    async def use() -> None:
        numbers: list[int] = await parallel_foreach([1], fetch)
        outcomes: list[Outcome[int, int]] = await parallel_foreach([1], fetch, on_error="return")
        print(numbers, outcomes, fn, use)
