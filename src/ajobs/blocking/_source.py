"""What code without an event loop gives to be read, in a form that never holds up the loop.

A plain iterable may wait, or call verbs that do, so a thread of its own pulls it. This file
knows iterables and the loop, not who reads them.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import AsyncIterable, Iterable, Sized
from contextvars import copy_context
from typing import Any

import anyio

from .._foreach.source import ReadAhead
from .._loop import Loop
from ._job import Receipt

#: What has its items at hand: the loop may take them itself, which is quicker.
AT_HAND = frozenset(
    {
        *(list, tuple, range, str, bytes, bytearray, set, frozenset, dict, deque),
        *map(type, ({}.keys(), {}.values(), {}.items())),
    }
)

#: Seconds that a pull may still take after the end, the cleanup of a generator included.
CLOSE_SECONDS = 1.0


def readable(source: Any, loop: Loop) -> Any:
    """Return *source* as *loop* can read it; what cannot be iterated stays as it is."""
    if isinstance(source, Receipt):
        return source.behind

    is_plain = isinstance(source, Iterable) and not isinstance(source, AsyncIterable)
    if not is_plain or type(source) in AT_HAND:
        return source

    return (SizedPulled if isinstance(source, Sized) else Pulled)(source, loop)


class Pulled(ReadAhead):
    """A plain iterable, pulled by a thread of its own, no further than it is allowed to."""

    def __init__(self, iterable: Iterable[Any], loop: Loop) -> None:
        """Pull *iterable* for *loop*, in the context of the caller; nothing of it runs yet."""
        self._iterable = iterable
        self._loop = loop
        self._context = copy_context()
        self._thread: threading.Thread | None = None
        #: Guards what follows. Whoever holds it never waits.
        self._changed = threading.Condition()
        self._items: deque[Any] = deque()
        self._allowed = 0
        self._is_closing = False
        self._is_over = False
        self._error: BaseException | None = None
        self._reader: anyio.Event | None = None

    def allow(self, most: int) -> None:
        with self._changed:
            self._allowed = most
            if most <= len(self._items) or self._is_over:
                return

            if self._thread is not None:
                self._changed.notify()
                return

            # A daemon: a pull that never returns must not keep the program from its end.
            thread = threading.Thread(
                target=self._context.run, args=(self._pull,), name="ajobs input", daemon=True
            )
            thread.start()
            self._thread = thread

    async def __anext__(self) -> Any:
        while True:
            with self._changed:
                if self._items:
                    self._allowed -= 1
                    return self._items.popleft()

                if self._is_over:
                    error, self._error = self._error, None
                    raise error or StopAsyncIteration

                self.allow(max(self._allowed, 1))
                self._reader = reader = anyio.Event()

            await reader.wait()

    async def aclose(self) -> None:
        """Pull no more, and close what is a generator; wait a moment until that is done."""
        with self._changed:
            self._is_closing = True
            self._items.clear()
            if self._thread is None:
                self._is_over = True
                _close(self._iterable)

            self._changed.notify()
            self._reader = ended = anyio.Event()
            if self._is_over:
                ended.set()

        with anyio.move_on_after(CLOSE_SECONDS):
            await ended.wait()

        error, self._error = self._error, None
        if isinstance(error, Exception):
            raise error

    # In the thread

    def _pull(self) -> None:
        error: BaseException | None = None
        try:
            iterator = iter(self._iterable)
            while self._may_pull():
                self._put(next(iterator))

            _close(iterator)
        except StopIteration:
            pass
        except BaseException as exc:  # noqa: BLE001  # the reader raises it
            error = exc

        with self._changed:
            self._is_over = True
            self._error = error
            self._wake_reader()

        del error  # its traceback holds this frame

    def _may_pull(self) -> bool:
        with self._changed:
            while len(self._items) >= self._allowed and not self._is_closing:
                self._changed.wait()

            return not self._is_closing

    def _put(self, item: object) -> None:
        with self._changed:
            if not self._is_closing:
                self._items.append(item)
                self._wake_reader()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            self._loop.call_soon(reader.set)


class SizedPulled(Pulled):
    """The same of an iterable that knows how many items it has."""

    def __init__(self, iterable: Any, loop: Loop) -> None:
        super().__init__(iterable, loop)
        self._size = len(iterable)

    def __len__(self) -> int:
        return self._size


def _close(iterator: object) -> None:
    if inspect.isgenerator(iterator):
        iterator.close()
