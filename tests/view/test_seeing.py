"""Jobs, lists of jobs and sessions as people see them: printed, in rich, in a notebook."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import anyio
import pytest
from rich.console import Console

import ajobs
from ajobs import Job, Session
from ajobs._table import JobList
from tests.support import fail, forever, give, nothing

HOSTILE = "\x1b[2J<b>&\nname\u202e [red]"


def by_rich(what: object, width: int = 80, color: bool = False) -> str:
    """Return what rich prints."""
    file = io.StringIO()
    system: Any = "truecolor" if color else None
    Console(file=file, width=width, color_system=system, force_terminal=color).print(what)
    return file.getvalue()


class Text(HTMLParser):
    """The text of a page, its tags, and an error for a tag that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Note a tag that begins."""
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note that it ends."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        if self._open[-1] != "style":
            self.texts.append(data)


def far_failure() -> None:
    """Fail, in a worker."""
    raise LookupError("not there")


async def three(jobs: Session) -> list[Job[Any]]:
    """Start a job that completes, one that fails and one that waits; return them."""
    started = [
        jobs.start(give, 3, name="good"),
        jobs.start(fail, ValueError("no such file"), name="bad"),
        jobs.start(forever, name="server"),
    ]
    await ajobs.wait_all(started[:2])
    return started


async def test_printed_list_is_get_jobs_table() -> None:
    """`print(jobs.get())` and `print(jobs)` show PowerShell's columns, and why jobs failed."""
    async with Session(failures="keep") as jobs:
        good, _, server = await three(jobs)
        lines = str(jobs).splitlines()
        assert str(jobs) == str(jobs.get()) == repr(jobs.get())
        assert " ".join(lines[0].split()) == "Id Name Kind State HasMoreData Location Command"
        assert lines[2].split()[:5] == [str(good.id), "good", "task", "Completed", "True"]
        assert [line.split()[3] for line in lines[2:5]] == ["Completed", "Failed", "Running"]
        assert lines[5:] == ["", "bad: ValueError: no such file"]
        await server.stop()

    assert "Stopped" in str(jobs)


async def test_lists_are_lists() -> None:
    """What `get` returns is an ordinary list of jobs."""
    async with Session() as jobs:
        job = jobs.start(nothing)
        assert jobs.get() == [job]
        assert isinstance(jobs.get(), list)
        assert (str(jobs.get(name="x*")), bool(jobs.get(name="x*"))) == ("[]", False)
        assert by_rich(jobs.get(name="x*")) == "[]\n"


async def test_empty_session() -> None:
    """A session without jobs is shown in one line."""
    async with Session("empty") as jobs:
        assert str(jobs) == repr(jobs) == "<Session 'empty' open: no jobs>"
        assert by_rich(jobs) == "<Session 'empty' open: no jobs>\n"
        assert "table" in Text(jobs._repr_html_()).tags


async def test_views_never_see_a_failure() -> None:
    """Looking at a failed job in any way leaves its failure to be raised at the end."""

    async def look() -> None:
        async with Session() as jobs:
            job = (await three(jobs))[1]
            await jobs.stop(jobs.get(state="Running"))
            for what in (job, jobs, JobList(jobs)):
                assert "no such file" in str(what)
                assert "no such file" in by_rich(what)
                assert "no such file" in what._repr_html_()
                assert repr(what)

    with pytest.raises(ExceptionGroup, match="nobody looked"):
        await look()


async def test_failed_job_shows_its_traceback() -> None:
    """A failed job is shown with the lines of code that failed."""
    async with Session(failures="keep") as jobs:
        job = jobs.start(fail, ValueError("no such file"))
        await job.wait()

    for text in (str(job), by_rich(job), job._repr_html_()):
        assert "raise error" in text
        assert "in fail" in text
        assert "site-packages" not in text


@pytest.mark.slow
async def test_failed_process_shows_the_far_traceback() -> None:
    """Of a process job the traceback is that of the worker."""
    async with Session(failures="keep") as jobs:
        job = jobs.start(far_failure, runner="process")
        await job.wait()

    for text in (str(job), by_rich(job), "".join(Text(job._repr_html_()).texts)):
        assert 'raise LookupError("not there")' in text
        assert "in far_failure" in " ".join(text.split())  # a long path breaks the line


async def test_shown_when_no_loop_runs() -> None:
    """Handles and sessions can be shown in a finished program."""

    def look(what: object) -> tuple[str, str, str, str]:
        return (str(what), repr(what), by_rich(what), what._repr_html_())  # type: ignore[attr-defined]

    async with Session(failures="keep") as jobs:
        job = (await three(jobs))[1]
        await jobs.stop(jobs.get(state="Running"))

    # A thread has no loop.
    assert all(await anyio.to_thread.run_sync(look, job))
    assert all(await anyio.to_thread.run_sync(look, jobs))


async def test_F11_hostile_values_are_escaped() -> None:
    """Names and messages can neither move the cursor, nor be read as markup or as HTML."""
    async with Session(failures="keep") as jobs:
        job = jobs.start(fail, ValueError(HOSTILE), name=HOSTILE)
        await job.wait()

    for what in (job, jobs, JobList(jobs)):
        for text in (str(what), by_rich(what), what._repr_html_()):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "\\x1b[2J" in text

        assert "[red]" in by_rich(what)
        assert "b" not in Text(what._repr_html_()).tags
        assert "<b>&" in "".join(Text(what._repr_html_()).texts)


class Unprintable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("never")


async def test_failure_without_a_text() -> None:
    """An exception whose own methods fail can be shown."""
    async with Session(failures="keep") as jobs:
        job = jobs.start(fail, Unprintable())
        await job.wait()

    for what in (job, jobs):
        assert "Unprintable" in str(what) + by_rich(what)
        assert "Unprintable" in what._repr_html_()


async def test_long_values_are_cut() -> None:
    """Long names, messages and tracebacks take bounded room, and tell of the rest."""

    def deep(left: int) -> None:
        if left:
            deep(left - 1)

        raise ValueError("x" * 100_000)

    async with Session(failures="keep") as jobs:
        job = jobs.start(deep, 400, name="n" * 10_000)
        await job.wait()

    for text in (str(job), by_rich(job), job._repr_html_(), str(jobs), jobs._repr_html_()):
        assert len(text) < 40_000

    assert max(map(len, str(jobs).splitlines())) <= 80


@pytest.mark.parametrize("width", [24, 33, 40, 60, 80, 200])
async def test_tables_fit_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any width a table has lines of that width at most, with id, name and state in them."""
    monkeypatch.setenv("COLUMNS", str(width))
    async with Session(failures="keep") as jobs:
        for number in range(12):
            jobs.start(nothing, name=f"a job with quite a long name {number} 名前")

    for text in (str(jobs), by_rich(jobs, width)):
        lines = text.splitlines()
        assert max(len(line) + line.count("名") + line.count("前") for line in lines) <= width
        assert all(word in lines[0] for word in ("Id", "Name", "State"))
        assert "Completed" in lines[-1]
        assert "Location" not in lines[0] or "localhost" in lines[-1]  # cut, it says nothing


async def test_many_jobs_are_counted() -> None:
    """A view shows the first thousand jobs and says how many there are besides."""
    async with Session() as jobs:
        for _ in range(1234):
            jobs.start(nothing)

    for text in (str(jobs), by_rich(jobs), jobs._repr_html_()):
        assert "... and 234 more jobs" in text


async def test_colours() -> None:
    """On a terminal the state has a colour."""
    async with Session() as jobs:
        jobs.start(nothing)

    assert "\x1b[32mCompleted" in by_rich(jobs, color=True)


async def test_style_outweighs_that_of_notebooks() -> None:
    """JupyterLab moves the text of tables to the right, by rules of two classes."""
    async with Session() as jobs:
        jobs.start(nothing)

    rules = re.findall(r"(\S[^{}]*){", jobs._repr_html_().partition("</style>")[0])
    assert rules
    assert all(one.count(".ajobs") >= 3 for rule in rules for one in rule.split(","))


@pytest.mark.slow
def test_views_load_rich_only_for_rich() -> None:
    """Text and HTML need no rich, nor does the import."""
    program = (
        "import sys, anyio, ajobs\n"
        "async def main():\n"
        "    async with ajobs.Session() as jobs:\n"
        "        job = jobs.start(anyio.sleep, 0)\n"
        "    str(job), str(jobs), job._repr_html_(), jobs.get()._repr_html_()\n"
        "anyio.run(main)\n"
        "print('rich' in sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout == b"False\n"


async def test_finished_jobs_are_not_under_way() -> None:
    """What a job told of its progress last says nothing once it has ended."""

    async def forgets() -> None:
        ajobs.write_progress("copying", percent=95)

    async with Session() as jobs:
        job = jobs.start(forgets)

    assert job.status_message == ""
    assert "copying" not in str(job)
