"""What has to hold after every injection, and the spies that see it.

It looks into ajobs where nobody else may: at places, timers and watchers that are no longer
needed and must be gone.
"""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import ajobs
from ajobs._engine import Engine
from tests.conftest import footprint, left_since


class Hang(BaseException):
    """A run did not come to its end."""


@contextmanager
def no_hang(seconds: float) -> Generator[None]:
    """Raise `Hang` out of whatever runs after *seconds*; only a signal ends a shielded wait."""

    def ring(signum: int, frame: FrameType | None) -> None:
        raise Hang(f"not ended after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 2)  # again, if leaving hangs too
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def ctrl_c_comes_later() -> Generator[None]:
    """Raise a Ctrl-C of whoever runs the tests after the block, in which it would pass for ours."""
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt


@contextmanager
def unraisable_in(found: list[str]) -> Generator[None]:
    """Add to *found* what Python cannot raise in the block, such as warnings of what it frees."""

    def hook(what: Any) -> None:
        found.append(f"unraisable: {what.exc_value!r} in {what.object!r}")

    with patch.object(sys, "unraisablehook", hook):
        yield


class Spy(logging.Handler):
    """Sees every job, every engine, and what is logged or lost while a run is on."""

    def __init__(self) -> None:
        super().__init__(logging.CRITICAL)
        self.jobs: list[ajobs.Job[Any]] = []
        self.engines: list[Engine] = []
        self.ends: Counter[int] = Counter()
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        self.problems.append(f"logged: {record.getMessage()} {exc!r}")

    @contextmanager
    def looking(self) -> Generator[None]:
        """See what happens inside the block."""
        make_job, make_engine, finish = ajobs.Job.__init__, Engine.__init__, ajobs.Job.finish

        def job_made(job: Any, *args: Any, **options: Any) -> None:
            make_job(job, *args, **options)
            self.jobs.append(job)

        def engine_made(engine: Any, *args: Any, **options: Any) -> None:
            make_engine(engine, *args, **options)
            self.engines.append(engine)

        def finished(job: Any, *args: Any) -> None:
            self.ends[job.id] += 1
            finish(job, *args)

        with ExitStack() as stack:
            for owner, name, spy in (
                (ajobs.Job, "__init__", job_made),
                (ajobs.Job, "finish", finished),
                (Engine, "__init__", engine_made),
            ):
                stack.enter_context(patch.object(owner, name, spy))

            stack.enter_context(unraisable_in(self.problems))
            log = logging.getLogger("ajobs")
            log.addHandler(self)
            stack.callback(log.removeHandler, self)
            yield

    def wrong(self) -> Iterator[str]:
        """Say what does not hold at the end of a run."""
        yield from self.problems
        for job in self.jobs:
            yield from self._wrong_with_job(job)

        for engine in self.engines:
            yield from _wrong_with_engine(engine)

    def _wrong_with_job(self, job: Any) -> Iterator[str]:
        ends = self.ends[job.id]
        if ends != 1 or not job.is_finished or not job.state.finished:
            yield f"{job!r} came to {ends} ends"

        if job.end_time is None:
            yield f"{job!r} has no end_time"

        if job.is_watched or (job._log is not None and job._log.listeners):
            yield f"{job!r} is still watched by {job.watchers()} {job._log and job._log.listeners}"

        if job._log is not None and job._log.has_room_waiters:
            yield f"{job!r} has writers that wait for room"


def _wrong_with_engine(engine: Any) -> Iterator[str]:
    counts = {
        "running": engine._running,
        "spares": engine._spares,
        "unfinished": engine.unfinished,
        "queue": len(engine._queue),
        "runs": len(engine._runs),
        "tasks": engine.loop._live,
        "left behind": len(engine.left_behind),
    }
    if any(counts.values()):
        yield f"the engine holds { ({name: n for name, n in counts.items() if n}) }"


@contextmanager
def nothing_left(found: list[str]) -> Generator[None]:
    """Add to *found* what the block leaves behind: descriptors, threads, children, files."""
    before = footprint()
    with tempfile.TemporaryDirectory() as place, patch.object(tempfile, "tempdir", place):
        yield
        found += [f"left behind: file {path.name}" for path in Path(place).iterdir()]

    found += [f"left behind: {one}" for one in left_since(before)]
