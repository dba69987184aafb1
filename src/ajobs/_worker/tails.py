"""Sends what a job wrote last before it fell silent.

No thread of ours stays where nothing is written: an interpreter whose job never ends is left
behind, and Python aborts the program at its end if more than that job's own thread runs there.
"""

from __future__ import annotations

import _thread
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Send = Callable[[], object]

#: Seconds of silence after which the thread ends.
IDLE_SECONDS = 0.2


class Tails:
    """A thread, there while it is needed, for all jobs of one far end."""

    def __init__(self, seconds: float) -> None:
        """Send *seconds* after the silence began."""
        self._seconds = seconds
        self._send: Send | None = None
        self._is_running = False
        self._is_over = False
        self._deciding = _thread.allocate_lock()
        self._wake = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()

    def send_soon(self, send: Send) -> None:
        """Have *send* called soon. It is not called again for that."""
        with self._deciding:
            self._send = send
            if self._wake.locked():
                self._wake.release()

            if not self._is_running:
                self._is_running = True
                self._ended.acquire()
                _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            while (send := self._next()) is not None:
                sleep(self._seconds)
                send()
        finally:
            self._ended.release()

    def _next(self) -> Send | None:
        """Wait for something to send; None, and the end of the thread, if nothing comes."""
        self._wake.acquire(timeout=IDLE_SECONDS)
        with self._deciding:
            send, self._send = (None if self._is_over else self._send), None
            self._is_running = send is not None
            return send

    def stop(self) -> None:
        """End the thread and wait for it: an interpreter cannot end before its threads."""
        with self._deciding:
            self._is_over = True
            if self._wake.locked():
                self._wake.release()

        self._ended.acquire()
