"""A far end in a subinterpreter: it shares the process with its parent.

Signals, descriptors, directory and environment are the whole process's, so they are left
alone: `print` is caught above the descriptors, and a stop has to be looked for.
"""

from __future__ import annotations

# The C modules alone, as for all that a new interpreter loads.
import _signal  # type: ignore[import-not-found]
import sys
from _io import _TextIOBase
from types import ModuleType

from .channel import Channel
from .end import FarEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def main(fd: int) -> None:
    """Serve the parent on socket *fd* until it wants no more."""
    channel = Channel(fd)
    try:
        InsideEnd(channel, channel.receive()).serve()
    finally:
        channel.close()


class InsideEnd(FarEnd):
    """An interpreter beside others in one process."""

    def prepare(self) -> None:
        self._standard = _Lines(self, "information"), _Lines(self, "error")
        # Python gives out the handlers themselves, objects of the main interpreter that this one
        # counts beside it, unlocked: sooner or later the process dies of that. trio asks for one
        # at each start of a loop, asyncio sometimes.
        _signal.getsignal = _handler
        self.tidy()

    def begin(self, cwd: str) -> None:
        pass

    def keep(self) -> None:
        pass

    def flush(self) -> None:
        for text in self._standard:
            text.flush()

    def end_fork(self, error: BaseException | None) -> None:
        pass

    def tidy(self) -> bool:
        sys.stdout, sys.stderr = self._standard
        sys.modules["__main__"] = ModuleType("__main__")
        return True


def _handler(_number: int) -> None:
    """Say that whatever handles the signal was not installed from here."""


class _Lines(_TextIOBase):
    """Stands in for a standard stream: each line becomes a record of the running job."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, end: FarEnd, stream: str) -> None:
        self._end = end
        self._stream = stream
        self._partial = ""

    def write(self, text: str) -> int:
        *lines, self._partial = (self._partial + text).split("\n")
        self._send(lines)
        return len(text)

    def flush(self) -> None:
        if self._partial and self._end.job is not None:
            partial, self._partial = self._partial, ""
            self._send([partial])

    def close(self) -> None:
        """Stay open: the next job's lines go here too."""
        self.flush()

    def _send(self, lines: Iterable[str]) -> None:
        job = self._end.job
        if job is not None:
            for line in lines:
                job.text(self._stream, line)
