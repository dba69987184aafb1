"""The job log: what has run, a line each, in the format of GNU parallel's --joblog."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from .._ends import Problem, Status
from .done import Done

__all__ = ("JobLog", "finished")

HEADER = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


def line(done: Done) -> str:
    """Return the line for *done*."""
    # As GNU parallel has it: -1 stands for what ran too long.
    code = done.exit if done.exit >= 0 or done.error or not done.signal else 0
    command = done.command.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    fields = (
        str(done.task.seq),
        ":",
        f"{done.began:.3f}",
        f"{done.seconds:.3f}",
        "0",
        str(done.size()),
        str(code),
        str(done.signal),
        command,
    )
    return "\t".join(fields) + "\n"


def finished(path: Path, *, failed_too: bool) -> set[int]:
    """Return the numbers of the items that need not run again, by the log at *path*.

    Args:
        path: The log; there may be none yet.
        failed_too: Whether an item that failed counts as well.

    Raises:
        Problem: The file is no job log.
    """
    try:
        # As bytes: reading as text takes a carriage return for the end of a line.
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return set()

    head, _, rest = text.partition("\n")
    # A last line without its end was cut off, and its item runs again.
    entries = [entry.split("\t") for entry in rest.split("\n")[:-1]]
    if text and (f"{head}\n" != HEADER or not all(one[0].isdecimal() for one in entries)):
        raise Problem(f"{path} is no job log: name another file", Status.USAGE)

    last: dict[int, bool] = {}
    for seq, *fields in entries:
        last[int(seq)] = fields[5:7] == ["0", "0"]

    return {seq for seq, succeeded in last.items() if succeeded or failed_too}


class JobLog:
    """A log that is written, line by line, as items end."""

    def __init__(self, path: Path, *, append: bool) -> None:
        """Begin a new log at *path*, or go on with the one that is there."""
        mode = "a+b" if append else "wb"
        with path.open(mode) as there:
            _cut_half_line(there.fileno())

        self._file: TextIO = path.open("a", encoding="utf-8", errors="surrogateescape")
        if not self._file.tell():
            self._file.write(HEADER)
            self._file.flush()

    def add(self, done: Done) -> None:
        """Note *done*, so that it is there whatever happens next."""
        self._file.write(line(done))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _cut_half_line(fd: int) -> None:
    """Remove the end of a file that is no whole line."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, 1 << 20, max(0, size - (1 << 20))) if size else b""
    half = len(tail) - (tail.rfind(b"\n") + 1)
    if half:
        os.ftruncate(fd, size - half)
