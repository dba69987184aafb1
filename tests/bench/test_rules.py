"""What is measured, what the figures mean, and what follows from them: pure rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajobs._bench.measures import PLAIN, Measurement, Sample, Span
from ajobs._bench.rules import (
    default_throttles,
    effort,
    is_hopeless,
    lanes,
    measured,
    quantile,
    shape_of,
)
from ajobs._bench.verdict import doubt, judge
from tests.bench.figures import row

#: 10 ms of waiting, 10 ms of computing, and next to nothing, in a plain loop.
WAITING = row(PLAIN, 1, 100, cpu=0.0002)
COMPUTING = row(PLAIN, 1, 100, cpu=0.01)
TINY = row(PLAIN, 1, 1e7, cpu=1e-7, latency=1e-7)


@pytest.mark.parametrize(
    ("plain", "rows", "best", "because"),
    [
        pytest.param(
            WAITING,
            [row("task", 2, 198), row("task", 32, 3000), row("thread", 32, 3100)],
            ("task", 32),
            "30 times the plain loop, because an item waits for 98% of its time, and tasks wait",
            id="of two that are near the cheaper one",
        ),
        pytest.param(
            WAITING,
            [row("thread", 10, 1000), row("thread", 100, 1050)],
            ("thread", 10),
            "threads wait side by side",
            id="no more at once than helps",
        ),
        pytest.param(
            COMPUTING,
            [row("thread", 4, 95), row("process", 4, 380, startup=0.2)],
            ("process", 4),
            "3.8 times the plain loop, because it computes and holds the interpreter lock, for "
            "which threads take turns (threads reach 0.9 times); starting takes 200 ms, which "
            "28 items pay back.",
            id="processes where the lock is held",
        ),
        pytest.param(
            COMPUTING,
            [row("interpreter", 4, 370), row("process", 4, 380)],
            ("interpreter", 4),
            "each interpreter has a lock of its own.",
            id="interpreters cost less than processes",
        ),
        pytest.param(
            COMPUTING,
            [row("thread", 4, 390, cpu=0.01), row("process", 4, 380)],
            ("thread", 4),
            "it computes without the interpreter lock, so threads run at the same time.",
            id="threads where the lock is free",
        ),
        pytest.param(
            COMPUTING,
            [row("thread", 4, 180, cpu=0.005), row("process", 4, 150)],
            ("process", 4),
            "the interpreter lock, for which threads take turns.",
            id="threads that use one CPU have not gained what noise gives them",
        ),
        pytest.param(
            replace(WAITING, cpu=0.005),
            [row("thread", 4, 180), row("process", 4, 120)],
            ("thread", 4),
            "while one waits another computes",
            id="waiting and computing",
        ),
        pytest.param(
            COMPUTING,
            [row("thread", 4, 95), row("process", 4, 110)],
            (PLAIN, 1),
            "the best runner, process, reaches 1.1 times its speed; the items compute",
            id="nothing worth it",
        ),
        pytest.param(
            TINY,
            [row("thread", 4, 2e6, base=1e7)],
            (PLAIN, 1),
            "reaches 0.2 times its speed, since handing over takes longer than an item, 100 ns",
            id="items too small",
        ),
        pytest.param(
            COMPUTING,
            [row("thread", 4, 20), row("process", 4, 3)],
            (PLAIN, 1),
            "thread, reaches 0.2 times its speed, since handing over items and results takes",
            id="results too big",
        ),
        pytest.param(
            WAITING,
            [row("thread", 32, 101)],
            (PLAIN, 1),
            "what the items wait for does not serve several at once",
            id="waiting that cannot be shared",
        ),
        pytest.param(
            COMPUTING,
            [row("thread", 1, 230)],
            (PLAIN, 1),
            "nothing was measured that runs more than one item at once",
            id="one at a time is the plain loop, whatever the noise says",
        ),
        pytest.param(COMPUTING, [], (PLAIN, 1), "nothing was measured", id="no runner at all"),
    ],
)
def test_verdict(
    plain: Measurement, rows: list[Measurement], best: tuple[str, int], because: str
) -> None:
    """The fastest is taken, of those that are near it the cheapest, and the figures say why."""
    verdict = judge(plain, rows)

    assert (verdict.runner, verdict.throttle) == best
    assert because in verdict.sentence


rates = st.floats(min_value=1e-3, max_value=1e9)
a_row = st.builds(
    row,
    st.sampled_from(["task", "thread", "interpreter", "process"]),
    st.integers(min_value=1, max_value=200),
    rates,
    cpu=st.floats(min_value=0, max_value=10),
    startup=st.floats(min_value=0, max_value=100),
)


@given(plain=a_row, rows=st.lists(a_row, max_size=8))
def test_verdict_names_a_row_that_nothing_beats_by_far(
    plain: Measurement, rows: list[Measurement]
) -> None:
    """Whatever the figures, the verdict is one sentence about a row that is there."""
    verdict = judge(replace(plain, runner=PLAIN, throttle=1), rows)

    assert verdict.sentence.startswith("Take ")
    assert verdict.sentence.endswith(".")
    if verdict.runner != PLAIN:
        taken = [r for r in rows if (r.runner, r.throttle) == (verdict.runner, verdict.throttle)]
        far = [r.rate for r in rows if r.throttle > 1 and r.runner in ("process", "interpreter")]
        assert max(r.rate for r in taken) >= 0.9 * max(far, default=0)


def test_doubt() -> None:
    """Other programs, or rounds that disagree, are a reason to measure again."""
    steady = replace(COMPUTING, rates=(100.0, 120.0, 110.0, 900.0))
    shaky = replace(row("thread", 2, 200), rates=(100.0, 250.0))

    assert doubt([steady, steady], 0.1, 2) is None
    assert doubt([steady], None, 2) is None
    assert "Other programs used 1.2 of 2 CPUs" in (doubt([steady], 1.2, 2) or "")
    assert "The rounds differ" in (doubt([steady, shaky], 0.1, 2) or "")


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(min_value=0, max_value=1))
def test_quantile(values: list[float], share: float) -> None:
    """It is one of the values, and at least that share of them is not above it."""
    found = quantile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (1.0, 100), (0.0, 1)])
def test_quantile_of_a_hundred(share: float, value: int) -> None:
    """Of 1 to 100 the p95 is 95."""
    assert quantile(range(1, 101), share) == value


def sample(**fields: Any) -> Sample:
    """Return a sample of 10 items in a second, but for *fields*."""
    usual = {"items": 10, "seconds": 1.0, "cpu": 0.5, "memory": 100, "startup": 0.1}
    return Sample(**{**usual, "spans": (Span(0, 0, 10_000_000, 1, 1),), **fields})


def test_measured_is_the_median_of_the_rounds() -> None:
    """Speed-ups are ratios within a round, so that a slow round slows both; memory is a peak."""
    samples = [sample(seconds=0.5), sample(seconds=4.0, memory=300), sample(seconds=0.4)]
    plain = [sample(seconds=1.0), sample(seconds=8.0), sample(seconds=1.0)]

    found = measured("thread", 2, samples, plain)

    assert (found.rates, found.rate, found.speedup) == ((20.0, 2.5, 25.0), 20.0, 2.0)
    assert (found.cpu, found.memory, found.startup) == (0.05, 300, 0.1)
    assert (found.latency, found.latency_p95) == (0.01, 0.01)
    assert measured("thread", 2, [sample(memory=None)], plain[:1]).memory is None


@pytest.mark.parametrize("cpus", [1, 2, 10, 64])
@pytest.mark.parametrize("runner", ["task", "thread", "interpreter", "process"])
def test_default_throttles(runner: str, cpus: int) -> None:
    """From one at a time over the CPUs to many; many workers help nobody."""
    for is_quick in (True, False):
        throttles = default_throttles(runner, cpus, is_quick=is_quick)

        assert list(throttles) == sorted(set(throttles))
        assert {1, cpus} <= set(throttles)
        assert (throttles[-1] <= 2 * cpus) is (runner in ("process", "interpreter") or cpus > 16)


def test_what_gains_nothing_and_takes_long_is_hopeless() -> None:
    """A hundred items of 100 ms that run one after the other are not waited for."""
    slow = [row("thread", 1, 10), row("thread", 2, 10)]
    helped = [row("thread", 1, 10), row("thread", 2, 20)]

    assert is_hopeless(100, slow, 0.2)
    assert not is_hopeless(100, helped, 0.2)
    assert not is_hopeless(100, slow[:1], 0.2)
    assert not is_hopeless(4, slow, 0.2)


@pytest.mark.parametrize(
    ("item_seconds", "stride", "is_warmed", "is_bare"),
    [
        (0.0, 1000, True, True),
        (1e-5, 100, True, True),
        (0.01, 1, True, False),
        (9, 1, False, False),
    ],
)
def test_shape(item_seconds: float, stride: int, is_warmed: bool, is_bare: bool) -> None:
    """Tiny items get a pass in which nobody looks at them; slow ones are not run for practice."""
    assert shape_of(item_seconds, 0.2) == (0.2, stride, is_warmed, is_bare)


def test_quick_is_below_a_minute() -> None:
    """Three functions share the time of one."""
    assert (
        3 * effort(is_quick=True, functions=3).budget == effort(is_quick=True, functions=1).budget
    )
    assert effort(is_quick=True, functions=1).budget + 8 + 5 < 55


spans = st.builds(
    lambda begin, length, process, thread: Span(0, begin, begin + length, process, thread),
    st.integers(0, 100),
    st.integers(0, 30),
    st.integers(1, 2),
    st.integers(1, 2),
)


@given(st.lists(spans, max_size=30))
def test_lanes(items: list[Span]) -> None:
    """Each item is in one lane, none overlaps the next, and a lane is in one thread."""
    found = lanes(items)

    assert sorted(items) == sorted(span for lane in found for span in lane)
    for lane in found:
        assert len({(span.process, span.thread) for span in lane}) == 1
        assert all(before.end <= after.begin for before, after in pairwise(lane))


def test_lanes_are_as_few_as_run_at_once() -> None:
    """Tasks share a thread, and take the first lane that is free."""
    items = [Span(0, 0, 10, 1, 1), Span(1, 0, 30, 1, 1), Span(2, 12, 20, 1, 1)]

    assert [[span.item for span in lane] for lane in lanes(items)] == [[0, 2], [1]]
    assert lanes([]) == []
