"""The rules: what to measure, what the figures mean, and which runner follows from them.

Pure functions: no clock, no function of the user, nothing that runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from .measures import Measurement, Sample, Span

__all__ = (
    "Effort",
    "Shape",
    "default_throttles",
    "effort",
    "is_hopeless",
    "is_steady",
    "lanes",
    "measured",
    "needs_log",
    "quantile",
    "shape_of",
)

#: Differences below this share are noise: of two that are so near, the cheaper one is taken.
NOISE = 0.10

#: A spread between the rounds of a row up to which they agree.
STEADY = 1.3

#: So many spans of a row are kept for the time line.
MOST_SPANS = 400


class Effort(NamedTuple):
    """How much to measure.

    Attributes:
        rounds: How often everything is measured.
        most_rounds: How often, where rounds disagree.
        pass_seconds: How long items are started in one pass.
        budget: Seconds after which no other pass is started.
    """

    rounds: int
    most_rounds: int
    pass_seconds: float
    budget: float


class Shape(NamedTuple):
    """What a round does with one cell.

    Attributes:
        seconds: How long items are started in a pass.
        stride: Items that are started between two looks at the clock.
        is_warmed: A first item, for the start-up, and one for each worker come before.
        is_bare: Another pass goes without looking at each item, for the rate.
    """

    seconds: float
    stride: int
    is_warmed: bool
    is_bare: bool


def shape_of(item_seconds: float, pass_seconds: float) -> Shape:
    """Return what suits items that take so long in a plain loop.

    Of items that take longer than a pass each one counts; and to look at an item takes
    about a microsecond, which only tiny ones feel.
    """
    return Shape(
        seconds=pass_seconds,
        stride=max(1, min(1000, int(1e-3 / max(item_seconds, 1e-9)))),
        is_warmed=item_seconds < pass_seconds,
        is_bare=item_seconds < 1e-3,
    )


def effort(*, is_quick: bool, functions: int) -> Effort:
    """Return how much to measure of each of so many functions."""
    return (
        Effort(3, 9, 0.2, 38.0 / functions) if is_quick else Effort(5, 10, 0.5, 240.0 / functions)
    )


def default_throttles(runner: str, cpus: int, *, is_quick: bool) -> tuple[int, ...]:
    """Return the throttles at which *runner* is worth a look on so many CPUs.

    A worker takes memory and a CPU, so more of them than twice the CPUs help nobody; tasks
    and threads may well wait by the hundred.
    """
    if runner in ("process", "interpreter"):
        wanted = {1, cpus} if is_quick else {1, cpus, 2 * cpus}
    else:
        wanted = {1, cpus, 32} if is_quick else {1, cpus, 10, 100}

    return tuple(sorted(wanted))


def is_hopeless(throttle: int, earlier: Sequence[Measurement], pass_seconds: float) -> bool:
    """Tell whether a pass at *throttle* would only take long.

    That is when more at once has gained nothing so far, and as many items as would be
    running when the pass ends take several passes to finish.
    """
    if len(earlier) < 2:
        return False

    before, last = earlier[-2:]
    return last.rate < before.rate * (1 + NOISE) and throttle / last.rate > 4 * pass_seconds


def is_steady(rows: Iterable[Measurement]) -> bool:
    """Tell whether the rounds of each row agree, but for the odd one."""
    return all(quantile(row.rates, 0.75) <= STEADY * quantile(row.rates, 0.25) for row in rows)


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def measured(
    runner: str, throttle: int, samples: Sequence[Sample], plain: Sequence[Sample]
) -> Measurement:
    """Fold the *samples* of a cell; *plain* are those of the plain loop in the same rounds."""
    rates = tuple(sample.rate for sample in samples)
    latencies = [(span.end - span.begin) / 1e9 for sample in samples for span in sample.spans]
    memory = [sample.memory for sample in samples if sample.memory is not None]
    return Measurement(
        runner=runner,
        throttle=throttle,
        rate=median(rates),
        rates=rates,
        speedup=median(ours / base.rate for ours, base in zip(rates, plain, strict=True)),
        latency=median(latencies),
        latency_p95=quantile(latencies, 0.95),
        cpu=median(sample.cpu / sample.items for sample in samples),
        memory=max(memory) if memory else None,
        startup=median(sample.startup for sample in samples),
        spans=samples[-1].spans[:MOST_SPANS],
    )


def needs_log(values: Sequence[float]) -> bool:
    """Tell whether a linear axis would hide the small ones of *values*."""
    return max(values) >= 20 * min(values)


def lanes(spans: Iterable[Span]) -> list[list[Span]]:
    """Put *spans* into slots, in which none overlaps another.

    A thread is a slot; of items that share one thread, as tasks do, each takes the first
    slot of the thread that is free.
    """
    slots: dict[tuple[int, int], list[list[Span]]] = {}
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        mine = slots.setdefault((span.process, span.thread), [])
        free = next((slot for slot in mine if slot[-1].end <= span.begin), None)
        if free is None:
            mine.append([span])
        else:
            free.append(span)

    return [slot for place in slots.values() for slot in place]
