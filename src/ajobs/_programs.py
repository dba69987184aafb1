"""Many short programs, run by one small process of ours: see `_worker.launch` for the other end.

A command *job* has records, an input and states; a program here has an exit code and what it
printed, and costs a tenth of that. This file knows no jobs.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, TypeVar

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from ._child import Child, check_platform, close_in_forks, how_it_ended
from ._errors import WorkerDied
from ._poll import Poll
from ._worker.boot import command_line
from ._worker.launch import ASK, ERRORS_FILE, FAILED, OUTPUT_FILE, TELL, ZERO

__all__ = ("Programs", "Ran")

T = TypeVar("T")

#: Bytes that are read in one go, and how often before somebody else gets a turn.
_CHUNK = 1 << 18
_TURN = 16

#: Seconds between the first sign of a death and the death.
_DYING_SECONDS = 0.5

#: Most files that come with one message.
_MOST_FILES = 2


class Ran(NamedTuple):
    """How a program has run.

    Attributes:
        returncode: Its exit code; -N if signal N ended it.
        began: When it was started, in seconds since 1970.
        seconds: How long it ran.
        stdout: What it has printed, to be read and closed.
        stderr: The same of its standard error.
        is_late: True if it was ended because its time was over.
    """

    returncode: int
    began: float
    seconds: float
    stdout: BinaryIO
    stderr: BinaryIO
    is_late: bool = False

    def close(self) -> None:
        """Let go of what it has printed."""
        self.stdout.close()
        self.stderr.close()


class _Waiter:
    """Who waits for a program."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.outcome: Ran | OSError | WorkerDied | None = None

    def tell(self, outcome: Ran | OSError | WorkerDied) -> None:
        self.outcome = outcome
        self.event.set()

    def close(self) -> None:
        if isinstance(self.outcome, Ran):
            self.outcome.close()


class Programs:
    """Runs programs while it is entered; each is an argument list, never a shell.

    Their standard input is empty. They share the directory and the environment that this process
    had on entering. Leave it when none of them runs any more.
    """

    def __init__(self, most: int = 1 << 30, grace: float = 5.0) -> None:
        """Make it; nothing runs yet.

        Args:
            most: How many run at once; the others wait their turn over there.
            grace: Seconds between SIGTERM and SIGKILL for a program whose `run` is cancelled.
        """
        check_platform("programs")
        self._most = most
        self._grace = grace
        self._up = _Waiter()
        self._waiters: dict[int, _Waiter] = {0: self._up}
        self._last = 0
        self._outbox: deque[bytes] = deque()
        self._inbox = bytearray()
        self._files: deque[list[int]] = deque()  # for each message that comes with some
        self._died: WorkerDied | None = None
        self._tasks: TaskGroup
        self._listening = CancelScope(shield=True)

    async def __aenter__(self) -> Self:
        """Start the process that runs them."""
        with ExitStack() as theirs, ExitStack() as ours:
            near, far = socket.socketpair()
            ours.callback(near.close)
            theirs.callback(far.close)
            self._poll = Poll()
            ours.callback(self._poll.close)
            self._child = Child(
                command_line("launch", far.fileno(), self._most),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=2,
                cwd=None,
                env=None,
                pass_fds=(far.fileno(),),
            )
            self._opened = ours.pop_all()

        near.setblocking(False)
        self._socket = near
        self._poll.add(near)
        close_in_forks(self)
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the process end."""
        self._listening.cancel()
        try:
            # It only listens: what the block raised is not its business.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._opened.close()
            for files in self._files:
                _close(files)

            await self._child.ended(1.0)
            await self._child.end()

    def close_after_fork(self) -> None:
        """Close what would keep the process from noticing our death."""
        self._socket.close()

    async def run(self, argv: Sequence[str], timeout: float | None = None) -> Ran:
        """Run a program to its end; cancelling ends it, with all that it has started.

        Args:
            argv: The program and its arguments.
            timeout: Seconds after which it is ended; what it has printed stays.

        Raises:
            OSError: It cannot be started, or too many files are open to take what it has printed.
            WorkerDied: The process that runs them has died, and it with them.
        """
        if timeout is not None:
            await self._up.event.wait()

        if self._died is not None:
            raise self._died

        body = _packed(argv)
        self._last = number = self._last + 1
        self._waiters[number] = waiter = _Waiter()
        self._send(ASK.pack(len(body), number, 0) + body)
        try:
            if timeout is None:
                await waiter.event.wait()
            else:
                with anyio.move_on_after(timeout):
                    await waiter.event.wait()
        except BaseException:
            await self._stop(number, waiter)
            waiter.close()
            raise

        is_late = not waiter.event.is_set()
        if is_late:
            await self._stop(number, waiter)

        match waiter.outcome:
            case Ran() as ran:
                return ran._replace(is_late=is_late)
            case OSError(errno=errno.ECANCELED) if is_late:
                return Ran(-signal.SIGTERM, time.time(), 0.0, io.BytesIO(), io.BytesIO(), True)
            case error:
                assert error is not None
                raise error

    async def _stop(self, number: int, waiter: _Waiter) -> None:
        with CancelScope(shield=True):
            self._send(ASK.pack(0, number, signal.SIGTERM))
            with anyio.move_on_after(self._grace):
                await waiter.event.wait()

            self._send(ASK.pack(0, number, signal.SIGKILL))
            await waiter.event.wait()

    def _send(self, message: bytes) -> None:
        """Send what fits, and keep the rest until there is room."""
        self._outbox.append(message)
        self._flush()

    def _flush(self) -> None:
        while self._outbox:
            try:
                sent = self._socket.send(self._outbox[0])
            except BlockingIOError:
                break
            except OSError:
                self._outbox.clear()  # its end is noticed by reading
                break

            if sent < len(self._outbox[0]):
                self._outbox[0] = self._outbox[0][sent:]
            else:
                self._outbox.popleft()

        self._poll.watch_writing(self._socket.fileno(), on=bool(self._outbox))

    async def _listen(self) -> None:
        """Hear how programs have ended, until the process that runs them has."""
        # Shielded: who is cancelled still waits for the end of programs. Leaving ends it.
        with self._listening:
            how = "it fell silent"
            try:
                while self._receive():
                    await self._poll.wait()
                    self._flush()
            except Exception as exc:  # noqa: BLE001  # without this everybody would wait for ever
                how = f"it cannot be heard any more: {exc!r}"

            await self._mourn(how)

    async def _mourn(self, how: str) -> None:
        """Tell everybody that the process which ran their programs has died."""
        await self._child.ended(_DYING_SECONDS)
        if self._child.has_ended:
            how = how_it_ended(self._child.returncode)

        self._died = WorkerDied(f"the process that runs the programs has ended: {how}")
        self._child.kill()
        _kill_session(self._child.pid)
        for waiter in self._waiters.values():
            waiter.tell(self._died)

        self._waiters.clear()

    def _receive(self) -> bool:
        """Take what has come; return whether more may come."""
        for _ in range(_TURN):
            try:
                data, files, flags, _ = socket.recv_fds(
                    self._socket, _CHUNK, _MOST_FILES, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return True
            except OSError:
                return False

            if not data:
                return False

            if files or flags & socket.MSG_CTRUNC:
                self._files.append(files)

            self._inbox += data
            while (size := self._take()) is not None:
                del self._inbox[:size]

        return True

    def _take(self) -> int | None:
        """Tell what the first message says; return its size, or None if more of it is to come."""
        if len(self._inbox) < TELL.size:
            return None

        number, code, what, began, seconds, *sizes = TELL.unpack_from(self._inbox)
        follows = [0 if what & file else size for file, size in _in_order(sizes)]
        first, end = TELL.size + follows[0], TELL.size + sum(follows)
        if len(self._inbox) < end:
            return None

        texts = (self._inbox[TELL.size : first], self._inbox[first:end])
        wanted = (what & (OUTPUT_FILE | ERRORS_FILE)).bit_count()
        files = self._files.popleft() if wanted else []
        waiter = self._waiters.pop(number)
        if what & FAILED:
            waiter.tell(OSError(code, os.strerror(code)))
        elif len(files) < wanted:
            # The system drops what this process cannot open.
            _close(files)
            waiter.tell(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
        else:
            printed = [
                os.fdopen(files.pop(0), "rb") if what & file else io.BytesIO(text)
                for file, text in _in_order(texts)
            ]
            waiter.tell(Ran(code, began, seconds, printed[0], printed[1]))

        return end


def _packed(argv: Sequence[str]) -> bytes:
    words = [os.fsencode(one) for one in argv]
    if any(ZERO in word for word in words):
        raise OSError(errno.EINVAL, "an argument holds a null byte")

    return ZERO.join(words)


def _in_order(pair: Sequence[T]) -> zip[tuple[int, T]]:
    """Name what is in *pair*, about output and errors, by the flag of its file."""
    return zip((OUTPUT_FILE, ERRORS_FILE), pair, strict=True)


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


def _kill_session(leader: int) -> None:
    """Kill every process of the session of *leader*, which has died and left them alone."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            session = stat.read_text(errors="replace").rpartition(") ")[2].split()[3]
            if int(session) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)
