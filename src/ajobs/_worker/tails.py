"""Sends what a job wrote last before it fell silent."""

from __future__ import annotations

import _thread
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Send = Callable[[], object]


class Tails:
    """A thread, started when it is first needed, for all jobs of one far end."""

    def __init__(self, seconds: float) -> None:
        """Send *seconds* after the silence began."""
        self._seconds = seconds
        self._send: Send | None = None
        self._is_started = False
        self._is_over = False
        self._wake = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()

    def send_soon(self, send: Send) -> None:
        """Have *send* called soon. It is not called again for that."""
        self._send = send
        if not self._is_started:
            self._is_started = True
            self._ended.acquire()
            _thread.start_new_thread(self._run, ())
        elif self._wake.locked():
            self._wake.release()

    def _run(self) -> None:
        try:
            self._wake.acquire()
            while not self._is_over:
                sleep(self._seconds)
                send, self._send = self._send, None
                if send is not None:
                    send()

                self._wake.acquire()
        finally:
            self._ended.release()

    def stop(self) -> None:
        """End the thread and wait for it: an interpreter cannot end before its threads."""
        if self._is_started:
            self._is_over = True
            if self._wake.locked():
                self._wake.release()

            self._ended.acquire()
