"""A small process that ends the commands of a parent which has died.

A command knows nothing of us, so it cannot watch its parent itself. The parent tells this
process the groups that it has started; when the parent is gone, what is left is killed.

Between the start of a command and the news of it the parent may die. So it tells first which
pipes the next command will write to: who holds one of them when the parent is gone is it. The
end of the parent shows here when nobody holds the other end of our pipe any more, and a new
process lets go of its copy as it becomes the program, in a group of its own by then. That
costs a command nothing. A helper that waits for a word before it becomes the program would be
one more program to start for each.
"""

from __future__ import annotations

# The C module alone: `signal` around it makes enums, at the cost of milliseconds.
import _signal  # type: ignore[import-not-found]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def tell_starting(*pipes: int) -> bytes:
    """Return what tells a watchdog that the next command writes to *pipes* (descriptors)."""
    inodes = " ".join(str(os.fstat(fd).st_ino) for fd in pipes)
    return f"? {inodes}\n".encode()


def tell_started(group: int) -> bytes:
    """Return what tells a watchdog that the process group *group* has been started."""
    return b"+ %d\n" % group


def tell_not_started() -> bytes:
    """Return what tells a watchdog that the next command has come to nothing."""
    return b"?\n"


def tell_lost() -> bytes:
    """Return what tells a watchdog that nobody knows whether the last command has started.

    If it has, it is killed. The caller has closed its own writing ends of the pipes.
    """
    return b"!\n"


def tell_ended(group: int) -> bytes:
    """Return what tells a watchdog that *group* has ended."""
    return b"- %d\n" % group


def main(fd: int) -> None:
    """Keep the list of groups told on pipe *fd*; kill what is on it when the pipe ends."""
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _signal.SIG_IGN)

    groups: set[int] = set()
    starting: list[int] = []
    started: list[int] = []
    rest = b""
    while data := os.read(fd, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            sign, *numbers = line.split()
            if sign == b"-":
                groups.discard(int(numbers[0]))
            elif sign == b"+":
                groups.add(int(numbers[0]))
                started, starting = starting, []
            elif sign == b"!":
                lost = set(_groups_that_hold(starting or started))
                _kill(lost)
                groups -= lost
            else:
                starting, started = [int(number) for number in numbers], []

    _kill((*groups, *_groups_that_hold(starting)))


def _kill(groups: Iterable[int]) -> None:
    for group in groups:
        try:
            os.killpg(group, _signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _groups_that_hold(pipes: list[int]) -> Iterator[int]:
    """Yield the leaders of process groups that hold one of *pipes* open, the newest first.

    The parent, which may hold the other ends, is none of them.
    """
    parent = os.getppid()
    wanted = {f"pipe:[{inode}]" for inode in pipes}
    names = os.listdir("/proc") if wanted else []  # noqa: PTH208  # pathlib costs milliseconds
    for pid in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        try:
            if os.getpgid(pid) == pid != parent and not wanted.isdisjoint(_open_in(pid)):
                yield pid
        except OSError:
            # It has ended, or is somebody else's.
            continue


def _open_in(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):  # noqa: PTH208  # as above
        yield os.readlink(f"{folder}/{name}")  # noqa: PTH115  # as above
