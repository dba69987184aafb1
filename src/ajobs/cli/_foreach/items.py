"""Where the items come from: the command line, a file, or standard input; never read ahead."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import NamedTuple

from .._ends import Problem, Status
from .._input import chunks

__all__ = ("Source", "open_source")

SEPARATOR = ":::"


class Source(NamedTuple):
    """Items.

    Attributes:
        given: Those on the command line; None: they are read from *fd*.
        fd: A descriptor, which is closed at the end unless it is standard input.
        separator: What ends an item there.
        total: How many there are, where that is known.
    """

    given: Sequence[str] | None
    fd: int
    separator: bytes
    total: int | None

    async def items(self) -> AsyncGenerator[str, None]:
        """Yield them, as soon as they are there."""
        if self.given is not None:
            for one in self.given:
                yield one

            return

        rest = b""
        try:
            async for data in chunks(self.fd):
                *whole, rest = (
                    (rest + data).split(self.separator) if self.separator in data else [rest + data]
                )
                for item in whole:
                    yield os.fsdecode(item)

            if rest:
                yield os.fsdecode(rest)
        finally:
            if self.fd:
                os.close(self.fd)


def split(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return the command, and the items after ``:::``; None where there is no such mark."""
    if SEPARATOR not in words:
        return list(words), None

    at = words.index(SEPARATOR)
    return list(words[:at]), list(words[at + 1 :])


def open_source(given: Sequence[str] | None, path: str | None, *, null: bool) -> Source:
    """Return the items that are *given*, or those in the file at *path*, or on standard input.

    Raises:
        Problem: Both are there, or the file cannot be read.
    """
    end = b"\0" if null else b"\n"
    if given is not None:
        if path is not None:
            raise Problem("the items come from -a or from ':::', not from both", Status.USAGE)

        if SEPARATOR in given:
            raise Problem("one ':::' only: there are no combinations of lists", Status.USAGE)

        return Source(given, 0, end, len(given))

    if path in {None, "-"}:
        if sys.stdin is None or sys.stdin.closed:
            raise Problem("standard input is closed: give items after ':::'", Status.USAGE)

        if sys.stdin.isatty():
            print("ajobs foreach: reads items here, one a line, until Ctrl-D", file=sys.stderr)

        return Source(None, 0, end, _count(0, end))

    assert path is not None
    try:
        fd = os.open(Path(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}", Status.USAGE) from error

    return Source(None, fd, end, _count(fd, end))


def _count(fd: int, end: bytes) -> int | None:
    """Return how many items are in the rest of a file on a disk; None for anything else."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return None

    at = os.lseek(fd, 0, os.SEEK_CUR)
    total, last = 0, end
    while data := os.pread(fd, 1 << 20, at):
        total += data.count(end)
        at += len(data)
        last = data[-1:]

    return total + (last != end)
