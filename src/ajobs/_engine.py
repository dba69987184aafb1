"""The engine of a session: the queue, the tasks that run jobs, the throttle, and stopping.

Jobs that never wait share one task; a job that does wait keeps the task to itself, and the
next queued jobs get others. This file decides when code runs and is told to end; what becomes
of a run that has ended is `Settler`'s business.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from functools import partial
from time import time
from typing import Any

from anyio.lowlevel import checkpoint, current_token

from ._context import enter_context
from ._drive import NEEDS_TASK, Pause, Waker, resume
from ._job import Job
from ._logs import logger
from ._loop import CurrentTask, Loop
from ._run import JobRun
from ._runner import Runner
from ._settling import Owner, Settler
from ._spec import JobSpec
from ._state import Demand, JobState
from ._text import clean

# Looked up once: on Python 3.11 reading a member off its class costs as much as a call.
NOT_STARTED = JobState.NOT_STARTED

#: Jobs that do not wait run one after the other in one turn of the loop, this long at most.
BURST_SECONDS = 0.005

#: Jobs that wait at the same time from which on tasks are started ahead of need.
MANY_WAIT = 32

#: Seconds past the grace in which places that can end code by force are waited for, and in
#: which those that cannot are left.
LEAVE_SECONDS = 0.25

#: Seconds within which two starts may be given one time.
SAME_MOMENT = 0.001

#: The clock is looked at after this many of them.
BURST_JOBS = 32


class Engine(Settler):
    """Runs jobs on one loop, at most *throttle* at once."""

    def __init__(self, loop: Loop, throttle: float, stop_grace: float, owner: Owner) -> None:
        """Make an engine on *loop*, which its owner enters and leaves."""
        super().__init__(loop, stop_grace, owner)
        self.token = current_token()
        self.is_draining = False
        self._throttle = throttle
        #: Tasks that have no job yet, and callbacks that will begin some.
        self._spares = 0
        self._queue: deque[Job[Any]] = deque()
        #: Runs whose code waits.
        self._runs: dict[JobRun, None] = {}
        #: What the clock said lately: the jobs that are started in one turn of the loop share
        #: one look at it, and one number.
        self._now = 0.0

    # Starting

    def add(self, job: Job[Any]) -> None:
        """Queue *job*."""
        self._queue.append(job)
        self.unfinished += 1
        if not self._spares:
            now = time()
            if not 0.0 <= now - self._now < SAME_MOMENT:
                self._now = now

            if job._runner.needs_task or self.loop.call_next is None:
                self._call_worker()
            elif self._running < self._throttle:
                self._spares += 1
                self.loop.call_next(self._begin)

        job.queued_seconds = self._now

    @property
    def throttle(self) -> float:
        """Most jobs that run at once."""
        return self._throttle

    @throttle.setter
    def throttle(self, value: float) -> None:
        self._throttle = value
        self._call_worker()

    def _call_worker(self, most: int = 1) -> None:
        """See to it that tasks, *most* at most, are on their way for the next queued jobs."""
        room = self._throttle - self._running
        while self._spares < min(most, len(self._queue), room):
            self._spares += 1
            self.loop.spawn_worker(self._work)

    async def _work(self) -> None:  # the one loop that runs everything
        loop = self.loop
        burst_end = loop.time() + BURST_SECONDS
        in_burst = 0
        is_spare = True
        try:
            await loop.entered()
            task = loop.current_task()
            with loop.scope() as scope:
                while is_spare and (job := self._next()) is not None:
                    run = JobRun(job, self, scope)
                    if not self._take_first_step(run):
                        is_spare = False
                        self._give_task(run, task)
                        await self._finish(run)
                    elif run.demand is not None or task.is_spoiled() or loop.one_job_per_task:
                        break
                    elif (in_burst := in_burst + 1) == BURST_JOBS:
                        in_burst = 0
                        if loop.time() > burst_end:
                            await checkpoint()
                            burst_end = loop.time() + BURST_SECONDS
        finally:
            # Also when somebody cancels the task before a job has it: the next job needs one.
            if is_spare:
                self._spares -= 1

            if self._queue:
                self._call_worker()

    async def _finish(self, run: JobRun) -> None:
        """Wait for *run*, whatever comes."""
        value, error = None, None
        try:
            value = await resume(run.coro, run.context, run.yielded)
        except BaseException as exc:  # noqa: BLE001  # judged by conclude
            error = exc

        del self._runs[run]
        self.conclude(run, value, error)

    def _give_task(self, run: JobRun, task: CurrentTask) -> None:
        """Note that *run* has to wait: its task is its own from now on."""
        run.task = task
        self._runs[run] = None
        task.rename(run.job.name)
        self._spares -= 1
        if self._queue:
            # While few jobs wait, one further task at a time serves best: they may go on at
            # the next turn. Once many do, each that has to wait calls two others, so that
            # thousands are on their way after few turns.
            self._call_worker(1 if len(self._runs) < MANY_WAIT else self._spares + 2)

    def _next(self) -> Job[Any] | None:
        queue = self._queue
        while queue and self._running < self._throttle:
            job = queue.popleft()
            if job._state is NOT_STARTED:
                self._running += 1
                return job

        return None

    def _take_first_step(self, run: JobRun) -> bool:
        """Begin *run*; return whether it needs no task: it has ended already, or pauses."""
        job = run.job
        spec, run.context = job.take_up(run)
        try:
            has_ended = run.context.run(_enter, run, job._runner, spec)
        except BaseException as exc:  # noqa: BLE001  # judged by conclude; nothing may leave a job
            self.conclude(run, None, exc)
            return True

        if has_ended:
            self.conclude(run, run.yielded, None)
        elif type(run.yielded) is Pause:
            self._pause(run, run.yielded)
            return True

        return has_ended

    # Without a task

    def _begin(self) -> None:
        """Begin queued jobs as long as they need no task."""
        self._spares -= 1
        for _ in range(BURST_JOBS):
            job = self._next()
            if job is None:
                return

            if job._runner.needs_task:
                self._running -= 1
                self._queue.appendleft(job)
                break

            run = JobRun(job, self, None)
            run.is_adrift = True
            if not self._take_first_step(run):
                self._runs[run] = None
                self._give_new_task(run)

        if self._queue:
            self._call_worker()

    def _pause(self, run: JobRun, pause: Pause) -> None:
        """Let *run* wait until something has come for it, or it is to end."""
        run.is_adrift = True
        self._runs[run] = None
        run.scope = _Paused(self, run, pause.wakeup)
        pause.wakeup.call(lambda: self._woken(run, pause))

    def _woken(self, run: JobRun, pause: Pause) -> None:
        if not run.context.run(pause.take):
            self.go_on(run, is_to_wait=False)
            return

        value, error = None, None
        try:
            run.yielded = run.context.run(run.coro.send, False)  # see Pause
        except StopIteration as end:
            value = end.value
        except BaseException as exc:  # noqa: BLE001  # judged by conclude
            error = exc
        else:
            self._give_new_task(run)
            return

        self._conclude_paused(run, value, error)

    def _conclude_paused(self, run: JobRun, value: Any, error: BaseException | None) -> None:
        del self._runs[run]
        self.conclude(run, value, error)
        if self._queue:
            self._call_worker()

    def go_on(self, run: JobRun, *, is_to_wait: bool) -> None:
        """Give *run*, which pauses, a task of its own, in which it is to wait if need be."""
        run.scope = None
        self.loop.spawn_worker(self._work_on, run, is_to_wait, name=run.job.name)

    def _give_new_task(self, run: JobRun) -> None:
        run.scope = None
        answer = True if run.yielded is NEEDS_TASK else None
        self.loop.spawn_worker(self._work_on, run, answer, name=run.job.name)

    async def _work_on(self, run: JobRun, answer: bool | None) -> None:
        """Take *run* to its end; *answer* is what it was promised when it yielded, if anything."""
        step = None if answer is None else partial(run.coro.send, answer)
        try:
            await self.loop.entered()
        except BaseException as exc:  # noqa: BLE001  # the job's call gets it
            step = partial(run.coro.throw, exc)

        run.may_pause = run.is_adrift = False
        run.task = self.loop.current_task()
        value, error = None, None
        with self.loop.scope() as scope:
            run.scope = scope
            if run.demand is not None:
                scope.cancel()

            try:
                if step is not None:
                    run.yielded = run.context.run(step)

                value = await resume(run.coro, run.context, run.yielded)
            except StopIteration as end:
                value = end.value
            except BaseException as exc:  # noqa: BLE001  # judged by conclude
                error = exc

            self._conclude_paused(run, value, error)

    # Stopping

    def stop(self, job: Job[Any], grace: float) -> None:
        """Tell *job* to end; return at once."""
        if isinstance(job.run, JobRun):
            job.run.end(Demand.STOP, grace)
        elif not job.is_finished:
            self.end_unbegun(job)

    def stop_all(self, grace: float) -> None:
        """Tell all jobs to end; the queued ones never run."""
        while self._queue:
            self.stop(self._queue.popleft(), grace)

        for run in tuple(self._runs):
            run.end(Demand.STOP, grace)

    def start_draining(self) -> None:
        """From now on a writer that waits for room fails when nobody is left to read."""
        self.is_draining = True
        for run in self._runs:
            run.job.open_log().wake_writers()

    async def shut_down(self, grace: float) -> BaseException | None:
        """Stop what still runs and wait for it; leave threads behind that do not end.

        Returns:
            What no shield holds off, if it came meanwhile, to be raised once all is done:
            asyncio's own ``Task.cancel``, or trio's Ctrl-C.
        """
        self.stop_all(grace)
        # Those that were told before may be over their grace already.
        ends = [run.stop_deadline - self.loop.time() for run in self._runs]
        cancelled = await self.idle_within(max(ends, default=0.0) + LEAVE_SECONDS)
        for run in tuple(self._runs):
            if run.leave is not None:
                run.leave()

        if self._runs:
            cancelled = await self.idle_within(LEAVE_SECONDS) or cancelled

        refusing = [run.job.label() for run in self._runs if run.leave is None]
        if refusing:
            self.warn(
                f"still waiting for {', '.join(refusing)}: asked to stop {grace:g} s ago; a task "
                f"that catches its cancellation and goes on cannot be ended from outside"
            )

        return await self.idle_within(math.inf) or cancelled

    # What runs tell

    def paused(self) -> None:
        """A run waits, so another one may take its turn."""
        self._running -= 1
        self._call_worker()

    def resumed(self) -> None:
        """It goes on at once."""
        self._running += 1

    def stuck(self, job: Job[Any]) -> None:
        """Report that *job* has outlasted the grace of its stop."""
        command = clean(job.command)
        logger().warning("%s (%s): %s", job.label(), command, job.status_message)

    def warn(self, message: str) -> None:
        """Give the user a RuntimeWarning; where warnings are errors, log it instead."""
        try:
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        except RuntimeWarning:
            logger().warning("%s", message)


class _Paused:
    """Stands for the cancel scope of a run that has no task yet."""

    __slots__ = ("_engine", "_run", "_wakeup")

    def __init__(self, engine: Engine, run: JobRun, wakeup: Waker) -> None:
        self._engine = engine
        self._run = run
        self._wakeup = wakeup

    def cancel(self) -> None:
        """Give it a task: that can be cancelled."""
        self._wakeup.forget_call()
        self._engine.go_on(self._run, is_to_wait=True)


def _enter(run: JobRun, runner: Runner, spec: JobSpec) -> bool:
    """Begin the runner's call in the job's context; return whether it ended without a wait.

    ``run.yielded`` is then its value, else what it waits for.
    """
    enter_context(run)
    coro = runner.run(spec, run)
    del spec
    try:
        run.yielded = coro.send(None)
    except StopIteration as end:
        run.yielded = end.value
        return True

    run.coro = coro
    return False
