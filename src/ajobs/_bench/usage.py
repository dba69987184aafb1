"""CPU time and memory of this process and of the workers that it has started.

Linux tells both in /proc; elsewhere memory is not known and workers count once they end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ("Crowd", "Usage", "resident")

_PROC = Path("/proc")


class Usage:
    """Looks at this process and at its descendants from now on."""

    def __init__(self, resident_before: int = 0) -> None:
        """Begin; children that are there already are somebody else's.

        *resident_before*: What counts as this process's own memory. The allocator keeps what
        was freed, so what is resident now may be left over from what was measured last.
        """
        self._left_over = resident() - resident_before
        self._others = set(_descendants(os.getpid()))
        self._knows_peak = False
        with suppress(OSError):
            # The peak of resident memory starts anew here (proc(5)).
            (_PROC / "self/clear_refs").write_text("5")
            self._knows_peak = True

    def cpu(self) -> float:
        """Return CPU seconds used so far, by this process and all that it has started."""
        return _own() + sum(map(_cpu_of, self._ours()))

    def peak(self) -> int | None:
        """Return the most bytes resident at once since the beginning, workers included.

        Each worker counts with its own peak.
        """
        if not self._knows_peak:
            return None

        peaks = sum(_memory_of(pid, "VmHWM") for pid in (os.getpid(), *self._ours()))
        return peaks - self._left_over

    def _ours(self) -> Iterator[int]:
        return (pid for pid in _descendants(os.getpid()) if pid not in self._others)


class Crowd:
    """Tells how much the other programs of this machine compute meanwhile."""

    def __init__(self) -> None:
        """Begin."""
        self._begin = time.monotonic(), _busy(), _own()

    def cpus(self) -> float | None:
        """Return how many CPUs others have used, on average; None where nobody tells.

        Our own workers are not others once they have ended.
        """
        (then, busy_then, own_then), busy = self._begin, _busy()
        if busy is None or busy_then is None:
            return None

        others = (busy - busy_then) - (_own() - own_then)
        return max(0.0, others / (time.monotonic() - then))


def _busy() -> float | None:
    """Return the CPU seconds of the whole machine, or None."""
    try:
        fields = (_PROC / "stat").read_text().split(maxsplit=9)[1:9]
    except OSError:
        return None

    user, nice, system, _idle, _io, *interrupts = map(int, fields)
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def resident() -> int:
    """Return the bytes that this process has in memory now; 0 where nobody tells."""
    return _memory_of(os.getpid(), "VmRSS")


def _descendants(ancestor: int) -> Iterator[int]:
    """Walk the processes that *ancestor* has started, and those that they have."""
    parents = {int(path.name): _fields_of(path) for path in _PROC.glob("[0-9]*")}
    found = {ancestor}
    # A process may have a smaller number than its parent, so look until nothing comes up.
    while more := {
        pid
        for pid, fields in parents.items()
        if fields and int(fields[1]) in found and pid not in found
    }:
        found |= more
        yield from more


def _fields_of(path: Path) -> list[str]:
    """Return what the kernel tells of a process, from its state on; nothing once it has ended."""
    try:
        stat = (path / "stat").read_text(errors="replace")
    except OSError:
        return []

    return stat.rpartition(") ")[2].split()


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of another process, with those of its ended children."""
    fields = _fields_of(_PROC / str(pid))
    # Once it has ended it counts among our ended children.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory_of(pid: int, field: str) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024

    return 0
