"""PowerShell's background jobs for async Python, on asyncio and trio."""

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
    InvalidTransition,
    JobAborted,
    JobError,
    JobNotFinished,
    JobNotFound,
    JobStopped,
    JobStuck,
    JobTimeout,
    NoCurrentJob,
    OutputLimitExceeded,
    SessionClosed,
    StopRequested,
)
from ._hosted import open_session
from ._job import Job
from ._reading import Receipt
from ._records import Progress, Record, StateChange, Stream
from ._runner import Emit, Runner
from ._session import Session, current_job, current_session
from ._spec import JobSpec
from ._state import JobState
from ._waiting import WaitResult, as_completed, wait_all, wait_any
from .runners.task import TaskRunner
from .runners.thread import ThreadRunner

__all__ = [
    "AjobsError",
    "DeadlockError",
    "Emit",
    "InvalidTransition",
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
    "OutputLimitExceeded",
    "Progress",
    "Receipt",
    "Record",
    "Runner",
    "Session",
    "SessionClosed",
    "StateChange",
    "StopRequested",
    "Stream",
    "TaskRunner",
    "ThreadRunner",
    "WaitResult",
    "as_completed",
    "capture",
    "check_stop",
    "cleanup",
    "current_job",
    "current_session",
    "job_input",
    "open_session",
    "stop_requested",
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
