"""What the code inside a job prints, routed to the job's streams by context.

Nothing global is touched until somebody asks, and everything is put back when the last one
has finished. This file knows the context of a job, not jobs.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

from ._context import JobContext, current_context
from ._logs import logger
from ._records import Stream

if TYPE_CHECKING:
    from ._log_router import LogRouter

__all__ = ("capture",)


class _Captured:
    """One block that captures: where its lines go, and the line that is not complete yet."""

    def __init__(self, context: JobContext) -> None:
        self.context = context
        self._partial = {Stream.INFORMATION: "", Stream.ERROR: ""}

    def write(self, stream: Stream, text: str) -> None:
        *lines, self._partial[stream] = (self._partial[stream] + text).split("\n")
        for line in lines:
            self.context.text(stream, line)

    def flush(self) -> None:
        for stream, line in self._partial.items():
            if line:
                self.context.text(stream, line)
                self._partial[stream] = ""


_captured: ContextVar[_Captured | None] = ContextVar("ajobs_captured", default=None)


class _Router:
    """Stands in for ``sys.stdout`` or ``sys.stderr``; outside of captures it is transparent."""

    def __init__(self, original: TextIO, stream: Stream) -> None:
        self.original = original
        self._stream = stream

    def write(self, text: str) -> int:
        captured = _captured.get()
        if captured is None:
            return self.original.write(text)

        captured.write(self._stream, text)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def _route_log(stream: Stream, line: str) -> None:
    captured = _captured.get()
    if captured is not None:
        captured.context.text(stream, line)


class _Hooks:
    """The process-wide hooks, in place while at least one block captures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._log_router: LogRouter | None = None
        self._show_warning: Any = None

    def add_user(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._install()

    def drop_user(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._remove()

    def _install(self) -> None:
        sys.stdout = _Router(sys.stdout, Stream.INFORMATION)
        sys.stderr = _Router(sys.stderr, Stream.ERROR)
        from ._log_router import LogRouter  # loads `logging`

        self._log_router = LogRouter(_route_log)
        logger("").addHandler(self._log_router)
        self._show_warning = warnings.showwarning
        warnings.showwarning = self._route_warning

    def _remove(self) -> None:
        # Whoever has replaced one of them meanwhile keeps it: only our own are put back.
        if isinstance(sys.stdout, _Router):
            sys.stdout = sys.stdout.original

        if isinstance(sys.stderr, _Router):
            sys.stderr = sys.stderr.original

        if self._log_router is not None:
            logger("").removeHandler(self._log_router)

        if warnings.showwarning == self._route_warning:
            warnings.showwarning = self._show_warning

    def _route_warning(
        self, message: Warning | str, category: type[Warning], *where: Any, **more: Any
    ) -> None:
        captured = _captured.get()
        if captured is None:
            self._show_warning(message, category, *where, **more)
        else:
            captured.context.text(Stream.WARNING, f"{category.__name__}: {message}")


_hooks = _Hooks()


@contextmanager
def capture() -> Iterator[None]:
    """Send what this block prints to the streams of the current job.

    Inside ``with ajobs.capture():`` lines of ``print`` become information records, lines on
    ``sys.stderr`` error records that do not set `Job.had_errors`, ``warnings`` warning
    records, and ``logging`` records go by their level to error, warning, verbose (INFO) or
    debug. The block, what it awaits and the threads that anyio starts for it are captured;
    other tasks and threads print as before. Process jobs need no capture.

    Raises:
        NoCurrentJob: No job runs here.
    """
    captured = _Captured(current_context())
    _hooks.add_user()
    token = _captured.set(captured)
    try:
        yield
    finally:
        _captured.reset(token)
        captured.flush()
        _hooks.drop_user()
