"""The session as code without an event loop sees it: the same verbs, each of them waits.

The loop runs in a thread of its own, or is that of the async session around. What the verbs
mean is the async session's business.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator
from functools import partial, wraps
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    TypeVarTuple,
    Unpack,
    overload,
)

from .. import _spec
from .._errors import SessionClosed
from .._exit import close_at_exit, forget, left_open
from .._job import Job as AsyncJob
from .._logs import logger
from .._records import Record, StateChange
from .._runner import Runner
from .._session import Session as AsyncSession
from .._session import current_session
from .._state import JobState
from .._waiting import WaitResult, as_completed, wait_all, wait_any
from ._bridge import Bridge, refuse_here
from ._foreach import ForeachVerbs
from ._handles import Handles, JobList, Jobs, behind
from ._host import Host
from ._job import Each, Job, handle
from ._seen import Seen
from ._source import readable

if TYPE_CHECKING:
    from datetime import datetime

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
P = ParamSpec("P")


class StartOptions(_spec.StartOptions, total=False):
    """The options of `ajobs.Session.start`."""

    runner: str | Runner | None


class SessionOptions(TypedDict, total=False):
    """The options of `ajobs.Session` beside its name."""

    throttle: float
    drain: float
    stop_grace: float
    retain: int | None
    output_limit: int | None
    overflow: Literal["wait", "error"]


def _starting(
    verb: Callable[Concatenate[AsyncSession, P], AsyncJob[T]],
) -> Callable[Concatenate[SessionView, P], Job[T]]:
    """Make a verb that starts a job, with the arguments of the async session's."""

    @wraps(verb)
    def start(self: SessionView, /, *args: P.args, **kwargs: P.kwargs) -> Job[T]:
        return self._start(verb, *args, **kwargs)

    return start


class SessionView(Seen, ForeachVerbs):
    """The verbs of a session, for threads. `current` and `Session` make it.

    Any number of threads may use it at once. Every call that waits can be left with Ctrl-C,
    which leaves the jobs alone.
    """

    def __init__(self, session: AsyncSession, bridge: Bridge | None) -> None:
        self._session = session
        self._way = bridge

    @property
    def _bridge(self) -> Bridge:
        if self._way is None:
            raise SessionClosed(
                "the session takes no jobs: it was not entered: "
                "`with ajobs.blocking.Session() as jobs:`"
            )

        return self._way

    # Starting

    @overload
    def start(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        **options: Unpack[StartOptions],
    ) -> Job[T]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], AsyncIterator[Any]],
        *args: *Ts,
        **options: Unpack[StartOptions],
    ) -> Job[None]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], Generator[Any, Any, T]],
        *args: *Ts,
        **options: Unpack[StartOptions],
    ) -> Job[T]: ...
    @overload
    def start(
        self, fn: Callable[[*Ts], T], *args: *Ts, **options: Unpack[StartOptions]
    ) -> Job[T]: ...

    def start(  # type: ignore[misc]  # mypy cannot match *Ts with *args: Any
        self, fn: Callable[..., Any], *args: Any, **options: Any
    ) -> Job[Any]:
        """Start ``fn(*args)`` as a job. See `ajobs.Session.start`.

        An async function runs on the session's loop, a plain one in a thread. An *input* that
        is a plain iterable is pulled by a thread of its own, so it may wait, and call verbs of
        this session.
        """
        return self._start(AsyncSession.start, fn, *args, **options)

    def _start(self, verb: Callable[..., AsyncJob[T]], *args: Any, **options: Any) -> Job[T]:
        bridge = self._bridge
        if "input" in options:
            options["input"] = readable(options["input"], bridge.loop)

        return handle(bridge.call(partial(verb, self._session, *args, **options)), bridge)

    start_command = _starting(AsyncSession.start_command)
    start_script = _starting(AsyncSession.start_script)

    @property
    def throttle(self) -> float:
        """Most jobs running at once; setting it affects the waiting ones at once."""
        return self._session.throttle

    @throttle.setter
    def throttle(self, value: float) -> None:
        if self._way is None:
            self._session.throttle = value
        else:
            self._way.call(lambda: setattr(self._session, "throttle", value))

    # Looking

    @property
    def name(self) -> str | None:
        """Its name, for people."""
        return self._session.name

    def __getitem__(self, key: int | str) -> Job[Any]:
        """Return the job with this id, or the only one with exactly this name.

        Raises:
            JobNotFound: None has it, or several have this name.
        """
        return handle(self._bridge.call(lambda: self._session[key]), self._bridge)

    def __iter__(self) -> Iterator[Job[Any]]:
        """Iterate over a snapshot of the jobs, in id order."""
        return (handle(job, self._bridge) for job in self._session)

    def __len__(self) -> int:
        """Return how many jobs are in the table."""
        return len(self._session)

    def __contains__(self, job: object) -> bool:
        """Tell whether *job* is in the table."""
        return isinstance(job, Job) and job.behind in self._session

    def __bool__(self) -> bool:
        """Return True: a session without jobs is a session."""
        return True

    def __repr__(self) -> str:
        """Return name, phase and how many jobs are in which state."""
        show = partial(repr, self._session)
        text = show() if self._way is None else self._way.call(show)
        return text.replace("<Session", "<blocking.Session", 1)

    @property
    def _shown_as(self) -> AsyncSession:
        return self._session

    def watch(self) -> None:
        """Show a live table of the jobs until all have finished. See `ajobs.Session.watch`."""
        self._bridge.run(self._session.watch)

    def trace(self, path: str | os.PathLike[str]) -> None:
        """Write a time line of the jobs to *path*. See `ajobs.Session.trace`."""
        self._session.trace(path)

    def get(
        self,
        name: str | Iterable[str] | None = None,
        id: int | Iterable[int] | None = None,  # noqa: A002  # the word of the field
        kind: str | None = None,
        state: JobState | str | None = None,
        has_more_data: bool | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        newest: int | None = None,
        children: bool = False,
    ) -> list[Job[Any]]:
        """Return the jobs that pass all the filters given, in id order.

        See `ajobs.Session.get`.
        """
        get = partial(
            self._session.get, name, id, kind, state, has_more_data, before, after, newest, children
        )
        return JobList(handle(job, self._bridge) for job in self._bridge.call(get))

    def follow(self) -> Iterator[tuple[Job[Any], Record | StateChange]]:
        """Iterate over ``(job, record)`` for every record and change of state of all jobs.

        It ends when the session has closed. See `ajobs.Session.follow`.
        """
        follower = self._bridge.call(self._session.follow)
        each = Each(self._bridge, follower.next_nowait, follower.__anext__)
        return ((handle(job, self._bridge), told) for job, told in each)

    # Waiting

    def wait_any(self, *jobs: Jobs[T], timeout: float | None = None) -> WaitResult[Job[T]]:
        """Wait until at least one of *jobs* has finished. See `ajobs.wait_any`."""
        given = behind(jobs)
        result = self._bridge.run(lambda: wait_any(*given, timeout=timeout))
        return self._shown(result)

    def wait_all(self, *jobs: Jobs[T], timeout: float | None = None) -> WaitResult[Job[T]]:
        """Wait until all of *jobs* have finished. See `ajobs.wait_all`."""
        given = behind(jobs)
        result = self._bridge.run(lambda: wait_all(*given, timeout=timeout))
        return self._shown(result)

    def _shown(self, result: WaitResult[AsyncJob[T]]) -> WaitResult[Job[T]]:
        return WaitResult(
            [handle(job, self._bridge) for job in result.done],
            Handles(result.pending, self._bridge),
        )

    def as_completed(self, *jobs: Jobs[T], timeout: float | None = None) -> Iterator[Job[T]]:
        """Iterate over *jobs*, each when it has finished. See `ajobs.as_completed`."""
        given = behind(jobs)
        ended = self._bridge.call(lambda: as_completed(*given, timeout=timeout))
        each = Each(self._bridge, ended.next_nowait, ended.__anext__)
        return (handle(job, self._bridge) for job in each)

    # Stopping and removing

    def stop(self, *jobs: Jobs[Any], grace: float | None = None) -> bool:
        """Stop *jobs*, all at the same time; return whether all have finished.

        All jobs of a session are ``jobs.stop(jobs)``. See `ajobs.Session.stop`.
        """
        given = behind(jobs)
        return self._bridge.run(lambda: self._session.stop(*given, grace=grace), stops=False)

    def remove(self, *jobs: Jobs[Any], force: bool = False) -> None:
        """Take *jobs* off the table; unfinished ones only with *force*, which stops them.

        See `ajobs.Session.remove`.
        """
        given = behind(jobs)
        self._bridge.run(lambda: self._session.remove(*given, force=force), stops=False)


class Session(SessionView):
    """A block that owns jobs, for code without an event loop.

    ``with ajobs.blocking.Session() as jobs:`` runs a loop in a thread of its own. Leaving the
    block waits for every job; leaving it by an exception, Ctrl-C included, stops them all.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        backend: Literal["asyncio", "trio"] = "asyncio",
        failures: Literal["raise", "keep"] = "raise",
        **options: Unpack[SessionOptions],
    ) -> None:
        """Describe a session; entering it opens it.

        Args:
            name: For people.
            backend: The event loop, "asyncio" or "trio".
            failures: "raise": failures that nobody saw are raised when the block is left.
                "keep": they stay in the table.
            options: See `ajobs.Session`.
        """
        if backend not in {"asyncio", "trio"}:
            raise ValueError(f"backend must be 'asyncio' or 'trio', not {backend!r:.80}")

        super().__init__(AsyncSession(name, failures=failures, **options), None)
        self._host = Host(self._session, backend)

    def __enter__(self) -> Self:
        """Start the loop and open the session."""
        if self._way is not None:
            raise RuntimeError("a session is entered once: make a new one")

        self._way = Bridge(self._host.open())
        close_at_exit(self._close_late)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Wait for the jobs, or stop them; raise the failures that nobody saw."""
        if self._bridge.loop.is_inherited or self._bridge.is_over:
            return

        if self._session.loop.in_thread:
            refuse_here()

        self._session.refuse_own_job()
        forget(self._close_late)
        self._leave(exc)

    def _leave(self, exc: BaseException | None) -> None:
        try:
            self._host.close(exc)
        finally:
            self._bridge.close()

    def close(self) -> None:
        """Close a session that `open_session` has opened, as the end of a block does.

        Closing twice is harmless.

        Raises:
            ExceptionGroup: Failures that nobody saw, if the session was opened with
                ``failures="raise"``.
            DeadlockError: A job of the session calls, which would wait for itself.
            RuntimeError: This is the loop's own thread, which must not be blocked.
        """
        self.__exit__(None, None, None)

    def _close_late(self) -> None:
        """Close it at the end of the interpreter."""
        logger().warning("%s", left_open(self.name))
        self._leave(SystemExit())


def open_session(
    name: str | None = None,
    *,
    backend: Literal["asyncio", "trio"] = "asyncio",
    failures: Literal["raise", "keep"] = "keep",
    **options: Unpack[SessionOptions],
) -> Session:
    """Open a session that no block holds: ``jobs = ajobs.blocking.open_session()``.

    For a console or a notebook, where no block spans two statements. Close it with
    ``jobs.close()``. Failures are kept in the table unless *failures* says otherwise. See
    `Session` for the arguments.
    """
    return Session(name, backend=backend, failures=failures, **options).__enter__()


def current() -> SessionView:
    """Return the session that owns the thread job whose code calls.

    Raises:
        NoCurrentJob: The code is in no job of this process.
        RuntimeError: It runs on the session's event loop, which must not be blocked.
    """
    session = current_session()
    if session.loop.in_thread:
        refuse_here()

    return SessionView(session, Bridge(session.loop))
