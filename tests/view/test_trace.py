"""`Session.trace`: a time line of the jobs that Chrome's viewers open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ajobs
from ajobs import JobState, Session
from ajobs._view.trace import Span, lanes, trace
from tests.support import fail, forever, give
from tests.view.test_live import Seen

times = st.integers(0, 30).map(float)
spans = st.lists(st.tuples(times, times).map(lambda pair: Span(min(pair), max(pair))))

#: The phases that are used, with the keys that the format asks of each.
KEYS = {
    "M": {"name", "pid", "tid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args", "cname"},
    "b": {"name", "cat", "id2", "pid", "tid", "ts", "args"},
    "e": {"name", "cat", "id2", "pid", "tid", "ts"},
    "C": {"name", "pid", "tid", "ts", "args"},
}


def overlap(one: Span, other: Span) -> bool:
    """Tell whether two spans have more than an end in common."""
    return one.begin < other.end and other.begin < one.end


@given(spans)
def test_lanes_do_not_overlap(given_spans: list[Span]) -> None:
    """In no lane do two spans overlap, and there are no more lanes than needed at once."""
    places = lanes(given_spans)
    lasting = [span for span in given_spans if span.end > span.begin]
    for place, one in zip(places, given_spans, strict=True):
        for other_place, other in zip(places, given_spans, strict=True):
            assert one is other or place != other_place or not overlap(one, other)

    if len(lasting) == len(given_spans):
        at_once = [sum(s.begin <= one.begin < s.end for s in given_spans) for one in given_spans]
        assert set(places) == set(range(max(at_once, default=0)))


def checked(text: str) -> dict[str, list[dict[str, Any]]]:
    """Return the events of a trace by their phase, once they are what the format asks for."""
    whole = json.loads(text)
    assert set(whole) == {"traceEvents", "displayTimeUnit", "otherData"}
    found: dict[str, list[dict[str, Any]]] = {phase: [] for phase in KEYS}
    for event in whole["traceEvents"]:
        assert set(event) - {"ph"} == KEYS[event["ph"]]
        numbers = [event[key] for key in ("pid", "tid", "ts", "dur") if key in event]
        assert all(isinstance(number, int) and number >= 0 for number in numbers)
        found[event["ph"]].append(event)

    assert len(found["b"]) == len(found["e"])
    return found


def names(events: list[dict[str, Any]], what: str) -> list[str]:
    """Return the names that the metadata gives to groups or lanes."""
    return [event["args"]["name"] for event in events if event["name"] == what]


async def test_trace_of_a_session(tmp_path: Path) -> None:
    """Each job that ran has a place in a slot, and each its time in the queue."""
    path = tmp_path / "run.json"
    gate = anyio.Event()
    async with Session("imports", throttle=2, failures="keep") as jobs:
        for number in range(3):
            jobs.start(gate.wait, name=f"wait{number}")

        bad = jobs.start(fail, ValueError("disk full"), name="bad")
        never = jobs.start(give, 1, name="never")
        await never.stop()
        await anyio.wait_all_tasks_blocked()
        jobs.trace(path)
        early = checked(path.read_text("utf-8"))
        gate.set()

    assert [event["args"]["state"] for event in early["X"]] == ["Running", "Running"]
    jobs.trace(str(path))
    events = checked(path.read_text("utf-8"))
    runs = {event["name"]: event for event in events["X"]}
    assert set(runs) == {"wait0", "wait1", "wait2", "bad"}
    assert names(events["M"], "process_name") == ["ajobs imports", "queue"]
    assert names(events["M"], "thread_name") == ["slot 1", "slot 2"]
    assert runs["bad"]["cat"] == "task,failed"
    assert runs["bad"]["cname"] != runs["wait0"]["cname"]
    assert runs["bad"]["args"]["reason"] == "ValueError: disk full"
    assert runs["wait2"]["args"]["queue_seconds"] >= runs["wait0"]["args"]["run_seconds"] > 0
    assert [event["name"] for event in events["b"]] == [
        job.name for job in (*jobs.get(name="wait*"), bad, never)
    ]
    assert events["C"][-1]["args"] == {"running": 0, "waiting": 0}
    assert max(event["args"]["running"] for event in events["C"]) == 2


def test_children_have_slots_of_their_own() -> None:
    """The parts of a job stand in a group with its name; hostile names do no harm."""
    children = [
        Seen(2, name="\x1b\ud800</script>", begin_seconds=12.0, end_seconds=13.0),
        Seen(3, begin_seconds=12.5),
    ]
    parent = Seen(1, name="all", queued_seconds=10.0, begin_seconds=11.0, children=children)
    events = checked(trace([parent], "ajobs", 15.0))
    assert names(events["M"], "process_name") == ["ajobs", "queue", "1 all"]
    assert names(events["M"], "thread_name") == ["slot 1", "slot 1", "slot 2"]
    assert [(event["ts"], event["dur"]) for event in events["X"]] == [
        (1_000_000, 4_000_000),
        (2_000_000, 1_000_000),
        (2_500_000, 2_500_000),
    ]
    assert events["X"][1]["name"] == "\\x1b\\ud800</script>"


def test_a_clock_that_was_set_back() -> None:
    """Times that run backwards give spans of no length."""
    job = Seen(1, queued_seconds=9.0, begin_seconds=8.0, end_seconds=7.0)
    events = checked(trace([job._replace(state=JobState.COMPLETED)], "ajobs", 6.0))
    assert [event["dur"] for event in events["X"]] == [0]


async def test_trace_cannot_be_written(tmp_path: Path) -> None:
    """A path that cannot be written is an error at the call."""
    async with Session() as jobs:
        with pytest.raises(FileNotFoundError):
            jobs.trace(tmp_path / "missing" / "run.json")


async def test_empty_trace(tmp_path: Path) -> None:
    """A session without jobs has a trace too, and looking at it starts nothing."""
    async with Session() as jobs:
        jobs.trace(tmp_path / "run.json")

    assert checked((tmp_path / "run.json").read_text())["X"] == []


async def test_queue_time_is_known() -> None:
    """A job knows when it was started, also when it had to wait long for its turn."""
    async with Session(throttle=1) as jobs:
        first = jobs.start(forever)
        second = jobs.start(give, 1)
        await anyio.wait_all_tasks_blocked()
        await first.stop()
        await ajobs.wait_all(jobs)

    assert second.begin_seconds is not None
    assert first.queued_seconds <= second.queued_seconds <= second.begin_seconds
    assert second.begin_seconds >= (first.end_seconds or 0.0)
