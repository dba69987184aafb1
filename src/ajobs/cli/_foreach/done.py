"""What an item is, and how it went: data that goes to the output, the job log and the rules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, Protocol

__all__ = ("Done", "Items", "Task")


class Items(Protocol):
    """Where the items come from.

    Attributes:
        total: How many there are, where that is known.
    """

    @property
    def total(self) -> int | None: ...

    def items(self) -> AsyncGenerator[str, None]:
        """Yield them."""


class Task(NamedTuple):
    """An item that is to be worked on.

    Attributes:
        seq: Its number, from 1.
        item: Its text.
    """

    seq: int
    item: str


@dataclass(slots=True)
class Done:
    """An item that has been worked on.

    Attributes:
        task: The item.
        command: What ran, for people.
        began: When, in seconds since 1970.
        seconds: How long.
        exit: The exit code; -1 where there is none.
        signal: The signal that ended it, or 0.
        error: What went wrong besides an exit code.
        stdout: What it printed.
        stderr: The same of standard error.
        values: What a function gave.
    """

    task: Task
    command: str
    began: float
    seconds: float
    exit: int
    signal: int = 0
    error: str | None = None
    stdout: BinaryIO | None = None
    stderr: BinaryIO | None = None
    values: list[Any] | None = None

    @property
    def succeeded(self) -> bool:
        """True if nothing went wrong."""
        return self.exit == 0 and not self.signal and self.error is None

    @property
    def how(self) -> str:
        """How it went, for people."""
        if self.error is not None:
            return self.error

        return f"signal {self.signal}" if self.signal else f"exit code {self.exit}"

    def size(self) -> int:
        """Return how many bytes it has printed."""
        if self.stdout is None:
            return 0

        if isinstance(self.stdout, BytesIO):
            return self.stdout.getbuffer().nbytes

        end = self.stdout.seek(0, 2)
        self.stdout.seek(0)
        return end

    def close(self) -> None:
        """Let go of what it has printed."""
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
