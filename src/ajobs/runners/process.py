"""Jobs in processes of their own: warm workers, started, talked to and ended by us."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from .._checks import count, seconds
from .._child import check_directory, check_environment, check_platform
from .._errors import RunnerUnavailable
from .._place import Rules
from .._pooled import PooledRunner, cpus
from .._process import WorkerProcess
from .._records import Stream
from .._worker import boot

__all__ = ("ProcessRunner",)


class ProcessRunner(PooledRunner):
    """Runs functions in worker processes, which it starts, uses again and ends.

    Workers are fresh interpreters, never forks, and import the function's module, not your
    ``__main__``: a script needs no guard. Functions and arguments are pickled at `start`, by
    value where they exist only there (lambdas, closures, what ``__main__`` defines).

    A stop asks, then insists: code that looks at `ajobs.stop_requested` ends by itself,
    other code gets `StopRequested` raised in its main thread, an async function is cancelled;
    what still runs when the grace is over is killed with all that it has started.
    """

    kind = "process"
    _out = Stream.INFORMATION

    def __init__(
        self,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_jobs_per_worker: int | None = None,
        idle_timeout: float | None = 60.0,
        start_timeout: float | None = 60.0,
        max_memory: int | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        context: Iterable[ContextVar[Any]] = (),
        max_depth: int | None = 3,
    ) -> None:
        """Make a runner. It runs jobs while it is entered.

        Args:
            max_workers: Most jobs at once; the others are not started. None: one for each
                CPU that this process may use.
            initializer: Called in each worker before its first job, which fails by what it
                raises.
            initargs: Its arguments.
            max_jobs_per_worker: After so many jobs another worker takes the place; None:
                never.
            idle_timeout: Seconds without a job after which a worker ends; None: never.
            start_timeout: Seconds in which a new worker has to be ready for its first job,
                which fails otherwise; None: any time.
            max_memory: Bytes of resident memory beyond which a worker gets no other job;
                None: any.
            cwd: The directory in which jobs begin; None: the caller's at `start`.
            env: Their whole environment; None: this process's own.
            context: Context variables whose values at `start` jobs get. Each must be an
                attribute of a module that workers can import.
            max_depth: How deep workers may be nested, by jobs that start such jobs, which start
                such jobs; None: any depth.

        Raises:
            RunnerUnavailable: This system cannot keep workers so, or they are nested deeper
                than *max_depth*.
            FileNotFoundError: *cwd* does not exist.
            PayloadError: *initializer* cannot be sent.
            ValueError: A number is out of range, or a context variable cannot be found.
            TypeError: *initializer* is an async function or cannot be called.
        """
        check_platform("process jobs")
        if not sys.executable:
            raise RunnerUnavailable(
                "process jobs need a Python to start, and this program, which has Python built "
                "in, does not know one: set sys.executable, or use runner='thread'"
            )

        _refuse_nesting(count(max_depth, "max_depth"))
        count(max_workers, "max_workers")
        count(max_jobs_per_worker, "max_jobs_per_worker")
        count(max_memory, "max_memory")
        rules = Rules(
            max_workers or cpus(),
            max_jobs=max_jobs_per_worker or math.inf,
            idle_timeout=seconds(idle_timeout, "idle_timeout"),
            max_memory=max_memory or math.inf,
        )
        self._start_timeout = seconds(start_timeout, "start_timeout", zero=False)
        self._env = check_environment(env)
        super().__init__(rules, initializer, initargs, context, check_directory(cwd))

    def _make(self) -> WorkerProcess:
        return WorkerProcess(self._setup, self._env, self._out, self._start_timeout)

    @property
    def workers(self) -> int:
        """How many worker processes there are."""
        return self._size()


def _refuse_nesting(most: int | None) -> None:
    """Refuse to start workers in workers in workers: each level has one for each CPU."""
    if most is not None and boot.depth >= most:
        raise RunnerUnavailable(
            f"process jobs are not started here, {boot.depth} workers deep: jobs that start "
            f"process jobs, which start process jobs, would soon be too many. Start these with "
            f"runner='thread' or further out, or allow more: ProcessRunner(max_depth=...)"
        )
