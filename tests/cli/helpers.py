"""What the tests of the command line share."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress


def on_terminal(*words: str) -> str:
    """Run ``ajobs`` with *words* on a terminal of 80 columns; return what it has written there."""
    screen, terminal = os.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "ajobs", *words],
            env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            timeout=30,
            check=False,
        )
    finally:
        os.close(terminal)

    parts = []
    with suppress(OSError):  # how a terminal tells that all has been read
        while part := os.read(screen, 4096):
            parts.append(part)

    os.close(screen)
    return b"".join(parts).decode()


def without_reminder(said: str) -> str:
    """Return *said* without what is told to who waits longer than a second after Ctrl-C.

    On a busy machine everybody does.
    """
    return said.removeprefix("ajobs: stopping; Ctrl-C again ends it at once\n")
