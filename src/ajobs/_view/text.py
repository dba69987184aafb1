"""Text for people: escaped, measured and cut. Pure functions that know no jobs."""

from __future__ import annotations

import math
import unicodedata

ELLIPSIS = "..."


def clean(text: str) -> str:
    """Return *text* with everything escaped that could move a cursor or hide other text."""
    if text.isprintable():
        return text

    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if unicodedata.category(char) == "Zs":  # spaces of all widths: harmless
        return " "

    return char.encode("unicode_escape").decode("ascii")


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


def duration(seconds: float) -> str:
    """Return *seconds* as people read a clock: ``0.25 s``, ``0:07:30``, ``2 d 0:07:30``."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.2f} s"

    return clock(seconds)


def clock(seconds: float) -> str:
    """Return whole *seconds* as ``0:07:30``, with days in front."""
    whole = int(max(seconds, 0.0))
    days, rest = divmod(whole, 86_400)
    shown = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {shown}" if days else shown
