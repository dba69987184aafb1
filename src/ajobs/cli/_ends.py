"""How a command ends: its exit status, and the error that it tells; without the extra, too."""

from __future__ import annotations

import sys
from enum import IntEnum

from .._writable import is_writable

__all__ = ("Problem", "Status", "died_of", "say")

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
    if is_writable(sys.stderr, _SECONDS):
        print(f"ajobs: {message}", file=sys.stderr)
