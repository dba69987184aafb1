"""Items in threads, which take them in batches.

The input is pulled on the loop only. Threads share one queue of batches, and wake the loop
once for many results. A batch is no promise: what waits in it behind a slow item is given to
another thread, and results are collected from batches that are still at work.
"""

from __future__ import annotations

import math
import threading
import warnings
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
from anyio import CancelScope, CapacityLimiter, to_thread

from .._checks import Kind
from .._context import WRITTEN, enter_context
from .._drive import drive
from .._errors import ItemTimeout, JobStuck, StopRequested
from .._loop import Timer, current_loop
from ..runners.thread import ThreadRunner
from .items import LOGGER, ItemContext, name_of
from .results import Outcome
from .run import STOP_GRACE, Place, Run
from .sizing import fair_share, next_size

#: Seconds after which a batch at work is looked at: what it has is collected, and what waits
#: in it behind a slow item is given to others.
LOOK: Final = 0.01

#: Threads that may be left behind by one call, each with an item that never ends.
MOST_LEFT: Final = 32


class Failed(NamedTuple):
    """What stands for the value of an item that raised."""

    item: Any
    raised: BaseException


#: Stands for an item whose results went by `ThreadPlace.post`.
POSTED: Final = object()

#: Stands for an item that was reported before it ended.
REPORTED: Final = object()

#: Posted when an item has ended that gave its results one by one.
END: Final = object()


class Batch:
    """Items on their way through a thread.

    The thread takes items from the left and appends to `values`, one entry for each item;
    the loop may take untouched items from the right, and read values at any time.

    Attributes:
        first: The index of the first item.
        size: How many items it was left with.
        odd: What to do about items, by position, whose entry in `values` is no result.
        began: When the thread took it; infinity before.
        seconds: How long the thread was busy with it; 0 while it is.
        seen: How many values have been collected.
    """

    __slots__ = ("began", "first", "items", "odd", "seconds", "seen", "size", "values")

    def __init__(self, first: int, items: deque[Any]) -> None:
        self.first = first
        self.items = items
        self.size = len(items)
        self.values: list[Any] = []
        self.odd: dict[int, object] = {}
        self.began = math.inf
        self.seconds = 0.0
        self.seen = 0

    def split(self) -> Batch | None:
        """Take away the items that no thread has touched; None if there is none."""
        rest: deque[Any] = deque()
        try:
            while True:
                rest.appendleft(self.items.pop())
        except IndexError:
            pass

        if not rest:
            return None

        self.size -= len(rest)
        return Batch(self.first + self.size, rest)


class ThreadPlace(Place):
    """Runs items in threads."""

    def __init__(self, run: Run, runner: ThreadRunner) -> None:
        self.run = run
        self.prepare = runner._prepare
        self.queue: SimpleQueue[Batch | None] = SimpleQueue()
        self.done: deque[Batch] = deque()
        self.posts: deque[tuple[int, Any, Any]] = deque()
        self.room = threading.Condition()
        self.workers: set[ThreadWorker] = set()
        self.is_halted = False
        self._threads = min(run.plan.throttle, runner._max_threads)
        self._left = 0
        self._coming = 0
        self._at_work: dict[Batch, None] = {}
        self._size = 1
        self._is_poked = False
        self._is_feeding = False
        self._wanted: anyio.Event | None = None
        self._timer: Timer | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self.workers) or self._is_feeding

    # The feeding task

    def wake(self) -> None:
        if self.run.is_stopping:
            return

        if not self._is_feeding:
            self._is_feeding = True
            self.run.loop.spawn(self._feed, "ajobs foreach")
        elif self._wanted is not None:
            self._wanted.set()

    def poke(self) -> None:
        """Let the loop look at what the threads have done. From any thread."""
        if not self._is_poked:
            self._is_poked = True
            self.run.loop.call_soon(self._poked)

    def _poked(self) -> None:
        self._is_poked = False
        self.wake()

    async def _feed(self) -> None:
        run = self.run
        try:
            with run.loop.scope():
                await self._feed_on()
        except BaseException as exc:  # noqa: BLE001  # without this task nothing would move
            run.give_up(exc)
        finally:
            self._is_feeding = False
            run.check_idle()

    async def _feed_on(self) -> None:
        run = self.run
        while not run.is_stopping:
            self._wanted = anyio.Event()
            self.collect()
            self._fill()
            run.check_over()
            self._look_again()
            if not run.is_stopping:
                await self._wanted.wait()

    def _look_again(self) -> None:
        limit = self.run.plan.item_timeout
        if self._timer is None and (limit < math.inf or self._size > 1) and self._at_work:
            due = self.run.loop.time() + min(LOOK, limit)
            self._timer = self.run.loop.call_at(due, self._time_to_look)

    def _time_to_look(self) -> None:
        self._timer = None
        self.wake()

    def _fill(self) -> None:
        run = self.run
        if run.is_stopping:
            return

        while run.may_take() and len(self._at_work) < self._depth():
            items: deque[Any] = deque()
            first = run.taken
            run.take_many(items, self._next_size())
            if not items:
                break

            batch = Batch(first, items)
            self._at_work[batch] = None
            self.queue.put(batch)

        if not self._coming and self.queue.qsize() and len(self.workers) < self._threads:
            self._start_thread()

    def _depth(self) -> float:
        """Say how many batches may be under way: with quick items a thread has one waiting."""
        return self._threads if self._size == 1 else 2 * max(1, len(self.workers))

    def _next_size(self) -> int:
        run = self.run
        workers = max(1, len(self.workers))
        if run.plan.per_second is not None:
            return 1

        if run.plan.buffer is None:
            run.widen(3 * self._size * workers)
            size = self._size
        else:
            size = min(self._size, max(1, int(run.look_ahead // (2 * workers))))

        return fair_share(size, run.source.size - run.taken, workers)

    # What the threads have done

    def collect(self) -> None:
        """Hand over what items have given."""
        while self.done:
            batch = self.done.popleft()
            self._absorb(batch)
            self._at_work.pop(batch, None)
            if batch.seen:
                self._size = next_size(self._size, batch.seen, batch.seconds)

        self._take_posts()
        if self._size > 1 or self.run.plan.item_timeout < math.inf:
            self._look_at_slow()

    def _take_posts(self) -> None:
        while self.posts:
            index, item, value = self.posts.popleft()
            if value is END:
                self.run.end(index)
            else:
                self.run.add(index, item, value)

        if self.run.is_held:
            self.run.give_room()

    def _absorb(self, batch: Batch) -> None:
        run = self.run
        values = batch.values[batch.seen :]
        # What these items posted came before their ends did.
        self._take_posts()
        if not values:
            return

        start, batch.seen = batch.seen, batch.seen + len(values)
        if not batch.odd:
            run.results.several(batch.first + start, values)
            run.ended += len(values)
            run.wake_consumer()
            return

        for position, value in enumerate(values, start):
            odd = batch.odd.get(position)
            if odd is None:
                run.only(batch.first + position, value)
            elif isinstance(odd, Failed):
                run.item_raised(batch.first + position, odd.item, odd.raised)

    def _look_at_slow(self) -> None:
        now = perf_counter()
        for batch in tuple(self._at_work):
            if now - batch.began > LOOK:
                self._absorb(batch)
                self._requeue_rest(batch)

        limit = self.run.plan.item_timeout
        if limit < math.inf:
            for worker in tuple(self.workers):
                self._look_at(worker, now, limit)

    def _requeue_rest(self, batch: Batch) -> None:
        rest = batch.split()
        if rest is not None:
            self._at_work[rest] = None
            self.queue.put(rest)
            self._size = 1

    def _look_at(self, worker: ThreadWorker, now: float, limit: float) -> None:
        batch, index, item = worker.batch, worker.index, worker.item
        if batch is None or now - worker.started <= limit or worker.index != index:
            return

        if worker.late_index != index:
            # Claimed first: as soon as it is told, it may end by itself.
            if batch.odd.setdefault(index - batch.first, REPORTED) is REPORTED:
                worker.expire(index)
                error = ItemTimeout(f"item {index} ran longer than item_timeout={limit:g} s")
                self.run.item_failed(index, item, error)
        elif now - worker.started > limit + STOP_GRACE:
            self._leave(worker)
            self._requeue_rest(batch)
            self._at_work.pop(batch, None)
            if self._left > MOST_LEFT:
                self.run.give_up(
                    JobStuck(f"{self._left} threads are busy with items that do not end")
                )

    # Threads

    def _start_thread(self) -> None:
        self._coming += 1
        worker = ThreadWorker(self)
        self.workers.add(worker)
        self.run.loop.spawn(partial(self._hold, worker), "ajobs foreach thread")

    def began(self) -> None:
        """Note that a thread has started. From that thread."""
        self._coming -= 1
        self.poke()

    async def _hold(self, worker: ThreadWorker) -> None:
        run = self.run
        try:
            with run.loop.scope() as worker.scope:
                await to_thread.run_sync(
                    worker.work, abandon_on_cancel=True, limiter=CapacityLimiter(1)
                )
        except BaseException as exc:  # noqa: BLE001  # no thread, or a failed initializer
            run.give_up(exc)
        finally:
            self.workers.discard(worker)
            if run.is_stopping:
                self.collect()

            run.check_idle()

    def _leave(self, worker: ThreadWorker) -> None:
        """Go on without a thread that does not come back."""
        worker.is_left = True
        self._left += 1
        self.workers.discard(worker)
        worker.scope.cancel()

    def stop(self) -> None:
        for batch in self._at_work:
            batch.items.clear()

        self.is_halted = True
        self.queue.put(None)
        for worker in self.workers:
            worker.stop()

        with self.room:
            self.room.notify_all()

        if self._wanted is not None:
            self._wanted.set()

        if self.workers:
            self.run.loop.call_at(self.run.stop_deadline, self._leave_all)

    def _leave_all(self) -> None:
        names = []
        for worker in tuple(self.workers):
            names.append(name_of(worker.index, worker.item))
            self._leave(worker)

        if names:
            _warn(f"parallel_foreach left threads behind that do not stop: {'; '.join(names)}")

        self.run.check_idle()

    # Back-pressure for items that give many results

    def room_given(self) -> None:
        with self.room:
            self.room.notify_all()

    def wait_room(self, worker: ThreadWorker) -> None:
        """Block the thread of *worker* while its item should give no more.

        Raises:
            StopRequested: The item has to end.
        """
        if not self._is_crowded(worker):
            return

        with self.room:
            while self._is_crowded(worker) and not worker.stop_requested():
                self.room.wait()

        if worker.stop_requested():
            raise StopRequested("the item was stopped while it waited for room")

    def _is_crowded(self, worker: ThreadWorker) -> bool:
        return self.run.is_crowded(worker.index, len(self.posts))


def _warn(message: str) -> None:
    """Give the user a RuntimeWarning; where warnings are errors, log it instead."""
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    except RuntimeWarning:
        LOGGER.warning("%s", message)


class ThreadWorker(ItemContext):
    """One thread that runs batches; everything but `expire` and `stop` happens in it."""

    __slots__ = (
        "_cancel",
        "_has_results",
        "_place",
        "_run",
        "batch",
        "is_left",
        "late_index",
        "scope",
        "started",
    )

    def __init__(self, place: ThreadPlace) -> None:
        super().__init__(place.run.caller)
        self._place = place
        self._run = place.run
        self._has_results = False
        self._cancel: Callable[[], object] | None = None
        self.batch: Batch | None = None
        self.late_index = -1
        self.started = math.inf
        self.is_left = False
        self.scope = CancelScope()

    def work(self) -> None:
        """Run batches until told to end."""
        self._place.began()
        self._place.prepare()
        is_async = self._run.plan.kind.is_async
        while not self.is_left:
            batch = self._place.queue.get()
            if batch is None or self._place.is_halted:
                self._place.queue.put(None)  # for the next thread
                break

            self.batch = batch
            batch.began = began = perf_counter()
            if is_async:
                backend = "trio" if self._run.loop.is_trio else "asyncio"
                anyio.run(self._run_async, batch, backend=backend)
            else:
                self._run_plain(batch)

            self.batch = None
            self.item = None
            batch.seconds = perf_counter() - began
            self._place.done.append(batch)
            self._place.poke()

    def _run_plain(self, batch: Batch) -> None:
        plan = self._run.plan
        fn = plan.fn if plan.kind is Kind.PLAIN else self._each
        outcomes = plan.on_error == "return"
        limited = plan.item_timeout < math.inf
        copy = self._context().copy
        take = batch.items.popleft
        give = batch.values.append
        self.index = batch.first - 1
        while True:
            try:
                item = take()
            except IndexError:
                return

            self.index += 1
            self.item = item
            if limited:
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
        plan = self._run.plan
        fn = plan.fn if plan.kind is Kind.COROUTINE else self._each_async
        base = self._context()
        self.index = batch.first - 1
        while batch.items:
            item = batch.items.popleft()
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
            self._place.is_halted = True
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
        self._place.posts.append((self.index, self.item, value))
        self._place.poke()

    def _result(self, value: object) -> Awaitable[None]:
        self._has_results = True
        self._post(value)
        self._place.wait_room(self)
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
        if self._run.is_stopping or self.late_index == self.index:
            return True

        return self._caller is not None and self._caller.stop_requested()

    def cleanup(self) -> AbstractContextManager[object]:
        return nullcontext()

    # From the loop

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
