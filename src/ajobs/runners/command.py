"""Programs as jobs: an argument list, never a shell."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from io import FileIO
from typing import Any, Self

import anyio
from anyio import CancelScope

from .._checks import current_directory, flag
from .._child import (
    Child,
    check_argv,
    check_directory,
    check_environment,
    check_platform,
    close_in_forks,
    how_it_ended,
    open_pipe,
)
from .._errors import WorkerDied
from .._lines import ByteLines, TextLines, check_encoding
from .._poll import Poll
from .._printed import Printed
from .._records import Stream
from .._runner import Emit, Runner
from .._spec import JobSpec
from .._worker import watchdog as far_end
from .._worker.boot import command_line

__all__ = ("Command", "CommandRunner")

#: Chunks read after the end of a program: only somebody who left its group can still write.
_LAST_CHUNKS = 1000

#: Bytes written to standard input in one go.
_AHEAD = 1 << 16


class Command:
    """What a command job is to run: a program and what it is given."""

    # For whoever names the job: the command line, in no module.
    __module__: str

    def __init__(
        self,
        argv: Sequence[str | bytes | os.PathLike[Any]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        check: bool = True,
        encoding: str | None = "utf-8",
    ) -> None:
        """Check and keep the options.

        Args:
            argv: The program and its arguments, each as it is: no shell looks at them.
            cwd: Its directory; None: the caller's, now.
            env: Its whole environment; None: this process's own.
            stdin: What it reads on standard input; None: nothing, or the job's `input`.
            check: Whether an exit code other than 0 fails the job.
            encoding: Of its output, and of text for its input. None: lines are bytes.

        Raises:
            TypeError: *argv* is one string, or holds something else than arguments; or another
                option is not of the right sort.
            ValueError: *argv* is empty, or it or *env* cannot be passed on.
            LookupError: The *encoding* is not known.
            FileNotFoundError: *cwd* does not exist.
        """
        self.argv = check_argv(argv)
        self.cwd = check_directory(cwd) or current_directory()
        self.env = check_environment(env)
        self.check = flag(check, "check")
        self.encoding = check_encoding(encoding)
        self.stdin = self._checked_stdin(stdin)
        self.__qualname__ = shlex.join(os.fsdecode(one) for one in self.argv)
        self.__module__ = "builtins"

    def _checked_stdin(self, stdin: object) -> bytes | None:
        if stdin is None:
            return None

        if isinstance(stdin, str):
            return self.encoded(stdin)

        if isinstance(stdin, bytes | bytearray | memoryview):
            return bytes(stdin)

        raise TypeError(
            f"stdin must be text or bytes, not {stdin!r:.80}: for several items there is input"
        )

    def encoded(self, text: str) -> bytes:
        """Return *text* as the program reads it."""
        return text.encode(self.encoding or "utf-8", "surrogateescape")

    def lines(self) -> TextLines | ByteLines:
        """Return what cuts its output into lines."""
        return ByteLines() if self.encoding is None else TextLines(self.encoding)

    def __call__(self) -> int:
        """Refuse to be called: it is for a `CommandRunner`."""
        raise TypeError("a Command is run by a CommandRunner, see Session.start_command")


class CommandRunner(Runner):
    """Runs programs. Lines of standard output are output, of standard error are errors.

    Those error records do not set `Job.had_errors`: many programs tell there how they do.
    The exit code is the job's value. A stop sends SIGTERM to the program and all that it has
    started, and SIGKILL when the grace is over; the death of this process does the same.
    """

    kind = "command"
    value_is_output = False

    def __init__(self) -> None:
        """Make a runner. It runs jobs while it is entered."""
        check_platform("command jobs")
        self._watchdog: _Watchdog | None = None
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Open the runner."""
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it: its jobs have ended."""
        self._is_open = False
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            await watchdog.aclose()

    def check(self, spec: JobSpec) -> JobSpec:
        """Refuse what is no command."""
        command = spec.fn
        if not isinstance(command, Command):
            raise TypeError(f"a command runner runs a Command, not {command!r:.80}")

        if command.stdin is not None and spec.options.input is not None:
            raise ValueError("stdin and input both say what the program reads: give one of them")

        return spec

    async def run(self, spec: JobSpec, emit: Emit) -> int:
        """Run the program of *spec* to its end and return its exit code."""
        if not self._is_open:
            raise RuntimeError("this runner is not open: `async with CommandRunner() as runner`")

        watchdog = self._watchdog = self._watchdog or _Watchdog()
        command: Any = spec.fn
        has_input = spec.options.input is not None
        program = None
        try:
            program = _Program(command, emit, watchdog, has_input=has_input)
            emit.begin()
            return await program.run()
        finally:
            if program is None:
                # Also a Ctrl-C in the midst of it: then nobody knows whether there is a process.
                watchdog.tell(far_end.tell_lost())
            else:
                await self._end(program, watchdog)

    @staticmethod
    async def _end(program: _Program, watchdog: _Watchdog) -> None:
        try:
            await program.child.finish()
        finally:
            # Before its number can belong to somebody else.
            watchdog.tell(far_end.tell_ended(program.child.pid))
            program.close()


class _Watchdog:
    """The process that ends our commands when this one dies."""

    def __init__(self) -> None:
        with ExitStack() as theirs, ExitStack() as ours:
            reader, self._pipe = open_pipe(theirs, ours)
            os.set_blocking(self._pipe, False)
            self._child = Child(
                command_line("watchdog", reader),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=None,
                pass_fds=(reader,),
            )
            self._opened = ours.pop_all()

        close_in_forks(self)

    def watch(self, start: Callable[[], Child], *pipes: int) -> Child:
        """Start a program that writes to *pipes*; from its first moment it will not outlive us."""
        self.tell(far_end.tell_starting(*pipes))
        try:
            child = start()
        except Exception:
            self.tell(far_end.tell_not_started())
            raise

        self.tell(far_end.tell_started(child.pid))
        return child

    def tell(self, line: bytes) -> None:
        """Tell a line. It does not block: the pipe holds thousands of them."""
        with suppress(OSError):
            os.write(self._pipe, line)

    async def aclose(self) -> None:
        """Let it end: it has nothing to watch any more."""
        self._opened.close()
        try:
            await self._child.ended(1.0)
        finally:
            await self._child.end()

    def close_after_fork(self) -> None:
        """Close what would keep it from noticing our death."""
        os.close(self._pipe)


class _Program:
    """A running program, from its start to its end."""

    def __init__(
        self, command: Command, emit: Emit, watchdog: _Watchdog, *, has_input: bool
    ) -> None:
        self._command = command
        self._emit = emit
        self._is_stopping = False
        self._error: BaseException | None = None
        self._stdin: FileIO | None = None
        with ExitStack() as theirs, ExitStack() as ours:
            self._poll = Poll()
            ours.callback(self._poll.close)
            out, out_in = open_pipe(ours, theirs)
            err, err_in = open_pipe(ours, theirs)
            stdin = subprocess.DEVNULL
            if has_input or command.stdin is not None:
                stdin, stdin_in = os.pipe()
                theirs.callback(os.close, stdin)
                self._stdin = ours.enter_context(FileIO(stdin_in, "w"))
                os.set_blocking(stdin_in, False)

            start = partial(
                Child,
                command.argv,
                stdin=stdin,
                stdout=out_in,
                stderr=err_in,
                cwd=command.cwd,
                env=command.env,
            )
            self.child = watchdog.watch(start, out_in, err_in)
            unready = ours.enter_context(ExitStack())
            unready.callback(self.child.abandon)
            for one in (out, err, self.child.fileno()):
                os.set_blocking(one, False)
                self._poll.add(one)

            streams = {out: (Stream.OUTPUT, command.lines()), err: (Stream.ERROR, command.lines())}
            self._printed = Printed(self._poll, streams)
            self._printed.go_to(emit)
            unready.pop_all()
            self._opened = ours.pop_all()

    async def run(self) -> int:
        """Wait for its end and return its exit code.

        Raises:
            CalledProcessError: The code is not 0, and it was to be checked.
            WorkerDied: Nobody knows the code.
            BaseException: What the source of its input raised.
        """
        try:
            if self._stdin is None:
                await self._listen()
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._feed, self._stdin)
                    await self._listen()
                    tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            await self._stop()
            raise

        if self._error is not None:
            raise self._error

        return self._result()

    async def _listen(self) -> None:
        """Pass on what it prints, until it has ended."""
        printed = self._printed
        try:
            while not self.child.has_ended:
                await self._poll.wait()
                for fd in self._poll.ready():
                    if fd in printed:
                        printed.read(fd)

                while printed.must_wait and not self._is_stopping:
                    await self._emit.room()
                    printed.pass_on()

            # What it has left running in its group ends with it, and so do the pipes.
            await self.child.finish()
            await printed.end(_LAST_CHUNKS, may_wait=not self._is_stopping)
        except Exception as exc:  # noqa: BLE001  # nobody makes room for its output
            self._fail(exc)

    def _fail(self, error: BaseException) -> None:
        """Note why the job fails, whatever the program does; it ends now."""
        self._error = self._error or error
        self.child.kill()

    async def _stop(self) -> None:
        self._is_stopping = True
        self.child.signal_group(signal.SIGTERM)
        self._emit.on_deadline(self.child.kill)
        if self._emit.stop_deadline <= anyio.current_time():
            self.child.kill()

        with CancelScope(shield=True):
            await self._listen()

    async def _feed(self, stdin: FileIO) -> None:
        """Write what it reads, item by item, as fast as it reads."""
        given = self._command.stdin
        try:
            if given is not None:
                await self._write(stdin, given)
            else:
                while True:
                    await self._write(stdin, await self._next_item())
        except (StopAsyncIteration, BrokenPipeError):
            # No more of it, or nobody who wants more.
            pass
        except Exception as exc:  # noqa: BLE001  # of the user's source
            self._fail(exc)
        finally:
            stdin.close()

    async def _next_item(self) -> bytes:
        item = await self._emit.next_input()
        if isinstance(item, bytes | bytearray):
            return bytes(item)

        if not isinstance(item, str):
            raise TypeError(f"a program reads str (lines) or bytes (as they are), not {item!r:.80}")

        return self._command.encoded(f"{item}\n")

    @staticmethod
    async def _write(stdin: FileIO, data: bytes) -> None:
        view = memoryview(data)
        while view:
            # None: the pipe is full.
            written = stdin.write(view[:_AHEAD])
            if written is None:
                await anyio.wait_writable(stdin)
            else:
                view = view[written:]

    def _result(self) -> int:
        code = self.child.returncode
        if code is None:
            raise WorkerDied(f"{self._command.__qualname__}: {how_it_ended(code)}")

        if code and self._command.check:
            error = subprocess.CalledProcessError(code, self._command.argv)
            last = [one if isinstance(one, str) else repr(one) for one in self._printed.last_errors]
            if last:
                error.add_note("the last that it wrote to standard error:\n  " + "\n  ".join(last))

            raise error

        return code

    def close(self) -> None:
        """Let go of it."""
        self.child.reap()
        self._opened.close()
