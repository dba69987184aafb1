r"""The far end of `parallel_foreach`: batches of items in, replies out.

    parent                                        worker
    FarPlace --- Parcel of items, by job_input --> serve    runs them, one after another
             <-- replies, by write_output --------          values, failures, what is left

It runs as one long job of whatever runner, so each runner that has input and output can run
items. Standard library only, and little of that: workers load it.
"""

from __future__ import annotations

import _thread
import mmap
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context, copy_context
from time import perf_counter
from types import CoroutineType

from ._context import JobContext, current_context, enter_context
from ._errors import StopRequested
from ._far_messages import (
    BACK,
    DONE,
    PART,
    POSTED,
    UNLOADABLE,
    VALUE,
    NoInput,
    Parcel,
    Reply,
    wrap_values,
)
from ._payload import NotLoadable, unpack_in_job
from ._records import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    #: How a failure travels: see `_failure.tell`.
    Told: TypeAlias = dict[str, Any]

#: Seconds after which a batch at work is looked at: what it has is sent, and what waits in it
#: behind a slow item is given back.
TICK = 0.05


def serve(fn: Callable[[Any], Any], gives_many: bool, limit: float, strict: bool) -> None:
    """Run *fn* on the items of all batches that come; the body of a job.

    Args:
        fn: A plain function or a generator function.
        gives_many: Whether it is a generator function.
        limit: Seconds that one item may take.
        strict: Whether nothing more is to run once an item has failed.
    """
    work = _Work(fn, gives_many, limit, strict)
    call = work.each if gives_many else fn
    copy = work.base.copy
    # Where the place allows, the next batch comes while this one runs.
    ask = getattr(work.outer, "ask", _nothing)
    with work:
        for message in work.outer.job_input():
            batch = work.open(*message)
            if batch is None:
                continue

            ask()
            batch.run(call, copy, work.fail)
            work.finish(batch)
            if work.is_done:
                return


async def serve_async(
    fn: Callable[[Any], Any], gives_many: bool, limit: float, strict: bool
) -> None:
    """Do the same for an async function, in an event loop of its own."""
    from ._drive import drive

    work = _Work(fn, gives_many, limit, strict)
    call = work.each_async if gives_many else fn
    with work:
        async for message in work.outer.job_input():
            batch = work.open(*message)
            if batch is None:
                continue

            for item in batch.items_in_turn():
                try:
                    value = await drive(call(item), work.base.copy(), _nothing)
                except BaseException as exc:  # noqa: BLE001  # an item's end is data
                    work.fail(batch, exc)
                else:
                    batch.give(value)

            work.finish(batch)
            if work.is_done:
                return


_NOBODY_AWAITS = (
    "the function is a plain one and returned a coroutine, which nobody awaits: pass the async "
    "function itself"
)


def _nothing() -> None:
    pass


class _Work:
    """What the batches of one job share."""

    def __init__(
        self, fn: Callable[[Any], Any], gives_many: bool, limit: float, strict: bool
    ) -> None:
        self.outer = current_context()
        self.base: Context = copy_context()
        self.base.run(enter_context, _ItemHere(self))
        self._fn = fn
        self._gives_many = gives_many
        self._limit = limit
        self._strict = strict
        self.is_done = False
        self._check_parent = getattr(self.outer, "check_parent", _nothing)
        self._lock = _thread.allocate_lock()
        self._batch: _Batch | None = None
        self._mark: Any = None
        self._told: _Batch | None = None
        self._opened = self._taken_back = 0
        self._is_over = _thread.allocate_lock()
        self._is_over.acquire()
        self._is_watched = False
        self._watch_is_over = _thread.allocate_lock()
        self._watch_is_over.acquire()

    def open(self, number: int, first: int, items: Parcel, mark: Any) -> _Batch | None:
        """Open a batch that has come; None if nothing is to be done about it."""
        with self._lock:
            if number == self._taken_back:
                return None

            self._opened = number

        try:
            opened: Any = unpack_in_job(items.data, items.buffers)
        except NotLoadable as exc:
            self.outer.write(Stream.OUTPUT, (UNLOADABLE, number, str(exc)))
            return None

        if self._mark is None and mark is not None:
            self._mark = _open_mark(*mark)

        if not self._is_watched:
            self._is_watched = True
            _thread.start_new_thread(self._watch, ())

        batch = _Batch(number, first, opened, self._mark, self._limit)
        batch.gives_many = self._gives_many
        with self._lock:
            self._batch = batch

        return batch

    def fail(self, batch: _Batch, error: BaseException) -> None:
        """Note the failure of an item, unless it is the stop of all."""
        if not isinstance(error, Exception) and self.outer.stop_requested():
            raise error

        batch.fail(error)
        if self._strict:
            # The parent would say so, too, but other items would run meanwhile.
            self.is_done = True
            batch.take_rest()

    def finish(self, batch: _Batch) -> None:
        """Send what is left to be told about *batch*."""
        with self._lock:
            self._batch = None
            reply = batch.reply(perf_counter())
            self.outer.write(Stream.OUTPUT, (DONE, batch.number, reply))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        # An interpreter that ends before its threads takes the whole process with it.
        self._is_over.release()
        if self._is_watched:
            self._watch_is_over.acquire()

    def _watch(self) -> None:
        try:
            self._look_at_slow()
        except (OSError, EOFError, StopRequested):
            # The parent is gone, or goes on without this place, or wants the job to end, which
            # is then the business of the thread that runs it.
            return
        finally:
            self._watch_is_over.release()

    def _look_at_slow(self) -> None:
        """Send early what slow batches have, and give back what waits in them."""
        tick = min(TICK, self._limit / 4)
        seen: _Batch | None = None
        while not self._is_over.acquire(timeout=tick):
            self._check_parent()
            with self._lock:
                batch = self._batch
                if batch is not None and batch is seen:
                    self._send_part(batch)
                    self._give_back_next()

                seen = batch

    def _give_back_next(self) -> None:
        """Let go of the batch behind the one at work, if the parent wants it back."""
        number = 0 if self._mark is None else self._mark[1]
        if number > self._opened and number != self._taken_back:
            self._taken_back = number
            self.outer.write(Stream.OUTPUT, (BACK, number))

    def _send_part(self, batch: _Batch) -> None:
        now = perf_counter()
        left = batch.take_rest()
        reply = batch.reply(now)
        if left or reply.count or self._limit < _INF or batch is not self._told:
            self._told = batch
            part = (PART, batch.number, reply, left, now - batch.item_began)
            self.outer.write(Stream.OUTPUT, part)

    # Items that give many results

    def each(self, item: object) -> object:
        """Give each value of a generator as a result; return what it returns."""
        generator = self._fn(item)
        try:
            while True:
                try:
                    value = next(generator)
                except StopIteration as end:
                    if end.value is not None:
                        self.post(end.value)

                    return None

                self.post(value)
        finally:
            generator.close()

    async def each_async(self, item: object) -> None:
        """Give each value of an async generator as a result."""
        from contextlib import aclosing

        async with aclosing(self._fn(item)) as values:
            async for value in values:
                self.post(value)

    def post(self, value: object) -> Awaitable[None]:
        """Send one result of the current item."""
        batch = self._batch
        if batch is None:
            raise RuntimeError("write_output was called after its item had ended")

        batch.has_posted = True
        message = (VALUE, batch.number, len(batch.values), value)
        return self.outer.write(Stream.OUTPUT, message)


_INF = float("inf")


class _Batch:
    """Items at work. The thread that watches may take untouched ones from the right."""

    def __init__(self, number: int, first: int, items: list[Any], mark: Any, limit: float) -> None:
        self.number = number
        self.first = first
        self.values: list[Any] = []
        self.gives_many = self.has_posted = False
        self.began = self.item_began = perf_counter()
        self._items = deque(items)
        self._odd: dict[int, str | Told] = {}
        self._late: list[int] = []
        self._mark = mark
        self._limit = limit
        self._sent = 0

    def items_in_turn(self) -> Iterator[Any]:
        """Give the items one at a time, each when the last one has ended."""
        take = self._items.popleft
        mark, limit = self._mark, self._limit
        while True:
            try:
                item = take()
            except IndexError:
                return

            if mark is not None:
                mark[0] = self.first + len(self.values) + 1

            yield item
            if limit < _INF:
                self._note_time()

    def run(  # noqa: C901  # what is done for each item counts, so it is written out
        self,
        call: Callable[[Any], Any],
        copy: Callable[[], Context],
        fail: Callable[[_Batch, BaseException], object],
    ) -> None:
        """Call *call* for the items, each in a copy of the context: `items_in_turn`, in a loop."""
        take, mark, limit = self._items.popleft, self._mark, self._limit
        values = self.values
        append = values.append
        begun = self.first
        while True:
            try:
                item = take()
            except IndexError:
                return

            begun += 1
            if mark is not None:
                mark[0] = begun

            try:
                value = copy().run(call, item)
            except BaseException as exc:  # noqa: BLE001  # as above
                fail(self, exc)
            else:
                if type(value) is CoroutineType:
                    value.close()
                    fail(self, TypeError(_NOBODY_AWAITS))
                elif self.has_posted or self.gives_many:
                    self.give(value)
                else:
                    append(value)

            if limit < _INF:
                self._note_time()

    def _note_time(self) -> None:
        """Note whether the item that has ended was late."""
        now = perf_counter()
        if now - self.item_began > self._limit:
            self._late.append(len(self.values) - 1)

        self.item_began = now

    def give(self, value: object) -> None:
        """Take what the current item has returned."""
        if self.has_posted or self.gives_many:
            self.has_posted = False
            self._odd[len(self.values)] = POSTED

        self.values.append(value)

    def fail(self, error: BaseException) -> None:
        """Take what the current item has raised."""
        from ._failure import tell

        self.has_posted = False
        self._odd[len(self.values)] = tell(error, _own_part(error.__traceback__))
        self.values.append(None)

    def take_rest(self) -> int:
        """Drop the items that nothing has touched; return how many."""
        count = 0
        try:
            while True:
                self._items.pop()
                count += 1
        except IndexError:
            return count

    def reply(self, now: float) -> Reply:
        """Return what was not told before."""
        first, self._sent = self._sent, len(self.values)
        values = self.values[first : self._sent]
        odd, self._odd = self._odd, {}
        late, self._late = tuple(self._late), []
        seconds = now - self.began
        return Reply(first, len(values), seconds, wrap_values(values, first, odd), odd, late)


class _ItemHere(JobContext):
    """What the code of an item sees: output is a result, the rest is the job's."""

    __slots__ = ("_work",)

    def __init__(self, work: _Work) -> None:
        self._work = work

    def write(self, stream: Stream, value: object) -> Awaitable[None]:
        if stream == "output":
            return self._work.post(value)

        return self._work.outer.write(stream, value)

    def stop_requested(self) -> bool:
        return self._work.outer.stop_requested()

    def job_input(self) -> NoInput:
        return NoInput()

    def cleanup(self) -> Any:
        return self._work.outer.cleanup()


def _open_mark(path: str, slot: int) -> Any:
    """Return memory shared with the parent: which item has begun, which batch it wants back."""
    try:
        with open(path, "r+b", buffering=0) as file:  # noqa: PTH123  # pathlib costs milliseconds
            memory = mmap.mmap(file.fileno(), 0)
    except OSError:
        return None

    return memoryview(memory).cast("Q")[2 * slot : 2 * slot + 2]


def _own_part(frames: Any) -> Any:
    """Return the part of a traceback that is about the item's own code."""
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _OURS:
        frames = frames.tb_next

    return frames


_OURS = frozenset({__name__, "ajobs._drive"})
