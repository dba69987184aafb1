"""A job as bytes: packed where it is started, run in a place of a pool."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import lru_cache
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import anyio

from ._checks import kind_of
from ._culprit import describe_failure
from ._errors import PayloadError
from ._payload import NotPicklable, Packed, dumps, pack, pack_flat
from ._pool import Pool
from ._runner import Emit
from ._spec import JobSpec
from ._talk import NotBegun, Talk
from ._wire import JOB, encode

_UNSET = object()

#: Seconds in which the code of a job with a time limit is to be loaded, before its time runs.
_LOADING_SECONDS = 30.0


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
        """
        self._places = [(variable, *_place_of(variable)) for variable in variables]

    def values(self) -> list[tuple[str, str, Any]]:
        """Return the module, the name and the value of those that are set."""
        return [
            (module, name, value)
            for variable, module, name in self._places
            if (value := variable.get(_UNSET)) is not _UNSET
        ]


def _place_of(variable: ContextVar[Any]) -> tuple[str, str]:
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
    """
    fn = spec.fn
    try:
        packed = pack((fn, spec.args, variables.values()))
    except NotPicklable as exc:
        raise PayloadError(describe_failure(fn, spec.args, exc)) from exc.__cause__

    cwd = cwd or os.getcwd()  # noqa: PTH109  # a path object costs as much as the rest
    return spec._replace(args=(Call(packed, cwd, _is_async(fn)),))


def packed_initializer(
    initializer: Callable[..., object] | None, args: tuple[Any, ...]
) -> bytes | None:
    """Return what a place is to call before its first job.

    Raises:
        PayloadError: It cannot be sent.
        TypeError: It is an async function, or cannot be called.
    """
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


async def run_packed(spec: JobSpec, emit: Emit, pool: Pool) -> Any:
    """Run a packed *spec* in a place of *pool*, to its end."""
    (call,) = spec.args
    options = spec.options
    limit = options.output_limit if options.overflow == "wait" else None
    head = _head(
        call.cwd,
        options.input is not None,
        None if limit is None else max(1, limit // 2),
        ("trio" if emit.is_trio else "asyncio") if call.is_async else None,
        options.timeout != math.inf,
    )
    frame = encode(JOB, call.packed.data, call.packed.buffers, head)
    del call, spec
    while True:
        place = await pool.take()
        talk = Talk(place, emit, is_limited=limit is not None)
        if options.timeout == math.inf:
            emit.begin()
        else:
            # Loading the code is not running it, as long as it comes to an end.
            talk.begins_by = anyio.current_time() + _LOADING_SECONDS

        try:
            return await talk.run(frame)
        except NotBegun:
            # It died in its sleep. The job was not seen by anybody.
            continue
        finally:
            if talk.is_left:
                pool.forget(place)
            elif talk.is_clean and pool.is_open:
                pool.give_back(place)
            else:
                await pool.give_up(place)


@lru_cache(64)
def _head(
    cwd: str, has_input: bool, credit: int | None, backend: str | None, tells_begin: bool
) -> bytes:
    """Return what a worker is told about a job, beside the call; most jobs share one."""
    told = {
        "cwd": cwd,
        "has_input": has_input,
        "credit": credit,
        "backend": backend,
        "tells_begin": tells_begin,
    }
    data = dumps(told, 5)
    return len(data).to_bytes(4, "little") + data


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
