"""What is measured, as data: from one pass of one runner up to the whole report.

Nothing here measures or judges. Times are seconds, memory is bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = (
    "PLAIN",
    "RUNNERS",
    "Cell",
    "LeftOut",
    "Machine",
    "Measurement",
    "Sample",
    "Span",
    "Table",
    "Verdict",
)

#: What every runner is compared with: a loop that calls the function, one item at a time.
PLAIN = "plain loop"

#: The runners, those first that cost least.
RUNNERS = ("task", "thread", "interpreter", "process")


class Cell(NamedTuple):
    """One line of the table: a runner and how many items it runs at once."""

    runner: str
    throttle: int


class Span(NamedTuple):
    """One item: which it was, when it ran (in nanoseconds), and in which process and thread."""

    item: int
    begin: int
    end: int
    process: int
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one round told about one cell.

    Attributes:
        items: How many items the timed pass had.
        seconds: How long it took.
        cpu: CPU time that it used, children included.
        memory: Most memory resident at once, workers included; None where nobody tells.
        startup: From the call in a new place to the begin of the first item.
        spans: The items of another pass, which looked at each of them.
    """

    items: int
    seconds: float
    cpu: float
    memory: int | None
    startup: float
    spans: tuple[Span, ...]

    @property
    def rate(self) -> float:
        """Items in a second."""
        return self.items / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What all rounds together say about one cell; every figure is a median.

    Attributes:
        runner: Where the function ran.
        throttle: How many items ran at once.
        rate: Items in a second, start-up left out.
        rates: The same for each round.
        speedup: The rate as a multiple of the plain loop's in the same round.
        latency: How long one item took, from its begin to its end.
        latency_p95: What 95 of 100 items stayed below.
        cpu: CPU time for each item, children included.
        memory: Most memory resident at once, workers included; None where nobody tells.
        startup: From the call in a new place to the begin of the first item.
        spans: Items of the last round, for a time line.
    """

    runner: str
    throttle: int
    rate: float
    rates: tuple[float, ...]
    speedup: float
    latency: float
    latency_p95: float
    cpu: float
    memory: int | None
    startup: float
    spans: tuple[Span, ...] = ()


class LeftOut(NamedTuple):
    """A runner that was not measured, from some throttle on or at all, and why not."""

    runner: str
    throttle: int | None
    why: str


class Verdict(NamedTuple):
    """Which runner to take, with which throttle; the plain loop when nothing beats it."""

    runner: str
    throttle: int
    sentence: str


class Machine(NamedTuple):
    """Where it was measured."""

    ajobs: str
    python: str
    system: str
    cpus: int
    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The measurements of one function.

    Attributes:
        function: Its name, as people would write it.
        plain: The plain loop.
        rows: Each runner at each throttle.
        left_out: What was not measured, and why.
        verdict: What follows.
    doubt: Why it should be measured again; None where nothing speaks for that.
        rounds: How often everything was measured.
    others: How many CPUs other programs used meanwhile; None where nobody tells.
    """

    function: str
    plain: Measurement
    rows: tuple[Measurement, ...]
    left_out: tuple[LeftOut, ...]
    verdict: Verdict
    doubt: str | None
    rounds: int
    others: float | None

    @property
    def runners(self) -> Mapping[str, tuple[Measurement, ...]]:
        """The rows of each runner, by throttle."""
        names = dict.fromkeys(row.runner for row in self.rows)
        return {name: tuple(row for row in self.rows if row.runner == name) for name in names}

    @property
    def best(self) -> Measurement:
        """The row that the verdict names."""
        wanted = self.verdict[:2]
        return next((row for row in self.rows if (row.runner, row.throttle) == wanted), self.plain)
