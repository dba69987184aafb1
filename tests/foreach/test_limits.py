"""The time limits of items at work: one look at a time, and none too late."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ajobs._foreach.limits import GAP, ItemLimits


class Worker:
    """Runs item after item."""

    def __init__(self, index: int = -1, started: float = 0.0) -> None:
        self.index = index
        self.started = started
        self.expired: list[int] = []

    def expire(self) -> None:
        """Note which item it was."""
        self.expired.append(self.index)
        self.index = -1


class Clock:
    """A loop without tasks: its time is what the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> object:
        """Note a call to come."""
        self.due.append((when, callback))
        return callback

    def go(self, now: float) -> None:
        """Make the calls that are due until then."""
        while self.due and self.due[0][0] <= now:
            self.now, callback = self.due.pop(0)
            callback()

        self.now = now


def limits(limit: float, *workers: Worker) -> tuple[Clock, ItemLimits]:
    """Begin to look after *workers*."""
    clock = Clock()
    run: Any = SimpleNamespace(loop=clock, plan=SimpleNamespace(item_timeout=limit))
    found = ItemLimits(run, workers)
    found.watch()
    return clock, found


def test_an_item_is_ended_when_it_is_late() -> None:
    """At its time, not before, and its worker's next item has a time of its own."""
    worker = Worker(7, 95.0)
    clock, _ = limits(10.0, worker)
    clock.go(104.9)
    assert worker.expired == []

    clock.go(105.0)
    assert worker.expired == [7]

    worker.index, worker.started = 8, 105.0
    clock.go(114.9)
    assert worker.expired == [7]

    clock.go(115.0)
    assert worker.expired == [7, 8]


def test_the_oldest_one_is_looked_for_first() -> None:
    """Whoever began last is found when its own time is over."""
    old, new = Worker(0, 91.0), Worker(1, 99.0)
    clock, _ = limits(10.0, new, old)
    clock.go(101.0)
    assert (old.expired, new.expired) == ([0], [])

    clock.go(109.0)
    assert new.expired == [1]


def test_items_that_keep_their_limit_cost_no_look_each() -> None:
    """A thousand items within one limit: two looks."""
    worker = Worker(0, 100.0)
    clock, _ = limits(10.0, worker)
    looks = 0
    for number in range(1000):
        looks += clock.due[0][0] <= clock.now
        clock.go(100.0 + number / 100)
        worker.index, worker.started = number, clock.now

    assert worker.expired == []
    assert looks <= 2


def test_one_timer_serves_all() -> None:
    """However many workers come, only one look is to come."""
    clock, found = limits(10.0, Worker(), Worker())
    found.watch()
    assert len(clock.due) == 1


def test_a_tiny_limit_is_no_busy_loop() -> None:
    """While an item that is late cleans up, the looks are apart."""
    worker = Worker(0, 100.0)
    clock, _ = limits(1e-9, worker)
    assert clock.due[0][0] >= 100.0 + GAP


def test_nothing_is_looked_at_without_workers() -> None:
    """The timer ends with the last worker."""
    clock, _ = limits(10.0)
    assert clock.due == []
