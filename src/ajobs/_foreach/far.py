"""Items in the workers of a runner: processes, and whatever else runs jobs far away.

Each worker runs one long job that asks for batches as its input and tells what came of them
as its output (`_far_items`), so this file knows nothing of processes. What a worker has and
has not begun is kept track of here: when it dies, only what it had begun is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio

from .. import _far_messages as far
from .._checks import Kind
from .._culprit import describe_failure, describe_item
from .._errors import JobAborted, PayloadError, WorkerDied
from .._failure import rebuild
from .._far_items import serve as serve_plain
from .._far_items import serve_async
from .._far_messages import Parcel, Reply
from .._payload import NotLoadable, NotPicklable
from .._runner import Runner
from .._spec import JobOptions, JobSpec
from .far_batch import Batch, late
from .far_worker import FarWorker
from .intake import Plan
from .marks import Marks
from .place import AtWork, Place
from .results import Outcome
from .run import Run
from .sizing import fair_share, next_size

#: Seconds of work in a batch: what it costs to send one is some hundred microseconds.
TARGET: Final = 0.008

#: Seconds of work below which no batch is cut to spread the last items evenly.
LEAST: Final = 0.0005

#: The most items in a batch, and the most bytes from which on batches have fewer items.
LARGEST: Final = 8000
HEAVY: Final = 1 << 20

#: Workers in a row that may die before they have done anything.
MOST_DEAD: Final = 3

#: Results of a generator that a worker may send before the consumer takes any.
CREDIT: Final = 64


def spec_for(plan: Plan, runner: Runner) -> JobSpec:
    """Return the checked spec of the job that runs the items of *plan* in a worker.

    Raises:
        PayloadError: The function cannot be sent to a worker.
    """
    gives_many = plan.kind in (Kind.GENERATOR, Kind.ASYNC_GENERATOR)
    serve = serve_async if plan.kind.is_async else serve_plain
    limit = CREDIT if gives_many and plan.buffer is None else None
    if gives_many and plan.buffer is not None:
        limit = 2 * max(1, plan.buffer)

    options = JobOptions(input=(), output_limit=limit)
    is_strict = plan.on_error == "raise"
    spec = JobSpec(serve, (plan.fn, gives_many, plan.item_timeout, is_strict), options)
    try:
        return runner.check(spec)
    except PayloadError as exc:
        # Said of the caller's function, not of ours that carries it.
        raise PayloadError(describe_failure(plan.fn, (), exc)) from exc.__cause__


class FarPlace(Place):
    """Runs items in the workers of a runner."""

    def __init__(self, run: Run, runner: Runner, spec: JobSpec, *, is_ours: bool) -> None:
        self.run = run
        self.runner = runner
        self.spec = spec
        self.marks = Marks()
        self.is_open = anyio.Event()
        self._is_ours = is_ours
        self._is_held = False
        self._closing = anyio.Event()
        self._workers: set[FarWorker] = set()
        self._returned: deque[Batch] = deque()
        self._size = self._least = 1
        self._largest = LARGEST
        self._numbers = 0
        self._deaths = 0

    @property
    def is_busy(self) -> bool:
        return bool(self._workers) or self._is_held

    # Workers

    def wake(self) -> None:
        if self.run.is_stopping:
            return

        if not self._is_held:
            self._is_held = True
            self.run.loop.spawn(self._hold, "ajobs foreach")

        is_free = False
        for worker in self._workers:
            is_free = is_free or worker.is_free
            worker.wake()

        if not is_free and len(self._workers) < self.run.plan.throttle and self._has_items():
            worker = FarWorker(self)
            self._workers.add(worker)
            self.run.loop.spawn(worker.live, "ajobs foreach worker")

    def _has_items(self) -> bool:
        return bool(self._returned or self.run.startable())

    async def _hold(self) -> None:
        """Keep the runner open, in a task of its own: what it enters belongs to a task."""
        run = self.run
        try:
            with run.loop.scope():
                async with AsyncExitStack() as stack:
                    if self._is_ours:
                        await stack.enter_async_context(self.runner)  # type: ignore[arg-type]  # a runner may be one

                    self.is_open.set()
                    await self._closing.wait()
        except BaseException as exc:  # noqa: BLE001  # nothing can run without it
            run.give_up(exc)
        finally:
            self._is_held = False
            self.marks.close()
            run.check_idle()

    def ended(self, worker: FarWorker, error: BaseException | None) -> None:
        """Deal with the end of a worker's job, of *error* if it was not a good one."""
        run = self.run
        self._workers.discard(worker)
        lost = worker.take_lost()
        if run.is_stopping:
            for index, _ in lost.begun:
                run.item_stopped(index)

            if not self._workers:
                self._closing.set()

            run.check_idle()
            return

        if error is not None and not lost.begun:
            self._deaths += 1
            if not isinstance(error, WorkerDied) or self._deaths >= MOST_DEAD:
                run.give_up(error)

        for index, item in lost.begun:
            if index in run.told:
                run.item_stopped(index)
            else:
                run.item_failed(index, item, lost.error_for(index, error, run.plan.item_timeout))

        self._returned.extendleft(reversed(lost.rest))
        run.check_over()
        self.wake()

    def stop(self) -> None:
        self._returned.clear()
        for worker in self._workers:
            worker.end(self.run.stop_deadline)

        if not self._workers:
            self._closing.set()

    def hurry(self) -> None:
        for worker in tuple(self._workers):
            worker.end(self.run.loop.time())

    def at_work(self) -> Iterator[AtWork]:
        for worker in tuple(self._workers):  # other threads look, too
            running = worker.at_work()
            if running is not None:
                yield running

    def stop_item(self, index: int, deadline: float) -> None:
        for worker in tuple(self._workers):
            running = worker.at_work()
            if running is not None and running.index == index:
                worker.end_item(index, deadline)

    # Batches

    @property
    def has_all(self) -> bool:
        """True when no item will come any more that is not with a worker."""
        source = self.run.source
        return self.run.is_stopping or (source.is_dry and not source.waiting and not self._returned)

    @property
    def is_quick(self) -> bool:
        """True while items are so short that a worker should have a batch waiting."""
        return self._size > 1

    def next_batch(self) -> tuple[int, Batch, Parcel] | None:
        """Return a batch that may start now, with its number and itself as bytes."""
        while True:
            batch = self._returned.popleft() if self._returned else self._fresh_batch()
            if batch is None:
                return None

            size = self._share()
            if len(batch.items) > size:
                self._returned.appendleft(batch.cut(size))

            try:
                parcel = far.wrap(batch.items)
            except NotPicklable as exc:
                self._split_or_fail(batch, f"cannot be sent: {exc}")
                continue

            self._weigh(parcel, len(batch.items))
            self._numbers += 1
            return self._numbers, batch, parcel

    def _weigh(self, parcel: Parcel, count: int) -> None:
        """Let batches that follow have fewer items if *parcel*, of *count*, is a heavy one."""
        if parcel.size > HEAVY:
            self._largest = min(self._largest, max(1, count * HEAVY // parcel.size))
            self._size = min(self._size, self._largest)

    def _fresh_batch(self) -> Batch | None:
        run = self.run
        if run.is_stopping:
            return None

        items: deque[Any] = deque()
        first = run.taken
        run.take_many(items, self._share())
        run.check_over()
        return Batch(first, list(items)) if items else None

    def _share(self) -> int:
        run = self.run
        workers = max(1, len(self._workers))
        if run.plan.per_second is not None:
            return 1

        if run.plan.buffer is None:
            run.widen(4 * self._size * workers)
            size = self._size
        else:
            size = min(self._size, max(1, int(run.look_ahead // (2 * workers))))

        return fair_share(size, run.source.size - run.taken, workers, self._least)

    def _split_or_fail(self, batch: Batch, why: str) -> None:
        """Find the item that cannot travel: each goes alone now."""
        if len(batch.items) == 1:
            [item] = batch.items
            error = PayloadError(describe_item(item, why))
            self.run.item_failed(batch.first, item, error)
            self.run.check_over()
            return

        self._returned.extendleft(batch.cut(at) for at in range(len(batch.items) - 1, 0, -1))
        self._returned.appendleft(batch)

    def unloadable(self, batch: Batch, why: str) -> None:
        """Deal with a batch whose items cannot be loaded in a worker."""
        self._split_or_fail(batch, f"cannot be loaded in the worker: {why}")

    def give_back(self, batch: Batch) -> None:
        """Let items that wait behind a slow one be run by whoever is free."""
        self._returned.appendleft(batch)
        self.wake()

    def measured(self, count: int, seconds: float) -> None:
        """Note how long *count* items took."""
        self._deaths = 0
        count = max(1, count)
        self._size = next_size(self._size, count, seconds, TARGET, self._largest)
        self._least = next_size(self._largest, count, seconds, LEAST, self._largest)

    def absorb(self, batch: Batch, reply: Reply) -> None:
        """Hand over what items of *batch* have given."""
        run = self.run
        first = batch.first + reply.first
        try:
            values: list[Any] = reply.values.open()
        except NotLoadable as exc:
            self._fail_unloaded(batch, reply, str(exc))
            return

        self._weigh(reply.values, len(values))
        items = batch.items[reply.first : reply.first + len(values)]
        batch.seen = reply.first + len(values)
        if not reply.odd and not reply.is_late:
            if run.plan.on_error == "return":
                values = [
                    Outcome(index, item, value, None)
                    for index, (item, value) in enumerate(zip(items, values, strict=True), first)
                ]

            run.results.several(first, values)
            run.ended += len(values)
            if values:
                run.wake_consumer()
        else:
            for position, (item, value) in enumerate(zip(items, values, strict=True), reply.first):
                self._absorb_one(batch.first + position, item, value, position, reply)

        run.check_over()

    def _absorb_one(self, index: int, item: Any, value: Any, position: int, reply: Reply) -> None:
        run = self.run
        odd = reply.odd.get(position)
        if position in reply.is_late:
            run.item_failed(index, item, late(index, run.plan.item_timeout))
        elif odd is None:
            if run.plan.on_error == "return":
                value = Outcome(index, item, value, None)

            run.only(index, value)
        elif isinstance(odd, str):
            if value is not None:
                run.add(index, item, value)

            run.end(index)
        else:
            raised = rebuild(odd, f"a worker of the {self.runner.kind} runner")
            if isinstance(raised, KeyboardInterrupt):
                # Of another program than this one.
                aborted = JobAborted(f"the item was ended by KeyboardInterrupt: {raised}")
                aborted.__cause__ = raised
                raised = aborted

            run.item_raised(index, item, raised)

    def _fail_unloaded(self, batch: Batch, reply: Reply, why: str) -> None:
        run = self.run
        # What one of them cannot do, the next one may not either: it takes nobody along.
        self._largest = self._size = 1
        lost, batch.seen = range(batch.seen, reply.first + reply.count), reply.first + reply.count
        what = "the result of the item"
        if len(lost) > 1:
            first, last = batch.first + lost[0], batch.first + lost[-1]
            what = f"the results of items {first} to {last} came together, and one of them"

        for position in lost:
            if run.is_stopping:
                run.item_stopped(batch.first + position)
            else:
                error = PayloadError(f"{what} cannot be loaded here: {why}")
                run.item_failed(batch.first + position, batch.items[position], error)
