"""A thread with an event loop of its own, in which one session is open.

anyio's portal does nearly the same; its end runs when it is collected as well, which never
returns in a forked child. This file knows how a session is entered and left, not its verbs.
"""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Thread

import anyio
from anyio import CancelScope

from .._loop import Loop
from .._session import Session as AsyncSession


class Host:
    """Runs *session* in a thread."""

    _closing: anyio.Event
    _scope: CancelScope
    _loop: Loop

    def __init__(self, session: AsyncSession, backend: str) -> None:
        self._session = session
        self._backend = backend
        self._opened: Future[Loop] = Future()
        self._ended: Future[None] = Future()
        self._left_by: BaseException | None = None
        self._thread = Thread(target=self._serve, name=f"ajobs {backend}", daemon=True)

    def open(self) -> Loop:
        """Start the thread, enter the session, and return its loop."""
        self._thread.start()
        try:
            return self._opened.result()
        except BaseException as exc:
            # If it is this thread that was interrupted, nobody gets to know the session.
            if not self._opened.cancel() and self._opened.exception() is None:
                self.close(exc)

            raise

    def close(self, left_by: BaseException | None) -> None:
        """Leave the session as a block that *left_by* ends, and wait for that.

        An exception that is raised in this thread meanwhile stops the jobs. A second one does
        not wait for them.
        """
        self._left_by = left_by
        self._loop.call_soon(self._closing.set)
        try:
            self._ended.result()
        except BaseException:
            if not self._ended.done():
                self._loop.call_soon(self._scope.cancel)
                wait_for([self._ended])

            raise

    def _serve(self) -> None:
        try:
            anyio.run(self._hold, backend=self._backend)
        except BaseException as exc:  # noqa: BLE001  # whoever waits raises it
            (self._ended if self._opened.done() else self._opened).set_exception(exc)
        else:
            self._ended.set_result(None)

    async def _hold(self) -> None:
        self._closing = anyio.Event()
        with CancelScope() as self._scope:
            await self._session.__aenter__()
            if self._opened.set_running_or_notify_cancel():
                self._loop = self._session.loop
                self._opened.set_result(self._loop)
                await self._closing.wait()

            left_by = self._left_by
            await self._session.__aexit__(type(left_by) if left_by else None, left_by, None)
