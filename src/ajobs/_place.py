"""A place that runs one job at a time behind a connection, whatever it is made of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import anyio

from ._link import Link
from ._poll import Poll
from ._printed import Printed
from ._wakeup import Wakeup
from ._wire import READY, WireError

OnEnd = Callable[[Any, BaseException | None], object]


class Place(ABC):
    """A worker, as those see it that keep it and those that talk to it.

    Attributes:
        link: The connection for frames.
        poll: Watches the connection and whatever else can tell something.
        printed: Reads what jobs print, where that does not come in frames.
        jobs: How many jobs it has run.
        idle_since: When it was last given back.
        is_ready: Whether it has come up.
        start_timeout: Seconds in which it has to.
        ready_by: When they are over.
        killed_for: Why this process has killed it, where a job has to be told.
        can_be_killed: Whether what runs in it can be ended from outside.
    """

    can_be_killed: ClassVar[bool]

    def __init__(
        self, link: Link, poll: Poll, printed: Printed, start_timeout: float = math.inf
    ) -> None:
        """Begin with what is open."""
        self.link = link
        self.poll = poll
        self.printed = printed
        self.jobs = 0
        self.idle_since = 0.0
        self.is_ready = False
        self.killed_for: str | None = None
        self.start_timeout = start_timeout
        self.ready_by = math.inf
        if start_timeout < math.inf:
            self.ready_by = anyio.current_time() + start_timeout

    async def wait(self) -> None:
        """Wait until something has come, or can be sent."""
        await self.wakeup().wait()

    def wakeup(self) -> Wakeup:
        """Return what tells when something has come, or can be sent."""
        self.poll.watch_writing(self.link.fileno(), on=self.link.has_outgoing)
        return self.poll.wakeup

    def take_late_output(self) -> bool:
        """Drop what an ended job's leftovers have told since; False if the place has ended.

        It belongs to no other job.
        """
        ready = self.poll.ready()
        if not ready:
            # Its end would show there: asking the system for it takes as long again.
            return not self.link.is_over

        for fd in ready:
            if fd in self.printed:
                self.poll.read(fd)
            elif fd == self.link.fileno():
                try:
                    self.is_ready |= any(frame.kind == READY for frame in self.link.receive())
                except WireError:
                    # Nothing that it could still send means anything.
                    self.link.is_over = True

        return not self.link.is_over and not self.has_ended

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is, for messages."""

    @property
    @abstractmethod
    def end_fd(self) -> int:
        """A descriptor that is readable once it has ended; -1 if only its connection tells."""

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """True once nothing of it runs."""

    @property
    def memory(self) -> float:
        """Bytes of memory that are its own; 0 where nobody can tell."""
        return 0

    @abstractmethod
    def interrupt(self) -> None:
        """Have the running job notice a stop, where it does not look by itself."""

    @abstractmethod
    def kill(self) -> None:
        """End it now, with all that it has started; nothing happens where that cannot be."""

    @abstractmethod
    async def autopsy(self, why: str | None, dying: float) -> tuple[str, int | None]:
        """See to it that it has ended; return how, for people, and its exit code.

        Args:
            why: Why it has to end, in case that it has not died by itself.
            dying: Seconds in which it may.
        """

    @abstractmethod
    async def end(self) -> None:
        """Let it end by itself, after its last job; kill it if that takes too long."""

    @abstractmethod
    async def give_up(self) -> None:
        """End it by force, as far as that is possible, and close everything."""

    @abstractmethod
    def leave(self, on_end: OnEnd) -> None:
        """Go without it: it cannot be killed. Call *on_end* when its code has ended."""


class Rules:
    """How many places there may be, and how long they live.

    Attributes:
        most: Places at once.
        max_jobs: Jobs that one runs before another takes its place.
        idle_timeout: Seconds without a job after which one ends.
        max_memory: Bytes of memory beyond which one runs no other job.
    """

    def __init__(
        self,
        most: float,
        *,
        max_jobs: float = math.inf,
        idle_timeout: float = math.inf,
        max_memory: float = math.inf,
    ) -> None:
        """Fix the rules."""
        self.most = most
        self.max_jobs = max_jobs
        self.idle_timeout = idle_timeout
        self.max_memory = max_memory

    def allow_another(self, place: Place) -> bool:
        """Tell whether *place* may run one more job."""
        return place.jobs < self.max_jobs and (
            self.max_memory == math.inf or place.memory <= self.max_memory
        )
