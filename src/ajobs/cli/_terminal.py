"""What jobs have written, on its way to stdout and stderr."""

from __future__ import annotations

import json
import re
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
    """One of our own standard streams."""

    def __init__(self, name: Literal["stdout", "stderr"], *, raw: bool = False) -> None:
        """Print to the stream of this *name*; on a terminal escaped, unless *raw*."""
        self._name = name
        self._stream: TextIO = getattr(sys, name)
        self._escapes = self._stream.isatty() and not raw

    def write(self, data: bytes) -> None:
        """Write *data*, without waiting for more."""
        shown = escaped(data) if self._escapes else data
        stream: TextIO = getattr(sys, self._name)
        if stream is not self._stream:
            # Live bars are at the end of the terminal, and what stands in for the stream writes
            # above them: whole lines, since the bars begin in a new one.
            text = shown.decode("utf-8", "backslashreplace")
            stream.write(text if text.endswith("\n") else f"{text}\n")
            return

        stream.flush()
        stream.buffer.write(shown)
        stream.buffer.flush()
