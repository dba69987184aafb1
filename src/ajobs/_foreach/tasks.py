"""Items as coroutines on the loop: workers that take one after another.

A worker is started when the newest one waits for the first time, up to the throttle: where
functions never wait, one task serves thousands of items. Nothing is made for an item but a
copy of the context.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Generator, Iterator
from contextlib import aclosing, contextmanager
from time import perf_counter
from typing import Any, Final

from anyio import CancelScope
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint

from .._checks import Kind
from .._context import WRITTEN, enter_context
from .._drive import resume
from .._errors import ItemTimeout, OutputLimitExceeded
from .._state import Demand, judge
from .items import LOGGER, ItemContext, name_of
from .limits import ItemLimits
from .results import Outcome
from .run import NOTHING, STOP_GRACE, AtWork, Place, Run

#: Seconds that a worker may go on without a look at what else the loop has to do.
TURN: Final = 0.005

#: A worker looks at the clock after this many items that do not wait, or earlier.
STRIDE: Final = 32

#: Results that a generator may give before other tasks get a turn.
BURST: Final = 64

#: Seconds that a new worker may take to begin before more than one is started at a time.
SLOW_TURN: Final = 0.002


class TaskPlace(Place):
    """Runs items as coroutines, each worker in a task of its own."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.workers: set[TaskWorker] = set()
        self.limits: ItemLimits | None = None
        if run.plan.item_timeout < math.inf:
            self.limits = ItemLimits(run)

        #: False while there are as many workers as there may be.
        self.has_room = True
        self._throttle = run.plan.throttle
        self._coming = 0
        self._at_once = 1
        self._asked_at = 0.0

    @property
    def is_busy(self) -> bool:
        return bool(self.workers or self._coming)

    def wake(self) -> None:
        free = self._throttle - len(self.workers)
        self.has_room = free > 0
        if not free or self._coming or not self.run.may_take():
            return

        self._asked_at = perf_counter()
        while self._coming < min(free, self._at_once):
            self._coming += 1
            self.run.loop.spawn_worker(self._work)

    async def _work(self) -> None:
        worker = None
        try:
            if await self._has_entered():
                worker = TaskWorker(self)
                self.workers.add(worker)

            while worker is not None and not worker.is_done:
                with self.run.loop.scope() as worker.scope:
                    await worker.serve()
        except BaseException as exc:  # noqa: BLE001  # without its workers nothing would move
            self.run.give_up(exc)
        finally:
            if worker is not None:
                self.workers.discard(worker)
                self.has_room = True

            self.run.check_over()
            self.run.check_idle()
            self.wake()

    async def _has_entered(self) -> bool:
        try:
            await self.run.loop.entered()
        except self.run.loop.cancelled:
            return False  # somebody cancels every task: it has no item yet, another one comes
        finally:
            self._coming -= 1

        # In a loop with slow turns, one more worker for each turn would take for ever.
        slow = perf_counter() - self._asked_at > SLOW_TURN
        self._at_once = min(2 * self._at_once, 64) if slow else 1
        return True

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


class TaskWorker(ItemContext):
    """One task that runs items one after another."""

    __slots__ = (
        "_deadline",
        "_has_results",
        "_is_late",
        "_is_odd",
        "_place",
        "_run",
        "_shields",
        "_task",
        "is_done",
        "scope",
        "started",
    )

    def __init__(self, place: TaskPlace) -> None:
        super().__init__(place.run.caller)
        self._place = place
        self._run = place.run
        self._shields: set[CancelScope] = set()
        self._deadline = math.inf
        self._has_results = False
        self._is_late = False
        self._is_odd = False
        self.started = math.inf
        self._task = place.run.loop.current_task()
        self.scope = CancelScope()
        self.is_done = False

    async def serve(self) -> None:  # noqa: C901, PLR0912, PLR0915  # one call more costs each item a tenth
        """Run items until none may start, or one of them was cancelled."""
        run = self._run
        plan = run.plan
        fn = plan.fn if plan.kind is Kind.COROUTINE else self._each
        outcomes = plan.on_error == "return"
        place = self._place
        limits = place.limits
        is_timed = run.is_timed
        only = run.results.only
        base = run.base.copy()
        base.run(enter_context, self)
        is_spoiled = _always if run.loop.one_job_per_task else self._task.is_spoiled
        on_block = place.wake if limits is None else self._on_block
        burst, look_at, turn_end = 0, 1, 0.0

        while (item := run.take()) is not NOTHING:
            self.item = item
            index = self.index = run.taken - 1
            if is_timed:
                self.started = run.loop.time()

            try:
                context = base.copy()
                coro = fn(item)
                try:
                    yielded = context.run(coro.send, None)
                except StopIteration as end:
                    value = end.value
                else:
                    if place.has_room or limits is not None:
                        on_block()

                    value = await resume(coro, context, yielded)
                    burst, look_at = -1, 1
            except BaseException as exc:  # noqa: BLE001  # an item's end is data, whatever it is
                if not self._ended_by(exc):
                    return
            else:
                if self._is_odd or limits is not None or is_spoiled():
                    if not self._ended_with(value):
                        return
                else:
                    only(index, Outcome(index, item, value, None) if outcomes else value)
                    run.ended += 1
                    if run.waiter is not None:
                        run.wake_consumer()

            burst += 1
            if burst == look_at:
                now = perf_counter()
                look_at += min(burst, STRIDE)
                if burst == 1:
                    turn_end = now + TURN
                elif now > turn_end:
                    self.index = -1
                    await cancel_shielded_checkpoint()
                    burst, look_at = 0, 1

        self.is_done = True

    def _ended_with(self, value: object) -> bool:
        """Deal with an item that returned, but not plainly; False: take a fresh scope."""
        run = self._run
        index, item = self.index, self.item
        if self._overran():
            run.item_failed(index, item, self._timeout_error(None))
        elif not self._has_results:
            run.add(index, item, value)
            run.end(index)
        else:
            if value is not None:
                run.add(index, item, value)

            run.end(index)

        return self._is_fit()

    def _ended_by(self, raised: BaseException) -> bool:
        """Deal with an item that raised; False: take a fresh scope, or end."""
        run = self._run
        index, item = self.index, self.item
        if self._overran():
            own = judge(Demand.TIMEOUT, raised, run.loop.cancelled)[1]
            run.item_failed(index, item, self._timeout_error(own))
        else:
            run.item_raised(index, item, raised)

        return self._is_fit()

    def _is_fit(self) -> bool:
        """Get ready for the next item; False when this scope, or task, is not fit for one."""
        self._has_results = self._is_late = self._is_odd = False
        self._deadline = math.inf
        self.index = -1
        self.item = None
        self.is_done = bool(self._task.is_spoiled()) or self._run.loop.one_job_per_task
        return not (self.is_done or self.scope.cancel_called)

    async def _each(self, item: object) -> None:
        """Give each value of an async generator as a result."""
        run = self._run
        index = self.index
        self._has_results = self._is_odd = True
        count = 0
        async with aclosing(run.plan.fn(item)) as values:
            async for value in values:
                run.add(index, item, value)
                count += 1
                if run.is_crowded(index):
                    await run.room(index)
                elif count % BURST == 0:
                    await checkpoint()

    # Limits

    def _on_block(self) -> None:
        limits = self._place.limits
        if limits is not None:
            limits.watch(self, self.started)

        self._place.wake()

    def _overran(self) -> bool:
        limit = self._run.plan.item_timeout
        return self._is_late or self._run.loop.time() - self.started > limit

    def _timeout_error(self, own: BaseException | None) -> ItemTimeout:
        error = ItemTimeout(
            f"item {self.index} ran longer than item_timeout={self._run.plan.item_timeout:g} s"
        )
        error.__cause__ = own
        return error

    def expire(self) -> None:
        """End the current item: its time is over."""
        self._is_late = True
        self.end_item(self._run.loop.time() + STOP_GRACE)

    def stop(self) -> None:
        """End the current item: the run is being stopped."""
        self.end_item(self._run.stop_deadline)

    def end_item(self, deadline: float) -> None:
        """End the current item, until *deadline* at the latest."""
        self._is_odd = True
        self._deadline = deadline = min(self._deadline, deadline)
        for shield in self._shields:
            shield.deadline = min(shield.deadline, deadline)

        self.scope.cancel()

    # What the code of an item sees

    def _result(self, value: object) -> Awaitable[None]:
        run = self._run
        self._has_results = self._is_odd = True
        run.add(self.index, self.item, value)
        if not run.is_crowded(self.index):
            return WRITTEN

        if run.plan.buffer is not None and run.ahead > 2 * run.look_ahead:
            raise OutputLimitExceeded(
                "an item wrote more results than buffer allows, and did not wait for room: "
                "use `await write_output(...)`"
            )

        return _Room(run, self.index)

    def stop_requested(self) -> bool:
        run = self._run
        if self._is_late or run.is_stopping or self.index in run.told:
            return True

        return self._caller is not None and self._caller.stop_requested()

    @contextmanager
    def cleanup(self) -> Generator[None]:
        shield = CancelScope(shield=True)
        if self.scope.cancel_called:
            shield.deadline = self._deadline

        self._shields.add(shield)
        try:
            with shield:
                yield
        finally:
            self._shields.discard(shield)


def _always() -> int:
    return 1


class _Room:
    """Awaited by `write_output` in an item; nothing happens when nobody awaits it."""

    __slots__ = ("_index", "_run")

    def __init__(self, run: Run, index: int) -> None:
        self._run = run
        self._index = index

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run.room(self._index).__await__()
