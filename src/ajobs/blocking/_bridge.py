"""The way from any thread to the event loop of a session, and back with what comes of it.

A caller posts what it wants done and sleeps until it is. This file knows loops and threads,
not jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from anyio import CancelScope

from .._context import context_or_none
from .._errors import SessionClosed, StopRequested
from .._loop import Loop
from .._run import JobRun

T = TypeVar("T")


class Bridge:
    """Carries calls to one loop. anyio's portal takes two round trips for each, this one."""

    def __init__(self, loop: Loop) -> None:
        """Carry calls to *loop*, which runs in another thread."""
        #: Where they go.
        self.loop = loop
        #: True once the loop has ended.
        self.is_over = False
        self._waiting: set[Future[Any]] = set()

    def call(self, fn: Callable[[], T]) -> T:
        """Return ``fn()``, called on the loop's thread; here, if that is this one or is over."""
        if self.is_over or self.loop.in_thread:
            return fn()

        self._check_process()
        future: Future[T] = Future()
        context = self.loop.copy_context()
        if not self._post(future, lambda: _settle(future, lambda: context.run(fn))):
            return fn()

        return self._end_of(future)

    def run(self, fn: Callable[[], Coroutine[Any, Any, T]], stops: bool = True) -> T:
        """Return what ``await fn()`` gives on the loop.

        An exception that is raised in this thread meanwhile, such as KeyboardInterrupt,
        cancels it.

        Args:
            fn: An async function.
            stops: Whether a stop of the job whose thread calls ends the wait.

        Raises:
            RuntimeError: This is the loop's own thread, which must not be blocked.
            SessionClosed: The loop is over, or ended meanwhile.
            StopRequested: The job whose thread calls was told to end.
        """
        self.check_open()
        if self.loop.in_thread:
            refuse_here()

        self._check_process()
        call = _Call(self.loop, fn, stops)
        future = call.future
        try:
            if not self._post(future, partial(self.loop.copy_context().run, call.begin)):
                _tell_closed(future)

            return self._end_of(future)
        except BaseException as exc:
            if future.done():
                raise

            # Raised here: what was begun there comes to its end first. A second Ctrl-C does
            # not wait for that. How the wait was made says nothing to whoever ended it.
            self.loop.call_soon(call.cancel)
            wait_for([future])
            raise exc.with_traceback(None)  # noqa: B904  # it is the same one
        finally:
            del future, call  # an exception and its traceback would keep each other

    def _post(self, future: Future[T], callback: Callable[[], object]) -> bool:
        self._waiting.add(future)
        if not self.is_over and self.loop.call_soon(callback):
            return True

        self._waiting.discard(future)
        return False

    def _end_of(self, future: Future[T]) -> T:
        error: BaseException | None = None
        try:
            error = future.exception()
            if error is None:
                return future.result()

            # What a caller did wrong shows without the way that it took to the loop.
            raise error.with_traceback(_past_bridge(error.__traceback__))
        finally:
            self._waiting.discard(future)
            del future, error

    def check_open(self) -> None:
        """Raise `SessionClosed` if the loop is over."""
        if self.is_over:
            raise closed()

    def _check_process(self) -> None:
        if self.loop.is_inherited:
            raise RuntimeError(
                "the session belongs to the process that opened it; a forked child has no "
                "threads of its parent, and so opens a session of its own"
            )

    def close(self) -> None:
        """Note that the loop is over; wake whoever still waits for it."""
        self.is_over = True
        for future in tuple(self._waiting):
            _tell_closed(future)


class _Call(Generic[T]):
    """An async function on its way, and what came of it."""

    def __init__(self, loop: Loop, fn: Callable[[], Coroutine[Any, Any, T]], stops: bool) -> None:
        self._loop = loop
        self._fn = fn
        self._stops = stops
        self._scope: CancelScope | None = None
        self._is_cancelled = False
        self._task: object = None
        self.future: Future[T] = Future()

    def begin(self) -> None:
        """Start it. On the loop, in the context of the caller."""
        if self._is_cancelled:
            return

        try:
            self._task = self._loop.spawn_root(self._run, "ajobs.blocking")
        except RuntimeError:  # trio, on its last turns
            _tell_closed(self.future)

    def cancel(self) -> None:
        """End it. On the loop."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()
        elif self._task is None:
            _tell_closed(self.future)

    async def _run(self) -> None:
        try:
            with CancelScope() as self._scope:
                if self._is_cancelled:
                    self._scope.cancel()

                self.future.set_result(await self._value())
                return

            error: BaseException = closed()
        except self._loop.cancelled:
            error = closed()
        except BaseException as exc:  # noqa: BLE001  # the caller raises it
            error = exc

        self.future.set_exception(error)

    async def _value(self) -> T:
        job = context_or_none()
        if not self._stops or not isinstance(job, JobRun):
            return await self._fn()

        with CancelScope() as scope, job.stopping(lambda: self._loop.call_soon(scope.cancel)):
            return await self._fn()

        raise StopRequested("the job was asked to stop while it waited")


def _past_bridge(tb: TracebackType | None) -> TracebackType | None:
    """Return *tb* without its first frames, those of this file."""
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next

    return tb


def _settle(future: Future[T], fn: Callable[[], T]) -> None:
    try:
        future.set_result(fn())
    except BaseException as exc:  # noqa: BLE001  # the caller raises it
        future.set_exception(exc)


def _tell_closed(future: Future[Any]) -> None:
    # The end of the loop and the call that comes too late may both find out, in two threads.
    with suppress(InvalidStateError):
        future.set_exception(closed())


def closed() -> SessionClosed:
    """Return what a call to a loop that is over raises."""
    return SessionClosed("the session was closed: nothing can be waited for any more")


def refuse_here() -> NoReturn:
    """Raise at code that would block the loop on which it runs."""
    raise RuntimeError(
        "this is the thread of the session's event loop, which a blocking call would hold up "
        "for ever: in async code use ajobs.current_session() and await"
    )
