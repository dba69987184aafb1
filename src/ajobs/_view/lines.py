"""What a live view shows of many jobs: which of them, in which order, how far they are.

Pure functions of jobs and the time; how it is drawn is the business of others. What they
return can be compared, so that nothing is drawn twice.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .._records import Progress
from .._state import JobState
from .rows import Viewed, shown
from .text import amount as amount_text
from .text import clock, number

#: Deepest level that is still moved to the right.
MOST_DEPTH = 4

_WAITING = JobState.NOT_STARTED
_FAILED = JobState.FAILED


class Bar(NamedTuple):
    """How far something is.

    Attributes:
        job_id: Whose it is.
        depth: How many others it is a part of.
        title: What is done.
        fraction: 0 to 1; None where nobody knows.
        amount: The same in numbers.
        left: Time to the end, as text.
        text: Where it is, in words.
    """

    job_id: int
    depth: int
    title: str
    fraction: float | None
    amount: str
    left: str
    text: str


class Line(NamedTuple):
    """One job in a live table."""

    id: str
    name: str
    kind: str
    state: str
    fraction: float | None
    time: str
    text: str


class Totals(NamedTuple):
    """How many jobs there are, and how many in which state."""

    jobs: int
    finished: int
    states: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """The same in words."""
        words = ", ".join(f"{count:,} {state}" for state, count in self.states)
        return f"{self.jobs:,} job{'' if self.jobs == 1 else 's'}{': ' if words else ''}{words}"


class Bars(NamedTuple):
    """A picture of bars: those shown, how many are not, and all jobs together."""

    bars: tuple[Bar, ...]
    more: int
    totals: Totals


class Table(NamedTuple):
    """A picture of jobs: those shown, how many are not, and all jobs together."""

    lines: tuple[Line, ...]
    more: int
    totals: Totals


def totals(jobs: Iterable[Viewed]) -> Totals:
    """Count *jobs*."""
    counts = Counter(job.state for job in jobs)
    states = tuple((str(state), counts[state]) for state in JobState if counts[state])
    finished = sum(count for state, count in counts.items() if state.finished)
    return Totals(counts.total(), finished, states)


#: Tells the seconds that are left of what a job is at.
LeftOf = Callable[[Viewed, Progress], float | None]


def bars(jobs: Sequence[Viewed], most: int, left_of: LeftOf) -> Bars:
    """Return the bars of the *jobs* that tell how far they are, the oldest first."""
    going = [job for job in jobs if not job.is_finished]
    found = [(job, depth, one) for job in going for depth, one in tree(job.progress)]
    drawn = [_bar(job, depth, one, left_of(job, one)) for job, depth, one in found[:most]]
    return Bars(tuple(drawn), len(found) - len(drawn), totals(jobs))


def _bar(job: Viewed, depth: int, progress: Progress, left: float | None) -> Bar:
    name, activity = shown(job.name), shown(progress.activity)
    if depth:
        title = activity or "..."
    else:
        title = f"{name}: {activity}" if activity and activity != name else name

    return Bar(
        job.id,
        min(depth, MOST_DEPTH),
        title,
        fraction_of(progress),
        count_of(progress),
        "" if left is None else clock(left),
        ", ".join(shown(text) for text in (progress.status, progress.operation) if text),
    )


def tree(records: Sequence[Progress]) -> list[tuple[int, Progress]]:
    """Return *records* with their depths, each behind its parent.

    What names no parent that is there, or a ring of parents, stands by itself.
    """
    by_id = {record.id: record for record in records}
    parts = defaultdict[int | None, list[Progress]](list)
    for record in records:
        parent = record.parent_id
        is_part = isinstance(parent, int) and parent in by_id and parent != record.id
        parts[parent if is_part else None].append(record)

    found: list[tuple[int, Progress]] = []
    left = dict(by_id)

    def walk(depth: int, record: Progress) -> None:
        if left.pop(record.id, None) is not None:
            found.append((depth, record))
            for part in parts[record.id]:
                walk(depth + 1, part)

    for root in parts[None]:
        walk(0, root)

    while left:
        walk(0, next(iter(left.values())))

    return found


def fraction_of(progress: Progress) -> float | None:
    """Return how much is done, 0 to 1; None where nobody knows."""
    percent = number(progress.percent)
    return None if percent is None else min(max(percent / 100, 0.0), 1.0)


def count_of(progress: Progress) -> str:
    """Return how much is done, in numbers."""
    done, total = number(progress.completed), number(progress.total)
    if done is not None:
        return amount_text(done) if total is None else f"{amount_text(done)}/{amount_text(total)}"

    fraction = fraction_of(progress)
    return "" if fraction is None else f"{fraction:.0%}"


def table(jobs: Sequence[Viewed], now: float, most: int, left_of: LeftOf) -> Table:
    """Return the *most* interesting of *jobs*, in the order of their ids.

    Args:
        jobs: Those there are.
        now: Unix time.
        most: How many are shown: those that run, then failed ones, then those that ended
            last, then those that wait.
        left_of: Tells the seconds left.
    """
    chosen = jobs if len(jobs) <= most else heapq.nsmallest(most, jobs, key=_interest)
    lines = [_line(job, now, left_of) for job in sorted(chosen, key=lambda job: job.id)]
    return Table(tuple(lines), len(jobs) - len(lines), totals(jobs))


def _interest(job: Viewed) -> tuple[int, float]:
    state = job.state
    if state is _WAITING:
        return 3, job.id

    if not state.finished:
        return 0, job.id

    return (1 if state is _FAILED else 2), -(job.end_seconds or 0.0)


def root_of(job: Viewed) -> Progress | None:
    """Return what *job* is at, as a whole; None if it does not tell, or has ended."""
    return None if job.is_finished else next((one for _, one in tree(job.progress)), None)


def _line(job: Viewed, now: float, left_of: LeftOf) -> Line:
    progress = root_of(job)
    left = None if progress is None else left_of(job, progress)
    return Line(
        str(job.id),
        shown(job.name),
        shown(job.kind),
        str(job.state),
        None if progress is None else fraction_of(progress),
        run_time(job, now),
        told_of(job, progress, left),
    )


def told_of(job: Viewed, progress: Progress | None, left: float | None) -> str:
    """Return where *job* is, in words; its root *progress* says most, if it has one."""
    if progress is None:
        return shown(job.status_message)

    words = (
        count_of(progress),
        None if left is None else f"{clock(left)} left",
        progress.activity,
        progress.status,
        progress.operation,
    )
    return ", ".join(shown(word) for word in words if word)


def run_time(job: Viewed, now: float) -> str:
    """Return how long *job* has been running, or ran."""
    begin, end = job.begin_seconds, job.end_seconds
    if begin is None:
        return ""

    if end is None:
        return clock(now - begin)

    ran = max(end - begin, 0.0)
    return clock(ran) if ran >= 100 else f"{ran:.1f} s" if ran >= 0.95 else f"{ran * 1000:.0f} ms"
