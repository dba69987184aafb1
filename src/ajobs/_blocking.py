"""What can be waited for, what code waits for, and the rings that must not close.

Whoever waits says so here, so that a job that waits shows as Blocked and a ring of waits is
refused when it would close. This file knows what can finish, not jobs and not how they are
waited for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ._context import context_or_none
from ._errors import DeadlockError
from ._loop import Loop


class Watcher(Protocol):
    """Told once by each thing that it watches."""

    def finished(self, one: Any) -> object:
        """Note that *one* has finished. Called on the loop; must not raise or wait."""

    def stuck(self, one: Any) -> object:
        """Note that *one* was told to end and its code has outlasted its grace."""


class Waitable(ABC):
    """Something that finishes once: the base of a job."""

    __slots__ = ("__weakref__", "_watchers", "is_finished")

    #: Nobody, one, or several: most jobs are waited for once or never, and a dict each would
    #: cost more memory than the rest of a queued job. Set to None by whoever makes one.
    _watchers: Watcher | dict[Watcher, None] | None

    #: True once it has come to its end.
    is_finished: bool

    @property
    @abstractmethod
    def loop(self) -> Loop:
        """The loop on which it lives."""

    @abstractmethod
    def waits(self) -> Sequence[Wait]:
        """Return what its code waits for at the moment, without a time limit."""

    @abstractmethod
    def label(self) -> str:
        """Return its id and name, for messages."""

    def watch(self, watcher: Watcher) -> None:
        """Tell *watcher* when this finishes. O(1)."""
        known = self._watchers
        if known is None:
            self._watchers = watcher
        elif isinstance(known, dict):
            known[watcher] = None
        else:
            self._watchers = {known: None, watcher: None}

    def unwatch(self, watcher: Watcher) -> None:
        """Do not tell *watcher* any more. O(1)."""
        known = self._watchers
        if known is watcher:
            self._watchers = None
        elif isinstance(known, dict):
            known.pop(watcher, None)

    def watchers(self) -> tuple[Watcher, ...]:
        """Return who waits for it now."""
        known = self._watchers
        if known is None:
            return ()

        return tuple(known) if isinstance(known, dict) else (known,)

    @property
    def is_watched(self) -> bool:
        """True while somebody waits for it."""
        return bool(self._watchers)

    def _tell_watchers(self) -> None:
        known, self._watchers = self._watchers, None
        if isinstance(known, dict):
            for watcher in known:
                watcher.finished(self)
        elif known is not None:
            known.finished(self)


@dataclass(slots=True, eq=False)
class Wait:
    """A wait without a time limit: for all of *targets*, or for any of them.

    Attributes:
        targets: What is waited for.
        is_any: One of them is enough.
        is_over: What it waited for has come; the waiting code only has not run yet.
    """

    targets: Sequence[Waitable]
    is_any: bool = False
    is_over: bool = False


class Blockable(ABC):
    """The context of a job's code that can show what it waits for."""

    __slots__ = ()

    @property
    @abstractmethod
    def subject(self) -> Waitable:
        """The job whose code runs here."""

    @abstractmethod
    def block(self, wait: Wait | None) -> None:
        """Show that the job's code waits, for *wait* if it may wait for ever."""

    @abstractmethod
    def unblock(self, wait: Wait | None) -> None:
        """Show that the wait is over."""


@contextmanager
def blocked(
    targets: Sequence[Waitable], is_any: bool = False, limited: bool = False
) -> Iterator[Wait | None]:
    """Show, while the block runs, that the current job waits for *targets*.

    Outside of jobs it does nothing.

    Raises:
        DeadlockError: The wait could never end.
    """
    here: object = context_or_none()
    if not isinstance(here, Blockable) or not here.subject.loop.is_running_here:
        # Outside of jobs, or in a loop that code of a job runs in its thread.
        yield None
        return

    wait = None if limited or not targets else Wait(targets, is_any)
    if wait is not None:
        refuse_ring(here.subject, wait)

    here.block(wait)
    try:
        yield wait
    finally:
        here.unblock(wait)


def current_subject() -> Waitable | None:
    """Return the job whose code calls, or None outside of jobs."""
    here: object = context_or_none()
    return here.subject if isinstance(here, Blockable) else None


def refuse_ring(waiting: Waitable, wait: Wait) -> None:
    """Raise `DeadlockError` if *wait* leads back to *waiting* and so can never end.

    A wait for all leads back when one of its targets does, a wait for any only when all do.
    """
    ring = _ring_through(waiting, wait)
    if ring is not None:
        raise DeadlockError(ring)


def waits_for(one: Waitable, other: Waitable) -> bool:
    """Tell whether *one* cannot end before *other* does, by what it waits for now."""
    return _ring_through(other, Wait((one,))) is not None


def _ring_through(waiting: Waitable, wait: Wait) -> str | None:
    came_from = _reachable(wait)
    if waiting not in came_from:
        return None

    # The jobs that can still end: those that wait for nothing, and those whose waits need only
    # such jobs. In reverse order of discovery a chain is settled in one round.
    free: set[Waitable] = set()
    found = [one for one in reversed(came_from) if one is not waiting]
    growing = True
    while growing:
        before = len(free)
        for one in found:
            if one not in free and all(_can_end(further, free) for further in one.waits()):
                free.add(one)

        growing = len(free) > before

    return None if _can_end(wait, free) else _ring(waiting, came_from)


def _reachable(wait: Wait) -> dict[Waitable, Waitable | None]:
    """Return what *wait* leads to, each with the one through which it was found."""
    came_from: dict[Waitable, Waitable | None] = dict.fromkeys(
        one for one in wait.targets if not one.is_finished
    )
    queue = deque(came_from)
    while queue:
        one = queue.popleft()
        for further in one.waits():
            for target in () if further.is_over else further.targets:
                if target not in came_from and not target.is_finished:
                    came_from[target] = one
                    queue.append(target)

    return came_from


def _can_end(wait: Wait, free: set[Waitable]) -> bool:
    test = any if wait.is_any else all
    return wait.is_over or test(one.is_finished or one in free for one in wait.targets)


def _ring(waiting: Waitable, came_from: dict[Waitable, Waitable | None]) -> str:
    ring = [waiting.label()]
    one = came_from[waiting]
    while one is not None:
        ring.append(one.label())
        one = came_from[one]

    if len(ring) == 1:
        return f"{waiting.label()} waits for itself, which can never end"

    chain = " waits for ".join([waiting.label(), *reversed(ring[1:]), waiting.label()])
    return f"{chain}: none of them can ever end"


def check_loop(targets: Iterable[Waitable]) -> None:
    """Raise `RuntimeError` unless all of *targets* live on the loop that runs here."""
    known: Loop | None = None
    for one in targets:
        if one.loop is not known:
            known = one.loop
            if not known.is_running_here:
                raise RuntimeError(
                    f"{one.label()} lives on another event loop or in another thread; wait for "
                    f"it there, or use ajobs.blocking from threads"
                )
