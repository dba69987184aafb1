"""Bad arguments are refused at the call that brought them, by type, with a readable text."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

import ajobs
from tests.support import forever, give, nothing, write


async def refused(error: type[Exception], match: str, *args: Any, **options: Any) -> None:
    """Check that `start` refuses this, and starts nothing."""
    async with ajobs.Session() as jobs:
        with pytest.raises(error, match=match):
            jobs.start(*args, **options)

        assert 0 == len(jobs)


@pytest.mark.parametrize("fn", [None, 3, "print", object(), [give]])
async def test_no_callable(fn: object) -> None:
    """What cannot be called is a TypeError that shows it."""
    await refused(TypeError, f"something to call, not {type(fn).__name__}", fn)


async def test_coroutine_object() -> None:
    """A coroutine object is refused with the way to write it, and no warning comes later."""
    await refused(TypeError, r"start\(give, \.\.\.\), not start\(give\(\.\.\.\)\)", give(1))


async def test_generator_objects() -> None:
    """So are generator objects of both kinds."""

    def plain() -> Iterator[int]:
        yield 1

    async def other() -> AsyncIterator[int]:
        yield 1

    await refused(TypeError, "generator object", plain())
    await refused(TypeError, "generator object", other())


@pytest.mark.parametrize("runner", ["Task", "procces", "", "none"])
async def test_unknown_runner(runner: str) -> None:
    """An unknown runner is a ValueError that names those that there are."""
    await refused(ValueError, r"runner must be one of 'task', 'thread'", nothing, runner=runner)


@pytest.mark.parametrize("runner", [3, ajobs.ThreadRunner, b"task", ["task"]])
async def test_what_is_no_runner(runner: object) -> None:
    """What is neither a name nor a runner is refused; a class is no runner."""
    await refused((ValueError, TypeError), "runner", nothing, runner=runner)  # type: ignore[arg-type]


async def test_plain_function_for_the_loop() -> None:
    """A plain function given to "task" would block the loop, and says so."""
    await refused(TypeError, "block the event loop", print, runner="task")
    await refused(TypeError, "block the event loop", print, runner=ajobs.TaskRunner())


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
async def test_timeout_out_of_range(timeout: float) -> None:
    """A negative or NaN time limit is a ValueError."""
    await refused(ValueError, "timeout", nothing, timeout=timeout)


@pytest.mark.parametrize("timeout", ["1", True, 1j, [1]])
async def test_timeout_of_no_number(timeout: object) -> None:
    """A time limit that is no number is a TypeError."""
    await refused(TypeError, "timeout", nothing, timeout=timeout)


@pytest.mark.parametrize("name", [3, b"x", ["x"]])
async def test_bad_name(name: object) -> None:
    """A name is a string."""
    await refused(TypeError, "name must be a str", nothing, name=name)


@pytest.mark.parametrize("source", [3, object(), nothing, 1.5])
async def test_input_that_cannot_be_iterated(source: object) -> None:
    """An input that is no iterable is a TypeError."""
    await refused(TypeError, "input must be an iterable", nothing, input=source)


async def test_input_that_was_not_called() -> None:
    """A generator function in place of its generator gets a hint."""

    async def numbers() -> AsyncIterator[int]:
        yield 1

    await refused(TypeError, "call it first", nothing, input=numbers)


@pytest.mark.parametrize("limit", [0, -1])
async def test_output_limit_out_of_range(limit: int) -> None:
    """A limit of no records is a ValueError."""
    await refused(ValueError, "output_limit", nothing, output_limit=limit)


@pytest.mark.parametrize("limit", [1.5, "1", True, math.inf])
async def test_output_limit_of_no_int(limit: object) -> None:
    """A limit that is no int is a TypeError."""
    await refused(TypeError, "output_limit", nothing, output_limit=limit)


async def test_unknown_overflow() -> None:
    """An unknown overflow is a ValueError with those that there are."""
    await refused(ValueError, "'wait', 'error'", nothing, overflow="drop")


async def test_unknown_option() -> None:
    """Keyword arguments are the options of `start`, not the function's."""
    await refused(TypeError, r"no option value.*functools\.partial", give, value=3)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"throttle": 0}, ValueError, "throttle"),
        ({"throttle": -1}, ValueError, "throttle"),
        ({"throttle": math.nan}, ValueError, "throttle"),
        ({"throttle": "5"}, TypeError, "throttle"),
        ({"throttle": None}, TypeError, "throttle"),
        ({"failures": "ignore"}, ValueError, "failures"),
        ({"drain": -1}, ValueError, "drain"),
        ({"drain": math.nan}, ValueError, "drain"),
        ({"drain": "1"}, TypeError, "drain"),
        ({"stop_grace": -1}, ValueError, "stop_grace"),
        ({"stop_grace": "1"}, TypeError, "stop_grace"),
        ({"retain": -1}, ValueError, "retain"),
        ({"retain": 1.0}, TypeError, "retain"),
        ({"output_limit": 0}, ValueError, "output_limit"),
        ({"overflow": "drop"}, ValueError, "overflow"),
        ({"name": 3}, TypeError, "name"),
    ],
)
def test_bad_session(options: dict[str, Any], error: type[Exception], match: str) -> None:
    """A session refuses bad values when it is described, not when it is entered."""
    with pytest.raises(error, match=match):
        ajobs.Session(**options)


@pytest.mark.parametrize("stream", ["outputs", [], ["output", "x"], b"output"])
async def test_unknown_stream(stream: Any) -> None:
    """An unknown stream, or none, is a ValueError at the call, for every way to read."""
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing)
        with pytest.raises(ValueError, match="stream"):
            job.receive(stream)

        with pytest.raises(ValueError, match="stream"):
            job.receive_nowait(stream)

        with pytest.raises(ValueError, match="stream"):
            await job.save("/nowhere/at/all", stream)


@pytest.mark.parametrize("stream", [None, 3])
async def test_what_is_no_stream(stream: Any) -> None:
    """What names no stream is a TypeError."""
    async with ajobs.Session() as jobs:
        with pytest.raises(TypeError, match="stream"):
            jobs.start(nothing).receive(stream)


async def test_unknown_errors_and_format() -> None:
    """Unknown words are ValueErrors."""
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing)
        with pytest.raises(ValueError, match="errors"):
            job.receive(errors="stop")  # type: ignore[arg-type]  # what must fail

        with pytest.raises(ValueError, match="format"):
            await job.save("/nowhere/at/all", format="xml")  # type: ignore[arg-type]  # as above


async def test_bad_limit_of_records() -> None:
    """A negative number of records is a ValueError."""
    async with ajobs.Session() as jobs:
        with pytest.raises(ValueError, match="limit"):
            jobs.start(nothing).receive_nowait(limit=-1)


async def test_keep_with_a_limit() -> None:
    """`keep=True` on a job with an output limit would keep it full for ever: a ValueError."""
    async with ajobs.Session() as jobs:
        job = jobs.start(write, 1, output_limit=3)
        with pytest.raises(ValueError, match="output_limit"):
            job.receive(keep=True)

        with pytest.raises(ValueError, match="follow"):
            job.receive_nowait(keep=True)

        await job


async def test_start_in_the_wrong_place() -> None:
    """`start` outside the block, on another thread or another loop is refused in words."""
    jobs = ajobs.Session()
    with pytest.raises(ajobs.SessionClosed, match="async with"):
        jobs.start(nothing)

    async with jobs:
        with pytest.raises(RuntimeError, match="own event loop and thread"):
            await anyio.to_thread.run_sync(jobs.start, nothing)

    with pytest.raises(ajobs.SessionClosed, match="it is closed"):
        jobs.start(nothing)


async def test_refused_start_leaves_the_session_alone() -> None:
    """After refusals the session works as before."""
    async with ajobs.Session() as jobs:
        for _ in range(3):
            with pytest.raises(TypeError):
                jobs.start(None)  # type: ignore[call-overload]  # what must fail

        assert 3 == await jobs.start(give, 3)
        job = jobs.start(forever)
        await job.stop()


async def test_unknown_options_of_commands_and_scripts() -> None:
    """Verbs that pass options on refuse an unknown one by their own name, as Python does."""
    async with ajobs.Session() as jobs:
        with pytest.raises(TypeError, match=r"start_command\(\) got an unexpected .* 'shell'"):
            jobs.start_command(["true"], shell=True)  # type: ignore[call-arg]  # what must fail

        with pytest.raises(TypeError, match=r"start_script\(\) got an unexpected .* 'runner'"):
            jobs.start_script(__file__, runner="task")  # type: ignore[call-arg]  # what must fail
