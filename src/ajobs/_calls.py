"""A job as bytes, packed where it is started, and all that goes with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from ._checks import current_directory, kind_of
from ._culprit import describe_failure
from ._errors import PayloadError
from ._payload import NotPicklable, Packed, pack, pack_flat
from ._spec import JobSpec

_UNSET = object()


class Call(NamedTuple):
    """What a job is to run."""

    packed: Packed
    cwd: str
    is_async: bool


class Variables:
    """Context variables that travel with a job."""

    def __init__(self, variables: Iterable[ContextVar[Any]]) -> None:
        """Find where each is defined, since over there it has to be found by name.

        Raises:
            ValueError: One is not to be found.
            TypeError: One is none.
        """
        self._places = [(variable, *_place_of(variable)) for variable in variables]

    def values(self) -> list[tuple[str, str, Any]]:
        """Return the module, the name and the value of those that are set."""
        return [
            (module, name, value)
            for variable, module, name in self._places
            if (value := variable.get(_UNSET)) is not _UNSET
        ]


def _place_of(variable: object) -> tuple[str, str]:
    if not isinstance(variable, ContextVar):
        raise TypeError(f"context takes context variables, not {variable!r:.80}")

    for module_name, module in list(sys.modules.items()):
        if module_name == "__main__":
            continue

        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is variable:
                return module_name, name

    raise ValueError(
        f"the context variable {variable.name!r} is no attribute of a module that a worker "
        f"could import"
    )


def packed_spec(spec: JobSpec, cwd: str | None, variables: Variables) -> JobSpec:
    """Return *spec* with a `Call` in place of its arguments.

    Raises:
        PayloadError: The function or an argument cannot be sent; it is named.
        FileNotFoundError: The current directory has been removed, and *cwd* is not given.
    """
    fn = spec.fn
    try:
        packed = pack((fn, spec.args, variables.values()))
    except NotPicklable as exc:
        raise PayloadError(describe_failure(fn, spec.args, exc)) from exc.__cause__

    call = Call(packed, cwd or current_directory(), _is_async(fn))
    return JobSpec(fn, (call,), spec.options, spec.command)


def packed_initializer(
    initializer: Callable[..., object] | None, args: tuple[Any, ...]
) -> bytes | None:
    """Return what a place is to call before its first job.

    Raises:
        PayloadError: It cannot be sent.
        TypeError: It is an async function, or cannot be called, or *args* are no arguments.
    """
    if not isinstance(args, tuple | list):
        raise TypeError(f"initargs must be a tuple of arguments, not {args!r:.80}")

    if initializer is None:
        return None

    if kind_of(initializer).is_async:
        raise TypeError("initializer must be a plain function: no event loop runs yet")

    try:
        return pack_flat((initializer, args))
    except NotPicklable as exc:
        raise PayloadError(describe_failure(initializer, args, exc)) from exc.__cause__


def _is_async(fn: Callable[..., Any]) -> bool:
    # The two most common sorts are told apart without the long way of `inspect`.
    if type(fn) is FunctionType and not fn.__dict__:
        return bool(fn.__code__.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR))

    return type(fn) is not BuiltinFunctionType and kind_of(fn).is_async
