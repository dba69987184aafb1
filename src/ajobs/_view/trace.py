"""Jobs as a trace in Chrome's format, for Perfetto and chrome://tracing. Pure functions.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

from .._records import aware
from .rows import Viewed, shown

Event = dict[str, Any]

#: Names of colours that viewers know, one for each kind of job.
COLOURS = {
    "task": "thread_state_running",
    "thread": "rail_response",
    "process": "rail_animation",
    "interpreter": "olive",
    "command": "yellow",
    "script": "rail_load",
}
_OTHER_COLOUR = "generic_work"
_FAILED_COLOUR = "terrible"

#: The groups of lanes: the session's own, what waits in the queue, and then one for each job
#: with children.
_SESSION = 1
_QUEUE = 2
_FIRST_PARENT = 3


class Span(NamedTuple):
    """A time from *begin* to *end*, in Unix seconds."""

    begin: float
    end: float


def lanes(spans: Sequence[Span]) -> list[int]:
    """Return the lane of each of *spans*, from 0 on: in no lane do two overlap.

    There are as many lanes as spans overlap at most. One that begins when another ends may
    follow it; the lowest lane that is free is taken.
    """
    found = [0] * len(spans)
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    fresh = count()
    for place in sorted(range(len(spans)), key=lambda place: spans[place]):
        begin, end = spans[place]
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])

        found[place] = heapq.heappop(free) if free else next(fresh)
        heapq.heappush(busy, (end, found[place]))

    return found


def trace(jobs: Sequence[Viewed], title: str, now: float) -> str:
    """Return the trace of *jobs* as JSON; what has not ended lasts until Unix time *now*."""
    # Its begin can come first: a clock may be set back.
    starts = ((_queued(job, now), job.begin_seconds or now) for job in jobs)
    start = min((time for pair in starts for time in pair), default=now)
    events = [*_group(jobs, title, _SESSION, start, now), *_counters(jobs, start, now)]
    events += _queue(jobs, start, now)
    parents = [job for job in jobs if job.children]
    for group, parent in enumerate(parents, _FIRST_PARENT):
        events += _group(parent.children, f"{parent.id} {shown(parent.name)}", group, start, now)

    whole = {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"begin": aware(start).isoformat(), "jobs": len(jobs)},
    }
    return json.dumps(whole, separators=(",", ":"))


def _group(
    jobs: Sequence[Viewed], title: str, group: int, start: float, now: float
) -> Iterable[Event]:
    """Give the lanes of *jobs*."""
    ran = [job for job in jobs if job.begin_seconds is not None]
    spans = [_run_span(job, now) for job in ran]
    places = lanes(spans)
    yield from _named(group, title)
    for lane in range(max(places, default=-1) + 1):
        yield _meta(group, lane + 1, "thread_name", name=f"slot {lane + 1}")
        yield _meta(group, lane + 1, "thread_sort_index", sort_index=lane)

    for job, span, lane in zip(ran, spans, places, strict=True):
        yield _run(job, span, start, group, lane + 1)


def _named(group: int, title: str) -> Iterable[Event]:
    yield _meta(group, 0, "process_name", name=title)
    yield _meta(group, 0, "process_sort_index", sort_index=group)


def _meta(group: int, lane: int, what: str, **args: object) -> Event:
    return {"ph": "M", "pid": group, "tid": lane, "name": what, "args": args}


def _run_span(job: Viewed, now: float) -> Span:
    begin = job.begin_seconds or 0.0
    end = now if job.end_seconds is None else job.end_seconds
    return Span(begin, max(begin, end))


def _queued(job: Viewed, now: float) -> float:
    # A part of another job may never have been in a queue.
    return job.queued_seconds or job.begin_seconds or job.end_seconds or now


def _wait_span(job: Viewed, now: float) -> Span:
    queued = _queued(job, now)
    ends = (time for time in (job.begin_seconds, job.end_seconds, now) if time is not None)
    return Span(queued, max(queued, next(ends)))


def _run(job: Viewed, span: Span, start: float, group: int, lane: int) -> Event:
    failed = job.unseen_reason is not None
    args = {
        "id": job.id,
        "state": str(job.state),
        "kind": job.kind,
        "command": shown(job.command),
        "location": shown(job.location),
        "queue_seconds": round(max(span.begin - _queued(job, span.begin), 0.0), 6),
        "run_seconds": round(span.end - span.begin, 6),
    }
    if failed:
        args["reason"] = shown(job.status_message)

    return {
        "ph": "X",
        "pid": group,
        "tid": lane,
        "ts": _microseconds(span.begin, start),
        # Not from the seconds: rounded by itself, it could reach into the next run of the slot.
        "dur": _microseconds(span.end, start) - _microseconds(span.begin, start),
        "name": shown(job.name),
        "cat": f"{job.kind},failed" if failed else job.kind,
        "cname": _FAILED_COLOUR if failed else COLOURS.get(job.kind, _OTHER_COLOUR),
        "args": args,
    }


def _queue(jobs: Iterable[Viewed], start: float, now: float) -> Iterable[Event]:
    """Give the time that each of *jobs* was in the queue: many at once, so in no lane."""
    yield from _named(_QUEUE, "queue")
    for job in jobs:
        span = _wait_span(job, now)
        both: Event = {
            "cat": "queue",
            "id2": {"local": f"{job.id}"},  # of this group; a plain id would stand outside of all
            "pid": _QUEUE,
            "tid": 0,
            "name": shown(job.name),
        }
        args = {"id": job.id, "seconds": round(span.end - span.begin, 6)}
        yield {"ph": "b", "ts": _microseconds(span.begin, start), "args": args, **both}
        yield {"ph": "e", "ts": _microseconds(span.end, start), **both}


def _counters(jobs: Sequence[Viewed], start: float, now: float) -> Iterable[Event]:
    """Give how many jobs waited and how many ran, at each time when that changed."""
    moves: list[tuple[float, int, int]] = []
    for job in jobs:
        wait = _wait_span(job, now)
        moves += [(wait.begin, 1, 0), (wait.end, -1, 0)]
        if job.begin_seconds is not None:
            run = _run_span(job, now)
            moves += [(run.begin, 0, 1), (run.end, 0, -1)]

    levels: dict[int, tuple[int, int]] = {}
    waiting = running = 0
    for time, more_waiting, more_running in sorted(moves):
        waiting += more_waiting
        running += more_running
        levels[_microseconds(time, start)] = waiting, running  # the last one at each time

    for time, (waiting, running) in levels.items():
        args = {"running": running, "waiting": waiting}
        yield {"ph": "C", "pid": _SESSION, "tid": 0, "ts": time, "name": "jobs", "args": args}


def _microseconds(time: float, since: float) -> int:
    return round((time - since) * 1e6)
