"""What items have printed, as pieces for our own streams: each item's in one row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from .._terminal import Printer, json_line
from .._writer import Piece
from .done import Done

__all__ = ("Output",)

SCHEMA = "ajobs.foreach/1"

_CHUNK = 1 << 18


class Output:
    """Makes pieces of what has been done."""

    def __init__(self, *, raw: bool, tag: bool, jsonl: bool) -> None:
        """Print to our own streams."""
        self._out = Printer("stdout", raw=raw or jsonl)
        self._err = Printer("stderr", raw=raw)
        self._tag = tag
        self._jsonl = jsonl

    def of(self, done: Done) -> Iterator[Piece]:
        """Yield what there is to print of *done*, and let go of it."""
        try:
            if self._jsonl:
                yield self._out, _json(done)
                return

            tag = f"{done.task.item}\t".encode("utf-8", "surrogateescape") if self._tag else b""
            for source, printer in ((done.stdout, self._out), (done.stderr, self._err)):
                for data in _read(source, tag):
                    yield printer, data

            if done.error is not None:
                yield self.word(f"item {done.task.seq} {done.task.item!r}: {done.error}")
        finally:
            done.close()

    def line(self, text: str) -> Piece:
        """Return a line of data."""
        return self._out, f"{text}\n".encode("utf-8", "surrogateescape")

    def word(self, text: str) -> Piece:
        """Return a line for the user."""
        return self._err, f"ajobs foreach: {text}\n".encode("utf-8", "surrogateescape")


def _read(source: BinaryIO | None, tag: bytes) -> Iterator[bytes]:
    if source is None:
        return iter(())

    return _tagged(source, tag) if tag else iter(lambda: source.read(_CHUNK), b"")


def _tagged(source: BinaryIO, tag: bytes) -> Iterator[bytes]:
    """Yield the lines of *source* with *tag* before each, many at a time."""
    while lines := source.readlines(_CHUNK):
        yield tag + tag.join(lines)


def _json(done: Done) -> bytes:
    return json_line(
        SCHEMA,
        seq=done.task.seq,
        item=done.task.item,
        command=done.command,
        succeeded=done.succeeded,
        exit=done.exit,
        signal=done.signal,
        error=done.error,
        began=datetime.fromtimestamp(done.began, UTC).isoformat(),
        seconds=round(done.seconds, 6),
        stdout=None if done.stdout is None or done.values is not None else done.stdout.read(),
        stderr=None if done.stderr is None else done.stderr.read(),
        values=done.values,
    )
