"""What the conformance tests share: places to run a job in, and a gate to hold it there."""

import threading
from collections.abc import AsyncIterator, Callable, Generator
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, cast

import anyio
import pytest

import ajobs


class Gate:
    """Holds jobs, in tasks and in threads, until a test opens it; a stop lets them go too."""

    def __init__(self) -> None:
        self._for_tasks = anyio.Event()
        self._for_threads = threading.Event()

    def open(self) -> None:
        """Let every job go on, now and later."""
        self._for_tasks.set()
        self._for_threads.set()

    async def task(self) -> None:
        """Wait in a task."""
        await self._for_tasks.wait()

    def thread(self) -> None:
        """Wait in a thread, as code that can be stopped does."""
        while not self._for_threads.wait(0.001):
            ajobs.check_stop()


class Place:
    """A kind of job, and functions in the form in which it runs them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def fn(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Return *plain*, which never waits, as a function for this place."""
        if self.kind == "thread":
            return plain

        if isgeneratorfunction(plain):

            @wraps(plain)
            async def generate(*args: Any) -> AsyncIterator[Any]:
                for value in cast("Generator[Any]", plain(*args)):
                    yield value

            return generate

        @wraps(plain)
        async def call(*args: Any) -> Any:
            return plain(*args)

        return call

    def hold(self, gate: Gate, before: Callable[[], Any] = lambda: None) -> Callable[[], Any]:
        """Return a function that calls *before*, waits for *gate*, and returns "done"."""

        async def hold_task() -> str:
            before()
            await gate.task()
            return "done"

        def hold_thread() -> str:
            before()
            gate.thread()
            return "done"

        return hold_task if self.kind == "task" else hold_thread


@pytest.fixture(params=["task", "thread"])
def place(request: pytest.FixtureRequest) -> Place:
    """Where the job of the test runs: once as a task and once in a thread."""
    return Place(request.param)


@pytest.fixture
def gate() -> Gate:
    """Return a closed gate."""
    return Gate()


async def running(*jobs: ajobs.Job[Any]) -> None:
    """Wait until each of *jobs* has left the queue."""
    for job in jobs:
        changes = job.follow(states=True)
        while job.state == "NotStarted":
            await anext(changes)


async def first_record(job: ajobs.Job[Any]) -> None:
    """Wait until *job* has written something; nothing is taken."""
    await anext(job.follow())


def by_instance_id(jobs: ajobs.Session, job: ajobs.Job[Any]) -> ajobs.Job[Any]:
    """Find a job by its instance id: a comprehension does what PowerShell has a parameter for."""
    (found,) = [one for one in jobs if one.instance_id == job.instance_id]
    return found


#: PowerShell's ways to name a job, written with a session.
FINDERS: dict[str, Callable[[ajobs.Session, ajobs.Job[Any]], ajobs.Job[Any]]] = {
    "name": lambda jobs, job: jobs[job.name],
    "id": lambda jobs, job: jobs[job.id],
    "instance id": by_instance_id,
    "state": lambda jobs, job: jobs.get(state=job.state)[0],
}


@pytest.fixture(params=FINDERS)
def find(request: pytest.FixtureRequest) -> Callable[[ajobs.Session, ajobs.Job[Any]], Any]:
    """Return one of PowerShell's ways to name a job."""
    return FINDERS[request.param]
