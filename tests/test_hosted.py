"""Sessions that no block holds, in programs and in the real REPL of asyncio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextvars import Context

import anyio
import pytest

import ajobs


async def add(a: int, b: int) -> int:
    """Return the sum, after letting others run."""
    await anyio.lowlevel.checkpoint()
    return a + b


async def fail() -> None:
    """Raise."""
    raise ValueError("on purpose")


async def test_lives_over_statements() -> None:
    """Jobs start, end and are received from without a block around them."""
    jobs = await ajobs.open_session(name="repl")
    job = jobs.start(add, 1, 2)
    assert 3 == await job
    assert [3] == job.receive_nowait()
    await jobs.aclose()
    assert "Completed" == job.state
    with pytest.raises(ajobs.SessionClosed):
        jobs.start(add, 1, 2)


async def test_failures_are_kept_by_default() -> None:
    """A failure that nobody looked at stays in the table and is not raised."""
    jobs = await ajobs.open_session()
    job = jobs.start(fail)
    await job.wait()
    await jobs.aclose()
    assert isinstance(job.reason, ValueError)


async def test_failures_are_raised_when_asked() -> None:
    """``failures="raise"`` raises them where the session is closed, once."""
    jobs = await ajobs.open_session(failures="raise")
    jobs.start(fail)
    with pytest.raises(ExceptionGroup) as caught:
        await jobs.aclose()

    assert ["on purpose"] == [str(error) for error in caught.value.exceptions]
    await jobs.aclose()


async def test_closing_waits_for_the_jobs() -> None:
    """Closing drains, as the end of a block does."""
    jobs = await ajobs.open_session()
    gate = anyio.Event()
    job = jobs.start(gate.wait)
    async with anyio.create_task_group() as group:
        group.start_soon(jobs.aclose)
        await anyio.wait_all_tasks_blocked()
        assert "Running" == job.state
        gate.set()

    assert "Completed" == job.state


async def test_cancelled_closing_goes_on() -> None:
    """Cancelling the wait for the end does not keep the session open."""
    jobs = await ajobs.open_session()
    gate = anyio.Event()
    job = jobs.start(gate.wait)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await jobs.aclose()

    gate.set()
    await jobs.aclose()
    assert "Completed" == job.state


async def test_closing_from_inside_is_refused() -> None:
    """A job that closes its own session would wait for itself."""
    jobs = await ajobs.open_session()
    with anyio.fail_after(20), pytest.raises(ajobs.DeadlockError, match="its own end"):
        await jobs.start(jobs.aclose)

    await jobs.aclose()


async def test_bad_options_are_refused_at_the_call() -> None:
    """A wrong option raises before any task is started."""
    with pytest.raises(ValueError, match="throttle"):
        await ajobs.open_session(throttle=0)


REPL = """
import anyio, ajobs
jobs = await ajobs.open_session()
job = jobs.start(anyio.sleep, 0.01)
other = jobs.start(sum, [1, 2, 3])
print("value", await other)
print("done", await job.wait())
await jobs.aclose()
print(repr(jobs))
"""


@pytest.mark.slow
def test_in_the_repl_of_asyncio() -> None:
    """``python -m asyncio``: each statement is a task of its own, the jobs live on."""
    ran = subprocess.run(
        [sys.executable, "-m", "asyncio"],
        input=REPL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    shown = ran.stdout.replace(">>> ", "")
    assert "value 6" in shown, ran.stderr
    assert "done True" in shown
    assert "<Session closed: 2 Completed>" in shown
    assert "Traceback" not in ran.stderr


FORGOTTEN = """
import anyio, sys, time
import ajobs

def churn():
    while True:
        time.sleep(0.001)
        ajobs.check_stop()

async def main():
    global jobs
    jobs = await ajobs.open_session("mine")
    jobs.start(anyio.sleep, 60), jobs.start(churn), jobs.start_command(["sleep", "60"])
    await anyio.sleep(0.1)
    jobs.start(anyio.sleep, 60)

anyio.run(main, backend=sys.argv[1])
print({str(job.state) for job in jobs}, repr(jobs))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_forgotten_session_ends_with_its_loop(backend: str) -> None:
    """The jobs are stopped, not aborted, and one line says why."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORGOTTEN, backend],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "{'Stopped'} <Session 'mine' closed: 4 Stopped>\n" == ran.stdout
    assert ran.stderr.startswith("ajobs: session 'mine' was left open")
    assert 1 == ran.stderr.count("\n")


async def test_session_is_found_where_contexts_do_not_last() -> None:
    """`current_session` finds the open one also in a task that knows nothing of it."""
    found = []

    async def statement() -> None:
        found.append(ajobs.current_session())

    async with anyio.create_task_group() as group:
        jobs = await ajobs.open_session()
        Context().run(group.start_soon, statement)

    await jobs.aclose()
    assert [jobs] == found
    with pytest.raises(ajobs.NoCurrentJob):
        ajobs.current_session()


def test_jobs_start_while_the_loop_of_a_console_rests() -> None:
    """IPython runs a statement without await outside of its loop."""
    loop = asyncio.new_event_loop()
    jobs = loop.run_until_complete(ajobs.open_session())
    job = jobs.start(add, 1, 2)
    assert "NotStarted" == job.state
    assert loop.run_until_complete(job.wait())
    assert 3 == job.result()
    loop.run_until_complete(jobs.aclose())
    loop.close()
    with pytest.raises(ajobs.SessionClosed):
        jobs.start(add, 1, 2)


def test_jobs_start_where_no_task_runs() -> None:
    """The console of asyncio runs a statement without await in a callback, in no task."""

    async def console() -> str:
        jobs = await ajobs.open_session()
        loop = asyncio.get_running_loop()
        started: asyncio.Future[ajobs.Job[str]] = loop.create_future()
        loop.call_soon(
            lambda: started.set_result(jobs.start(str, 1, runner="process")), context=Context()
        )
        try:
            return await (await started)
        finally:
            await jobs.aclose()

    assert "1" == asyncio.run(console())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_interrupt_in_the_code_of_a_job_reaches_whoever_runs_the_loop(backend: str) -> None:
    """The job that it hit is stopped; the main code hears of it; the other jobs go on."""
    states: list[str] = []

    async def hit() -> None:
        await anyio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    async def main() -> None:
        jobs = await ajobs.open_session()
        one, other = jobs.start(hit), jobs.start(anyio.sleep_forever)
        try:
            with anyio.fail_after(10):
                await anyio.sleep_forever()
        finally:
            states.extend((one.state, other.state))
            await jobs.stop(other)
            await jobs.aclose()

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)

    assert ["Stopped", "Running"] == states
