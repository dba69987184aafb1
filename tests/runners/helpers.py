"""What the tests of far jobs share."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ajobs


async def first_output(job: ajobs.Job[Any]) -> Any:
    """Wait for the first output record of a running job and take it."""
    async for value in job.receive(errors="ignore"):
        return value

    raise AssertionError(f"no output: {job!r}")


def texts(job: ajobs.Job[Any], stream: str) -> list[Any]:
    """Take what a job wrote to *stream*."""
    return job.receive_nowait(stream)


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False

    return stat.rpartition(")")[2].split()[0] not in "ZX"


def gone_within(seconds: float, pids: Iterable[int]) -> list[int]:
    """Wait until none of *pids* runs; return those that still do after *seconds*.

    A killed process takes a moment to go, and nobody but its parent is told.
    """
    deadline = time.monotonic() + seconds
    left = [pid for pid in pids if alive(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(0.002)
        left = [pid for pid in left if alive(pid)]

    return left
