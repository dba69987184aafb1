"""The worker's end of the connection: frames, for code that may block."""

from __future__ import annotations

import _socket
import _thread
from collections import deque
from collections.abc import Iterable

from .._wire import GREETING, Decoder, Frame, Part

#: Parts of one system call; the kernel takes no more.
_MOST_PARTS = 1000

#: Bigger than the kernel's default: fewer turns for big arrays.
_BUFFER_BYTES = 1 << 21


class Channel:
    """A connected socket."""

    def __init__(self, fd: int) -> None:
        """Take over descriptor *fd*."""
        self._socket = _socket.socket(fileno=fd)
        self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _BUFFER_BYTES)
        self._decoder = Decoder()
        self._frames: deque[Frame] = deque()
        self._sending = _thread.allocate_lock()
        self._is_greeted = False

    def fileno(self) -> int:
        """Return the descriptor, to wait on it."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, parts: list[Part]) -> None:
        """Send the parts of one or more frames, in one system call if they fit.

        Raises:
            OSError: The parent is gone.
        """
        with self._sending:
            if not self._is_greeted:
                self._is_greeted = True
                parts = [GREETING, *parts]

            if len(parts) == 1:
                self._socket.sendall(parts[0])
            else:
                for at in range(0, len(parts), _MOST_PARTS):
                    self._send_all(parts[at : at + _MOST_PARTS])

    def _send_all(self, parts: Iterable[Part]) -> None:
        views = [view for part in parts if (view := memoryview(part)).nbytes]
        while views:
            sent = self._socket.sendmsg(views)
            while views and sent >= views[0].nbytes:
                sent -= views.pop(0).nbytes

            if sent:
                views[0] = views[0][sent:]

    def receive(self) -> Frame:
        """Wait for the next frame.

        Raises:
            EOFError: The parent wants this worker to end.
            OSError: The parent is gone.
            WireError: These are no frames.
        """
        while not self._frames:
            self._read(0)

        return self._frames.popleft()

    def check(self) -> None:
        """Find out whether anybody is there at the other end.

        Raises:
            OSError: The parent is gone, or goes on without this end.
        """
        self._socket.send(b"")

    def poll(self) -> Frame | None:
        """Return the next frame if it is there."""
        if not self._frames:
            try:
                self._read(_socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None

        return self._frames.popleft() if self._frames else None

    def _read(self, flags: int) -> None:
        count = self._socket.recv_into(self._decoder.space(), 0, flags)
        if not count:
            raise EOFError

        self._frames += self._decoder.filled(count)
