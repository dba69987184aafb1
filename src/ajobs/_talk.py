"""One job in one place, from its call to its outcome, as the parent sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import anyio
from anyio import CancelScope

from . import _wire as wire
from ._errors import JobAborted, PayloadError, StopRequested, WorkerDied
from ._failure import rebuild, tell, tell_error
from ._payload import NotLoadable, NotPicklable, dumps, loads, pack, unpack
from ._place import Place
from ._records import LOSSLESS, Stream
from ._runner import Emit, LeftBehind
from ._text import line_of
from ._wire import Frame, Memory, Part, WireError, encode
from ._worker.job import PRINTED

_STREAMS = {str(stream): stream for stream in Stream}

#: Seconds in which code that looks for a stop may find it, before other code is interrupted.
_POLITE_SECONDS = 0.1

#: Seconds between the first sign of a death, which is that descriptors close, and the death.
_DYING_SECONDS = 0.5

#: Chunks read of what a worker printed before it told its outcome: no pipe holds more.
_PIPE_CHUNKS = 17

#: Chunks read after a death: only somebody who left the group can still be writing.
_LAST_CHUNKS = 200


_NOT_READY = (
    "it was not ready after {:g} s (start_timeout): what Python loads as it starts, such as "
    "sitecustomize or a .pth file, does not come to an end, or this machine is overloaded"
)


class NotBegun(Exception):
    """The worker was dead before it read the job: another one can take it."""


class Talk:
    """A job and the place that runs it.

    Attributes:
        is_clean: True once the job has ended as it should, so that the place can run another.
        is_left: True if its code goes on without us.
        begins_by: When the job counts as running at the latest; infinity if it does already.
    """

    __slots__ = (
        "_broken",
        "_emit",
        "_has_answered",
        "_is_limited",
        "_is_stopping",
        "_link",
        "_outcome",
        "_owed_credit",
        "_place",
        "_printed",
        "_wanted",
        "begins_by",
        "is_clean",
        "is_left",
    )

    def __init__(self, place: Place, emit: Emit, *, is_limited: bool) -> None:
        """Begin.

        Args:
            place: Taken for this job alone.
            emit: Where its records go.
            is_limited: Whether the worker sends no more records than it has credit for.
        """
        self.is_clean = False
        self.is_left = False
        self.begins_by = math.inf
        self._place = place
        self._link = place.link
        self._emit = emit
        self._printed = place.printed
        self._printed.go_to(emit)
        self._is_limited = is_limited
        self._owed_credit = 0
        self._has_answered = False
        self._broken: Exception | None = None
        self._is_stopping = False
        self._wanted: anyio.Event | None = None
        self._outcome: tuple[Any, BaseException | None] | None = None

    async def run(self, call: Sequence[Part]) -> Any:
        """Have the job run and return its value.

        Args:
            call: The frame that says what to run.

        Raises:
            NotBegun: The worker had died.
            WorkerDied: It died on this job.
            BaseException: What the job raised.
        """
        self._link.send(call)
        try:
            if self._emit.input is None:
                await self._listen()
            else:
                await self._listen_and_feed()
        except anyio.get_cancelled_exc_class():
            if self._outcome is None:
                await self._stop()

            # Ended by force, or before it began: there is nothing to tell.
            if self._outcome is None or isinstance(self._outcome[1], WorkerDied | NotBegun):
                raise

        assert self._outcome is not None
        value, error = self._outcome
        if error is not None:
            raise error

        return value

    async def _stop(self) -> None:
        """Tell the job to end, and end it by force when its grace is over."""
        self._is_stopping = True
        place, emit = self._place, self._emit
        self._link.send(encode(wire.STOP))
        place.interrupt()
        with CancelScope(shield=True) as listening:
            if place.can_be_killed:
                emit.on_deadline(place.kill)
                if emit.stop_deadline <= anyio.current_time():
                    place.kill()
            else:
                emit.on_leave(listening.cancel)

            pause = _POLITE_SECONDS
            while self._outcome is None:
                with anyio.move_on_after(pause):
                    await self._listen()

                # Again and again: a busy machine makes one signal of two.
                pause *= 2
                if self._outcome is None:
                    place.interrupt()

        # "Stopped" means that nothing of the job runs any more, its threads included.
        self.is_clean = False
        if self._outcome is None:
            self.is_left = True
            raise LeftBehind(place.leave)

    async def _listen(self) -> None:
        """Take what the worker sends, until the outcome is there."""
        try:
            while self._outcome is None:
                await self._wait()
                # Nearly always it is a frame, and nearly always the last one.
                if self._outcome is None:
                    self._take_all()

                if self._outcome is None:
                    await self._look()
                    await self._keep_room()

            if self.is_clean:
                await self._printed.end(_PIPE_CHUNKS, may_wait=not self._is_stopping)
        except WireError as exc:
            self.is_clean = False
            await self._bury(str(exc))
        except Exception as exc:  # noqa: BLE001  # of a record that cannot be loaded, or taken
            self.is_clean = False
            self._outcome = None, exc

    async def _wait(self) -> None:
        if not self._place.is_ready or self.begins_by != math.inf:
            await self._wait_for_begin()
        else:
            await self._emit.pause(self._place.wakeup(), self._take_outcome)

        if self._broken is not None:
            raise self._broken

    def _take_outcome(self) -> bool:
        """Take what has come; tell whether nothing is left but to return the outcome."""
        try:
            self._take_all()
        except Exception as exc:  # noqa: BLE001  # raised again where it is handled
            self._broken = exc

        return self._outcome is not None and self.is_clean

    async def _wait_for_begin(self) -> None:
        place = self._place
        ready_by = math.inf if place.is_ready else place.ready_by
        with CancelScope(deadline=min(ready_by, self.begins_by)) as scope:
            await place.wait()

        if not scope.cancelled_caught:
            return

        if ready_by < self.begins_by:
            await self._bury(_NOT_READY.format(place.start_timeout))
        else:
            self._begin()

    def _begin(self) -> None:
        self.begins_by = math.inf
        self._emit.begin()

    def _take_all(self) -> None:
        for frame in self._link.receive():
            self._take(frame)

    async def _look(self) -> None:
        """Look at everything that is not a frame."""
        link = self._link
        if link.has_outgoing:
            link.flush()

        for fd in self._place.poll.ready():
            if fd in self._printed:
                self._printed.read(fd)
            elif fd == self._place.end_fd:
                await self._bury()
                return

        if link.is_over:
            await self._bury("it closed its connection", _DYING_SECONDS)

    # Frames

    def _take(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == wire.READY:
            self._place.is_ready = True
            return

        self._has_answered = True
        if kind == wire.VALUE:
            self._take_value(frame)
        elif kind == wire.FAILURE:
            told: Any = loads(frame.body)
            self._end_with(rebuild(told, self._place.label))
        elif kind == wire.RECORDS:
            self._take_records(frame)
        elif kind == wire.RECORD:
            self._take_record(frame)
        elif kind == wire.BEGUN:
            self._begin()
        elif kind == wire.WANT and self._wanted is not None:
            self._wanted.set()
        else:
            raise WireError(f"unexpected frame of kind {kind}")

    def _take_value(self, frame: Frame) -> None:
        try:
            self._outcome = unpack(frame.body, frame.buffers), None
            self.is_clean = True
        except NotLoadable as exc:
            error = PayloadError(f"the result of the job cannot be loaded here: {exc}")
            error.__cause__ = exc.__cause__
            self._end_with(error)

    def _end_with(self, error: BaseException) -> None:
        # Raised in this process, the exit or the cancellation of another would be taken for
        # its own.
        if not isinstance(error, Exception | StopRequested):
            aborted = JobAborted(f"the job's code was ended by {line_of(error)}")
            aborted.__cause__ = error
            error = aborted

        self._outcome = None, error
        self.is_clean = True

    def _take_records(self, frame: Frame) -> None:
        for name, is_packed, times, values in loads(frame.body):
            loaded = [_loaded(value, name) for value in values] if is_packed else values
            stream = _STREAMS[name.removeprefix(PRINTED)]
            self._owe(stream, len(values))
            if name.startswith(PRINTED):
                for line in loaded:
                    self._emit.text(stream, str(line))
            else:
                self._emit.many_of(stream, times, loaded)

    def _take_record(self, frame: Frame) -> None:
        size = int.from_bytes(frame.body[:4], "little")
        name, time = loads(frame.body[4 : 4 + size])
        value = _loaded(memoryview(frame.body)[4 + size :], name, frame.buffers)
        stream = _STREAMS[name.removeprefix(PRINTED)]
        self._owe(stream, 1)
        self._emit.many([(time, stream, value)])

    # Room

    def _owe(self, stream: Stream, count: int) -> None:
        if self._is_limited and stream in LOSSLESS:
            self._owed_credit += count

    async def _keep_room(self) -> None:
        """Let the worker send more as soon as there is room for it; read no more before."""
        printed, emit = self._printed, self._emit
        printed.pass_on()
        while emit.is_full and (printed.must_wait or self._owed_credit) and not self._is_stopping:
            await emit.room()
            printed.pass_on()

        if self._owed_credit and not self._emit.is_full:
            owed, self._owed_credit = self._owed_credit, 0
            self._link.send(encode(wire.CREDIT, owed.to_bytes(8, "little")))

    # Input

    async def _listen_and_feed(self) -> None:
        self._wanted = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, self._wanted)
            await self._listen()
            tasks.cancel_scope.cancel()

    async def _feed(self, wanted: anyio.Event) -> None:
        """Pull an item from the input each time the job asks for one."""
        while True:
            await wanted.wait()
            self._wanted = wanted = anyio.Event()
            self._link.send(await self._next_item())
            # The other task waits already: let it see to what did not fit.
            self._place.wakeup()

    async def _next_item(self) -> list[Part]:
        try:
            packed = pack(await self._emit.next_input())
        except StopAsyncIteration:
            return encode(wire.NO_ITEM)
        except NotPicklable as exc:
            told = tell_error("PayloadError", f"an item of the input cannot be sent: {exc}")
        except Exception as exc:  # noqa: BLE001  # of the user's source: the job gets it
            told = tell(exc, exc.__traceback__)
        else:
            return encode(wire.ITEM, packed.data, packed.buffers)

        return encode(wire.NO_ITEM, dumps(told, 5))

    # Death

    async def _bury(self, why: str | None = None, dying: float = 0) -> None:
        """The place has died, or has to: take what it left, then say so."""
        while self._outcome is None and not self._link.is_over and not self._link.is_drained:
            self._take_all()

        self.is_clean = False
        if self._outcome is not None:
            # It told its outcome, and died afterwards.
            return

        how, code = await self._place.autopsy(why, dying)
        await self._printed.end(_LAST_CHUNKS, may_wait=not self._is_stopping)
        if self._link.is_unread and self._place.is_ready and not self._has_answered:
            self._outcome = None, NotBegun()
        else:
            self._outcome = None, self._death(how, code)

    def _death(self, how: str, code: int | None) -> WorkerDied:
        died = "died" if self._place.is_ready else "could not start"
        message = f"{self._place.label} {died}: {self._place.killed_for or how}"
        lines = [str(line) for line in self._printed.last_errors]
        if lines:
            message += "; the last that it wrote to standard error:\n  " + "\n  ".join(lines)

        return WorkerDied(message, code, lines)


def _loaded(value: Any, stream: str, buffers: Sequence[Memory] = ()) -> object:
    try:
        return unpack(value, buffers)
    except NotLoadable as exc:
        message = f"a record of the {stream} stream cannot be loaded here: {exc}"
        raise PayloadError(message) from exc.__cause__
