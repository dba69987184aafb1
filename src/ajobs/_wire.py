r"""Frames: how a job and its records travel between two processes.

Bytes in, frames out, and back; whoever has the bytes moves them. This file does no I/O and
knows neither jobs nor pickles, and imports next to nothing: a worker is up in milliseconds.

    greeting   "\najobs wire 1\n", once in each direction
    frame      head, body, buffers
    head       checksum of the head, checksum of the body, kind, number of buffers, size of
               the body
    body       sizes of the buffers, then what the kind says
    buffers    raw memory, such as the data of an array, neither copied nor checked

The checksums are for one case: code of the user's writes into a descriptor that it does not
own. A wrong size would then mean waiting for bytes that never come.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Generator, Sequence
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

VERSION = 1

_GREETING_START = b"\najobs wire "
GREETING = _GREETING_START + b"%d\n" % VERSION

#: Longest greeting of any version.
_GREETING_MOST = len(_GREETING_START) + 8

# To the worker.
SETUP = 1  #: Who the parent is and how to prepare. The first frame.
JOB = 2  #: Run this.
STOP = 3  #: End the running job.
ITEM = 4  #: One item of its input.
NO_ITEM = 5  #: Its input has ended, or failed.
CREDIT = 6  #: So many more records may be sent.

# From the worker.
READY = 16  #: Prepared. The first frame.
RECORDS = 17  #: Records, in the order in which they were written.
RECORD = 18  #: One record with buffers of its own.
WANT = 19  #: The job asks for an item.
VALUE = 20  #: The job returned this. It has ended.
FAILURE = 21  #: The job raised this. It has ended.
BEGUN = 22  #: The job's code is loaded and begins. Only where its time is limited.

KINDS = frozenset({*range(SETUP, CREDIT + 1), *range(READY, BEGUN + 1)})

_CHECK = Struct("<I")
_HEAD = Struct("<IBxHQ")
_HEAD_SIZE = _CHECK.size + _HEAD.size

#: Buffers of one frame; what has more goes into the body.
MOST_BUFFERS = 1000

#: Parts up to this size are read by way of the scratch memory, and joined for sending: one
#: copy costs less than one more system call.
_SMALL = 1 << 15
_SCRATCH = 1 << 16

#: Parts from this size on get pages of their own from the system: a third less time.
_LARGE = 1 << 22


#: What is sent: bytes as they are.
Part: TypeAlias = "bytes | memoryview"

#: What has come: memory that belongs to whoever reads it.
Memory: TypeAlias = "bytearray | memoryview"


class WireError(Exception):
    """The other side does not speak this protocol, or its bytes were damaged or cut off."""


class Frame:
    """One message.

    Attributes:
        kind: What it means, one of the constants of this module.
        body: What the kind says.
        buffers: Memory that goes with it.
    """

    __slots__ = ("body", "buffers", "kind")

    def __init__(self, kind: int, body: Memory, buffers: Sequence[Memory] = ()) -> None:
        self.kind = kind
        self.body = body
        self.buffers = buffers


def encode(
    kind: int, body: bytes = b"", buffers: Sequence[memoryview] = (), prefix: bytes = b""
) -> list[Part]:
    """Return the bytes of a frame, in parts to be sent one after another.

    Args:
        kind: One of the constants of this module.
        body: What the kind says.
        buffers: At most `MOST_BUFFERS` flat views of bytes, which go without a copy.
        prefix: The first part of the body, where *body* may be too big to be joined to it.
    """
    if buffers:
        sizes = [view.nbytes for view in buffers]
        prefix = Struct(f"<{len(sizes)}Q").pack(*sizes) + prefix

    size = len(prefix) + len(body)
    head = _HEAD.pack(crc32(body, crc32(prefix)), kind, len(buffers), size)
    head = _CHECK.pack(crc32(head)) + head + prefix
    return [head + body, *buffers] if size <= _SMALL else [head, body, *buffers]


def _memory(size: int) -> memoryview:
    """Return memory to be filled."""
    try:
        if size >= _LARGE:
            import mmap

            # Not cleared first, as a bytearray is, and not taken page by page.
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
            return memoryview(mmap.mmap(-1, size, flags=flags))

        return memoryview(bytearray(size))
    except (MemoryError, OverflowError, OSError, ValueError):
        raise WireError(f"no memory for the {size:,} bytes that are to come") from None


class Decoder:
    """The frames in a stream of bytes that comes in any pieces.

    Ask for `space`, put bytes there, tell `filled` how many: big bodies and buffers arrive in
    their final place, without a copy.
    """

    def __init__(self, noise: int = 0) -> None:
        """Begin before the greeting.

        Args:
            noise: How many bytes of something else may come before it, such as what a login
                shell prints; at most half of 64 KiB.
        """
        self._noise = noise
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._start = 0
        self._end = 0
        self._target: memoryview | None = None
        self._done: list[Frame] = []
        self._is_between = False
        self._steps = self._decode()
        next(self._steps)

    def space(self) -> memoryview:
        """Return where the next bytes belong; never empty."""
        if self._target is not None:
            return self._target

        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == _SCRATCH:
            left = bytes(self._scratch[self._start :])
            self._scratch[: len(left)] = left
            self._start, self._end = 0, len(left)

        return self._scratch[self._end :]

    def filled(self, count: int) -> list[Frame]:
        """Return the frames that *count* more bytes in `space` completed.

        Raises:
            WireError: These bytes are no frames; nothing after them can be.
        """
        if self._target is None:
            self._end += count
        elif count == self._target.nbytes:
            self._target = None
        else:
            self._target = self._target[count:]
            return []

        for _ in self._steps:
            done, self._done = self._done, []
            return done

        raise WireError("nothing can be read after a damaged frame")

    def finish(self) -> None:
        """Note that no more bytes come.

        Raises:
            WireError: They end in the middle of a frame.
        """
        if not self._is_between or self._start != self._end:
            raise WireError("the connection ended in the middle of a frame")

    def _decode(self) -> Generator[None, None, None]:
        """Read everything that is there, then wait at a ``yield`` for more."""
        yield from self._greeting()
        while True:
            self._is_between = True
            while self._end - self._start < _HEAD_SIZE:
                yield

            self._is_between = False
            frame = yield from self._frame()
            self._done.append(frame)

    def _frame(self) -> Generator[None, None, Frame]:
        head = self._cut(_HEAD_SIZE)
        (check,) = _CHECK.unpack_from(head)
        body_check, kind, count, size = _HEAD.unpack_from(head, _CHECK.size)
        if crc32(head[_CHECK.size :]) != check or kind not in KINDS or count > MOST_BUFFERS:
            raise WireError("damaged frame: something else wrote into the connection")

        body = yield from self._part(size)
        if crc32(body) != body_check or len(body) < 8 * count:
            raise WireError("damaged frame: something else wrote into the connection")

        if not count:
            return Frame(kind, body)

        buffers = []
        for each in Struct(f"<{count}Q").unpack_from(body):
            buffers.append((yield from self._part(each)))  # noqa: PERF401  # it waits half-way

        return Frame(kind, memoryview(body)[8 * count :], buffers)

    def _part(self, size: int) -> Generator[None, None, Memory]:
        if size <= _SMALL:
            while self._end - self._start < size:
                yield

            return self._cut(size)

        part = _memory(size)
        ready = min(size, self._end - self._start)
        part[:ready] = self._cut(ready)
        if ready < size:
            self._target = part[ready:]
            yield

        return part

    def _cut(self, size: int) -> bytearray:
        start = self._start
        self._start = start + size
        return bytearray(self._scratch[start : self._start])

    def _greeting(self) -> Generator[None, None, None]:
        while True:
            data = bytes(self._scratch[self._start : self._end])
            at = data.find(_GREETING_START[: max(1, len(data))])
            end = data.find(b"\n", at + len(_GREETING_START)) if at >= 0 else -1
            if end >= 0:
                break

            if len(data) > self._noise + _GREETING_MOST or (data and at < 0 and not self._noise):
                raise WireError(f"expected a greeting, got {data[:80]!r}")

            yield

        version = data[at + len(_GREETING_START) : end]
        if at > self._noise or version != b"%d" % VERSION:
            raise WireError(
                f"the other side does not speak version {VERSION} of the protocol (was ajobs "
                f"updated while it ran?): {data[at:end][:80]!r}"
            )

        self._start += end + 1
