"""What items have printed, on its way to our own streams: each item's in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from .._terminal import Printer, json_line
from .done import Done

__all__ = ("Output",)

SCHEMA = "ajobs.foreach/1"

_CHUNK = 1 << 18


class Output:
    """Prints what has been done."""

    def __init__(self, *, raw: bool, tag: bool, jsonl: bool) -> None:
        """Print to our own streams."""
        self._out = Printer("stdout", raw=raw or jsonl)
        self._err = Printer("stderr", raw=raw)
        self._tag = tag
        self._jsonl = jsonl

    def show(self, done: Done) -> None:
        """Print *done* and let go of it."""
        try:
            if self._jsonl:
                self._out.write(_json(done))
                return

            tag = f"{done.task.item}\t".encode("utf-8", "surrogateescape") if self._tag else b""
            self._copy(done.stdout, self._out, tag)
            self._copy(done.stderr, self._err, tag)
            if done.error is not None:
                self.say(f"item {done.task.seq} {done.task.item!r}: {done.error}")
        finally:
            done.close()

    def say(self, text: str) -> None:
        """Tell the user something."""
        self._err.write(f"ajobs foreach: {text}\n".encode("utf-8", "surrogateescape"))

    def _copy(self, source: BinaryIO | None, target: Printer, tag: bytes) -> None:
        if source is None:
            return

        for data in _tagged(source, tag) if tag else iter(lambda: source.read(_CHUNK), b""):
            target.write(data)


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
