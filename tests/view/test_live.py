"""Live views: what they show of many jobs, when, and where."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import anyio
import pytest

import ajobs
from ajobs import Job, JobState, Progress, Session
from ajobs._view import screens
from ajobs._view.estimate import Estimates
from ajobs._view.lines import bars, run_time, table, tree
from ajobs._view.plain import EVERY, MOST, PlainLines
from ajobs._view.rows import Viewed
from tests.support import fail, forever, give

NAN = float("nan")


class Seen(NamedTuple):
    """A job as views see it."""

    id: int
    name: str = "copy"
    kind: str = "task"
    state: JobState = JobState.RUNNING
    has_more_data: bool = False
    location: str = "here"
    command: str = "copy"
    status_message: str = ""
    progress: Sequence[Progress] = ()
    children: Sequence[Viewed] = ()
    queued_seconds: float = 0.0
    begin_seconds: float | None = 0.0
    end_seconds: float | None = None
    unseen_reason: BaseException | None = None
    unseen_traceback: None = None

    @property
    def is_finished(self) -> bool:
        """Tell whether it is over."""
        return self.state.finished


def nodes(*pairs: tuple[int, int | None]) -> list[tuple[int, int]]:
    """Return depth and id of each record in the tree of ``(id, parent)`` *pairs*."""
    records = [Progress("", id=one, parent_id=parent) for one, parent in pairs]
    return [(depth, record.id) for depth, record in tree(records)]


def test_tree_of_activities() -> None:
    """Parts stand below what they are a part of; lost parents and rings do no harm."""
    assert nodes((1, None), (2, None), (3, 1), (4, 3), (5, 2)) == [
        (0, 1),
        (1, 3),
        (2, 4),
        (0, 2),
        (1, 5),
    ]
    assert nodes((2, 1), (1, None)) == [(0, 1), (1, 2)]
    assert nodes((1, 99)) == [(0, 1)]
    assert nodes((1, 1)) == [(0, 1)]
    assert nodes((1, 2), (2, 1), (3, None)) == [(0, 3), (0, 1), (1, 2)]


def test_bars_show_whatever_a_job_wrote() -> None:
    """Every field of a record has its place, and nonsense in it does no harm."""
    job = Seen(7, progress=[Progress("all", "b.txt", 25.0, 1, 4, 75.0, operation="reading")])
    (bar,) = bars([job], 20, told).bars
    assert bar == (7, 0, "copy: all", 0.25, "1/4", "1:15", "b.txt, reading")
    odd: Any = Progress("\x1b[2J", 5, NAN, "x", None, -1.0, parent_id=[])  # type: ignore[arg-type]
    (bar,) = bars([Seen(7, progress=[odd])], 20, told).bars
    assert bar == (7, 0, "copy: \\x1b[2J", None, "", "0:00", "5")
    (bar,) = bars([Seen(7, progress=[Progress("", percent=250)])], 20, told).bars
    assert (bar.title, bar.fraction, bar.amount) == ("copy", 1.0, "100%")


def test_bars_are_few() -> None:
    """The oldest bars are shown, the others counted, and finished jobs have none."""
    going = [Seen(number, progress=[Progress("")]) for number in range(50)]
    done = Seen(99, state=JobState.COMPLETED, progress=[Progress("")])
    picture = bars([*going, done], 20, told)
    assert [bar.job_id for bar in picture.bars] == list(range(20))
    assert picture.more == 30
    assert picture.totals.text == "51 jobs: 50 Running, 1 Completed"


def test_table_shows_what_matters_most() -> None:
    """Running jobs come first, then failures, then the last to end, then those that wait."""
    jobs = [
        Seen(1, state=JobState.COMPLETED, end_seconds=1.0),
        Seen(2, state=JobState.COMPLETED, end_seconds=5.0),
        Seen(3, state=JobState.FAILED, end_seconds=2.0),
        Seen(4, state=JobState.NOT_STARTED, begin_seconds=None),
        Seen(5),
        Seen(6, state=JobState.BLOCKED),
    ]
    shown = [[line.id for line in table(jobs, 9.0, most, told).lines] for most in (2, 3, 4, 5, 6)]
    assert shown == [
        ["5", "6"],
        ["3", "5", "6"],
        ["2", "3", "5", "6"],
        ["1", "2", "3", "5", "6"],
        ["1", "2", "3", "4", "5", "6"],
    ]
    assert table(jobs, 9.0, 2, told).more == 4


@pytest.mark.parametrize(
    ("begin", "end", "text"),
    [
        (None, None, ""),
        (10.0, None, "1:30"),
        (10.0, 10.0123, "12 ms"),
        (10.0, 13.26, "3.3 s"),
        (10.0, 4010.0, "1:06:40"),
        (10.0, 9.0, "0 ms"),
    ],
)
def test_run_time(begin: float | None, end: float | None, text: str) -> None:
    """How long a job runs, or ran, is told as people read it; a clock set back does no harm."""
    assert run_time(Seen(1, begin_seconds=begin, end_seconds=end), 100.0) == text


def test_plain_lines_come_seldom() -> None:
    """A job is told of every ten seconds and at its end, once."""
    lines = PlainLines(tells_all=False)
    going = Seen(1, progress=[Progress("all", percent=50.0)])
    assert lines.lines([going], EVERY - 0.1) == []
    assert lines.lines([going], EVERY) == ["job 1 copy: Running for 0:10: 50%, all"]
    assert lines.lines([going], EVERY + 9.9) == []
    assert len(lines.lines([going], 2 * EVERY)) == 1
    done = Seen(1, state=JobState.COMPLETED, end_seconds=21.5)
    assert lines.lines([done], 21.5) == ["job 1 copy: Completed after 21.5 s"]
    assert lines.lines([done], 100.0) == []


def test_plain_lines_of_quiet_jobs() -> None:
    """Jobs that tell nothing are told of only where all jobs are watched."""
    failed = Seen(1, state=JobState.FAILED, end_seconds=1.0, status_message="ValueError: no\n")
    assert PlainLines(tells_all=False).lines([failed], 1.0) == []
    assert PlainLines(tells_all=True).lines([failed], 1.0) == [
        "job 1 copy: Failed after 1.0 s: ValueError: no\\n"
    ]


def test_plain_lines_of_many_jobs() -> None:
    """At one time only so many are told of; the others are counted."""
    jobs = [Seen(number, state=JobState.STOPPED, end_seconds=1.0) for number in range(MOST + 5)]
    *_, last = said = PlainLines(tells_all=True).lines(jobs, 1.0)
    assert (len(said), last) == (MOST + 1, "... and 5 jobs: 5 Stopped")


def told(job: Viewed, progress: Progress) -> float | None:
    """Return what the job itself says."""
    return progress.seconds_remaining


def test_time_left_is_estimated() -> None:
    """Where the job does not say, the rate since the first sight does; a new begin starts anew."""
    left = Estimates().left
    job = Seen(1)
    assert left(job, Progress("", percent=20), 100.0) is None
    assert left(job, Progress("", percent=20), 110.0) is None
    assert left(job, Progress("", percent=40), 120.0) == 60.0
    assert left(job, Progress("", percent=40, seconds_remaining=5), 120.0) == 5.0
    assert left(job, Progress("", percent=10), 130.0) is None
    assert left(job, Progress("", percent=100), 140.0) == 0.0
    assert left(job, Progress("", completed=5), 140.0) is None
    assert left(Seen(2), Progress("", percent=90), 140.0) is None


class FakeTerminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


# Called in the tests: pytest puts its own standard error back between a fixture and its test.


def no_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Stand in for standard error; no terminal."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.delenv("AJOBS_PROGRESS", raising=False)
    return file


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """Stand in for a terminal of 80 columns."""
    file = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", file)
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)

    for name in ("NO_COLOR", "AJOBS_PROGRESS"):
        monkeypatch.delenv(name, raising=False)

    return file


async def copy(gate: anyio.Event) -> None:
    """Tell how far it is, and wait."""
    ajobs.write_progress("copying", "b.txt", completed=1, total=4)
    ajobs.write_progress("part", percent=50, id=2, parent_id=0)
    await gate.wait()


async def watched(jobs: Session, gate: anyio.Event) -> None:
    """Open *gate* once the view has come to a rest, and see it end."""
    async with anyio.create_task_group() as group:
        group.start_soon(jobs.watch)
        await anyio.wait_all_tasks_blocked()
        gate.set()


async def test_watch_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws a table with bars, ends with the jobs, and leaves the last table there."""
    terminal = a_terminal(monkeypatch)
    gate = anyio.Event()
    async with Session(failures="keep") as jobs:
        job = jobs.start(copy, gate, name="backup")
        bad = jobs.start(fail, ValueError("disk full"), name="bad")
        await bad.wait()
        await anyio.wait_all_tasks_blocked()
        await watched(jobs, gate)
        assert job.is_finished

    text = terminal.getvalue()
    first, last = text.split("\x1b[1A", 1)[0], text.rsplit("Id", 1)[1]
    assert all(word in first for word in ("backup", "1/4", "Running", "━", "disk full"))
    assert "Completed" in last
    assert last.endswith("\x1b[?25h")  # the cursor is shown again
    assert job.has_more_data


async def test_watch_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes a line for each job at its end."""
    plain = no_terminal(monkeypatch)
    async with Session(failures="keep") as jobs:
        jobs.start(give, 1, name="good")
        jobs.start(fail, ValueError("disk full"), name="bad")
        await jobs.watch()

    lines = plain.getvalue().splitlines()
    assert len(lines) == 2
    assert "good: Completed after" in lines[0]
    assert lines[1].endswith("ValueError: disk full")


async def test_watch_waits_for_jobs_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends when the last job has, also one that another job has started."""
    no_terminal(monkeypatch)

    async def starts() -> None:
        ajobs.current_session().start(give, 1, name="second")

    async with Session() as jobs:
        jobs.start(starts, name="first")
        await jobs.watch()
        assert [job.is_finished for job in jobs] == [True, True]


async def test_a_job_may_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that watches its own session does not wait for itself."""
    plain = no_terminal(monkeypatch)
    async with Session() as jobs:
        jobs.start(give, 1, name="other")
        await jobs.start(jobs.watch, name="watcher")

    assert "watcher" not in plain.getvalue()


async def test_watchers_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that watches does not wait for those that wait for it, nor for another that does."""
    no_terminal(monkeypatch)
    monkeypatch.setattr(screens.Plain, "every", 0.01)
    async with Session() as jobs:
        first, second = jobs.start(jobs.watch), jobs.start(jobs.watch)
        third = jobs.start(first.wait)
        with anyio.fail_after(20):
            assert await third
            await second


async def test_watch_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling it gives the terminal back and leaves the jobs alone."""
    terminal = a_terminal(monkeypatch)
    async with Session() as jobs:
        job = jobs.start(forever)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.05):
            await jobs.watch()

        assert job.state == "Running"
        await job.stop()

    assert terminal.getvalue().endswith("\x1b[?25h")


async def test_watching_sees_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that was on the screen is still raised at the end."""
    a_terminal(monkeypatch)

    async def look() -> None:
        async with Session() as jobs:
            jobs.start(fail, ValueError("disk full"))
            await jobs.watch()

    with pytest.raises(ExceptionGroup, match="nobody looked"):
        await look()


async def test_show_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are shown while the block runs and until the jobs end; then they are gone."""
    terminal = a_terminal(monkeypatch)
    gate = anyio.Event()
    async with Session() as jobs:
        async with ajobs.show_progress(jobs):
            job = jobs.start(copy, gate, name="backup")
            while "backup: copying" not in terminal.getvalue():  # noqa: ASYNC110
                await anyio.sleep(0.01)

            assert "  part" in terminal.getvalue()
            gate.set()

        assert job.is_finished

    assert "\x1b[2K" in terminal.getvalue().rsplit("backup", 1)[1]


async def test_show_progress_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of the block comes out as it is, and waits for no job."""
    no_terminal(monkeypatch)

    async def block(jobs: Session) -> None:
        async with ajobs.show_progress(jobs):
            raise LookupError("own")

    async with Session() as jobs:
        job = jobs.start(forever)
        with pytest.raises(LookupError, match="own"):
            await block(jobs)

        assert not job.is_finished
        await job.stop()


async def test_show_progress_takes_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what waits take: sessions, jobs and iterables of jobs."""
    no_terminal(monkeypatch)
    async with Session() as jobs:
        started: list[Job[int]] = [jobs.start(give, number) for number in range(4)]
        async with ajobs.show_progress(started[0], iter(started[1:]), jobs):
            pass

        assert all(job.is_finished for job in started)

    for wrong in (5, "jobs", [5]):
        with pytest.raises(TypeError, match="takes sessions and jobs"):
            ajobs.show_progress(wrong)  # type: ignore[arg-type]


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """AJOBS_PROGRESS chooses; a word that it does not know is an error that names the others."""
    a_terminal(monkeypatch)
    picture = screens.TablePicture()
    for word, kind in (("plain", screens.Plain), ("off", screens.Nothing), ("", screens.Terminal)):
        monkeypatch.setenv("AJOBS_PROGRESS", word)
        screen = screens.open_screen(picture)
        screen.close()
        assert type(screen) is kind

    monkeypatch.setenv("AJOBS_PROGRESS", "loud")
    with pytest.raises(ValueError, match=r"AJOBS_PROGRESS is 'loud'; it can be auto, plain, off"):
        screens.open_screen(picture)

    monkeypatch.setenv("AJOBS_PROGRESS", "auto")
    monkeypatch.setenv("TERM", "dumb")
    assert type(screens.open_screen(picture)) is screens.Plain


def test_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rich is missing, plain lines do, and one line says what to install."""
    terminal = a_terminal(monkeypatch)
    monkeypatch.setattr(screens, "find_spec", lambda name: None)
    assert type(screens.open_screen(screens.BarsPicture())) is screens.Plain
    assert terminal.getvalue().count("pip install 'ajobs[cli]'") == 1


def test_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has none, or whose reader is gone, goes on."""
    for file in (None, io.TextIOWrapper(io.BytesIO())):
        monkeypatch.setattr(sys, "stderr", file)
        if file is not None:
            file.close()

        screen = screens.open_screen(screens.TablePicture())
        screen.show([Seen(1, state=JobState.COMPLETED, end_seconds=1.0)], 1.0)


class FakeKernel:
    """A notebook, as far as a view sees it."""

    def __init__(self) -> None:
        self.kernel = self
        self.pages: list[str] = []

    def display(self, page: str, display_id: bool) -> FakeKernel:
        """Add an output."""
        assert display_id
        self.pages.append(page)
        return self

    def update(self, page: str) -> None:
        """Replace it."""
        self.pages.append(page)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """Stand in for IPython in a kernel."""
    kernel = FakeKernel()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: kernel  # type: ignore[attr-defined]
    display.HTML = str  # type: ignore[attr-defined]
    display.display = kernel.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.delenv("AJOBS_PROGRESS", raising=False)
    return kernel


async def test_watch_in_a_notebook(notebook: FakeKernel) -> None:
    """One output of the cell is replaced, only when something changed, and the last one stays."""
    gate = anyio.Event()
    async with Session() as jobs:
        jobs.start(copy, gate, name="<b>backup")
        await anyio.wait_all_tasks_blocked()
        await watched(jobs, gate)

    assert len(notebook.pages) == 3
    assert "<progress" in notebook.pages[1]
    assert "&lt;b&gt;backup" in notebook.pages[1]
    assert "Completed" in notebook.pages[2]


async def test_bars_in_a_notebook(notebook: FakeKernel) -> None:
    """Bars are shown in an output that is empty again at the end."""
    gate = anyio.Event()
    async with Session() as jobs:
        jobs.start(copy, gate, name="backup")
        await anyio.wait_all_tasks_blocked()
        async with ajobs.show_progress(jobs):
            await anyio.wait_all_tasks_blocked()
            gate.set()

    assert "backup: copying" in notebook.pages[1]
    assert notebook.pages[-1] == ""


async def test_one_at_a_time_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view inside another one says in lines what the outer one cannot show."""
    terminal = a_terminal(monkeypatch)
    async with Session() as jobs, ajobs.show_progress(jobs):
        jobs.start(give, 1, name="inner")
        await jobs.watch()

    assert "inner: Completed after" in terminal.getvalue()


class HungUp(FakeTerminal):
    """A terminal whose window was closed."""

    def write(self, text: str) -> int:
        """Fail, as the system does."""
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        """Fail in the same way."""
        raise OSError(5, "Input/output error")


async def test_a_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs go on when nobody can see them any more."""
    a_terminal(monkeypatch)
    gone = HungUp()
    monkeypatch.setattr(sys, "stderr", gone)
    async with Session() as jobs:
        job = jobs.start(give, 1)
        await jobs.watch()
        assert job.is_finished
        assert sys.stderr is gone


async def test_logs_appear_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that holds on to the terminal writes above the picture, and has it back."""
    terminal = a_terminal(monkeypatch)
    handler = logging.StreamHandler(terminal)
    logger = logging.getLogger("tests.view.logs")
    monkeypatch.setattr(logger, "handlers", [handler])
    gate = anyio.Event()
    async with Session() as jobs:
        jobs.start(copy, gate, name="backup")
        await anyio.wait_all_tasks_blocked()
        async with ajobs.show_progress(jobs):
            await anyio.wait_all_tasks_blocked()
            assert handler.stream is not terminal
            logger.warning("disk is nearly full")
            gate.set()

    before, after = terminal.getvalue().split("disk is nearly full", 1)
    assert handler.stream is terminal
    assert before.endswith("\x1b[2K")  # the picture was wiped off first
    assert "backup: copying" in after
