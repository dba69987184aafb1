"""Sessions that no block holds, in programs and in the real REPL of asyncio."""

from __future__ import annotations

import subprocess
import sys

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
