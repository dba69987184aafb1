"""The lines in what a program writes, however its bytes arrive.

Pure: bytes in, lines out. A line may be of any length and hold any bytes.
"""

from __future__ import annotations

import codecs

#: A longer line comes in pieces of this size: a program that never ends its line must not
#: fill the memory.
LONGEST_LINE = 1 << 20


def check_encoding(encoding: str | None) -> str | None:
    """Return the name of *encoding* as Python has it; None, for bytes, stays None.

    Raises:
        TypeError: It is no name.
        LookupError: No such encoding is known.
    """
    if encoding is None:
        return None

    if not isinstance(encoding, str):
        raise TypeError(
            f"encoding must be the name of one, or None for bytes, not {encoding!r:.80}"
        )

    return codecs.lookup(encoding).name


class TextLines:
    """Cuts bytes into lines of text, without their ends.

    Bytes that are not text in the encoding appear as backslash escapes.
    """

    __slots__ = ("_decoder", "_held", "_size")

    def __init__(self, encoding: str) -> None:
        """Begin.

        Raises:
            LookupError: No such encoding is known.
        """
        # Decoded before it is cut: in some encodings a byte of value 10 ends no line, and
        # everywhere a character may be split between two reads.
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")
        self._held: list[str] = []
        self._size = 0

    @property
    def is_between(self) -> bool:
        """True when nothing of an unfinished line is held."""
        return not self._size and not self._decoder.getstate()[0]

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        """Return the lines that *data* completes; with *final*, the unfinished one too."""
        first, *others = self._decoder.decode(data, final).split("\n")
        self._held.append(first)
        self._size += len(first)
        lines: list[str] = []
        if others:
            lines.append(self._joined())
            *whole, last = others
            lines += whole
            self._held, self._size = [last], len(last)

        if final and self._size:
            lines.append(self._joined())
            self._held, self._size = [], 0

        ended = [piece for line in lines for piece in _pieces(line.removesuffix("\r"))]
        return ended + self._cut_off() if self._size > LONGEST_LINE + 1 else ended

    def _cut_off(self) -> list[str]:
        """Return the pieces that the unfinished line has given by now.

        Two characters stay at least: they may be its last one and half of its end.
        """
        line = self._joined()
        cut = (len(line) - 2) // LONGEST_LINE * LONGEST_LINE
        self._held, self._size = [line[cut:]], len(line) - cut
        return _pieces(line[:cut])

    def _joined(self) -> str:
        return "".join(self._held)


class ByteLines:
    """Cuts bytes into lines of bytes, without their ends."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        """Begin."""
        # Latin-1 is one character for one byte, there and back.
        self._text = TextLines("latin-1")

    @property
    def is_between(self) -> bool:
        """True when nothing of an unfinished line is held."""
        return self._text.is_between

    def feed(self, data: bytes, *, final: bool = False) -> list[bytes]:
        """Return the lines that *data* completes; with *final*, the unfinished one too."""
        return [line.encode("latin-1") for line in self._text.feed(data, final=final)]


def _pieces(line: str) -> list[str]:
    if len(line) <= LONGEST_LINE:
        return [line]

    return [line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE)]
