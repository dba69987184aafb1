"""Script jobs: Python files as the main program of a worker."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import pytest

import ajobs
from ajobs.runners.script import Script, ScriptRunner
from tests.runners.helpers import first_output, texts

Write = Callable[[str], Path]


@pytest.fixture
async def runner(anyio_backend: str) -> AsyncIterator[ScriptRunner]:
    """An open runner."""
    async with ScriptRunner(2) as runner:
        yield runner


@pytest.fixture
async def jobs(anyio_backend: str, runner: ScriptRunner) -> AsyncIterator[ajobs.Session]:
    """A session whose failures stay in its table, inside the life of the runner."""
    async with ajobs.Session(failures="keep", stop_grace=5) as session:
        yield session


@pytest.fixture
def script(tmp_path: Path) -> Write:
    """Write a script and return its path."""

    def write(code: str) -> Path:
        path = tmp_path / "the script.py"
        path.write_text(dedent(code), encoding="utf-8")
        return path

    return write


async def test_printed_lines_are_output(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write
) -> None:
    """PowerShell 15: a job from a file; all its output arrives."""
    path = script(
        """
        import sys
        if __name__ == "__main__":
            for number in range(10):
                print("line", number)
            print(sys.argv, file=sys.stderr)
        """
    )

    job = jobs.start(Script(path, "one", "two words"), runner=runner)

    assert await job == 0
    assert texts(job, "output")[:10] == [f"line {number}" for number in range(10)]
    assert texts(job, "error") == [str([str(path), "one", "two words"])]
    assert not job.had_errors
    assert job.kind == "script"
    assert job.command.endswith("the script.py' one 'two words'")


async def test_it_is_the_main_module(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write, tmp_path: Path
) -> None:
    """Its directory is on the path, its classes are those of ``__main__``, it can read itself."""
    (tmp_path / "neighbour.py").write_text("name = 'neighbour'\n", encoding="utf-8")
    path = script(
        """
        import __main__, neighbour, pickle
        class Thing: pass
        thing = pickle.loads(pickle.dumps(Thing()))
        print(__main__.Thing is type(thing), neighbour.name, __file__ == __main__.__file__)
        """
    )

    job = jobs.start(Script(path), runner=runner)
    await job

    assert texts(job, "output")[0] == "True neighbour True"


async def test_records_and_input_work_in_it(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write
) -> None:
    """The functions that a job's code may call, at the top level of a file."""
    path = script(
        """
        import ajobs
        for item in ajobs.job_input():
            ajobs.write_output({"got": item})
        ajobs.write_warning("that was all")
        """
    )

    job = jobs.start(Script(path), runner=runner, input=[1, 2])
    await job

    assert texts(job, "output")[:2] == [{"got": 1}, {"got": 2}]
    assert texts(job, "warning") == ["that was all"]


@pytest.mark.parametrize(
    ("code", "value"),
    [("", 0), ("raise SystemExit", 0), ("import sys; sys.exit(4)", 4), ("exit('no')", 1)],
)
async def test_exit_codes(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write, code: str, value: int
) -> None:
    """They are those that Python would give; another than 0 fails the job if it is checked."""
    path = script(code)

    assert await jobs.start(Script(path, check=False), runner=runner) == value
    job = jobs.start(Script(path), runner=runner)
    await job.wait()

    assert job.state == ("Completed" if value == 0 else "Failed")
    if value:
        assert isinstance(job.reason, subprocess.CalledProcessError)
        assert job.reason.returncode == value


async def test_an_exception_is_the_reason(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write
) -> None:
    """With the line of the file in its far traceback."""
    job = jobs.start(Script(script("x = 1\nx / 0\n")), runner=runner)
    await job.wait()

    assert isinstance(job.reason, ZeroDivisionError)
    assert 'the script.py", line 2' in job.reason.__notes__[-1]


async def test_a_script_ends_as_a_program_does(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write
) -> None:
    """Its threads are waited for and its exit hooks run while its output is still read."""
    path = script(
        """
        import atexit, threading
        gate = threading.Event()
        atexit.register(print, "exit hook")
        threading.Thread(target=lambda: (gate.wait(), print("thread"))).start()
        threading.Timer(0.01, gate.set).start()
        print("end of file")
        """
    )

    job = jobs.start(Script(path), runner=runner)
    await job

    assert texts(job, "output")[:3] == ["end of file", "thread", "exit hook"]


async def test_what_a_script_left_open_is_written_when_it_has_ended(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write, tmp_path: Path
) -> None:
    """As after `python path`: its names are let go of while it still is the main program."""
    path = script(
        """
        import sys

        class Last:
            def __del__(self):
                print("last words")

        last = Last()
        file = open(sys.argv[1], "w")
        file.write("all of it")
        """
    )
    job = jobs.start(Script(path, str(tmp_path / "file")), runner=runner)
    await job

    assert (tmp_path / "file").read_text(encoding="utf-8") == "all of it"
    assert texts(job, "output") == ["last words"]


async def test_scripts_share_nothing(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write
) -> None:
    """D49: each has a worker of its own."""
    path = script(
        """
        import os, sys, json
        print(os.getpid(), hasattr(json, "spoilt"))
        json.spoilt = True
        """
    )
    lines = []
    for _ in range(2):
        job = jobs.start(Script(path), runner=runner)
        await job
        lines.append(texts(job, "output")[0].split())

    assert lines[0][0] != lines[1][0]
    assert lines[1][1] == "False"


async def test_stop_runs_its_cleanup(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write
) -> None:
    """As for every process job."""
    path = script(
        """
        import time
        try:
            print("ready")
            time.sleep(60)
        finally:
            print("cleaned")
        """
    )
    job = jobs.start(Script(path), runner=runner)
    await first_output(job)
    await job.stop()

    assert job.state == "Stopped"
    assert texts(job, "output") == ["cleaned"]


async def test_cwd_and_env(
    jobs: ajobs.Session, runner: ScriptRunner, script: Write, tmp_path: Path
) -> None:
    """Both can be given for one script."""
    path = script("import os; print(os.getcwd(), dict(os.environ))")
    job = jobs.start(Script(path, cwd="/", env={"COLOUR": "red"}), runner=runner)
    await job

    assert texts(job, "output")[0] == "/ {'COLOUR': 'red'}"


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    """At the call, before there is a job."""
    with pytest.raises(FileNotFoundError, match="script"):
        Script(tmp_path / "none.py")

    with pytest.raises(TypeError, match="argument"):
        Script(__file__, 1)  # type: ignore[arg-type]

    with pytest.raises(FileNotFoundError, match="cwd"):
        Script(__file__, cwd=tmp_path / "none")

    with pytest.raises(TypeError, match="ScriptRunner"):
        Script(__file__)()


async def test_its_worker_ends_in_peace(
    anyio_backend: str, script: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Who leaves right after the end of a script does not kill the worker, which is ending."""
    async with ScriptRunner() as runner, ajobs.Session() as jobs:
        assert await jobs.start(Script(script("print(1)")), runner=runner) == 0

    assert caplog.messages == []
