"""Running a subcommand's coroutine until it has ended, or a signal ends it.

The first Ctrl-C (or SIGTERM, or the end of the terminal) cancels it, so that what it started is
stopped in order; the second one ends this process at once, and what it started with it.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TextIO

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from .._writable import is_writable
from ._ends import died_of, say

__all__ = ("run_until_signal",)

#: Seconds after which who has pressed Ctrl-C is told what else there is.
_REMIND_SECONDS = 1.0

#: Where the library is.
_HOME = str(Path(__file__).parents[1])

_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal has gone"}


def run_until_signal(main: Callable[[], Awaitable[int]], backend: str) -> int:
    """Run *main* on *backend*; return its status, or the one that a signal gives.

    Args:
        main: Cancelled by a signal.
        backend: The event loop.
    """
    with warnings.catch_warnings():
        left = _Warned()
        warnings.showwarning = left.show
        return anyio.run(_run, main, left, backend=backend)


class _Warned:
    """Shows what the library warns of, such as threads that do not stop, in a line of ours."""

    def __init__(self) -> None:
        self._others = warnings.showwarning
        self.has_shown = False

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if filename.startswith(_HOME):
            self.has_shown = True
            say(str(message))
        else:
            self._others(message, category, filename, lineno, file, line)


def _watched() -> list[signal.Signals]:
    """Return the signals to end by; one that is ignored, as under nohup, stays so."""
    numbers = [getattr(signal, name, None) for name in _WORDS]
    return [one for one in numbers if one and signal.getsignal(one) != signal.SIG_IGN]


async def _run(main: Callable[[], Awaitable[int]], warned: _Warned) -> int:
    caught: list[signal.Signals] = []
    failure: Exception | None = None
    status = 0
    with anyio.open_signal_receiver(*_watched()) as signals:
        async with anyio.create_task_group() as tasks:
            with CancelScope() as running:
                tasks.start_soon(_watch, signals, caught, running, tasks)
                try:
                    status = await main()
                except Exception as exc:  # noqa: BLE001  # goes on below, outside of the group
                    failure = exc

            tasks.cancel_scope.cancel()

    if caught:
        return _ended_by(caught[0], warned, failure)

    if failure is not None:
        raise failure

    return status


async def _watch(
    signals: AsyncIterator[signal.Signals],
    caught: list[signal.Signals],
    running: CancelScope,
    tasks: TaskGroup,
) -> None:
    async for number in signals:
        if caught:
            _die_of(number)

        caught.append(number)
        running.cancel()
        tasks.start_soon(_remind)


def _die_of(number: signal.Signals) -> None:
    """End at once; what was left is ended by those who watch for the death of this process."""
    if sys.stderr is not sys.__stderr__ and is_writable(sys.stderr):
        # Live bars stand in for it: give the terminal its cursor back, in a new line.
        os.write(2, b"\x1b[?25h\n")

    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


async def _remind() -> None:
    """Tell who waits that there is a way to end it now."""
    await anyio.sleep(_REMIND_SECONDS)
    say("stopping; Ctrl-C again ends it at once")


def _ended_by(number: signal.Signals, warned: _Warned, failure: Exception | None) -> int:
    said = "what is left ends now" if warned.has_shown else "the jobs have been stopped"
    hint = f"; meanwhile: {failure!r}" if failure else ""
    say(f"{_WORDS[number.name]}; {said}{hint}")
    return died_of(number)
