"""Items as coroutines on the loop: how many tasks run them, and when they are started.

More are started when those that there are wait, up to the throttle: where functions never
wait, one task serves thousands of items.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import perf_counter
from typing import Final

from anyio.lowlevel import cancel_shielded_checkpoint

from .items import LOGGER, name_of
from .limits import ItemLimits
from .place import AtWork, Place
from .run import Run
from .task_worker import TaskWorker

#: Up to so many, workers are started one by one: a client that opens as many connections as are
#: asked of it at once finds meanwhile that it needs fewer. Then the crowd doubles at each turn.
FEW: Final = 16

#: Workers that are started in one turn of the loop.
MANY: Final = 64

#: Seconds of results that may wait for a consumer, where the caller left that to us.
AHEAD: Final = 0.01

#: Most results of these.
MOST: Final = 1000


class TaskPlace(Place):
    """Runs items as coroutines, each worker in a task of its own."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.workers: set[TaskWorker] = set()
        self.limits: ItemLimits | None = None
        if run.plan.item_timeout < math.inf:
            self.limits = ItemLimits(run, self.workers)

        #: Workers that let the loop have its turn, between two items.
        self.resting = 0
        self._began = perf_counter()
        self._throttle = run.plan.throttle
        self._coming = 0

    @property
    def is_busy(self) -> bool:
        return bool(self.workers or self._coming)

    def wake(self) -> None:
        self._start(1)

    def grow(self) -> None:
        there = len(self.workers)
        self._start(1 if there < FEW else min(there, MANY))

    def _start(self, count: int) -> None:
        free = self._throttle - len(self.workers)
        if free <= 0 or self._coming:
            return

        wanted = min(free, count, self.run.startable())
        while self._coming < wanted:
            self._coming += 1
            self.run.loop.spawn_worker(self._work, own=self.run.base)

    async def _work(self) -> None:
        worker = None
        try:
            if await self._is_needed():
                worker = TaskWorker(self)
                self.workers.add(worker)
                if self.limits is not None:
                    self.limits.watch()

            while worker is not None and not worker.is_done:
                with self.run.loop.scope() as worker.scope:
                    await worker.serve()
        except BaseException as exc:  # noqa: BLE001  # without its workers nothing would move
            self.run.give_up(exc)
        finally:
            if worker is not None:
                self.workers.discard(worker)

            self.run.check_over()
            self.run.check_idle()
            self.wake()

    async def _is_needed(self) -> bool:
        try:
            await self.run.loop.entered()
        except self.run.loop.cancelled:
            return False  # somebody cancels every task: it has no item yet, another one comes
        finally:
            self._coming -= 1

        return not self.resting and self.run.startable() > 0

    async def rest(self) -> None:
        self.resting += 1
        try:
            await cancel_shielded_checkpoint()
        finally:
            self.resting -= 1

    def has_more(self) -> bool:
        # Quick items may be further ahead of the consumer: else workers come and go all the time.
        run = self.run
        run.widen(int(min(run.taken / (perf_counter() - self._began) * AHEAD, MOST)))
        return run.startable() > 0

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()

        if self.workers:
            self.run.loop.call_at(self.run.stop_deadline, self._complain)

    def hurry(self) -> None:
        for worker in self.workers:
            worker.end_item(self.run.loop.time())

    def at_work(self) -> Iterator[AtWork]:
        now = self.run.loop.time()
        for worker in tuple(self.workers):  # other threads look, too
            if worker.index >= 0:
                yield AtWork(worker.index, worker.item, now - worker.started)

    def stop_item(self, index: int, deadline: float) -> None:
        for worker in self.workers:
            if worker.index == index:
                worker.end_item(deadline)

    def _complain(self) -> None:
        # A task cannot be left behind, so all that is left to do is to say who holds the exit.
        for worker in self.workers:
            name = name_of(worker.index, worker.item)
            LOGGER.warning("parallel_foreach waits for %s, which refuses to stop", name)
