"""Pictures as SVG: figures over throttle, and which slot ran which item when.

Pure functions that return text. Colours come from the page by class, one for each runner;
everything else is drawn in the colour of its text, so that it reads in light and in dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import cycle
from typing import NamedTuple

from .measures import Measurement, Span
from .rules import lanes, needs_log
from .text import duration

__all__ = ("Line", "Scale", "chart", "marker", "time_line")

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 18, 14, 40

#: Slots that are drawn; more would be thinner than a line.
MOST_LANES = 100


class Scale(NamedTuple):
    """Maps values from *low* to *high* to positions from *start* to *end*."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.is_log
            else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return round values between *low* and *high*."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 4 else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            size = 10.0 ** math.floor(math.log10(self.high / 4))
            step = next(size * n for n in (1, 2, 5, 10) if self.high / (size * n) <= 5)
            found = [step * n for n in range(math.ceil(self.high / step) + 1)]

        return [value for value in found if self.low <= value <= self.high]


class Line(NamedTuple):
    """The values of one runner by throttle."""

    runner: str
    values: Mapping[int, float]
    is_dashed: bool = False


def chart(title: str, lines: Sequence[Line], plain: float, say: Callable[[float], str]) -> str:
    """Draw *lines* over throttle, and the value of the *plain* loop across.

    *say* returns a value as text.
    """
    throttles = sorted({throttle for line in lines for throttle in line.values})
    across = Scale(throttles[0], throttles[-1], LEFT + 12, WIDTH - RIGHT - 12, is_log=True)
    up = _upward([plain, *(value for line in lines for value in line.values.values())])
    return _svg(
        WIDTH,
        HEIGHT,
        title,
        [
            *_value_axis(up, say),
            *_throttle_axis(across, throttles),
            _path([(LEFT, up(plain)), (WIDTH - RIGHT, up(plain))], "base dashed"),
            *(part for line in lines for part in _drawn(line, across, up, say)),
        ],
    )


def _upward(values: Sequence[float]) -> Scale:
    least, most = min(values), max(values)
    bottom = HEIGHT - BOTTOM
    if needs_log(values):
        return Scale(least / 1.3, most * 1.3, bottom, TOP, is_log=True)

    return Scale(0, most * 1.08, bottom, TOP, is_log=False)


def _value_axis(up: Scale, say: Callable[[float], str]) -> list[str]:
    parts = []
    for value in up.ticks():
        y = up(value)
        parts.append(_path([(LEFT, y), (WIDTH - RIGHT, y)], "grid"))
        parts.append(_text(LEFT - 8, y + 4, say(value), "end"))

    return parts


def _throttle_axis(across: Scale, throttles: Iterable[int]) -> list[str]:
    parts = [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "throttle", "middle")]
    free_from = 0.0
    for throttle in throttles:
        x = across(throttle)
        if x >= free_from:
            parts.append(_text(x, HEIGHT - BOTTOM + 18, str(throttle), "middle"))
            free_from = x + 10 + 8 * len(str(throttle))

    return parts


def _drawn(line: Line, across: Scale, up: Scale, say: Callable[[float], str]) -> list[str]:
    points = [(across(throttle), up(value)) for throttle, value in line.values.items()]
    name = escape(line.runner)
    if len(points) == 1:  # a line of one point would not be seen
        ((x, y),) = points
        points = [(x - 8, y), (x + 8, y)] if line.is_dashed else points

    parts = [_path(points, f"line {name}{' dashed' if line.is_dashed else ''}")]
    if line.is_dashed:
        return parts

    for (throttle, value), (x, y) in zip(line.values.items(), points, strict=True):
        said = f"{name}, throttle {throttle}: {say(value)}"
        parts.append(f"<g>{_mark(line.runner, x, y)}<title>{said}</title></g>")

    return parts


def marker(runner: str) -> str:
    """Return the mark of *runner* for a legend."""
    return f'<svg class="mark" viewBox="0 0 12 12" aria-hidden="true">{_mark(runner, 6, 6)}</svg>'


def _mark(runner: str, x: float, y: float) -> str:
    """Return a mark whose form tells the runner where its colour does not."""
    look = f'class="mark {escape(runner)}"'
    match runner:
        case "task":
            return f'<circle {look} cx="{x}" cy="{y}" r="4.5"/>'
        case "thread":
            return f'<rect {look} x="{x - 4}" y="{y - 4}" width="8" height="8"/>'
        case "interpreter":
            return f'<path {look} d="M{x} {y - 5}l5 9h-10z"/>'
        case _:
            return f'<path {look} d="M{x} {y - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>'


def time_line(row: Measurement) -> str:
    """Draw the items of *row*, a lane for each slot; empty when none was looked at."""
    every = lanes(row.spans)
    if not every:
        return ""

    slots = every[:MOST_LANES]

    begin = min(slot[0].begin for slot in slots)
    end = max(slot[-1].end for slot in slots)
    height = max(3, min(18, 220 // len(slots)))
    looks = (escape(row.runner), f"{escape(row.runner)} even")
    thickness = height - (2 if height > 6 else 1)
    width, bottom = 2 * WIDTH, len(slots) * height + 10
    across = Scale(0, (end - begin) / 1e9, LEFT, width - RIGHT, is_log=False)
    parts = [
        _item(span, begin, across, f'y="{number * height + 8}" height="{thickness}"', look)
        for number, slot in enumerate(slots)
        for span, look in zip(slot, cycle(looks), strict=False)
    ]
    parts += [_text(across(at), bottom + 16, duration(at), "middle") for at in across.ticks()]
    if len(every) > len(slots):
        more = f"and {len(every) - len(slots)} more slots"
        parts.append(_text(width - RIGHT, bottom + 32, more, "end"))

    step = 1 if height >= 12 else 8 if height >= 4 else 10
    for place in range(0, len(slots), step):
        y = place * height + height / 2 + 12
        parts.append(_text(LEFT - 8, y, f"slot {place + 1}", "end"))

    title = f"Time line of {row.runner}, throttle {row.throttle}"
    return _svg(width, bottom + 40, title, parts)


def _item(span: Span, begin: int, across: Scale, place: str, look: str) -> str:
    x, end = (across((at - begin) / 1e9) for at in (span.begin, span.end))
    said = (
        f"item {span.item}: {duration((span.end - span.begin) / 1e9)}, "
        f"thread {span.thread} of process {span.process}"
    )
    width = max(0.5, round(end - x - 0.5, 1))
    return f'<rect class="item {look}" x="{x}" width="{width}" {place}><title>{said}</title></rect>'


def _path(points: Iterable[tuple[float, float]], look: str) -> str:
    return f'<path class="{look}" d="M{"L".join(f"{x} {y}" for x, y in points)}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
