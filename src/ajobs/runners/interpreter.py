"""Jobs in subinterpreters: their own interpreter lock, in threads of this process."""

from __future__ import annotations

import _thread
import math
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from time import monotonic, sleep
from typing import Any

import anyio

from .._checks import count, seconds
from .._errors import RunnerUnavailable
from .._exit import close_at_exit
from .._link import Link
from .._logs import logger
from .._place import OnEnd, Place, Rules
from .._poll import Poll
from .._pooled import PooledRunner, cpus
from .._printed import Printed
from .._wire import SETUP, encode
from .._worker.boot import inside_code

__all__ = ("InterpreterRunner",)

#: Turns of a millisecond that an idle interpreter may take to end. No clock counts them: where the
#: machine stalls, or has much else to do, both sides are late.
_EXIT_TURNS = 1000

#: Seconds in which threads of ours in an interpreter notice that it was left behind, and end.
_PARTING_SECONDS = 0.5


class InterpreterRunner(PooledRunner):
    """Runs functions in subinterpreters, each in a thread with a lock of its own.

    They start faster than processes and use less memory, and are less apart: a crash or
    `os._exit` ends this process; directory, environment and descriptors are shared; a
    stop sets a flag that the function has to look at, as in a thread. What is sent is
    pickled as for a process. Modules written in C have to support subinterpreters.

    A function that never ends is left behind, as in a thread. If threads of its own run there
    too, Python 3.13 aborts the program at its very end: run such code in processes.

    Python 3.13.0 frees little of an interpreter that has ended: 2 to 6 MB stay, by what was
    imported there (3.14: 0.3 MB at most), so let them live long.
    """

    kind = "interpreter"

    def __init__(
        self,
        max_interpreters: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_jobs_per_interpreter: int | None = None,
        idle_timeout: float | None = 60.0,
        context: Iterable[ContextVar[Any]] = (),
    ) -> None:
        """Make a runner. It runs jobs while it is entered.

        Args:
            max_interpreters: Most jobs at once; the others are not started. None: one for
                each CPU that this process may use.
            initializer: Called in each interpreter before its first job, which fails by what
                it raises.
            initargs: Its arguments.
            max_jobs_per_interpreter: After so many jobs another one takes the place; None:
                never.
            idle_timeout: Seconds without a job after which an interpreter ends; None: never.
            context: Context variables whose values at `start` jobs get. Each must be an
                attribute of a module that can be imported.

        Raises:
            RunnerUnavailable: This Python has no subinterpreters that can be used.
            PayloadError: *initializer* cannot be sent.
            ValueError: A number is out of range, or a context variable cannot be found.
            TypeError: *initializer* is an async function or cannot be called.
        """
        self._interpreters = _interpreters()
        count(max_interpreters, "max_interpreters")
        count(max_jobs_per_interpreter, "max_jobs_per_interpreter")
        rules = Rules(
            max_interpreters or cpus(),
            max_jobs=max_jobs_per_interpreter or math.inf,
            idle_timeout=seconds(idle_timeout, "idle_timeout"),
        )
        super().__init__(rules, initializer, initargs, context)

    def _make(self) -> _Interpreter:
        return _Interpreter(self._interpreters, self._setup)

    @property
    def interpreters(self) -> int:
        """How many interpreters there are."""
        return self._size()


def _interpreters() -> Any:
    """Return the module that makes interpreters, behind one face for all versions.

    Raises:
        RunnerUnavailable: There is none.
    """
    if not hasattr(select, "epoll"):
        raise RunnerUnavailable("interpreter jobs need Linux so far; use runner='thread'")

    if not getattr(_thread, "daemon_threads_allowed", lambda: True)():
        raise RunnerUnavailable(
            "interpreter jobs cannot be started in an interpreter job: threads that run others "
            "are not allowed there; use runner='thread' or 'process'"
        )

    # 3.14 has a public module; 3.13 has what that is made of, under a private name.
    for name, adapter in (("concurrent.interpreters", _Public), ("_interpreters", _Private)):
        with suppress(ImportError):
            return adapter(import_module(name))

    raise RunnerUnavailable(
        "interpreter jobs need Python 3.13 or newer, with subinterpreters that have a lock of "
        "their own; use runner='process' or 'thread'"
    )


class _Public:
    """`concurrent.interpreters`, of Python 3.14."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def create(self) -> Any:
        return self._module.create()

    def execute(self, interpreter: Any, code: str) -> str | None:
        try:
            interpreter.exec(code)
        except self._module.ExecutionFailed as exc:
            return str(exc)

        return None

    def destroy(self, interpreter: Any) -> None:
        interpreter.close()


class _Private:
    """`_interpreters`, of Python 3.13."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def create(self) -> Any:
        return self._module.create()

    def execute(self, interpreter: Any, code: str) -> str | None:
        failure = self._module.exec(interpreter, code)
        return None if failure is None else str(failure.formatted)

    def destroy(self, interpreter: Any) -> None:
        self._module.destroy(interpreter)


class _Interpreter(Place):
    """One interpreter, and the thread that runs it."""

    can_be_killed = False

    def __init__(self, interpreters: Any, setup: bytes) -> None:
        self._interpreters = interpreters
        self._failure: str | None = None
        self._is_over = False
        self._lock = threading.Lock()
        self._on_end: OnEnd | None = None
        with ExitStack() as ours:
            near, far = socket.socketpair()
            ours.callback(near.close)
            ours.callback(far.close)
            poll = Poll()
            ours.callback(poll.close)
            interpreter = interpreters.create()
            # A daemon: a job that never ends must not keep the program from ending.
            self._thread = threading.Thread(
                target=self._run,
                args=(interpreter, inside_code(far.fileno())),
                name="ajobs interpreter",
                daemon=True,
            )
            self._thread.start()
            # Its own from here on: it closes it when it ends.
            far.detach()
            ours.pop_all()

        poll.add(near.fileno())
        super().__init__(Link(near), poll, Printed(poll, {}))
        self.link.send(encode(SETUP, setup))

    def _run(self, interpreter: Any, code: str) -> None:
        self._failure = self._interpreters.execute(interpreter, code)
        # Not possible while a thread that a job has started still runs there.
        with suppress(Exception):
            self._interpreters.destroy(interpreter)

        with self._lock:
            on_end, self._on_end = self._on_end, None
            self._is_over = True

        if on_end is not None:
            on_end(None, None)

    @property
    def label(self) -> str:
        return f"interpreter in thread {self._thread.native_id} of process {os.getpid()}"

    @property
    def end_fd(self) -> int:
        return -1

    @property
    def has_ended(self) -> bool:
        return self._is_over

    def interrupt(self) -> None:
        # Nothing reaches into another interpreter; the frame that asks for a stop is there.
        pass

    def kill(self) -> None:
        pass

    async def autopsy(self, why: str | None, dying: float) -> tuple[str, int | None]:
        await self._ended()
        if self._failure:
            return self._failure, None

        return why or "it has ended", None

    async def _ended(self) -> bool:
        """Wait a while for the thread to end."""
        self.link.finish()
        with anyio.CancelScope(shield=True):
            # A thread tells nobody when it is gone, and is gone soon after its last word.
            for _ in range(_EXIT_TURNS):
                if not self._thread.is_alive():
                    return True

                # A want of memory or descriptors here is no reason to leave it behind.
                with suppress(OSError, MemoryError):
                    await anyio.sleep(0.001)

        return not self._thread.is_alive()

    async def end(self) -> None:
        try:
            if not await self._ended():
                logger().warning("%s does not end and is left behind", self.label)
        finally:
            # Whatever comes: asyncio's own Task.cancel goes through shields.
            self._close()

    async def give_up(self) -> None:
        await self.end()

    def _close(self) -> None:
        self.poll.close()
        self.link.close()

    def leave(self, on_end: OnEnd) -> None:
        self._close()
        # Python aborts a program that ends while more than one thread runs in there.
        close_at_exit(partial(_sleep_until, monotonic() + _PARTING_SECONDS))
        with self._lock:
            if not self._is_over:
                self._on_end = on_end
                return

        on_end(None, None)


def _sleep_until(moment: float) -> None:
    sleep(max(0.0, moment - monotonic()))
