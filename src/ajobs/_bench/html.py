"""The report as one web page, and as part of a notebook. Pure functions.

It needs no network and no script: what is to be read is text, what is to be seen is SVG.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .measures import PLAIN, Machine, Measurement, Table
from .svg import Line, chart, marker, time_line
from .text import COLUMNS, cells, duration, machine_text, number, sentences

__all__ = ("fragment", "page")

# One palette, as dark on white as it is light on black; forms and names tell the same.
_STYLE = """
.ajobs-bench { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; }
.ajobs-bench .task { --runner: #2f7ed8; }
.ajobs-bench .thread { --runner: #d9711c; }
.ajobs-bench .interpreter { --runner: #1b9e77; }
.ajobs-bench .process { --runner: #a05fc9; }
.ajobs-bench h2 { font-size: 1.25em; margin: 1.6em 0 .4em; overflow-wrap: anywhere; }
.ajobs-bench h3 { font-size: 1em; margin: 1.2em 0 .3em; }
.ajobs-bench .verdict { border-left: 4px solid currentColor; padding: .3em 0 .3em .9em;
  margin: .6em 0; font-size: 1.05em; }
.ajobs-bench code, .ajobs-bench pre { font-family: ui-monospace, monospace; font-size: .92em; }
.ajobs-bench pre { margin: .3em 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.ajobs-bench .note, .ajobs-bench footer { opacity: .8; font-size: .92em; margin: .3em 0; }
.ajobs-bench .charts { display: flex; flex-wrap: wrap; gap: 8px 24px; }
.ajobs-bench figure { flex: 1 1 320px; max-width: 560px; margin: .6em 0; min-width: 0; }
.ajobs-bench figcaption { font-weight: 600; }
.ajobs-bench .legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: .6em 0 0; }
.ajobs-bench .scroll { overflow-x: auto; }
.ajobs-bench .scroll > svg { min-width: 640px; }
.ajobs-bench table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  width: 100%; font-size: .95em; background: none; }
.ajobs-bench th, .ajobs-bench td { text-align: right; padding: .25em .4em; white-space: nowrap;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
.ajobs-bench th:first-child, .ajobs-bench td:first-child { text-align: left; }
.ajobs-bench tr.best td { font-weight: 700;
  background: color-mix(in srgb, currentColor 9%, transparent); }
.ajobs-bench svg { display: block; width: 100%; height: auto; }
.ajobs-bench svg.mark { display: inline-block; width: 12px; height: 12px; }
.ajobs-bench text { fill: currentColor; font-size: 12px; }
.ajobs-bench path { fill: none; stroke-width: 1; }
.ajobs-bench .grid { stroke: currentColor; opacity: .15; }
.ajobs-bench .base { stroke: currentColor; opacity: .7; }
.ajobs-bench .line { stroke: var(--runner); stroke-width: 2; }
.ajobs-bench .dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
.ajobs-bench .mark { fill: var(--runner); }
.ajobs-bench .item { fill: var(--runner); }
.ajobs-bench .item.even { opacity: .6; }
"""

_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1em 1.5em 3em; max-width: 1000px; }
h1 { font: 600 1.5em system-ui, sans-serif; margin: .6em 0 0; }
"""


def page(tables: Sequence[Table], machine: Machine) -> str:
    """Return a whole page."""
    title = escape(", ".join(table.function.partition(",")[0] for table in tables))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Thread or process? {title}</title>\n<style>{_PAGE_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>Thread or process?</h1>\n{fragment(tables, machine)}\n</body>\n</html>\n"
    )


def fragment(tables: Sequence[Table], machine: Machine) -> str:
    """Return what belongs into a page that is there already, such as a notebook."""
    return (
        f'<div class="ajobs-bench"><style>{_STYLE}</style>\n'
        f"{''.join(map(_section, tables))}\n"
        f"<footer>{escape(machine_text(machine))}</footer></div>"
    )


def _section(table: Table) -> str:
    *notes, _ = sentences(table)
    return "\n".join(
        [
            f"<section><h2>{escape(table.function)}</h2>",
            _verdict(table),
            *(f'<p class="note">{escape(note)}</p>' for note in notes),
            *_pictures(table),
            _table(table),
            *_time_lines(table),
            "</section>",
        ]
    )


def _verdict(table: Table) -> str:
    verdict = table.verdict
    said = f"<p>{escape(verdict.sentence)}</p>"
    if verdict.runner != PLAIN:
        name = table.function.rpartition(".")[2] if " " not in table.function else "function"
        call = (
            f"await ajobs.parallel_foreach(items, {name}, "
            f"runner={verdict.runner!r}, throttle={verdict.throttle})"
        )
        said += f"<pre>{escape(call)}</pre>"

    return f'<div class="verdict">{said}</div>'


def _pictures(table: Table) -> Iterable[str]:
    if not table.rows:
        return []

    runners = table.runners
    rates = [Line(name, {row.throttle: row.rate for row in rows}) for name, rows in runners.items()]
    medians = [
        Line(name, {row.throttle: row.latency for row in rows}) for name, rows in runners.items()
    ]
    p95 = [
        Line(name, {row.throttle: row.latency_p95 for row in rows}, is_dashed=True)
        for name, rows in runners.items()
    ]
    names = "".join(f"<span>{marker(name)} {escape(name)}</span>" for name in runners)
    rate_chart = chart("Items per second over throttle", rates, table.plain.rate, number)
    latency_chart = chart("Latency over throttle", [*p95, *medians], table.plain.latency, duration)
    return [
        f'<div class="legend">{names}<span>- - plain loop</span></div>',
        '<div class="charts">',
        f"<figure><figcaption>Items per second</figcaption>{rate_chart}</figure>",
        "<figure><figcaption>How long an item takes: median, and p95 dashed</figcaption>",
        f"{latency_chart}</figure></div>",
    ]


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    rows = "".join(_row(row, is_best=row is table.best) for row in (table.plain, *table.rows))
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _row(row: Measurement, *, is_best: bool) -> str:
    look = ' class="best"' if is_best else ""
    return f"<tr{look}>{''.join(f'<td>{escape(text)}</td>' for text in cells(row))}</tr>"


def _time_lines(table: Table) -> Iterable[str]:
    """Draw each runner at the throttle at which it is fastest."""
    for name, rows in table.runners.items():
        row = max(rows, key=lambda row: row.rate)
        if picture := time_line(row):
            yield (
                f"<h3>{marker(name)} Which slot ran which item when: {escape(name)}, "
                f'throttle {row.throttle}</h3><div class="scroll">{picture}</div>'
            )
