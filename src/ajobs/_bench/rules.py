"""The rules: what to measure, what the figures mean, and which runner follows from them.

Pure functions: no clock, no function of the user, nothing that runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from .measures import PLAIN, RUNNERS, Measurement, Sample, Span, Verdict

__all__ = (
    "Effort",
    "Shape",
    "default_throttles",
    "doubt",
    "effort",
    "is_hopeless",
    "judge",
    "lanes",
    "measured",
    "needs_log",
    "quantile",
    "shape_of",
)

#: Differences below this share are noise: of two that are so near, the cheaper one is taken.
NOISE = 0.10

#: A speed-up below this is not worth another way to write the program.
LEAST_GAIN = 1.2

#: A spread between the rounds of a row from which on its figures are doubtful.
DOUBTFUL = 1.5

#: A function that uses more CPU than this share of its time computes; below the other, it waits.
COMPUTES, WAITS = 0.7, 0.3

#: So many spans of a row are kept for the time line.
MOST_SPANS = 400


class Effort(NamedTuple):
    """How much to measure.

    Attributes:
        rounds: How often everything is measured.
        pass_seconds: How long items are started in one pass.
        budget: Seconds after which no other pass is started.
    """

    rounds: int
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
    return Effort(3, 0.2, 45.0 / functions) if is_quick else Effort(5, 0.5, 240.0 / functions)


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


def judge(plain: Measurement, rows: Sequence[Measurement]) -> Verdict:
    """Say which row to take, and why; the plain loop if none is worth it."""
    # One item at a time is what the plain loop does, with less around it.
    able = [row for row in rows if row.throttle > 1]
    top = max((row.rate for row in able), default=0.0)
    near = [row for row in able if row.rate >= top * (1 - NOISE)]
    best = min(near, key=_price, default=plain)
    if not near or best.speedup < LEAST_GAIN:
        return Verdict(PLAIN, 1, f"Take a plain loop: {_why_not(plain, able)}.")

    return Verdict(
        best.runner,
        best.throttle,
        f"Take runner={best.runner!r}, throttle={best.throttle}: {_times(best.speedup)} the plain "
        f"loop, because {_why(plain, best, rows)}{_payback(plain, best)}.",
    )


def doubt(plain: Measurement, rows: Sequence[Measurement]) -> str | None:
    """Say when the figures vary too much to build on."""
    spread = max(max(row.rates) / min(row.rates) for row in (plain, *rows))
    if spread < DOUBTFUL:
        return None

    return (
        f"The same pass was up to {spread:.1f} times as fast as in another round: something else "
        f"keeps this machine busy, or the function varies. Measure again when it is quiet."
    )


def _price(row: Measurement) -> tuple[int, int]:
    return RUNNERS.index(row.runner), row.throttle


def _why_not(plain: Measurement, rows: Sequence[Measurement]) -> str:
    if not rows:
        return "nothing was measured that runs more than one item at once"

    best = max(rows, key=lambda row: row.speedup)
    reached = f"the best runner, {best.runner}, reaches {_times(best.speedup)} its speed"
    if plain.latency < 50e-6:
        return (
            f"{reached}, since handing over takes longer than an item, {_duration(plain.latency)}"
        )

    if _cpu_share(plain) < COMPUTES:
        return f"{reached}; what the items wait for does not serve several at once"

    return f"{reached}; the items compute, and there is no CPU to spare for several at once"


def _why(plain: Measurement, best: Measurement, rows: Sequence[Measurement]) -> str:
    share = _cpu_share(plain)
    if best.runner in ("process", "interpreter"):
        return _why_apart(best, rows, share)

    if share < WAITS:
        return (
            f"an item waits for {1 - share:.0%} of its time, and {best.runner}s wait side by side"
        )

    if best.runner == "task":
        return "its items wait long enough for others to go on meanwhile"

    if share < COMPUTES:
        return "its items wait and compute, and while one waits another computes"

    return "it computes without the interpreter lock, so threads run at the same time"


def _why_apart(best: Measurement, rows: Sequence[Measurement], share: float) -> str:
    lock = "its own interpreter lock" if best.runner == "interpreter" else "an interpreter"
    near = {row.runner: row.speedup for row in rows if row.runner in ("task", "thread")}
    if not near:
        return f"each {best.runner} has {lock if best.runner == 'interpreter' else 'its own lock'}"

    # The last row of a runner has most at once.
    nearest = f"{'s and '.join(near)}s reach {_times(max(near.values()))}"
    if share >= WAITS:
        return f"it computes in Python and holds the interpreter lock: {nearest}"

    return f"{nearest} only"


def _payback(plain: Measurement, best: Measurement) -> str:
    """Say when a start-up that one can feel is paid back."""
    if best.startup < 0.02:
        return ""

    saved = (1 - 1 / best.speedup) / plain.rate  # seconds for each item
    items = math.ceil(best.startup / saved)
    return (
        f"; starting takes {_duration(best.startup)}, which {items:,} "
        f"{'item pays' if items == 1 else 'items pay'} back"
    )


def _cpu_share(row: Measurement) -> float:
    return min(1.0, row.cpu * row.rate)


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.1f} times"


def _duration(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"

    return f"{seconds * 1e9:.3g} ns"


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
