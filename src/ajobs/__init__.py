"""PowerShell's background jobs for async Python, on asyncio and trio."""

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
