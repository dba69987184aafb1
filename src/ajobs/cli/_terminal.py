"""What jobs have written, on its way to stdout and stderr."""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

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

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        """Print to *stream*; on a terminal escaped, unless *raw*."""
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._escapes = self.is_terminal and not raw

    def write(self, data: bytes) -> None:
        """Write *data*, without waiting for more."""
        self._stream.flush()
        buffer = self._stream.buffer
        buffer.write(escaped(data) if self._escapes else data)
        buffer.flush()
