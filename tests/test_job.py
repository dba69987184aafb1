"""One job: its attributes, its value, its failures, its states as they are seen."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import sys
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Generator
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Self

import anyio
import anyio.to_thread
import pytest
import trio
from anyio.lowlevel import checkpoint

import ajobs
from ajobs import JobAborted, JobState, _named
from tests.support import Gate, fail, forever, give, nothing, reach, write


class Error(Exception):
    """A failure of a job."""


# Attributes


async def test_ids_rise_over_sessions() -> None:
    """Ids are small ints that rise over the process and are never used twice."""
    async with ajobs.Session() as jobs:
        first, second = jobs.start(nothing), jobs.start(nothing)

    async with ajobs.Session() as jobs:
        third = jobs.start(nothing)

    assert first.id < second.id < third.id
    assert (second.id, third.id) == (first.id + 1, first.id + 2)


async def test_names() -> None:
    """The default name is `Job<id>`; a name can be set and need not be unique."""
    async with ajobs.Session() as jobs:
        plain, named = jobs.start(nothing), jobs.start(nothing, name="x")
        assert (f"Job{plain.id}", "x") == (plain.name, named.name)
        plain.name = "x"
        assert "x" == plain.name
        with pytest.raises(TypeError, match="name must be a str"):
            plain.name = 5  # type: ignore[assignment]  # what must fail


async def test_what_a_job_is() -> None:
    """Kind, location, command, children and instance id are there at any time."""
    async with ajobs.Session() as jobs:
        task, thread = jobs.start(give, 1), jobs.start(len, ())
        assert ("task", "thread") == (task.kind, thread.kind)
        assert ("localhost", ()) == (task.location, task.children)
        assert ("tests.support.give", "len") == (task.command, thread.command)
        assert task.instance_id == task.instance_id != thread.instance_id

    assert "tests.support.give" == task.command


async def test_times() -> None:
    """Begin and end are aware, in order, and None until they come."""
    gate = Gate()
    before = datetime.now(UTC)
    async with ajobs.Session() as jobs:
        job = jobs.start(gate.wait)
        assert (None, None) == (job.begin_time, job.end_time)
        await anyio.wait_all_tasks_blocked()
        begin = job.begin_time
        gate.open()
        await job

    end = job.end_time
    assert begin == job.begin_time
    assert begin is not None
    assert end is not None
    assert before <= begin <= end <= datetime.now(UTC)


async def test_has_more_data() -> None:
    """It is true while a record of any stream, or the value, is unread."""
    async with ajobs.Session() as jobs:
        silent, value = jobs.start(nothing), jobs.start(give, 0)
        await ajobs.wait_all(jobs)
        assert (False, True) == (silent.has_more_data, value.has_more_data)
        value.receive_nowait(keep=True)
        assert value.has_more_data
        value.receive_nowait("error")
        assert value.has_more_data
        value.receive_nowait()
        assert not value.has_more_data


async def test_status_message_shows_progress() -> None:
    """The newest activity shows while a job runs, and its reason once it failed."""
    gate = Gate()

    async def work() -> None:
        await gate.wait()
        ajobs.write_progress("Copying", percent=40)
        await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        assert "" == job.status_message
        gate.open()
        await anyio.wait_all_tasks_blocked()
        assert "Copying 40 %" == job.status_message
        assert "Copying" == job.progress[0].activity
        await job.stop()
        broken = jobs.start(fail, SyntaxError("bad", ("x.py", 3, 1, "if", 3, 2)))
        await broken.wait()
        assert "SyntaxError: bad" in broken.status_message
        assert isinstance(broken.reason, SyntaxError)


async def test_status_message_while_stopping() -> None:
    """A job that was asked to stop and still cleans up says so."""
    gate = Gate()

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with ajobs.cleanup():
                await gate.wait()

    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(work)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(job.stop)
        await anyio.wait_all_tasks_blocked()
        assert JobState.STOPPING == job.state
        assert "asked to stop; waiting for its code to end" == job.status_message
        gate.open()


# The value


async def test_await_gives_the_value() -> None:
    """`await job` and `result()` give what the function returned, again and again."""
    async with ajobs.Session() as jobs:
        job = jobs.start(give, [1])
        value = await job
        assert [1] == value
        assert value is await job is job.result()


@pytest.mark.parametrize("value", [None, 0, "", False, (), StopIteration])
async def test_falsy_values(value: object) -> None:
    """Any value arrives as it is; None is a value and no output."""
    async with ajobs.Session() as jobs:
        job = jobs.start(give, value)
        assert value is await job
        assert ([] if value is None else [value]) == job.receive_nowait()


async def test_result_too_early() -> None:
    """`result()` before the end is `JobNotFinished`."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever)
        with pytest.raises(ajobs.JobNotFinished, match="await job"):
            job.result()

        await job.stop()


async def test_generator_gives_output_and_value() -> None:
    """Each yield of a generator is output, None included; its return value is the last."""

    def plain() -> Generator[object, None, int]:
        yield 1
        yield None
        return 3

    async def other() -> AsyncIterator[object]:
        yield 1
        yield None

    async with ajobs.Session() as jobs:
        first, second = jobs.start(plain), jobs.start(other)
        assert 3 == await first
        assert [1, None, 3] == first.receive_nowait()
        await second
        assert [1, None] == second.receive_nowait()


async def test_many_wait_for_one() -> None:
    """Any number of waiters get the value."""
    got: list[int] = []
    gate = Gate()
    async with ajobs.Session() as jobs, anyio.create_task_group() as group:
        job = jobs.start(gate.give, 4)

        async def waiter() -> None:
            got.append(await job)

        for _ in range(10):
            group.start_soon(waiter)

        await anyio.wait_all_tasks_blocked()
        gate.open()

    assert [4] * 10 == got


async def test_B1_cancelled_await_leaves_the_job_alone() -> None:
    """Cancelling a wait touches neither the job nor other waiters."""
    gate = Gate()
    async with ajobs.Session() as jobs:
        job = jobs.start(gate.give, 4)
        with anyio.move_on_after(0) as scope:
            await job

        assert scope.cancelled_caught
        assert not job.is_watched
        assert not job.is_finished
        gate.open()
        assert 4 == await job


# Failures


async def test_await_raises_the_same_exception() -> None:
    """The job's own exception object is raised, and is its reason."""
    error = Error("own")
    async with ajobs.Session() as jobs:
        job = jobs.start(fail, error)
        with pytest.raises(Error) as caught:
            await job

        assert error is caught.value is job.reason
        assert JobState.FAILED == job.state
        with pytest.raises(Error):
            job.result()


async def test_traceback_begins_in_the_jobs_code() -> None:
    """The traceback shows the job's code below the waiter, and none of our insides."""
    async with ajobs.Session() as jobs:
        for job in (jobs.start(fail, Error()), jobs.start(raise_here)):
            with pytest.raises(Error) as caught:
                await job

            frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
            assert frames[-1] in ("fail", "raise_here")
            assert not {"_work", "_conclude", "drive", "resume", "_run"} & set(frames)


def raise_here() -> None:
    """Raise."""
    raise Error


async def test_traceback_of_a_library_that_is_the_job() -> None:
    """Where all of it is a library's, the library is shown, and still none of our insides."""
    async with ajobs.Session(failures="keep") as jobs:
        job = jobs.start(anyio.to_thread.run_sync, int, "none")
        await job.wait()

    assert job.reason is not None
    files = [frame.filename for frame in traceback.extract_tb(job.reason.__traceback__)]
    assert files
    assert "anyio" in files[0]


async def test_B7_a_thousand_raises_do_not_grow_the_traceback() -> None:
    """Raising the same failure a thousand times does not grow its traceback."""

    async def depth() -> int:
        try:
            await job
        except Error as exc:
            return len(traceback.extract_tb(exc.__traceback__))

        return 0

    async with ajobs.Session() as jobs:
        job = jobs.start(fail, Error())
        first = await depth()
        for _ in range(1000):
            assert first == await depth()


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), ajobs.StopRequested()])
@pytest.mark.parametrize("runner", ["task", "thread"])
async def test_base_exceptions_do_not_leave_the_job(error: BaseException, runner: str) -> None:
    """A12: a base exception fails the job with `JobAborted`, its cause, and nothing else."""

    def plain() -> None:
        raise error

    async with ajobs.Session() as jobs:
        job = jobs.start(fail, error) if runner == "task" else jobs.start(plain)
        with pytest.raises(JobAborted, match=type(error).__name__) as caught:
            await job

        assert error is caught.value.__cause__
        assert 1 == await jobs.start(give, 1)


async def test_strange_cancellation_aborts(anyio_backend_name: str) -> None:
    """A11: a cancellation that is not ours fails the job and never cancels its waiter."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async with ajobs.Session() as jobs:
        job = jobs.start(cancelled)
        with pytest.raises(JobAborted, match="CancelledError"):
            await job


@pytest.mark.parametrize("anyio_backend", ["asyncio"], scope="module")
async def test_native_cancel_of_the_jobs_task_aborts() -> None:
    """A7: somebody else's `task.cancel()` on a job's task fails that job alone."""
    tasks: list[asyncio.Task[Any] | None] = []

    async def work() -> None:
        tasks.append(asyncio.current_task())
        await anyio.sleep_forever()

    async with ajobs.Session() as jobs:
        job, other = jobs.start(work), jobs.start(anyio.wait_all_tasks_blocked)
        await anyio.wait_all_tasks_blocked()
        task = tasks[0]
        assert task is not None
        task.cancel()
        with pytest.raises(JobAborted):
            await job

        await other
        assert 1 == await jobs.start(give, 1)


async def test_cancel_scope_inside_the_job_is_its_own() -> None:
    """A job that cancels a scope of its own is not stopped by it."""

    async def work() -> int:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()

        return 5

    async with ajobs.Session() as jobs:
        assert 5 == await jobs.start(work)


async def test_group_of_failures_is_the_reason() -> None:
    """A11: what a task group inside the job raises is the job's reason."""

    async def work() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fail, Error("a"))
            group.start_soon(forever)

    async with ajobs.Session() as jobs:
        with pytest.raises(ExceptionGroup) as caught:
            await jobs.start(work)

    assert ["a"] == [str(error) for error in caught.value.exceptions]


async def test_stop_iteration_in_a_thread() -> None:
    """A12: an exception that futures refuse fails the job in a readable way."""

    def work() -> None:
        next(iter(()))

    async with ajobs.Session() as jobs:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await jobs.start(work)


async def test_plain_function_that_returns_a_coroutine() -> None:
    """A plain function that returns a coroutine fails and says why."""
    async with ajobs.Session() as jobs:
        with pytest.raises(TypeError, match="returned a coroutine"):
            await jobs.start(lambda: give(1))


async def test_callable_class_and_partial_run() -> None:
    """Partials with keywords, bound methods, classes and callable objects run."""

    class Work:
        """Work."""

        def __init__(self, value: int = 1) -> None:
            self.value = value

        async def method(self, extra: int = 0) -> int:
            return self.value + extra

        async def __call__(self) -> int:
            return self.value

    async with ajobs.Session() as jobs:
        assert 1 == (await jobs.start(Work)).value
        assert 2 == await jobs.start(Work(2).method)
        assert 5 == await jobs.start(partial(Work(2).method, extra=3))
        assert 4 == await jobs.start(Work(4))


# Time limits


async def test_timeout_fails_the_job() -> None:
    """Past its time limit a job ends Failed with `JobTimeout`, a `TimeoutError`."""
    async with ajobs.Session() as jobs:
        job = jobs.start(forever, timeout=0.01)
        with pytest.raises(TimeoutError, match=r"job \d+ ran longer than its timeout of 0.01 s"):
            await job

        assert isinstance(job.reason, ajobs.JobTimeout)


async def test_timeout_wins_over_what_is_returned_then() -> None:
    """A19: what code returns or raises after its time limit does not make it succeed."""

    async def late() -> int:
        try:
            await anyio.sleep_forever()
        finally:
            return 1  # noqa: B012  # what bad code does

    async def broken() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Error

    async with ajobs.Session() as jobs:
        first, second = jobs.start(late, timeout=0.01), jobs.start(broken, timeout=0.01)
        with pytest.raises(ajobs.JobTimeout):
            await first

        with pytest.raises(ajobs.JobTimeout) as caught:
            await second

        assert isinstance(caught.value.__cause__, Error)


async def test_timeout_counts_from_the_beginning() -> None:
    """The time in the queue does not count."""
    async with ajobs.Session(throttle=1) as jobs:
        first = jobs.start(anyio.sleep, 0.03)
        second = jobs.start(give, 1, timeout=0.02)
        assert 1 == await second
        assert first.is_finished


async def test_timeout_of_a_job_that_ends_in_time() -> None:
    """A timer of a finished job does nothing."""
    async with ajobs.Session() as jobs:
        job = jobs.start(give, 1, timeout=0.001)
        assert 1 == await job
        await anyio.sleep(0.01)
        assert JobState.COMPLETED == job.state


async def test_timeout_zero() -> None:
    """A limit of no time ends a job at its first wait."""
    async with ajobs.Session() as jobs:
        with pytest.raises(ajobs.JobTimeout):
            await jobs.start(forever, timeout=0)


async def test_infinite_timeout_is_none() -> None:
    """Infinity means no limit."""
    async with ajobs.Session() as jobs:
        assert 1 == await jobs.start(give, 1, timeout=float("inf"))


# States, as followers and other tasks see them


async def test_states_of_a_life() -> None:
    """A follower sees every move, the last records before the final one."""
    gate = Gate()

    async def work() -> int:
        await write(1)
        await other
        return 2

    async with ajobs.Session() as jobs:
        other = jobs.start(gate.wait)
        job = jobs.start(work)
        told = []

        async def follow() -> None:
            async for one in job.follow(states=True):
                told.append(one.state if isinstance(one, ajobs.StateChange) else one.value)  # noqa: PERF401 - what came before counts

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            gate.open()

    assert ["Running", 1, "Blocked", "Running", 2, "Completed"] == told


async def test_finished_means_everything_is_there() -> None:
    """Whoever sees a final state can receive everything at once."""

    async def work() -> int:
        await write(*range(10))
        return 10

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        async for one in job.follow(states=True):
            if isinstance(one, ajobs.StateChange) and job.is_finished:
                assert list(range(11)) == job.receive_nowait()
                assert None is not job.end_time
                assert 10 == job.result()
                break
        else:
            pytest.fail("no final state was told")


async def test_B6_code_that_outlives_its_job_changes_nothing() -> None:
    """A task that the job's code left elsewhere, and that waits, does not touch the end."""
    gate = Gate()
    async with ajobs.Session(throttle=1) as jobs, anyio.create_task_group() as group:

        async def work() -> int:
            group.start_soon(other.wait)
            await anyio.wait_all_tasks_blocked()
            return 1

        job = jobs.start(work)
        other = jobs.start(gate.wait)
        assert 1 == await job
        assert JobState.COMPLETED == job.state
        await anyio.wait_all_tasks_blocked()
        gate.open()
        await other
        # The throttle still counts right.
        third, fourth = jobs.start(forever), jobs.start(forever)
        await anyio.wait_all_tasks_blocked()
        assert (JobState.RUNNING, JobState.NOT_STARTED) == (third.state, fourth.state)
        await jobs.stop(third, fourth)


async def test_F5_late_record_is_refused() -> None:
    """Code that outlives its job cannot write to it any more."""
    late = []
    gate = Gate()
    async with ajobs.Session() as jobs, anyio.create_task_group() as group:

        async def straggler() -> None:
            await gate.wait()
            with pytest.raises(ajobs.NoCurrentJob):
                ajobs.write_output("late")

            late.append(True)

        async def work() -> None:
            group.start_soon(straggler)

        job = jobs.start(work)
        await job
        gate.open()

    assert [True] == late
    assert [] == job.receive_nowait()


async def test_B8_failed_job_is_collected_with_its_handle() -> None:
    """A failed job and its frames are gone once handles and exceptions are dropped."""

    class Local:
        """Something in a frame of the job."""

    refs = []

    async def work() -> None:
        local = Local()
        refs.append(weakref.ref(local))
        raise Error

    async with ajobs.Session() as jobs:
        job = jobs.start(work)
        with pytest.raises(Error):
            await job

        await jobs.remove(job)
        del job

    gc.collect()
    assert [None] == [ref() for ref in refs]


# Plug-in runners


class Own(ajobs.Runner):
    """A runner that says as little as it may."""

    kind = "own"
    location = "here"

    async def run(self, spec: ajobs.JobSpec, emit: ajobs.Emit) -> Any:
        """Call the function, wherever that is."""
        return await spec.fn(emit, *spec.args)


def start_own(
    jobs: ajobs.Session, fn: Callable[..., Any], *args: Any, **options: Any
) -> ajobs.Job[Any]:
    """Start *fn* with what the runner gives it in front."""
    start: Any = jobs.start
    job: ajobs.Job[Any] = start(fn, *args, runner=Own(), **options)
    return job


async def test_runner_object_runs_the_job() -> None:
    """A runner of one's own is one method, with kind and location."""

    async def work(emit: ajobs.Emit, value: int) -> int:
        emit.begin()
        emit.begin()
        emit(ajobs.Stream.OUTPUT, 1)
        emit.many([(0.0, ajobs.Stream.ERROR, "e"), (0.0, ajobs.Stream.OUTPUT, 2)])
        emit.text(ajobs.Stream.ERROR, "line")
        return value

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work, 3)
        assert 3 == await job
        assert ("own", "here") == (job.kind, job.location)
        assert [1, 2, 3] == job.receive_nowait()
        assert ["e", "line"] == job.receive_nowait("error")
        assert job.had_errors


async def test_lines_of_a_program_are_no_errors() -> None:
    """A line that a program printed to its error output does not set `had_errors`."""

    async def work(emit: ajobs.Emit) -> None:
        emit.text(ajobs.Stream.ERROR, "line")

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work)
        await job
        assert ["line"] == job.receive_nowait("error")
        assert not job.had_errors


async def test_waiting_for_a_place_is_not_started() -> None:
    """A job is not started until its runner has begun; it can be stopped before."""
    gate = Gate()

    async def work(emit: ajobs.Emit) -> None:
        await gate.wait()
        emit.begin()

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work)
        await anyio.wait_all_tasks_blocked()
        assert (JobState.NOT_STARTED, None) == (job.state, job.begin_time)
        assert await job.stop()
        assert (JobState.STOPPED, None) == (job.state, job.begin_time)


async def test_first_record_begins_the_job() -> None:
    """A runner that only writes has begun."""
    gate = Gate()

    async def work(emit: ajobs.Emit) -> None:
        emit(ajobs.Stream.OUTPUT, 1)
        await gate.wait()

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work)
        await anyio.wait_all_tasks_blocked()
        assert JobState.RUNNING == job.state
        gate.open()


async def test_runner_that_never_begins_with_a_timeout() -> None:
    """A value implies the beginning, and the time limit of a finished job does nothing."""

    async def work(emit: ajobs.Emit) -> int:
        return 1

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work, timeout=0.001)
        assert 1 == await job
        assert None is not job.begin_time
        await anyio.sleep(0.01)
        assert JobState.COMPLETED == job.state


async def test_place_that_cannot_be_made_fails_the_job() -> None:
    """A runner that raises before it begins fails a job that never ran."""
    async with ajobs.Session() as jobs:
        job = start_own(jobs, fail)
        job.name = "x"
        with pytest.raises(BaseException):  # noqa: B017, PT011  # the emit is no exception
            await job

        assert (JobState.FAILED, None) == (job.state, job.begin_time)


class Forceful(ajobs.Runner):
    """A runner that ends its code by force when the grace of a stop is over."""

    kind = "forceful"

    def __init__(self) -> None:
        self.told: list[str] = []

    async def run(self, spec: ajobs.JobSpec, emit: ajobs.Emit) -> Any:
        """Hold on until the deadline."""
        forced = anyio.Event()
        emit.begin()
        emit.on_stop(lambda: self.told.append("stop"))
        emit.on_deadline(lambda: self.told.append("deadline"))
        emit.on_deadline(forced.set)
        with anyio.CancelScope(shield=True):
            await forced.wait()
            self.told.append(str(emit.stop_deadline <= anyio.current_time()))

        return emit.is_full, emit.input


async def test_runner_is_told_of_the_stop_and_of_its_deadline() -> None:
    """A runner hears of the stop at once and of the end of the grace; then it is not stuck."""
    runner = Forceful()
    async with ajobs.Session() as jobs:
        job = jobs.start(nothing, runner=runner)
        await reach(job, "Running")
        assert await job.stop(grace=0.01)
        assert ["stop", "deadline", "True"] == runner.told
        assert JobState.STOPPED == job.state


async def test_batches_and_lines_respect_the_limit() -> None:
    """What a runner writes in batches counts for the limit too."""

    async def work(emit: ajobs.Emit) -> None:
        emit.begin()
        emit.many([(0.0, ajobs.Stream.OUTPUT, number) for number in range(3)])
        assert emit.is_full
        await emit.room()
        emit.text(ajobs.Stream.OUTPUT, "line")
        emit.many([(0.0, ajobs.Stream.OUTPUT, number) for number in range(9)])

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work, output_limit=3)
        await reach(job, "Blocked")
        assert [0] == job.receive_nowait(limit=1)
        with pytest.raises(ajobs.OutputLimitExceeded):
            await job


async def test_records_from_a_runners_thread() -> None:
    """A runner may write from any thread, also as the first sign that its code runs."""

    async def work(emit: ajobs.Emit) -> None:
        for number in range(3):
            await anyio.to_thread.run_sync(emit, ajobs.Stream.OUTPUT, number)

    async with ajobs.Session() as jobs:
        job = start_own(jobs, work)
        assert [0, 1, 2] == [value async for value in job.receive()]
        assert job.begin_time is not None


class Opened(ajobs.Runner):
    """A runner with something to open and to close."""

    kind = "opened"
    log: ClassVar[list[str]] = []
    error: ClassVar[Exception | None] = None

    async def __aenter__(self) -> Self:
        await checkpoint()
        if self.error is not None:
            raise self.error

        self.log.append("open")
        return self

    async def __aexit__(self, *_: object) -> None:
        await checkpoint()
        self.log.append("close")

    async def run(self, spec: ajobs.JobSpec, emit: ajobs.Emit) -> Any:
        """Call the function."""
        emit.begin()
        return spec.fn(*spec.args)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> type[Opened]:
    """Make sessions know the runner by the name "thread"."""
    monkeypatch.setattr(_named, "load_class", {"task": ajobs.TaskRunner, "thread": Opened}.get)
    monkeypatch.setattr(Opened, "log", [])
    monkeypatch.setattr(Opened, "error", None)
    return Opened


async def test_runner_by_name_is_opened_by_its_first_job(opened: type[Opened]) -> None:
    """A session opens what it made from a name with the first job, and closes it at the end."""
    async with ajobs.Session() as jobs:
        assert [] == opened.log
        first, second = jobs.start(len, (1, 2)), jobs.start(len, ())
        assert (2, 0) == (await first, await second)
        assert ("opened", "localhost") == (first.kind, first.location)
        assert ["open"] == opened.log

    assert ["open", "close"] == opened.log


async def test_runner_that_was_not_used_is_not_opened(opened: type[Opened]) -> None:
    """A session without jobs of a kind opens nothing for it."""
    async with ajobs.Session() as jobs:
        await jobs.start(nothing)

    assert [] == opened.log


async def test_runner_that_cannot_be_opened_fails_its_jobs(
    opened: type[Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What opening raised is the failure of every job that needs it."""
    monkeypatch.setattr(Opened, "error", Error("no place"))
    async with ajobs.Session() as jobs:
        for _ in range(2):
            with pytest.raises(Error, match="no place"):
                await jobs.start(len, ())


async def test_job_that_waits_for_its_runner_can_be_stopped(opened: type[Opened]) -> None:
    """Waiting for the runner is NotStarted, and a stop ends it."""
    async with ajobs.Session() as jobs:
        job = jobs.start(len, ())
        while job.run is None:
            await checkpoint()

        assert job.begin_time is None
        assert await job.stop()
        assert JobState.STOPPED == job.state


@pytest.mark.skipif(sys.version_info < (3, 12), reason="marks came with Python 3.12")
async def test_awaitable_that_is_no_coroutine() -> None:
    """A function that is marked as async may return any awaitable."""

    class Later:
        """Something that can be awaited."""

        def __await__(self) -> Generator[Any, Any, int]:
            yield from checkpoint().__await__()
            return 8

    def later() -> Later:
        return Later()

    mark: Any = vars(inspect)["markcoroutinefunction"]
    async with ajobs.Session() as jobs:
        assert 8 == await jobs.start(mark(later))


def test_errors_survive_pickle() -> None:
    """Errors of ajobs keep class, text and data in a round trip through pickle."""
    died = pickle.loads(pickle.dumps(ajobs.JobTimeout("late")))
    assert (ajobs.JobTimeout, "late") == (type(died), str(died))


def test_trio_is_tested_too() -> None:
    """Both event loops are installed, so that no test of one is left out unseen."""
    assert trio.__version__
