"""Every suspension of every public verb is attacked: cancelled in four ways, stopped, failed.

A failure names the injection; `AJOBS_INJECTION=<that> pytest -k replay` plays it alone.
"""

from __future__ import annotations

import gc
import math
import os
import random
import signal
from collections import Counter

import pytest
from anyio.lowlevel import checkpoint

from .foreach_scenarios import FOREACH
from .harness.driving import HERE, LOOPS
from .harness.oracle import unraisable_in
from .harness.sweep import (
    Act,
    Injection,
    Performance,
    Scenario,
    Stage,
    fail_for,
    injections,
    perform,
)
from .place_scenarios import PLACES
from .scenarios import SCENARIOS, UNTOUCHED

BY_NAME = {one.name: one for one in SCENARIOS + FOREACH + PLACES}

#: The part of all injections that each push makes, and the seconds that it may take for one
#: scenario, on all loops together: workers and programs are dear.
SHARE = 0.25
SECONDS = 0.4

#: So many finds end a scenario: two that hang take less than a test may.
ENOUGH = 2

on_every_loop = pytest.mark.parametrize(
    "loop",
    [
        pytest.param(loop, marks=pytest.mark.skipif(loop not in HERE, reason="Python 3.12"))
        for loop in LOOPS
    ],
)


def sweep(
    scenario: Scenario, loop: str, seed: int, share: float, seconds: float, tally: Counter[str]
) -> None:
    """Make *share* of all injections in *scenario*, in some *seconds*; fail with all errors."""
    undisturbed = perform(scenario, Injection(scenario.name, loop, seed=seed))
    fail_for([undisturbed])
    chance = random.Random(f"{seed} {scenario.name} {loop}")
    every = list(injections(scenario, loop, undisturbed.points, seed))
    most = math.ceil(1000 * seconds / scenario.cost)
    found = []
    for injection in chance.sample(every, min(math.ceil(len(every) * share), most)):
        performance = perform(scenario, injection)
        tally[f"injections on {loop}, seed {seed}"] += performance.has_acted
        if performance.found:
            found.append(performance)
            if len(found) == ENOUGH:
                break

    leftovers = Performance(Injection(scenario.name, loop, seed=seed))
    with unraisable_in(leftovers.found):
        gc.collect()
        gc.freeze()  # nothing of it is left, so the next collection need not look here again

    fail_for([*found, leftovers])


@on_every_loop
@pytest.mark.parametrize("name", BY_NAME)
def test_sweep(name: str, loop: str, seed: int, tally: Counter[str]) -> None:
    """No attack makes anything hang, leak, or end in a way that it must not."""
    sweep(BY_NAME[name], loop, seed, SHARE, SECONDS / len(HERE), tally)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@on_every_loop
@pytest.mark.parametrize("name", BY_NAME)
def test_sweep_in_the_long_run(name: str, loop: str, long_seed: int, tally: Counter[str]) -> None:
    """The same, all of them as far as eight seconds reach, several times over with other seeds."""
    # Python 3.13 keeps 2 to 6 MB of each interpreter: one seed is a thousand of them.
    for one in range(1 if "interpreter" in name else 4):
        sweep(BY_NAME[name], loop, long_seed + one, 1.0, 8.0, tally)


def test_replay() -> None:
    """Play the one injection of AJOBS_INJECTION; without it, one that does nothing."""
    injection = Injection.parse(
        os.environ.get("AJOBS_INJECTION", "wait/asyncio/cancel/before/0/0/0")
    )
    fail_for([perform(BY_NAME[injection.scenario], injection)])


@on_every_loop
def test_a_ctrl_c_of_whoever_runs_the_sweep_is_no_find(loop: str) -> None:
    """It ends the sweep: asyncio made a cancellation of the victim of it, and the sweep a find."""

    async def press_and_wait() -> None:
        signal.raise_signal(signal.SIGINT)
        await checkpoint()

    async def play(stage: Stage) -> None:
        await stage.victim(press_and_wait)

    with pytest.raises(KeyboardInterrupt):
        perform(Scenario("pressed", play, UNTOUCHED), Injection("pressed", loop, Act.STOP))
