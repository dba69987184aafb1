"""`ajobs.bench` with real functions in real places, and calls that cannot be right."""

from __future__ import annotations

import ast
import functools
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ajobs
import ajobs._bench.run
from ajobs._bench import passes
from ajobs._bench.measures import Cell
from ajobs._bench.passes import Feed
from ajobs._bench.rules import Effort, Shape
from ajobs._bench.usage import Crowd, Usage
from tests.bench import work
from tests.test_architecture import TREE

RUNNERS = ("task", "thread", "interpreter", "process")
HAS_INTERPRETERS = sys.version_info >= (3, 13)


@pytest.fixture(autouse=True)
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure just enough to have a figure."""
    monkeypatch.setattr(ajobs._bench.run, "effort", lambda **_: Effort(2, 2, 0.01, 600.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "backend"),
    [
        (work.rest, "asyncio"),
        (work.rest, "trio"),
        (work.square, "trio"),
        (work.twice, "asyncio"),
        (work.later, "asyncio"),
    ],
)
def test_every_runner_is_measured(fn: Any, backend: Any) -> None:
    """Each sort of function runs in each place that it can run in, and the rest is named."""
    report = ajobs.bench(fn, range(10), throttles=2, backend=backend)
    (table,) = report.tables
    is_async = fn in (work.rest, work.later)
    missing = {
        name for name, known in (("task", is_async), ("interpreter", HAS_INTERPRETERS)) if not known
    }

    assert {one.runner: one.why for one in table.left_out}.keys() == missing
    assert [row.runner for row in table.rows] == [name for name in RUNNERS if name not in missing]
    assert (report.machine.backend, table.rounds) == (backend, 2)
    for row in table.rows:
        assert len(row.rates) == 2
        assert 0 < row.latency <= row.latency_p95
        assert row.rate > 0
        assert row.startup > 0
        assert row.memory is None or row.memory > 1e6
        assert {span.item for span in row.spans} <= set(range(10))
        assert (os.getpid() in {span.process for span in row.spans}) is (row.runner != "process")


def test_built_in_functions_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting, computing in Python and computing in C are shown, with a verdict each."""
    told: list[tuple[str, int, int]] = []
    report = ajobs.bench(runners="thread", throttles=[1, 2], progress=lambda *now: told.append(now))

    assert [table.function.partition(",")[0] for table in report.tables] == [
        "io_wait",
        "pure_python",
        "c_call",
    ]
    assert all(table.verdict.sentence for table in report.tables)
    assert all(done < total for _, done, total in told)
    assert told[-1][0].startswith("c_call, built in")


async def test_in_a_running_loop(capsys: pytest.CaptureFixture[str]) -> None:
    """It works where a loop runs already, as in a notebook; what *fn* prints is not shown."""
    report = ajobs.bench(work.noisy, [1], runners="thread", throttles=2)

    assert report.tables[0].best.rate > 0
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_what_fails_in_one_place_only() -> None:
    """The others are measured, and the report says what failed where."""

    def in_this_process(number: int, lock: Any = threading.Lock()) -> int:  # noqa: B008
        with lock:
            return number

    (table,) = ajobs.bench(in_this_process, [1], runners=["process", "thread"], throttles=2).tables

    assert [row.runner for row in table.rows] == ["thread"]
    (left,) = table.left_out
    assert left[:2] == ("process", None)
    assert "lock" in left.why


@pytest.mark.slow
def test_what_cannot_be_sent_is_named_without_our_part() -> None:
    """A report is about the user's function and its results, not about what times them."""

    class Bound:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def method(self, number: int) -> int:
            return number

    def result(number: int) -> Any:
        return threading.Lock()

    (method,) = ajobs.bench(Bound().method, [5], runners="process", throttles=1).tables
    (given,) = ajobs.bench(result, [5], runners="process", throttles=1).tables

    assert "Bound.method cannot be sent to a worker" in method.left_out[0].why
    assert "partial" not in method.left_out[0].why
    assert "the result is a _thread.lock" in given.left_out[0].why
    assert "item 0: 5" in given.left_out[0].why


@pytest.mark.slow
async def test_workers_are_up_before_a_pass_of_long_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes longer than a pass is not run to warm up; its rate has no start-up in it."""
    runner = ajobs.ProcessRunner(2)
    workers: list[int] = []

    class Noting(Feed):
        def __iter__(self) -> Iterator[Any]:
            workers.append(runner.workers)
            return super().__iter__()

    monkeypatch.setitem(passes._MAKERS, "process", lambda _: runner)
    monkeypatch.setattr(passes, "Feed", Noting)
    shape = Shape(seconds=0.0, stride=1, is_warmed=False, is_bare=False)
    cell = Cell("process", 2)
    sample = await passes.runner_sample(work.square, [1], shape, Usage(0), cell)

    assert workers == [2]
    assert (sample.items, len(sample.spans)) == (2, 2)
    assert sample.startup > 0


def test_each_slot_gets_an_item() -> None:
    """A pass that is over at once has an item for each slot; a pass of tiny items has an end."""
    over = Shape(seconds=0.0, stride=1, is_warmed=False, is_bare=False)
    endless = Shape(seconds=60.0, stride=2, is_warmed=False, is_bare=False)

    assert list(Feed([1, 2], over, least=3)) == [1, 2, 1]
    assert list(Feed([1, 2], over)) == [1]
    assert list(Feed([1, 2, 3], endless, most=3)) == [1, 2, 3, 1]


def test_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the time does not allow is named, and what was measured is kept."""
    monkeypatch.setattr(ajobs._bench.run, "effort", lambda **_: Effort(3, 3, 0.01, 0.0))
    (table,) = ajobs.bench(work.square, [1], runners="thread").tables

    assert table.rounds == 1
    assert table.rows == ()
    assert table.left_out[0] == ("thread", None, "no time was left")
    assert table.verdict.runner == "plain loop"


def test_more_rounds_where_they_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on as long as rounds differ, to an end."""
    monkeypatch.setattr(ajobs._bench.run, "effort", lambda **_: Effort(1, 3, 0.01, 600.0))
    agree = iter([False, True])
    monkeypatch.setattr(ajobs._bench.run, "is_steady", lambda _: next(agree))
    assert ajobs.bench(work.square, [1], runners="thread", throttles=2).tables[0].rounds == 2

    monkeypatch.setattr(ajobs._bench.run, "is_steady", lambda _: False)
    assert ajobs.bench(work.square, [1], runners="thread", throttles=2).tables[0].rounds == 3


def awaits_later(number: int) -> Any:
    """Return a coroutine, and do not look like it."""
    return work.rest(number)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ((5, [1]), TypeError, "a function of one item, not int"),
        ((work.two, [1]), TypeError, "with functools.partial"),
        ((work.square,), TypeError, "bench needs items"),
        ((work.square, 5), TypeError, "an iterable of items, not int"),
        ((work.square, "urls.txt"), TypeError, r"input=open\(path\)"),
        ((work.square, []), ValueError, "nothing to measure"),
        ((awaits_later, [1]), TypeError, "pass the async function itself"),
    ],
)
def test_wrong_calls(call: tuple[Any, ...], error: type[Exception], message: str) -> None:
    """What cannot be right is refused at once, with what to do instead."""
    with pytest.raises(error, match=message):
        ajobs.bench(*call)


def test_coroutine_for_a_function() -> None:
    """A call in place of the function is refused, and leaves no coroutine behind."""
    with pytest.raises(TypeError, match="without calling it"):
        ajobs.bench(work.rest(1), [1])  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runners": "threads"}, "'interpreter', 'process', not 'threads'"),
        ({"runners": []}, "leave it out"),
        ({"throttles": 0}, "from 1, not 0"),
        ({"throttles": 2.5}, "from 1, not 2.5"),
        ({"throttles": [2, True]}, "from 1, not True"),
        ({"throttles": []}, "leave it out"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    """Options are checked before the function is called."""
    with pytest.raises(ValueError, match=message):
        ajobs.bench(work.fails_at_three, [3], **options)


def test_item_that_fails() -> None:
    """The function's own exception comes, and says which item it was."""
    with pytest.raises(ZeroDivisionError) as caught:
        ajobs.bench(work.fails_at_three, range(9))

    assert caught.value.__notes__ == ["item 3 of the input: 3"]


def test_item_that_ends_the_program() -> None:
    """A call of `sys.exit` does not end the program that measures."""
    with pytest.raises(RuntimeError, match="with status 3") as caught:
        ajobs.bench(sys.exit, [3])

    assert caught.value.__notes__ == ["item 0 of the input: 3"]


def test_partials_methods_and_callables() -> None:
    """Whatever can be called with an item can be measured."""

    class Adder:
        def __call__(self, number: int) -> int:
            return number + 1

        def add(self, number: int) -> int:
            return number + 1

    for fn in (functools.partial(work.two, 1), Adder(), Adder().add, str):
        (table,) = ajobs.bench(fn, [1], runners="thread", throttles=2).tables
        assert len(table.rows) == 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells, others do not")
def test_usage_sees_the_peak_and_cpu_time() -> None:
    """Memory that is free again counts; what was there before, used or left over, does not."""
    earlier = bytearray(60_000_000)
    del earlier
    kept = bytearray(20_000_000)
    usage = Usage(resident_before=10_000_000)
    before, cpu = usage.peak(), usage.cpu()
    passing = bytearray(30_000_000)
    del passing
    peak = usage.peak()

    assert before is not None
    assert peak is not None
    assert 9_000_000 < before < 15_000_000
    assert 29_000_000 < peak - before < 40_000_000
    assert 0 < usage.cpu() - cpu < 5
    assert len(kept) > 0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux tells, others do not")
def test_crowd_does_not_count_ourselves() -> None:
    """What this process computes is not what others do."""
    begin, own, crowd = time.monotonic(), time.process_time(), Crowd()
    while time.process_time() - own < 0.3:
        pass

    others = crowd.cpus()
    busy = (os.cpu_count() or 1) - 0.3 / (time.monotonic() - begin)
    assert others is not None
    # the machine counts in hundredths of a second
    assert others <= busy + 0.15


def test_public_names_only() -> None:
    """What it takes from the rest of the package, everybody can."""
    files = {name: path for name, path in TREE.files.items() if name.partition(".")[0] == "_bench"}
    taken = [name for path in files.values() for name in taken_by(path)]

    assert len(taken) > 5
    assert set(taken) <= set(ajobs.__all__)


def taken_by(path: Path) -> Iterable[str]:
    """List what the file imports from beyond its own package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level > 1:
            yield from (alias.name for alias in node.names)
