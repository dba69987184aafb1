"""How a command ends: its exit status, and the error that it tells. Standard library only."""

from __future__ import annotations

import select
import sys
from enum import IntEnum
from typing import TextIO

__all__ = ("Problem", "Status", "died_of", "is_read", "is_taken", "say")

#: Seconds that whoever reads stderr has, so that our last word finds room.
_SECONDS = 0.1


class Status(IntEnum):
    """The exit statuses of ``ajobs``."""

    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    TIMEOUT = 124  # as timeout(1) has it
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


def died_of(signal_number: int) -> int:
    """Return the status of what a signal has ended, as a shell has it."""
    return 128 + signal_number


class Problem(Exception):
    """What went wrong, and what to do next, in one message for stderr.

    Attributes:
        status: The exit status.
    """

    def __init__(self, message: str, status: int = Status.FAILURE) -> None:
        """Say *message*: what happened, then what to do."""
        super().__init__(message)
        self.status = status


def say(message: str) -> None:
    """Tell the user *message*, unless nobody takes what we write to stderr."""
    if is_taken(_SECONDS):
        print(f"ajobs: {message}", file=sys.stderr)


def is_taken(seconds: float = 0.0) -> bool:
    """Tell whether stderr takes a line within *seconds*, so that writing it waits for nobody."""
    return _room(sys.stderr, seconds) != 0


def is_read(file: TextIO) -> bool:
    """Tell whether anybody is left who could read what is written to *file*."""
    room = _room(file)
    return room is None or not room & select.POLLERR


def _room(file: TextIO, seconds: float = 0.0) -> int | None:
    """Return what poll(2) says within *seconds* of writing to *file*; None where it cannot tell."""
    try:
        fd = file.fileno()
        poll = select.poll()
    except (OSError, ValueError, AttributeError):  # no file of the system is behind it, or Windows
        return None

    poll.register(fd, select.POLLOUT)
    return sum(events for _, events in poll.poll(seconds * 1000))
