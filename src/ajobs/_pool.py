"""Warm places for jobs: made when they are needed, used again, ended when they are not.

Each has a connection of its own, so the death of one is its own affair. This file knows
places, not jobs: who takes one talks to it, and gives it back or gives it up.

A place gets a job when it is free, never ahead. What waits in a worker behind another job can
be had back only by asking the worker, which may hold its interpreter for as long as it likes:
a stop of a job that never ran would wait for a stranger, or lie, and a place that came free
could not have the job. And it would bring little. With everything queued, a job that does
nothing takes 95 to 130 us of this process's own time and 50 to 90 us of a worker's, so from two
workers on it is this process that they wait for; of a job of 10 ms the gap is one hundredth.
Many tiny calls are the matter of `parallel_foreach`, which sends them in batches.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import NoReturn, Self

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from ._place import Place, Rules
from ._poll import Poll

#: Seconds between two looks at places that the system cannot watch.
_LOOK_SECONDS = 1.0


class Pool:
    """Places by some rules, the last used first, so that the others can rest.

    It is entered and left in one task; its places end when it is left.
    """

    def __init__(self, make: Callable[[], Place], rules: Rules) -> None:
        """Keep places that *make* makes."""
        self._make = make
        self._rules = rules
        self._places: set[Place] = set()
        self._idle: deque[Place] = deque()
        self._retiring: set[Place] = set()
        self._waiting: deque[_Ask] = deque()
        self._count = 0
        self._pid = os.getpid()
        self._watch = Poll()
        self._tasks: TaskGroup | None = None

    @property
    def size(self) -> int:
        """How many places there are."""
        return self._count

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._keep_house)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        tasks, self._tasks = self._tasks, None
        for place in self._places.difference(self._idle, self._retiring):
            # Whoever talks to it sees that and gives it up.
            if not place.has_ended:
                place.killed_for = "its runner was closed while the job ran"

            place.kill()

        while self._waiting:
            # To be refused.
            self._waiting.popleft().serve(None)

        # asyncio's own Task.cancel and trio's Ctrl-C go through the shield too: whatever comes,
        # each step is taken.
        try:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)
        finally:
            try:
                await self._end_idle()
            finally:
                self._idle.clear()
                self._places.clear()
                self._watch.close()

    async def _end_idle(self) -> None:
        with CancelScope(shield=True):
            async with anyio.create_task_group() as ending:
                for place in self._idle:
                    ending.start_soon(place.end)

    def take_warm(self) -> Place | None:
        """Return a free place that has come up; None if there is no such, or not for you."""
        if self._tasks is None or os.getpid() != self._pid or self._waiting or not self._idle:
            return None

        place = self._idle[-1]
        return self._idle.pop() if place.take_late_output() and place.is_ready else None

    async def take(self) -> Place:
        """Wait for a free place and return it: an idle one, or a new one.

        Raises:
            RuntimeError: The pool is not open, or belongs to the process that forked off
                this one.
            OSError: No new one can be made.
        """
        if self._tasks is None or os.getpid() != self._pid:
            self._refuse()

        if not self._waiting:
            place = self._usable_idle()
            if place is not None:
                return place

            if self._count < self._rules.most:
                self._count += 1
                return self._start()

        ask = _Ask()
        self._waiting.append(ask)
        try:
            await ask.event.wait()
        except BaseException:
            self._withdraw(ask)
            raise

        if ask.place is None and not self.is_open:
            self._refuse()

        return ask.place or self._start()

    def _refuse(self) -> NoReturn:
        if self._tasks is None:
            raise RuntimeError("this runner was closed before the job had a place in it")

        raise RuntimeError(
            "this process was forked off the one that owns the runner, and its workers do not "
            "belong to it: open a runner here"
        )

    def _start(self) -> Place:
        """Make a place for a slot that is counted already."""
        try:
            place = self._make()
        except BaseException:
            self._free_slot()
            raise

        self._places.add(place)
        if place.end_fd >= 0:
            self._watch.add(place.end_fd)

        return place

    def _usable_idle(self) -> Place | None:
        while self._idle:
            place = self._idle.pop()
            if place.take_late_output():
                return place

            self.drop(place)

        return None

    def _withdraw(self, ask: _Ask) -> None:
        if not ask.is_served:
            self._waiting.remove(ask)
        elif ask.place is not None:
            self._give(ask.place)
        else:
            self._free_slot()

    @property
    def is_open(self) -> bool:
        """True while places can be had and given back."""
        return self._tasks is not None

    def give_back(self, place: Place) -> bool:
        """Take back a place whose job has ended, for the next job; False if it is worn out."""
        place.jobs += 1
        if not self._rules.allow_another(place):
            return False

        self._give(place)
        return True

    def _give(self, place: Place) -> None:
        if self._waiting:
            self._waiting.popleft().serve(place)
        else:
            place.idle_since = monotonic()
            self._idle.append(place)

    async def give_up(self, place: Place) -> None:
        """End a place now, whatever it does, and put another in its place."""
        await place.give_up()
        self._places.discard(place)
        another = place.is_ready and self._rules.max_jobs > 1
        if another and self._tasks is not None and not self._waiting:
            # The place stays counted. Nobody waits for it, so it is not worth a failure.
            with suppress(OSError):
                self._give(self._start())
        else:
            self._free_slot()

    def forget(self, place: Place) -> None:
        """Do without a place that cannot be ended."""
        self._places.discard(place)
        self._free_slot()

    def drop(self, place: Place) -> None:
        """End a place in its own time, and free its place at once."""
        self._free_slot()
        if self._tasks is not None:
            self._retiring.add(place)
            self._tasks.start_soon(self._end, place)

    async def _end(self, place: Place) -> None:
        # Shielded: what has begun to end is not left half-way.
        with CancelScope(shield=True):
            await place.end()

        self._retiring.discard(place)
        self._places.discard(place)

    def _free_slot(self) -> None:
        if self._waiting:
            self._waiting.popleft().serve(None)
        else:
            self._count -= 1

    async def _keep_house(self) -> None:
        """End places that have had nothing to do for long, and notice those that died idle."""
        while True:
            with anyio.move_on_after(self._rules.idle_timeout):
                await self._something_ended()

            if self._tasks is None:
                # It came with the end of the pool, which ends what is idle itself.
                return

            for fd in self._watch.ready():
                self._watch.remove(fd)

            oldest = monotonic() - self._rules.idle_timeout
            for place in list(self._idle):
                if place.idle_since <= oldest or place.has_ended:
                    self._idle.remove(place)
                    self.drop(place)

    async def _something_ended(self) -> None:
        """Wait until a place may have ended; sometimes less long."""
        try:
            await self._watch.wait()
        except (OSError, MemoryError):
            # The system cannot watch one more descriptor. What runs here goes on all the same.
            await anyio.sleep(_LOOK_SECONDS)


class _Ask:
    """One job that waits for a place."""

    __slots__ = ("event", "is_served", "place")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.is_served = False
        self.place: Place | None = None

    def serve(self, place: Place | None) -> None:
        """Hand over *place*, or a place to start one in."""
        self.place = place
        self.is_served = True
        self.event.set()
