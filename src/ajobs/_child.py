"""A child process that leads a process group of its own: start, signal, end, exit status.

The status comes from a pidfd, not from the event loop's child watcher: that one loses exit
codes on Python 3.11, and when somebody else collects children. This file knows no jobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import anyio

from ._errors import RunnerUnavailable

#: Seconds that a process may take to end after SIGKILL. It takes milliseconds, unless the
#: process hangs in the kernel, where nothing but a reboot ends it.
KILL_SECONDS = 5.0


def check_platform(what: str) -> None:
    """Raise `RunnerUnavailable` unless processes can be kept here as this library does.

    Args:
        what: What cannot be had otherwise, for the message.
    """
    if not hasattr(os, "pidfd_open"):
        raise RunnerUnavailable(
            f"{what} need Linux 5.3 or newer: this system has no pidfd; use runner='thread'"
        )


def check_directory(cwd: str | os.PathLike[str] | None) -> str | None:
    """Return *cwd* as an absolute path, checked at the call that brought it.

    Raises:
        FileNotFoundError: It does not exist.
        NotADirectoryError: It is no directory.
        ValueError: It is empty.
        TypeError: It is no path.
    """
    if cwd is None:
        return None

    if not isinstance(cwd, str | os.PathLike):
        raise TypeError(f"cwd must be text or a path, not {cwd!r:.80}")

    text = os.fspath(cwd)
    if not text.strip():
        raise ValueError(f"cwd must be a directory, not {text!r}")

    path = Path(text).absolute()
    if not path.exists():
        raise FileNotFoundError(2, "cwd does not exist", str(path))

    if not path.is_dir():
        raise NotADirectoryError(20, "cwd is not a directory", str(path))

    return str(path)


def check_argv(argv: object) -> list[str | bytes | os.PathLike[Any]]:
    """Return a copy of *argv*, checked at the call that brought it.

    Raises:
        TypeError: It is one string, or holds something else than arguments.
        ValueError: It is empty, or the system has no way to pass something in it on.
    """
    if isinstance(argv, str | bytes | os.PathLike) or not isinstance(argv, Sequence):
        raise TypeError(
            f"argv must be a list of the program and its arguments, not {argv!r:.80}: no shell "
            f"takes it apart"
        )

    for one in argv:
        if not isinstance(one, str | bytes | os.PathLike):
            raise TypeError(f"an argument of a program must be text or a path, not {one!r:.80}")

        if b"\0" in os.fsencode(one):
            raise ValueError(f"an argument of a program cannot hold a NUL character: {one!r:.80}")

    if not argv or not os.fspath(argv[0]):
        raise ValueError("argv is empty: it begins with the program")

    return list(argv)


def check_environment(env: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return a copy of *env*, checked at the call that brought it; None stays None.

    Raises:
        TypeError: It is no mapping of text to text.
        ValueError: The system has no way to pass something in it on.
    """
    if env is None:
        return None

    if not isinstance(env, Mapping):
        raise TypeError(f"env must be a mapping of names to text, not {env!r:.80}")

    for name, value in env.items():
        for text in name, value:
            if not isinstance(text, str | bytes | os.PathLike):
                raise TypeError(f"env must hold text: {name!r:.80} is {value!r:.80}")

            if b"\0" in os.fsencode(text):
                raise ValueError(f"env cannot hold a NUL character: {name!r:.80} has one")

        if not name or b"=" in os.fsencode(name):
            raise ValueError(f"env cannot hold a variable of the name {name!r:.80}")

    return dict(env)


class Ends(Protocol):
    """What has descriptors that a fork of this process must not keep open."""

    def close_after_fork(self) -> object:
        """Close them, in the new process."""


#: Everything open, for the hook below: a forked child of the user's program would otherwise
#: hold our ends of the pipes, and a worker would not notice that its parent has died.
_open: weakref.WeakSet[Ends] = weakref.WeakSet()


def close_in_forks(one: Ends) -> None:
    """Have *one* closed in every process that forks off this one from now on."""
    _open.add(one)


def _forked() -> None:
    for one in list(_open):
        with suppress(OSError):
            one.close_after_fork()

    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Child:
    """A running program.

    Attributes:
        pid: Its process id, which is also the id of its group.
        returncode: Its exit code, -N if signal N killed it. None while it runs, and when
            something else in this program has collected it.
        is_reaped: True once it has ended and is gone from the table of processes.
    """

    def __init__(
        self,
        argv: Sequence[str | bytes | os.PathLike[Any]],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        cwd: str | None,
        env: Mapping[str, str] | None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it, in a session and a group of its own, where no Ctrl-C reaches it.

        Raises:
            OSError: The program cannot be started.
        """
        self.returncode: int | None = None
        self.is_reaped = False
        self._has_ended = False
        self._popen = subprocess.Popen(  # what to run is the caller's business
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=env,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            # Over already, and collected by the system: SIGCHLD is ignored here.
            self._has_ended = True
            self._pidfd, end = os.pipe()
            os.close(end)
        except OSError:
            # Too many files are open, or it was collected already: do not leave it alone.
            self._popen.kill()
            self._popen.wait()
            raise

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._pidfd

    def send_signal(self, number: int) -> None:
        """Send a signal to the process itself, if it still runs."""
        if not self.has_ended:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and to all that it has started in its group."""
        # Not reaped yet, so no other process can have got the number, by us at least.
        if not self.is_reaped and not self._lost_number():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _lost_number(self) -> bool:
        """Tell whether somebody else has collected the process and another one has its number."""
        if not self.has_ended or self.returncode is not None:
            return False

        # As long as something runs in the group, no new process can get the number.
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass

        return True

    def kill(self) -> None:
        """Kill the group at once."""
        self.signal_group(signal.SIGKILL)

    @property
    def has_ended(self) -> bool:
        """True once the process itself has ended; then `returncode` tells how."""
        if self.is_reaped or self._has_ended:
            return True

        try:
            # Left in the table: while it is there, its number means this group and no other.
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            result = os.waitid(os.P_PIDFD, self._pidfd, flags)
        except ChildProcessError:
            self._has_ended = True
        else:
            if result is not None:
                self._has_ended = True
                exited = result.si_code == os.CLD_EXITED
                self.returncode = result.si_status if exited else -result.si_status

        return self._has_ended

    async def ended(self, seconds: float = KILL_SECONDS) -> bool:
        """Wait *seconds* for its end, whatever is cancelled meanwhile; return whether it came."""
        with anyio.move_on_after(seconds, shield=True):
            while not self.has_ended:
                await self._readable()

        return self.has_ended

    async def _readable(self) -> None:
        try:
            await anyio.wait_readable(self._pidfd)
        except (OSError, MemoryError):
            # The system cannot watch one more descriptor: nobody must be left behind for that.
            await anyio.sleep(0.01)

    async def finish(self) -> None:
        """Kill what is left of the group and wait for the process."""
        self.kill()
        await self.ended()

    def reap(self) -> None:
        """Take the ended process off the table, and let go of it."""
        if self.is_reaped:
            return

        # What it has started since.
        self.kill()
        self.is_reaped = True
        with suppress(OSError):
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)

        # Popen must not look for it any more, nor complain that nobody did.
        self._popen.returncode = self.returncode or 0
        os.close(self._pidfd)

    async def end(self) -> None:
        """Kill what is left of the group, wait for the process, and let go of it."""
        try:
            await self.finish()
        finally:
            self.reap()

    def abandon(self) -> None:
        """Kill the group, wait for the process right here, and let go: its start was broken off."""
        self.kill()
        with suppress(OSError):
            # By its number: a pidfd that does not block would not wait.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

        self.reap()


def open_pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Open a pipe, its ends to be closed by two owners; return the reading and the writing end."""
    out, into = os.pipe()
    reader.callback(os.close, out)
    writer.callback(os.close, into)
    return out, into


def how_it_ended(returncode: int | None, *, for_memory: bool | None = None) -> str:
    """Say for people how a process with this *returncode* ended.

    Args:
        returncode: As `Child.returncode`.
        for_memory: Whether the system has killed something for want of memory since the
            process began; None: it does not tell.
    """
    if returncode is None:
        return (
            "its exit code is unknown, since something else in this program collected it "
            "(SIGCHLD ignored, or os.waitpid(-1))"
        )

    if returncode >= 0:
        return f"exit code {returncode}"

    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"

    if name != "SIGKILL" or for_memory is False:
        return f"killed by {name}"

    return f"killed by {name}, {'' if for_memory else 'perhaps '}by the system for want of memory"
