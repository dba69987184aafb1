"""The report as text for people, and as what JSON knows for programs. Pure functions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import asdict

from .measures import LeftOut, Machine, Measurement, Table

__all__ = ("COLUMNS", "SCHEMA", "cells", "duration", "machine_text", "report_dict", "report_text")

#: The form of the JSON; its number rises when a field goes or changes its meaning.
SCHEMA = "ajobs.bench/1"

COLUMNS = (
    "runner",
    "throttle",
    "items/s",
    "speed-up",
    "median",
    "p95",
    "CPU/item",
    "memory",
    "start-up",
)
WIDTH = 80


def report_text(tables: Iterable[Table], machine: Machine) -> str:
    """Return the report in lines of at most 80 characters."""
    parts = [table_text(table) for table in tables]
    return "\n\n".join([*parts, textwrap.fill(machine_text(machine), WIDTH)])


def table_text(table: Table) -> str:
    """Return the table of one function, what was left out, and the verdict."""
    rows = [COLUMNS, *(cells(row) for row in (table.plain, *table.rows))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        " ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    lines.insert(1, " ".join("-" * width for width in widths))
    return "\n".join([table.function, "", *lines, "", *map(_wrapped, sentences(table))])


def sentences(table: Table) -> list[str]:
    """Return what there is to say beside the figures, the verdict last."""
    left_out = [f"{left_out_text(one)}." for one in table.left_out]
    return [*left_out, *filter(None, [table.doubt]), table.verdict.sentence]


def _wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, subsequent_indent="  ")


def cells(row: Measurement) -> tuple[str, ...]:
    """Return the texts of one line of the table."""
    return (
        row.runner,
        str(row.throttle),
        number(row.rate),
        _times(row.speedup),
        duration(row.latency),
        duration(row.latency_p95),
        duration(row.cpu),
        "-" if row.memory is None else f"{row.memory / 1e6:,.0f} MB",
        duration(row.startup) if row.startup else "-",
    )


def left_out_text(one: LeftOut) -> str:
    """Say what was not measured, and why."""
    start = "" if one.throttle is None else f" from {one.throttle} at once on"
    return f"Not measured: {one.runner}{start}: {one.why.rstrip('.')}"


def machine_text(machine: Machine) -> str:
    """Say where it was measured."""
    cpus = "1 CPU" if machine.cpus == 1 else f"{machine.cpus} CPUs"
    return (
        f"ajobs {machine.ajobs}, Python {machine.python}, {machine.backend}, {machine.system}, "
        f"{cpus}. Times are medians; memory includes workers, and each of them counts as a whole."
    )


def _times(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 100 else f"{factor:.2f}x"


def number(value: float) -> str:
    """Return *value* with three digits, or all in front of the point."""
    if value >= 1e6:
        return f"{value / 1e6:,.3g}M"

    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"

    return f"{seconds * 1e9:.0f} ns" if seconds else "0"


def report_dict(tables: Iterable[Table], machine: Machine) -> dict[str, object]:
    """Return all figures; times in seconds, memory in bytes."""
    return {
        "schema": SCHEMA,
        "machine": machine._asdict(),
        "functions": [_table_dict(table) for table in tables],
    }


def _table_dict(table: Table) -> dict[str, object]:
    return {
        "function": table.function,
        "rounds": table.rounds,
        "others": table.others,
        "plain": _row_dict(table.plain),
        "rows": [_row_dict(row) for row in table.rows],
        "left_out": [one._asdict() for one in table.left_out],
        "verdict": table.verdict._asdict(),
        "doubt": table.doubt,
    }


def _row_dict(row: Measurement) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if name != "spans"}
