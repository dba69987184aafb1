"""Values as bytes and back, on both sides: the only place that pickles.

A value goes by plain pickle, which is fast and loads nothing; by cloudpickle when it holds
something that only exists here: a lambda, a closure, a thing from ``__main__``. Big buffers
stay out of the pickle and travel without a copy. This file imports next to nothing, since a
worker loads it first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

try:
    # The C module alone: `pickle` around it costs a starting worker five milliseconds.
    from _pickle import PickleBuffer, dumps, loads
except ImportError:
    from pickle import PickleBuffer, dumps, loads

from ._wire import MOST_BUFFERS, Memory

__all__ = (
    "ATOMS",
    "NotLoadable",
    "NotPicklable",
    "Packed",
    "PickleBuffer",
    "dumps",
    "loads",
    "pack",
    "pack_flat",
    "said",
    "unpack",
    "unpack_in_job",
)

#: Buffers below this size cost less inside the pickle than on their own.
LEAST_BUFFER = 1 << 16

#: What cannot change after it was written, so that sending it later is sending it now.
ATOMS = frozenset({int, float, str, bytes, bool, complex, type(None)})

KeepIn = Callable[[PickleBuffer], bool]


class NotPicklable(Exception):
    """A value has no form that could be sent; the cause says why."""


class NotLoadable(Exception):
    """What was sent cannot be made a value again here; the cause says why."""


class Packed:
    """A value as bytes.

    Attributes:
        data: The pickle.
        buffers: Flat views of the big buffers of the value: its own memory, not a copy.
    """

    __slots__ = ("buffers", "data")

    def __init__(self, data: bytes, buffers: Sequence[memoryview] = ()) -> None:
        self.data = data
        self.buffers = buffers


def pack(value: object) -> Packed:
    """Return *value* as bytes, its big buffers apart.

    Raises:
        NotPicklable: It cannot be sent.
    """
    if type(value) in ATOMS:
        return Packed(dumps(value, 5))

    buffers: list[memoryview] = []

    def keep_in(buffer: PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True

        if view.nbytes < LEAST_BUFFER or len(buffers) >= MOST_BUFFERS:
            return True

        buffers.append(view)
        return False

    return Packed(_dump(value, keep_in, buffers), buffers)


def pack_flat(value: object) -> bytes:
    """Return *value* as one pickle, its buffers included.

    Raises:
        NotPicklable: It cannot be sent.
    """
    return dumps(value, 5) if type(value) in ATOMS else _dump(value, None, [])


def _dump(value: object, keep_in: KeepIn | None, buffers: list[memoryview]) -> bytes:
    plain_error: Exception | None = None
    if not _has_modules_by_value():
        try:
            data = dumps(value, 5, buffer_callback=keep_in)
        except Exception as exc:  # noqa: BLE001  # of the user's own __reduce__: any
            plain_error = exc
        except SystemExit as exc:
            raise NotPicklable(said(exc)) from exc
        else:
            # By reference to `__main__` means: to another program's, over there.
            if b"__main__" not in data:
                return data

        buffers.clear()

    return _dump_by_value(value, keep_in, plain_error)


def _dump_by_value(value: object, keep_in: KeepIn | None, plain_error: Exception | None) -> bytes:
    if isinstance(plain_error, RecursionError | MemoryError):
        raise NotPicklable(said(plain_error)) from plain_error

    try:
        # Loaded when needed: 30 milliseconds that most jobs can do without.
        import cloudpickle

        data: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_in)
    except (Exception, SystemExit) as exc:  # noqa: BLE001  # as above
        # Of the two, what plain pickle says is about the value, not about cloudpickle.
        raise NotPicklable(said(exc)) from (plain_error or exc)

    return data


def unpack(data: bytes | bytearray | memoryview, buffers: Sequence[Memory] = ()) -> object:
    """Return the value that was packed.

    Raises:
        NotLoadable: Whatever the value's own code raised here: a `SystemExit` from a
            ``__setstate__`` is about this value, and about nothing else.
    """
    try:
        return loads(data, buffers=buffers)
    except BaseException as exc:
        raise NotLoadable(said(exc)) from exc


def unpack_in_job(data: bytes | bytearray | memoryview, buffers: Sequence[Memory] = ()) -> object:
    """Return the value that was packed, for the job that runs here.

    Raises:
        NotLoadable: As `unpack` does.
        StopRequested: The job was told to end meanwhile, which is no fault of the value.
    """
    try:
        return unpack(data, buffers)
    except NotLoadable as exc:
        from ._errors import StopRequested  # here, since hardly any job needs it

        if isinstance(exc.__cause__, StopRequested):
            raise exc.__cause__ from None

        raise


def _has_modules_by_value() -> bool:
    if sys.modules.get("cloudpickle") is None:
        return False

    # Another thread may be in the midst of loading it: an import waits for that.
    import cloudpickle

    return bool(cloudpickle.list_registry_pickle_by_value())


def said(exc: BaseException) -> str:
    """Return the class and message of *exc*, whatever its ``__str__`` does."""
    try:
        return f"{type(exc).__name__}: {exc}"
    except Exception:  # noqa: BLE001
        return type(exc).__name__
