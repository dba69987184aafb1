"""What a program prints, on its way into the streams of a job."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from ._lines import ByteLines, TextLines
from ._poll import Poll
from ._records import LOSSLESS, Stream
from ._runner import Emit

#: Lines of standard error that go with the news of a failure.
_LAST_LINES = 10

Lines = TextLines | ByteLines


class Printed:
    """The lines that were read and have not become records yet.

    Attributes:
        last_errors: The last lines on the error stream.
    """

    def __init__(self, poll: Poll, streams: Mapping[int, tuple[Stream, Lines]]) -> None:
        """Begin.

        Args:
            poll: Where the descriptors are watched.
            streams: For each of the descriptors, its stream and what cuts it into lines.
        """
        self.last_errors: deque[str | bytes] = deque(maxlen=_LAST_LINES)
        self._emit: Emit
        self._poll = poll
        self._streams = streams
        self._lines: deque[tuple[Stream, str | bytes]] = deque()
        self._has_read = False

    def go_to(self, emit: Emit) -> None:
        """Send from here on to another job; nothing of the last one is held."""
        self._emit = emit
        self._has_read = False
        self.last_errors.clear()
        self._lines.clear()

    def __contains__(self, fd: int) -> bool:
        """Tell whether *fd* is one of them."""
        return fd in self._streams

    def read(self, fd: int) -> bool:
        """Read what is there and pass it on as far as there is room; False if nothing is."""
        data = self._poll.read(fd)
        self._has_read = True
        stream, cutter = self._streams[fd]
        self._take(stream, cutter.feed(data))
        self.pass_on()
        return bool(data)

    def _take(self, stream: Stream, lines: Sequence[str | bytes]) -> None:
        if stream is Stream.ERROR:
            self.last_errors.extend(lines)

        self._lines.extend((stream, line) for line in lines)

    @property
    def must_wait(self) -> bool:
        """True while a line waits for room."""
        return bool(self._lines)

    def pass_on(self) -> None:
        """Make records of the lines as far as there is room."""
        lines, emit = self._lines, self._emit
        while lines and not (lines[0][0] in LOSSLESS and emit.is_full):
            emit.text(*lines.popleft())

    async def end(self, chunks: int, *, may_wait: bool) -> None:
        """Read and pass on the last of it.

        Args:
            chunks: How much to read of each at most: somebody else may still be writing.
            may_wait: Whether to wait for room. A job that is being stopped does not: nobody
                may be left to make any.
        """
        self._read_rest(chunks)
        if not self._has_read:
            # Most jobs print nothing.
            return

        for stream, cutter in self._streams.values():
            if not cutter.is_between:
                self._take(stream, cutter.feed(b"", final=True))

        self.pass_on()
        if self._lines and may_wait:
            await self._emit.in_task()

        while self._lines and may_wait:
            await self._emit.room()
            self.pass_on()

    def _read_rest(self, chunks: int) -> None:
        for fd in self._poll.ready():
            for _ in range(chunks if fd in self._streams else 0):
                if not self.read(fd):
                    break
