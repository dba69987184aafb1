"""`parallel_foreach` as a job: a parent that counts, and children for the items to look at."""

from __future__ import annotations

from collections.abc import Sized
from contextvars import Context
from typing import Any, Final

from .._checks import command_of
from .._errors import JobStopped, JobTimeout
from .._job import Job, Keeper
from .._loop import Loop
from .._records import Progress, Stream
from .._runner import Emit, Runner
from .._spec import JobOptions, JobSpec
from .._state import JobState
from .call import Foreach
from .children import Children, WatchedResults
from .counts import PROGRESS_ID, ForeachCounts, Rate
from .failures import cut_traceback
from .plan import Call
from .run import Run
from .source import SyncSource

#: Seconds from one progress record to the next.
TICK: Final = 0.5


class Watch:
    """What is known of a foreach job, from its start until long after its end.

    Called as a function of no arguments it stands for the job's function; nobody does.
    """

    def __init__(self, call: Call, *, is_kept: bool) -> None:
        self.call: Call | None = call
        #: Progress records would keep a job in the table that is to leave it once it was read.
        self.writes_progress = is_kept
        self.run: WatchedRun | None = None
        self.place = call.plan.runner
        self.activity = command_of(call.plan.fn)
        iterable = call.plan.iterable
        total = len(iterable) if isinstance(iterable, Sized) else None
        self._counts = ForeachCounts(total=total, not_run=total)
        self._children: tuple[Job[Any], ...] = ()

    def __call__(self) -> None:
        raise TypeError("a foreach job is started by Session.start_foreach")

    @property
    def counts(self) -> ForeachCounts:
        """How far the items are."""
        return self._counts if self.run is None else self.run.counts()

    @property
    def children(self) -> tuple[Job[Any], ...]:
        """The items that run, and those that failed."""
        return self._children if self.run is None else self.run.children.look()

    def close(self) -> None:
        """Keep what is known, and let go of the rest: the items have ended."""
        run = self.run
        if run is not None:
            run.children.all_over()
            self._counts = run.counts()
            self._children = run.children.look()

        self.run = self.call = None


class WatchedRun(Run):
    """A run that says what becomes of its items."""

    __slots__ = ("_emit", "_rate", "_total", "_watch", "children")

    def __init__(self, call: Call, loop: Loop, watch: Watch, emit: Emit, grace: float) -> None:
        super().__init__(call.plan, loop, is_streamed=True)
        self.is_timed = True
        self.children = Children(self, grace)
        self.results = WatchedResults(self.results, self.children)
        self._watch = watch
        self._emit = emit
        self._rate = Rate()
        self._total: int | None = None

    def start(self, place: Any) -> None:
        if isinstance(self.source, SyncSource):
            self._emit.begin()

        super().start(place)
        self._watch.run = self
        self._emit.on_stop(self._stop_with_job)
        self._emit.on_deadline(place.hurry)
        self._tick()

    def _wake_place(self) -> None:
        # An item has come: that is where the job begins when the input is a slow one.
        self._emit.begin()
        super()._wake_place()

    def item_failed(self, index: int, item: object, error: Exception) -> None:
        cut_traceback(error)
        self.children.failed(index, item, error)
        super().item_failed(index, item, error)

    def stop(self, deadline: float | None = None) -> None:
        if not self.is_stopping:
            # Once the input is closed, nobody knows what it would have given.
            self._total = self.total
            self.children.all_told()

        super().stop(deadline)

    def _stop_with_job(self) -> None:
        self.stop(self._emit.stop_deadline)

    def _tick(self) -> None:
        self._rate.note(self.loop.time(), self.ended)
        if self.taken:
            self.tell(done=False)

        if not self.is_over:
            self.loop.call_at(self.loop.time() + TICK, self._tick)

    def tell(self, *, done: bool) -> None:
        """Write how far the items are."""
        if self._watch.writes_progress:
            self._emit(Stream.PROGRESS, self.counts().progress(self._watch.activity, done=done))

    def counts(self) -> ForeachCounts:
        """Count what there is to be counted."""
        total = self._total if self.is_stopping else self.total
        failed, stopped = self.failures.count, self.children.stopped
        running = sum(1 for _ in self.place.at_work())
        left = None if total is None else max(0, total - self.ended)
        rate = self._rate.per_second(self.loop.time(), self.ended)
        return ForeachCounts(
            total=total,
            completed=self.ended - failed - stopped,
            failed=failed,
            stopped=stopped,
            running=running,
            not_run=None if left is None else max(0, left - running),
            per_second=rate,
            seconds_remaining=left / rate if left is not None and rate else None,
        )


class WatchedForeach(Foreach[Any]):
    """A `parallel_foreach` whose run is watched."""

    def __init__(self, call: Call, watch: Watch, emit: Emit, grace: float) -> None:
        super().__init__(call)
        self._watch = watch
        self._emit = emit
        self._grace = grace

    def _make_run(self, loop: Loop, *, is_streamed: bool) -> Run:
        return WatchedRun(self._call, loop, self._watch, self._emit, self._grace)


class ForeachRunner(Runner):
    """Runs the items of foreach jobs, in whatever place each of them asks for."""

    kind = "foreach"

    def __init__(self, stop_grace: float) -> None:
        """Give children that are stopped *stop_grace* seconds."""
        self._grace = stop_grace

    async def run(self, spec: JobSpec, emit: Emit) -> None:
        """Run all items, and write their results."""
        watch: Any = spec.fn
        try:
            async with WatchedForeach(watch.call, watch, emit, self._grace) as results:
                async for value in results:
                    emit(Stream.OUTPUT, value)
                    if emit.is_full:
                        await emit.room()
        finally:
            if watch.run is not None and watch.run.taken:
                watch.run.tell(done=True)

            watch.close()


class ForeachJob(Job[None]):
    """A `parallel_foreach` as a job: `Session.start_foreach`.

    What the items give is its output. Its `children` are the items that run and the first
    1,000 that failed; to stop one of them is to stop its item alone.
    """

    __slots__ = ("_watch",)

    def __init__(self, keeper: Keeper, runner: Any, spec: JobSpec, context: Context) -> None:
        """Make a job that is not started; only sessions do that."""
        super().__init__(keeper, runner, spec, context)
        self._watch: Any = spec.fn

    @property
    def location(self) -> str:
        """The machine where its items run."""
        return str(self._watch.place.location)

    @property
    def children(self) -> tuple[Job[Any], ...]:
        """The items that run, and those that failed."""
        children: tuple[Job[Any], ...] = self._watch.children
        return children

    @property
    def counts(self) -> ForeachCounts:
        """How many items there are, have ended, run, and how fast they end."""
        counts: ForeachCounts = self._watch.counts
        return counts

    @property
    def progress(self) -> tuple[Progress, ...]:
        """How far its items are, and below that the progress that they write themselves."""
        own = () if self.is_finished else (self._watch.counts.progress(self.command, done=False),)
        return (*own, *(one for one in super().progress if one.id != PROGRESS_ID))

    @property
    def status_message(self) -> str:
        """One line on where it stands: while it runs how far it is, after a stop what is left."""
        if self.state is JobState.STOPPED:
            return self.counts.left_text()

        if self.state in (JobState.RUNNING, JobState.BLOCKED):
            return self.counts.text()

        if isinstance(self.unseen_reason, JobTimeout):
            return f"{super().status_message}; {self.counts.left_text()}"

        return super().status_message

    def failure(self) -> BaseException | None:
        """Return what to raise at a reader; a stop tells what it has left."""
        failure = super().failure()
        if isinstance(failure, JobStopped):
            return JobStopped(f"{failure}: {self.counts.left_text()}")

        return failure

    def finish(self, state: JobState, value: Any, reason: BaseException | None) -> None:
        """Come to the final state."""
        if isinstance(reason, JobTimeout):
            reason.add_note(f"ajobs: {self.counts.left_text()}")

        self._watch.close()
        super().finish(state, value, reason)


def foreach_spec(call: Call, options: JobOptions) -> JobSpec:
    """Return what a `ForeachRunner` is to run."""
    watch = Watch(call, is_kept=not options.auto_remove)
    return JobSpec(watch, (), options, command_of(call.plan.fn))
