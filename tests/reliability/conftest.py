"""What the reliability tests share: their seeds."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of everything random here: AJOBS_SEED, else the same for every push."""
    return int(os.environ.get("AJOBS_SEED", "0"))


@pytest.fixture(scope="session")
def long_seed() -> int:
    """The seed of the long runs: AJOBS_SEED, else another one each time."""
    return int(os.environ.get("AJOBS_SEED") or random.SystemRandom().getrandbits(32))
