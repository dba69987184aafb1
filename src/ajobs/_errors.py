"""Every error that ajobs raises, in one tree, and who is at fault in each.

This file knows no other part of the library: an error carries text and plain data only. It
imports nothing, since a worker may load it in whatever moment a stop comes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = (
    "AjobsError",
    "DeadlockError",
    "ForeachErrors",
    "ForeachTimeout",
    "InvalidTransition",
    "ItemTimeout",
    "JobAborted",
    "JobError",
    "JobNotFinished",
    "JobNotFound",
    "JobStopped",
    "JobStuck",
    "JobTimeout",
    "NoCurrentJob",
    "OutputLimitExceeded",
    "PayloadError",
    "RemoteError",
    "RunnerUnavailable",
    "SessionClosed",
    "StopRequested",
    "WorkerDied",
)


class AjobsError(Exception):
    """The root of all errors of ajobs but `StopRequested` and `ForeachErrors`."""


class JobError(AjobsError):
    """One job has no value to give, or cannot be used so."""


class JobNotFinished(JobError):
    """The caller asked for an end that has not come: wait for the job first, or use force."""


class JobNotFound(JobError, LookupError):
    """No job, or more than one, of this session answers to that id or name."""

    def __str__(self) -> str:
        """Return the message; a `KeyError`-like quoting would make it unreadable."""
        return str(self.args[0]) if self.args else ""


class JobStopped(JobError):
    """The job was stopped, so it has no value; what it wrote before can still be received."""


class JobTimeout(JobError, TimeoutError):
    """The job ran longer than its `timeout` and was ended."""


class JobAborted(JobError):
    """The job's code ended by an exception that must not leave it.

    `SystemExit`, `GeneratorExit`, or a cancellation that did not come from `stop`. The
    exception itself is the `__cause__`.
    """


class JobStuck(JobError):
    """The job was stopped, its grace is over, and its code still runs.

    A thread cannot be ended from outside: let its function call `ajobs.check_stop()`, or run
    it as a process job.
    """


class OutputLimitExceeded(JobError):
    """The job wrote more than its `output_limit` allows and nobody took it."""


class PayloadError(JobError):
    """Something cannot travel between the caller and the place where the job runs.

    Arguments are refused at the call that brought them; a result that cannot be sent, or
    not be loaded on arrival, fails its job. The message names the part that is at fault.
    """


class RemoteError(JobError):
    """The job's code raised an exception that cannot be raised here as what it was.

    Its class does not survive a round trip through pickle, or exists only where the job ran.

    Attributes:
        type_name: The name of its class, with its module.
        message: Its text.
    """

    def __init__(self, type_name: str, message: str) -> None:
        """Keep the name of the class and the text."""
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        """Return what the last line of a traceback would say."""
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class RunnerUnavailable(AjobsError, RuntimeError):
    """Jobs of this kind cannot run here; the message says what is missing."""


class WorkerDied(JobError):
    """The process that ran the job ended before the job did.

    Attributes:
        returncode: Its exit code; -N if signal N killed it; None if it is not known, because
            something else in this program collected it.
        stderr: The last lines that it wrote to its standard error.
    """

    def __init__(
        self, message: str, returncode: int | None = None, stderr: Sequence[str] = ()
    ) -> None:
        """Keep *message* for people, and the rest for programs."""
        super().__init__(message)
        self.returncode = returncode
        self.stderr = tuple(stderr)


class DeadlockError(AjobsError):
    """A job waits for itself, directly or through others, and no wait in the ring can end."""


class NoCurrentJob(AjobsError, LookupError):
    """The call belongs inside a job (or a session), and this code does not run in one."""


class SessionClosed(AjobsError, RuntimeError):
    """The session takes no jobs: it is stopping, has closed, or was not entered."""


class InvalidTransition(AjobsError, RuntimeError):
    """A job was moved against the table of states: a bug in ajobs or in a runner."""


class ForeachTimeout(AjobsError, TimeoutError):
    """A `parallel_foreach` ran longer than its `timeout`.

    Attributes:
        not_run: How many items of the input had not ended; None when the input does not say
            how many it has and was not read to its end.
    """

    def __init__(self, message: str, not_run: int | None = None) -> None:
        """Keep *message* for people and *not_run* for programs."""
        super().__init__(message)
        self.not_run = not_run


class ItemTimeout(AjobsError, TimeoutError):
    """One item of a `parallel_foreach` ran longer than `item_timeout`."""


class ForeachErrors(ExceptionGroup[Exception]):
    """Some items of a `parallel_foreach` failed; the others were finished.

    Attributes:
        results: The values of the items that succeeded, in the order of the awaited list.
        failed: How many items failed; the group holds the first 1,000 of their errors.
        not_run: How many items of the input did not end, as far as that is known.
    """

    results: list[Any]
    failed: int
    not_run: int

    def __new__(
        cls,
        message: str,
        exceptions: Sequence[Exception],
        results: list[Any] | None = None,
        failed: int | None = None,
        not_run: int = 0,
    ) -> ForeachErrors:
        """Make the group; *failed* defaults to the number of *exceptions*."""
        self = super().__new__(cls, message, exceptions)
        self.results = [] if results is None else results
        self.failed = len(exceptions) if failed is None else failed
        self.not_run = not_run
        return self

    def derive(self, excs: Sequence[Exception], /) -> ForeachErrors:  # type: ignore[override]  # typeshed types the general group, this one holds exceptions only
        """Return a group over *excs* with the same results and counts."""
        return ForeachErrors(self.message, excs, self.results, self.failed, self.not_run)


class StopRequested(BaseException):
    """Raised inside a job by `ajobs.check_stop()` once the job was asked to stop.

    Not an `Exception`, so that a job's own ``except Exception`` does not swallow its stop.
    """
