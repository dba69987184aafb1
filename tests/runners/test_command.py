"""Command jobs: programs, their lines, their exit codes and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import ajobs
from ajobs._errors import WorkerDied
from ajobs._lines import LONGEST_LINE
from ajobs.runners.command import Command, CommandRunner
from tests.runners.helpers import first_output, gone_within, texts
from tests.support import reach


@pytest.fixture
async def runner(anyio_backend: str) -> AsyncIterator[CommandRunner]:
    """An open runner."""
    async with CommandRunner() as runner:
        yield runner


@pytest.fixture
async def jobs(anyio_backend: str, runner: CommandRunner) -> AsyncIterator[ajobs.Session]:
    """A session whose failures stay in its table, inside the life of the runner."""
    async with ajobs.Session(failures="keep", stop_grace=5) as session:
        yield session


def sh(script: str, **options: Any) -> Command:
    """Return a command that runs a shell script."""
    return Command(["sh", "-c", script], **options)


def python(code: str, **options: Any) -> Command:
    """Return a command that runs Python code."""
    return Command([sys.executable, "-c", code], **options)


def lines_of(job: ajobs.Job[Any]) -> list[Any]:
    """Take the output without the exit code."""
    return [line for line in texts(job, "output") if not isinstance(line, int)]


class TestOutput:
    """Lines."""

    async def test_output_errors_and_exit_code(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """PowerShell 50: lines of standard output are output, of standard error are errors."""
        job = jobs.start(sh("echo one; echo two >&2; echo three; exit 0"), runner=runner)

        assert await job == 0
        assert lines_of(job) == ["one", "three"]
        assert texts(job, "error") == ["two"]
        assert not job.had_errors
        assert job.kind == "command"
        assert job.command == "sh -c 'echo one; echo two >&2; echo three; exit 0'"

    async def test_lines_arrive_while_it_runs(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """A line is there as soon as the program has written it."""
        job = jobs.start(sh("echo ready; exec sleep 600"), runner=runner)

        assert await first_output(job) == "ready"
        assert job.state == "Running"
        await job.stop()

    async def test_F3_any_bytes(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """What is no text is escaped, and nothing is lost or stops the rest."""
        job = jobs.start(sh(r"printf 'a\377b\r\n\342\202'; printf '\254\nlast'"), runner=runner)
        await job

        assert lines_of(job) == ["a\\xffb", "€", "last"]

    async def test_bytes_on_request(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """encoding=None gives lines of bytes, on both streams."""
        command = sh(r"printf 'a\377\n\nb'; echo e >&2", encoding=None)
        job = jobs.start(command, runner=runner)
        await job

        assert lines_of(job) == [b"a\xff", b"", b"b"]
        assert texts(job, "error") == [b"e"]

    async def test_other_encodings(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """Also one in which a line does not end with byte 10."""
        code = "import sys; sys.stdout.buffer.write('ä\\nÖĊ\\n'.encode('utf-16-le'))"
        job = jobs.start(python(code, encoding="utf-16-le"), runner=runner)
        await job

        assert lines_of(job) == ["ä", "ÖĊ"]

    @pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1_000_000])
    async def test_F2_lines_of_any_length(
        self, jobs: ajobs.Session, runner: CommandRunner, size: int
    ) -> None:
        """No buffer's size is a limit."""
        job = jobs.start(python(f"print('x' * {size}); print('short')"), runner=runner)
        await job

        assert [len(line) for line in lines_of(job)] == [size, 5]

    async def test_F2_endless_line_comes_in_pieces(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """A program that never ends its line does not fill the memory."""
        job = jobs.start(python("print('x' * 5_000_000, end='')"), runner=runner)
        await job
        lines = lines_of(job)

        assert {len(line) for line in lines[:-1]} == {LONGEST_LINE}
        assert "".join(lines) == "x" * 5_000_000

    async def test_D13_floods_on_both_streams(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """Neither blocks the other."""
        write = "os.write({}, b'x' * 9999 + b'\\n')"
        code = f"import os\nfor _ in range(200): {write.format(1)}; {write.format(2)}"
        job = jobs.start(python(code), runner=runner)
        await job

        assert len(lines_of(job)) == len(texts(job, "error")) == 200

    async def test_output_limit_holds_it_back(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """A program whose output is full blocks in its write, and goes on later."""
        job = jobs.start(sh("seq 1 50000"), runner=runner, output_limit=10)
        await reach(job, "Blocked")

        taken = len(job.receive_nowait())
        assert taken <= 20
        rest = [line async for line in job.receive()]

        assert taken + len([line for line in rest if isinstance(line, str)]) == 50_000


class TestExit:
    """How it ends."""

    async def test_another_exit_code_fails_the_job(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """The reason has the code, the command and the last lines of standard error."""
        job = jobs.start(sh("echo wrong >&2; exit 3"), runner=runner)
        await job.wait()

        assert job.state == "Failed"
        assert isinstance(job.reason, subprocess.CalledProcessError)
        assert job.reason.returncode == 3
        assert "wrong" in job.reason.__notes__[0]

    async def test_unless_nobody_checks(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """With check=False the code is the value, also of a program that was killed."""
        assert await jobs.start(sh("exit 3", check=False), runner=runner) == 3
        assert await jobs.start(sh("kill -9 $$", check=False), runner=runner) == -9

    async def test_a_program_that_does_not_exist(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """The job fails by the system's own error."""
        job = jobs.start(Command(["/no/such/program"]), runner=runner)
        await job.wait()

        assert isinstance(job.reason, FileNotFoundError)

    async def test_D15_what_it_leaves_behind_ends_with_it(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """A background process that holds the pipe keeps nobody waiting."""
        job = jobs.start(sh("sleep 600 & echo $!"), runner=runner)
        with anyio.fail_after(20):
            await job

        assert gone_within(5, [int(lines_of(job)[0])]) == []

    async def test_D15_one_that_left_the_group_keeps_nobody_waiting(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """It may live on, as daemons do; the job has ended."""
        job = jobs.start(sh("setsid sleep 600 & echo $!"), runner=runner)
        with anyio.fail_after(20):
            await job

        os.kill(int(lines_of(job)[0]), signal.SIGKILL)

    async def test_D14_sigchld_ignored(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """The end is noticed although the system throws the exit code away."""
        old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            job = jobs.start(sh("exit 0"), runner=runner)
            with anyio.fail_after(20):
                await job.wait()
        finally:
            signal.signal(signal.SIGCHLD, old)

        assert isinstance(job.reason, WorkerDied)
        assert "unknown" in str(job.reason)


class TestInput:
    """What it reads."""

    async def test_stdin(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """Text or bytes, of any size, in full."""
        text = "line\n" * 100_000
        job = jobs.start(Command(["wc", "-c"], stdin=text), runner=runner)

        await job
        assert lines_of(job) == ["500000"]
        assert await jobs.start(Command(["cat"], stdin=b"\xff"), runner=runner) == 0

    async def test_no_stdin_is_an_empty_one(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """It does not read what belongs to this program."""
        job = jobs.start(Command(["cat"]), runner=runner)
        with anyio.fail_after(20):
            assert await job == 0

    async def test_input_is_lines(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """Each text item is a line, bytes are as they are."""
        job = jobs.start(Command(["cat"]), runner=runner, input=["one", b"t", b"wo\n", "three"])
        await job

        assert lines_of(job) == ["one", "two", "three"]

    async def test_input_of_another_job(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """A pipe, without a shell."""
        words = jobs.start(sh("echo b; echo a"), runner=runner)
        source = words.receive()

        async def text() -> AsyncIterator[str]:
            async for line in source:
                if isinstance(line, str):
                    yield line

        job = jobs.start(Command(["sort"]), runner=runner, input=text())
        await job

        assert lines_of(job) == ["a", "b"]

    async def test_F7_a_program_that_stops_reading(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """It is no failure, and an endless source is not pulled for ever."""

        def endless() -> Iterator[str]:
            while True:
                yield "y" * 1000

        job = jobs.start(Command(["head", "-n1"]), runner=runner, input=endless())
        with anyio.fail_after(20):
            assert await job == 0

    async def test_a_failing_source_fails_the_job(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """The program is ended, and the reason is the source's error."""

        def source() -> Iterator[str]:
            yield "one"
            raise ValueError("source broke")

        job = jobs.start(sh("cat; exec sleep 600"), runner=runner, input=source())
        with anyio.fail_after(20):
            await job.wait()

        assert isinstance(job.reason, ValueError)

    async def test_what_is_no_text_is_refused(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """A number is not written as something somebody guessed."""
        job = jobs.start(Command(["cat"]), runner=runner, input=[1])
        await job.wait()

        assert isinstance(job.reason, TypeError)


class TestStop:
    """SIGTERM, then SIGKILL."""

    async def test_stop_lets_it_clean_up(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """What it prints about that arrives."""
        script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
        job = jobs.start(sh(script), runner=runner)
        await first_output(job)

        assert await job.stop()
        assert job.state == "Stopped"
        assert lines_of(job) == ["cleaned"]

    async def test_D17_stop_reaches_the_whole_group(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """Three generations, one deaf to SIGTERM."""
        script = "sh -c \"trap '' TERM; echo \\$\\$; sleep 600\" & echo $$; wait"
        job = jobs.start(sh(script), runner=runner)
        family = [int(await first_output(job)), int(await first_output(job))]

        assert await job.stop(grace=0.1)
        assert gone_within(5, family) == []

    async def test_timeout(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """It ends, and the job fails."""
        job = jobs.start(Command(["sleep", "600"]), runner=runner, timeout=0.05)
        await job.wait(20)

        assert isinstance(job.reason, ajobs.JobTimeout)


class TestOptions:
    """What it is given."""

    async def test_no_shell_looks_at_the_arguments(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """Each arrives as it is."""
        arguments = ["a b", "$HOME", "`id`", "*", "", "'\"\n", "--"]
        job = jobs.start(
            Command([sys.executable, "-c", "import sys; print(sys.argv[1:])", *arguments]),
            runner=runner,
        )
        await job

        assert lines_of(job) == [repr(arguments)]

    async def test_cwd_and_env(
        self, jobs: ajobs.Session, runner: CommandRunner, tmp_path: Path
    ) -> None:
        """PowerShell 33-35: a directory with any name works."""
        odd = tmp_path / 'a "b" [c]*'
        odd.mkdir()
        job = jobs.start(
            Command(["/bin/sh", "-c", "pwd; echo $COLOUR"], cwd=odd, env={"COLOUR": "red"}),
            runner=runner,
        )
        await job

        assert lines_of(job) == [str(odd), "red"]

    @pytest.mark.parametrize(
        ("argv", "options", "error"),
        [
            ("ls -l", {}, TypeError),
            (b"ls", {}, TypeError),
            ([], {}, ValueError),
            (["ls", 1], {}, TypeError),
            (["ls"], {"cwd": "/no/such/directory"}, FileNotFoundError),
            (["ls"], {"cwd": "/etc/passwd"}, NotADirectoryError),
            (["ls"], {"cwd": ""}, ValueError),
            (["ls"], {"cwd": 5}, TypeError),
            (["ls"], {"encoding": "klingon"}, LookupError),
            (["ls"], {"encoding": 5}, TypeError),
            (["ls"], {"check": "no"}, TypeError),
            ([""], {}, ValueError),
            (["ls", "a\0b"], {}, ValueError),
            (["ls", "\ud800"], {}, UnicodeEncodeError),
            (["ls"], {"stdin": ["one", "two"]}, TypeError),
            (["ls"], {"stdin": 5}, TypeError),
            (["ls"], {"env": ["A=b"]}, TypeError),
            (["ls"], {"env": {"A": None}}, TypeError),
            (["ls"], {"env": {"A": 5}}, TypeError),
            (["ls"], {"env": {5: "A"}}, TypeError),
            (["ls"], {"env": {"A": "x\0y"}}, ValueError),
            (["ls"], {"env": {"A=B": "x"}}, ValueError),
            (["ls"], {"env": {"": "x"}}, ValueError),
        ],
    )
    def test_wrong_options_are_refused(
        self, argv: Any, options: dict[str, Any], error: type[Exception]
    ) -> None:
        """PowerShell 37, 38: at the call, before there is a job."""
        with pytest.raises(error):
            Command(argv, **options)

    async def test_stdin_and_input_are_refused(
        self, jobs: ajobs.Session, runner: CommandRunner
    ) -> None:
        """One of them says what it reads."""
        with pytest.raises(ValueError, match="stdin and input"):
            jobs.start(Command(["cat"], stdin="a"), runner=runner, input=["b"])

    async def test_functions_are_refused(self, jobs: ajobs.Session, runner: CommandRunner) -> None:
        """A command runner runs commands."""
        with pytest.raises(TypeError, match="runs a Command"):
            jobs.start(print, runner=runner)

        with pytest.raises(TypeError, match="CommandRunner"):
            sh("exit 0")()
