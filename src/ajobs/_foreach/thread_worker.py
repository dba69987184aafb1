"""One thread that runs batches of items, and what it shares with the loop.

Everything in a `ThreadWorker` but `expire` and `stop` happens in its thread.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from contextvars import Context
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from types import CoroutineType
from typing import Any, Final, NamedTuple

import anyio
from anyio import CancelScope

from .._checks import Kind
from .._context import WRITTEN, enter_context
from .._drive import drive
from .._errors import StopRequested
from .._loop import current_loop
from .items import ItemContext
from .results import Outcome
from .run import Run
from .thread_batch import Batch


class Failed(NamedTuple):
    """What stands for the value of an item that raised."""

    item: Any
    raised: BaseException


#: Stands for an item whose results went by `Exchange.posts`.
POSTED: Final = object()

#: Stands for an item that was reported before it ended.
REPORTED: Final = object()

#: Posted when an item has ended that gave its results one by one.
END: Final = object()


class Exchange:
    """What the loop and the threads of one call share.

    Attributes:
        run: The call.
        prepare: Called once in each thread, before its first item.
        queue: Batches for the threads; None tells them to end.
        done: Batches that threads have ended.
        posts: Index, item and value of results that came one by one, `END` after the last.
        is_halted: True when no batch is to be begun any more.
        is_coming: True while a thread is being started.
    """

    def __init__(
        self, run: Run, prepare: Callable[[], object], on_news: Callable[[], object]
    ) -> None:
        """Make an exchange; *on_news* is called on the loop when threads have done something."""
        self.run = run
        self.prepare = prepare
        self.queue: SimpleQueue[Batch | None] = SimpleQueue()
        self.done: deque[Batch] = deque()
        self.posts: deque[tuple[int, Any, Any]] = deque()
        self.is_halted = False
        self.is_coming = False
        self._on_news = on_news
        self._is_poked = False
        self._room = threading.Condition()

    def poke(self) -> None:
        """Let the loop look at what the threads have done. From any thread."""
        if not self._is_poked:
            self._is_poked = True
            self.run.loop.call_soon(self._poked)

    def _poked(self) -> None:
        self._is_poked = False
        self._on_news()

    def halt(self) -> None:
        """Tell all threads to end."""
        self.is_halted = True
        self.queue.put(None)
        self.room_given()

    def room_given(self) -> None:
        """Let threads that wait for room look again."""
        with self._room:
            self._room.notify_all()

    def wait_room(self, worker: ThreadWorker) -> None:
        """Block the thread of *worker* while its item should give no more.

        Raises:
            StopRequested: The item has to end.
        """
        if not self._is_crowded(worker):
            return

        with self._room:
            while self._is_crowded(worker) and not worker.stop_requested():
                self._room.wait()

        if worker.stop_requested():
            raise StopRequested("the item was stopped while it waited for room")

    def _is_crowded(self, worker: ThreadWorker) -> bool:
        return self.run.is_crowded(worker.index, len(self.posts))


class ThreadWorker(ItemContext):
    """One thread that runs batches; everything but `expire` and `stop` happens in it."""

    __slots__ = (
        "_cancel",
        "_exchange",
        "_has_results",
        "_run",
        "batch",
        "is_left",
        "late_index",
        "scope",
        "started",
    )

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.run.caller)
        self._exchange = exchange
        self._run = exchange.run
        self._has_results = False
        self._cancel: Callable[[], object] | None = None
        self.batch: Batch | None = None
        self.late_index = -1
        self.started = math.inf
        self.is_left = False
        self.scope = CancelScope()

    def work(self) -> None:
        """Run batches until told to end."""
        self._exchange.is_coming = False
        self._exchange.poke()
        self._exchange.prepare()
        is_async = self._run.plan.kind.is_async
        while not self.is_left:
            batch = self._exchange.queue.get()
            if batch is None or self._exchange.is_halted:
                self._exchange.queue.put(None)  # for the next thread
                break

            self.batch = batch
            if is_async:
                backend = "trio" if self._run.loop.is_trio else "asyncio"
                anyio.run(self._run_async, batch, backend=backend)
            else:
                with batch.timed():
                    self._run_plain(batch)

            self.batch = None
            self.item = None
            self.started = math.inf
            self._exchange.done.append(batch)
            self._exchange.poke()

    def _run_plain(self, batch: Batch) -> None:
        plan = self._run.plan
        fn = plan.fn if plan.kind is Kind.PLAIN else self._each
        outcomes = plan.on_error == "return"
        is_timed = self._run.is_timed
        copy = self._context().copy
        take = batch.items.popleft
        give = batch.values.append
        self.index = batch.first - 1
        while True:
            if is_timed:
                self.started = math.inf

            try:
                item = take()
            except IndexError:
                return

            self.index += 1
            self.item = item
            if is_timed:
                self.started = perf_counter()

            try:
                value = copy().run(fn, item)
            except BaseException as exc:  # noqa: BLE001  # an item's end is data, whatever it is
                self._ended_by(batch, exc)
            else:
                if self._has_results or type(value) is CoroutineType:
                    self._ended_with(batch, value)
                else:
                    give(Outcome(self.index, item, value, None) if outcomes else value)

    async def _run_async(self, batch: Batch) -> None:
        # The start of a loop says nothing of the items: if it counted, batches would stay small.
        with batch.timed():
            await self._run_each(batch)

    async def _run_each(self, batch: Batch) -> None:
        plan = self._run.plan
        fn = plan.fn if plan.kind is Kind.COROUTINE else self._each_async
        base = self._context()
        self.index = batch.first - 1
        while True:
            self.started = math.inf
            try:
                item = batch.items.popleft()
            except IndexError:  # the loop may have taken the last one this very moment
                return

            self.index += 1
            self.item = item
            self.started = perf_counter()
            try:
                with CancelScope() as scope:
                    self._cancel = partial(current_loop().call_soon, scope.cancel)
                    if self.stop_requested():
                        scope.cancel()

                    value = await drive(fn(item), base.copy(), _nothing)
            except BaseException as exc:  # noqa: BLE001  # as above
                self._ended_by(batch, exc)
            else:
                if scope.cancelled_caught:
                    self._ended_by(batch, StopRequested())
                else:
                    self._ended_with(batch, value)
            finally:
                self._cancel = None

    def _context(self) -> Context:
        context = self._run.base.copy()
        context.run(enter_context, self)
        return context

    def _ended_with(self, batch: Batch, value: Any) -> None:
        if type(value) is CoroutineType and not self._run.plan.kind.is_async:
            value.close()
            error = TypeError(
                "the function is a plain one and returned a coroutine, which nobody awaits: "
                "pass the async function itself"
            )
            self._ended_by(batch, error)
        elif self._has_results:
            if value is not None:
                self._post(value)

            self._end(batch, POSTED)
        elif self._run.plan.on_error == "return":
            batch.values.append(Outcome(self.index, self.item, value, None))
        else:
            batch.values.append(value)

    def _ended_by(self, batch: Batch, raised: BaseException) -> None:
        if self._run.plan.on_error == "raise" and isinstance(raised, Exception):
            # The loop would say so, too, but other items would start meanwhile.
            self._exchange.is_halted = True
            batch.items.clear()

        self._end(batch, Failed(self.item, raised))

    def _end(self, batch: Batch, how: object) -> None:
        # The loop may have reported this item as late at the same moment: the first one counts.
        actual = batch.odd.setdefault(self.index - batch.first, how)
        if actual is POSTED:
            self._post(END)

        self._has_results = False
        batch.values.append(None)

    # What the code of an item sees

    def _post(self, value: object) -> None:
        self._exchange.posts.append((self.index, self.item, value))
        self._exchange.poke()

    def _result(self, value: object) -> Awaitable[None]:
        self._has_results = True
        self._post(value)
        self._exchange.wait_room(self)
        return WRITTEN

    def _each(self, item: object) -> Any:
        """Give each value of a generator as a result."""
        self._has_results = True
        generator = self._run.plan.fn(item)
        try:
            while True:
                try:
                    value = next(generator)
                except StopIteration as end:
                    return end.value

                self._result(value)
        finally:
            generator.close()

    async def _each_async(self, item: object) -> None:
        self._has_results = True
        async with aclosing(self._run.plan.fn(item)) as values:
            async for value in values:
                # This loop belongs to the item alone: waiting for room may block it.
                self._result(value)

    def stop_requested(self) -> bool:
        index = self.index
        if self._run.is_stopping or self.late_index == index or index in self._run.told:
            return True

        return self._caller is not None and self._caller.stop_requested()

    def cleanup(self) -> AbstractContextManager[object]:
        return nullcontext()

    # From the loop

    def look(self) -> tuple[int, Any, float] | None:
        """Return index, item and start of what it runs; None if it is between two items."""
        started = self.started
        index, item = self.index, self.item
        is_settled = started != math.inf and self.started == started
        return (index, item, started) if is_settled else None

    def expire(self, index: int) -> None:
        """Tell item *index*, if it still runs, that its time is over."""
        self.late_index = index
        self.stop()

    def stop(self) -> None:
        """Tell the loop of an async item to cancel it."""
        cancel = self._cancel
        if cancel is not None:
            cancel()


def _nothing() -> None:
    pass
