"""Which part of a value cannot be pickled, by name.

"cannot pickle '_thread.lock' object" does not help whoever started a job with a list of
customers. Looked for only after pickling has failed. This file knows no jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

from ._payload import NotPicklable, pack

#: How far to look into a value, and at how many parts of it: it may be endless.
_DEPTH = 12
_PARTS = 2000


def culprit_of(name: str, value: object) -> str | None:
    """Return where in *value* something cannot be sent, and what it is.

    Args:
        name: What the caller knows the value by, such as ``args[0]``.
        value: What could not be pickled.

    Returns:
        A text such as ``args[0]['lock'] is a _thread.lock``, or None if every part of the
        value can be sent.
    """
    if _error_of(value) is None:
        return None

    budget = [_PARTS]
    seen: set[int] = set()
    for _ in range(_DEPTH):
        seen.add(id(value))
        for part_name, part in _parts(name, value):
            budget[0] -= 1
            if id(part) not in seen and budget[0] > 0 and _error_of(part) is not None:
                name, value = part_name, part
                break
        else:
            break

    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{name} is a {module}{kind.__qualname__} ({_error_of(value)})"


def _error_of(value: object) -> str | None:
    try:
        pack(value)
    except NotPicklable as exc:
        return str(exc)

    return None


def _parts(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of *value* that go with it when it is pickled."""
    if isinstance(value, FunctionType):
        yield from _captured(name, value)
        return

    if isinstance(value, partial):
        yield f"{name}.func", value.func
        yield from _items(f"{name}.args", value.args)
        yield from _items(f"{name}.keywords", value.keywords)
    elif isinstance(value, MethodType | BuiltinMethodType):
        yield f"{name}.__self__", value.__self__
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        yield from _items(name, value)

    yield from _attributes(name, value)


def _attributes(name: str, value: object) -> Iterator[tuple[str, object]]:
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict) and not isinstance(value, type):
        for key, part in list(state.items()):
            yield f"{name}.{key}", part

    for kind in type(value).__mro__:
        for slot in _slots(kind):
            if hasattr(value, slot):
                yield f"{name}.{slot}", getattr(value, slot)


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    named = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(slot for slot in named if slot not in ("__dict__", "__weakref__"))


def _items(name: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in list(value.items()):
            yield f"{name}[{key!r:.60}]", part
            yield f"a key of {name}", key
    elif isinstance(value, set | frozenset):
        for part in list(value):
            yield f"an item of {name}", part
    else:
        for at, part in enumerate(list(value)):
            yield f"{name}[{at}]", part


def _captured(name: str, function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield what a function refers to that goes with it: closure, defaults, globals."""
    code = function.__code__
    for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"the variable {variable!r} in {name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue

    for at, default in enumerate(function.__defaults__ or ()):
        yield f"default {at} of {name}", default

    for variable in code.co_names:
        if variable in function.__globals__:
            yield f"the global {variable!r} of {name}", function.__globals__[variable]


def describe_item(item: object, why: str) -> str:
    """Say for people why *item*, one of many, cannot be sent; *why*, if it can be."""
    found = culprit_of("it", item)
    return f"an item cannot be sent to a worker: {found}" if found else f"an item {why}"


def describe_failure(fn: Callable[..., object], args: tuple[object, ...], cause: Exception) -> str:
    """Say for people why a call of *fn* with *args* cannot be sent."""
    label = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    for name, value in ((f"the function {label}", fn), *_items("args", args)):
        found = culprit_of(name, value)
        if found is not None:
            return f"{label} cannot be sent to a worker: {found}"

    return f"{label} cannot be sent to a worker: {cause}"
