"""What the code of an item may call, and how an item is named in errors.

An item is no job: what it writes as output is a result, and its other streams go to the job
that made the call, or to a logger where there is none.
"""

from __future__ import annotations

import logging
import reprlib
from abc import abstractmethod
from collections.abc import Awaitable
from typing import Any, Final

from .._context import WRITTEN, JobContext
from .._far_messages import NoInput
from .._records import Stream

LOGGER = logging.getLogger("ajobs.foreach")

LEVELS: Final = {
    Stream.ERROR: logging.ERROR,
    Stream.WARNING: logging.WARNING,
    Stream.INFORMATION: logging.INFO,
    Stream.VERBOSE: logging.DEBUG,
    Stream.DEBUG: logging.DEBUG,
    Stream.PROGRESS: logging.DEBUG,
}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def name_of(index: int, item: object) -> str:
    """Name an item for people, in bounded length, whatever its `repr` does."""
    try:
        text = _short.repr(item)
    except (Exception, SystemExit):  # noqa: BLE001  # naming an error must not raise another
        text = f"<{type(item).__name__}>"

    return f"item {index}: {text[:200]}"


class ItemContext(JobContext):
    """The place of one worker, as the code of its items sees it.

    Items take turns in it: a worker runs one at a time.

    Attributes:
        index: The item that runs here now.
        item: The same, itself.
    """

    __slots__ = ("_caller", "index", "item")

    def __init__(self, caller: JobContext | None) -> None:
        """Pass what is no result on to *caller*, the context of the job that made the call."""
        self._caller = caller
        self.index = -1
        self.item: Any = None

    @abstractmethod
    def _result(self, value: object) -> Awaitable[None]:
        """Take one result of the current item."""

    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        if stream is Stream.OUTPUT:
            return self._result(value)

        if self._caller is not None:
            return self._caller.write(stream, value)

        LOGGER.log(LEVELS[stream], "%s: %s", name_of(self.index, self.item), value)
        return WRITTEN

    def job_input(self) -> NoInput:
        return NoInput()
