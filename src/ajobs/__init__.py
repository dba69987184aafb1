"""PowerShell's background jobs for async Python, on asyncio and trio.

The names below are loaded when they are first used: a worker process that only writes to its
streams does not load the event loop's side of the library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import blocking
    from ._bench import BenchReport, bench
    from ._capture import capture
    from ._context import (
        check_stop,
        cleanup,
        job_input,
        stop_requested,
        write_debug,
        write_error,
        write_information,
        write_output,
        write_progress,
        write_verbose,
        write_warning,
    )
    from ._errors import (
        AjobsError,
        DeadlockError,
        ForeachErrors,
        ForeachTimeout,
        InvalidTransition,
        ItemTimeout,
        JobAborted,
        JobError,
        JobNotFinished,
        JobNotFound,
        JobStopped,
        JobStuck,
        JobTimeout,
        NoCurrentJob,
        OutputLimitExceeded,
        PayloadError,
        RemoteError,
        RunnerUnavailable,
        SessionClosed,
        StopRequested,
        WorkerDied,
    )
    from ._foreach import Outcome, parallel_foreach
    from ._foreach.job import ForeachJob
    from ._hosted import open_session
    from ._job import Job
    from ._reading import Receipt
    from ._records import Progress, Record, StateChange, Stream
    from ._runner import Emit, Runner
    from ._session import Session, current_job, current_session
    from ._showing import show_progress
    from ._spec import JobSpec
    from ._state import JobState
    from ._track import track
    from ._waiting import WaitResult, as_completed, wait_all, wait_any
    from .runners.interpreter import InterpreterRunner
    from .runners.process import ProcessRunner
    from .runners.task import TaskRunner
    from .runners.thread import ThreadRunner

__all__ = [
    "AjobsError",
    "BenchReport",
    "DeadlockError",
    "Emit",
    "ForeachErrors",
    "ForeachJob",
    "ForeachTimeout",
    "InterpreterRunner",
    "InvalidTransition",
    "ItemTimeout",
    "Job",
    "JobAborted",
    "JobError",
    "JobNotFinished",
    "JobNotFound",
    "JobSpec",
    "JobState",
    "JobStopped",
    "JobStuck",
    "JobTimeout",
    "NoCurrentJob",
    "Outcome",
    "OutputLimitExceeded",
    "PayloadError",
    "ProcessRunner",
    "Progress",
    "Receipt",
    "Record",
    "RemoteError",
    "Runner",
    "RunnerUnavailable",
    "Session",
    "SessionClosed",
    "StateChange",
    "StopRequested",
    "Stream",
    "TaskRunner",
    "ThreadRunner",
    "WaitResult",
    "WorkerDied",
    "as_completed",
    "bench",
    "blocking",
    "capture",
    "check_stop",
    "cleanup",
    "current_job",
    "current_session",
    "job_input",
    "open_session",
    "parallel_foreach",
    "show_progress",
    "stop_requested",
    "track",
    "wait_all",
    "wait_any",
    "write_debug",
    "write_error",
    "write_information",
    "write_output",
    "write_progress",
    "write_verbose",
    "write_warning",
]

#: The module of each public name; "." for one that is a module itself.
_HOMES = {
    "AjobsError": "._errors",
    "BenchReport": "._bench",
    "DeadlockError": "._errors",
    "Emit": "._runner",
    "ForeachErrors": "._errors",
    "ForeachJob": "._foreach.job",
    "ForeachTimeout": "._errors",
    "InterpreterRunner": ".runners.interpreter",
    "InvalidTransition": "._errors",
    "ItemTimeout": "._errors",
    "Job": "._job",
    "JobAborted": "._errors",
    "JobError": "._errors",
    "JobNotFinished": "._errors",
    "JobNotFound": "._errors",
    "JobSpec": "._spec",
    "JobState": "._state",
    "JobStopped": "._errors",
    "JobStuck": "._errors",
    "JobTimeout": "._errors",
    "NoCurrentJob": "._errors",
    "Outcome": "._foreach",
    "OutputLimitExceeded": "._errors",
    "PayloadError": "._errors",
    "ProcessRunner": ".runners.process",
    "Progress": "._records",
    "Receipt": "._reading",
    "Record": "._records",
    "RemoteError": "._errors",
    "Runner": "._runner",
    "RunnerUnavailable": "._errors",
    "Session": "._session",
    "SessionClosed": "._errors",
    "StateChange": "._records",
    "StopRequested": "._errors",
    "Stream": "._records",
    "TaskRunner": ".runners.task",
    "ThreadRunner": ".runners.thread",
    "WaitResult": "._waiting",
    "WorkerDied": "._errors",
    "as_completed": "._waiting",
    "bench": "._bench",
    "blocking": ".",
    "capture": "._capture",
    "check_stop": "._context",
    "cleanup": "._context",
    "current_job": "._session",
    "current_session": "._session",
    "job_input": "._context",
    "open_session": "._hosted",
    "parallel_foreach": "._foreach",
    "show_progress": "._showing",
    "stop_requested": "._context",
    "track": "._track",
    "wait_all": "._waiting",
    "wait_any": "._waiting",
    "write_debug": "._context",
    "write_error": "._context",
    "write_information": "._context",
    "write_output": "._context",
    "write_progress": "._context",
    "write_verbose": "._context",
    "write_warning": "._context",
}


def __getattr__(name: str) -> Any:
    """Load the public *name*, once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    home = _HOMES[name]
    if home == ".":
        return import_module(f".{name}", __name__)

    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return __all__
