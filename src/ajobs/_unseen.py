"""The failures that nobody has seen yet, and how the end of a session tells of them.

The newest of a million failures say no more than the first thousand, so these are kept and
all are counted. This file knows jobs, not sessions.
"""

from __future__ import annotations

from typing import Any

from ._job import Job
from ._logs import logger
from ._text import clean, line_of

#: Unseen failures kept for the group at the end; the others are counted.
KEPT_FAILURES = 1000


class UnseenFailures:
    """Jobs that failed while nobody looked."""

    def __init__(self) -> None:
        """Begin with none."""
        self._jobs: dict[Job[Any], None] = {}
        self._count = 0

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return self._count > 0

    def add(self, job: Job[Any]) -> None:
        """*job* has failed."""
        self._count += 1
        if len(self._jobs) < KEPT_FAILURES:
            self._jobs[job] = None

    def discard(self, job: Job[Any]) -> None:
        """Somebody has seen that *job* failed."""
        self._count -= 1
        self._jobs.pop(job, None)

    def group(self, owner: str) -> ExceptionGroup:
        """Return them as one exception; *owner* says whose jobs they are."""
        jobs = f"{self._count} job{'s' if self._count > 1 else ''}"
        reasons = []
        for job in tuple(self._jobs):
            reason = job.failure()
            assert isinstance(reason, Exception)
            reason.add_note(f"in {job.label()} ({job.command})")
            reasons.append(reason)

        return ExceptionGroup(f"{jobs} of {owner} failed and nobody looked", reasons)

    def attach(self, ended_by: BaseException) -> None:
        """Note them on *ended_by*, which ends the session, and in the log."""
        for job in self._jobs:
            reason = job.unseen_reason
            note = f"{job.label()} ({clean(job.command)}) had failed: {line_of(reason)}"
            ended_by.add_note(note)
            logger().error("%s", note)

        if self._count > len(self._jobs):
            ended_by.add_note(f"{self._count} jobs had failed in all")
