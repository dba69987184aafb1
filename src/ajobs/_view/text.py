"""Text for people: escaped, measured and cut. Pure functions that know no jobs."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence

from .._text import clean

ELLIPSIS = "..."

#: Spaces between two columns of a table.
GAP = 2


def clean_lines(text: str) -> list[str]:
    """Return the lines of *text*, each escaped by itself."""
    return [clean(line.expandtabs()) for line in text.split("\n")]


def cells(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    return len(text) if text.isascii() else sum(map(_char_cells, text))


def _char_cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0

    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Return the beginning of *text* in at most *width* columns, marked where it was cut."""
    if cells(text) <= width:
        return text

    mark = ELLIPSIS[: max(width, 0)]
    left = width - len(mark)
    end = 0
    for char in text:
        left -= _char_cells(char)
        if left < 0:
            break

        end += 1

    return text[:end] + mark


def cut_name(text: str, width: int) -> str:
    """Return *text* in at most *width* columns.

    Of a path or a dotted name the last parts are kept, since they tell most; of other text
    the beginning.
    """
    if cells(text) <= width:
        return text

    if " " in text or width <= len(ELLIPSIS):
        return cut(text, width)

    end = cut(text[::-1], width)[::-1].removeprefix(ELLIPSIS)
    mark = "/" if "/" in text else "."
    _, found, parts = end.partition(mark)
    return f"{ELLIPSIS}{found}{parts}" if found and mark == "/" else f"{ELLIPSIS}{parts or end}"


def pad(text: str, width: int) -> str:
    """Return *text* with spaces behind it up to *width* columns."""
    return text + " " * (width - cells(text))


def middle_out(lines: list[str], most: int) -> list[str]:
    """Return *lines* without their middle if there are more than *most*: the ends tell most."""
    if len(lines) <= most:
        return lines

    head = most // 3
    tail = most - head
    left_out = f"{ELLIPSIS} {len(lines) - most:,} lines left out {ELLIPSIS}"
    return [*lines[:head], left_out, *lines[-tail:]]


def number(value: object) -> float | None:
    """Return *value* as a float if it is a finite number: a job may write anything."""
    if isinstance(value, int | float) and abs(value) < 1e300 and not math.isnan(value):
        return float(value)

    return None


def amount(value: float) -> str:
    """Return a number in few characters: ``1,200``, ``0.25``, ``3.14``."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def clock(seconds: float) -> str:
    """Return whole *seconds* as ``7:30`` or ``1:07:30``, with days in front."""
    whole = int(max(seconds, 0.0))
    days, rest = divmod(whole, 86_400)
    hours, minutes = divmod(rest // 60, 60)
    front = f"{hours}:{minutes:02}" if hours or days else str(minutes)
    shown = f"{front}:{rest % 60:02}"
    return f"{days} d {shown}" if days else shown


def fitted(
    natural: Mapping[str, int],
    width: int,
    shrink: Sequence[tuple[str, int]],
    leave_out: Sequence[str],
) -> dict[str, int]:
    """Return how wide each column of a table becomes; one that is missing is left out.

    Args:
        natural: What each column would take.
        width: What all may take together.
        shrink: What may be cut, first to last, and the width at which that ends.
        leave_out: What is left out where even that does not help, first to last. Where
            nothing else helps, the widest is cut further.
    """
    widths = dict(natural)
    least = dict(shrink)
    for name in (None, *leave_out):
        if name is not None:
            widths.pop(name, None)

        needed = sum(min(size, least.get(key, size)) for key, size in widths.items())
        if needed + GAP * (len(widths) - 1) <= width:
            break

    excess = sum(widths.values()) + GAP * (len(widths) - 1) - width
    for key, floor in shrink:
        if excess > 0 and key in widths:
            taken = min(excess, max(widths[key] - floor, 0))
            widths[key] -= taken
            excess -= taken

    if excess > 0:
        widest = max(widths, key=lambda name: widths[name])
        widths[widest] = max(widths[widest] - excess, len(ELLIPSIS))

    return widths
