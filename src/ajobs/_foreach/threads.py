"""Items in threads, which take them in batches.

The input is pulled on the loop only. Threads share one queue of batches, and wake the loop
once for many results. A batch is no promise: what waits in it behind a slow item is given to
another thread, and results are collected from batches that are still at work.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any, Final

import anyio
from anyio import CapacityLimiter, to_thread

from .._errors import ItemTimeout, JobStuck
from .._timers import Timer
from ..runners.thread import ThreadRunner
from .items import LOGGER, name_of
from .place import AtWork, Place
from .run import STOP_GRACE, Run
from .sizing import fair_share, next_size
from .thread_batch import Batch
from .thread_worker import END, REPORTED, Exchange, Failed, ThreadWorker

#: Seconds after which a batch at work is looked at: what it has is collected, and what waits
#: in it behind a slow item is given to others.
LOOK: Final = 0.01

#: Threads that may be left behind by one call, each with an item that never ends.
MOST_LEFT: Final = 32


class ThreadPlace(Place):
    """Runs items in threads."""

    def __init__(self, run: Run, runner: ThreadRunner) -> None:
        self.run = run
        self.exchange = Exchange(run, runner.prepare, self.wake)
        self.workers: set[ThreadWorker] = set()
        self._threads = min(run.plan.throttle, runner.max_threads)
        self._left = 0
        self._at_work: dict[Batch, None] = {}
        self._size = 1
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

        while run.startable() and len(self._at_work) < self._depth():
            items: deque[Any] = deque()
            first = run.taken
            run.take_many(items, self._next_size())
            if not items:
                break

            batch = Batch(first, items)
            self._at_work[batch] = None
            self.exchange.queue.put(batch)

        if (
            not self.exchange.is_coming
            and self.exchange.queue.qsize()
            and len(self.workers) < self._threads
        ):
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
        while self.exchange.done:
            batch = self.exchange.done.popleft()
            self._absorb(batch)
            self._at_work.pop(batch, None)
            if batch.seen:
                self._size = next_size(self._size, batch.seen, batch.seconds)

        self._take_posts()
        if self._size > 1 or self.run.plan.item_timeout < math.inf:
            self._look_at_slow()

    def _take_posts(self) -> None:
        posts = self.exchange.posts
        while posts:
            index, item, value = posts.popleft()
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
            self.exchange.queue.put(rest)
            self._size = 1

    def _look_at(self, worker: ThreadWorker, now: float, limit: float) -> None:
        batch, found = worker.batch, worker.look()
        if batch is None or found is None:
            return

        index, item, started = found
        if now - started <= limit:
            return

        if worker.late_index != index:
            # Claimed first: as soon as it is told, it may end by itself.
            if batch.odd.setdefault(index - batch.first, REPORTED) is REPORTED:
                worker.expire(index)
                error = ItemTimeout(f"item {index} ran longer than item_timeout={limit:g} s")
                self.run.item_failed(index, item, error)
        elif now - started > limit + STOP_GRACE:
            self._leave(worker)
            self._requeue_rest(batch)
            self._at_work.pop(batch, None)
            if self._left > MOST_LEFT:
                self.run.give_up(
                    JobStuck(f"{self._left} threads are busy with items that do not end")
                )

    def at_work(self) -> Iterator[AtWork]:
        now = perf_counter()
        for worker in tuple(self.workers):
            found = worker.look()
            if found is not None:
                index, item, started = found
                if index != worker.late_index:
                    yield AtWork(index, item, now - started)

    def stop_item(self, index: int, deadline: float) -> None:
        for worker in self.workers:
            if worker.index == index:
                worker.stop()

    # Threads

    def _start_thread(self) -> None:
        self.exchange.is_coming = True
        worker = ThreadWorker(self.exchange)
        self.workers.add(worker)
        self.run.loop.spawn(partial(self._hold, worker), "ajobs foreach thread")

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

        self.exchange.halt()
        for worker in self.workers:
            worker.stop()

        if self._wanted is not None:
            self._wanted.set()

        if self.workers:
            self.run.loop.call_at(self.run.stop_deadline, self._leave_all)

    def hurry(self) -> None:
        self._leave_all()

    def room_given(self) -> None:
        self.exchange.room_given()

    def _leave_all(self) -> None:
        names = []
        for worker in tuple(self.workers):
            names.append(name_of(worker.index, worker.item))
            self._leave(worker)

        if names:
            _warn(f"parallel_foreach left threads behind that do not stop: {'; '.join(names)}")

        self.run.check_idle()


def _warn(message: str) -> None:
    """Give the user a RuntimeWarning; where warnings are errors, log it instead."""
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    except RuntimeWarning:
        LOGGER.warning("%s", message)
