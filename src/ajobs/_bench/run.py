"""The shell of `ajobs.bench`: what is measured when. It holds no rules.

The plain loop runs on the caller's thread, so that Ctrl-C reaches it. Everything else runs
on an event loop in a thread of its own: the caller may have a loop already, as notebooks do.
"""

from __future__ import annotations

import os
import platform
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Literal

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from .._errors import RunnerUnavailable
from .checks import check_function, check_runners, check_throttles, items_of, name_of
from .measures import PLAIN, Cell, LeftOut, Machine, Measurement, Sample, Table
from .passes import plain_sample, runner_sample
from .report import BenchReport
from .rules import (
    Effort,
    Shape,
    default_throttles,
    effort,
    is_hopeless,
    is_steady,
    measured,
    shape_of,
)
from .samples import BUILT_IN
from .timed import is_async
from .usage import Crowd, Usage, resident
from .verdict import doubt, judge

__all__ = ("bench",)

Function = Callable[[Any], Any]

#: Told what is measured next, how many passes are over, and how many there are at most.
Progress = Callable[[str, int, int], object]

#: Seconds for a cell that the budget no longer has.
_GRACE = 8.0


def bench(
    fn: Function | None = None,
    input: Iterable[Any] | None = None,  # noqa: A002  # PowerShell's word, as in `start`
    *,
    runners: Iterable[str] | None = None,
    throttles: Iterable[int] | int | None = None,
    quick: bool = False,
    backend: Literal["asyncio", "trio"] = "asyncio",
    progress: Progress | None = None,
) -> BenchReport:
    """Measure *fn* as task, in threads, interpreters and processes, and say which to take.

        print(ajobs.bench(resize, paths))

    Each runner runs the items through `parallel_foreach`, at several throttles; so does a
    plain loop, for comparison. All take turns, several times, so that whatever else the
    machine does meanwhile hits all alike.

    An ordinary function, for scripts and notebooks: it returns after one or two minutes. In
    an async program, where it would hold up the loop, call it in a thread. *fn* is called
    many times with the same items, if it is async in an event loop other than the caller's;
    what it prints is not shown.

    Args:
        fn: A function of one item, of any sort that `parallel_foreach` takes. None: three
            built-in ones, which wait, compute in Python, and compute in C.
        input: The items. Of a long input the first 10,000 are used, in turn.
        runners: Names of the runners to measure; None: all.
        throttles: How many items run at once; None: what suits the runner.
        quick: Less than a minute, and figures that vary more.
        backend: The event loop.
        progress: Called before each pass with what is measured, how many passes are over,
            and how many there are.

    Raises:
        TypeError: *fn* cannot be called with one item, or *input* is no iterable.
        ValueError: *input* is empty, or a runner or a throttle is unknown.
        Exception: What *fn* raised in the plain loop, with a note that names the item. What
            fails in a runner only leaves that runner out, and the report says why.
    """
    names = check_runners(runners)
    at_once = check_throttles(throttles)
    if fn is None:
        items = list(range(100)) if input is None else items_of(input)
        functions = BUILT_IN
    else:
        check_function(fn)
        items = items_of(input)
        functions = {name_of(fn): fn}

    plan = effort(is_quick=quick, functions=len(functions))
    cells = [
        Cell(name, throttle)
        for name in names
        for throttle in at_once or default_throttles(name, _cpus(), is_quick=quick)
    ]
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        start_blocking_portal(backend) as portal,
    ):
        tables = [
            _Bench(name, one, items, cells, plan, portal, progress).run()
            for name, one in functions.items()
        ]

    return BenchReport(tuple(tables), _machine(backend))


class _Bench:
    """The measuring of one function."""

    def __init__(
        self,
        name: str,
        fn: Function,
        items: Sequence[Any],
        cells: Sequence[Cell],
        plan: Effort,
        portal: BlockingPortal,
        progress: Progress | None,
    ) -> None:
        self._fn = fn
        self._name = name
        self._items = items
        self._cells = list(cells)
        self._plan = plan
        self._portal = portal
        self._progress = progress
        self._deadline = time.monotonic() + plan.budget
        self._plain: list[Sample] = []
        #: The samples of each cell, each with the plain loop's of the same round.
        self._samples: dict[Cell, list[tuple[Sample, Sample]]] = {}
        self._left_out: dict[str, LeftOut] = {}
        self._told = 0
        self._resident = resident()

    def run(self) -> Table:
        """Measure as many rounds as the time allows."""
        shape = self._warm_up()
        crowd = Crowd()
        for number in count():
            if self._is_enough(number):
                break

            self._tell(PLAIN)
            self._plain.append(self._plain_sample(shape))
            # There and back, so that what drifts in one direction favours nobody.
            for cell in self._cells[:: -1 if number % 2 else 1]:
                self._measure(cell, shape)

            self._cells = list(self._samples)

        return self._table(crowd.cpus())

    def _is_enough(self, rounds: int) -> bool:
        """Tell whether so many rounds will do: as planned, or more where they disagree."""
        if rounds < self._plan.rounds:
            return rounds > 0 and self._is_late

        is_steady_now = is_steady(map(self._measurement, self._samples))
        return is_steady_now or self._is_late or rounds >= self._plan.most_rounds

    def _warm_up(self) -> Shape:
        self._tell(PLAIN)
        shape = shape_of(1.0, min(0.1, self._plan.pass_seconds))
        spans = self._plain_sample(shape).spans
        item_seconds = median(span.end - span.begin for span in spans) / 1e9
        return shape_of(item_seconds, self._plan.pass_seconds)

    def _plain_sample(self, shape: Shape) -> Sample:
        usage = Usage(self._resident)
        return plain_sample(self._fn, self._items, shape, usage, self._portal)

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _measure(self, cell: Cell, shape: Shape) -> None:
        """Add a sample of *cell*, or note why there is none."""
        if cell.runner in self._left_out and cell not in self._samples:
            return

        if why := self._why_not(cell):
            self._leave_out(cell, why)
            return

        self._tell(f"{cell.runner}, throttle {cell.throttle}")
        try:
            sample = self._portal.call(self._sample, cell, shape)
        except Exception as exc:  # noqa: BLE001  # whatever the user's function raises there
            self._leave_out(cell, _said(exc))
        else:
            self._samples.setdefault(cell, []).append((sample, self._plain[-1]))

    async def _sample(self, cell: Cell, shape: Shape) -> Sample:
        left = max(0.0, self._deadline - time.monotonic())
        limit = min(left + _GRACE, max(10.0, self._plan.budget / 4))
        with anyio.move_on_after(limit):
            usage = Usage(self._resident)
            return await runner_sample(self._fn, self._items, shape, usage, cell)

        raise TimeoutError(f"had not run its items after {limit:.0f} s")

    def _why_not(self, cell: Cell) -> str | None:
        if cell.runner == "task" and not is_async(self._fn):
            return "a plain function would block the event loop, so only async ones run as tasks"

        if self._is_late:
            return None if cell in self._samples else "no time was left"

        earlier = [self._measurement(one) for one in self._samples if one.runner == cell.runner]
        is_new = cell not in self._samples
        if is_new and is_hopeless(cell.throttle, earlier, self._plan.pass_seconds):
            return "more at once gained nothing before"

        return None

    def _leave_out(self, cell: Cell, why: str) -> None:
        """Leave out the runner from this throttle on."""
        is_all = all(one.runner != cell.runner for one in self._samples)
        self._left_out[cell.runner] = LeftOut(cell.runner, None if is_all else cell.throttle, why)

    def _tell(self, what: str) -> None:
        total = max(self._told + 1, self._plan.rounds * (len(self._cells) + 1) + 1)
        if self._progress is not None:
            self._progress(f"{self._name}: {what}", self._told, total)

        self._told += 1

    def _table(self, others: float | None) -> Table:
        plain = measured(PLAIN, 1, self._plain, self._plain)
        rows = tuple(self._measurement(cell) for cell in self._samples)
        return Table(
            function=self._name,
            plain=plain,
            rows=rows,
            left_out=tuple(self._left_out.values()),
            verdict=judge(plain, rows),
            doubt=doubt([plain, *rows], others, os.cpu_count() or 1),
            others=others,
            rounds=len(self._plain),
        )

    def _measurement(self, cell: Cell) -> Measurement:
        samples, plain = zip(*self._samples[cell], strict=True)
        return measured(*cell, samples, plain)


def _said(exc: BaseException) -> str:
    """Return what *exc* says in short, with the class where that tells more."""
    text = textwrap.shorten(str(exc), 200, placeholder=" ...")
    if isinstance(exc, RunnerUnavailable):
        return text.partition(";")[0]

    if not (type(exc).__module__.startswith("ajobs") or isinstance(exc, TimeoutError)):
        text = f"{type(exc).__name__}: {text}"

    notes = [note for note in getattr(exc, "__notes__", ()) if "\n" not in note]
    return f"{text} ({notes[0]})" if notes else text


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _machine(backend: str) -> Machine:
    try:
        ours = version("ajobs")
    except PackageNotFoundError:
        ours = "from a source tree"

    system = f"{platform.system()} {platform.machine()}"
    return Machine(ours, platform.python_version(), system, _cpus(), backend)
