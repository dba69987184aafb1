"""What the reliability tests share: the seed, and the figures that are printed at the end."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

#: How many of what was done, by the name under which it is reported.
done: Counter[str] = Counter()


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of everything random here: AJOBS_SEED, else the same for every push."""
    return int(os.environ.get("AJOBS_SEED", "0"))


@pytest.fixture(scope="session")
def long_seed() -> int:
    """The seed of the long runs: AJOBS_SEED, else another one each time."""
    return int(os.environ.get("AJOBS_SEED") or random.SystemRandom().getrandbits(32))


@pytest.fixture
def tally() -> Counter[str]:
    """What to count in; it is printed after the tests."""
    return done


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was done, and by which seed."""
    for name, count in sorted(done.items()):
        terminalreporter.write_line(f"reliability: {count:,} {name}")
