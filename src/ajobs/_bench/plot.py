"""The report as a picture file, drawn by matplotlib, which not everybody has."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .measures import Machine, Table
from .rules import needs_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ("save",)

#: Colour and mark of each runner, as on the page.
_LOOKS = {
    "task": ("#2f7ed8", "o"),
    "thread": ("#d9711c", "s"),
    "interpreter": ("#1b9e77", "^"),
    "process": ("#a05fc9", "D"),
}


def save(tables: Sequence[Table], machine: Machine, path: str | os.PathLike[str]) -> None:
    """Draw throughput and latency over throttle, a row for each function.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        ValueError: The ending of *path* is no format that it knows.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "drawing a plot needs matplotlib: pip install 'ajobs[plot]'"
        ) from None

    figure = Figure(figsize=(10, 3.8 * len(tables) + 0.3))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    for place, table in enumerate(tables):
        left, right = (figure.add_subplot(len(tables), 2, 2 * place + side) for side in (1, 2))
        left.set_title(table.function, loc="left", fontsize=10)
        _draw_rates(left, table)
        _draw_latencies(right, table)

    about = f"ajobs {machine.ajobs}, Python {machine.python}, {machine.cpus} CPUs"
    figure.supxlabel(f"throttle    ({about})", fontsize=9)
    figure.savefig(path, dpi=144)


def _draw_rates(axes: Axes, table: Table) -> None:
    for name, rows in table.runners.items():
        _draw(axes, name, {row.throttle: row.rate for row in rows})

    _finish(axes, table, table.plain.rate, [row.rate for row in table.rows], "")
    axes.set_ylabel("items per second")
    axes.legend(frameon=False, fontsize=9)


def _draw_latencies(axes: Axes, table: Table) -> None:
    for name, rows in table.runners.items():
        _draw(axes, name, {row.throttle: row.latency for row in rows})
        p95 = {row.throttle: row.latency_p95 for row in rows}
        axes.plot(*zip(*p95.items(), strict=True), color=_LOOKS[name][0], ls="--", lw=1, marker="_")

    values = [value for row in table.rows for value in (row.latency, row.latency_p95)]
    _finish(axes, table, table.plain.latency, values, "s")
    axes.set_ylabel("time for an item: median, p95 dashed")


def _draw(axes: Axes, name: str, values: Mapping[int, float]) -> None:
    color, mark = _LOOKS[name]
    axes.plot(*zip(*values.items(), strict=True), color=color, marker=mark, label=name)


def _finish(axes: Axes, table: Table, plain: float, values: Sequence[float], unit: str) -> None:
    """Draw the *plain* loop and the axes."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.axhline(plain, color="gray", linestyle=":", label="plain loop")
    throttles = sorted({row.throttle for row in table.rows})
    axes.set_xscale("log")
    axes.set_xticks(throttles, [str(throttle) for throttle in throttles])
    axes.set_xticks([], minor=True)
    if needs_log([plain, *values]):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axes.set_ylim(0, 1.08 * max(plain, *values))

    axes.yaxis.set_major_formatter(EngFormatter(unit))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
