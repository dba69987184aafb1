"""How the benchmarks measure: interleaved rounds, medians of ratios, one table.

On a shared machine the same code runs up to twice as fast from one minute to the next. So
all run within the same seconds, in an order that is drawn anew for each round: each leaves the
memory to the next in another state. What counts is the median of their ratios, not a time.
"""

from __future__ import annotations

import gc
import importlib.metadata
import platform
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

#: Runs one case once and returns its cost: seconds, or bytes.
Measure = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: What was done.
        ours: Our cost in *unit* for each piece of it, the median.
        peer: Who else did it.
        theirs: The peer's cost, the median.
        ratio: Ours divided by theirs, the median over the rounds.
        aim: What the ratio is meant to be at most; None where there is no aim.
        unit: Of the costs.
        rounds: How many times everybody ran.
    """

    work: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    aim: float | None = None
    unit: str = "us"
    rounds: int = 1

    def cells(self) -> list[str]:
        """Return the line as texts."""
        aim = "" if self.aim is None else f"<= {self.aim:.3g}"
        reached = "" if self.aim is None else ("yes" if self.ratio <= self.aim else "**no**")
        return [
            self.work,
            f"{self.ours:.3g} {self.unit}",
            self.peer,
            f"{self.theirs:.3g} {self.unit}",
            f"{self.ratio:.3g}",
            str(self.rounds),
            aim,
            reached,
        ]


@dataclass
class Contest:
    """The same work done by us and by others, in turns.

    Attributes:
        work: What is done.
        pieces: How many pieces of it one measure covers.
        ours: Measures us.
        peers: Measures each of the others.
        aims: Ratios to reach, by peer.
        scale: Turns the measured cost of one piece into *unit*.
        unit: What the table shows.
    """

    work: str
    pieces: int
    ours: Measure
    peers: Mapping[str, Measure]
    aims: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1e6
    unit: str = "us"

    def run(self, rounds: int) -> list[Row]:
        """Let everybody run *rounds* times, after one round to warm up."""
        costs: dict[str, list[float]] = {"": [], **{name: [] for name in self.peers}}
        everybody = [("", self.ours), *self.peers.items()]
        for number in range(rounds + 1):
            for name, measure in random.sample(everybody, len(everybody)):
                gc.collect()
                cost = measure() * self.scale / self.pieces
                if number:
                    costs[name].append(cost)

        ours = costs.pop("")
        return [
            Row(
                self.work,
                statistics.median(ours),
                name,
                statistics.median(theirs),
                statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
                self.aims.get(name),
                self.unit,
                rounds,
            )
            for name, theirs in costs.items()
        ]


HEAD = ["work", "ajobs", "peer", "peer's cost", "ajobs / peer", "rounds", "aim", "reached"]


def markdown(rows: list[Row]) -> str:
    """Return *rows* as a table."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def versions(*packages: str) -> str:
    """Say what was measured: Python, the machine, and the version of each of *packages*."""
    found = [f"Python {platform.python_version()}", platform.machine()]
    for name in ("ajobs", "anyio", "trio", *packages):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} (not installed)")

    return ", ".join(found)
