"""`async for` over a `parallel_foreach`: in a block of its own, or held by a session.

Without a block the run lives in a task of the session's: the code that iterates may drop the
iterator at any point, and nothing can be waited for there.
"""

from __future__ import annotations

from typing import Any, Generic, Self, TypeVar

import anyio
from anyio import EndOfStream, WouldBlock

from .._errors import SessionClosed
from .._guests import Guest, current_host, until_set
from .._loop import current_loop
from .._state import judge
from .items import LOGGER
from .plan import Call
from .run import Run

R = TypeVar("R")


class ResultIterator(Generic[R]):
    """Takes the results of a run, one by one."""

    _run: Run | None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        run = self._run
        if run is None:
            raise RuntimeError("parallel_foreach was not entered with `async with`")

        if not run.ready and not await run.wait_ready():
            raise StopAsyncIteration

        # As in `next_nowait`: a call more would be felt with each item.
        value: R = run.ready.popleft()
        run.ahead -= 1
        if run.is_held:
            run.give_room()

        return value

    def next_nowait(self) -> R:
        """Return the next result that is there.

        Raises:
            WouldBlock: None is there now.
        """
        run = self._run
        if run is None or not run.ready:
            raise WouldBlock

        value: R = run.ready.popleft()
        run.ahead -= 1
        if run.is_held:
            run.give_room()

        return value


def iterate(call: Call) -> HostedIterator[Any]:
    """Start *call* in the session of the calling code.

    Raises:
        RuntimeError: The code is in no session that could hold it.
    """
    host = current_host.get(None)
    if host is not None:
        run = HostedRun(call.plan, current_loop(), is_streamed=True)
        guest = Hosting(run, call)
        run.guest = guest
        if host.take_in(guest):
            return HostedIterator(run)

    raise RuntimeError(
        "outside a session, parallel_foreach has to be entered before it is iterated: write "
        "`async with parallel_foreach(...) as results: async for result in results: ...`, "
        "or `results = await parallel_foreach(...)`"
    )


class Hosting(Guest):
    """The task that holds a run open.

    Attributes:
        failure: What whoever still iterates gets, once nothing is ready any more.
        is_awaited: True when whoever iterates waits for the end, and so gets what it brings.
    """

    def __init__(self, run: Run, call: Call) -> None:
        self._run = run
        self._call = call
        self._closing = anyio.Event()
        self.has_ended = anyio.Event()
        self.failure: BaseException | None = None
        self.is_awaited = False

    async def live(self) -> None:
        run = self._run
        run.loop.protect(ResultIterator, HostedIterator)
        try:
            place = self._call.place(run)
            await run.loop.open()
        except Exception as exc:  # noqa: BLE001  # such as too many open files: who iterates gets it
            run.failures.end_with(exc)
            run.finish()
            self.has_ended.set()
            return

        run.start(place)
        try:
            await until_set(self._closing)
        except BaseException as exc:
            # Such as somebody who cancels every task. What was cut off must not look like the end.
            self._cut_off(judge(None, exc, run.loop.cancelled)[1])
            raise
        finally:
            await self._leave()

    async def _leave(self) -> None:
        try:
            await self._run.leave(None)
        except Exception as exc:  # noqa: BLE001  # whoever iterates raises it, if anybody does
            self.failure = self.failure or exc
            if not self.is_awaited:
                LOGGER.error("parallel_foreach failed, and nobody looked", exc_info=exc)
        finally:
            self._run.finish()
            self.has_ended.set()

    def close(self) -> None:
        if not self._closing.is_set():
            self._cut_off(
                SessionClosed("parallel_foreach was stopped with its session, before its end")
            )
            self.dismiss()

    def _cut_off(self, failure: BaseException | None) -> None:
        if not self._run.is_over:
            self.failure = failure

    def dismiss(self) -> None:
        """End: nobody wants more results."""
        self._closing.set()


class HostedRun(Run):
    """A run that ends with the last result, or when nobody takes more of them."""

    __slots__ = ("guest",)

    guest: Hosting

    async def wait_ready(self) -> bool:
        try:
            if await super().wait_ready():
                return True
        except BaseException:
            await self.conclude()
            raise

        self.guest.is_awaited = True
        await self.conclude()
        self.raise_rest()
        return False

    def raise_rest(self) -> None:
        """Raise what came after the last result, once."""
        failure, self.guest.failure = self.guest.failure, None
        if failure is not None:
            raise failure

    async def conclude(self) -> None:
        """Stop what runs, and wait for it."""
        self.guest.dismiss()
        with self.loop.scope():
            await self.guest.has_ended.wait()


class HostedIterator(ResultIterator[R]):
    """What a bare ``async for`` iterates over; dropping it stops the run."""

    _run: HostedRun

    def __init__(self, run: HostedRun) -> None:
        self._run = run

    @property
    def run(self) -> HostedRun:
        return self._run

    def next_late(self) -> R:
        """Return the next result after the loop has ended, in any thread.

        Raises:
            EndOfStream: There are no more.
            BaseException: There would have been, if this had not come.
        """
        run = self._run
        if run.ready:
            value: R = run.ready.popleft()
            return value

        run.raise_rest()
        raise EndOfStream

    async def aclose(self) -> None:
        """Stop the items that run, and wait for them."""
        await self._run.conclude()

    def __del__(self) -> None:
        # In whatever thread, and with the loop in whatever state.
        self._run.loop.call_soon(self._run.guest.dismiss)
