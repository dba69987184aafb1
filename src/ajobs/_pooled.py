"""What runners have in common that keep a pool of places and send jobs there as bytes."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Self

import anyio

from ._calls import Variables, packed_initializer, packed_spec
from ._payload import dumps
from ._place import Place, Rules
from ._pool import Pool
from ._process import setup_frame
from ._runner import Emit, Runner
from ._spec import JobSpec
from ._talk import NotBegun, Talk
from ._wire import JOB, encode

#: Seconds in which the code of a job with a time limit is to be loaded, before its time runs.
_LOADING_SECONDS = 30.0


class PooledRunner(Runner):
    """Runs functions in places that it makes, uses again and ends."""

    needs_task = False

    def __init_subclass__(cls) -> None:
        """Give those a task that do something around `run`: it may be a cancel scope."""
        cls.needs_task = cls.run is not PooledRunner.run

    def __init__(
        self,
        rules: Rules,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        context: Iterable[ContextVar[Any]],
        cwd: str | None = None,
    ) -> None:
        """Make a runner; the public ones say what they take.

        Raises:
            PayloadError: *initializer* cannot be sent.
            ValueError: A context variable cannot be found.
            TypeError: *initializer* is an async function or cannot be called.
        """
        self._rules = rules
        self._cwd = cwd
        self._variables = Variables(context)
        self._setup = setup_frame(packed_initializer(initializer, initargs))
        self._pool: Pool | None = None

    @abstractmethod
    def _make(self) -> Place:
        """Make one more place, told `_setup`."""

    async def __aenter__(self) -> Self:
        """Open the runner; its places are made for the jobs that need them."""
        if self._pool is not None:
            raise RuntimeError("this runner is open already; make one for each block")

        self._pool = await Pool(self._make, self._rules).__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End all places that can be ended."""
        pool, self._pool = self._pool, None
        assert pool is not None
        await pool.__aexit__(*exc_info)

    def _size(self) -> int:
        return 0 if self._pool is None else self._pool.size

    def check(self, spec: JobSpec) -> JobSpec:
        """Pickle the call, here and now.

        Raises:
            PayloadError: The function or an argument cannot be sent; it is named.
        """
        return packed_spec(spec, self._cwd, self._variables)

    async def run(self, spec: JobSpec, emit: Emit) -> Any:
        """Run a checked *spec* in a place of its own."""
        if self._pool is None:
            name = type(self).__name__
            raise RuntimeError(f"this runner is not open: `async with {name}(...) as runner`")

        return await run_packed(spec, emit, self._pool)


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
    is_plain = options.timeout == math.inf and options.input is None
    place = pool.take_warm() if is_plain else None
    if place is None:
        await emit.in_task()

    while True:
        place = place or await pool.take()
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
            if not (talk.is_clean and pool.is_open and pool.give_back(place)):
                await emit.in_task()
                await _put_away(place, talk, pool)

            place = None


async def _put_away(place: Place, talk: Talk, pool: Pool) -> None:
    """End a place that cannot run another job, or go without it."""
    if talk.is_left:
        pool.forget(place)
    elif talk.is_clean and pool.is_open:
        pool.drop(place)
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
