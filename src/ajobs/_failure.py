"""Exceptions as data: what one process raised, raised again in another.

An exception is sent as a pickle only if it came back the same in a trial; its cause, its
notes and the parts of a group travel beside it, since pickle leaves them behind, and the far
traceback goes along as text. What cannot be sent so becomes a `RemoteError` with its name
and message. The far end loads this file when something has failed, not before.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, TypeAlias

from ._payload import NotLoadable, NotPicklable, pack_flat, said, unpack

#: An exception as plain data: nothing of it runs code when it is unpickled.
Told: TypeAlias = dict[str, Any]

#: Longest message and traceback text: an error with megabytes of text helps nobody.
_MOST_TEXT = 20_000
_MOST_TRACEBACK = 100_000

#: Exceptions behind one another, and groups within groups.
_DEPTH = 40


def tell(exc: BaseException, traceback_from: TracebackType | None) -> Told:
    """Return *exc* as plain data.

    Args:
        exc: What was raised.
        traceback_from: Where its traceback begins to be about the job's own code.
    """
    return {**_told(exc, _DEPTH, frozenset()), "traceback": _text_of(exc, traceback_from)}


def tell_error(type_name: str, message: str) -> Told:
    """Return the data of an error of the library, *type_name* of `ajobs._errors`."""
    return {"type": type_name, "message": message, "is_ours": True}


def _told(exc: BaseException, depth: int, above: frozenset[int]) -> Told:
    kind = type(exc)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    told: Told = {
        "type": f"{module}{kind.__qualname__}",
        "message": _clipped(_message_of(exc), _MOST_TEXT),
        "notes": _notes_of(exc),
    }
    # A chain may end in itself, and a long one says nothing after a while.
    if depth <= 0 or id(exc) in above:
        return told

    above |= {id(exc)}
    told["pickle"] = _pickle_of(exc)
    told["hides_context"] = exc.__suppress_context__
    if exc.__cause__ is not None:
        told["cause"] = _told(exc.__cause__, depth - 1, above)

    if exc.__context__ is not None and not exc.__suppress_context__:
        told["context"] = _told(exc.__context__, depth - 1, above)

    if isinstance(exc, BaseExceptionGroup):
        told["title"] = str(exc.message)
        told["parts"] = [_told(part, depth - 1, above) for part in exc.exceptions]

    return told


def _pickle_of(exc: BaseException) -> bytes | None:
    """Return *exc* as a pickle, if it comes back from there as what it was."""
    try:
        data = pack_flat(exc)
        back = unpack(data)
        if not isinstance(back, BaseException) or type(back) is not type(exc):
            return None

        is_same = str(back) == str(exc) and len(back.args) == len(exc.args)
    except (NotPicklable, NotLoadable):
        return None
    except BaseException:  # noqa: BLE001  # of the user's own __str__: any
        return None

    return data if is_same else None


def _message_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException:  # noqa: BLE001  # as above
        return "(its text cannot be had: __str__ failed)"


def _notes_of(exc: BaseException) -> list[str]:
    notes = getattr(exc, "__notes__", None)
    return [_clipped(note, _MOST_TEXT) for note in notes or () if isinstance(note, str)]


def _text_of(exc: BaseException, traceback_from: TracebackType | None) -> str:
    try:
        lines = traceback.format_exception(type(exc), exc, traceback_from or exc.__traceback__)
    except BaseException:  # noqa: BLE001  # as above, and recursion in long chains
        lines = [said(exc)]

    return _clipped("".join(lines), _MOST_TRACEBACK)


def _clipped(text: str, most: int) -> str:
    """Return *text* without its middle if it is too long: the ends tell most."""
    if len(text) <= most:
        return text

    half = most // 2
    return f"{text[:half]}\n... {len(text) - most:,} characters left out ...\n{text[-half:]}"


def rebuild(told: Told, place: str) -> BaseException:
    """Return the exception that was told, as it can be raised here.

    Args:
        told: What `tell` returned, elsewhere.
        place: Where that was, for the note with its traceback.
    """
    exc = _rebuilt(told)
    text = told.get("traceback")
    if text:
        exc.add_note(f"\nTraceback in {place}:\n{text.rstrip()}")

    return exc


def _rebuilt(told: Told) -> BaseException:
    exc = _unpickled(told)
    if exc is None:
        parts = [_rebuilt(part) for part in told.get("parts", ())]
        exc = BaseExceptionGroup(told["title"], parts) if parts else _unlike(told)

    _dress(exc, told)
    return exc


def _unpickled(told: Told) -> BaseException | None:
    data = told.get("pickle")
    if data is None:
        return None

    try:
        exc = unpack(data)
    except NotLoadable:
        return None

    return exc if isinstance(exc, BaseException) else None


def _unlike(told: Told) -> BaseException:
    from . import _errors  # here, since the far end needs `tell` alone

    if told.get("is_ours"):
        ours: type[Exception] = getattr(_errors, told["type"])
        return ours(told["message"])

    return _errors.RemoteError(told["type"], told["message"])


def _dress(exc: BaseException, told: Told) -> None:
    """Give *exc* back what pickle left behind."""
    exc.__dict__.pop("__notes__", None)
    for note in told.get("notes", ()):
        exc.add_note(note)

    if "cause" in told:
        exc.__cause__ = _rebuilt(told["cause"])

    if "context" in told:
        exc.__context__ = _rebuilt(told["context"])

    exc.__suppress_context__ = told.get("hides_context", False)
    parts = told.get("parts", ())
    if isinstance(exc, BaseExceptionGroup) and len(parts) == len(exc.exceptions):
        for part, told_part in zip(exc.exceptions, parts, strict=True):
            _dress(part, told_part)
