"""One task that runs items as coroutines, one after another.

Nothing is made for an item but its coroutine. This file does not know how many such tasks
there are, nor when one is started.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Generator
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from gc import get_referents
from time import perf_counter
from typing import Any, Final, Protocol

from anyio import CancelScope
from anyio.lowlevel import checkpoint

from .._checks import Kind
from .._context import WRITTEN, enter_context
from .._drive import drive
from .._errors import ItemTimeout, OutputLimitExceeded
from .._state import Demand, judge
from .isolation import CAN_TELL, variables_of
from .items import ItemContext
from .results import Outcome
from .run import STOP_GRACE, Run

#: Seconds that a worker may go on without a look at what else the loop has to do.
TURN: Final = 0.005

#: A worker looks at the clock after this many items that do not wait, or earlier.
STRIDE: Final = 32

#: Results that a generator may give before other tasks get a turn.
BURST: Final = 64


class TaskOwner(Protocol):
    """The place of the workers, as one of them sees it."""

    run: Run

    def grow(self) -> None:
        """Send for more workers: they come when all those that there are wait, if they do."""

    async def rest(self) -> None:
        """Let the loop have its turn, between two items."""

    def has_more(self) -> bool:
        """Tell a worker that found no item whether there is one now."""


class TaskWorker(ItemContext):
    """One task that runs items one after another. It is made inside that task."""

    __slots__ = (
        "_deadline",
        "_fn",
        "_has_results",
        "_is_late",
        "_is_odd",
        "_place",
        "_pristine",
        "_run",
        "_shields",
        "_task",
        "is_done",
        "scope",
        "started",
    )

    def __init__(self, place: TaskOwner) -> None:
        run = place.run
        super().__init__(run.caller)
        self._place = place
        self._run = run
        self._fn = run.plan.fn if run.plan.kind is Kind.COROUTINE else self._each
        self._shields: set[CancelScope] = set()
        self._deadline = math.inf
        self._has_results = False
        self._is_late = False
        self._is_odd = False
        self.started = math.inf
        self._task = run.loop.current_task()
        self.scope = CancelScope()
        self.is_done = False
        enter_context(self)
        self._pristine = copy_context()

    async def serve(self) -> None:  # noqa: C901, PLR0912, PLR0915  # one call more costs each item a tenth
        """Run items until none may start, or one of them was cancelled."""
        run = self._run
        place = self._place
        fn = self._fn
        only = run.results.only
        outcomes = run.plan.on_error == "return"
        is_timed = run.is_timed
        is_limited = run.plan.item_timeout < math.inf
        is_spoiled = _always if run.loop.one_job_per_task else self._task.is_spoiled
        variables = variables_of(self._pristine)
        is_apart = not CAN_TELL
        burst, look_at, turn_end = 0, 1, 0.0
        is_new = True

        for index, item in run.items():
            run.taken = index + 1
            self.index = index
            self.item = item
            if is_timed:
                self.started = run.loop.time()

            if is_new:
                place.grow()
                is_new = False

            try:
                if is_apart or get_referents(copy_context())[0] is not variables:
                    is_apart = True
                    value = await drive(fn(item), self._pristine.copy(), _nothing)
                else:
                    value = await fn(item)
            except BaseException as exc:  # noqa: BLE001  # an item's end is data, whatever it is
                if not self._ended_by(exc):
                    return
            else:
                if self._is_odd or is_limited or is_spoiled():
                    if not self._ended_with(value):
                        return
                else:
                    only(index, Outcome(index, item, value, None) if outcomes else value)
                    run.ended += 1
                    if run.waiter is not None:
                        run.wake_consumer()

            if run.taken != index + 1:  # by others, meanwhile: the loop has had its turn
                burst, look_at = 0, 1
                continue

            burst += 1
            if burst == look_at:
                now = perf_counter()
                look_at += min(burst, STRIDE)
                if burst == 1:
                    turn_end = now + TURN
                elif now > turn_end:
                    self.index = -1
                    await place.rest()
                    burst, look_at = 0, 1
                    if run.is_stopping:
                        break

        self.is_done = not place.has_more()

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


def _nothing() -> None:
    pass


class _Room:
    """Awaited by `write_output` in an item; nothing happens when nobody awaits it."""

    __slots__ = ("_index", "_run")

    def __init__(self, run: Run, index: int) -> None:
        self._run = run
        self._index = index

    def __await__(self) -> Generator[Any, Any, None]:
        return self._run.room(self._index).__await__()
