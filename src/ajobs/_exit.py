"""What is closed when the interpreter ends and nobody has closed it.

It happens before Python waits for threads: `atexit` would be too late, since a session keeps
threads that only its end lets go. This file knows what can be closed, not sessions.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

#: How to close what is open now, with the process that has opened it.
_open: dict[Callable[[], object], int] = {}


def close_at_exit(close: Callable[[], object]) -> None:
    """Call *close* when the interpreter ends, unless it is forgotten before."""
    _open[close] = os.getpid()


def forget(close: Callable[[], object]) -> None:
    """Do not call *close*: it is closed already."""
    _open.pop(close, None)


def left_open(name: str | None) -> str:
    """Return the one line that tells of a session which nobody has closed."""
    which = f"session {name!r}" if name else "a session"
    return f"ajobs: {which} was left open: it is closed now, and the jobs that run are stopped"


def _close_all() -> None:
    here = os.getpid()
    while _open:
        close, opened_in = _open.popitem()  # the newest first
        if opened_in == here:
            close()


# What concurrent.futures uses for its own threads. Without it the end of the program may have
# to wait until idle threads give up.
_register = getattr(threading, "_register_atexit", atexit.register)
_register(_close_all)
