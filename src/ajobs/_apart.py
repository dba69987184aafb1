"""Code that must not be broken off in its middle, whatever comes to the task that asks for it.

A shield is not enough for that, so it has a task of its own. This file knows no jobs.
"""

from __future__ import annotations

import anyio
from anyio import CancelScope

from ._loop import current_loop
from ._timers import AsyncFn


async def run_apart(fn: AsyncFn, name: str, cancelled: type[BaseException]) -> None:
    """Run *fn* in a task of its own, where nothing but a scope ever cancels.

    asyncio's own ``Task.cancel`` and trio's Ctrl-C go through every shield, so code that must
    not be broken off in its middle cannot run in the caller's task. What comes to the caller
    cancels *fn*, which may shield itself; once it has ended, that is raised.
    """
    done = anyio.Event()
    scope = CancelScope()
    failure: BaseException | None = None

    async def run() -> None:
        nonlocal failure
        try:
            with scope:
                await fn()
        except BaseException as exc:  # noqa: BLE001  # raised by the caller
            failure = exc
        finally:
            done.set()

    interrupt: BaseException | None = None
    task = current_loop().spawn_root(run, name)
    while not done.is_set():
        try:
            with CancelScope(shield=interrupt is not None):
                await done.wait()
        except (cancelled, KeyboardInterrupt, Exception) as exc:  # noqa: BLE001  # raised below
            interrupt = exc
            scope.cancel()

    del task
    if interrupt is not None:
        if failure is not None:
            interrupt.add_note(f"{name} failed besides: {failure!r:.200}")

        raise interrupt

    if failure is not None:
        raise failure
