"""The input of a job, pulled from its source on the loop, one item when one is asked for.

A synchronous source is advanced on the loop's thread only; an asynchronous one by a single
task of its own, since generators may hold task-bound things such as cancel scopes. The job's
code reads wherever it runs. This file knows sources and readers, not jobs.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

import anyio
from anyio import CancelScope
from anyio.lowlevel import EventLoopToken

from ._context import enter_context
from ._errors import StopRequested
from ._logs import logger
from ._loop import Loop, current_loop
from ._spec import Input

CLOSE_FAILED = "closing the input of a job failed"

UNHEARD = "the job has ended without this thread, which asked for input"
STOPPED = "the job was asked to stop while it waited for input"

#: What stands for the end of an input on its way into a thread.
_END = object()

#: Seconds that a source may take to close.
CLOSE_SECONDS = 5.0


def check_input(source: object) -> None:
    """Raise `TypeError` unless *source* can be iterated, in one way or the other."""
    if isinstance(source, AsyncIterable | Iterable):
        return

    hint = ": await or call it first" if inspect.isroutine(source) else ""
    raise TypeError(f"input must be an iterable or an async iterable, not {source!r:.80}{hint}")


class _Ask:
    """One reader that waits for one item, or for what is raised instead."""

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.is_served = False
        self.value: Any = None
        self.error: BaseException | None = None

    def serve(self, value: Any, error: BaseException | None = None) -> None:
        """Give it *value*, or *error*."""
        self.value, self.error, self.is_served = value, error, True
        self.event.set()


class JobInput(ABC):
    """Where a job's input comes from."""

    def __init__(self) -> None:
        """Begin with nothing that was put back."""
        self._returned: deque[tuple[Any, BaseException | None]] = deque()

    async def next(self) -> Any:
        """Return the next item.

        Cancelling the call loses nothing: an item that was pulled for it goes to the next.

        Raises:
            StopAsyncIteration: The source has ended.
            BaseException: Whatever the source raised, once; afterwards it has ended.
        """
        return _taken(*self._returned.popleft()) if self._returned else await self._pull_one()

    def put_back(self, value: Any, error: BaseException | None) -> None:
        """Let the next reader have what another one was given and could not take."""
        if error is None:
            self._returned.appendleft((value, None))
        elif not isinstance(error, StopAsyncIteration):
            self._returned.append((None, error))  # what ended the source came after its items

    @abstractmethod
    async def _pull_one(self) -> Any:
        """Do what `next` does, when nothing was put back."""

    @abstractmethod
    def close(self) -> None:
        """Close the source; from now on it has ended."""


def _taken(value: Any, error: BaseException | None) -> Any:
    if error is not None:
        raise error

    return value


def open_input(source: Input, loop: Loop) -> JobInput:
    """Return *source* in the form in which jobs read it."""
    if isinstance(source, AsyncIterable):
        return _AsyncInput(source, loop)

    return _SyncInput(source)


class _SyncInput(JobInput):
    def __init__(self, source: Iterable[Any]) -> None:
        super().__init__()
        self._iterator = iter(source)

    async def _pull_one(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        iterator, self._iterator = self._iterator, iter(())
        if inspect.isgenerator(iterator):
            try:
                iterator.close()
            except Exception:  # noqa: BLE001  # it must not end whoever ends the job
                logger().warning(CLOSE_FAILED, exc_info=True)


class _AsyncInput(JobInput):
    """Readers ask, one task pulls; it is started by the first reader."""

    def __init__(self, source: AsyncIterable[Any], loop: Loop) -> None:
        super().__init__()
        self._source = source
        self._loop = loop
        self._asks: deque[_Ask] = deque()
        self._scope: CancelScope | None = None
        self._asked: anyio.Event | None = None
        self._is_started = False
        self._has_ended = False
        self._error: BaseException = StopAsyncIteration()

    async def _pull_one(self) -> Any:
        if self._has_ended:
            error, self._error = self._error, StopAsyncIteration()
            raise error

        ask = _Ask()
        self._asks.append(ask)
        self._wake_puller()
        try:
            await ask.event.wait()
        except BaseException:
            if ask.is_served:
                self.put_back(ask.value, ask.error)
            else:
                self._asks.remove(ask)

            raise

        return _taken(ask.value, ask.error)

    def _wake_puller(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._loop.spawn(self._pull, "ajobs input")
        elif self._asked is not None:
            self._asked.set()

    def put_back(self, value: Any, error: BaseException | None) -> None:
        if self._asks:
            self._asks.popleft().serve(value, error)
        else:
            super().put_back(value, error)

    async def _pull(self) -> None:
        # The source is the caller's code: it runs in no job, and waits in no job's name.
        enter_context(None)
        iterator = None
        try:
            with self._loop.scope() as self._scope:
                if not self._has_ended:
                    iterator = aiter(self._source)
                    await self._serve(iterator)
        except BaseException as exc:  # noqa: BLE001  # the reader gets it, whatever it is
            self._error = exc
        finally:
            self._has_ended = True
            await self._close_each(iterator, self._source)
            while self._asks:
                error, self._error = self._error, StopAsyncIteration()
                self._asks.popleft().serve(None, error)

    async def _serve(self, iterator: AsyncIterator[Any]) -> None:
        while True:
            while not self._asks:
                self._asked = anyio.Event()
                await self._asked.wait()

            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return

            if self._asks:
                self._asks.popleft().serve(item)
            else:
                self._returned.append((item, None))

    async def _close_each(self, *sources: object) -> None:
        # `aclose` of an async generator or a receive stream; it runs in the pulling task, and
        # a source that hangs there must not keep the session open for ever.
        for source in {id(one): one for one in sources}.values():
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                with self._loop.scope() as scope:
                    scope.deadline = self._loop.time() + CLOSE_SECONDS
                    try:
                        await aclose()
                    except Exception:  # noqa: BLE001
                        logger().warning(CLOSE_FAILED, exc_info=True)

    def close(self) -> None:
        self._has_ended = True
        if self._scope is not None:
            self._scope.cancel()
        elif not self._is_started and hasattr(self._source, "aclose"):
            # Never read: it still has to be closed, by a task.
            self._is_started = True
            self._loop.spawn(self._pull, "ajobs input")


class Asker(Protocol):
    """The run whose code reads, as its reader sees it."""

    is_closed: bool

    async def next_input(self) -> Any:
        """Return the next item; on the run's loop.

        Raises:
            StopAsyncIteration: The input has ended, or there is none.
        """

    def put_back_input(self, value: Any, error: BaseException | None) -> None:
        """Let the next reader have what another one was given and could not take."""

    def stopping(self, callback: Callable[[], object]) -> AbstractContextManager[object]:
        """Call *callback* if the job is told to end while the block runs, or was already."""


class _FarAsk(_Ask):
    """One in another event loop: that of an async function that runs in a thread.

    It is made and waited for there; the rest happens on the loop of the run.
    """

    def __init__(self, run: Asker, loop: Loop) -> None:
        super().__init__()
        self._run = run
        self._loop = loop
        self._context = loop.copy_context()
        self._home = current_loop()
        self._scope: CancelScope | None = None
        self._is_withdrawn = False

    def serve(self, value: Any, error: BaseException | None = None) -> None:
        self.value, self.error, self.is_served = value, error, True
        self._home.call_soon(self.event.set)

    def begin(self) -> None:
        """Start to ask."""
        if self._run.is_closed:
            self.serve(None, StopRequested(UNHEARD))
        else:
            self._loop.spawn(self._answer, "ajobs input", self._context)

    def withdraw(self) -> None:
        """Take what comes for the next reader: this one has gone."""
        self._is_withdrawn = True
        if self.is_served:
            self._run.put_back_input(self.value, self.error)
        elif self._scope is not None:
            self._scope.cancel()

    async def _answer(self) -> None:
        try:
            with self._loop.scope() as self._scope, self._run.stopping(self._scope.cancel):
                if not self._is_withdrawn:
                    await self._get()
        finally:
            if not self.is_served:
                self.serve(None, StopRequested(STOPPED))

    async def _get(self) -> None:
        value, error = None, None
        try:
            value = await self._run.next_input()
        except self._loop.cancelled:
            raise
        except BaseException as exc:  # noqa: BLE001  # the reader gets it, whatever it is
            error = exc

        if self._is_withdrawn:
            self._run.put_back_input(value, error)
        else:
            self.serve(value, error)


class InputReader:
    """A job's input, to be read with ``for`` in threads and ``async for`` in tasks."""

    def __init__(self, run: Asker, loop: Loop, token: EventLoopToken) -> None:
        """Read the input of *run*, which lives on *loop*, the one of *token*."""
        self._run = run
        self._loop = loop
        self._token = token

    def __aiter__(self) -> Self:
        """Return itself: the job's input has one position."""
        return self

    async def __anext__(self) -> Any:
        """Return the next item, waiting for it."""
        if self._loop.is_running_here:
            return await self._run.next_input()

        # An async function in a thread with a loop of its own, which must not be blocked. Not by
        # anyio.to_thread and anyio.from_thread: on trio a cancellation would leave the question
        # behind, with the item that it gets.
        ask = _FarAsk(self._run, self._loop)
        if not self._loop.call_soon(ask.begin):
            raise StopRequested(UNHEARD)

        try:
            await ask.event.wait()
        except BaseException:
            self._loop.call_soon(ask.withdraw)
            raise

        return _taken(ask.value, ask.error)

    def __iter__(self) -> Self:
        """Return itself, in code that is not on the loop.

        Raises:
            RuntimeError: On the loop, where waiting would block every job.
        """
        if self._loop.in_thread:
            raise RuntimeError("read job_input() with `async for` here: `for` would block the loop")

        return self

    def __next__(self) -> Any:
        """Return the next item, blocking the thread until it is there."""
        item = self._next_or_end()
        if item is _END:
            raise StopIteration

        return item

    def _next_or_end(self) -> Any:
        if self._run.is_closed:
            # Its loop may be about to end, and would leave the question unheard.
            raise StopRequested(UNHEARD)

        return anyio.from_thread.run(self._ask, token=self._token)

    async def _ask(self) -> Any:
        # On the run's loop, for code in a thread: no cancellation reaches it, but a stop does.
        with CancelScope() as scope, self._run.stopping(scope.cancel):
            try:
                return await self._run.next_input()
            except StopAsyncIteration:
                return _END

        raise StopRequested(STOPPED)
