"""A worker, and whatever it has started, does not outlive its parent."""

from __future__ import annotations

import _thread
import os

# The numbers alone: `signal` makes enums of them, at the cost of milliseconds.
from _signal import SIGKILL  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def die_with_parent(fd: int) -> None:
    """Kill this process group when the parent is gone, however it went.

    Args:
        fd: The reading end of a pipe that nobody writes to. The parent alone has the other
            end, so it closes when the parent ends.
    """
    if not _ask_kernel(fd):
        _thread.start_new_thread(_watch, (fd,))
    elif _has_ended(fd, 0):
        # It went before the kernel was asked.
        _kill_group()


def _ask_kernel(fd: int) -> bool:
    """Have the kernel send SIGKILL to the group as soon as something happens on the pipe.

    Unlike a thread it needs no turn of the interpreter, which a job stuck in C code never
    gives; unlike Linux' "parent death signal" it does not take the end of a thread for that
    of the parent, and it reaches the whole group.
    """
    try:
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(fd, fcntl.F_SETSIG, SIGKILL)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    except (AttributeError, ImportError, OSError):
        return False

    return True


def _has_ended(fd: int, milliseconds: int | None) -> bool:
    import select

    poll = select.poll()
    poll.register(fd, 0)  # nothing but the end
    return bool(poll.poll(milliseconds))


def _watch(fd: int) -> NoReturn:
    while not _has_ended(fd, None):
        pass

    _kill_group()


def _kill_group() -> NoReturn:
    if os.getpgrp() == os.getpid():
        os.killpg(0, SIGKILL)

    os._exit(1)
