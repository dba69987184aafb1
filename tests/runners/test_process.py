"""Process jobs: values, streams, input, stops, and what a worker must not remember."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import ajobs
from ajobs._errors import PayloadError, WorkerDied
from ajobs.runners.process import ProcessRunner
from tests.runners import far
from tests.runners.helpers import alive, first_output, gone_within, texts
from tests.support import let_time_run_out, reach


@pytest.fixture
async def runner(anyio_backend: str) -> AsyncIterator[ProcessRunner]:
    """A runner with two workers at most."""
    async with ProcessRunner(2) as runner:
        yield runner


@pytest.fixture
async def jobs(anyio_backend: str, runner: ProcessRunner) -> AsyncIterator[ajobs.Session]:
    """A session whose failures stay in its table, inside the life of the runner."""
    async with ajobs.Session(failures="keep", stop_grace=5) as session:
        yield session


class TestValues:
    """What goes in and what comes out."""

    async def test_the_value_arrives(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """A function runs in another process, and its value is the job's."""
        job = jobs.start(far.pid, runner=runner)

        assert await job != os.getpid()
        assert job.kind == "process"
        assert job.command == "tests.runners.far.pid"

    async def test_a_warm_worker_is_used_again(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Jobs one after another run in one process."""
        pids = {await jobs.start(far.pid, runner=runner) for _ in range(5)}

        assert len(pids) == 1
        assert runner.workers == 1

    async def test_at_most_max_workers_run(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """The third job of two workers is not started until one has ended."""
        running = [jobs.start(far.wait_for_stop, runner=runner) for _ in range(2)]
        for job in running:
            await first_output(job)

        third = jobs.start(far.pid, runner=runner)
        await anyio.wait_all_tasks_blocked()
        assert third.state == "NotStarted"

        await running[0].stop()
        assert await third
        await jobs.stop(running)

    async def test_lambdas_and_closures_travel(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """What exists only here is sent by value."""
        factor = 7

        assert await jobs.start(lambda number: number * factor, 6, runner=runner) == 42

    async def test_a_big_argument_comes_back_unharmed(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Megabytes go there and back."""
        data = bytes(range(256)) * 20_000

        assert await jobs.start(far.give, data, runner=runner) == data
        assert await jobs.start(far.give, [data, bytearray(data)], runner=runner) == [data, data]

    async def test_generators_stream(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """Each value that a generator yields is output; what it returns is the value."""
        job = jobs.start(far.count_then, 3, "end", runner=runner)

        assert [number async for number in job.receive()] == [0, 1, 2, "end"]
        assert await job == "end"

    async def test_async_functions_run_on_the_callers_library(
        self, jobs: ajobs.Session, runner: ProcessRunner, anyio_backend: str
    ) -> None:
        """They get an event loop of their own in the worker."""

        async def name_of_library() -> str:
            import sniffio

            return sniffio.current_async_library()

        assert await jobs.start(far.async_add, 2, 3, runner=runner) == 5
        assert await jobs.start(name_of_library, runner=runner) == anyio_backend

    async def test_async_generators_stream(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Each value that an async generator yields is output."""
        job = jobs.start(far.async_count, 4, runner=runner)

        assert await job.receive() == [0, 1, 2, 3]

    async def test_a_worker_stays_light(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """A job that writes records has not loaded the library for it."""
        await jobs.start(far.every_stream, runner=runner)

        assert not await jobs.start(far.loaded, "anyio", runner=runner)
        assert not await jobs.start(far.loaded, "ajobs._session", runner=runner)

    async def test_the_whole_library_can_be_used_in_a_worker(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """A job may open a session of its own."""

        async def inner() -> int:
            async with ajobs.Session() as session:
                value: int = await session.start(far.add, 1, 1)
                return value

        assert await jobs.start(inner, runner=runner) == 2

    async def test_B8_arguments_are_let_go_at_start(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """What was pickled is not held; what is sent later is let go when it is sent."""

        class Big:
            def __reduce__(self) -> Any:
                return int, ()

        big = Big()
        alive = weakref.ref(big)
        job = jobs.start(far.give, big, runner=runner)
        del big

        assert alive() is None
        assert await job == 0

    async def test_the_callers_directory_is_the_jobs(
        self,
        jobs: ajobs.Session,
        runner: ProcessRunner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """PowerShell 29: a process job starts in the caller's current directory, of now."""
        here = await jobs.start(far.directory, runner=runner)
        monkeypatch.chdir(tmp_path)

        assert here != str(tmp_path)
        assert await jobs.start(far.directory, runner=runner) == str(tmp_path)


class TestStreams:
    """Seven streams, and what is printed."""

    async def test_all_streams_arrive_in_order(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """PowerShell 61-67: each record on its stream, in the order in which it was written."""
        job = jobs.start(far.every_stream, runner=runner)
        await job.wait()

        assert job.progress[0].percent == 25 if job.progress else False
        records = job.receive_nowait("all")
        assert [str(record.stream) for record in records] == [str(one) for one in ajobs.Stream]
        assert [record.seq for record in records] == list(range(1, 8))
        assert [record.value for record in records][:6] == [str(one) for one in ajobs.Stream][:6]
        assert records[6].value.activity == "copying"
        assert job.had_errors
        assert all(isinstance(record.stream, ajobs.Stream) for record in records)

    async def test_a_lone_record_arrives_at_once(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """A record is not held back until there are more."""
        job = jobs.start(far.wait_for_stop, runner=runner)

        assert await first_output(job) == "ready"
        assert job.state == "Running"
        await job.stop()

    async def test_a_record_is_what_it_was_when_it_was_written(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """A list that is changed after it was written was written as it was."""
        assert await jobs.start(far.write_and_change, runner=runner).receive() == [[1], [1, 2]]

    async def test_many_records_arrive_in_order(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Batches change nothing about the order."""
        values: list[Any] = [0, "one", (2,), b"3", None, 5.0, [6]] * 3000

        assert await jobs.start(far.write_values, *values, runner=runner).receive() == values

    async def test_a_batch_without_errors_sets_no_had_errors(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Only errors do."""
        job = jobs.start(far.write_debug, *range(10), runner=runner)
        await job

        assert texts(job, "debug") == list(range(10))
        assert not job.had_errors

    async def test_D12_what_is_printed_arrives(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Print, the standard descriptors and children's output are records of the job."""
        job = jobs.start(far.print_everywhere, runner=runner)
        await job

        assert texts(job, "information") == [
            "by print",
            "by descriptor",
            "by a child",
            "no end",
        ]
        assert texts(job, "error") == ["by stderr"]
        assert not job.had_errors

    async def test_F3_any_bytes_can_be_printed(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Characters cut between two writes are whole; what is no text is escaped."""
        euro = "€𝄞".encode()
        chunks = [bytes([byte]) for byte in euro] + [b"\n\xff\xfe\n"]

        job = jobs.start(far.print_bytes, *chunks, runner=runner)
        await job

        assert texts(job, "information") == ["€𝄞", "\\xff\\xfe"]

    @pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1_000_000])
    async def test_F2_lines_of_any_length(
        self, jobs: ajobs.Session, runner: ProcessRunner, size: int
    ) -> None:
        """No buffer's size is a limit."""
        job = jobs.start(far.print_bytes, b"x" * size + b"\nshort", runner=runner)
        await job

        assert texts(job, "information") == ["x" * size, "short"]

    async def test_D13_a_flood_on_both_descriptors_blocks_nobody(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """What nobody reads is still drained."""
        write = "os.write(2, b'e' * 99 + b'\\n')"
        script = f"import os\nfor _ in range(200):\n os.write(1, b'o' * 65536)\n {write}"

        job = jobs.start(exec, script, runner=runner)
        await job

        assert len(texts(job, "error")) == 200

    async def test_warnings_and_logging_are_records(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Each lands on the stream of its level."""
        job = jobs.start(far.warn_and_log, runner=runner)
        await job

        assert texts(job, "warning") == ["UserWarning: careful", "warning"]
        assert texts(job, "debug") == ["debugging 1"]
        assert texts(job, "verbose") == ["informing"]
        assert texts(job, "error") == ["failing"]
        assert not job.had_errors

    async def test_writers_in_threads_lose_nothing(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """D10: each thread's records arrive, in its order."""
        got = await jobs.start(far.write_in_threads, 8, 500, runner=runner).receive()

        for number in range(8):
            assert [line for writer, line in got if writer == number] == list(range(500))

    async def test_writers_in_threads_share_the_room(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """None of them waits for room that another one was given."""
        job = jobs.start(far.write_in_threads, 4, 200, runner=runner, output_limit=6)
        with anyio.fail_after(20):
            got = await job.receive()

        for number in range(4):
            assert [line for writer, line in got if writer == number] == list(range(200))

    async def test_output_limit_holds_the_job_back(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """A generator whose output is full waits; when it is read, it goes on."""
        job = jobs.start(far.count, 1000, runner=runner, output_limit=10)
        await reach(job, "Blocked")

        held = len(job.receive_nowait(keep=False))
        assert 10 <= held <= 20
        rest = await job.receive()

        assert len(rest) == 1000 - held
        assert job.state == "Completed"

    async def test_output_over_the_limit_fails_the_job_if_it_shall(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """overflow="error" ends it, and its worker."""
        job = jobs.start(far.count, 100_000, runner=runner, output_limit=10, overflow="error")
        await job.wait()

        assert isinstance(job.reason, ajobs.OutputLimitExceeded)

    async def test_a_record_that_cannot_be_sent_raises_in_the_job(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """The line that wrote it is where it fails."""

        def write_a_lock() -> str:
            import threading

            try:
                ajobs.write_output({"lock": threading.Lock()})
            except Exception as exc:  # noqa: BLE001
                return str(exc)

            return "sent"

        assert "the value['lock'] is a _thread.lock" in await jobs.start(
            write_a_lock, runner=runner
        )


class TestInput:
    """`ajobs.job_input()` over there."""

    async def test_input_is_read(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """PowerShell 14: items arrive in order, None and falsy ones too."""
        items = [1, None, "", [2], False]

        assert await jobs.start(far.collect, runner=runner, input=items) == items
        assert await jobs.start(far.async_collect, runner=runner, input=items) == items

    async def test_a_job_that_dies_with_an_item_unread_runs_once(
        self, jobs: ajobs.Session, runner: ProcessRunner, tmp_path: Path
    ) -> None:
        """What its worker has not read must not look as if the job had not begun."""
        marker = tmp_path / "marker"
        job = jobs.start(far.leave_an_item_unread, 7, marker, runner=runner, input=range(1000))
        with pytest.raises(WorkerDied) as died:
            await job

        assert died.value.returncode == 7

    async def test_a_job_without_input_reads_nothing(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Not even a wait."""
        assert await jobs.start(far.collect, runner=runner) == []
        assert await jobs.start(far.async_collect, runner=runner) == []

    async def test_an_item_that_no_socket_holds(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """The rest of a big one follows as the job reads, whoever waits for what meanwhile."""
        items = [b"x" * 20_000_000, "small"]

        job = jobs.start(far.collect, runner=runner, input=items, timeout=20)

        assert await job == items

    async def test_input_is_pulled_lazily(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """No item is pulled that the job did not ask for."""
        pulled = []

        def source() -> Iterator[int]:
            for number in range(1000):
                pulled.append(number)
                yield number

        assert await jobs.start(far.take, 3, runner=runner, input=source()) == [0, 1, 2]
        assert pulled == [0, 1, 2]

    async def test_async_input_is_read(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """A source that is awaited, of another process job even."""
        source = jobs.start(far.count, 5, runner=runner).receive()

        assert await jobs.start(far.collect, runner=runner, input=source) == [0, 1, 2, 3, 4]

    async def test_a_failing_source_raises_in_the_job(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """What the source raises, the job's loop raises."""

        def source() -> Iterator[int]:
            yield 1
            raise ValueError("source broke")

        job = jobs.start(far.collect, runner=runner, input=source())
        await job.wait()

        assert isinstance(job.reason, ValueError)
        assert str(job.reason) == "source broke"

    async def test_an_item_that_cannot_be_sent_raises_in_the_job(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """And nothing hangs."""
        job = jobs.start(far.collect, runner=runner, input=[threading.Lock()])
        await job.wait()

        assert isinstance(job.reason, PayloadError)

    async def test_D2_a_death_while_it_waits_for_input_is_noticed(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """A source that never gives anything does not hide it."""
        send, receive = anyio.create_memory_object_stream[int]()

        def read() -> None:
            ajobs.write_output(os.getpid())
            list(ajobs.job_input())

        async with send, receive:
            job = jobs.start(read, runner=runner, input=receive)
            os.kill(await first_output(job), signal.SIGKILL)
            await job.wait(20)

        assert isinstance(job.reason, WorkerDied)

    async def test_a_stop_ends_the_wait_for_input(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """A job that waits for an item is stopped at once."""
        send, receive = anyio.create_memory_object_stream[int]()
        async with send, receive:
            job = jobs.start(far.echo, runner=runner, input=receive)
            await send.send(1)
            assert await first_output(job) == 1
            assert await job.stop()

        assert job.state == "Stopped"


class TestStop:
    """A stop asks, then insists."""

    async def test_a_job_that_looks_ends_by_itself(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Its code is not interrupted; its last output stays."""
        job = jobs.start(far.wait_for_stop, runner=runner)
        assert await first_output(job) == "ready"

        assert await job.stop()

        assert job.state == "Stopped"
        assert texts(job, "output")[0] == "stopping"

    async def test_F8_a_job_that_does_not_look_is_interrupted(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """D39: its cleanup runs, and what that writes arrives."""
        job = jobs.start(far.sleep_with_cleanup, runner=runner)
        await first_output(job)

        with anyio.fail_after(20):
            assert await job.stop()

        assert job.state == "Stopped"
        assert texts(job, "output") == ["cleaned"]
        assert texts(job, "information") == ["printed while cleaning"]

    async def test_an_async_job_is_cancelled(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Its awaits are, and its shielded cleanup works."""
        job = jobs.start(far.async_sleep_with_cleanup, runner=runner)
        await first_output(job)

        with anyio.fail_after(20):
            assert await job.stop()

        assert job.state == "Stopped"
        assert texts(job, "output") == ["cleaned"]

    @pytest.mark.parametrize("fn", [far.refuse_to_stop, far.swallow_stop, far.hold_the_interpreter])
    async def test_a_job_that_refuses_is_killed(
        self, jobs: ajobs.Session, runner: ProcessRunner, fn: Any
    ) -> None:
        """When the grace is over, and not before."""
        job = jobs.start(fn, runner=runner)
        pid = await first_output(job)
        begun = anyio.current_time()

        assert await job.stop(grace=0.2)

        assert 0.2 <= anyio.current_time() - begun < 1.2
        assert job.state == "Stopped"
        assert not alive(pid)

    async def test_a_second_stop_can_hurry(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """The earlier deadline wins."""
        job = jobs.start(far.refuse_to_stop, runner=runner)
        await first_output(job)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(job.stop, 60)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(20):
                assert await job.stop(grace=0)

        assert job.state == "Stopped"

    async def test_an_exception_in_cleanup_fails_the_job(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """It is not lost because the job was being stopped."""
        job = jobs.start(far.fail_when_stopped, runner=runner)
        await first_output(job)
        await job.stop()

        assert job.state == "Failed"
        assert isinstance(job.reason, ValueError)

    async def test_D17_a_stopped_job_leaves_nothing_running(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Three generations of children, one of them deaf to SIGTERM."""
        job = jobs.start(far.start_family, runner=runner)
        family = [await first_output(job)]
        while len(family) < 4:
            family += [int(line.split()[1]) for line in texts(job, "information")]
            await anyio.sleep(0.005)

        await job.stop(grace=0.1)

        assert gone_within(5, family) == []

    async def test_D26_only_that_job_is_stopped(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """Its neighbour goes on."""
        neighbour = jobs.start(far.wait_for_stop, runner=runner)
        job = jobs.start(far.sleep_with_cleanup, runner=runner)
        await first_output(neighbour)
        await first_output(job)

        await job.stop()

        assert neighbour.state == "Running"
        await neighbour.stop()

    async def test_a_job_that_waits_for_a_worker_never_runs(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """A15, D35: stopped in the queue, it takes no worker."""
        async with ProcessRunner(1) as runner:
            first = jobs.start(far.wait_for_stop, runner=runner)
            await first_output(first)
            queued = [jobs.start(far.pid, runner=runner) for _ in range(3)]
            await anyio.lowlevel.checkpoint()
            await jobs.stop(queued[:2])

            assert [job.state for job in queued] == ["Stopped", "Stopped", "NotStarted"]
            await first.stop()
            assert await queued[2]

    async def test_timeout(self, jobs: ajobs.Session, runner: ProcessRunner) -> None:
        """A job that runs too long ends as one that was stopped, and fails."""
        job = jobs.start(far.sleep_with_cleanup, runner=runner, timeout=60)
        await first_output(job)
        let_time_run_out(job)
        await job.wait(20)

        assert isinstance(job.reason, ajobs.JobTimeout)
        assert texts(job, "output") == ["cleaned"]

    async def test_leaving_the_session_ends_everything(self, anyio_backend: str) -> None:
        """No worker, no descriptor is left; the autouse fixture looks."""
        async with ProcessRunner(2) as runner:
            async with ajobs.Session(drain=0, stop_grace=0.1) as session:
                job = session.start(far.refuse_to_stop, runner=runner)
                pid = await first_output(job)

            assert not alive(pid)


class TestMemory:
    """PowerShell D49: what must not leak between the jobs of a worker."""

    async def test_nothing_leaks_from_one_job_to_the_next(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """D49: directory, environment, context, handler of stops, streams, arguments."""
        async with ProcessRunner(1) as runner:
            clean = await jobs.start(far.state, runner=runner)
            await jobs.start(far.spoil, runner=runner)
            job = jobs.start(far.state, runner=runner)

            assert await job == clean
            assert texts(job, "information") == ["can be seen"]
            assert clean[4] is False

    async def test_D15_F5_output_of_what_a_job_left_behind_is_not_the_next_ones(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """A process that outlives its job prints into nothing, and ends with the pool."""
        async with ProcessRunner(1) as runner:
            await jobs.start(far.leave_a_child, runner=runner)
            job = jobs.start(far.pid, runner=runner)

            assert await job
            assert texts(job, "information") == []

    async def test_context_variables_travel_if_listed(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """C6: those listed have the caller's value at start, the others their default."""
        async with ProcessRunner(1, context=[far.flavour]) as runner:

            def start() -> ajobs.Job[str]:
                far.flavour.set("vanilla")
                return jobs.start(far.get_flavour, runner=runner)

            assert await copy_context().run(start) == "vanilla"
            assert await jobs.start(far.get_flavour, runner=runner) == "plain"

    async def test_environment_and_directory_can_be_set(
        self, jobs: ajobs.Session, anyio_backend: str, tmp_path: Path
    ) -> None:
        """PowerShell 33, 34: a directory with spaces and quotes in its name works."""
        odd = tmp_path / 'a "b" [c]*'
        odd.mkdir()
        async with ProcessRunner(1, cwd=odd, env={"COLOUR": "red"}) as runner:
            assert await jobs.start(far.directory, runner=runner) == str(odd)
            assert await jobs.start(far.variable, "COLOUR", runner=runner) == "red"
            assert await jobs.start(far.variable, "PATH", runner=runner) is None

    async def test_a_directory_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        """PowerShell 37, 38: at the call, and no runner is made."""
        with pytest.raises(FileNotFoundError):
            ProcessRunner(cwd=tmp_path / "none")

        with pytest.raises(ValueError, match="cwd"):
            ProcessRunner(cwd=" ")

    def test_wrong_options_are_refused(self) -> None:
        """By the call that makes the runner."""
        for options in (
            {"env": {"A": None}},
            {"env": "A=b"},
            {"cwd": 5},
            {"initargs": 5},
            {"initargs": "ab"},
            {"context": [5]},
        ):
            with pytest.raises(TypeError, match=next(iter(options))):
                ProcessRunner(**options)

    async def test_initializer(self, jobs: ajobs.Session, anyio_backend: str) -> None:
        """PowerShell 17: it runs once, and its output comes before the first job's."""
        async with ProcessRunner(1, far.announce, ("prepared",)) as runner:
            first = jobs.start(far.announce, "first", runner=runner)
            await first
            second = jobs.start(far.announce, "second", runner=runner)
            await second

        assert texts(first, "information") == ["prepared", "first"]
        assert texts(second, "information") == ["second"]

    async def test_a_failing_initializer_fails_the_job(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """By what it raised; the next job tries again."""
        async with ProcessRunner(1, far.fail, (ValueError("no database"),)) as runner:
            for _ in range(2):
                job = jobs.start(far.pid, runner=runner)
                await job.wait()
                assert isinstance(job.reason, ValueError)

    async def test_a_process_that_a_job_forked_answers_nobody(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """It ends where the function ends, with a status of its own; the job goes on."""
        assert await jobs.start(far.fork_and_return, runner=runner) == ("parent", 0)
        assert await jobs.start(far.fork_and_raise, runner=runner) == 1
        assert await jobs.start(far.add, 1, 2, runner=runner) == 3


class TestLife:
    """How long workers live."""

    async def test_D21_max_jobs_per_worker(self, jobs: ajobs.Session, anyio_backend: str) -> None:
        """After so many jobs another worker takes the place, and no job is lost."""
        async with ProcessRunner(1, max_jobs_per_worker=2) as runner:
            pids = [await jobs.start(far.pid, runner=runner) for _ in range(6)]

        assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4] == pids[5]

    async def test_D21_max_memory(self, jobs: ajobs.Session, anyio_backend: str) -> None:
        """A worker that has grown too big runs no other job."""
        async with ProcessRunner(1, max_memory=1) as runner:
            pids = {await jobs.start(far.pid, runner=runner) for _ in range(3)}

        assert len(pids) == 3

    async def test_idle_workers_end(self, jobs: ajobs.Session, anyio_backend: str) -> None:
        """After the idle timeout there is none, and the next job gets a new one."""
        async with ProcessRunner(1, idle_timeout=0.05) as runner:
            first = await jobs.start(far.pid, runner=runner)
            with anyio.fail_after(20):
                while runner.workers or alive(first):  # noqa: ASYNC110  # nobody is told
                    await anyio.sleep(0.01)

            assert await jobs.start(far.pid, runner=runner) != first

    async def test_D20_descriptors_of_a_worker(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """The standard ones, the connection and the pipe that tells of our death."""
        await jobs.start(far.pid, runner=runner)
        found = await jobs.start(far.descriptors, runner=runner)

        assert found[:5] == ["/dev/null", "pipe", "pipe", "pipe", "socket"] or sorted(
            found[3:5]
        ) == [
            "pipe",
            "socket",
        ]
        assert len([one for one in found if not one.startswith("/proc")]) == 5

    async def test_a_runner_that_is_not_open_says_so(self, jobs: ajobs.Session) -> None:
        """The message tells how to open it."""
        job = jobs.start(far.pid, runner=ProcessRunner(1))
        await job.wait()

        assert "async with" in str(job.reason)

    async def test_a_runner_that_closes_before_its_jobs_have_ended(
        self, jobs: ajobs.Session, anyio_backend: str
    ) -> None:
        """Those that run there die, those that wait for a worker are told; nobody waits on."""
        async with ProcessRunner(1) as runner:
            running = jobs.start(far.wait_for_stop, runner=runner)
            await first_output(running)
            queued = [jobs.start(far.pid, runner=runner) for _ in range(2)]
            await anyio.wait_all_tasks_blocked()

        with anyio.fail_after(20):
            await ajobs.wait_all(running, queued)

        assert isinstance(running.reason, WorkerDied)
        assert "its runner was closed while the job ran" in str(running.reason)
        for job in queued:
            assert isinstance(job.reason, RuntimeError)
            assert "closed before the job had a place" in str(job.reason)

    async def test_a_forked_process_cannot_use_the_workers(
        self, jobs: ajobs.Session, runner: ProcessRunner
    ) -> None:
        """C7: it has copies of the connections, which are closed there."""
        await jobs.start(far.pid, runner=runner)
        pool = runner._pool
        assert pool is not None
        pool._pid = 1

        job = jobs.start(far.pid, runner=runner)
        await job.wait()
        pool._pid = os.getpid()

        assert "forked" in str(job.reason)


async def test_the_current_directory_has_been_removed(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call says so; with a directory of its own a runner needs no other."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    gone.rmdir()
    async with ajobs.Session() as jobs:
        with pytest.raises(FileNotFoundError, match="has been removed: change it"):
            jobs.start(far.pid, runner="process")

        with pytest.raises(FileNotFoundError, match="has been removed: change it"):
            jobs.start_command(["pwd"])

        assert await jobs.start_command(["pwd"], cwd=tmp_path).receive() == [str(tmp_path)]
        async with ProcessRunner(1, cwd=tmp_path) as runner:
            assert await jobs.start(far.directory, runner=runner) == str(tmp_path)

    monkeypatch.undo()  # before the leak check, which might import something


class TestNesting:
    """D29: jobs that start jobs like themselves come to an end before the machine does."""

    async def test_D29_jobs_of_jobs_of_jobs(self, jobs: ajobs.Session, anyio_backend: str) -> None:
        """Three workers deep nobody starts a fourth, and the job there is told how else."""
        *pids, refusal = await jobs.start(far.nest, "process", runner="process")

        assert len(set(pids)) == 3
        assert refusal.startswith("RunnerUnavailable: process jobs are not started here, 3 workers")
        assert "runner='thread'" in refusal
        assert "ProcessRunner(max_depth=...)" in refusal

    async def test_D29_deeper_where_that_is_meant(
        self, jobs: ajobs.Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A runner may be told to allow more, or less."""
        monkeypatch.setattr("ajobs._worker.boot.depth", 7)
        with pytest.raises(ajobs.RunnerUnavailable, match="7 workers deep"):
            jobs.start(far.pid, runner="process")

        async with ProcessRunner(1, max_depth=None) as runner:
            assert await jobs.start(far.pid, runner=runner) != os.getpid()

    def test_max_depth(self) -> None:
        """It is a whole number from 1."""
        with pytest.raises(ValueError, match="max_depth"):
            ProcessRunner(max_depth=0)
