"""The log of a job, against a model that is a plain list."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

import ajobs
from ajobs import Progress, StateChange, Stream
from ajobs import _log as log_module
from ajobs._log import ALL, MANY, Log, Streams, streams_of
from ajobs._records import KEPT, LOSSLESS, Entry, Record, aware

KEEP = 3  # what the machine sets in place of 1,000

some_streams = st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple)


class Machine(RuleBasedStateMachine):
    """A log and a list of entries do the same."""

    feeds = Bundle("feeds")
    taken = Bundle("taken")

    @initialize(limit=st.none() | st.integers(1, 5))
    def make(self, limit: int | None) -> None:
        """Begin with an empty log that keeps little."""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(log_module, "KEPT", KEEP)
        self.log = Log(limit)
        self.limit = limit
        self.model: list[Entry] = []
        self.seq = 0
        self.dropped: dict[Stream, int] = {}
        self.had_errors = False

    def teardown(self) -> None:
        """Keep as much as ever."""
        if hasattr(self, "patch"):
            self.patch.undo()

    def of(self, streams: Streams) -> list[Entry]:
        """Return what the model holds of *streams*."""
        return [entry for entry in self.model if entry[2] in streams]

    def trim(self) -> None:
        """Drop the oldest of each bounded stream."""
        for stream in set(ALL) - set(LOSSLESS):
            held = self.of((stream,))
            for entry in held[: max(0, len(held) - KEEP)]:
                self.model.remove(entry)
                self.dropped[stream] = self.dropped.get(stream, 0) + 1

    def note(self, stream: Stream, value: object) -> Entry:
        """Write to the model."""
        self.seq += 1
        entry = (self.seq, float(self.seq), stream, value)
        self.model.append(entry)
        self.trim()
        return entry

    @rule(stream=st.sampled_from(ALL), value=st.integers())
    def append(self, stream: Stream, value: int) -> None:
        """Write one record."""
        entry = self.note(stream, value)
        self.log.append(stream, value, entry[1])

    @rule(batch=st.lists(st.tuples(st.sampled_from(ALL), st.integers()), max_size=5))
    def extend(self, batch: list[tuple[Stream, int]]) -> None:
        """Write several records at once."""
        told = [self.note(stream, value) for stream, value in batch]
        self.log.extend([(seconds, stream, value) for _, seconds, stream, value in told])

    @rule(streams=some_streams)
    def take_one(self, streams: Streams) -> None:
        """Take the oldest record of some streams."""
        expected = next(iter(self.of(streams)), None)
        if expected is not None:
            self.model.remove(expected)

        assert expected == self.log.take_one(streams)

    @rule(
        target=taken,
        streams=some_streams,
        most=st.none() | st.integers(0, 6),
    )
    def take(self, streams: Streams, most: int | None) -> Any:
        """Take records of some streams, oldest first."""
        expected = self.of(streams)[:most]
        self.model = [entry for entry in self.model if entry not in expected]
        got = self.log.take(streams, most)
        assert expected == got
        return got or multiple()

    @rule(entries=consumes(taken))
    def put_back(self, entries: list[Entry]) -> None:
        """Put taken records back: they are where they were, whatever came meanwhile."""
        self.log.put_back(list(entries))
        self.model = sorted([*self.model, *entries], key=lambda entry: entry[0])
        self.trim()

    @rule(streams=some_streams)
    def peek(self, streams: Streams) -> None:
        """Look and leave everything."""
        assert self.of(streams) == self.log.peek(streams)

    @rule(target=feeds)
    def follow(self) -> Any:
        """Follow: first what is held."""
        feed = self.log.follow()
        assert self.model == list(feed)
        feed.clear()
        return feed

    @rule(feed=feeds, value=st.integers())
    def followed(self, feed: Any, value: int) -> None:
        """A follower gets each later record, in order, and none twice."""
        feed.clear()
        self.log.append(Stream.ERROR, value, self.note(Stream.ERROR, value)[1])
        assert [value] == [entry[3] for entry in feed]

    @precondition(lambda self: hasattr(self, "log"))
    @invariant()
    def agrees(self) -> None:
        """Counters, limits and look-ups agree with the list."""
        unread = len([entry for entry in self.model if entry[2] in LOSSLESS])
        assert unread == self.log.unread
        assert bool(self.model) == bool(self.log)
        assert (self.limit is not None and unread >= self.limit) == self.log.is_full
        assert self.dropped == dict(self.log.dropped)
        for stream in ALL:
            assert bool(self.of((stream,))) == self.log.has((stream,))
            others = len(self.model) - len(self.of((stream,)))
            beside = bool(others) or len(self.of((stream,))) > 1
            assert beside == self.log.is_held_beside(stream, 1)


TestMachine = pytest.mark.slow(Machine.TestCase)
TestMachine.settings = settings(max_examples=60, deadline=None)


def log_with(*values: object, stream: Stream = Stream.OUTPUT) -> Log:
    """Make a log that holds *values*."""
    log = Log()
    for number, value in enumerate(values):
        log.append(stream, value, float(number))

    return log


def values_in(entries: list[Entry]) -> list[object]:
    """Return the bare values."""
    return [entry[3] for entry in entries]


def test_kept_streams_keep_the_newest_thousand() -> None:
    """F1: of a stream that drops, the newest 1,000 are kept and the others counted."""
    log = log_with(*range(KEPT + 5), stream=Stream.VERBOSE)

    assert list(range(5, KEPT + 5)) == values_in(log.peek((Stream.VERBOSE,)))
    assert {Stream.VERBOSE: 5} == dict(log.dropped)


def test_putting_back_keeps_the_newest_thousand() -> None:
    """F1: what is put back on a stream that drops is dropped first if it is too much."""
    log = log_with(*range(KEPT), stream=Stream.DEBUG)
    taken = log.take(ALL)
    log.append(Stream.DEBUG, KEPT, 0)
    log.put_back(taken)

    assert list(range(1, KEPT + 1)) == values_in(log.peek(ALL))
    assert {Stream.DEBUG: 1} == dict(log.dropped)


@pytest.mark.parametrize("stream", LOSSLESS)
def test_lossless_streams_drop_nothing(stream: Stream) -> None:
    """F1: output, errors and warnings are never dropped."""
    log = log_with(*range(KEPT + 5), stream=stream)

    assert KEPT + 5 == log.unread == len(log.take((stream,)))
    assert {} == dict(log.dropped)


def test_progress_is_the_newest_of_each_activity() -> None:
    """F9: of each activity the newest progress shows, until it is done."""
    log = Log()
    first, second = Progress("a", percent=1, id=1), Progress("b", percent=1, id=2)
    for progress in (first, second, first._replace(percent=50), second._replace(done=True)):
        log.append(Stream.PROGRESS, progress, 0)

    assert {1: first._replace(percent=50)} == log.progress


def test_foreign_value_on_the_progress_stream_is_only_a_record() -> None:
    """A value that is no Progress is kept and shows nowhere else."""
    log = log_with("half", stream=Stream.PROGRESS)

    assert {} == log.progress
    assert ["half"] == values_in(log.take(ALL))


def test_dropped_follower_is_not_filled() -> None:
    """A follower that is gone leaves nothing behind."""
    log = log_with(1)
    feed = log.follow()
    assert log.is_followed
    del feed
    log.append(Stream.OUTPUT, 2, 0)
    log.follow()

    assert 1 == len(log._feeds)


def test_announced_changes_come_between_the_records() -> None:
    """Followers get changes of state in their place; nothing of them is held."""
    log = Log()
    feed = log.follow()
    change = StateChange(aware(0), "Running", "Blocked")
    log.append(Stream.OUTPUT, 1, 0)
    log.announce(change)
    log.append(Stream.OUTPUT, 2, 0)

    assert [(1, 0, Stream.OUTPUT, 1), change, (2, 0, Stream.OUTPUT, 2)] == list(feed)
    assert [1, 2] == values_in(log.peek(ALL))


def test_room_is_told_once_to_each_that_waits() -> None:
    """Whoever waits for room is called at the taking that makes it, and then no more."""
    log = Log(2)
    log.extend([(0, Stream.OUTPUT, 1), (0, Stream.OUTPUT, 2), (0, Stream.OUTPUT, 3)])
    calls: list[str] = []
    first, second = (lambda: calls.append("first")), (lambda: calls.append("second"))
    log.when_room(first)
    log.when_room(second)
    assert log.has_room_waiters
    log.forget_room(second)
    log.forget_room(second)

    log.append(Stream.OUTPUT, 4, 0)
    log.take_one(ALL)
    assert [] == calls  # still more than it should hold
    log.take_one(ALL)
    assert ["first"] == calls
    log.take_one(ALL)
    assert ["first"] == calls


def test_check_room_counts_the_times() -> None:
    """With a limit of 2, one time allows 2 records and two times 4."""
    log = Log(2)
    for held, (once, twice) in enumerate([(1, 1), (1, 1), (0, 1), (0, 1), (0, 0)]):
        assert held == log.unread
        assert bool(once) == allows(log, 1)
        assert bool(twice) == allows(log, 2)
        log.append(Stream.WARNING, 0, 0)


def test_what_was_put_back_is_room_for_who_waits_until_it_is_read() -> None:
    """With a limit of 1, what waits may write as much once more beside what was put back."""
    log = Log(1)

    def write_and_put_back(count: int) -> None:
        for _ in range(count):
            log.append(Stream.OUTPUT, 0, 0)

        log.put_back(log.take(ALL))

    write_and_put_back(3)
    assert [False, True] == [allows(log, 1), allows(log, 2)]
    log.take_one(ALL)
    assert [False, True] == [allows(log, 1), allows(log, 2)]

    log.take(ALL)
    write_and_put_back(1)
    assert [False, True] == [allows(log, 1), allows(log, 2)]
    log.append(Stream.OUTPUT, 0, 0)
    assert not allows(log, 2)

    write_and_put_back(2)
    log.take(ALL)
    log.append(Stream.OUTPUT, 0, 0)
    log.append(Stream.OUTPUT, 0, 0)
    assert not allows(log, 2)


def allows(log: Log, times: int) -> bool:
    """Tell whether the log would take one more."""
    try:
        log.check_room(times)
    except ajobs.OutputLimitExceeded as exc:
        return f"output_limit is {log.limit}" not in str(exc)

    return True


def test_growth_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1: a log without a limit says once that many records are unread."""
    log = Log()
    log.warn_at = 3
    told = []
    for _ in range(5):
        log.append(Stream.OUTPUT, 0, 0)
        told.append(log.is_growing)

    assert [False, False, True, False, False] == told
    assert 100_000 == MANY


def test_readers_count_while_they_live() -> None:
    """A reader that is gone, or was dropped, does not count."""

    class Reader:
        """Somebody."""

    log, told = Log(), []
    first, second = Reader(), Reader()
    told.append(log.has_readers)
    log.drop_reader(first)
    log.add_reader(first)
    log.add_reader(second)
    log.drop_reader(first)
    told.append(log.has_readers)
    del second
    told.append(log.has_readers)

    assert [False, True, False] == told


@given(streams=some_streams)
def test_streams_in_any_order(streams: Streams) -> None:
    """Several streams are taken in the order in which the records were written."""
    log = Log()
    for number, stream in enumerate([*ALL, *reversed(ALL)]):
        log.append(stream, number, 0)

    entries = log.take(streams)
    assert sorted(entries) == entries
    assert 2 * len(streams) == len(entries)


def test_many_threads_write_one_order() -> None:
    """C9: what eight threads write has one gapless order, and each thread's own is kept."""
    log = Log()

    def write(writer: int) -> None:
        for number in range(500):
            log.append(Stream.OUTPUT, (writer, number), 0)

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(8)]
    for thread in threads:
        thread.start()

    taken: list[Entry] = []
    while any(thread.is_alive() for thread in threads):
        taken += log.take(ALL)

    for thread in threads:
        thread.join()

    taken += log.take(ALL)
    assert list(range(1, 4001)) == [entry[0] for entry in taken]
    for writer in range(8):
        own = [value for value in values_in(taken) if isinstance(value, tuple)]
        assert list(range(500)) == [number for who, number in own if who == writer]

    assert 0 == log.unread


@pytest.mark.parametrize(
    ("asked", "streams", "as_records"),
    [
        ("output", (Stream.OUTPUT,), False),
        (Stream.ERROR, (Stream.ERROR,), False),
        ("all", ALL, True),
        (["error", Stream.OUTPUT, "error"], (Stream.ERROR, Stream.OUTPUT), True),
        ({Stream.DEBUG}, (Stream.DEBUG,), True),
    ],
)
def test_streams_asked_for(asked: object, streams: Streams, as_records: bool) -> None:
    """One stream means values, several or all mean records."""
    assert (streams, as_records) == streams_of(asked)


@pytest.mark.parametrize("asked", ["outputs", "ALL", [], ["output", "nope"], b"all"])
def test_unknown_streams(asked: object) -> None:
    """An unknown stream, or none at all, is a ValueError."""
    with pytest.raises(ValueError, match="stream"):
        streams_of(asked)


@pytest.mark.parametrize("asked", [None, 1, object()])
def test_what_is_no_stream(asked: object) -> None:
    """What names no stream at all is a TypeError."""
    with pytest.raises(TypeError, match="stream takes"):
        streams_of(asked)


def test_record_is_frozen_and_dated() -> None:
    """A record has its order, an aware time, its stream and its value, and stays so."""
    record = Record.of((7, 0.5, Stream.OUTPUT, "x"))

    assert (7, "1970-01-01T00:00:00.500000+00:00", Stream.OUTPUT, "x") == (
        record.seq,
        record.time.isoformat(),
        record.stream,
        record.value,
    )
    with pytest.raises(AttributeError):
        record.value = 1  # type: ignore[misc]  # what must fail


@pytest.mark.parametrize("stream", Stream)
@pytest.mark.parametrize("is_followed", [False, True])
def test_batch_of_one_stream_is_as_one_by_one(stream: Stream, is_followed: bool) -> None:
    """A batch leaves the log, and its followers, as the same records one by one would."""
    one_by_one, batch = Log(), Log()
    feeds = [log.follow() if is_followed else None for log in (one_by_one, batch)]
    times, values = [1.0, 2.0, 3.0], ["a", "b", "c"]
    for time, value in zip(times, values, strict=True):
        one_by_one.append(stream, value, time)

    batch.extend_one(stream, times, values)
    batch.append(stream, "d", 4.0)
    one_by_one.append(stream, "d", 4.0)
    assert feeds[0] == feeds[1]
    assert one_by_one.unread == batch.unread
    assert one_by_one.take(ALL) == batch.take(ALL)
