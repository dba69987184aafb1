"""What every test gets: both event loops, a check that it left nothing behind, and a tally."""

import asyncio
import gc
import inspect
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import chain

import anyio
import pytest
import trio
from hypothesis import HealthCheck, settings

# Shells start what runs in the background with SIGINT ignored, and Python leaves it so: a test
# that interrupts itself would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 10.0  # seconds that a thread, a child or a task may take to end after its test

# The same examples on each push, however slow the machine; long runs ask for others.
settings.register_profile(
    "ajobs", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ajobs")


# Of our own, since anyio's would drop a loop that is not installed without a word.
@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop: every async test runs once on each."""
    return str(request.param)


def open_files() -> Iterator[str]:
    """Name every open descriptor with its target, so that a number used again counts as new."""
    if sys.platform != "linux":
        return

    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208 - Path.iterdir costs ten times as much
        with suppress(FileNotFoundError):  # the one that listdir itself had open
            yield f"file descriptor {fd} -> {os.readlink('/proc/self/fd/' + fd)}"  # noqa: PTH115


def is_idle(thread: threading.Thread) -> bool:
    """Tell whether *thread* is a pooled worker with no work, which its loop keeps for the next."""
    if thread.name == "AnyIO worker thread":
        return not vars(thread)["queue"].unfinished_tasks

    # trio renames a thread for as long as it works
    return re.fullmatch(r"Trio thread \d+", thread.name) is not None


def live_threads() -> Iterator[str]:
    """Name every thread that works."""
    for thread in threading.enumerate():
        if not is_idle(thread):
            yield f"thread {thread.name} ({thread.native_id})"


def child_processes() -> Iterator[str]:
    """Name every child that nobody has waited for yet, zombies included."""
    if sys.platform != "linux":
        return

    try:  # one call answers for most tests: no child, no need to walk /proc
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return

    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - as above
        try:
            with open(f"/proc/{pid}/stat", errors="replace") as stat:  # noqa: PTH123 - as above
                start, _, fields = stat.read().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we walked

        if int(fields.split()[1]) == os.getpid():
            yield f"child process {start})"


def footprint() -> frozenset[str]:
    """Describe what this process holds now."""
    return frozenset((*open_files(), *live_threads(), *child_processes()))


def left_since(before: frozenset[str], patience: float | None = None) -> list[str]:
    """List what came since *before* and does not go within *patience*, else `PATIENCE`."""
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    collecting = False  # dear, and the threads of a closed loop need one pause only
    while (left := footprint() - before) and time.monotonic() < deadline:
        if collecting:
            gc.collect()

        time.sleep(0.002)
        collecting = True

    return sorted(left)


def fail_if_any(left: list[str]) -> None:
    """Fail the running test with the list of what it *left* behind."""
    if left:
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test after which a descriptor, a thread or a child process is left over."""
    before = footprint()
    yield
    fail_if_any(left_since(before))


def live_tasks(backend: str) -> frozenset[object]:
    """Collect the tasks of the running loop, trio's system tasks included."""
    if backend == "asyncio":
        # Each step of a fixture or test comes in a short task of anyio's own.
        step = "TestRunner._call_in_runner_task"
        tasks = asyncio.all_tasks()
        return frozenset(t for t in tasks if getattr(t.get_coro(), "__qualname__", "") != step)

    found = set[object]()
    todo = [trio.lowlevel.current_root_task()]
    while todo:
        if task := todo.pop():
            found.add(task)
            todo += [child for nursery in task.child_nurseries for child in nursery.child_tasks]

    return frozenset(found)


@pytest.fixture
async def no_task_left_behind(anyio_backend_name: str) -> AsyncIterator[None]:
    """Fail an async test after which a task lives on; closing the loop would hide it."""
    before = live_tasks(anyio_backend_name)
    yield
    with anyio.move_on_after(PATIENCE):
        while live_tasks(anyio_backend_name) - before:  # noqa: ASYNC110 - tasks send no event
            await anyio.sleep(0.002)

    fail_if_any([f"task {task!r}" for task in live_tasks(anyio_backend_name) - before])


@pytest.fixture(autouse=True)
def children_measured_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the coverage of children on asyncio only: it costs each of them 0.14 s.

    They do the same for both loops; and what is killed tells nothing.
    """
    values = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if "trio" in values or request.node.get_closest_marker("kill"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What to count in; the sums of all tests are printed at the end."""
    counts = Counter[str]()
    yield counts
    # It travels with the report, which gets to whoever prints, from another process too.
    request.node.user_properties.append(("tally", dict(counts)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests counted, with the seeds that they name."""
    total = Counter[str]()
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", None) == "teardown":  # a test's last, with all that it has told
            total.update(dict(report.user_properties).get("tally", ()))

    for name, count in sorted(total.items()):
        terminalreporter.write_line(f"reliability: {count:,} {name}")


def pytest_collection_finish() -> None:
    """Leave what lives until the end of the run, above all the items, out of every collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Give every async test `no_task_left_behind`; autouse would give it to the sync ones too."""
    if not isinstance(collector, pytest.Module | pytest.Class):
        return

    # A hypothesis test is a plain function here, and a loop of its own runs each of its examples.
    if collector.istestfunction(obj, name) and inspect.iscoroutinefunction(obj):
        pytest.mark.usefixtures("no_task_left_behind")(obj)
