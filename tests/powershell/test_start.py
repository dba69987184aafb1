"""Cases 1 to 49 of PowerShell's tests: starting, finding, input, captured values, directories."""

import os
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ajobs
from tests.powershell.conftest import Gate, Place

VALUE = 7


def two() -> int:
    """Return what the case does."""
    return 1 + 1


def both(first: object, second: object = None) -> tuple[object, object]:
    """Return the arguments."""
    return first, second


# Create and identify


async def test_01_start_returns_the_job_at_once(place: Place, gate: Gate) -> None:
    """1: a job is there before its code ran, with the name that was given."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.hold(gate), name="Unique Name")
        assert isinstance(job, ajobs.Job)
        assert job.state == "NotStarted"
        assert job.name == "Unique Name"
        gate.open()


async def test_02_look_up_by_id(place: Place) -> None:
    """2: looking up the id just returned gives the same object."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        jobs.start(place.fn(two))
        assert jobs[job.id] is job
        assert jobs.get(id=job.id) == [job]


async def test_03_list_two(place: Place) -> None:
    """3: with two jobs started, listing gives exactly those two."""
    async with ajobs.Session() as jobs:
        first, second = jobs.start(place.fn(two)), jobs.start(place.fn(two))
        assert jobs.get() == list(jobs) == [first, second]
        assert len(jobs) == 2


async def test_05_look_up_after_removal(place: Place) -> None:
    """5: after removal, looking up by name is a not-found error that names the name."""
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two), name="gone")
        await job
        await jobs.remove(job)
        with pytest.raises(ajobs.JobNotFound, match="no job named 'gone'"):
            jobs["gone"]

        with pytest.raises(ajobs.JobNotFound, match="no job named 'gone'"):
            jobs.get(name="gone")


async def test_06_command(place: Place) -> None:
    """6: the command tells exactly what was started: here the full name of the function."""
    async with ajobs.Session() as jobs:
        assert jobs.start(place.fn(two)).command == f"{__name__}.two"
        assert jobs.start(partial(place.fn(both), 1)).command == f"{__name__}.both"


@pytest.mark.parametrize(
    "find",
    [
        lambda jobs, job: jobs.get(id=job.id),
        lambda jobs, job: [one for one in jobs if one.instance_id == job.instance_id],
        lambda jobs, job: jobs.get(name=job.name),
        lambda jobs, job: jobs.get(state=job.state),
        lambda jobs, job: [one for one in jobs if one.command == job.command],
    ],
    ids=["id", "instance id", "name", "state", "command"],
)
async def test_09_each_way_finds_the_job(
    find: Callable[[ajobs.Session, ajobs.Job[Any]], list[ajobs.Job[Any]]], place: Place, gate: Gate
) -> None:
    """9: id, instance id, name, state and command each find the same one of two jobs."""
    async with ajobs.Session() as jobs:
        jobs.start(place.hold(gate))
        job = jobs.start(place.fn(two))
        await job
        assert find(jobs, job) == [job]
        gate.open()


async def test_13_arguments_in_order(place: Place) -> None:
    """13: the parameters are bound from the arguments in order."""
    async with ajobs.Session() as jobs:
        assert await jobs.start(place.fn(both), 1, "b") == (1, "b")
        assert await jobs.start(partial(place.fn(both), 1)) == (1, None)


async def test_14_input_in_a_task() -> None:
    """14: input objects are readable in order."""

    async def read() -> list[Any]:
        return [item async for item in ajobs.job_input()]

    async with ajobs.Session() as jobs:
        assert await jobs.start(read, input=range(10)) == list(range(10))


async def test_14_input_in_a_thread() -> None:
    """14: input objects are readable in order."""

    def read() -> list[Any]:
        return list(ajobs.job_input())

    async with ajobs.Session() as jobs:
        assert await jobs.start(read, input=range(10)) == list(range(10))


async def test_15_from_a_file(tmp_path: Path) -> None:
    """15: a job may run a file; all its ten lines of output arrive."""
    file = tmp_path / "ten.py"
    file.write_text("import ajobs\nfor i in range(10): ajobs.write_output(f'Hello {i}')\n")
    async with ajobs.Session() as jobs:
        job = jobs.start(lambda: runpy.run_path(str(file)) and None)
        assert await job.receive() == [f"Hello {i}" for i in range(10)]


async def test_17_initializer_first() -> None:
    """17: what the initializer of a thread writes comes first, then the output of the job."""

    def initialize() -> None:
        ajobs.write_output("Hello")

    async with ajobs.Session() as jobs:
        runner = ajobs.ThreadRunner(initializer=initialize)
        job = jobs.start(lambda: "Goodbye", runner=runner)
        assert await job.receive() == ["Hello", "Goodbye"]


@pytest.mark.parametrize(
    ("code", "names", "given", "expected"),
    [
        ("(a, b)", {"a": 1, "b": 2}, (), (1, 2)),
        ("list(ajobs.job_input())", {}, (1, 2, 3), [1, 2, 3]),
        ("captured", {"captured": "Hello"}, (), "Hello"),
        ("captured + a", {"captured": "Hello", "a": "!"}, (), "Hello!"),
    ],
    ids=["arguments", "input", "captured", "captured and arguments"],
)
async def test_18_from_a_file_with_more(
    code: str, names: dict[str, Any], given: tuple[int, ...], expected: object, tmp_path: Path
) -> None:
    """18: a file works with arguments, input, captured values, and several of them."""
    file = tmp_path / "more.py"
    file.write_text(f"import ajobs\najobs.write_output({code})\n")

    def run() -> None:
        runpy.run_path(str(file), init_globals=names)

    async with ajobs.Session() as jobs:
        assert await jobs.start(run, input=given).receive() == [expected]


async def test_19_captured_values(place: Place) -> None:
    """19: scalars, elements, entire lists and globals have the caller's values in the job."""
    scalar, numbers = "text", [1, 2, 3]

    def use() -> tuple[object, ...]:
        return scalar, numbers[1], numbers, VALUE

    async with ajobs.Session() as jobs:
        values = await jobs.start(place.fn(use))
        assert values == ("text", 2, [1, 2, 3], 7)
        assert values[2] is numbers


# What PowerShell has an operator for


async def test_25_start_gives_a_job(place: Place) -> None:
    """25: sending a command to the background returns a job object."""
    async with ajobs.Session() as jobs:
        assert isinstance(jobs.start(place.fn(two)), ajobs.Job)


async def test_26_expression_and_pipeline() -> None:
    """26: an expression, 2 + 3, yields 5; a pipeline that sums 1 to 10 yields 55."""

    async def total() -> int:
        return sum([item async for item in ajobs.job_input()])

    async with ajobs.Session() as jobs:
        assert await jobs.start(lambda: 2 + 3).receive() == [5]
        assert await jobs.start(total, input=range(1, 11)).receive() == [55]
        assert await jobs.start(lambda: sum(ajobs.job_input()), input=range(1, 11)) == 55


async def test_27_a_chain_is_one_job(place: Place) -> None:
    """27: of steps in one job, those up to the failing one have output; the next never runs."""

    def ok() -> None:
        ajobs.write_output("ok")

    def fail() -> None:
        ajobs.write_output("failing")
        raise OSError("step")

    def chain(*steps: Callable[[], None]) -> None:
        for step in steps:
            step()

    async with ajobs.Session(failures="keep") as jobs:
        good_first = jobs.start(place.fn(chain), ok, fail)
        bad_first = jobs.start(place.fn(chain), fail, ok)
        assert await good_first.receive(errors="ignore") == ["ok", "failing"]
        assert await bad_first.receive(errors="ignore") == ["failing"]


# Environment


async def test_30_current_directory(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30: a job starts in the caller's current directory."""
    monkeypatch.chdir(tmp_path)
    async with ajobs.Session() as jobs:
        assert await jobs.start(place.fn(os.getcwd)) == str(tmp_path)


async def test_45_output_to_a_file(place: Place, tmp_path: Path) -> None:
    """45: output that goes to a file is there, and receive gives nothing."""
    file = tmp_path / "out.txt"
    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(two))
        await job.save(file)
        assert file.read_text() == "2\n"
        assert job.receive_nowait() == []


async def test_46_errors_to_a_file(place: Place, tmp_path: Path) -> None:
    """46: the same for the error stream; the output stays to be received."""
    file = tmp_path / "errors.txt"

    def write() -> str:
        ajobs.write_error("a message")
        return "result"

    async with ajobs.Session() as jobs:
        job = jobs.start(place.fn(write))
        await job.save(file, stream="error")
        assert file.read_text() == "a message\n"
        assert job.receive_nowait("error") == []
        assert job.receive_nowait() == ["result"]
