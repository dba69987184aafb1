"""Python's log records as lines of a job's streams."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ._records import Stream


class LogRouter(logging.Handler):
    """Gives each log record, as text and with its stream, to *write* instead of a file."""

    def __init__(self, write: Callable[[Stream, str], object]) -> None:
        """Hand everything to *write*, which knows whom it is for."""
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record."""
        self._write(_stream_of(record.levelno), self.format(record))


def _stream_of(level: int) -> Stream:
    if level >= logging.ERROR:
        return Stream.ERROR

    if level >= logging.WARNING:
        return Stream.WARNING

    return Stream.VERBOSE if level >= logging.INFO else Stream.DEBUG
