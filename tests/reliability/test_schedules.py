"""Races under shuffled schedules: the same seed gives the same order, on both loops."""

from __future__ import annotations

from collections import Counter

import pytest

from .foreach_scenarios import FOREACH
from .harness.sweep import Injection, Scenario, fail_for, perform
from .races import RACES
from .scenarios import SCENARIOS

#: Besides the races themselves, stories of the sweep in which several tasks run.
ALSO = (
    "wait_any",
    "as_completed",
    "receive_as_a_stream",
    "two_readers_and_a_bound",
    "input_of_every_sort",
    "input_read_by_two",
    "session_family",
    "session_nested",
    "session",
    "foreach_awaited",
    "foreach_buffered",
    "foreach_streamed",
    "foreach_ordered",
    "foreach_nested",
)
PLAYED = RACES + [one for one in SCENARIOS + FOREACH if one.name in ALSO]
BY_NAME = {one.name: one for one in PLAYED}

#: Seeds for each scenario and loop; a thousand and more over all of them.
SEEDS = 30

on_both_loops = pytest.mark.parametrize("loop", ["shuffled", "trio"])


def shuffle(scenario: Scenario, loop: str, seeds: range, tally: Counter[str]) -> int:
    """Play *scenario* by each of *seeds*; return how many orders there were."""
    orders = set()
    found = []
    for seed in seeds:
        injection = Injection(scenario.name, loop, seed=seed)
        performance = perform(scenario, injection)
        orders.add(performance.trace)
        if performance.found:
            found.append(performance)

    tally[f"schedules on {loop}, seeds from {seeds.start}"] += len(seeds)
    tally[f"different ones among them on {loop}"] += len(orders)
    fail_for(found[:10])
    return len(orders)


@on_both_loops
@pytest.mark.parametrize("name", BY_NAME)
def test_races(name: str, loop: str, seed: int, tally: Counter[str]) -> None:
    """Every order comes out right, and half of the orders at least are different."""
    first = seed * SEEDS
    orders = shuffle(BY_NAME[name], loop, range(first, first + SEEDS), tally)
    assert orders >= SEEDS / 2


@pytest.mark.soak
@pytest.mark.timeout(1200)
@on_both_loops
@pytest.mark.parametrize("name", BY_NAME)
def test_races_in_the_long_run(name: str, loop: str, long_seed: int, tally: Counter[str]) -> None:
    """The same by 650 seeds each: some 50,000."""
    shuffle(BY_NAME[name], loop, range(long_seed, long_seed + 650), tally)


@on_both_loops
def test_a_seed_replays(loop: str) -> None:
    """The same seed gives the same order of steps, another one another."""
    scenario = BY_NAME["many_finish_in_one_tick"]
    traces = [perform(scenario, Injection(scenario.name, loop, seed=n)).trace for n in (1, 1, 2)]
    assert traces[0] == traces[1] != traces[2]
