"""Jobs in threads of the session's process."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread
from anyio.lowlevel import current_token

from .._checks import count, kind_of
from .._context import check_stop, stop_requested, write_output
from .._errors import JobAborted
from .._loop import current_loop
from .._runner import Emit, LeftBehind, Runner
from .._spec import JobSpec

__all__ = ("ThreadRunner",)


class ThreadRunner(Runner):
    """Runs plain functions and generators in threads, through anyio.

    Stopping sets a flag, which the function sees with `ajobs.check_stop`: a thread cannot be
    ended from outside. `anyio.from_thread` works inside. An async function runs in an event
    loop of its own in the thread, on the caller's backend, and is cancelled there.
    """

    kind = "thread"

    def __init__(
        self, max_threads: int = 256, initializer: Callable[[], object] | None = None
    ) -> None:
        """Make a runner.

        Args:
            max_threads: Most jobs that it runs at once; the others are not started. Threads
                are anyio's and are used again.
            initializer: Called once in each thread, before its first job of this runner. If
                it raises, that job fails by it.

        Raises:
            ValueError: *max_threads* is below 1.
            TypeError: *initializer* is an async function or cannot be called.
        """
        if count(max_threads, "max_threads") is None:
            raise TypeError("max_threads must be an int: threads without bound are never right")

        if initializer is not None and kind_of(initializer).is_async:
            raise TypeError("initializer must be a plain function: it runs in a bare thread")

        self.max_threads = max_threads
        self._initializer = initializer
        self._initialized = threading.local()
        # A limiter belongs to one loop, and must not outlive it; the runner may serve several.
        self._limiters: WeakKeyDictionary[Any, CapacityLimiter] = WeakKeyDictionary()

    async def run(self, spec: JobSpec, emit: Emit) -> Any:
        """Run the function in a thread and wait for it, whatever is asked meanwhile."""
        backend = "trio" if emit.is_trio else "asyncio"
        call = _Call(self.prepare, spec, backend)
        del spec
        async with self._places():
            emit.begin()
            emit.on_stop(call.stop)
            with CancelScope(shield=True) as left:
                emit.on_leave(left.cancel)
                value, error = await _in_thread(call)
                if error is None:
                    return value

                try:
                    raise error
                finally:
                    del error  # or it would keep this frame, which keeps it

        raise LeftBehind(call.on_end)

    def _places(self) -> CapacityLimiter:
        loop = current_token().native_token
        limiter = self._limiters.get(loop)
        if limiter is None:
            limiter = self._limiters[loop] = CapacityLimiter(self.max_threads)

        return limiter

    def prepare(self) -> None:
        """Call the initializer, once in each thread. In the thread."""
        if self._initializer is not None and not hasattr(self._initialized, "is_done"):
            self._initializer()
            self._initialized.is_done = True


async def _in_thread(call: _Call) -> tuple[Any, BaseException | None]:
    try:
        return await to_thread.run_sync(call, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    except BaseException:
        # Cancelled by asyncio itself, which no shield holds off: nobody will ask it again.
        call.stop()
        raise


class _Call:
    """What the thread calls; it knows its end even when nobody waits for it any more."""

    def __init__(self, prepare: Callable[[], object], spec: JobSpec, backend: str) -> None:
        self.prepare = prepare
        self._spec: JobSpec | None = spec
        self._backend = backend
        self._lock = threading.Lock()
        self._end: tuple[Any, BaseException | None] | None = None
        self._on_end: Callable[[Any, BaseException | None], object] | None = None
        self._cancel: Callable[[], object] | None = None
        self._is_stopped = False

    def __call__(self) -> tuple[Any, BaseException | None]:
        """Run the job; return its end, since not every exception passes through a future."""
        end: tuple[Any, BaseException | None]
        try:
            end = self._run(), None
        except KeyboardInterrupt as exc:
            # In a thread it is not the user's Ctrl-C; let through, it would end the program.
            aborted = JobAborted("the job's code raised KeyboardInterrupt in its thread")
            aborted.__cause__ = exc
            end = None, aborted
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it is the job's end
            end = None, exc

        self._ended(end)
        return end

    def _run(self) -> Any:
        self.prepare()
        spec, self._spec = self._spec, None
        assert spec is not None
        if kind_of(spec.fn).is_async:
            return anyio.run(self._run_async, spec, backend=self._backend)

        result: Any = spec.fn(*spec.args)
        del spec
        if inspect.isgenerator(result):
            return _write_all(cast("Generator[Any, None, Any]", result))

        if inspect.iscoroutine(result):
            result.close()
            raise TypeError(
                "the function is a plain one and returned a coroutine, which nobody awaits: "
                "start the async function itself"
            )

        return result

    async def _run_async(self, spec: JobSpec) -> Any:
        with CancelScope() as scope:
            self._cancel = partial(current_loop().call_soon, scope.cancel)
            if self._is_stopped or stop_requested():
                scope.cancel()

            try:
                result = spec.fn(*spec.args)
                return await (result if inspect.isawaitable(result) else _write_each(result))
            finally:
                self._cancel = None

        return check_stop()

    def stop(self) -> None:
        """Pass the stop of the job on to its loop, if it has one. On the session's loop."""
        self._is_stopped = True
        cancel = self._cancel
        if cancel is not None:
            cancel()

    def on_end(self, callback: Callable[[Any, BaseException | None], object]) -> None:
        """Call *callback* with the end, now if it has come."""
        with self._lock:
            if self._end is None:
                self._on_end = callback
                return

        callback(*self._end)

    def _ended(self, end: tuple[Any, BaseException | None]) -> None:
        with self._lock:
            if self._on_end is None:
                self._end = end
                return

        self._on_end(*end)


async def _write_each(generator: AsyncGenerator[Any, None]) -> None:
    async with aclosing(generator) as values:
        async for value in values:
            # This loop belongs to the job alone: waiting for room may block it.
            write_output(value)
            check_stop()


def _write_all(generator: Generator[Any, None, Any]) -> Any:
    """Give each value of *generator* as output; return what it returns."""
    try:
        while True:
            try:
                value = next(generator)
            except StopIteration as end:
                return end.value

            write_output(value)
            check_stop()
    finally:
        generator.close()
