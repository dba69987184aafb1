"""``ajobs demo``: real jobs on real input, told so that a newcomer can follow.

It hashes the standard library of the Python that runs it in threads, while tasks ask a web
server on this machine; a process parses it, a program is run, one job is stopped half-way and
one fails, on purpose. Nothing here uses more than the public names of the library.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import sysconfig
from collections import Counter
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import anyio
import rich_click as click

from .. import Job, Session, wait_all, wait_any
from .._view.text import cut_name
from ._format import megabytes
from ._options import backend_option
from ._server import PageError, get, serve
from ._signals import run_until_signal
from ._work import (
    HashedFile,
    count_functions,
    fetch_pages,
    find_files,
    hash_files,
    search_marks,
)

__all__ = ("command",)

CLIENTS = 4
REPORT_EVERY = 500  # files


@click.command("demo")
@backend_option
def command(backend: str) -> int:
    """Watch real jobs at work.

    Hashes the standard library in threads while tasks ask a small web server on this machine;
    receives, waits, stops, fails, and lists the jobs. It needs no network and a few seconds.
    """
    root = Path(sysconfig.get_path("stdlib"))
    say(f"ajobs demo: jobs on {backend}, Python {platform.python_version()}")
    say(f"The input: its standard library, {cut_name(str(root), 47)}")
    say("On the left the call, on the right where it runs or what came of it.")
    return run_until_signal(partial(tell, root), backend)


def say(text: str = "") -> None:
    """Print a line now: whoever watches through a pipe sees it when it happens."""
    print(text, flush=True)


def chapter(title: str) -> None:
    """Print a heading."""
    say(f"\n{title}")


def show(call: str, what: str) -> None:
    """Print a call, and what came of it."""
    say(f"  {call:<37}{what}")


class Started(NamedTuple):
    """The jobs that run at the same time."""

    server: Job[None]
    port: int
    hasher: Job[None]
    clients: list[Job[dict[str, str]]]


async def tell(root: Path) -> int:
    """Tell the story from the first job to the table of all of them; return the exit status."""
    begin = monotonic()
    async with Session("demo") as jobs:
        started = await start_jobs(jobs, root)
        files = await receive_files(started)
        pages = await wait_for_clients(started.clients)
        searched = await stop_half_way(jobs, sorted(file.path for file in files if file.is_source))
        await fail_on_purpose(jobs, started.port)
        modules = [file.path for file in files if file.is_source and file.path.parent == root]
        functions = await run_elsewhere(jobs, modules)
        await started.server.stop()

        chapter("7. Get: every job of the session, and whether it has more data to receive")
        say("  print(jobs)\n")
        say(str(jobs))
        results(root, files, pages, searched)
        result(
            "Functions", f"{functions:,} in the {len(modules)} top modules, by the other process"
        )
        for warning in jobs["find"].receive_nowait("warning"):
            result("Warning", warning)

    result("Time", f"{monotonic() - begin:.1f} s")
    return 0


async def start_jobs(jobs: Session, root: Path) -> Started:
    """Start a server, a pipeline of two jobs over the files, and the clients."""
    chapter("1. Start: an ordinary call that returns at once")
    server = jobs.start(serve, root, name="server")
    port: int = await server.receive().receive()
    show("jobs.start(serve, root)", f"task    web server on 127.0.0.1:{port}")

    finder = jobs.start(find_files, root, name="find")
    show("jobs.start(find_files, root)", "thread  yields the path of each file")

    hasher = jobs.start(hash_files, name="hash", input=finder.receive())
    show("jobs.start(hash_files, input=...)", "task    reads those paths, and calls")
    show("  parallel_foreach(..., throttle=8)", "threads hash 8 files at a time")

    names = sorted(
        [path.name async for path in anyio.Path(root).glob("*.py") if await path.is_file()]
    )
    clients = [
        jobs.start(fetch_pages, port, names[first::CLIENTS], name=f"client-{first + 1}")
        for first in range(CLIENTS)
    ]
    show("jobs.start(fetch_pages, port, ...)", f"task    x {CLIENTS}: {len(names)} requests in all")
    return Started(server, port, hasher, clients)


async def receive_files(started: Started) -> list[HashedFile]:
    """Take each file that was hashed, at the time when it is there."""
    hasher = started.hasher
    chapter("2. Receive: take what a job writes, while it runs")
    show("async for file in hasher.receive():", "each when it is there")
    files: list[HashedFile] = []
    async for file in hasher.receive():
        files.append(file)
        if len(files) % REPORT_EVERY == 0:
            states = Counter(str(client.state) for client in started.clients)
            others = ", ".join(f"{count} {state}" for state, count in states.items())
            say(f"    {len(files):6,} files so far; clients: {others}")

    say(f"    {len(files):6,} files; 'hash' is {hasher.state}")
    return files


async def wait_for_clients(clients: list[Job[dict[str, str]]]) -> dict[str, str]:
    """Wait for one, then for all of them; return the hash of each page."""
    chapter("3. Wait: for any, for all, or for the value of one")
    first = (await wait_any(clients)).done
    show("await wait_any(clients)", f"{', '.join(client.name for client in first)}")
    everyone = await wait_all(clients)
    show("await wait_all(clients)", f"{len(everyone.done)} of {len(clients)} have finished")
    pages: dict[str, str] = {}
    for client in clients:
        pages |= await client

    show("await client", f"its value: {len(pages)} pages in all four")
    return pages


class Searched(NamedTuple):
    """How far the search came."""

    files: int
    marks: int


async def stop_half_way(jobs: Session, paths: list[Path]) -> Searched:
    """Start a job that waits when nobody reads, read half of its output, and stop it."""
    chapter("4. Stop: end a job half-way; what it wrote stays")
    job = jobs.start(search_marks, paths, name="search", output_limit=10)
    show("jobs.start(..., output_limit=10)", "thread  waits while 10 are unread")
    half = len(paths) // 2
    output = job.receive()
    marks = sum([await output.receive() for _ in range(half)])
    show("await job.receive().receive()", f"{half:,} times of {len(paths):,}; job is {job.state}")
    await job.stop()
    show("await job.stop()", f"job is {job.state}")
    return Searched(half, marks)


async def fail_on_purpose(jobs: Session, port: int) -> None:
    """Ask for a page that is not there."""
    chapter("5. Fail: a failure is raised where you ask for the value")
    job = jobs.start(get, port, "no-such", name="broken")
    show('jobs.start(get, port, "no-such")', "task    asks for what is not there")
    try:
        await job
    except PageError as error:
        show("await job", f"raised {type(error).__name__}: {error}")

    show("job.state", str(job.state))


async def run_elsewhere(jobs: Session, paths: list[Path]) -> int:
    """Count the functions of the files at *paths* in a process; ask a program for its version."""
    chapter("6. Elsewhere: other processes and programs, with the same verbs")
    parser = jobs.start(count_functions, paths, runner="process", name="parse")
    show("jobs.start(..., runner='process')", "process with a GIL of its own")
    program = jobs.start_command([sys.executable, "--version"], name="python")
    show("jobs.start_command([...])", "command its lines are the output")
    lines = await program.receive()
    show("await job.receive(); await job", f"{lines[0]!r}, exit code {await program}")
    functions = await parser
    printed = parser.receive_nowait("information")
    show("await job", f"its value: {functions:,} functions")
    show('job.receive_nowait("information")', f"it printed {printed[0]!r}")
    return functions


def results(root: Path, files: list[HashedFile], pages: dict[str, str], searched: Searched) -> None:
    """Print what the jobs have found out."""
    digests = {file.path: file.digest for file in files}
    agreeing = sum(digests.get(root / name) == digest for name, digest in pages.items())
    sources = [file for file in files if file.is_source]
    chapter("Results")
    result("Files", f"{len(files):,}, {megabytes(sum(file.size for file in files))}")
    result("Python", f"{len(sources):,} files, {sum(file.lines for file in sources):,} lines")
    largest = max(files, key=lambda file: file.size)
    result(
        "Largest", f"{cut_name(str(largest.path.relative_to(root)), 50)}, {megabytes(largest.size)}"
    )
    result("Hash of all", fingerprint(root, files)[:32])
    result("Over HTTP", f"{agreeing} of {len(pages)} pages have the hash that the threads found")
    result("Searched", f"{searched.files:,} files: {searched.marks:,} lines say TODO, FIXME or XXX")


def result(title: str, text: str) -> None:
    """Print one line of the results."""
    say(f"  {title:<13}{text}")


def fingerprint(root: Path, files: list[HashedFile]) -> str:
    """Return one hash for all files: the same on every event loop, in every order."""
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(f"{file.digest}  {file.path.relative_to(root).as_posix()}\n".encode())

    return whole.hexdigest()
