"""Frames: cut anywhere they are the same, damaged anywhere they are an error."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajobs import _wire as wire

Sent = tuple[int, bytes, list[bytes]]

bodies = st.one_of(
    st.binary(max_size=64),
    st.integers(0, 200_000).map(lambda size: bytes(size % 251 for _ in range(size))),
)
frames = st.tuples(st.sampled_from(sorted(wire.KINDS)), bodies, st.lists(bodies, max_size=3)).map(
    lambda sent: (sent[0], sent[1], list(sent[2]))
)


def encoded(sent: Iterable[Sent]) -> bytes:
    """Return what one side sends: the greeting and some frames."""
    parts: list[bytes] = [wire.GREETING]
    for kind, body, buffers in sent:
        views = [memoryview(buffer) for buffer in buffers]
        parts += [bytes(part) for part in wire.encode(kind, body, views)]

    return b"".join(parts)


def fed(decoder: wire.Decoder, data: bytes) -> list[wire.Frame]:
    """Put all of *data* into *decoder* and return the frames."""
    got = []
    rest = memoryview(data)
    while rest:
        space = decoder.space()
        count = min(len(space), len(rest))
        assert count
        space[:count] = rest[:count]
        rest = rest[count:]
        got += decoder.filled(count)

    return got


def plain(got: Iterable[wire.Frame]) -> list[Sent]:
    """Return frames in a form that can be compared."""
    return [(one.kind, bytes(one.body), [bytes(part) for part in one.buffers]) for one in got]


@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 5000), max_size=20))
def test_frames_arrive_whole_however_they_are_cut(sent: list[Sent], cuts: list[int]) -> None:
    """Any frames, in any pieces, come out as they went in."""
    data = encoded(sent)
    decoder = wire.Decoder()
    got = []
    for cut in cuts:
        got += fed(decoder, data[:cut])
        data = data[cut:]

    got += fed(decoder, data)

    assert plain(got) == sent
    decoder.finish()


def test_frames_arrive_whole_byte_by_byte() -> None:
    """Every cut of a stream of small frames is harmless."""
    sent = [(wire.JOB, b"spam" * 9, [b"egg", b""]), (wire.STOP, b"", []), (wire.VALUE, b"x", [])]
    decoder = wire.Decoder()

    got = [frame for byte in encoded(sent) for frame in fed(decoder, bytes([byte]))]

    assert plain(got) == sent


@given(frames, st.data())
def test_a_changed_byte_is_an_error_and_never_another_frame(
    sent: Sent, data: st.DataObject
) -> None:
    """Damage in a head or a body raises at once; it is never waited out or believed."""
    whole = bytearray(encoded([sent]))
    # Buffers are not checked: they are data of the user's, and their size is.
    checked = len(whole) - sum(len(part) for part in sent[2])
    at = data.draw(st.integers(len(wire.GREETING), checked - 1))
    whole[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(wire.WireError):
        fed(wire.Decoder(), bytes(whole))


@given(st.integers(0, len(wire.GREETING) - 1), st.integers(1, 255))
def test_a_changed_greeting_is_an_error(at: int, change: int) -> None:
    """What does not begin as it should is not listened to."""
    whole = bytearray(encoded([(wire.READY, b"", [])] * 3))
    whole[at] ^= change

    with pytest.raises(wire.WireError):
        fed(wire.Decoder(), bytes(whole))


@given(st.lists(frames, min_size=1, max_size=3), st.data())
def test_a_cut_stream_is_an_error_at_its_end(sent: list[Sent], data: st.DataObject) -> None:
    """Whoever dies in the middle of a frame is found out; the frames before it arrived."""
    whole = encoded(sent)
    cut = data.draw(st.integers(0, len(whole) - 1))
    decoder = wire.Decoder()

    got = plain(fed(decoder, whole[:cut]))

    assert got == sent[: len(got)]
    if cut != len(encoded(sent[: len(got)])) or cut == 0:
        with pytest.raises(wire.WireError):
            decoder.finish()


def test_another_version_is_named() -> None:
    """A worker of another version of ajobs is an error that says so."""
    with pytest.raises(wire.WireError, match="version 1 of the protocol"):
        fed(wire.Decoder(), b"\najobs wire 2\n")


@pytest.mark.parametrize("noise", [b"", b"\n", b"Welcome!\n\najobs \n", b"x" * 30_000])
def test_noise_before_the_greeting_is_skipped_where_it_is_allowed(noise: bytes) -> None:
    """A login shell may print what it likes before the first frame."""
    whole = noise + encoded([(wire.READY, b"", [])])

    assert plain(fed(wire.Decoder(noise=30_000), whole)) == [(wire.READY, b"", [])]


def test_noise_is_bounded() -> None:
    """Something that only ever prints is not listened to for ever."""
    with pytest.raises(wire.WireError, match="expected a greeting"):
        fed(wire.Decoder(noise=100), b"y\n" * 200)

    with pytest.raises(wire.WireError, match="expected a greeting"):
        fed(wire.Decoder(), b"Traceback")


def test_a_size_beyond_memory_is_an_error() -> None:
    """A frame that claims an exabyte fails its connection, not the process."""
    head = wire._HEAD.pack(0, wire.VALUE, 0, 1 << 60)

    with pytest.raises(wire.WireError, match="no memory"):
        fed(wire.Decoder(), wire.GREETING + wire._CHECK.pack(crc32(head)) + head)


def test_nothing_is_read_after_damage() -> None:
    """A decoder that has failed once stays failed."""
    decoder = wire.Decoder()
    with pytest.raises(wire.WireError):
        fed(decoder, wire.GREETING + b"\0" * 40)

    with pytest.raises(wire.WireError):
        fed(decoder, encoded([]))
