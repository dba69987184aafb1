"""Which runner to take, and why, and how far the figures can be trusted. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .measures import PLAIN, RUNNERS, Measurement, Verdict
from .rules import NOISE, is_steady
from .text import duration

__all__ = ("doubt", "judge")

#: A speed-up below this is not worth another way to write the program.
LEAST_GAIN = 1.2

#: A speed-up below this is no accident, but what handing over costs.
LEAST_SENSE = 0.8

#: A function that uses more CPU than this share of its time computes; below the other, it waits.
COMPUTES, WAITS = 0.7, 0.3

#: A share of the CPUs in the hands of others from which on figures are doubtful.
CROWDED = 0.15

#: Seconds of start-up that one can feel.
FELT = 0.02


def judge(plain: Measurement, rows: Sequence[Measurement]) -> Verdict:
    """Say which row to take, and why; the plain loop if none is worth it."""
    able = [row for row in rows if _is_able(plain, row)]
    top = max((row.rate for row in able), default=0.0)
    near = [row for row in able if row.rate >= top * (1 - NOISE)]
    best = min(near, key=_price, default=plain)
    if not near or best.speedup < LEAST_GAIN:
        several = [row for row in rows if row.throttle > 1]
        return Verdict(PLAIN, 1, f"Take a plain loop: {_why_not(plain, several)}.")

    return Verdict(
        best.runner,
        best.throttle,
        f"Take runner={best.runner!r}, throttle={best.throttle}: {_times(best.speedup)} the plain "
        f"loop, because {_why(plain, best, rows)}{_payback(plain, best)}.",
    )


def doubt(rows: Sequence[Measurement], others: float | None, cpus: int) -> str | None:
    """Say when the figures of *rows* are no base to build on, and why.

    *others*: How many of the *cpus* other programs used meanwhile; None where nobody tells.
    """
    if others is not None and others > CROWDED * cpus:
        return (
            f"Other programs used {others:.1f} of {cpus} CPUs meanwhile, so what computes looks "
            f"slower than it is: measure again when the machine is quiet."
        )

    if is_steady(rows):
        return None

    return "The rounds differ much, so the function takes longer at one time than at another."


def _is_able(plain: Measurement, row: Measurement) -> bool:
    """Tell whether *row* can be faster than a plain loop at all; the rest of a gain is noise.

    One item at a time is what the loop does, with less around it. What computes in threads
    gains by using more than one CPU, or not at all.
    """
    if row.throttle == 1:
        return False

    is_apart = row.runner in ("process", "interpreter")
    return is_apart or _cpu_share(plain) < COMPUTES or row.cpu * row.rate > 1.1


def _price(row: Measurement) -> tuple[int, int]:
    return RUNNERS.index(row.runner), row.throttle


def _why_not(plain: Measurement, rows: Sequence[Measurement]) -> str:
    if not rows:
        return "nothing was measured that runs more than one item at once"

    best = max(rows, key=lambda row: row.speedup)
    reached = f"the best runner, {best.runner}, reaches {_times(best.speedup)} its speed"
    if plain.latency < 50e-6:
        return f"{reached}, since handing over takes longer than an item, {duration(plain.latency)}"

    if best.speedup < LEAST_SENSE:
        return f"{reached}, since handing over items and results takes longer than it saves"

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
    near = {row.runner: row.speedup for row in rows if row.runner in ("task", "thread")}
    if not near:
        return f"each {best.runner} has a lock of its own"

    top = max(near.values())
    reached = f"{'s and '.join(near)}s reach {_times(top)}" if top < best.speedup else ""
    held = (
        "its items wait side by side there"
        if share < WAITS
        else "it computes and holds the interpreter lock, for which threads take turns"
    )
    return f"{held} ({reached})" if reached else held


def _payback(plain: Measurement, best: Measurement) -> str:
    """Say when a start-up that one can feel is paid back."""
    if best.startup < FELT:
        return ""

    saved = (1 - 1 / best.speedup) / plain.rate  # seconds for each item
    items = math.ceil(best.startup / saved)
    return (
        f"; starting takes {duration(best.startup)}, which {items:,} "
        f"{'item pays' if items == 1 else 'items pay'} back"
    )


def _cpu_share(row: Measurement) -> float:
    """Return how much of its time an item computes; what delays the loop does not matter."""
    return min(1.0, row.cpu / row.latency)


def _times(factor: float) -> str:
    if factor >= 10:
        return f"{factor:,.0f} times"

    return f"{factor:.1f} times" if factor >= 0.1 else f"{factor:.1g} times"
