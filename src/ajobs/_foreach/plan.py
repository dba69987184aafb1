"""What a `parallel_foreach` is asked to do: checked, and with the place where items run."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, NamedTuple

from .._checks import Kind, count, kind_of, limit, one_of, rate, seconds
from .._runner import Runner
from .._spec import JobSpec
from ..runners.task import TaskRunner
from ..runners.thread import ThreadRunner
from .intake import Plan
from .place import Place
from .run import Run
from .source import check_iterable
from .tasks import TaskPlace
from .threads import ThreadPlace


class Call(NamedTuple):
    """A checked call.

    Attributes:
        plan: Its arguments.
        is_ours: The runner was made for this call, which opens and closes it.
        spec: The job that runs items in a worker, where they run in workers.
    """

    plan: Plan
    is_ours: bool
    spec: JobSpec | None

    def place(self, run: Run) -> Place:
        """Return where the items of *run* are to run."""
        match self.plan.runner:
            case ThreadRunner() as runner:
                return ThreadPlace(run, runner)
            case TaskRunner():
                return TaskPlace(run)
            case runner:
                from .far import FarPlace

                assert self.spec is not None
                return FarPlace(run, runner, self.spec, is_ours=self.is_ours)


def call_of(
    iterable: Iterable[Any] | AsyncIterable[Any],
    fn: Callable[[Any], Any],
    *,
    throttle: float,
    max_per_second: float | None,
    runner: str | Runner | None,
    ordered: bool | None,
    timeout: float | None,
    item_timeout: float | None,
    on_error: str,
    buffer: int | None,
) -> Call:
    """Check the arguments of `parallel_foreach`, before anything runs."""
    check_iterable(iterable)
    kind = kind_of(fn)
    one_of(on_error, "on_error", ("raise", "continue", "return"))
    if ordered is not None and not isinstance(ordered, bool):
        raise TypeError(f"ordered must be True, False or None, not {ordered!r:.80}")

    plan = Plan(
        iterable=iterable,
        fn=fn,
        kind=kind,
        runner=_runner_for(fn, kind, runner),
        throttle=limit(throttle, "throttle"),
        per_second=rate(max_per_second, "max_per_second"),
        ordered=ordered,
        timeout=seconds(timeout, "timeout"),
        item_timeout=seconds(item_timeout, "item_timeout", zero=False),
        on_error=on_error,
        buffer=count(buffer, "buffer", least=0),
    )
    spec: JobSpec | None = None
    if not isinstance(plan.runner, TaskRunner | ThreadRunner):
        # Loaded for those who want it, like the runners below.
        from .far import spec_for

        spec = spec_for(plan, plan.runner)

    return Call(plan, not isinstance(runner, Runner), spec)


def _runner_for(fn: Callable[..., object], kind: Kind, runner: object) -> Runner:
    """Return the runner object that *runner* and the sort of *fn* ask for."""
    if runner is None:
        runner = "task" if kind.is_async else "thread"

    if isinstance(runner, str):
        return _runner_named(runner, fn)

    if not isinstance(runner, Runner):
        raise TypeError(f"runner must be None, a name or a Runner, not {runner!r:.80}")

    if isinstance(runner, TaskRunner):
        runner.check(JobSpec(fn))

    return runner


def _runner_named(name: str, fn: Callable[..., object]) -> Runner:
    one_of(name, "runner", ("task", "thread", "process", "interpreter"))
    if name == "process":
        # Loaded for those who want it: processes need much that tasks and threads do not.
        from ..runners.process import ProcessRunner

        return ProcessRunner()

    if name == "interpreter":
        from ..runners.interpreter import InterpreterRunner

        return InterpreterRunner()

    if name == "thread":
        return ThreadRunner()

    runner = TaskRunner()
    runner.check(JobSpec(fn))
    return runner
