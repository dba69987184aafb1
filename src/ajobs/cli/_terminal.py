"""What jobs have written, on its way to stdout and stderr."""

from __future__ import annotations

import io
import json
import os
import re
import select
import sys
from typing import Any, Literal, TextIO

__all__ = ("Printer", "as_bytes", "escaped", "json_line")

# Everything that a terminal may take for an order, but the end of a line and the tabulator.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escaped(data: bytes) -> bytes:
    """Return *data* as text that gives a terminal no orders: they show as Python writes them."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text).encode()


def as_bytes(value: object) -> bytes:
    """Return *value* as what is printed of it, without the end of the line."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)

    return str(value).encode("utf-8", "surrogateescape" if isinstance(value, str) else "replace")


def json_line(schema: str, **fields: Any) -> bytes:
    """Return *fields* as a line of JSON; what JSON does not know is shown as Python does."""
    return json.dumps({"schema": schema, **fields}, default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else repr(value)


class Printer:
    """One of our own standard streams; it waits for whoever reads there."""

    def __init__(self, name: Literal["stdout", "stderr"], *, raw: bool = False) -> None:
        """Print to the stream of this *name*; on a terminal escaped, unless *raw*."""
        self._name = name
        self._stream: TextIO = getattr(sys, name)
        self._fd = _descriptor(self._stream)
        self._escapes = self._stream.isatty() and not raw

    def write(self, *pieces: bytes) -> None:
        """Write *pieces*."""
        shown = [escaped(one) for one in pieces] if self._escapes else pieces
        stream: TextIO = getattr(sys, self._name)
        if stream is not self._stream or self._fd is None:
            # Live bars are at the end of the terminal, and what stands in for the stream writes
            # above them: whole lines, since the bars begin in a new one.
            lines = (one if one.endswith(b"\n") else one + b"\n" for one in shown)
            stream.write(b"".join(lines).decode("utf-8", "backslashreplace"))
            return

        stream.flush()  # what a function in a thread has printed
        # Not through the stream: while somebody waits in there, nobody can flush it at exit.
        _write_all(self._fd, b"".join(shown))


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:  # no file of the system is behind it
        return None


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # somebody else who has it, too, does not want to wait
            select.select([], [fd], [])
