"""Whether the system has killed something here for want of memory: Linux counts that."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def oom_kills() -> int | None:
    """Return how many processes of this one's control group were killed so; None: unknown."""
    file = _counter(_ROOT)
    if file is not None:
        with suppress(OSError, ValueError):
            for line in file.read_bytes().splitlines():
                name, _, number = line.partition(b" ")
                if name == b"oom_kill":
                    return int(number)

    return None


@lru_cache(1)
def _counter(root: Path) -> Path | None:
    """Return the file with the number, of version 2 or 1 of control groups."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            where = {"": "{}/memory.events", "memory": "memory/{}/memory.oom_control"}
            if controllers in where:
                file = root / where[controllers].format(path.strip("/")).lstrip("/")
                if file.exists():
                    return file

    return None
