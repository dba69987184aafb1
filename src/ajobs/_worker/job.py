"""The running job as its own code sees it: streams, input, stop.

It answers what the functions of `ajobs._context` ask. One job runs in a worker at a time,
its function in the main thread; any thread of it may write, and read its input.
"""

from __future__ import annotations

import _thread
from collections import deque

from .._payload import ATOMS, NotLoadable, NotPicklable, pack, unpack_in_job
from .._wire import BEGUN, CREDIT, ITEM, NO_ITEM, STOP, WANT, Frame, Part, encode
from .records import MOST_BYTES, NO_VALUE, Outgoing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import FrameType
    from typing import Any, NoReturn

    from .channel import Channel
    from .tails import Tails

#: Marks the stream of a line that was printed, or logged.
PRINTED = "="

_LOSSLESS = frozenset({"output", "error", "warning", f"{PRINTED}error", f"{PRINTED}warning"})

#: Code that a signal must not leave half-way: it has a lock, or half a frame is sent.
_INDIVISIBLE = frozenset(
    f"{__package__.partition('.')[0]}.{name}"
    for name in (
        "_worker.job",
        "_worker.records",
        "_worker.tails",
        "_worker.channel",
        "_wire",
        "_payload",
    )
)


class _Written:
    """Awaited where nothing has to be waited for; `_context` has one, and is not loaded here."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_WRITTEN = _Written()


class FarJob:
    """One job on the far end.

    Attributes:
        channel: The way to the parent.
        is_stopped: Whether it was told to end.
        on_stop: What to do then, where raising in the main thread is not it.
        readers: How many threads of it wait for a frame. A worker whose job has left one
            behind cannot run another.
    """

    def __init__(
        self,
        channel: Channel,
        tails: Tails,
        *,
        has_input: bool,
        credit: int | None,
        tells_begin: bool,
    ) -> None:
        """Begin.

        Args:
            channel: The way to the parent.
            tails: Sends what is written before a silence.
            has_input: Whether there is anything to ask for.
            credit: How many output, error and warning records may be sent before the parent
                allows more; None for any number.
            tells_begin: Whether the parent wants to know when the job's own code begins.
        """
        self.channel = channel
        self.is_stopped = False
        self.on_stop: Any = None
        self.readers = 0
        self._outgoing = Outgoing(channel, tails)
        self._main = _thread.get_ident()
        self._reading = _thread.allocate_lock()
        self._left: set[int] = set()
        self._tells_begin = tells_begin
        self._credit = credit
        self._has_input = has_input
        self._is_asked = False
        self._items: deque[Frame] = deque()
        self._watches_stop = False
        self._is_interrupted = False

    def begin(self) -> None:
        """Note that the job's own code begins now.

        Raises:
            StopRequested: The job was told to end while its code was loaded.
        """
        if self.is_stopped:
            self._is_interrupted = True
            raise_stop()

        if self._tells_begin:
            self.channel.send(encode(BEGUN))

    def end(self, parts: list[Part]) -> None:
        """Send the last records and *parts*, the outcome; what is written later is dropped."""
        self._outgoing.end(parts)

    def leave(self) -> None:
        """Send what was written: the job's code ends the process now."""
        self._outgoing.send_before_exit()

    # Streams

    def write(self, stream: str, value: object) -> _Written:
        """Write one record; wait while the parent has no room for it."""
        outgoing = self._outgoing
        if self._credit is not None and stream in _LOSSLESS:
            self._take_credit()

        if type(value) in ATOMS:
            outgoing.add(stream, value)
        else:
            # Now, not when it is sent: the job may change it in between.
            packed = _packed(value, stream)
            if packed.buffers or len(packed.data) > MOST_BYTES:
                outgoing.add_big(stream, packed.data, packed.buffers)
            else:
                outgoing.add_packed(stream, packed.data)

        if outgoing.is_stop_due:
            self._raise_due_stop()

        return _WRITTEN

    def write_all(self, values: Iterator[object]) -> None:
        """Write *values*, as output."""
        outgoing = self._outgoing
        if self._credit is not None:
            for value in values:
                self.write("output", value)
        else:
            while (value := outgoing.add_numbers(values)) is not NO_VALUE:
                self.write("output", value)

        if outgoing.is_stop_due:
            self._raise_due_stop()

    def text(self, stream: str, line: str) -> None:
        """Write a line that was printed: an error one does not set `Job.had_errors`."""
        self.write(f"{PRINTED}{stream}", line)

    def _take_credit(self) -> None:
        """Wait until one more record may be sent."""
        if not self._credit:
            self._outgoing.flush()
            self._read_until(lambda: bool(self._credit))

        assert self._credit is not None
        self._credit -= 1

    def check_parent(self) -> None:
        """Raise `OSError` if nobody wants to hear of this job any more."""
        self.channel.check()

    # Input

    def job_input(self) -> FarInput:
        """Return the input as the job's code reads it."""
        return FarInput(self)

    def next_item(self) -> object:
        """Ask for the next item and wait for it.

        Raises:
            StopIteration: There is none.
            StopRequested: The job was told to end in the meantime.
        """
        self.ask()
        self._read_until(lambda: bool(self._items) or not self._is_asked)
        return self.answer()

    def ask(self) -> None:
        """Ask the parent for an item, unless one is on its way."""
        if self._has_input and not self._is_asked:
            self._is_asked = True
            self._outgoing.flush()
            self.channel.send(encode(WANT))

    def has_answer(self) -> bool:
        """Take what has come, and tell whether `answer` knows what comes next.

        Raises:
            StopRequested: What has come is a stop.
        """
        while (frame := self.channel.poll()) is not None:
            self._take_frame(frame)

        return bool(self._items) or not self._is_asked

    def answer(self) -> object:
        """Return the item that was asked for.

        Raises:
            StopIteration: There is none.
        """
        if not self._items:
            raise StopIteration

        self._is_asked = False
        return self._open_item(self._items.popleft())

    def _open_item(self, frame: Frame) -> object:
        if frame.kind == ITEM:
            return _unpacked(frame)

        self._has_input = False
        if frame.body:
            from .._failure import rebuild

            told: Any = unpack_in_job(frame.body)
            raise rebuild(told, "the source of the input")

        raise StopIteration

    # What the parent sends

    def _read_until(self, is_done: Callable[[], bool]) -> None:
        """Take frames until *is_done*; one thread at a time, the others look again then.

        Raises:
            StopRequested: The job was told to end, and this thread has not been left for that.
        """
        self.readers += 1
        try:
            while not is_done():
                with self._reading:
                    if self.is_stopped and _thread.get_ident() not in self._left:
                        # Somebody else has taken the frame: no other comes.
                        self._leave_thread()

                    if not is_done():
                        self._take_frame(self.channel.receive())
        finally:
            self.readers -= 1

    def _take_frame(self, frame: Frame) -> None:
        if frame.kind == STOP:
            self.is_stopped = True
            self._leave_thread()

        if frame.kind == CREDIT and self._credit is not None:
            self._credit += int.from_bytes(frame.body, "little")
        elif frame.kind in (ITEM, NO_ITEM):
            self._items.append(frame)

    def _leave_thread(self) -> NoReturn:
        thread = _thread.get_ident()
        self._left.add(thread)
        if thread == self._main:
            self._is_interrupted = True
            self._outgoing.is_stop_due = False

        raise_stop()

    # Stop

    def stop_requested(self) -> bool:
        """Tell whether the job was told to end; from now on it sees to that by itself."""
        self._watches_stop = True
        if not self.is_stopped and not self._outgoing.is_over and self._reading.acquire(False):
            try:
                frame = self.channel.poll()
            finally:
                self._reading.release()

            if frame is not None and frame.kind == STOP:
                self.is_stopped = True
            elif frame is not None:
                self._take_frame(frame)

        return self.is_stopped

    def interrupt(self, frame: FrameType | None) -> None:
        """Act on the signal of a stop, in the main thread, which was at *frame*.

        The first one only sets the flag: code that looks at it may be about to. The parent
        sends more of them until it hears of the end.
        """
        was_stopped, self.is_stopped = self.is_stopped, True
        was_raised = self._is_interrupted and not self._outgoing.is_stop_due
        if self.on_stop is not None:
            self.on_stop()
        elif not was_stopped or was_raised or self._watches_stop:
            return
        elif frame is not None and frame.f_globals.get("__name__") in _INDIVISIBLE:
            self._outgoing.is_stop_due = self._is_interrupted = True
        elif not self._outgoing.is_over:
            self._is_interrupted = True
            self._outgoing.is_stop_due = False
            try:
                raise_stop()
            except ImportError:
                # It came in the middle of the import of what is to be raised.
                self._outgoing.is_stop_due = True

    def _raise_due_stop(self) -> None:
        if _thread.get_ident() == self._main:
            self._outgoing.is_stop_due = False
            raise_stop()

    def cleanup(self) -> Shield:
        """Return a block that does nothing: here no ``await`` is cancelled."""
        return Shield()


class FarInput:
    """The items that a job was given, for ``for``."""

    def __init__(self, job: FarJob) -> None:
        self._job = job

    def __iter__(self) -> FarInput:
        return self

    def __next__(self) -> object:
        return self._job.next_item()


class Shield:
    """A ``with`` block around nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _unpacked(item: Frame) -> object:
    try:
        return unpack_in_job(item.body, item.buffers)
    except NotLoadable as exc:
        from .._errors import PayloadError

        message = f"an item of the input cannot be loaded in the worker: {exc}"
        raise PayloadError(message) from exc.__cause__


def _packed(value: object, stream: str) -> Any:
    try:
        return pack(value)
    except NotPicklable as exc:
        from .._culprit import culprit_of
        from .._errors import PayloadError

        found = culprit_of("the value", value) or str(exc)
        message = f"a record of the {stream} stream cannot be sent: {found}"
        raise PayloadError(message) from exc.__cause__


def raise_stop() -> NoReturn:
    """Leave the job because it was told to end."""
    from .._errors import StopRequested  # here, since most jobs are never stopped

    raise StopRequested("the job was asked to stop")
