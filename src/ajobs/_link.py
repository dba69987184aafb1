"""The parent's end of the connection to a far end: frames, for code that must not block."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence

from ._wire import GREETING, Decoder, Frame, Part

#: Parts of one system call; the kernel takes no more.
_MOST_PARTS = 1000

#: Bytes that are read in one go before somebody else gets a turn: about a millisecond.
_TURN_BYTES = 1 << 22

#: A reading that brought less has emptied the connection.
_FULL_READ = 1 << 15

#: Bigger than the kernel's default: fewer turns for big arrays.
_BUFFER_BYTES = 1 << 21


class Link:
    """A connected socket.

    Attributes:
        is_over: True once the far end can send no more.
        is_unread: True if it was closed there with something still unread, or not even sent.
        is_drained: True if the last `receive` took all that there was.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over *sock*."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._socket = sock
        self._decoder = Decoder()
        self._outbox: deque[memoryview] = deque([memoryview(GREETING)])
        self.is_over = False
        self.is_unread = False
        self.is_drained = False

    def fileno(self) -> int:
        """Return the descriptor, to wait on it."""
        return self._socket.fileno()

    @property
    def has_outgoing(self) -> bool:
        """True while something waits for the far end to read."""
        return bool(self._outbox)

    def send(self, parts: Sequence[Part]) -> None:
        """Send what fits, and keep the rest for `flush`."""
        outbox = self._outbox
        if not outbox and len(parts) == 1:
            part = parts[0]
            try:
                sent = self._socket.send(part)
            except BlockingIOError:
                sent = 0
            except OSError:
                # Its end is noticed, with what it wrote before, by reading.
                self.is_unread = True
                return

            if sent < len(part):
                outbox.append(memoryview(part)[sent:])
        else:
            outbox.extend(view for part in parts if (view := memoryview(part)).nbytes)
            self.flush()

    def flush(self) -> None:
        """Send what fits of what is waiting."""
        outbox = self._outbox
        done = 0
        while outbox and done < _TURN_BYTES:
            views = [outbox[at] for at in range(min(len(outbox), _MOST_PARTS))]
            try:
                sent = self._socket.sendmsg(views)
            except BlockingIOError:
                return
            except OSError:
                self.is_unread = True
                outbox.clear()
                return

            done += sent
            while outbox and sent >= outbox[0].nbytes:
                sent -= outbox.popleft().nbytes

            if sent:
                outbox[0] = outbox[0][sent:]

    def receive(self) -> list[Frame]:
        """Return the frames that have come; no more than a turn's worth.

        Raises:
            WireError: What came are no frames.
        """
        frames: list[Frame] = []
        done = 0
        self.is_drained = False
        while not self.is_over and done < _TURN_BYTES:
            space = self._decoder.space()
            try:
                count = self._socket.recv_into(space)
            except BlockingIOError:
                self.is_drained = True
                break
            except OSError:
                self.is_over = self.is_unread = True
                break

            if not count:
                self.is_over = True
                break

            frames += self._decoder.filled(count)
            done += count
            if count < _FULL_READ:
                break

        return frames

    def finish(self) -> None:
        """Tell the far end that no more jobs come."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.is_over = True

    def close(self) -> None:
        """Close the connection."""
        self._outbox.clear()
        self._socket.close()
