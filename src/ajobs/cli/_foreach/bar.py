"""How far it is: one line that is drawn again on a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from shutil import get_terminal_size

import anyio

__all__ = ("Bar", "line")

_REDRAW_SECONDS = 0.2
_PLAIN_SECONDS = 10.0
_LEAST_BAR = 10
_CLEAR = "\r\x1b[K"


def line(done: int, failed: int, total: int | None, seconds: float, width: int) -> str:
    """Return what there is to say after *seconds*, at most *width* columns; 0: without a bar."""
    rate = done / seconds if seconds > 0 else 0.0
    words = [f"{done:,}/{total:,}" if total is not None else f"{done:,} done"]
    if failed:
        words.append(f"{failed:,} failed")

    words.append(f"{rate:,.1f}/s")
    if total is not None and rate:
        words.append(f"eta {clock((total - done) / rate)}")

    text = "  ".join(words)
    room = width - len(text) - 8
    if not total or room < _LEAST_BAR:
        return text[:width] if width else text

    filled = room * done // total
    return f"{'#' * filled}{'-' * (room - filled)} {100 * done // total:3} %  {text}"


def clock(seconds: float) -> str:
    """Return *seconds* as people read them: 5s, 2m05s, 3h20m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"

    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


class Bar:
    """Counts what is done, and shows it on stderr while `run` runs."""

    def __init__(self, total: int | None, *, has_bar: bool) -> None:
        """Begin to count.

        Args:
            total: How many items there are; None if nobody knows.
            has_bar: Whether a bar stands before the numbers.
        """
        self._total = total
        self._has_bar = has_bar
        self._done = 0
        self._failed = 0
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._is_drawn = False

    def add(self, *, failed: bool) -> None:
        """Count one more."""
        self._done += 1
        self._failed += failed

    def clear(self) -> None:
        """Give way to something that is printed."""
        if self._is_drawn:
            self._is_drawn = False
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    async def run(self) -> None:
        """Show it again and again."""
        while True:
            await anyio.sleep(_REDRAW_SECONDS if self._is_terminal else _PLAIN_SECONDS)
            self.draw()

    def draw(self, *, last: bool = False) -> None:
        """Show it; with *last* for the last time."""
        seconds = time.monotonic() - self._began
        if not self._is_terminal:
            print(line(self._done, self._failed, self._total, seconds, 0), file=sys.stderr)
            return

        columns = get_terminal_size().columns - 4  # room for the ^C that a terminal shows
        text = line(self._done, self._failed, self._total, seconds, columns)
        if not self._has_bar:
            text = line(self._done, self._failed, self._total, seconds, 0)[:columns]

        sys.stderr.write(f"{_CLEAR}{text}" + ("\n" if last else ""))
        sys.stderr.flush()
        self._is_drawn = not last
