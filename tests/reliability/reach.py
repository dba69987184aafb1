"""How many of the places where ajobs waits does the sweep reach?

Run by hand, on Python 3.12 and newer: ``pytest -p tests.reliability.reach -m "not kill and not
soak"``. Whatever suspends in any test counts, on the event loop of the main thread: not what the
command line, `ajobs.bench`, `ajobs.blocking`, workers and threads do by themselves. It is reached
if the sweep has attacked it, or has seen it in an undisturbed performance, of which the long run
attacks each point.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections import deque
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import ajobs

from .harness.sweep import Stage

SOURCE = f"{Path(ajobs.__file__).parent}/"

#: What the sweep leaves to tests of their own.
ELSEWHERE = ("_bench/", "_programs.py", "_worker/", "blocking/", "cli/")

#: What can wait; plain generators yield, too.
WAITS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

#: No chain of coroutines is longer.
DEEPEST = 64

Place = tuple[str, int]


class Watch:
    """Sees every coroutine of ajobs that suspends, the innermost of a chain first."""

    def __init__(self) -> None:
        self.seen: set[Place] = set()
        self.reached: set[Place] = set()
        self._chain: deque[Place] = deque(maxlen=DEEPEST)
        self._known: dict[tuple[CodeType, int], Place] = {}
        self._thread = threading.get_ident()

    def begin(self) -> None:
        """Watch, and look on when the sweep counts a suspension."""
        monitoring: Any = vars(sys)["monitoring"]
        monitoring.use_tool_id(monitoring.PROFILER_ID, "reach")
        monitoring.register_callback(
            monitoring.PROFILER_ID, monitoring.events.PY_YIELD, partial(self._yields, monitoring)
        )
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_YIELD)
        count = Stage.reached

        def reached(stage: Stage, yielded: object) -> BaseException | None:
            if stage.is_attacked:
                self.reached.update(self._chain)

            self._chain.clear()
            return count(stage, yielded)

        Stage.reached = reached  # type: ignore[method-assign, assignment]  # for the whole run

    def _yields(self, monitoring: Any, code: CodeType, offset: int, _: object) -> Any:
        name = code.co_filename
        is_ours = name.startswith(SOURCE) and not name.removeprefix(SOURCE).startswith(ELSEWHERE)
        if not (is_ours and code.co_flags & WAITS):
            return monitoring.DISABLE

        if threading.get_ident() == self._thread:
            place = self._known.get((code, offset)) or self._place(code, offset)
            self.seen.add(place)
            self._chain.append(place)

        return None

    def _place(self, code: CodeType, offset: int) -> Place:
        line = list(code.co_positions())[offset // 2][0] or 0
        place = self._known[code, offset] = code.co_filename.removeprefix(SOURCE), line
        return place


watch = Watch()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin."""
    if session.config.getoption("numprocesses", None):
        raise pytest.UsageError("each process sees its own suspensions only: run it without -n")

    watch.begin()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many there are, and which of them the sweep does not reach."""
    missed = sorted(watch.seen - watch.reached)
    seen, share = len(watch.seen), 1 - len(missed) / max(1, len(watch.seen))
    terminalreporter.write_line(f"the sweep reaches {seen - len(missed)} of {seen}: {share:.1%}")
    for file, line in missed:
        terminalreporter.write_line(f"  not {file}:{line}")
