"""A random walk through the life of jobs, beside a model of the table that knows the rules.

The runners are fakes that write, end and die when the walk says so; they also tell what no
good runner would: records twice, late, and in another order. After every step the session has
to agree with the model, and what nobody expects must not happen: two ends, a waiter that
sleeps on, a place that is lost.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import ajobs

#: What anything may take that comes to its end.
SECONDS = 20

FINISHED = {"Completed", "Failed", "Stopped"}


class Puppet(ajobs.Runner):
    """A runner for one job, whose moves come from outside."""

    kind = "puppet"

    def __init__(self) -> None:
        self.moved = anyio.Event()
        self.end: Any = None
        self.emit: Any = None

    async def run(self, spec: ajobs.JobSpec, emit: ajobs.Emit) -> Any:
        """Wait for the end that somebody decides on."""
        self.emit = emit
        emit.begin()
        await self.moved.wait()
        if isinstance(self.end, Exception):
            raise self.end

        return self.end

    def decide(self, end: Any) -> None:
        """Let the job end."""
        self.end = end
        self.moved.set()


class Model:
    """What a job must be like."""

    def __init__(self, job: ajobs.Job[Any], runner: Puppet) -> None:
        self.job = job
        self.runner = runner
        self.unread: list[object] = []
        self.final: str | None = None
        self.told: list[str] = []
        self.is_in_table = True


def nothing() -> None:
    """Be what a puppet pretends to run."""


class Jobs(RuleBasedStateMachine):
    """The walk, on one of the two loops."""

    backend = "asyncio"
    jobs_made: Any = Bundle("jobs_made")

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        start = anyio.from_thread.start_blocking_portal(self.backend)
        self.portal = self._stack.enter_context(start)
        self.models: list[Model] = []
        self.throttle = 3
        self.waiters: list[tuple[Model, threading.Event]] = []

    @initialize(throttle=st.integers(1, 4))
    def open(self, throttle: int) -> None:
        """Open the session."""
        self.throttle = throttle
        self.session = self.portal.call(self._open)

    async def _open(self) -> Any:
        return await ajobs.open_session(throttle=self.throttle, stop_grace=1)

    def teardown(self) -> None:
        """Close the session: everything ends, and every waiter wakes."""
        try:
            if hasattr(self, "session"):
                self.portal.call(self._close)
        finally:
            # Whoever still sleeps would keep the loop, and the reason would not be seen.
            self.portal.call(self.portal.stop, True)
            self._stack.close()

    async def _close(self) -> None:
        for model in self.models:
            model.runner.decide(None)

        with anyio.fail_after(SECONDS):
            await self.session.aclose()

        assert all(model.job.is_finished for model in self.models)

    async def _in_time(self, verb: Callable[[], Awaitable[Any]]) -> Any:
        with anyio.fail_after(SECONDS):
            value = await verb()

        await self._settle()
        return value

    async def _settled(self, verb: Any, *args: Any) -> Any:
        value = verb(*args)
        await self._settle()
        return value

    async def _settle(self) -> None:
        """Let everything happen that follows from a verb: whoever asks is in another thread.

        That may be much: a dozen queued jobs, each of which ends as soon as it has its turn.
        """
        for _ in range(8):
            await anyio.lowlevel.checkpoint()

        await anyio.wait_all_tasks_blocked()

    def _do(self, verb: Any, *args: Any) -> Any:
        return self.portal.call(self._settled, verb, *args)

    # The walk

    @rule(target=jobs_made)
    def start(self) -> Any:
        """Start a job."""
        runner = Puppet()
        job = self._do(lambda: self.session.start(nothing, runner=runner))
        model = Model(job, runner)
        self.models.append(model)
        return model

    @rule(model=jobs_made, values=st.lists(st.integers(), min_size=1, max_size=3))
    def write(self, model: Model, values: list[int]) -> None:
        """Write records; after the end they are refused, never added."""
        if model.runner.emit is None:
            return

        for value in values:
            try:
                self._do(model.runner.emit, ajobs.Stream.OUTPUT, value)
            except ajobs.NoCurrentJob:
                assert model.final is not None
            else:
                assert model.final is None
                model.unread.append(value)

    @rule(model=jobs_made, values=st.permutations([1.0, 2.0, 3.0]))
    def write_reordered(self, model: Model, values: list[float]) -> None:
        """Write a batch whose times do not rise: the order of writing counts."""
        if model.runner.emit is None or model.final is not None:
            return

        batch = [(value, ajobs.Stream.OUTPUT, value) for value in values]
        self._do(model.runner.emit.many, batch)
        model.unread += values

    @rule(model=jobs_made)
    def begin_again(self, model: Model) -> None:
        """Say twice that it has begun."""
        if model.runner.emit is not None:
            self._do(model.runner.emit.begin)

    @rule(model=jobs_made, value=st.sampled_from([None, "value"]))
    def end(self, model: Model, value: str | None) -> None:
        """Return; one that is queued will do so as soon as it has its turn."""
        self._do(model.runner.decide, value)

    @rule(model=jobs_made)
    def fail(self, model: Model) -> None:
        """Raise."""
        self._do(model.runner.decide, ValueError("failed"))

    @rule(model=jobs_made)
    def stop(self, model: Model) -> None:
        """Stop; whatever is finished stays as it is."""
        assert self.portal.call(self._in_time, model.job.stop)
        assert model.job.is_finished

    @rule(model=jobs_made)
    def take(self, model: Model) -> None:
        """Take what there is, in the order in which it was written."""
        self._look(model)
        taken = self._do(model.job.receive_nowait)
        assert taken == model.unread
        model.unread.clear()

    @rule(model=jobs_made, ways=st.sampled_from(["wait", "any", "all"]))
    def wait(self, model: Model, ways: str) -> None:
        """Begin to wait, in the background."""
        verbs: dict[str, Callable[[], Awaitable[object]]] = {
            "wait": model.job.wait,
            "any": lambda: ajobs.wait_any(model.job),
            "all": lambda: ajobs.wait_all(model.job),
        }
        woken = threading.Event()

        async def wait() -> None:
            await verbs[ways]()
            woken.set()

        self.portal.start_task_soon(wait)
        self.waiters.append((model, woken))

    @rule(model=consumes(jobs_made))
    def remove(self, model: Model) -> None:
        """Remove by force; the handle keeps its data."""
        self.portal.call(self._in_time, lambda: self.session.remove(model.job, force=True))
        model.is_in_table = False

    @rule(throttle=st.integers(1, 4))
    def move_throttle(self, throttle: int) -> None:
        """Change the throttle."""

        def move() -> None:
            self.session.throttle = throttle

        self._do(move)
        self.throttle = max(throttle, sum(m.job.state == "Running" for m in self.models))

    # What always holds

    def _look(self, model: Model) -> None:
        """Bring *model* up to date with an end that the walk has caused."""
        job = model.job
        if model.final is None and job.state in FINISHED:
            model.final = str(job.state)
            if job.state == "Completed" and model.runner.end is not None:
                model.unread.append(model.runner.end)

    @invariant()
    def each_job_agrees(self) -> None:
        """The state, the end, the records and the table are as the model says."""
        for model in self.models:
            self._look(model)
            job = model.job
            assert model.final in {None, job.state}
            assert job.is_finished == (model.final is not None)
            assert (job.end_time is not None) == job.is_finished
            assert job.has_more_data == bool(model.unread)
            if hasattr(self, "session"):
                assert (job in self.session) == model.is_in_table

    @invariant()
    def places_are_used(self) -> None:
        """No more run than may; a job waits for its turn only while all places are taken."""
        states = [str(model.job.state) for model in self.models]
        running = states.count("Running") + states.count("Stopping")
        assert running <= self.throttle
        if hasattr(self, "session"):
            assert states.count("NotStarted") == 0 or running >= self.session.throttle

    @invariant()
    def waiters_wake(self) -> None:
        """Whoever waits for a finished job has been woken, and nobody else."""
        for model, woken in self.waiters:
            if model.job.is_finished:
                assert woken.wait(SECONDS), "a waiter sleeps on"
            else:
                assert not woken.is_set()


@pytest.fixture(params=["asyncio", "trio"])
def machine(request: pytest.FixtureRequest) -> type[Jobs]:
    """The walk on each loop."""
    return type("Jobs", (Jobs,), {"backend": request.param})


CALM = settings(
    deadline=None,
    derandomize=True,
    print_blob=True,
    # A walk to which something hangs takes seconds: it is shown as it is, not shortened.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(240)  # a quarter of a minute alone; a busy machine that measures coverage: one
def test_random_walks(machine: type[Jobs]) -> None:
    """Many short walks, the same on each push."""
    run_state_machine_as_test(
        machine, settings=settings(CALM, max_examples=300, stateful_step_count=50)
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_random_walks_in_the_long_run(machine: type[Jobs]) -> None:
    """Long ones, others each time."""
    long = settings(CALM, derandomize=False, max_examples=2_500, stateful_step_count=100)
    run_state_machine_as_test(machine, settings=long)
