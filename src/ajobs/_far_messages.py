"""What `parallel_foreach` and its workers tell each other: batches, replies, and their bytes.

Standard library only, and little of that: workers load it.
"""

from __future__ import annotations

from ._payload import NotPicklable, PickleBuffer, dumps, pack, said, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    #: How a failure travels: see `_failure.tell`.
    Told: TypeAlias = dict[str, Any]

#: Kinds of replies, the first entry of each.
DONE = 1  #: number, Reply: a batch has ended.
PART = 2  #: number, Reply, items left, seconds that the running item has taken so far.
VALUE = 3  #: number, index, value: one result of an item that goes on.
BACK = 5  #: number: nothing of a batch has been touched, and nothing will be.
UNLOADABLE = 4  #: number, why: the items of a batch cannot be loaded here.

#: Stands for the value of an item whose results went one by one.
POSTED = "posted"


class Parcel:
    """A value that is made bytes and back by hand, so that its failure is its own.

    Big buffers in it travel without a copy wherever the runner can do that.
    """

    __slots__ = ("buffers", "data")

    def __init__(self, data: Any, buffers: Any = ()) -> None:
        """Keep the bytes that `wrap` made."""
        self.data = data
        self.buffers = buffers

    def __reduce_ex__(self, _protocol: object) -> tuple[object, ...]:
        buffers = tuple(PickleBuffer(buffer) for buffer in self.buffers)
        return Parcel, (PickleBuffer(self.data), buffers)

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return sum(memoryview(part).nbytes for part in (self.data, *self.buffers))

    def open(self) -> Any:
        """Return the value.

        Raises:
            NotLoadable: Its own code failed.
        """
        return unpack(self.data, self.buffers)


def wrap(value: object) -> Parcel:
    """Return *value* as bytes.

    Raises:
        NotPicklable: It has no such form.
    """
    packed = pack(value)
    return Parcel(packed.data, packed.buffers)


class Reply:
    """What some items of a batch have given.

    Attributes:
        first: The position in the batch of the first of them.
        seconds: How long the batch took so far.
        values: Their values, one for each.
        count: How many values there are.
        odd: By position in the batch, for those whose value is no result: `POSTED`, or what
            was raised, told.
        is_late: Positions of those that overran the limit for one item.
    """

    __slots__ = ("count", "first", "is_late", "odd", "seconds", "values")

    def __init__(
        self,
        first: int,
        count: int,
        seconds: float,
        values: Parcel,
        odd: dict[int, str | Told],
        is_late: tuple[int, ...],
    ) -> None:
        """Keep what is told."""
        self.first = first
        self.count = count
        self.seconds = seconds
        self.values = values
        self.odd = odd
        self.is_late = is_late

    def __reduce__(self) -> tuple[object, ...]:
        return Reply, (
            self.first,
            self.count,
            self.seconds,
            self.values,
            self.odd,
            self.is_late,
        )


NO_VALUES = Parcel(dumps([], 5))


def wrap_values(values: list[Any], first: int, odd: dict[int, str | Told]) -> Parcel:
    """Make *values* bytes; note in *odd* which of them have no such form."""
    if not values:
        return NO_VALUES

    try:
        return wrap(values)
    except NotPicklable:
        from ._culprit import culprit_of
        from ._failure import tell_error

        for at, value in enumerate(values):
            try:
                pack(value)
            except NotPicklable as exc:
                found = culprit_of("the result", value) or said(exc)
                message = f"the result of an item cannot be sent: {found}"
                odd[first + at] = tell_error("PayloadError", message)
                values[at] = None

        return wrap(values)


class NoInput:
    """What an item reads from `job_input`: nothing, in both ways of reading."""

    def __iter__(self) -> NoInput:
        return self

    def __next__(self) -> object:
        raise StopIteration

    def __aiter__(self) -> NoInput:
        return self

    async def __anext__(self) -> object:
        raise StopAsyncIteration
