"""A worker process: its signals, its descriptors, its environment."""

from __future__ import annotations

import os
import sys

# The C module alone: `signal` around it makes enums, at the cost of milliseconds.
from _signal import SIG_IGN, SIGINT, SIGTERM, signal  # type: ignore[import-not-found]
from types import ModuleType

from .channel import Channel
from .end import FarEnd
from .parent import die_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def main(fd: int, death_fd: int) -> None:
    """Serve the parent on socket *fd* until it wants no more."""
    die_with_parent(death_fd)
    channel = Channel(fd)
    WorkerEnd(channel, channel.receive()).serve()


class WorkerEnd(FarEnd):
    """A process that belongs to the running job, descriptors 0 to 2 included."""

    def prepare(self) -> None:
        self._pid = os.getpid()
        self._standard = sys.stdout, sys.stderr
        for text in self._standard:
            text.reconfigure(  # type: ignore[union-attr]  # they are what Python made them
                encoding="utf-8", errors="backslashreplace", line_buffering=True
            )

        # Ctrl-C is for the parent, which stops what it wants to be stopped.
        signal(SIGINT, SIG_IGN)
        self._hook_exit()
        self.keep()
        self.tidy()

    def _hook_exit(self) -> None:
        """Have the records of a job that leaves by `os._exit` sent before it is gone."""
        exit_, own = os._exit, os.getpid()

        def _exit(status: int) -> NoReturn:
            # A process that the job has forked shares the connection and may not use it.
            if self.job is not None and os.getpid() == own:
                self.job.leave()

            exit_(status)

        os._exit = _exit

    def begin(self, cwd: str) -> None:
        os.chdir(cwd)

    def keep(self) -> None:
        self._environment = _environment()
        self._files = self._standard_files()

    def flush(self) -> None:
        for text in (sys.stdout, sys.stderr, *self._standard):
            try:
                text.flush()
            except Exception:  # noqa: BLE001  # closed, or replaced by anything
                continue

    def end_fork(self, error: BaseException | None) -> None:
        if os.getpid() == self._pid:
            return

        status = 0 if error is None else 1
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)

        self.flush()
        os._exit(status)

    def tidy(self) -> bool:
        signal(SIGTERM, self._on_signal)
        sys.stdout, sys.stderr = self._standard
        sys.argv = [""]
        sys.modules["__main__"] = ModuleType("__main__")
        if _environment() != self._environment:
            os.environ.clear()
            os.environb.update(self._environment)

        return self._standard_files() == self._files

    def _standard_files(self) -> list[object]:
        """Return what tells whether descriptors 0 to 2, and what Python made of them, are ours."""
        found: list[object] = [text.closed for text in self._standard]
        for fd in range(3):
            try:
                stat = os.fstat(fd)
            except OSError:
                found.append(None)
            else:
                found.append((stat.st_dev, stat.st_ino))

        return found

    def _on_signal(self, _number: int, frame: FrameType | None) -> None:
        if self.job is not None:
            self.job.interrupt(frame)


def _environment() -> dict[bytes, bytes]:
    # A copy by the front door takes as long as all of the rest between two jobs.
    return os.environ._data.copy()  # type: ignore[attr-defined,no-any-return]
