"""A small process that ends the commands of a parent which has died.

A command knows nothing of us, so it cannot watch its parent itself. The parent tells this
process the groups that it has started; when the parent is gone, what is left is killed.
"""

from __future__ import annotations

# The C module alone: `signal` around it makes enums, at the cost of milliseconds.
import _signal  # type: ignore[import-not-found]
import os

#: Longest line that is told, a sign and a number.
_LINE = b"%+d\n"


def tell_started(group: int) -> bytes:
    """Return what tells a watchdog that the process group *group* has been started."""
    return _LINE % group


def tell_ended(group: int) -> bytes:
    """Return what tells a watchdog that *group* has ended."""
    return _LINE % -group


def main(fd: int) -> None:
    """Keep the list of groups told on pipe *fd*; kill what is on it when the pipe ends."""
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _signal.SIG_IGN)

    groups: set[int] = set()
    rest = b""
    while data := os.read(fd, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number = int(line)
            (groups.add if number > 0 else groups.discard)(abs(number))

    for group in groups:
        try:
            os.killpg(group, _signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
