"""The records of one job, in one order over seven streams, until somebody takes them.

The log is the truth; whoever reads is woken by its owner and looks here. Written from any
thread, read on the loop's thread. This file knows neither jobs nor event loops.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final, TypeAlias

from ._checks import stream
from ._errors import OutputLimitExceeded
from ._records import KEPT, LOSSLESS, Entry, Progress, StateChange, Stream

Streams: TypeAlias = tuple[Stream, ...]

#: What a follower gets, in order.
Told: TypeAlias = Entry | StateChange
Feed: TypeAlias = deque[Told]

ALL: Final[Streams] = tuple(Stream)

#: Unread records of a job without `output_limit` at which one warning is given: by then
#: somebody has most likely forgotten to receive.
MANY: Final = 100_000

_LOSSLESS = frozenset(LOSSLESS)


class Log:
    """The unread records of a job.

    Attributes:
        listeners: To be called by the owner, on the loop, after something was written.
        on_no_readers: Called, in any thread, when the last reader has gone.
        limit: Most unread output, error and warning records; None for no bound.
        unread: How many there are now.
        had_errors: Whether an error record was ever written.
        dropped: How many records of each bounded stream were dropped.
        progress: The newest progress of each activity that is not done, by its id.
    """

    __slots__ = (
        "_feeds",
        "_held",
        "_lock",
        "_readers",
        "_returned",
        "_room_waiters",
        "_seq",
        "dropped",
        "had_errors",
        "limit",
        "listeners",
        "on_no_readers",
        "progress",
        "unread",
        "warn_at",
    )

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.unread = 0
        self.had_errors = False
        self.dropped: Counter[Stream] = Counter()
        self.progress: dict[int, Progress] = {}
        self.warn_at = MANY
        #: How far beyond the limit a reader that gave up has brought what is unread.
        self._returned = 0
        self._held: dict[Stream, deque[Entry]] = {}
        self._seq = 0
        self._lock = threading.Lock()
        self._feeds: list[weakref.ref[Feed]] = []
        self._readers: set[weakref.ref[object]] = set()
        self.on_no_readers: Callable[[], object] | None = None
        self.listeners: dict[Callable[[], object], None] = {}
        self._room_waiters: list[Callable[[], object]] = []

    # Writing

    def append(self, stream: Stream, value: object, time: float) -> None:
        """Add one record; the limit is not looked at here."""
        with self._lock:
            self._add(stream, value, time)

    def extend(self, records: Iterable[tuple[float, Stream, object]]) -> None:
        """Add a batch of (Unix time, stream, value)."""
        with self._lock:
            for time, stream, value in records:
                self._add(stream, value, time)

    def extend_one(self, stream: Stream, times: Sequence[float], values: Sequence[object]) -> None:
        """Add a batch of one stream: a tenth of the cost, where nothing is to be done for each."""
        with self._lock:
            if self._feeds or stream not in _LOSSLESS:
                for time, value in zip(times, values, strict=True):
                    self._add(stream, value, time)

                return

            first = self._seq + 1
            self._seq += len(values)
            seqs = range(first, self._seq + 1)
            held = self._held.setdefault(stream, deque())
            held.extend(zip(seqs, times, repeat(stream), values, strict=False))
            self.unread += len(values)

    def _add(self, stream: Stream, value: object, time: float) -> None:
        self._seq = seq = self._seq + 1
        entry = (seq, time, stream, value)
        held = self._held.get(stream)
        if held is None:
            held = self._held[stream] = deque()

        held.append(entry)
        if stream in _LOSSLESS:
            self.unread += 1
        elif len(held) > KEPT:
            held.popleft()
            self.dropped[stream] += 1

        if stream is Stream.PROGRESS and isinstance(value, Progress):
            self._note_progress(value)

        if self._feeds:
            self._feed(entry)

    def announce(self, change: StateChange) -> None:
        """Tell the followers that the job has moved; nothing of it is kept."""
        with self._lock:
            self._feed(change)

    def _feed(self, told: Told) -> None:
        for ref in self._feeds:
            feed = ref()
            if feed is not None:
                feed.append(told)

    def _note_progress(self, progress: Progress) -> None:
        if progress.done:
            self.progress.pop(progress.id, None)
        else:
            self.progress[progress.id] = progress

    @property
    def is_full(self) -> bool:
        """True when a careful writer should wait."""
        return self.limit is not None and self.unread >= self.limit

    @property
    def is_over(self) -> bool:
        """True when a writer that looks only after writing should wait."""
        return self.limit is not None and self.unread > self.limit

    def check_room(self, times: int = 1) -> None:
        """Raise unless one more record keeps within *times* the limit.

        Who is to wait for room may write as much in one go whatever readers have put back.
        """
        if self.limit is None:
            return

        most = times * self.limit + (self._returned if times > 1 else 0)
        if self.unread >= most:
            raise OutputLimitExceeded(
                f"{self.unread} output, error and warning records are unread and "
                f"output_limit is {self.limit}: receive them while the job runs, or await "
                f"ajobs.write_output(...) so that the job waits for room"
            )

    @property
    def is_growing(self) -> bool:
        """True once, when many records are unread and nothing bounds them."""
        if self.unread < self.warn_at or self.limit is not None:
            return False

        self.warn_at = 1 << 62
        return True

    # Room

    def when_room(self, callback: Callable[[], object]) -> None:
        """Call *callback* once, at the next taking of records that makes room."""
        with self._lock:
            self._room_waiters.append(callback)

    def forget_room(self, callback: Callable[[], object]) -> None:
        """Do not call *callback* any more."""
        with self._lock:
            if callback in self._room_waiters:
                self._room_waiters.remove(callback)

    @property
    def has_room_waiters(self) -> bool:
        """True while a writer waits for room."""
        return bool(self._room_waiters)

    def wake_writers(self) -> None:
        """Let all writers that wait for room look again."""
        with self._lock:
            waiters, self._room_waiters = self._room_waiters, []

        for callback in waiters:
            callback()

    # Reading

    def wake_readers(self) -> None:
        """Let all listeners look again; on the loop only."""
        for listener in tuple(self.listeners):
            listener()

    def add_reader(self, reader: object) -> None:
        """Note that *reader* means to take records, for as long as it is alive."""
        self._readers.add(weakref.ref(reader, self._drop))

    def drop_reader(self, reader: object) -> None:
        """Note that *reader* takes no more."""
        self._drop(weakref.ref(reader, self._drop))

    def _drop(self, reader: weakref.ref[object]) -> None:
        self._readers.discard(reader)
        if not self._readers and self.on_no_readers is not None:
            self.on_no_readers()

    @property
    def has_readers(self) -> bool:
        """True while somebody means to take records."""
        return bool(self._readers)

    def __bool__(self) -> bool:
        """True while a record is held."""
        return bool(self._held)

    def has(self, streams: Streams) -> bool:
        """Tell whether a record of one of *streams* is held."""
        held = self._held
        return any(stream in held for stream in streams)

    def is_held_beside(self, stream: Stream, least: int) -> bool:
        """Tell whether more is held than *least* records of *stream*."""
        held = self._held
        return len(held) > (stream in held) or len(held.get(stream, ())) > least

    def take_one(self, streams: Streams) -> Entry | None:
        """Take the oldest record of *streams*, or return None."""
        with self._lock:
            entry = self._pop(streams)

        self._made_room()
        return entry

    def take(self, streams: Streams, most: int | None = None) -> list[Entry]:
        """Take the records of *streams*, oldest first, at most *most* of them."""
        with self._lock:
            if most is None:
                held = [(stream, self._held.pop(stream, ())) for stream in streams]
                taken = self._ordered(entries for _, entries in held)
                self.unread -= sum(len(each) for stream, each in held if stream in _LOSSLESS)
            else:
                taken = []
                while len(taken) < most and (entry := self._pop(streams)) is not None:
                    taken.append(entry)

        self._made_room()
        return taken

    def put_back(self, entries: list[Entry]) -> None:
        """Put taken records back where they were, also among what others have put back."""
        with self._lock:
            for stream in {entry[2] for entry in entries}:
                mine = [entry for entry in entries if entry[2] is stream]
                held = self._held[stream] = deque(self._ordered((mine, self._held.get(stream, ()))))
                if stream in _LOSSLESS:
                    self.unread += len(mine)

                while stream not in _LOSSLESS and len(held) > KEPT:
                    held.popleft()
                    self.dropped[stream] += 1

            if self.limit is not None:
                self._returned = max(0, self.unread - self.limit)

    def peek(self, streams: Streams) -> list[Entry]:
        """Return the held records of *streams*, oldest first, and leave them."""
        with self._lock:
            return self._ordered(self._held.get(stream, ()) for stream in streams)

    def follow(self) -> Feed:
        """Return a queue of all held records that also gets every later one.

        Drop it to stop following.
        """
        feed: Feed = deque()
        self.follow_into(feed)
        return feed

    def follow_into(self, feed: Feed) -> None:
        """Fill *feed* as `follow` does, for as long as its owner keeps it."""
        with self._lock:
            for entry in self._ordered(self._held.values()):
                feed.append(entry)

            # Weakly: a follower that was dropped half-way must not be filled for ever.
            self._feeds = [ref for ref in self._feeds if ref() is not None]
            self._feeds.append(weakref.ref(feed))

    @property
    def is_followed(self) -> bool:
        """True once somebody has followed."""
        return bool(self._feeds)

    def _pop(self, streams: Streams) -> Entry | None:
        stream = streams[0] if len(streams) == 1 else self._oldest(streams)
        held = self._held.get(stream) if stream is not None else None
        if not held:
            return None

        entry = held.popleft()
        if not held:
            # An empty deque holds 600 bytes: most jobs write little and stay in the table.
            del self._held[entry[2]]

        if entry[2] in _LOSSLESS:
            self.unread -= 1

        return entry

    def _oldest(self, streams: Streams) -> Stream | None:
        heads = [(self._held[stream][0][0], stream) for stream in streams if stream in self._held]
        return min(heads)[1] if heads else None

    def _made_room(self) -> None:
        if self._returned and not self.is_over:
            self._returned = 0

        if self._room_waiters and not self.is_over:
            self.wake_writers()

    @staticmethod
    def _ordered(parts: Iterable[Iterable[Entry]]) -> list[Entry]:
        full = [part for part in parts if part]
        if len(full) == 1:
            return list(full[0])

        # Runs that are sorted already: what the sort of Python merges in linear time.
        merged: list[Entry] = [entry for part in full for entry in part]
        merged.sort(key=_seq_of)
        return merged


def _seq_of(entry: Entry) -> int:
    return entry[0]


def streams_of(asked: object) -> tuple[Streams, bool]:
    """Return the streams that *asked* names, and whether records are meant, not values.

    Args:
        asked: A `Stream`, its name, several of them, or ``"all"``.

    Raises:
        ValueError: A stream is unknown, or none is named.
        TypeError: *asked* is nothing of that sort.
    """
    if isinstance(asked, str):
        return (ALL, True) if asked == "all" else ((stream(asked),), False)

    if not isinstance(asked, Iterable):
        raise TypeError(f"stream takes a Stream, its name, several of them, or 'all': {asked!r}")

    named: Iterator[object] = iter(asked)
    streams = tuple(dict.fromkeys(stream(one) for one in named))
    if not streams:
        raise ValueError("no stream was named")

    return streams, True
