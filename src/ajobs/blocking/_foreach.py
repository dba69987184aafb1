"""A `parallel_foreach` as code without an event loop sees it.

The session holds what runs; this file knows how its results come over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from anyio import WouldBlock

from .._foreach.call import Foreach as AsyncForeach
from .._foreach.call import ForeachOptions, Items, parallel_foreach
from .._foreach.iteration import HostedIterator
from .._foreach.job import ForeachJob as AsyncForeachJob
from .._foreach.results import Outcome
from .._guests import current_host
from .._session import Session as AsyncSession
from ._bridge import Bridge
from ._job import Each, ForeachJob
from ._source import readable

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

#: Most results that come over in one go.
MANY = 1000


class Foreach(Generic[R]):
    """A `parallel_foreach` to be iterated, or asked for its `result`, once.

    ``for value in jobs.parallel_foreach(...)`` gives results while items are running; leaving
    the loop stops the rest. ``with jobs.parallel_foreach(...) as values:`` also waits, at the
    end of the block, until what was stopped has ended.
    """

    def __init__(
        self, foreach: AsyncForeach[R], session: AsyncSession, bridge: Bridge, is_bounded: bool
    ) -> None:
        self._foreach = foreach
        self._session = session
        self._bridge = bridge
        self._most = 1 if is_bounded else MANY
        self._iterator: HostedIterator[R] | None = None

    def result(self) -> list[R]:
        """Wait until all items are done; return the results, in the order of the input.

        Raises:
            BaseException: As ``await ajobs.parallel_foreach(...)``.
        """
        return self._bridge.run(self._all)

    async def _all(self) -> list[R]:
        return await self._foreach

    def __iter__(self) -> Iterator[R]:
        iterator = self._iterator or self._begin()
        here = deque[R]()

        def next_nowait() -> R:
            if here:
                return here.popleft()

            if self._bridge.is_over:
                return iterator.next_late()

            raise WouldBlock

        async def wait() -> R:
            value = await anext(iterator)
            with suppress(WouldBlock):
                while len(here) < self._most - 1:
                    here.append(iterator.next_nowait())

            return value

        return Each(self._bridge, next_nowait, wait)

    def _begin(self) -> HostedIterator[R]:
        def begin() -> Any:
            current_host.set(self._session)  # of a context that is made for this call
            return aiter(self._foreach)

        self._bridge.check_open()
        return self._bridge.call(begin)

    def __enter__(self) -> Self:
        self._iterator = self._begin()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._iterator is not None
        self._bridge.run(self._iterator.aclose, stops=False)

    def __repr__(self) -> str:
        return repr(self._foreach)


def _starting(
    verb: Callable[Concatenate[AsyncSession, P], AsyncForeachJob],
) -> Callable[Concatenate[ForeachVerbs, P], ForeachJob]:
    """Make the verb of a session here, with the arguments of the async session's."""
    starting: Callable[..., AsyncForeachJob] = verb

    @wraps(verb)
    def start(self: ForeachVerbs, /, *args: P.args, **kwargs: P.kwargs) -> ForeachJob:
        bridge = self._bridge
        first = [readable(one, bridge.loop) for one in args[:1]]
        job = bridge.call(lambda: starting(self._session, *first, *args[1:], **kwargs))
        return ForeachJob(job, bridge)

    return start


class ForeachVerbs:
    """What a session does with many items."""

    _session: AsyncSession

    @property
    def _bridge(self) -> Bridge:
        raise NotImplementedError

    start_foreach = _starting(AsyncSession.start_foreach)

    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], AsyncIterator[R]],
        *,
        on_error: Literal["return"],
        **options: Unpack[ForeachOptions],
    ) -> Foreach[Outcome[T, R]]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], Coroutine[Any, Any, R]],
        *,
        on_error: Literal["return"],
        **options: Unpack[ForeachOptions],
    ) -> Foreach[Outcome[T, R]]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], Iterator[R]],
        *,
        on_error: Literal["return"],
        **options: Unpack[ForeachOptions],
    ) -> Foreach[Outcome[T, R]]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], R],
        *,
        on_error: Literal["return"],
        **options: Unpack[ForeachOptions],
    ) -> Foreach[Outcome[T, R]]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], AsyncIterator[R]],
        *,
        on_error: Literal["raise", "continue"] = "raise",
        **options: Unpack[ForeachOptions],
    ) -> Foreach[R]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], Coroutine[Any, Any, R]],
        *,
        on_error: Literal["raise", "continue"] = "raise",
        **options: Unpack[ForeachOptions],
    ) -> Foreach[R]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], Iterator[R]],
        *,
        on_error: Literal["raise", "continue"] = "raise",
        **options: Unpack[ForeachOptions],
    ) -> Foreach[R]: ...
    @overload
    def parallel_foreach(
        self,
        iterable: Items[T],
        fn: Callable[[T], R],
        *,
        on_error: Literal["raise", "continue"] = "raise",
        **options: Unpack[ForeachOptions],
    ) -> Foreach[R]: ...

    def parallel_foreach(
        self, iterable: Items[Any], fn: Callable[[Any], Any], **options: Any
    ) -> Foreach[Any]:
        """Call *fn* for each item of *iterable*, at most *throttle* at once.

        Iterate over what it returns, or ask it for a list::

            pages = jobs.parallel_foreach(urls, fetch).result()

            for page in jobs.parallel_foreach(urls, fetch, throttle=100):
                ...

        A plain iterable is pulled by a thread of its own, so it may wait, and call verbs of
        this session. See `ajobs.parallel_foreach` for the arguments.
        """
        bridge = self._bridge
        bridge.check_open()
        foreach: Any = parallel_foreach(readable(iterable, bridge.loop), fn, **options)
        is_bounded = options.get("buffer") is not None
        return Foreach(foreach, self._session, bridge, is_bounded)
