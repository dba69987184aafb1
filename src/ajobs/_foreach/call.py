"""`parallel_foreach`: the public call, and what it returns."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable
from collections.abc import Iterator as SyncIterator
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

from .._checks import command_of
from .._loop import Loop, current_loop
from .._runner import Runner
from .iteration import ResultIterator, iterate
from .plan import Call, call_of
from .results import Outcome
from .run import Run

__all__ = ("Foreach", "Outcome", "parallel_foreach")

T = TypeVar("T")
R = TypeVar("R")

Items: TypeAlias = Iterable[T] | AsyncIterable[T]


class Foreach(ResultIterator[R]):
    """A `parallel_foreach` to be awaited, entered or iterated, once.

    Awaited, it gives a list. Entered with ``async with``, it gives results one by one to
    ``async for`` while items are running. In a session ``async for`` does without the block.
    """

    def __init__(self, call: Call) -> None:
        """Keep *call*; nothing runs yet. Made by `parallel_foreach`."""
        self._call = call
        self._run: Run | None = None
        self._is_entered = False
        self._is_used = False

    def __del__(self) -> None:
        if not self._is_used:
            warnings.warn(
                f"parallel_foreach({command_of(self._call.plan.fn)}) was never awaited, entered or "
                f"iterated: nothing of it ran",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )

    def __repr__(self) -> str:
        name = command_of(self._call.plan.fn)
        run = self._run
        if run is None:
            return f"<parallel_foreach {name} not started>"

        state = "ended" if run.is_over else "running"
        return f"<parallel_foreach {name} {state}, {run.ended} of {run.taken} items ended>"

    def __await__(self) -> Generator[Any, Any, list[R]]:
        return self._collect().__await__()

    async def _collect(self) -> list[R]:
        run = await self._start(is_streamed=False)
        try:
            await run.wait_over()
        except BaseException as exc:
            await run.leave(exc)
            raise

        await run.leave(None)
        return list(run.ready)

    async def __aenter__(self) -> Self:
        await self._start(is_streamed=True)
        self._is_entered = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._run is not None
        await self._run.leave(exc)

    def __aiter__(self) -> ResultIterator[R]:  # type: ignore[override]  # without a block it is another one
        if self._is_entered:
            return self

        self._claim()
        iterator = iterate(self._call)
        self._run = iterator.run
        return iterator

    async def _start(self, *, is_streamed: bool) -> Run:
        self._claim()
        loop = current_loop()
        loop.protect(Foreach, ResultIterator)  # the ways in: what they call is covered
        self._run = run = self._make_run(loop, is_streamed=is_streamed)
        place = self._call.place(run)  # it may fail, and what is open has to be closed
        await loop.open()
        run.start(place)
        return run

    def _make_run(self, loop: Loop, *, is_streamed: bool) -> Run:
        return Run(self._call.plan, loop, is_streamed=is_streamed)

    def _claim(self) -> None:
        if self._is_used:
            raise RuntimeError("this parallel_foreach has been used: call parallel_foreach again")

        self._is_used = True


class ForeachOptions(TypedDict, total=False):
    """The options of `parallel_foreach` that do not change what it returns."""

    throttle: float
    max_per_second: float | None
    runner: str | Runner | None
    ordered: bool | None
    timeout: float | None
    item_timeout: float | None
    buffer: int | None


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], AsyncIterator[R]],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], Coroutine[Any, Any, R]],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], SyncIterator[R]],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], R],
    *,
    on_error: Literal["return"],
    **options: Unpack[ForeachOptions],
) -> Foreach[Outcome[T, R]]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], AsyncIterator[R]],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], Coroutine[Any, Any, R]],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], SyncIterator[R]],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


@overload
def parallel_foreach(
    iterable: Items[T],
    fn: Callable[[T], R],
    *,
    on_error: Literal["raise", "continue"] = "raise",
    **options: Unpack[ForeachOptions],
) -> Foreach[R]: ...


def parallel_foreach(
    iterable: Items[Any],
    fn: Callable[[Any], Any],
    *,
    throttle: float = 5,
    max_per_second: float | None = None,
    runner: str | Runner | None = None,
    ordered: bool | None = None,
    timeout: float | None = None,
    item_timeout: float | None = None,
    on_error: str = "raise",
    buffer: int | None = None,
) -> Foreach[Any]:
    """Call *fn* for each item of *iterable*, at most *throttle* at once.

    PowerShell's ``ForEach-Object -Parallel``. Await it for a list, or enter it for a stream::

        pages = await ajobs.parallel_foreach(urls, fetch)

        async with ajobs.parallel_foreach(urls, fetch, throttle=100) as results:
            async for page in results:
                ...

    Inside a session, ``async for page in ajobs.parallel_foreach(...)`` does without the block:
    it is stopped when the iterator is dropped, at the latest with the session; what fails
    after that is logged.

    Items are taken as they are needed, so the input may be endless. Leaving the block, by
    whatever way, stops the items that still run and waits for them; so does cancelling the
    ``await``. A failure that the loop has not raised is raised on leaving.

    Args:
        iterable: The items. A synchronous iterable is advanced on this thread only, an
            asynchronous one by a single task; generators and streams are closed at the end.
        fn: Called with each item. Every ``yield`` of a generator is a result, and so is each
            `write_output`; else what it returns is one, None too.
        throttle: Most items that run at once, in this call; `math.inf` for no limit.
        max_per_second: Most items that start in a second, evenly spread.
        runner: Where *fn* runs. None: an async function as tasks, anything else in threads.
        ordered: True: results in the order of the input. False: as they come. None: the
            list in the order of the input, the stream as they come.
        timeout: Seconds for the whole, from the start of the ``await`` or the block.
        item_timeout: Seconds for each item; one that runs longer fails with `ItemTimeout`.
        on_error: What the failure of an item does. "raise": the rest is stopped and the
            item's own exception raised, with a note that names the item. "continue": the
            others go on, then `ForeachErrors` is raised. "return": every result and every
            failure comes as an `Outcome`.
        buffer: How far the items may be ahead of the consumer, besides those that run.
            None: as far as their speed makes good use of.

    Raises:
        TypeError: An argument is not of the right sort.
        ValueError: A number is out of range, or a word unknown.
        ForeachTimeout: The whole took longer than *timeout*.
        ForeachErrors: Items failed, under "continue".
    """
    return Foreach(
        call_of(
            iterable,
            fn,
            throttle=throttle,
            max_per_second=max_per_second,
            runner=runner,
            ordered=ordered,
            timeout=timeout,
            item_timeout=item_timeout,
            on_error=on_error,
            buffer=buffer,
        )
    )
