"""The records of one job on their way to the parent: gathered, and sent many at a time."""

from __future__ import annotations

import _thread
from time import time

from .._payload import dumps
from .._wire import RECORD, RECORDS, Part, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from .channel import Channel
    from .tails import Tails

#: A record that comes after a pause goes at once; those that follow within this time go
#: together. What is lost when the worker is killed is not older than this.
GATHER_SECONDS = 0.001

#: Seconds that `os._exit` waits for whoever is sending: a handler of a signal may have called it,
#: on top of the code that sends.
EXIT_SECONDS = 0.1

#: Bytes that are sent without waiting for the time to pass; a record counts as so many at
#: least.
MOST_BYTES = 1 << 16
_LEAST_SIZE = 16

#: What `Outgoing.add_numbers` returns instead of a value.
NO_VALUE = object()

#: What it takes: of no size to speak of.
_NUMBERS = frozenset({int, float, bool, complex, type(None)})


class Outgoing:
    """What a job wrote and the parent has not got yet.

    Attributes:
        is_over: True once the outcome was sent; what is written later is dropped.
        is_stop_due: True while the job has to be left as soon as nothing is half done.
    """

    def __init__(self, channel: Channel, tails: Tails) -> None:
        """Send by *channel*, and what is written before a silence by way of *tails*."""
        self.is_over = False
        self.is_stop_due = False
        self._channel = channel
        self._tails = tails
        self._lock = _thread.allocate_lock()
        #: Neighbours of one sort are sent as two lists: lists of numbers or strings are
        #: pickled ten times as fast as a tuple for each record.
        self._runs: list[tuple[str, bool, list[float], list[Any]]] = []
        self._stream: str | None = None
        self._is_packed = False
        self._times: list[float] = []
        self._values: list[object] = []
        self._numbers: list[Any] = []
        self._size = 0
        self._send_at = 0.0
        self._has_tail = False

    def add(self, stream: str, value: object) -> None:
        """Add something that cannot change any more."""
        size = len(value) if isinstance(value, str | bytes) else 0
        self._add(stream, False, value, size)

    def add_packed(self, stream: str, data: bytes) -> None:
        """Add a value as a pickle."""
        self._add(stream, True, data, len(data))

    def _add(self, stream: str, is_packed: bool, value: object, size: int) -> None:
        with self._lock:
            if stream is not self._stream or is_packed is not self._is_packed or self._numbers:
                self._open_run(stream, is_packed)

            now = time()
            self._times.append(now)
            self._values.append(value)
            self._size += size + _LEAST_SIZE
            if now > self._send_at or self._size > MOST_BYTES:
                self._flush(now)
            elif not self._has_tail:
                self._has_tail = True
                self._tails.send_soon(self.send_tail)

    def _open_run(self, stream: str, is_packed: bool) -> None:
        self._take_numbers()
        self._stream = stream
        self._is_packed = is_packed
        self._times = []
        self._values = []
        self._runs.append((str(stream), is_packed, self._times, self._values))

    def add_numbers(self, values: Iterator[object]) -> object:
        """Add *values*, as output, as long as they are numbers.

        The same as `add` in a loop, at a quarter of the cost: a generator's values are what most
        jobs have most of. There is no limit on their number, since they are sent by time.

        Returns:
            What is no number; `NO_VALUE` after the last one, or once the job has to be left.
        """
        gathered, kinds = self._numbers, _NUMBERS
        for value in values:
            if type(value) not in kinds:
                return value

            # Without the lock, which costs as much as all the rest: this thread alone adds to
            # the list, and whoever takes from its front holds the lock.
            now = time()
            gathered.append(now)
            gathered.append(value)
            if now > self._send_at:
                with self._lock:
                    self._flush(now)
            elif not self._has_tail:
                self._has_tail = True
                self._tails.send_soon(self.send_tail)

            if self.is_stop_due:
                break

        return NO_VALUE

    def _take_numbers(self) -> None:
        gathered = self._numbers
        # The time of the last one may be there without it.
        taken = gathered[: len(gathered) & ~1]
        if taken:
            del gathered[: len(taken)]
            self._runs.append(("output", False, taken[::2], taken[1::2]))
            self._stream = None

    def add_big(self, stream: str, data: bytes, buffers: Sequence[memoryview]) -> None:
        """Send a value of its own, at once, as a pickle with its buffers."""
        head = dumps((str(stream), time()), 5)
        with self._lock:
            if not self.is_over:
                self._channel.send(
                    self._pending()
                    + encode(RECORD, data, buffers, len(head).to_bytes(4, "little") + head)
                )

    def flush(self) -> None:
        """Send what was added so far."""
        with self._lock:
            self._flush(time())

    def send_tail(self) -> None:
        """Send what was added; nothing more comes for the moment."""
        self._has_tail = False
        try:  # noqa: SIM105  # contextlib costs milliseconds here
            self.flush()
        except OSError:
            pass  # the parent is gone, which others notice

    def send_before_exit(self) -> None:
        """Send what was added, unless that is being done and does not come to an end."""
        if self._lock.acquire(True, EXIT_SECONDS):
            self._flush(time())
            self._lock.release()

    def end(self, parts: list[Part]) -> None:
        """Send the last records, and *parts* behind them."""
        with self._lock:
            parts = self._pending() + parts
            self.is_over = True
            self._channel.send(parts)

    def _flush(self, now: float) -> None:
        self._send_at = now + GATHER_SECONDS
        parts = self._pending()
        if parts:
            self._channel.send(parts)

    def _pending(self) -> list[Part]:
        """Take what was gathered, as parts to send."""
        self._take_numbers()
        if not self._runs or self.is_over:
            return []

        runs, self._runs, self._size, self._stream = self._runs, [], 0, None
        return encode(RECORDS, dumps(runs, 5))
