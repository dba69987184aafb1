"""`ajobs.blocking`: the verbs of a session for code that has no event loop, on either loop."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import UserList
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import count, islice
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

import ajobs
from ajobs import blocking
from ajobs._hosted import HostedSession
from ajobs._reading import Receipt
from ajobs.blocking import _source
from ajobs.blocking._bridge import Bridge
from tests.support import Deaf, count_from, give


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Any:
    """The event loop behind the session."""
    return request.param


@pytest.fixture
def jobs(backend: Any) -> Iterator[blocking.Session]:
    """Give an open session that keeps failures."""
    with blocking.Session("tests", backend=backend, failures="keep") as session:
        yield session


def refuse() -> None:
    """Fail."""
    raise ValueError("on purpose")


def numbers(end: int) -> Iterator[int]:
    """Write numbers."""
    yield from range(end)


def wait_for_stop(begun: threading.Event | None = None) -> None:
    """Run until told to stop."""
    if begun is not None:
        begun.set()

    while True:
        time.sleep(0.001)
        ajobs.check_stop()


# The verbs


def test_values_come_from_every_runner(jobs: blocking.Session) -> None:
    """Coroutines, threads, programs: `result` waits and gives the value."""
    assert 1 == jobs.start(give, 1).result()
    assert 6 == jobs.start(sum, [1, 2, 3]).result()
    assert 0 == jobs.start_command([sys.executable, "-c", ""]).result()


def test_script(jobs: blocking.Session, tmp_path: Path) -> None:
    """`start_script` gives what the script prints, and its exit code."""
    script = tmp_path / "script.py"
    script.write_text("import sys; print(*sys.argv[1:])", encoding="utf-8")
    job = jobs.start_script(script, "a", "b", name="script")

    assert ["a b"] == list(job.receive())
    assert ("script", 0) == (job.name, job.result())


def test_failure_is_raised_where_it_is_asked_for(jobs: blocking.Session) -> None:
    """The same exception each time, and its traceback leads from the caller to the job's code."""
    job = jobs.start(refuse)
    for _ in range(3):
        with pytest.raises(ValueError, match="on purpose") as caught:
            job.result()

        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert [test_failure_is_raised_where_it_is_asked_for.__name__, "result", "refuse"] == names

    assert caught.value is job.reason


def test_result_can_be_given_up(jobs: blocking.Session) -> None:
    """A timeout raises and leaves the job alone; `wait` returns False."""
    job = jobs.start(wait_for_stop)
    with pytest.raises(TimeoutError, match="goes on"):
        job.result(timeout=0.01)

    assert not job.wait(timeout=0.01)
    assert job.state in {"NotStarted", "Running"}
    assert job.stop()
    with pytest.raises(ajobs.JobStopped):
        job.result()


def test_output_is_taken_one_by_one(jobs: blocking.Session) -> None:
    """A loop that is left takes only what it was given; `result` takes the rest."""
    job = jobs.start(numbers, 5)
    for value in job.receive():
        if value == 1:
            break

    assert [2, 3, 4] == job.receive().result()
    assert [] == list(job.receive())
    assert "call result() for a list" in repr(job.receive())


def test_output_with_a_limit_is_taken_while_the_job_waits(jobs: blocking.Session) -> None:
    """A job whose output is full goes on as its records are taken."""
    job = jobs.start(numbers, 50, output_limit=3)

    assert list(range(50)) == list(job.receive())
    assert list(range(7)) == list(jobs.start(count_from, 0, 7, output_limit=2).receive())


def test_failure_after_the_output(jobs: blocking.Session) -> None:
    """Iterating raises it at the end; `result` raises it and puts everything back."""

    def write_and_fail() -> Iterator[int]:
        yield 1
        refuse()

    job = jobs.start(write_and_fail)
    with pytest.raises(ValueError, match="on purpose"):
        job.receive().result()

    values = iter(job.receive())
    assert 1 == next(values)
    with pytest.raises(ValueError, match="on purpose"):
        next(values)

    assert [] == job.receive(errors="ignore").result()


def test_following_takes_nothing(jobs: blocking.Session) -> None:
    """Each follower sees every record, and the moves when asked for."""
    job = jobs.start(numbers, 3)
    assert [0, 1, 2] == [record.value for record in job.follow()]
    assert [0, 1, 2] == job.receive_nowait()
    gate = threading.Event()
    other = jobs.start(gate.wait, 10)
    moves = other.follow(states=True)
    gate.set()
    assert "Completed" == list(moves)[-1].state  # type: ignore[union-attr]


def test_session_is_followed_to_its_end(backend: Any) -> None:
    """`follow` of the session ends when the session has closed."""
    with blocking.Session(backend=backend) as jobs:
        told = jobs.follow()
        job = jobs.start(numbers, 2)

    values = [
        record.value for one, record in told if one == job and isinstance(record, ajobs.Record)
    ]
    assert [0, 1] == values


def test_saving(jobs: blocking.Session, tmp_path: Path) -> None:
    """`save` takes the records into a file."""
    path = tmp_path / "out"
    jobs.start(numbers, 2).save(path)

    assert "0\n1\n" == path.read_text(encoding="utf-8")


def test_waiting_for_many(jobs: blocking.Session) -> None:
    """`wait_any`, `wait_all` and `as_completed` give handles; pending ones wait on."""
    gate = threading.Event()
    slow, fast = jobs.start(gate.wait, 10, name="slow"), jobs.start(give, 1, name="fast")
    first = jobs.wait_any(slow, [fast])
    assert ([fast], [slow]) == (first.done, first.pending)
    assert slow is not first.pending[0]
    assert first.pending == jobs.wait_any(first.pending, timeout=0).pending
    gate.set()
    assert [slow] == jobs.wait_any(first.pending).done
    assert [slow, fast] == jobs.wait_all(jobs).done
    assert {slow, fast} == set(jobs.as_completed(slow, fast, timeout=10))


def test_as_completed_times_out(jobs: blocking.Session) -> None:
    """The time is for the whole iteration."""
    job = jobs.start(wait_for_stop)
    with pytest.raises(TimeoutError):
        list(jobs.as_completed(job, timeout=0.01))

    jobs.stop(job)


def test_looking_up(jobs: blocking.Session) -> None:
    """By id, by name, by filters; in order; and what is removed is gone."""
    first, second = jobs.start(give, 1, name="first"), jobs.start(give, 2)
    assert (first, second) == (jobs["first"], jobs[second.id])
    assert [first, second] == list(jobs)
    assert [first] == jobs.get(name="f*", kind="task")
    assert (2, True, True) == (len(jobs), second in jobs, bool(jobs))
    with pytest.raises(ajobs.JobNotFound):
        jobs["third"]

    jobs.remove(jobs, force=True)
    assert (0, False) == (len(jobs), first in jobs)
    assert 1 == first.result()


def test_handle_has_every_attribute_of_a_job(jobs: blocking.Session) -> None:
    """What can be asked of a job can be asked of its handle, with the same answer."""
    job = jobs.start(give, 1, name="one")
    assert job.wait()
    job.name = "two"
    for name, _ in inspect.getmembers(ajobs.Job, inspect.isdatadescriptor):
        if not name.startswith("_") and name not in ELSEWHERE["Job"]:
            assert getattr(job, name) == getattr(job.behind, name)

    assert "two" in repr(job)
    with pytest.raises(AttributeError, match="state"):
        job.state = ajobs.JobState.FAILED


def test_throttle_is_set_while_it_runs(jobs: blocking.Session) -> None:
    """Jobs that wait for their turn get it when the throttle is raised."""
    jobs.throttle = 1
    begun = [threading.Event(), threading.Event()]
    both = [jobs.start(wait_for_stop, one) for one in begun]
    assert begun[0].wait(30)
    assert "NotStarted" == both[1].state
    jobs.throttle = 2
    assert begun[1].wait(30)
    assert jobs.stop(both)


# Many items


def test_parallel_foreach(jobs: blocking.Session) -> None:
    """A list in the order of the input, or results as they come."""
    assert ["0", "1", "2"] == jobs.parallel_foreach(range(3), str).result()
    assert set(range(5000)) == set(jobs.parallel_foreach(range(5000), abs, throttle=8))
    outcomes = jobs.parallel_foreach(["1", "x"], int, on_error="return").result()
    assert [1, None] == [outcome.value for outcome in outcomes]
    with pytest.raises(ValueError, match="x") as caught:
        jobs.parallel_foreach(["x"], int).result()

    assert ["ajobs: in parallel_foreach, item 0: 'x'"] == caught.value.__notes__


def test_parallel_foreach_is_left_early(jobs: blocking.Session) -> None:
    """Leaving the loop stops the rest, also of an endless input; a block waits for that."""
    endless = iter(int, 1)
    for value in jobs.parallel_foreach(endless, abs):
        assert 0 == value
        break

    with jobs.parallel_foreach(endless, abs, buffer=2) as values:
        assert 0 == next(iter(values))

    assert "running" not in repr(values)
    with pytest.raises(RuntimeError, match="has been used"):
        values.result()


def test_parallel_foreach_outlives_its_session(backend: Any) -> None:
    """What is there is still given; what was cut off is told, not taken for the end."""
    jobs = blocking.open_session(backend=backend)
    endless = iter(jobs.parallel_foreach(count(), abs, throttle=2, buffer=3))
    short = jobs.parallel_foreach(range(9), abs, throttle=2, buffer=20)
    ended = iter(short)
    assert (0, 0) == (next(endless), next(ended))
    while "ended, 9 of 9" not in repr(short):
        time.sleep(0.001)

    jobs.close()
    assert [*range(1, 9)] == sorted(ended)
    with pytest.raises(ajobs.SessionClosed, match="before its end"):
        list(endless)

    with pytest.raises(ajobs.SessionClosed):
        jobs.parallel_foreach([1], abs)


# What is given to be read


def test_iterables_may_call_the_verbs(jobs: blocking.Session) -> None:
    """A plain iterable is pulled beside the loop: it may wait, and ask jobs for what it gives."""

    def doubled() -> Iterator[int]:
        for number in range(20):
            yield jobs.start(give, 2 * number).result()

    def total() -> int:
        return sum(ajobs.job_input())

    evens = list(range(0, 40, 2))
    assert evens == jobs.parallel_foreach(doubled(), int).result()
    assert evens == sorted(jobs.parallel_foreach(doubled(), int, throttle=2, buffer=1))
    assert evens == sorted(jobs.start_foreach(doubled(), int).receive())
    assert sum(evens) == jobs.start(total, input=doubled()).result()
    first = jobs.start(numbers, 50, output_limit=3)
    assert sum(range(50)) == jobs.start(total, input=first.receive()).result()


def test_iterables_are_pulled_no_further_than_needed(jobs: blocking.Session) -> None:
    """An endless one never gets further ahead than its reader allows."""
    pulled: list[int] = []

    def endless() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    def first_two() -> list[int]:
        return list(islice(ajobs.job_input(), 2))

    assert [0, 1] == jobs.start(first_two, input=endless()).result()
    assert [0, 1] == pulled
    pulled.clear()
    with jobs.parallel_foreach(endless(), abs, throttle=2, buffer=3) as values:
        for taken, _ in enumerate(islice(values, 200), start=1):
            assert len(pulled) <= taken + 2 + 3


def test_iterables_are_closed_where_they_were_pulled(jobs: blocking.Session) -> None:
    """In one thread, which is neither the caller's nor the loop's, and in the caller's context."""
    where: set[int] = set()
    names: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                where.add(threading.get_ident())
                yield 0
        finally:
            where.add(threading.get_ident())
            names.append(name.get())

    name = ContextVar[str]("name")
    name.set("the caller's")
    with jobs.parallel_foreach(endless(), abs) as values:
        next(iter(values))

    assert 1 == len(where)
    assert where.isdisjoint({threading.get_ident(), jobs._bridge.call(threading.get_ident)})
    assert ["the caller's"] == names


def test_iterable_that_raises(jobs: blocking.Session) -> None:
    """Its exception is the caller's, or the job's that reads it."""

    def broken() -> Iterator[int]:
        yield 1
        refuse()

    def read() -> list[int]:
        return list(ajobs.job_input())

    with pytest.raises(ValueError, match="on purpose") as caught:
        jobs.parallel_foreach(broken(), abs).result()

    assert "refuse" == traceback.extract_tb(caught.value.__traceback__)[-1].name
    with pytest.raises(ValueError, match="on purpose"):
        jobs.start(read, input=broken()).result()


def test_iterable_that_does_not_return(
    jobs: blocking.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wants no more items does not wait for the next one; it is closed once it comes."""
    monkeypatch.setattr(_source, "CLOSE_SECONDS", 0.01)
    gate, stuck_at, closed = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def stuck() -> Iterator[int]:
        try:
            yield 1
            stuck_at.release()
            gate.wait()
            yield 2
        finally:
            closed.release()

    for value in jobs.parallel_foreach(stuck(), abs):
        assert 1 == value
        assert stuck_at.acquire(timeout=30)
        break

    with jobs.parallel_foreach(stuck(), abs) as values:
        assert 1 == next(iter(values))
        assert stuck_at.acquire(timeout=30)

    assert not closed.acquire(blocking=False)
    gate.set()
    assert closed.acquire(timeout=30)
    assert closed.acquire(timeout=30)


def test_what_cannot_be_iterated(jobs: blocking.Session) -> None:
    """It is refused as in async code; and what knows its size still does."""
    with pytest.raises(TypeError, match="iterable"):
        jobs.parallel_foreach(5, abs)  # type: ignore[call-overload]

    with pytest.raises(TypeError, match="input must be"):
        jobs.start(give, 1, input=5)  # type: ignore[call-overload]

    job = jobs.start_foreach(UserList([1, 2]), abs)
    assert job.wait()
    assert 2 == job.counts.total


def test_wrong_arguments_show_no_machinery(jobs: blocking.Session) -> None:
    """From the caller's line to what refuses it there are no frames of futures and loops."""
    with pytest.raises(TypeError) as caught:
        jobs.wait_any(5)  # type: ignore[arg-type]

    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert ["wait_any", "run", "_end_of", "wait_any", "flat"] == names[1:]


# Entering and leaving


def test_unseen_failures_are_raised_at_the_end(backend: Any) -> None:
    """As in the async session; what was seen is not raised again."""
    with pytest.raises(ExceptionGroup, match="1 job") as caught:  # noqa: PT012, SIM117  # the end raises
        with blocking.Session(backend=backend) as jobs:
            jobs.start(refuse)
            with suppress(ValueError):
                jobs.start(refuse).result()

    assert "on purpose" == str(caught.value.exceptions[0])


def test_exception_stops_the_jobs(backend: Any) -> None:
    """Leaving by an exception stops what runs; the exception comes through as it was."""
    with pytest.raises(KeyError) as caught:  # noqa: PT012, SIM117  # the end is what is tested
        with blocking.Session(backend=backend) as jobs:
            job = jobs.start(anyio.sleep, 60)
            raise KeyError("mine")

    assert "Stopped" == job.state
    assert ("mine",) == caught.value.args


def test_closed_session_can_be_looked_at(backend: Any) -> None:
    """Look-ups and what the jobs left are there; nothing starts, nothing waits."""
    with blocking.Session(backend=backend) as jobs:
        done = jobs.start(numbers, 2)
        endless = jobs.start(anyio.sleep, 60)
        jobs.stop(endless)

    assert [done] == jobs.get(state="Completed")
    assert "closed" in repr(jobs)
    assert [0, 1] == [record.value for record in done.follow()]
    assert [0, 1] == list(done.receive())
    assert done.wait()
    assert done.stop()
    assert done.result() is None
    with pytest.raises(ajobs.SessionClosed, match="it is closed"):
        jobs.start(give, 1)

    with pytest.raises(ajobs.SessionClosed):
        jobs.wait_all(done)

    with pytest.raises(RuntimeError, match="once"):
        jobs.__enter__()


def test_session_that_was_not_entered() -> None:
    """It says how it is entered."""
    with pytest.raises(ajobs.SessionClosed, match=r"with ajobs\.blocking\.Session"):
        blocking.Session().start(give, 1)


def test_bad_options_are_refused_at_once() -> None:
    """Before a thread is started."""
    with pytest.raises(ValueError, match="backend"):
        blocking.Session(backend="curio")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="throttle"):
        blocking.Session(throttle=0)


def test_session_without_a_block(backend: Any) -> None:
    """`open_session` and `close`, for consoles: failures are kept, closing twice is harmless."""
    jobs = blocking.open_session("console", backend=backend)
    job = jobs.start(refuse)
    jobs.close()
    jobs.close()
    assert isinstance(job.reason, ValueError)


# Threads and loops


def test_threads_share_a_session(jobs: blocking.Session) -> None:
    """Any number of threads use it at once."""
    results: dict[int, list[int]] = {}

    def work(number: int) -> None:
        mine = [jobs.start(give, number) for _ in range(20)]
        results[number] = [job.result() for job in mine]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert {number: [number] * 20 for number in range(5)} == results


def test_blocking_the_loop_is_refused(jobs: blocking.Session) -> None:
    """In async code a blocking call could never end; starting is no such call."""

    async def crawl(depth: int) -> None:
        if depth:
            jobs.start(crawl, depth - 1, name="last").result()

    with pytest.raises(RuntimeError, match="await"):
        jobs.start(crawl, 1).result()

    assert jobs["last"].wait()


def test_closing_from_inside_is_refused(jobs: blocking.Session) -> None:
    """A job that closes its own session would wait for itself, on the loop or in a thread."""

    async def close() -> None:
        jobs.close()

    with pytest.raises(RuntimeError, match="await"):
        jobs.start(close).result(timeout=20)

    with pytest.raises(ajobs.DeadlockError, match="its own end"):
        jobs.start(jobs.close).result(timeout=20)

    assert jobs.start(give, 1).result() == 1


def test_wait_that_begins_as_the_session_closes(
    jobs: blocking.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the loop and the call that comes too late may both tell of it."""

    def close_meanwhile(_: object) -> bool:
        bridge.close()
        return False

    bridge = Bridge(jobs._session.loop)
    monkeypatch.setattr(jobs._session.loop, "call_soon", close_meanwhile)
    with pytest.raises(ajobs.SessionClosed):
        bridge.run(anyio.sleep_forever)

    monkeypatch.undo()


def test_wait_that_comes_on_the_last_turn(
    jobs: blocking.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that starts no more tasks, as trio's on its last turns, is over."""

    def refuse_task(*_: object) -> None:
        raise RuntimeError("Nursery is closed to new arrivals")

    monkeypatch.setattr(jobs._session.loop, "spawn_root", refuse_task)
    with pytest.raises(ajobs.SessionClosed):
        jobs.wait_all(jobs.start(give, 1))

    monkeypatch.undo()


def test_closing_raises_once(backend: Any) -> None:
    """Failures that nobody saw are raised when it is closed, and not again."""
    jobs = blocking.open_session(backend=backend, failures="raise")
    jobs.start(refuse)
    with pytest.raises(ExceptionGroup, match="1 job of the session failed"):
        jobs.close()

    jobs.close()


async def test_beside_a_running_loop() -> None:
    """A notebook's own loop does not mind; whatever loop the session has."""
    for backend in ("asyncio", "trio"):
        with blocking.Session(backend=backend) as jobs:
            assert 3 == jobs.start(give, 3).result()
            assert [1] == jobs.parallel_foreach(["1"], int).result()


async def test_current_session_of_a_thread_job() -> None:
    """A thread job starts siblings and waits for them; meanwhile it is Blocked."""
    states = []

    def parent() -> int:
        jobs = blocking.current()
        child = jobs.start(child_of, ajobs.current_job())
        return child.result()

    async def child_of(job: ajobs.Job[Any]) -> int:
        states.append(job.state)
        return 5

    async with ajobs.Session(throttle=1) as jobs:
        assert 5 == await jobs.start(parent)

    assert ["Blocked"] == states
    with pytest.raises(RuntimeError, match="await"):
        async with ajobs.Session():
            blocking.current()


def test_current_outside_of_jobs() -> None:
    """There is none."""
    with pytest.raises(ajobs.NoCurrentJob):
        blocking.current()


async def test_ring_of_waits_is_refused() -> None:
    """A thread job that waits for itself gets a DeadlockError."""

    def wait_for_myself() -> None:
        jobs = blocking.current()
        jobs[ajobs.current_job().id].wait()

    async with ajobs.Session() as jobs:
        with pytest.raises(ajobs.DeadlockError):
            await jobs.start(wait_for_myself)


async def test_stop_leaves_a_wait_in_a_thread() -> None:
    """A thread job that waits is ended by its stop, and can still stop its own children."""
    ends = []

    def parent() -> None:
        jobs = blocking.current()
        child = jobs.start(anyio.sleep, 60)
        try:
            child.wait()
        finally:
            ends.append(child.stop())

    async with ajobs.Session() as jobs:
        job = jobs.start(parent)
        async for move in job.follow(states=True):
            if isinstance(move, ajobs.StateChange) and move.state == "Blocked":
                break

        assert await job.stop()
        assert ["Stopped", "Stopped"] == [one.state for one in jobs]

    assert [True] == ends


def test_waits_of_other_threads_end_with_the_session(backend: Any) -> None:
    """Whoever still waits when the loop ends gets SessionClosed, never nothing."""
    errors: list[BaseException] = []
    with Deaf() as deaf, pytest.warns(RuntimeWarning, match="left"):  # noqa: PT031, SIM117  # the end warns
        with blocking.Session(backend=backend, stop_grace=0, drain=0) as jobs:
            job = jobs.start(deaf)
            assert deaf.begun.wait(30)

            def wait() -> None:
                try:
                    job.wait()
                except ajobs.SessionClosed as exc:
                    errors.append(exc)

            thread = threading.Thread(target=wait)
            thread.start()

    thread.join(10)
    assert 1 == len(errors)


@contextmanager
def interrupted_soon() -> Iterator[None]:
    """Send SIGINT to this process while the block waits in the main thread."""
    pid, main, is_over = os.getpid(), threading.main_thread().ident, threading.Event()
    assert main is not None

    def interrupt() -> None:
        # Not before the main thread waits for a lock: that is where it is to be interrupted.
        while not is_waiting(frame := frame_of_main()):
            if is_over.wait(0.001):
                return

        # Python waits on if one comes after its last look for signals and before the wait itself.
        while frame_of_main() is frame:
            os.kill(pid, signal.SIGINT)
            if is_over.wait(0.5):
                return

    def frame_of_main() -> FrameType:
        # Python 3.11 never comes back if it collects a `threading.local` while it gathers these.
        gc.disable()
        try:
            return sys._current_frames()[main]
        finally:
            gc.enable()

    def is_waiting(frame: FrameType) -> bool:
        before = frame.f_back
        called = (frame.f_code.co_name, before and before.f_code.co_name)
        return called in {("wait", "result"), ("wait", "exception")}

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_interrupt_leaves_the_wait_only(jobs: blocking.Session) -> None:
    """Ctrl-C ends the call; the jobs go on, and nothing is left behind on the loop."""
    job = jobs.start(wait_for_stop)
    for call in (job.wait, job.result, job.receive().result, partial(jobs.wait_any, job)):
        with interrupted_soon(), pytest.raises(KeyboardInterrupt):
            call()

    assert job.state in {"NotStarted", "Running"}
    assert not job.behind.is_awaited
    jobs.stop(job)


def test_interrupt_of_the_end_stops_the_jobs(backend: Any) -> None:
    """Ctrl-C while the block waits for its jobs stops them."""
    jobs = blocking.open_session(backend=backend)
    job = jobs.start(anyio.sleep, 60)
    with interrupted_soon(), pytest.raises(KeyboardInterrupt):
        jobs.close()

    assert "Stopped" == job.state


def test_interrupt_of_the_beginning_leaves_nothing(backend: Any) -> None:
    """Ctrl-C while the session is being opened ends its loop and its thread."""
    with suppress(KeyboardInterrupt), interrupted_soon():
        blocking.Session(backend=backend).__enter__().close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.slow
def test_forked_child_has_no_session(backend: Any) -> None:
    """A call in the child raises instead of waiting for ever; the parent's session goes on."""
    program = f"""
import ajobs, os
def use(jobs):
    try:
        print(jobs.start(int, "3").result(), flush=True)
    except RuntimeError as exc:
        print(exc, flush=True)
def fork_in_a_job():
    child = os.fork()
    if not child:
        use(ajobs.blocking.current())
        os._exit(0)
    os.waitpid(child, 0)
with ajobs.blocking.Session(backend={backend!r}) as jobs:
    jobs.start(fork_in_a_job).result()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    use(jobs)
print("end", flush=True)
"""
    lines = printed_by(program).stdout.splitlines()
    assert ["3", "end", "end"] == sorted(line for line in lines if "forked" not in line)
    assert 2 == sum("forked child" in line for line in lines)


@pytest.mark.slow
def test_forgotten_session_is_closed_at_exit(backend: Any) -> None:
    """Its jobs are stopped, with one line on standard error."""
    program = f"""
import ajobs, anyio, time
def churn():
    try:
        while True:
            time.sleep(0.001)
            ajobs.check_stop()
    finally:
        print("stopped", flush=True)
jobs = ajobs.blocking.open_session("mine", backend={backend!r})
jobs.start(anyio.sleep, 60), jobs.start(churn)
print(jobs.start(int, "3").result(), flush=True)
"""
    ended = printed_by(program)
    assert "3\nstopped\n" == ended.stdout
    assert ended.stderr.startswith("ajobs: session 'mine' was left open")
    assert 1 == ended.stderr.count("\n")


def printed_by(program: str) -> subprocess.CompletedProcess[str]:
    """Run *program* with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def test_start_foreach(jobs: blocking.Session) -> None:
    """Many items are one job; its children can be looked at from here."""
    is_open = threading.Event()
    job = jobs.start_foreach([1, 2, 3], lambda item: is_open.wait(10) and item, throttle=2)
    while len(job.children) < 2:
        time.sleep(0.001)

    assert (3, 2, 0) == (job.counts.total, job.counts.running, job.counts.completed)
    assert 3 == job.progress[0].total
    assert job.counts.text() in job.status_message
    assert all(isinstance(one, blocking.ForeachJob) for one in (jobs[job.id], *jobs, *jobs.get()))
    first, _ = job.children
    assert first.name == "item 0: 1"
    is_open.set()
    assert sorted(job.receive()) == [1, 2, 3]
    assert first.result() == 1
    assert job.children == ()
    assert (3, 0) == (job.counts.completed, job.counts.running)


#: What has another name here, and what is not for callers but for the parts of the package.
ELSEWHERE = {
    "Session": {
        "aclose": "close",
        "open": "open_session",
        "loop": "inner: a session here has a loop that its user does not see",
        "refuse_own_job": "inner: asked by close",
        "take_in": "inner: for parallel_foreach",
        **dict.fromkeys(("interrupted", "job_drained", "job_ended", "job_seen"), "inner: engine"),
    },
    "Job": {
        **dict.fromkeys(("loop", "options", "runner", "run", "waits", "label"), "inner: spec"),
        **dict.fromkeys(("begin_seconds", "end_seconds", "queued_seconds"), "inner: views"),
        **dict.fromkeys(("unseen_reason", "unseen_traceback", "is_spent"), "inner: views"),
        **dict.fromkeys(("move", "finish", "break_off", "take_up", "tell_stuck"), "inner: engine"),
        **dict.fromkeys(("forget_input", "tell_readers", "open_log", "taken"), "inner: engine"),
        **dict.fromkeys(("watch", "unwatch", "watchers", "is_watched"), "inner: waits"),
        **dict.fromkeys(("failure", "is_awaited", "value_known"), "inner: waits"),
        **dict.fromkeys(("stopped", "tell_to_stop"), "inner: stop"),
    },
    "Receipt": {
        **dict.fromkeys(("receive", "receive_nowait", "aclose"), "for value in job.receive()"),
        **dict.fromkeys(("extra", "extra_attributes"), "of anyio's streams"),
        **dict.fromkeys(
            ("attach", "log", "next", "next_nowait", "next_in_burst"), "inner: reading"
        ),
    },
}


@pytest.mark.parametrize(
    ("there", "here", "name"),
    [
        (HostedSession, blocking.Session, "Session"),
        (ajobs.Job, blocking.Job, "Job"),
        (ajobs.ForeachJob, blocking.ForeachJob, "Job"),
        (Receipt, blocking.Receipt, "Receipt"),
    ],
)
def test_every_name_has_its_counterpart(there: type, here: type, name: str) -> None:
    """What async code can ask for is here, or the table says why not; the table has no more."""
    missing = {one for one in dir(there) if not one.startswith("_") and not hasattr(here, one)}
    assert missing == set(ELSEWHERE[name])
