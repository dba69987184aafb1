"""Whether a stream takes what is written to it, asked without writing.

This file knows files of the system, not what is behind them; where there is none, or nothing
to ask with (Windows), a stream counts as one that takes everything.
"""

from __future__ import annotations

import select

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import IO


def is_writable(file: IO[str], seconds: float = 0.0) -> bool:
    """Tell whether *file* takes a line within *seconds*, so that writing it waits for nobody.

    A terminal does not after Ctrl-S, nor does a pipe that is full.
    """
    return _room(file, seconds) != 0


def is_read(file: IO[str]) -> bool:
    """Tell whether anybody is left who could read what is written to *file*."""
    room = _room(file, 0.0)
    return room is None or not room & select.POLLERR


def _room(file: IO[str], seconds: float) -> int | None:
    """Return what poll(2) says within *seconds* of writing; None where it cannot be asked."""
    try:
        poll = select.poll()
        poll.register(file.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):
        return None

    return sum(events for _, events in poll.poll(seconds * 1000))
