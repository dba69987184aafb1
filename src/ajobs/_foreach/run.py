"""One `parallel_foreach` under way: what its input, its workers and its consumer share.

It counts, keeps the limits and decides what a failure means. It knows neither tasks nor
threads: a `Place` runs the items.
"""

from __future__ import annotations

import math
from contextvars import Context, copy_context
from typing import Final

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from .._context import JobContext, context_or_none
from .._errors import ForeachErrors, ForeachTimeout
from .._loop import Loop
from .._state import Demand, judge
from .failures import Failures, failure_of
from .intake import Intake, Plan
from .items import LOGGER
from .place import Place
from .results import AsCompleted, InOrder, Outcome, Results
from .source import AsyncSource

#: Seconds for the cleanup of items that are stopped.
STOP_GRACE: Final = 5.0


class Run(Intake):
    """The state of one call.

    Attributes:
        ended: Items taken that have ended.
        waiter: Set while the consumer waits for a result.
        is_timed: Somebody wants to know since when each item runs.
        told: Items that were told to end, one by one.
    """

    __slots__ = (
        "_idle",
        "_over",
        "_room",
        "base",
        "caller",
        "ended",
        "failures",
        "is_over",
        "is_timed",
        "ready",
        "results",
        "stop_deadline",
        "told",
        "waiter",
    )

    def __init__(self, plan: Plan, loop: Loop, *, is_streamed: bool) -> None:
        super().__init__(plan, loop, is_streamed=is_streamed)
        self.caller: JobContext | None = context_or_none()
        self.base: Context = copy_context()
        in_order = plan.ordered or (plan.ordered is None and not is_streamed)
        self.results: Results = InOrder() if in_order else AsCompleted()
        self.ready = self.results.ready
        self.ended = 0
        self.waiter: anyio.Event | None = None
        self.is_over = False
        self._over = anyio.Event()
        self.is_timed = plan.item_timeout < math.inf
        self.told: set[int] = set()
        self.stop_deadline = math.inf
        self._room: anyio.Event | None = None
        self.failures = Failures(plan.on_error)
        self._idle: anyio.Event | None = None

    def start(self, place: Place) -> None:
        """Begin, with *place* to run the items."""
        self.place = place
        self.loop.protect(type(place))
        self.loop.call_at(self.loop.time() + self.plan.timeout, self._time_is_up)
        try:
            self.source.start()
        except BaseException as exc:  # noqa: BLE001  # it is the consumer's to see
            self.input_failed(exc)

        place.wake()
        self.check_over()

    def _input_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.input_failed(error)

        self.check_over()
        self.check_idle()

    def check_over(self) -> None:
        """Let the consumer go when nothing can come any more."""
        source = self.source
        if source.is_dry and not source.waiting and self.ended == self.taken:
            self.finish()

    # What items give. Where each call counts, a place does the same by itself.

    def add(self, index: int, item: object, value: object) -> None:
        """Take one result of an item that goes on."""
        if self.plan.on_error == "return":
            value = Outcome(index, item, value, None)

        self.ahead += 1
        self.results.add(index, value)
        if self.waiter is not None:
            self.wake_consumer()

    def end(self, index: int) -> None:
        """Note that an item ended whose results were all taken by `add`."""
        self.ended += 1
        self.ahead -= 1
        self.results.end(index)
        self.give_room()
        if self.waiter is not None and self.ready:
            self.wake_consumer()

    def is_crowded(self, index: int, coming: int = 0) -> bool:
        """Tell whether item *index* should give no more for now.

        *coming* results are on their way from threads. From any thread.
        """
        if not self._is_crowded(index, coming):
            return False

        # From now on the consumer tells of room. In a thread it may just have made the last of
        # it, so look again.
        self.is_held = True
        return self._is_crowded(index, coming)

    def _is_crowded(self, index: int, coming: int) -> bool:
        if not self.is_bounded or self.is_stopping:
            return False

        if self.results.is_next(index):
            # What waits behind it cannot go before it does, so that must not hold it.
            return len(self.ready) + coming > self.buffer

        return self.ahead + coming > self.window

    def only(self, index: int, value: object) -> None:
        """Take the one result of an item, which ends with it."""
        self.results.only(index, value)
        self.ended += 1
        self.wake_consumer()

    async def room(self, index: int) -> None:
        """Wait while item *index* should give no more."""
        while self.is_crowded(index):
            if self._room is None:
                self._room = anyio.Event()

            await self._room.wait()

    def give_room(self) -> None:
        """Let items start and go on, once there is room for a good number of them."""
        half = self.buffer // 2
        if self.ahead > self.window - max(1, half) and len(self.ready) > half:
            return

        self.is_held = False
        self.place.room_given()
        if self._room is not None:
            self._room.set()
            self._room = None

        if isinstance(self.source, AsyncSource):
            self.source.wake()

        self.place.wake()

    # Failures and ends

    def item_raised(self, index: int, item: object, raised: BaseException) -> None:
        """Deal with an item that ended by an exception of its own making."""
        cancelled = self.loop.cancelled
        failure: BaseException | None
        if self.is_stopping or index in self.told:
            failure = judge(Demand.STOP, raised, cancelled)[1]
        else:
            is_stopped = self.caller is not None and self.caller.stop_requested()
            failure = failure_of(raised, cancelled, is_stopped=is_stopped)

        if isinstance(failure, Exception):
            self.item_failed(index, item, failure)
        else:
            self.item_stopped(index)
            if failure is not None:
                self.give_up(failure)

    def item_stopped(self, index: int) -> None:
        """Deal with an item that was stopped."""
        self.end(index)
        self.told.discard(index)

    def item_failed(self, index: int, item: object, error: Exception) -> None:
        """Deal with the failure of an item, which has ended, as `on_error` says."""
        self.failures.add(index, item, error)
        if self.plan.on_error == "return":
            self.ahead += 1
            self.results.add(index, Outcome(index, item, None, error))

        self.end(index)
        if self.plan.on_error == "raise":
            self.give_up(error)

    def input_failed(self, error: BaseException) -> None:
        """Deal with an input that raised: what runs goes on only where errors do not stop it."""
        self.source.is_dry = True
        if not isinstance(error, Exception | KeyboardInterrupt | SystemExit):
            # Raised at the caller, it would be taken for the cancellation of its own task.
            error = judge(None, error, self.loop.cancelled)[1] or error

        error.add_note(f"ajobs: the input of parallel_foreach failed after {self.taken} items")
        if self.plan.on_error == "raise" or not isinstance(error, Exception):
            self.give_up(error)
        else:
            self.failures.end_with(error)

    def give_up(self, error: BaseException) -> None:
        """Stop the rest; the consumer gets *error* after the results that are ready."""
        self.failures.end_with(error)
        self.stop()
        self.finish()

    def _time_is_up(self) -> None:
        if self.is_over:
            return

        left = self.not_run
        rest = "an unknown number of" if left is None else left
        self.give_up(
            ForeachTimeout(
                f"parallel_foreach ran longer than {self.plan.timeout:g} s: of its items "
                f"{self.ended} had ended, {self.taken - self.ended} had begun, {rest} did not end",
                left,
            )
        )

    def stop_item(self, index: int, deadline: float) -> None:
        """End one item, if it runs, until *deadline* at the latest."""
        self.told.add(index)
        self.place.stop_item(index, deadline)

    @property
    def total(self) -> int | None:
        """How many items there are; None when nobody knows."""
        if self.source.size != math.inf:
            return int(self.source.size)

        return self.taken + self.source.waiting if self.source.is_dry else None

    @property
    def not_run(self) -> int | None:
        """How many items have not ended; None when nobody knows how many there are."""
        total = self.total
        return None if total is None else max(0, total - self.ended)

    def finish(self) -> None:
        """Tell the consumer that nothing comes any more."""
        self.is_over = True
        self._over.set()
        self.wake_consumer()

    def stop(self, deadline: float | None = None) -> None:
        """Take no more items and end those that run, until *deadline* at the latest."""
        if self.is_stopping:
            return

        self.is_stopping = True
        self.window = -math.inf
        self.stop_deadline = self.loop.time() + STOP_GRACE if deadline is None else deadline
        self.place.stop()
        self.give_room()

    # The consumer's side

    def wake_consumer(self) -> None:
        """Let the consumer look again."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.set()

    async def wait_ready(self) -> bool:
        """Wait until something is ready; False when nothing will be.

        Raises:
            BaseException: Why no more comes, once what was ready has been taken.
        """
        while not self.ready:
            if self.is_over:
                self.raise_failure()
                return False

            if self.waiter is None:
                self.waiter = anyio.Event()

            await self.waiter.wait()
            # On asyncio a task that is woken in every turn of the loop would never notice.
            await checkpoint_if_cancelled()

        return True

    async def wait_over(self) -> None:
        """Wait until nothing comes any more, whatever is ready."""
        if not self.is_over:
            await self._over.wait()

    def raise_failure(self) -> None:
        """Raise why the run failed, if it did and the consumer was not told before."""
        error = self.failures.take(self._report)
        if error is None:
            return

        try:
            raise error
        finally:
            del error  # a frame that holds its own exception keeps both alive

    def _report(self, message: str, errors: list[Exception]) -> ForeachErrors:
        results = [] if self.is_bounded else list(self.ready)
        return ForeachErrors(message, errors, results, self.failures.count, self.not_run or 0)

    # Leaving

    async def leave(self, raised: BaseException | None) -> None:
        """Stop what still runs and wait for it, whatever happens meanwhile.

        Raises:
            BaseException: A failure that the consumer has not seen, unless it leaves by an
                exception of its own, *raised*, already.
        """
        self.stop()
        try:
            self.source.close()
        except BaseException as exc:  # noqa: BLE001  # as any failure of the input
            self.input_failed(exc)

        cancelled = await self._join()
        self.loop.stop_timers()
        cancelled = await self.loop.join() or cancelled
        if cancelled is not None and raised is None:
            raised = cancelled

        failure = self.failures.take(self._report)
        for line in self.failures.take_late():
            _tell(raised or failure, f"while it was being stopped: {line}")

        if failure is not None and raised is not None:
            _tell(raised, f"it failed besides, unseen: {failure!r:.200}")
            failure = None

        error = cancelled or failure
        if error is not None:
            raise error

    @property
    def _is_busy(self) -> bool:
        return self.place.is_busy or self.source.is_busy

    async def _join(self) -> BaseException | None:
        cancelled: BaseException | None = None
        while self._is_busy:
            self._idle = anyio.Event()
            try:
                with self.loop.scope():
                    await self._idle.wait()
            except (self.loop.cancelled, KeyboardInterrupt, Exception) as exc:  # noqa: BLE001  # raised later
                # asyncio's own cancellation and trio's Ctrl-C go through every shield. They,
                # and a want of memory, must not leave tasks behind: they have to wait.
                cancelled = exc

        return cancelled

    def check_idle(self) -> None:
        """Let `leave` go on when nothing of the run is left."""
        if self._idle is not None and not self._is_busy:
            self._idle.set()


def _tell(error: BaseException | None, text: str) -> None:
    """Tell what nobody else will: as a note on what is raised anyway, and in the log."""
    LOGGER.error("parallel_foreach: %s", text)
    if error is not None:
        error.add_note(f"ajobs: parallel_foreach: {text}")
