"""A session without a block, for a REPL or a notebook, where no block spans two statements.

The same session in a task of its own: what opens it also closes it.
"""

from __future__ import annotations

import math
import signal
from functools import partial
from typing import Any, Literal

import anyio

from ._exit import close_at_exit, forget, left_open
from ._guests import hosts
from ._logs import logger
from ._loop import current_loop
from ._session import Session

__all__ = ("HostedSession", "open_session")


class HostedSession(Session):
    """A session that a task of its own keeps open until `aclose`."""

    def __init__(self, **options: Any) -> None:
        """Describe a session; see `open_session`."""
        super().__init__(**options)
        self._opened = anyio.Event()
        self._closing = anyio.Event()
        self._closed = anyio.Event()
        self._failure: BaseException | None = None
        self._task: object = None

    async def open(self) -> None:
        """Start the task that hosts the session, and wait until it is open."""
        self._task = current_loop().spawn_root(self._host, "ajobs session")
        try:
            await self._opened.wait()
        except BaseException:
            # Nobody gets to know the session, so nobody could ever close it.
            self._closing.set()
            raise

    async def _host(self) -> None:
        try:
            async with self:
                self._opened.set()
                self._is_open()
                await self._until_closing()
        except Exception as exc:  # noqa: BLE001  # aclose raises it
            self._failure = exc
        finally:
            self._is_over()
            self._opened.set()
            self._closed.set()

    def _is_open(self) -> None:
        hosts.append(self)
        close_at_exit(self._close_late)

    def _is_over(self) -> None:
        forget(self._close_late)
        if self in hosts:
            hosts.remove(self)

    async def _until_closing(self) -> None:
        try:
            await self._closing.wait()
        except BaseException:
            # The loop is ending, and with it the session.
            logger().warning("%s", left_open(self.name))
            raise

    def _close_late(self) -> None:
        """Stop the jobs at the end of the interpreter, if their loop can still run for that."""
        self._loop.run_idle(self._end)

    async def _end(self) -> None:
        self._scope.cancel()
        await self._closed.wait()

    def interrupted(self) -> None:
        """Hand a Ctrl-C that came while a job's code ran to whoever runs the loop.

        The job is stopped; the session and its other jobs go on.
        """
        self._loop.call_soon(partial(signal.raise_signal, signal.SIGINT))

    async def aclose(self) -> None:
        """Close the session as the end of a block does: wait for the jobs, then leave.

        Cancelling this wait lets the closing go on. Closing twice is harmless.

        Raises:
            ExceptionGroup: Failures that nobody saw, if the session was opened with
                ``failures="raise"``.
            DeadlockError: A job of the session calls, which would wait for itself.
        """
        self.refuse_own_job()
        self._closing.set()
        await self._closed.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


async def open_session(
    name: str | None = None,
    throttle: float = math.inf,
    failures: Literal["raise", "keep"] = "keep",
    drain: float = math.inf,
    stop_grace: float = 5.0,
    retain: int | None = None,
    output_limit: int | None = None,
    overflow: Literal["wait", "error"] = "wait",
) -> HostedSession:
    """Open a session that no block holds: ``jobs = await ajobs.open_session()``.

    For ``python -m asyncio``, IPython and notebooks, where each statement is a task of its
    own; programs use ``async with ajobs.Session()``. Close it with ``await jobs.aclose()``;
    the end of the event loop stops its jobs and closes it too. Failures are kept in the
    table unless *failures* says otherwise. See `Session` for the arguments.
    """
    session = HostedSession(
        name=name,
        throttle=throttle,
        failures=failures,
        drain=drain,
        stop_grace=stop_grace,
        retain=retain,
        output_limit=output_limit,
        overflow=overflow,
    )
    await session.open()
    return session
