"""How a command ends: its exit status, and the error that it tells. Standard library only."""

from __future__ import annotations

from enum import IntEnum

__all__ = ("Problem", "Status", "died_of")


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
