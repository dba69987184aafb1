"""The command line: how soon it answers, and how fast ``ajobs foreach`` runs tiny commands.

GNU parallel and xargs are the programs of Debian's packages ``parallel`` and ``findutils``;
where one is missing its rows are left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial

from .harness import Contest, Measure, Row

PEERS = ("click", "rich-click")

COMMANDS = 10_000
THROTTLE = os.cpu_count() or 1

#: Rounds of ten thousand commands at most: GNU parallel takes most of a minute for each.
MOST_ROUNDS = 2

AJOBS = (sys.executable, "-m", "ajobs")
PASS = (sys.executable, "-c", "pass")


#: As with an installed package: Python keeps what it has compiled, whoever measures.
CACHE = tempfile.TemporaryDirectory(prefix="ajobs-bench-")
ENVIRONMENT = {**os.environ, "PYTHONPYCACHEPREFIX": CACHE.name}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def whole(argv: Sequence[str], items: int = 0) -> float:
    """Run a program to its end, with the numbers of *items* as its input."""
    given = "".join(f"{number}\n" for number in range(items)).encode()
    begin = time.perf_counter()
    subprocess.run(argv, input=given, stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
    return time.perf_counter() - begin


def first_line(argv: Sequence[str]) -> float:
    """Run a program until it has printed a line."""
    begin = time.perf_counter()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - begin


def start_up() -> list[Contest]:
    """Return what somebody at a terminal waits for."""
    ours: dict[str, Measure] = {
        "ajobs --help": partial(whole, (*AJOBS, "--help")),
        "ajobs foreach --help": partial(whole, (*AJOBS, "foreach", "--help")),
        "ajobs foreach echo ::: a, first result": partial(
            first_line, (*AJOBS, "foreach", "echo", ":::", "a")
        ),
    }
    peers: dict[str, Measure] = {"python -c pass": partial(whole, PASS)}
    aims = {"ajobs --help": 12.5, "ajobs foreach echo ::: a, first result": 25.0}
    return [
        Contest(
            work,
            1,
            measure,
            peers,
            {"python -c pass": aims[work]} if work in aims else {},
            scale=1e3,
            unit="ms",
        )
        for work, measure in ours.items()
    ]


def tiny_commands() -> list[Contest]:
    """Return ten thousand commands that do next to nothing, *THROTTLE* at once."""
    at_once = str(THROTTLE)
    contests = []
    for command in ("true", "echo"):
        peers = {"xargs -P": ("xargs", "-n1", f"-P{at_once}", command)}
        if command == "echo":
            peers["GNU parallel"] = ("parallel", f"-j{at_once}", command)

        contests.append(
            Contest(
                f"{COMMANDS:,} times '{command} ITEM', {at_once} at once",
                COMMANDS,
                partial(whole, (*AJOBS, "foreach", f"-j{at_once}", command), COMMANDS),
                {
                    name: partial(whole, argv, COMMANDS)
                    for name, argv in peers.items()
                    if shutil.which(argv[0])
                },
                {"GNU parallel": 1.0, "xargs -P": 1.5},
            )
        )

    return contests


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    quick = [row for contest in start_up() for row in contest.run(rounds)]
    most = min(rounds, MOST_ROUNDS)
    return quick + [row for contest in tiny_commands() for row in contest.run(most)]
