"""Runners that a session makes from a name, and opens when the first job needs them.

A runner that is an async context manager is entered and left in one task of its own: what
it opens (task groups, cancel scopes) belongs to the task that opened it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import anyio

from ._guests import until_set
from ._loop import Loop
from ._runner import Emit, Runner
from ._spec import JobSpec

#: The class of each kind, loaded when the first job of the kind is started: who only runs
#: tasks does not load what worker processes need.
_CLASSES = {
    "task": ("task", "TaskRunner"),
    "thread": ("thread", "ThreadRunner"),
    "process": ("process", "ProcessRunner"),
    "interpreter": ("interpreter", "InterpreterRunner"),
    "command": ("command", "CommandRunner"),
    "script": ("script", "ScriptRunner"),
}

#: The names that `start` takes for *runner*.
NAMES = tuple(_CLASSES)


def make_runner(name: str, loop: Loop) -> Runner:
    """Return a new runner of the kind *name*, to be used on *loop*.

    Raises:
        KeyError: There is no such kind.
        RunnerUnavailable: This system or this Python cannot run such jobs.
    """
    runner: Runner = load_class(name)()
    return HostedRunner(runner, loop) if hasattr(runner, "__aenter__") else runner


def load_class(name: str) -> Any:
    """Return the runner class of the kind *name*."""
    module, class_name = _CLASSES[name]
    return getattr(import_module(f".runners.{module}", __package__), class_name)


class HostedRunner(Runner):
    """A runner with something to open, opened by its first job and closed with the session."""

    def __init__(self, runner: Any, loop: Loop) -> None:
        """Host *runner* in a task of *loop*."""
        self._runner = runner
        self._loop = loop
        self._is_started = False
        self._error: BaseException | None = None
        self._opened = anyio.Event()
        self._closing = anyio.Event()
        self.kind = runner.kind  # type: ignore[misc]  # a class constant of the hosted one
        self.location = runner.location
        self.value_is_output = runner.value_is_output
        self.needs_task = runner.needs_task

    def check(self, spec: JobSpec) -> JobSpec:
        """Ask the runner itself."""
        checked: JobSpec = self._runner.check(spec)
        return checked

    async def run(self, spec: JobSpec, emit: Emit) -> Any:
        """Run *spec* once the runner is open.

        Raises:
            BaseException: What opening it raised, for every job.
        """
        if not self._is_started:
            self._is_started = True
            self._loop.spawn(self._host, f"ajobs {self.kind} runner")

        if not self._opened.is_set():
            await emit.in_task()
            await self._opened.wait()

        if self._error is not None:
            raise self._error

        return await self._runner.run(spec, emit)

    async def _host(self) -> None:
        # Shielded: jobs are stopped before their place is closed, in whatever way.
        with self._loop.scope():
            try:
                async with self._runner:
                    self._opened.set()
                    await until_set(self._closing)
            except BaseException as exc:  # noqa: BLE001  # the jobs raise it
                self._error = exc
                self._opened.set()

    def close(self) -> None:
        """Close the runner; its task ends when that is done."""
        self._closing.set()
