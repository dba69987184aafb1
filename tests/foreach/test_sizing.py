"""The rules for the size of batches and for even starts."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ajobs._foreach.sizing import GROWTH, LARGEST, SLACK, TARGET, Pace, fair_share, next_size

sizes = st.integers(1, LARGEST)
durations = st.floats(0, 1e4, allow_nan=False)


@given(sizes, st.integers(1, LARGEST), durations)
def test_size_stays_in_bounds(previous: int, count: int, seconds: float) -> None:
    """A batch holds at least one item, and never grows by more than the factor."""
    size = next_size(previous, count, seconds)

    assert 1 <= size <= min(LARGEST, previous * GROWTH)


@given(sizes, st.integers(1, LARGEST), durations)
def test_a_batch_holds_no_more_work_than_the_target(
    previous: int, count: int, seconds: float
) -> None:
    """If the next items take as long as the last ones, the batch is done in time."""
    size = next_size(previous, count, seconds)

    assert size == 1 or size * (seconds / count) <= TARGET * (1 + 1e-9)


@given(st.floats(1e-9, 10))
def test_size_settles(item: float) -> None:
    """With items of one length the size reaches its goal in few steps, and stays."""
    size = 1
    for _ in range(8):
        size = next_size(size, size, size * item)

    goal = min(LARGEST, max(1, TARGET / item))
    assert abs(size - goal) <= 1


def test_a_slow_item_shrinks_the_next_batch_at_once() -> None:
    """One measurement is enough."""
    assert next_size(LARGEST, LARGEST, 1.0) == int(TARGET * LARGEST / 1.0)
    assert next_size(LARGEST, 10, 1.0) == 1


@given(sizes, st.integers(1, 10**9), st.integers(1, 256))
def test_the_last_items_are_shared(size: int, remaining: int, workers: int) -> None:
    """A batch near the end leaves work for every worker."""
    share = fair_share(size, remaining, workers)

    assert 1 <= share <= size
    assert share == size or share * workers <= remaining / 2 + workers


@given(sizes, st.integers(1, 256))
def test_an_input_of_unknown_length_changes_nothing(size: int, workers: int) -> None:
    """Only a known end shrinks batches."""
    assert fair_share(size, math.inf, workers) == size


def test_no_item_left_asks_for_one() -> None:
    """A wrong `len` of the input does no harm."""
    assert fair_share(100, 0, 4) == 1
    assert fair_share(100, -5, 4) == 1


@given(st.floats(0.1, 1e5), st.lists(st.floats(0, 0.2), min_size=1, max_size=60))
def test_pace_is_kept_in_every_window(per_second: float, lags: list[float]) -> None:
    """Whatever the delays, no window holds more starts than the rate, the slack and one."""
    pace = Pace(per_second)
    now = 0.0
    starts = []
    for lag in lags:
        now = max(now, pace.due) + lag * lag
        pace.started(now)
        starts.append(now)

    for first in range(len(starts)):
        for last in range(first, len(starts)):
            window = starts[last] - starts[first]
            assert last - first <= (window + SLACK) * per_second + 1e-6


def test_starts_are_even() -> None:
    """Where nothing is late, the starts stand the same time apart."""
    pace = Pace(10)
    starts = []
    now = 5.0
    for _ in range(5):
        now = max(now, pace.due)
        pace.started(now)
        starts.append(now)

    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert starts[0] == 5.0
    assert all(abs(gap - 0.1) <= SLACK + 1e-9 for gap in gaps)
