"""Waiting for jobs: one, any, all, or each as it ends.

Waiting never consumes and never stops anything. This file knows what can finish, not jobs.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeAlias, TypeVar, overload

import anyio
from anyio import WouldBlock

from ._blocking import Waitable, Watcher, blocked, check_loop
from ._checks import seconds

__all__ = ("WaitResult", "as_completed", "wait_all", "wait_any")

J = TypeVar("J", bound=Waitable)
T = TypeVar("T")

#: Jobs, or iterables of jobs.
Jobs: TypeAlias = J | Iterable[J]


@dataclass(frozen=True, slots=True)
class WaitResult(Generic[T]):
    """How a wait ended, both parts in the order in which the jobs were given.

    Attributes:
        done: The jobs that have finished.
        pending: The others. Not empty after `wait_all` only if the time was over. Give it to
            the next `wait_any` as it is: going on with it costs nothing for the jobs that
            are still in it.
    """

    done: list[T]
    pending: Sequence[T]


class _Bell:
    """Rings when one of the watched finishes, and remembers which."""

    __slots__ = ("_event", "_left", "rung")

    def __init__(self, count: int) -> None:
        self._event = anyio.Event()
        self._left = count
        self.rung: list[Any] = []

    def finished(self, one: Any) -> None:
        self.rung.append(one)
        self._left -= 1
        if self._left <= 0:
            self._event.set()

    def stuck(self, one: Any) -> None:
        pass  # It has not finished: who waits for that goes on waiting.

    async def wait(self, limit: float) -> None:
        if limit == math.inf:
            await self._event.wait()
        else:
            with anyio.move_on_after(limit):
                await self._event.wait()

    def reset(self) -> None:
        """Let the next `wait` last until one more finishes, together with those under way."""
        if self._event.is_set():
            self._event = anyio.Event()


async def wait_until(targets: Sequence[J], limit: float) -> None:
    """Wait until all of *targets* have finished, *limit* seconds at most.

    *targets* holds no finished one and none twice; it may be empty.
    """
    if not targets:
        return

    check_loop(targets)
    if limit == 0:
        await anyio.lowlevel.checkpoint()
        return

    bell = _Bell(len(targets))
    with blocked(targets, limited=limit != math.inf):
        try:
            for one in targets:
                one.watch(bell)

            await bell.wait(limit)
        finally:
            for one in targets:
                if not one.is_finished:
                    one.unwatch(bell)


def flat(jobs: Iterable[Jobs[J]]) -> list[J]:
    """Return the jobs in *jobs*, each once, in the order given.

    Raises:
        TypeError: Something in it is neither a job nor an iterable of jobs.
    """
    found: dict[Any, None] = {}
    each: Iterable[Any] = jobs
    for one in each:
        # A str is an iterable too, of what is surely no job.
        if isinstance(one, Waitable | str) or not isinstance(one, Iterable):
            found[one] = None
        else:
            found.update(dict.fromkeys(one))

    # One look for each type, not for each job: there may be many.
    for kind in set(map(type, found)):
        if not issubclass(kind, Waitable):
            strange = next(one for one in found if type(one) is kind)
            hint = "; a name finds its job by jobs[name]" if kind is str else ""
            raise TypeError(f"expected jobs or iterables of jobs, not {strange!r:.80}{hint}")

    return list(found)


async def wait_any(*jobs: Jobs[J], timeout: float | None = None) -> WaitResult[J]:
    """Wait until at least one of *jobs* has finished.

    A job that has finished already counts, and all that are finished when the wait ends are
    in ``done``. Cancelling the wait leaves the jobs alone, and so does its end.

    Args:
        jobs: Jobs and iterables of jobs, of any sessions of this loop. Duplicates count
            once; none at all returns at once.
        timeout: Seconds to wait; None waits for ever, 0 only looks. Its end is no error.

    Raises:
        ValueError: *timeout* is negative or NaN.
        TypeError: Something is no job.
        DeadlockError: A job waits without a time limit, and all of *jobs* wait for it.
        RuntimeError: A job lives on another loop.
    """
    limit = seconds(timeout, "timeout")
    rest = jobs[0] if len(jobs) == 1 and isinstance(jobs[0], Pending) else None
    if rest is None:
        given = flat(jobs)
        done = [one for one in given if one.is_finished]
        rest = Pending(_Group([one for one in given if not one.is_finished]))
        if done:
            return WaitResult(done, rest)

    return await rest.wait(limit)


async def wait_all(*jobs: Jobs[J], timeout: float | None = None) -> WaitResult[J]:
    """Wait until all of *jobs* have finished.

    See `wait_any` for *jobs*, *timeout*, cancellation and what raises; here one of *jobs*
    that waits for the current job is enough for a `DeadlockError`.
    """
    limit = seconds(timeout, "timeout")
    given = flat(jobs)
    await wait_until([one for one in given if not one.is_finished], limit)
    if all(one.is_finished for one in given):
        return WaitResult(given, [])

    done = [one for one in given if one.is_finished]
    return WaitResult(done, [one for one in given if not one.is_finished])


class _Group(Generic[J]):
    """Jobs that are waited for together, any of them, again and again, by several tasks too.

    Which have ended is a list that only grows; what is pending for somebody is a position
    in it.
    """

    def __init__(self, jobs: list[J]) -> None:
        self.jobs = jobs
        self._bell = _Bell(1)
        self.ended: list[J] = self._bell.rung
        self._is_watching = False
        self._waiting = 0
        self._order: dict[J, int] | None = None
        # A chain of waits that nobody goes on with must not stay with jobs that live for long.
        weakref.finalize(self, _unwatch, jobs, self._bell).atexit = False

    def watch(self) -> None:
        """Begin to note who ends, for as long as somebody holds the group."""
        if self._is_watching:
            return

        check_loop(self.jobs)
        self._is_watching = True
        known = set(self.ended)
        for one in self.jobs:
            if not one.is_finished:
                one.watch(self._bell)
            elif one not in known:
                self.ended.append(one)

    async def wait(self, known: int, limit: float) -> None:
        """Wait until more than the first *known* have ended, *limit* seconds at most."""
        self.watch()
        if len(self.ended) > known:
            return

        if not self.jobs[0].loop.is_running_here:
            check_loop(self.jobs)

        if limit == 0:
            await anyio.lowlevel.checkpoint()
            return

        pending: Pending[J] = Pending(self, known)
        self._bell.reset()
        self._waiting += 1
        try:
            with blocked(pending, is_any=True, limited=limit != math.inf):
                await self._bell.wait(limit)
        finally:
            self._waiting -= 1

    def rest(self) -> None:
        """Stop noting who ends until somebody waits again, unless somebody does now."""
        if not self._waiting:
            self._is_watching = False
            _unwatch(self.jobs, self._bell)

    def in_order(self, jobs: list[J]) -> list[J]:
        """Return *jobs* in the order in which all of them were given."""
        if len(jobs) > 1:
            if self._order is None:
                self._order = {one: place for place, one in enumerate(self.jobs)}

            jobs.sort(key=self._order.__getitem__)

        return jobs


class Pending(Sequence[J]):
    """The jobs of a group that had not ended when this was made."""

    def __init__(self, group: _Group[J], ended: int = 0) -> None:
        """Look at *group* from the position where *ended* jobs had ended."""
        self._group = group
        self._ended = ended
        self._jobs: list[J] | None = None

    async def wait(self, limit: float) -> WaitResult[J]:
        """Wait until one more has ended, *limit* seconds at most."""
        group = self._group
        if not self:
            return WaitResult([], self)

        try:
            await group.wait(self._ended, limit)
        finally:
            # It came to nothing, and maybe nobody goes on; but one who polls does.
            if limit > 0 and len(group.ended) == self._ended:
                group.rest()

        done = group.ended[self._ended :]
        return WaitResult(group.in_order(done), Pending(group, len(group.ended)))

    def _listed(self) -> list[J]:
        if self._jobs is None:
            gone = set(itertools.islice(self._group.ended, self._ended))
            self._jobs = [one for one in self._group.jobs if one not in gone]

        return self._jobs

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self._group.jobs) - self._ended

    @overload
    def __getitem__(self, index: int) -> J: ...
    @overload
    def __getitem__(self, index: slice) -> list[J]: ...
    def __getitem__(self, index: int | slice) -> J | list[J]:
        """Return one, or some, by position."""
        return self._listed()[index]

    def __iter__(self) -> Iterator[J]:
        """Iterate over them in the order in which they were given."""
        return iter(self._listed())

    def __eq__(self, other: object) -> bool:
        """Compare like a list."""
        return isinstance(other, Sequence) and self._listed() == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __repr__(self) -> str:
        """Return the list of them."""
        return repr(self._listed())


def as_completed(*jobs: Jobs[J], timeout: float | None = None) -> AsCompleted[J]:
    """Iterate over *jobs* with ``async for``, each when it has finished.

    Those that have finished already come first, in the order given. Leaving early leaves
    the jobs alone.

    Args:
        jobs: As for `wait_any`.
        timeout: Seconds for the whole iteration, from this call on; None for no limit.

    Raises:
        ValueError: *timeout* is negative or NaN.
        TypeError: Something is no job.
        TimeoutError: From the iteration: the time is over and jobs are left.
        DeadlockError: From the iteration, as in `wait_any`.
    """
    return AsCompleted(flat(jobs), seconds(timeout, "timeout"))


class AsCompleted(Generic[J]):
    """What `as_completed` returns: an object with a position, usable once.

    Tasks that share it get different jobs.
    """

    def __init__(self, jobs: list[J], limit: float) -> None:
        """Watch *jobs* from now on, for *limit* seconds."""
        self._finished = deque(one for one in jobs if one.is_finished)
        self._group = _Group([one for one in jobs if not one.is_finished])
        self._group.watch()
        self._taken = 0
        self._deadline = math.inf if limit == math.inf else anyio.current_time() + limit

    def __aiter__(self) -> Self:
        """Return itself: there is one position."""
        return self

    async def __anext__(self) -> J:
        """Return the next job that has finished.

        Raises:
            TimeoutError: The time is over and jobs are left.
        """
        while True:
            with suppress(WouldBlock):
                return self.next_nowait()

            if not self._left:
                raise StopAsyncIteration

            await self._wait()

    @property
    def _left(self) -> int:
        return len(self._group.jobs) - self._taken

    def next_nowait(self) -> J:
        """Return the next job if one has finished; in any thread.

        Raises:
            WouldBlock: None has, since the last one.
        """
        if self._finished:
            return self._finished.popleft()

        if len(self._group.ended) == self._taken:
            raise WouldBlock

        one = self._group.ended[self._taken]
        self._taken += 1
        return one

    async def _wait(self) -> None:
        now = anyio.current_time()
        await self._group.wait(self._taken, max(0.0, self._deadline - now))
        if len(self._group.ended) == self._taken and anyio.current_time() >= self._deadline:
            raise TimeoutError(f"the time is over and {self._left} jobs have not finished")


def _unwatch(jobs: Iterable[Waitable], watcher: Watcher) -> None:
    for one in jobs:
        one.unwatch(watcher)
