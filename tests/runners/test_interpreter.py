"""Interpreter jobs: what is special about sharing a process."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import ajobs
from ajobs._errors import RunnerUnavailable
from ajobs.runners.interpreter import InterpreterRunner, _Interpreter, _Public
from tests.runners import far
from tests.runners.helpers import first_output, texts

HAS_INTERPRETERS = sys.version_info >= (3, 13)

needs_interpreters = pytest.mark.skipif(
    not HAS_INTERPRETERS, reason="subinterpreters need Python 3.13"
)


@pytest.fixture
async def runner(anyio_backend: str) -> AsyncIterator[InterpreterRunner]:
    """An open runner."""
    async with InterpreterRunner(2) as runner:
        yield runner


@pytest.fixture
async def jobs(anyio_backend: str, runner: InterpreterRunner) -> AsyncIterator[ajobs.Session]:
    """A session whose failures stay in its table, inside the life of the runner."""
    async with ajobs.Session(failures="keep", stop_grace=5) as session:
        yield session


@pytest.mark.skipif(HAS_INTERPRETERS, reason="this Python has subinterpreters")
def test_older_pythons_are_told_what_is_needed() -> None:
    """E8: at the call that makes the runner."""
    with pytest.raises(RunnerUnavailable, match=r"3\.13"):
        InterpreterRunner()


@needs_interpreters
class TestInterpreter:
    """Where there are subinterpreters."""

    async def test_D29_an_interpreter_makes_no_interpreters(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """It cannot: the job there is told so. Workers that it starts count as one level."""
        _, refusal = await jobs.start(far.nest, "interpreter", runner=runner)
        assert refusal.startswith("RunnerUnavailable: interpreter jobs cannot be started in an")

        *pids, refusal = await jobs.start(far.nest, "process", runner=runner)
        assert len(set(pids)) == 3
        assert "3 workers deep" in refusal

    async def test_it_is_an_interpreter_of_its_own(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """In this process, with modules of its own."""
        import os

        sys.modules["ajobs_spoilt"] = sys
        try:
            job = jobs.start(far.loaded, "ajobs_spoilt", runner=runner)
            assert not await job
        finally:
            del sys.modules["ajobs_spoilt"]

        assert job.kind == "interpreter"
        assert await jobs.start(far.pid, runner=runner) == os.getpid()

    async def test_interpreters_are_used_again_and_bounded(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """No more than asked for, however many jobs there are."""
        started = [jobs.start(far.add, number, 1, runner=runner) for number in range(100)]
        assert [await job for job in started] == list(range(1, 101))

        assert runner.interpreters == 2

    async def test_what_is_printed_arrives(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """What Python prints; the descriptors belong to the whole process."""

        def show() -> None:
            print("one")
            print("two", file=sys.stderr)
            print("three", end="")

        job = jobs.start(show, runner=runner)
        await job

        assert texts(job, "information") == ["one", "three"]
        assert texts(job, "error") == ["two"]
        assert not job.had_errors

    async def test_warnings_and_logging_are_records(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """Each lands on the stream of its level."""
        job = jobs.start(far.warn_and_log, runner=runner)
        await job

        assert texts(job, "warning") == ["UserWarning: careful", "warning"]
        assert texts(job, "error") == ["failing"]

    async def test_a_job_that_looks_is_stopped(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """As a thread job."""
        job = jobs.start(far.wait_for_stop, runner=runner)
        await first_output(job)

        assert await job.stop()
        assert job.state == "Stopped"
        assert texts(job, "output")[0] == "stopping"

    async def test_an_async_job_is_cancelled(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """Its loop listens for the stop."""
        job = jobs.start(far.async_sleep_with_cleanup, runner=runner)
        await first_output(job)

        with anyio.fail_after(20):
            assert await job.stop()

        assert job.state == "Stopped"
        assert texts(job, "output") == ["cleaned"]

    async def test_a_job_that_does_not_look_is_not_claimed_to_be_stopped(
        self, jobs: ajobs.Session, runner: InterpreterRunner, tmp_path: Path
    ) -> None:
        """E1, C4: it is Stopping until its function returns."""

        def sleep(until: str) -> None:
            import os
            import time

            ajobs.write_output("ready")
            while not os.path.exists(until):  # noqa: PTH110  # quick, where nothing is loaded
                time.sleep(0.01)

        job = jobs.start(sleep, str(tmp_path / "go"), runner=runner)
        await first_output(job)

        assert not await job.stop(grace=0.05)
        assert job.state == "Stopping"
        (tmp_path / "go").touch()
        await job.wait(20)
        assert job.state == "Stopped"

    async def test_one_that_ends_late_on_a_machine_that_stalls_is_waited_for(
        self, anyio_backend: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However much time has passed: the machine may have done something else meanwhile."""
        go, turns = threading.Event(), itertools.count(1)
        run, sleep = _Interpreter._run, anyio.sleep
        clock = itertools.count(anyio.current_time(), 3600)

        def run_late(one: _Interpreter, *args: Any) -> None:
            run(one, *args)
            go.wait(30)

        async def sleep_or_go(seconds: float) -> None:
            await sleep(seconds)
            if next(turns) == 3:
                go.set()

        monkeypatch.setattr(_Interpreter, "_run", run_late)
        async with InterpreterRunner(1) as runner:
            async with ajobs.Session() as jobs:
                assert await jobs.start(far.add, 1, 1, runner=runner) == 2

            monkeypatch.setattr(anyio, "sleep", sleep_or_go)
            monkeypatch.setattr(anyio, "current_time", lambda: next(clock))

        monkeypatch.undo()
        assert next(turns) > 3
        assert caplog.messages == []

    async def test_handlers_of_signals_stay_in_the_main_interpreter(
        self, jobs: ajobs.Session, runner: InterpreterRunner
    ) -> None:
        """Nothing there counts them: two that do it at once end the process, by and by."""
        mine = signal.getsignal(signal.SIGINT)
        assert mine is not None
        assert await jobs.start(far.handlers_seen, runner=runner) == set()
        assert signal.getsignal(signal.SIGINT) is mine

    async def test_context_and_initializer(self, jobs: ajobs.Session, anyio_backend: str) -> None:
        """As for processes."""
        far.flavour.set("vanilla")
        options: Any = {"context": [far.flavour], "max_jobs_per_interpreter": 1}
        async with InterpreterRunner(1, far.announce, ("prepared",), **options) as runner:
            for _ in range(2):
                job = jobs.start(far.get_flavour, runner=runner)
                assert await job == "vanilla"
                assert texts(job, "information") == ["prepared"]

    async def test_context_variables_do_not_leak(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """D49: from one job to the next."""
        async with InterpreterRunner(1) as runner:
            await jobs.start(far.set_flavour, "spoilt", runner=runner)
            assert await jobs.start(far.get_flavour, runner=runner) == "plain"


@needs_interpreters
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_job_that_never_ends_does_not_keep_the_program(backend: str) -> None:
    """E2: the program ends with its own exit code, after a warning.

    Python aborts it if more than one thread is left in an interpreter; what sends the output
    of jobs and what looks after items are threads.
    """
    code = f"""
import anyio, ajobs, time
from ajobs.runners.interpreter import InterpreterRunner

def hang(_):
    ajobs.write_output("begun")
    time.sleep(600)

async def main():
    async with InterpreterRunner(2) as runner, ajobs.Session(drain=0, stop_grace=0.1) as jobs:
        for job in jobs.start(hang, 0, runner=runner), jobs.start_foreach([0], hang, runner=runner):
            async for _ in job.receive():
                break

anyio.run(main, backend={backend!r})
print("ended")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )

    assert result.stdout == "ended\n"
    assert result.returncode == 0
    assert "left" in result.stderr


def test_the_public_module_of_newer_pythons() -> None:
    """3.14: what is called there, and how its failures are told."""

    class ExecutionFailed(Exception):
        pass

    class Interpreter:
        closed = False

        def exec(self, code: str) -> None:
            if code == "bad":
                raise ExecutionFailed("it failed")

        def close(self) -> None:
            self.closed = True

    class Module:
        pass

    module: Any = Module()
    module.ExecutionFailed = ExecutionFailed
    module.create = Interpreter
    interpreters = _Public(module)
    one = interpreters.create()

    assert interpreters.execute(one, "good") is None
    assert interpreters.execute(one, "bad") == "it failed"
    interpreters.destroy(one)
    assert one.closed
