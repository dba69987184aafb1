"""A small process that runs many short programs for its parent, and ends with it.

A program in a process group of its own costs a fifth of a millisecond here, where a job with
two pipes, a watchdog and an event loop behind it costs several. What a program prints goes to
files without a name, so that it never waits for a reader; the parent gets it when the program
has ended: the text itself if it is short, the open file if it is long.

What a program has left running in its group ends with it. When the parent is gone, all of them
are killed.
"""

from __future__ import annotations

# The C modules alone: what stands around them costs milliseconds.
import _signal  # type: ignore[import-not-found]
import _socket
import errno
import os
import select
import time
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: From the parent: the size of what follows, the number of a program, and a signal for it;
#: 0 to start it, and the program and its arguments follow.
ASK = Struct("<IIi")

#: To the parent: the number, the exit code (-N: signal N), what follows, when it began (seconds
#: since 1970), how many seconds it ran, and the sizes of its output and of its errors.
TELL = Struct("<IiBddQQ")

# What follows.
FAILED = 1  #: Nothing: it could not be started, and the code is the error's number.
OUTPUT_FILE = 2  #: Its output comes as an open file; otherwise it follows.
ERRORS_FILE = 4  #: So do its errors.

#: Output up to this size goes with the message.
SHORT = 1 << 15

#: What the system says when there is no room for one more program or file.
_FULL = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})

#: Between the arguments, which cannot hold it.
ZERO = b"\0"

#: Python ignores these, and a program would inherit that.
_DEFAULT = ("SIGPIPE", "SIGXFSZ")


class _Program:
    """A program that runs."""

    __slots__ = ("began", "clock", "files", "number")

    def __init__(self, number: int, files: tuple[int, int], began: float, clock: float) -> None:
        self.number = number
        self.files = files
        self.began = began
        self.clock = clock


class Launcher:
    """Starts what it is asked for and tells how it ended."""

    def __init__(self, fd: int, most: int) -> None:
        """Serve the parent at the other end of socket *fd*; run *most* programs at once."""
        self._most = most
        self._waiting: dict[int, list[bytes]] = {}  # arguments by number, in order
        self._unsent: list[bytes] = []
        os.set_inheritable(fd, False)
        self._socket = _socket.socket(fileno=fd)
        self._asked = b""
        self._programs: dict[int, _Program] = {}  # by process id
        self._groups: dict[int, int] = {}  # process ids by number
        self._paths: dict[bytes, bytes] = {}
        self._default = [getattr(_signal, name) for name in _DEFAULT]
        self._environment = dict(os.environb)
        self._folder = os.environ.get("TMPDIR") or "/tmp"  # files without a name
        self._woken, woken_in = os.pipe()
        for end in (self._woken, woken_in):
            os.set_blocking(end, False)

        # Handlers that do nothing, since what is ignored would be ignored by the programs too.
        for number in (_signal.SIGCHLD, _signal.SIGINT, _signal.SIGTERM):
            _signal.signal(number, lambda *_: None)

        _signal.set_wakeup_fd(woken_in, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Work until the parent is gone."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        try:
            # Number 0 is no program: the parent's clocks may start.
            self._socket.sendall(TELL.pack(0, 0, FAILED, time.time(), 0, 0, 0))
            while True:
                for fd, _ in poll.poll():
                    if fd == self._woken:
                        os.read(fd, 4096)
                    elif not self._listen():
                        return

                self._collect()
                self._start_waiting()
                self._flush()
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            for pid in self._programs:
                _signal_group(pid, _signal.SIGKILL)

            self._socket.close()

    def _listen(self) -> bool:
        """Do what the parent asks for; return whether it is still there."""
        data = self._socket.recv(1 << 16)
        self._asked += data
        at = 0
        while len(self._asked) - at >= ASK.size:
            size, number, signal = ASK.unpack_from(self._asked, at)
            end = at + ASK.size + size
            if end > len(self._asked):
                break

            if not signal:
                # Started when there is room: it may wait here, so that nobody waits for it.
                self._waiting[number] = self._asked[at + ASK.size : end].split(ZERO)
            elif self._waiting.pop(number, None):
                self._unsent.append(
                    TELL.pack(number, errno.ECANCELED, FAILED, time.time(), 0, 0, 0)
                )
            elif number in self._groups:
                _signal_group(self._groups[number], signal)

            at = end

        self._asked = self._asked[at:]
        return bool(data)

    def _start_waiting(self) -> None:
        """Start what waits, as far as there is room."""
        while self._waiting and len(self._programs) < self._most:
            number = next(iter(self._waiting))
            if not self._start(number, self._waiting[number]):
                return

            del self._waiting[number]

    def _start(self, number: int, argv: list[bytes]) -> bool:
        """Start a program; False if another one has to end before."""
        files: list[int] = []
        began, clock = time.time(), time.perf_counter()
        try:
            files.append(self._file())
            files.append(self._file())
            pid = self._spawn(argv, files)
        except OSError as error:
            for file in files:
                os.close(file)

            if self._programs and error.errno in _FULL:
                return False

            self._unsent.append(TELL.pack(number, error.errno or 0, FAILED, began, 0, 0, 0))
            return True

        self._programs[pid] = _Program(number, (files[0], files[1]), began, clock)
        self._groups[number] = pid
        return True

    def _spawn(self, argv: list[bytes], files: list[int]) -> int:
        name = argv[0]
        path = self._paths.get(name)
        if path is None:
            path = self._paths[name] = find_program(name)

        actions = [(os.POSIX_SPAWN_DUP2, file, fd) for file, fd in zip(files, (1, 2), strict=True)]
        try:
            return os.posix_spawn(
                path,
                argv,
                self._environment,
                file_actions=actions,
                setpgroup=0,
                setsigdef=self._default,
            )
        except OSError:
            # It may be somewhere else next time.
            del self._paths[name]
            raise

    def _file(self) -> int:
        """Open a file that nobody else has."""
        try:
            # Appending, since nothing else keeps two writers of one program apart.
            return os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_APPEND, 0o600)
        except OSError:
            # Not every file system can do that.
            return os.memfd_create("ajobs")

    def _collect(self) -> None:
        """Tell of every program that has ended."""
        while self._programs:
            # Left in the table: while it is there, its number means this group and no other.
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            result = os.waitid(os.P_ALL, 0, flags)
            if result is None:
                return

            pid = result.si_pid
            _signal_group(pid, _signal.SIGKILL)
            os.waitpid(pid, 0)
            program = self._programs.pop(pid)
            del self._groups[program.number]
            exited = result.si_code == os.CLD_EXITED
            self._tell(program, result.si_status if exited else -result.si_status)

    def _tell(self, program: _Program, code: int) -> None:
        seconds = time.perf_counter() - program.clock
        what = 0
        parts, sizes, files = [b""], [], []
        for file, flag in zip(program.files, (OUTPUT_FILE, ERRORS_FILE), strict=True):
            size = os.lseek(file, 0, os.SEEK_END)
            sizes.append(size)
            if size > SHORT:
                os.lseek(file, 0, os.SEEK_SET)
                what |= flag
                files.append(file)
            elif size:
                parts.append(os.pread(file, size, 0))

        parts[0] = TELL.pack(program.number, code, what, program.began, seconds, *sizes)
        self._unsent += parts
        if files:
            self._flush(files)

        for file in program.files:
            os.close(file)

    def _flush(self, files: Iterable[int] = ()) -> None:
        """Send what is to be told, with *files*."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        rights = b"".join(_FD.pack(file) for file in files)
        if rights:
            # With the first byte; a signal may come before the last one.
            attached = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
            data = data[self._socket.sendmsg([data], attached) :]

        if data:
            self._socket.sendall(data)


_FD = Struct("i")


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # it has ended, or made itself somebody else


def find_program(name: bytes) -> bytes:
    """Return the file of the program *name*, looked up where a shell does.

    Raises:
        FileNotFoundError: There is none.
    """
    if b"/" in name:
        return name

    for folder in os.get_exec_path():
        path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118
        if os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112
            return path

    raise FileNotFoundError(2, "no such program")


def main(fd: int, most: int) -> None:
    """Serve the parent at the other end of socket *fd*; run *most* programs at once."""
    Launcher(fd, most).serve()
