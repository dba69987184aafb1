"""Running a subcommand's coroutine until it has ended, or a signal ends it.

The first Ctrl-C (or SIGTERM, or the end of the terminal) cancels it, so that what it started is
stopped in order; the second one ends this process at once, and what it started with it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
from anyio import CancelScope

from ._ends import died_of

__all__ = ("run_until_signal",)

_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal has gone"}


def run_until_signal(
    main: Callable[[], Awaitable[int]], backend: str, *, said: str = "the jobs have been stopped"
) -> int:
    """Run *main* on *backend*; return its status, or the one that a signal gives.

    Args:
        main: Cancelled by a signal.
        backend: The event loop.
        said: What to tell on stderr when a signal has ended it.
    """
    return anyio.run(_run, main, said, backend=backend)


def _watched() -> list[signal.Signals]:
    """Return the signals to end by; one that is ignored, as under nohup, stays so."""
    numbers = [getattr(signal, name, None) for name in _WORDS]
    return [one for one in numbers if one and signal.getsignal(one) != signal.SIG_IGN]


async def _run(main: Callable[[], Awaitable[int]], said: str) -> int:
    caught: list[signal.Signals] = []
    failure: Exception | None = None
    status = 0
    with anyio.open_signal_receiver(*_watched()) as signals:
        async with anyio.create_task_group() as tasks:
            with CancelScope() as running:
                tasks.start_soon(_watch, signals, caught, running)
                try:
                    status = await main()
                except Exception as exc:  # noqa: BLE001  # goes on below, outside of the group
                    failure = exc

            tasks.cancel_scope.cancel()

    if caught:
        return _ended_by(caught[0], said, failure)

    if failure is not None:
        raise failure

    return status


async def _watch(
    signals: AsyncIterator[signal.Signals], caught: list[signal.Signals], running: CancelScope
) -> None:
    async for number in signals:
        if caught:
            # What it left is ended by those who watch for the death of this process.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        caught.append(number)
        running.cancel()


def _ended_by(number: signal.Signals, said: str, failure: Exception | None) -> int:
    hint = f"; meanwhile: {failure!r}" if failure else ""
    print(f"ajobs: {_WORDS[number.name]}; {said}{hint}", file=sys.stderr)
    return died_of(number)
