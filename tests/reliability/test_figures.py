"""What is printed at the end of a run: how much was done, and by which seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import unmeasured

ROOT = Path(__file__).parents[2]


def figures(*options: str) -> list[str]:
    """Play two races on both loops by a seed of their own, and return the figures."""
    # How the run around this one goes must not decide how this one does.
    ours = {name: text for name, text in unmeasured().items() if not name.startswith("PYTEST_")}
    which = ["tests/reliability/test_schedules.py", "-k", "two_stops or two_closings"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *which, *options],
        cwd=ROOT,
        env=ours | {"AJOBS_SEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in ended.stdout.splitlines() if line.startswith("reliability: ")]


def test_two_processes_count_as_one() -> None:
    """The counts of all tests are summed up, whichever process ran them."""
    in_one = figures()
    assert "reliability: 60 schedules on trio, seeds from 210" in in_one
    assert in_one == figures("-n", "2")
