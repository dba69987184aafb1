"""One worker of a runner: the long job in it, its input and its output.

It knows what the worker has and how far it is, so that only what it had begun is lost when
it dies. What batches are made of, and what becomes of their results, is the place's business.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Protocol

import anyio

from .. import _far_messages as far
from .._far_items import TICK
from .._far_messages import Parcel, Reply
from .._records import Stream
from .._runner import InTask, LeftBehind, Runner
from .._spec import JobSpec
from .._timers import Timer
from .far_batch import Batch, Lost
from .items import LEVELS, LOGGER
from .marks import Marks
from .place import AtWork
from .run import STOP_GRACE, Run

#: Seconds without an item after which a worker is given back to its runner, for others.
IDLE: Final = 0.1


class FarOwner(Protocol):
    """The place that a worker belongs to, as the worker sees it. All on the loop."""

    run: Run
    runner: Runner
    spec: JobSpec
    marks: Marks
    is_open: anyio.Event

    @property
    def has_all(self) -> bool:
        """True when no item will come any more that is not with a worker."""

    @property
    def is_quick(self) -> bool:
        """True while items are so short that a worker should have a batch waiting."""

    def next_batch(self) -> tuple[int, Batch, Parcel] | None:
        """Return a batch that may start now, with its number and itself as bytes."""

    def absorb(self, batch: Batch, reply: Reply) -> None:
        """Hand over what items of *batch* have given."""

    def measured(self, count: int, seconds: float) -> None:
        """Note how long *count* items took."""

    def give_back(self, batch: Batch) -> None:
        """Let items that wait behind a slow one be run by whoever is free."""

    def unloadable(self, batch: Batch, why: str) -> None:
        """Deal with a batch whose items cannot be loaded in a worker."""

    def wake(self) -> None:
        """Let workers look for batches, and others come."""

    def ended(self, worker: FarWorker, error: BaseException | None) -> None:
        """Deal with the end of a worker's job, of *error* if it was not a good one."""


class FarWorker(InTask):
    """One worker's job: its input, and the `emit` that takes its output."""

    def __init__(self, place: FarOwner) -> None:
        self._place = place
        self._run = place.run
        self._slot = place.marks.take()
        self._batches: dict[int, Batch] = {}
        self._is_begun = self._is_ending = False
        self._index = -1
        self._ended_for = -1
        self._is_late = False
        self._wanted: anyio.Event | None = None
        self._timer: Timer | None = None
        self._end_timers: tuple[Timer, ...] = ()
        self._on_stop: list[Callable[[], object]] = []
        self._on_deadline: list[Callable[[], object]] = []
        self._on_leave: list[Callable[[], object]] = []
        self._scope = place.run.loop.scope()
        self.stop_deadline = math.inf

    async def live(self) -> None:
        """Run the job to its end."""
        error: BaseException | None = None
        try:
            with self._scope:
                await self._place.is_open.wait()
                await self._place.runner.run(self._place.spec, self)
        except LeftBehind as left:
            LOGGER.warning("parallel_foreach left a worker behind that does not stop")
            left.on_end(_forget)
        except BaseException as exc:  # noqa: BLE001  # it is the place's to judge
            error = exc

        if self._timer is not None:
            self._timer.cancel()

        self._place.ended(self, error)

    @property
    def is_free(self) -> bool:
        """True if it has nothing to do, or is not there yet."""
        return not self._batches and not self._is_ending

    def wake(self) -> None:
        """Let it look for a batch."""
        if self._wanted is not None:
            self._wanted.set()

    def end(self, deadline: float) -> None:
        """End it: by itself if it has nothing to do, else as the runner can."""
        self._is_ending = True
        # It goes on telling how far it is, which must not put off its end.
        self.stop_deadline = deadline = min(self.stop_deadline, deadline)
        if not self._batches and self._is_begun:
            self.wake()
            return

        loop = self._run.loop
        for timer in self._end_timers:
            timer.cancel()

        self._end_timers = (
            loop.call_at(deadline, partial(_call_all, self._on_deadline)),
            loop.call_at(deadline + 1, partial(_call_all, self._on_leave)),
        )
        _call_all(self._on_stop)
        self._scope.cancel()

    def take_lost(self) -> Lost:
        """Return what it had, and give back its mark."""
        lost = Lost(self._ended_for, is_late=self._is_late)
        mark = self._place.marks.give_back(self._slot)
        for batch in self._batches.values():
            end = batch.first + len(batch.items)
            if mark is None:
                # The first one was at work; nobody knows how far it was.
                begun = len(batch.items) if batch is next(iter(self._batches.values())) else 0
            else:
                begun = mark - batch.first if batch.first < mark <= end else 0

            if batch.first <= self._ended_for < end:
                # Its items were still being loaded, perhaps: then it had no mark yet.
                begun = max(begun, self._ended_for - batch.first + 1)

            rest = batch.cut(max(begun, batch.seen))
            lost.begun += enumerate(batch.items[batch.seen :], batch.first + batch.seen)
            if rest.items:
                lost.rest.append(rest)

        self._batches.clear()
        return lost

    # Its input

    @property
    def input(self) -> FarWorker:
        """Where its batches come from."""
        return self

    async def next_input(self) -> Any:
        """Return the next batch, as `_far_items` reads it."""
        return await self.next()

    async def next(self) -> Any:
        """Do the same."""
        place = self._place
        while not self._is_ending:
            found = place.next_batch() if self._may_have_more() else None
            if found is not None:
                number, batch, parcel = found
                self._batches[number] = batch
                batch.sent = self._run.loop.time()
                self._limit_item(0.0, TICK + 0.5)
                place.wake()
                return number, batch.first, parcel, place.marks.address(self._slot)

            if place.has_all and not self._batches:
                break

            self._wanted = anyio.Event()
            with anyio.move_on_after(math.inf if self._batches else IDLE) as idle:
                await self._wanted.wait()

            if idle.cancelled_caught:
                break

        self._is_ending = True
        raise StopAsyncIteration

    def _may_have_more(self) -> bool:
        # Behind long items a batch that waited here could have been run by somebody else.
        if not self._place.is_quick:
            return not self._batches

        since = self._run.loop.time() - TICK
        return all(batch.sent > since for batch in self._batches.values())

    def _limit_item(self, taken: float, slack: float) -> None:
        """See to it that the running item ends; it has run for *taken* seconds already."""
        limit = self._run.plan.item_timeout
        if limit == math.inf:
            return

        if self._timer is not None:
            self._timer.cancel()

        due = self._run.loop.time() + limit - taken + slack
        self._timer = self._run.loop.call_at(due, self._item_is_late)

    def _item_is_late(self) -> None:
        running = self.at_work()
        if running is not None:
            self._is_late = True
            self.end_item(running.index, self._run.loop.time() + STOP_GRACE)

    def at_work(self) -> AtWork | None:
        """Return the item that runs there, as far as is known here."""
        mark = self._place.marks.read(self._slot)
        for batch in tuple(self._batches.values()):
            position = batch.seen if mark is None else max(batch.seen, mark - 1 - batch.first)
            if position < len(batch.items):
                # What was before it in its batch took no time to speak of.
                seconds = self._run.loop.time() - batch.sent
                return AtWork(batch.first + position, batch.items[position], seconds)

            break

        return None

    def end_item(self, index: int, deadline: float) -> None:
        """End it together with its item *index*, which is the one that runs."""
        self._ended_for = index
        self.end(deadline)

    # Its output: what a runner asks of an `Emit`

    def __call__(self, stream: Stream, value: object) -> None:
        """Take one record."""
        self.many([(0.0, stream, value)])

    def many(self, records: Iterable[tuple[float, Stream, object]]) -> None:
        """Take records."""
        if not self._run.loop.in_thread:
            self._run.loop.call_soon(partial(self.many, list(records)))
            return

        for _, stream, value in records:
            if stream is Stream.OUTPUT:
                self._hear(value)
            else:
                self._tell(stream, value)

    def many_of(self, stream: Stream, times: Sequence[float], values: Sequence[object]) -> None:
        """Take records of one stream."""
        self.many([(time, stream, value) for time, value in zip(times, values, strict=True)])

    def text(self, stream: Stream, line: str | bytes) -> None:
        """Take a line that was printed."""
        if self._run.caller is not None:
            self._run.caller.text(stream, str(line))
        else:
            LOGGER.log(LEVELS[stream], "%s", line)

    def _tell(self, stream: Stream, value: object) -> None:
        if self._run.caller is not None:
            self._run.caller.write(stream, value)
        else:
            LOGGER.log(LEVELS[stream], "%s", value)

    def _hear(self, message: Any) -> None:
        kind, number, *rest = message
        batch = self._batches.get(number)
        if batch is None or self._run.is_stopping:
            return

        place = self._place
        if kind == far.VALUE:
            position, value = rest
            self._index = batch.first + position
            self._run.add(self._index, batch.items[position], value)
        elif kind == far.DONE:
            [reply] = rest
            del self._batches[number]
            place.absorb(batch, reply)
            place.measured(batch.seen, reply.seconds)
            self._limit_item(0.0, TICK + 0.5)
            self.wake()
        elif kind == far.PART:
            reply, left, taken = rest
            place.absorb(batch, reply)
            self._limit_item(taken, 0.0)
            if left:
                place.measured(batch.seen, reply.seconds)
                place.give_back(batch.cut(len(batch.items) - left))

            waiting = max(self._batches)
            if waiting != number:
                place.marks.want_back(self._slot, waiting)
        elif kind == far.BACK:
            del self._batches[number]
            place.give_back(batch)
        else:
            del self._batches[number]
            place.unloadable(batch, rest[0])
            self.wake()

    def begin(self) -> None:
        """Note that it has its place."""
        self._is_begun = True

    @property
    def is_full(self) -> bool:
        """True while it should send no more results of a generator."""
        return self._run.is_crowded(self._index)

    def room(self) -> Awaitable[None]:
        """Wait while it should send no more."""
        return self._run.room(self._index)

    @property
    def is_trio(self) -> bool:
        """True on trio."""
        return self._run.loop.is_trio

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call *callback* when it is told to end."""
        self._on_stop.append(callback)

    def on_deadline(self, callback: Callable[[], object]) -> None:
        """Call *callback* when its grace is over."""
        self._on_deadline.append(callback)

    def on_leave(self, callback: Callable[[], object]) -> None:
        """Call *callback* when it has to be left."""
        self._on_leave.append(callback)


def _forget(_value: object, _error: BaseException | None) -> None:
    pass


def _call_all(callbacks: list[Callable[[], object]]) -> None:
    for callback in callbacks:
        callback()
