"""A place for jobs that is a process: started by us, fed by us, ended by us."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGTERM

import anyio

from ._child import Child, close_in_forks, how_it_ended, open_pipe
from ._lines import TextLines
from ._link import Link
from ._logs import logger
from ._memory import oom_kills
from ._payload import dumps
from ._place import OnEnd, Place
from ._poll import Poll
from ._printed import Printed
from ._records import Stream
from ._wire import SETUP, encode
from ._worker import boot
from ._worker.boot import command_line

#: Seconds that an idle worker may take to end when it is told to: its exit hooks run.
EXIT_SECONDS = 1.0


def _search_path() -> Iterator[str]:
    for entry in sys.path:
        if entry:
            yield entry
        else:
            # The current directory, which is another one over there; it may have been removed.
            with suppress(FileNotFoundError):
                yield os.getcwd()  # noqa: PTH109  # as text


def setup_frame(initializer: bytes | None = None) -> bytes:
    """Return the body of the first frame of a worker of this program."""
    path = list(_search_path())
    return dumps({"path": path, "depth": boot.depth + 1, "initializer": initializer}, 5)


class WorkerProcess(Place):
    """One worker process, and all that connects it to this one.

    Attributes:
        child: The process.
    """

    can_be_killed = True

    def __init__(
        self,
        setup: bytes,
        env: Mapping[str, str] | None = None,
        out: Stream = Stream.INFORMATION,
        start_timeout: float = math.inf,
    ) -> None:
        """Start it. It needs a moment until it reads; what is sent before waits for it.

        Args:
            setup: The body of its first frame.
            env: Its environment; None for this process's own.
            out: The stream for what its jobs print.
            start_timeout: Seconds in which it has to be ready for a job.

        Raises:
            OSError: It cannot be started, for want of descriptors, processes or memory.
        """
        with ExitStack() as theirs, ExitStack() as ours:
            near, far = socket.socketpair()
            ours.callback(near.close)
            theirs.callback(far.close)
            # Its other end closes when this process ends, and never before the worker.
            death, self._death_in = open_pipe(theirs, ours)
            printed, printed_in = open_pipe(ours, theirs)
            errors, errors_in = open_pipe(ours, theirs)
            poll = Poll()
            ours.callback(poll.close)
            self._oom_kills = oom_kills()
            self.child = Child(
                command_line("serve", far.fileno(), death),
                stdin=subprocess.DEVNULL,
                stdout=printed_in,
                stderr=errors_in,
                cwd=None,
                env=env,
                pass_fds=(far.fileno(), death),
            )
            self._opened = ours.pop_all()

        for fd in (near.fileno(), self.child.fileno(), printed, errors):
            os.set_blocking(fd, False)
            poll.add(fd)

        lines = {printed: (out, TextLines("utf-8")), errors: (Stream.ERROR, TextLines("utf-8"))}
        super().__init__(Link(near), poll, Printed(poll, lines), start_timeout)
        close_in_forks(self)
        self.link.send(encode(SETUP, setup))

    @property
    def label(self) -> str:
        return f"worker process {self.child.pid}"

    @property
    def end_fd(self) -> int:
        return self.child.fileno()

    @property
    def has_ended(self) -> bool:
        return self.child.has_ended

    @property
    def memory(self) -> float:
        try:
            pages = Path(f"/proc/{self.child.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0

        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def interrupt(self) -> None:
        self.child.send_signal(SIGTERM)

    def kill(self) -> None:
        self.child.kill()

    async def autopsy(self, why: str | None, dying: float) -> tuple[str, int | None]:
        died = await self.child.ended(dying)
        await self.child.end()
        code = self.child.returncode
        return (why if why and not died else self._how_it_ended()), code

    def _how_it_ended(self) -> str:
        now = oom_kills()
        known = now is not None and self._oom_kills is not None
        return how_it_ended(
            self.child.returncode, for_memory=now != self._oom_kills if known else None
        )

    async def end(self) -> None:
        self.link.finish()
        try:
            await self._let_end()
        finally:
            await self.give_up()

    async def _let_end(self) -> None:
        with anyio.move_on_after(EXIT_SECONDS, shield=True):
            while not self.child.has_ended:
                await self.wait()
                for fd in self.poll.ready():
                    if fd in self.printed:
                        self.poll.read(fd)
                    elif fd == self.link.fileno():
                        self.poll.remove(fd)

        if self.child.has_ended and self.child.returncode:
            # In an exit hook, or while nothing ran: no job can tell of it.
            logger().warning("%s ended without a job: %s", self.label, self._how_it_ended())

    async def give_up(self) -> None:
        try:
            await self.child.end()
        finally:
            self.link.close()
            self._opened.close()

    def leave(self, on_end: OnEnd) -> None:
        raise AssertionError("a process can be killed")

    def close_after_fork(self) -> None:
        """Close what would keep the worker from noticing its parent's death, and no more.

        What the event loop watches is shared with the process that goes on.
        """
        os.close(self._death_in)
        self.link.close()
