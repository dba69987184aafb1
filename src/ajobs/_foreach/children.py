"""The items of a foreach job as jobs: those that run, and those that failed.

A child is made when somebody looks at an item that runs, or when an item fails: a million
items that end well cost nothing. Nobody sees a child that has not begun.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Final, NamedTuple

from .._blocking import Wait
from .._checks import command_of
from .._job import Job, Keeper
from .._spec import JobOptions, JobSpec
from .._state import JobState
from .failures import KEPT
from .items import name_of
from .place import AtWork
from .results import Results
from .run import Run

#: Seconds after the grace of a stop in which a place that can ends an item by force, before
#: the item counts as stuck.
FORCE_SECONDS: Final = 1.0


class ItemPlace(NamedTuple):
    """What a child tells of the place where it runs. Its value is output of its parent."""

    kind: str
    location: str
    value_is_output: bool = False


class ItemRun:
    """What a child knows of its code."""

    waits: Sequence[Wait] = ()

    def __init__(self, begun: float) -> None:
        self.begun: float | None = begun
        self.is_stuck = False
        self.is_over = False


class Children(Keeper):
    """The children of one job.

    Attributes:
        stopped: How many items were stopped while they ran.
    """

    def __init__(self, run: Run, stop_grace: float) -> None:
        self.loop = run.loop
        self.stop_grace = stop_grace
        self.stopped = 0
        self._run = run
        plan = run.plan
        self._command = command_of(plan.fn)
        self._place = ItemPlace(plan.runner.kind, plan.runner.location)
        self._running: dict[int, Job[Any]] = {}
        self._failed: list[Job[Any]] = []
        self._failing = -1

    def look(self) -> tuple[Job[Any], ...]:
        """Return the children that there are now, in the order of their ids."""
        for one in sorted(self._run.place.at_work(), key=_index):
            if one.index not in self._running:
                child = self._running[one.index] = self._make(one)
                if self._run.is_stopping:
                    child.move(JobState.STOPPING)

        known = (*tuple(self._running.values()), *self._failed)
        return tuple(sorted(known, key=lambda one: one.id))

    def _make(self, one: AtWork) -> Job[Any]:
        options = JobOptions(name=name_of(one.index, one.item))
        spec = JobSpec(self._run.plan.fn, (), options, self._command)
        child: Job[Any] = Job(self, self._place, spec, Context())
        child.take_up(ItemRun(time.time() - one.seconds))
        child.move(JobState.RUNNING)
        return child

    def stop(self, job: Job[Any], grace: float) -> None:
        """Tell the item of *job* to end."""
        for index, child in self._running.items():
            if child is job and job.state is JobState.RUNNING:
                job.move(JobState.STOPPING)
                deadline = self.loop.time() + grace
                self._run.stop_item(index, deadline)
                self.loop.call_at(deadline + FORCE_SECONDS, partial(_tell_stuck, job))
                return

    def note_seen(self, job: Job[Any]) -> None:
        """Do nothing: it is the parent whose failure somebody has to see."""

    def note_drained(self, job: Job[Any]) -> None:
        """Do nothing: children leave with their parent."""

    # What the run tells

    def all_told(self) -> None:
        """All items that run are told to end."""
        for child in self._running.values():
            if child.state is JobState.RUNNING:
                child.move(JobState.STOPPING)

    def ended(self, index: int, value: object = None) -> None:
        """Item *index* has ended, and has not failed: that was told before."""
        run = self._run
        if index == self._failing:
            self._failing = -1
            return

        is_stopped = run.is_stopping or index in run.told
        run.told.discard(index)
        self.stopped += is_stopped
        child = self._running.pop(index, None)
        if child is not None:
            _finish(child, value, is_stopped=is_stopped)

    def several_ended(self, first: int, values: Sequence[object]) -> None:
        """The items from *first* on have ended, and have not failed."""
        run = self._run
        if run.is_stopping or run.told:
            for index, value in enumerate(values, first):
                self.ended(index, value)
        elif self._running:
            for index in [one for one in self._running if first <= one < first + len(values)]:
                self.ended(index, values[index - first])

    def failed(self, index: int, item: object, error: Exception) -> None:
        """Item *index* has failed; that it has ended is told next."""
        self._failing = index
        child = self._running.pop(index, None)
        if len(self._failed) < KEPT:
            child = child or self._make(AtWork(index, item, 0.0))
            self._failed.append(child)

        if child is not None:
            child.finish(JobState.FAILED, None, error)

    def all_over(self) -> None:
        """The run is over: what still runs was left behind."""
        for child in self._running.values():
            _tell_stuck(child)


def _tell_stuck(child: Job[Any]) -> None:
    if child.run is not None:
        child.run.is_stuck = True
        child.tell_stuck()


def _index(one: AtWork) -> int:
    return one.index


def _finish(child: Job[Any], value: object, *, is_stopped: bool) -> None:
    if not is_stopped:
        child.finish(JobState.COMPLETED, value, None)
        return

    if child.state is JobState.RUNNING:
        child.move(JobState.STOPPING)

    child.finish(JobState.STOPPED, None, None)


class WatchedResults(Results):
    """Results that tell the children which items have ended."""

    __slots__ = ("_children", "_results")

    def __init__(self, results: Results, children: Children) -> None:
        self.ready = results.ready
        self._results = results
        self._children = children

    def only(self, index: int, value: object) -> None:
        self._results.only(index, value)
        self._children.ended(index, value)

    def several(self, first: int, values: Iterable[object]) -> None:
        known = list(values)
        self._results.several(first, known)
        self._children.several_ended(first, known)

    def add(self, index: int, value: object) -> None:
        self._results.add(index, value)

    def end(self, index: int) -> None:
        self._results.end(index)
        self._children.ended(index)

    def is_next(self, index: int) -> bool:
        return self._results.is_next(index)
