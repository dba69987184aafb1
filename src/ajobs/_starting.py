"""Starting jobs: from what a caller asks to a checked spec and the runner that takes it.

Every verb that starts a job is here; each ends in `Starter.start`. What a wrong argument
raises, it raises here, before there is a job. Who owns the job is its session's business.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from inspect import CO_COROUTINE
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    TypeVarTuple,
    Unpack,
    overload,
)

from ._checks import count, kind_of, one_of, seconds
from ._errors import SessionClosed
from ._input import check_input
from ._job import Job
from ._loop import Loop
from ._named import NAMES, HostedRunner, make_runner
from ._reading import Receipt
from ._runner import Runner
from ._spec import Input, JobOptions, JobSpec, StartOptions

if TYPE_CHECKING:
    from ._foreach.job import ForeachJob

T = TypeVar("T")
J = TypeVar("J", bound=Job[Any])
Ts = TypeVarTuple("Ts")


class Starter(ABC):
    """What a session is to those who start jobs in it."""

    _loop: Loop
    _stop_grace: float

    def __init__(self, defaults: JobOptions) -> None:
        """Start nothing yet; *defaults* are for jobs that do not say."""
        self._defaults = defaults
        self._runners: dict[str, Runner] = {}
        self._phase: str = "not entered"
        self._accepts = False

    @abstractmethod
    def _add(self, runner: Runner, spec: JobSpec, make: type[J] = Job) -> J:  # type: ignore[assignment]  # mypy: no default for a type variable
        """Make the job, of the class *make*, and own it."""

    @overload
    def start(
        self,
        fn: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        runner: str | Runner | None = None,
        **options: Unpack[StartOptions],
    ) -> Job[T]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], AsyncIterator[Any]],
        *args: *Ts,
        runner: str | Runner | None = None,
        **options: Unpack[StartOptions],
    ) -> Job[None]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], Generator[Any, Any, T]],
        *args: *Ts,
        runner: str | Runner | None = None,
        **options: Unpack[StartOptions],
    ) -> Job[T]: ...
    @overload
    def start(
        self,
        fn: Callable[[*Ts], T],
        *args: *Ts,
        runner: str | Runner | None = None,
        **options: Unpack[StartOptions],
    ) -> Job[T]: ...

    def start(  # type: ignore[misc]  # mypy cannot match *Ts with *args: Any
        self,
        fn: Callable[..., Any],
        *args: Any,
        runner: str | Runner | None = None,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,  # noqa: A002  # the word of the field
        output_limit: int | None = None,
        overflow: Literal["wait", "error"] | None = None,
        auto_remove: bool = False,
        **keywords: object,
    ) -> Job[Any]:
        """Start ``fn(*args)`` as a job. An ordinary call: it never waits.

        It works until the last job has finished, also while the block is being left, so jobs
        may start jobs. Keyword arguments for *fn* go through `functools.partial`.

        Args:
            fn: An async function or async generator runs as a task on the loop, a plain
                function or generator in a thread, unless *runner* says otherwise.
            args: Its arguments.
            runner: None, "task", "thread", or a `Runner`. An async function given to another
                runner than "task" has an event loop of its own there.
            name: For people and look-ups; by default ``Job<id>``.
            timeout: Seconds of running, after which the job fails with `JobTimeout`.
            input: What the job reads with `ajobs.job_input()`: an iterable, pulled on the
                loop's thread, or an async iterable, pulled and closed by one task.
            output_limit: Most unread output, error and warning records; None takes the
                session's.
            overflow: What a full output does: the job waits ("wait") or fails ("error").
            auto_remove: Take the job off the table when it has finished, its failure was
                seen, and nothing is unread but the return value.
            keywords: None: an argument of *fn* is refused with the words to write instead.

        Returns:
            The job, queued; its code begins at the next turn of the loop at the earliest.

        Raises:
            TypeError: *fn* cannot be called or does not suit the runner; another argument
                is of the wrong sort.
            ValueError: An argument is out of range, or a word is unknown.
            SessionClosed: The session is not open, or stops its jobs already.
            RuntimeError: Called from another thread or loop.
        """
        if not self._accepts or not self._loop.may_start_here:
            self._refuse_start()

        if keywords:
            refuse_keywords(fn, keywords)

        if runner is None and type(fn) is FunctionType and fn.__code__.co_flags & CO_COROUTINE:
            place = self._runners.get("task") or self._named_runner("task")
            is_checked = True
        else:
            place = self._runner_for(runner, fn)
            is_checked = False

        options = self._defaults
        if (
            name is not None
            or timeout is not None
            or input is not None
            or output_limit is not None
            or overflow is not None
            or auto_remove
        ):
            options = self._options(name, timeout, input, output_limit, overflow, auto_remove)

        spec = JobSpec(fn, args, options)
        return self._add(place, spec if is_checked else place.check(spec))

    def start_command(
        self,
        argv: Sequence[str | bytes | os.PathLike[Any]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        check: bool = True,
        encoding: str | None = "utf-8",
        **options: Unpack[StartOptions],
    ) -> Job[int]:
        """Start a program as a job; its exit code is the value. No shell takes *argv* apart.

        Lines of its standard output are output, those of its standard error are error
        records that do not set `Job.had_errors`. A stop ends its whole process group:
        SIGTERM, after the grace SIGKILL.

        Args:
            argv: The program and its arguments.
            cwd: Its directory; None: the caller's, now.
            env: Its whole environment; None: this process's own.
            stdin: What it reads on standard input; None: nothing, or *input*, item by item.
            check: Whether an exit code other than 0 fails the job.
            encoding: Of its output; bytes that are none of it are kept as escapes. None:
                lines are bytes.
            **options: `name`, `timeout`, `input`, `output_limit`, `overflow` and `auto_remove`
                of `start`. It reads *input* on standard input, each item a line.

        Raises:
            TypeError: *argv* is one string, or holds something else than arguments.
            ValueError: *argv* is empty, or another argument is out of range.
            FileNotFoundError: *cwd* does not exist.
            RunnerUnavailable: This system cannot run such jobs.
        """
        from .runners.command import Command  # loaded on use, see _named

        command = Command(argv, cwd=cwd, env=env, stdin=stdin, check=check, encoding=encoding)
        return self._start_in("command", command, options)

    def start_script(
        self,
        path: str | os.PathLike[str],
        *argv: str,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        **options: Unpack[StartOptions],
    ) -> Job[int]:
        """Start a Python file as ``__main__`` of a worker process; its exit code is the value.

        Lines that it prints are output, those on standard error are error records that do
        not set `Job.had_errors`, and `ajobs.write_output` and the like work in it.

        Args:
            path: The file.
            *argv: Its arguments, ``sys.argv[1:]`` there.
            cwd: Its directory; None: the caller's, now.
            env: Its `os.environ`; None: the same as here.
            check: Whether an exit code other than 0 fails the job.
            **options: `name`, `timeout`, `input`, `output_limit`, `overflow` and `auto_remove`
                of `start`. It reads *input* with `ajobs.job_input()`.

        Raises:
            FileNotFoundError: The file or *cwd* does not exist.
            TypeError: An argument is not text.
            RunnerUnavailable: This system cannot run such jobs.
        """
        from .runners.script import Script  # loaded on use, see _named

        script = Script(path, *argv, cwd=cwd, env=env, check=check)
        return self._start_in("script", script, options)

    def start_foreach(
        self,
        iterable: Iterable[Any] | AsyncIterable[Any],
        fn: Callable[[Any], Any],
        *,
        throttle: float = 5,
        max_per_second: float | None = None,
        runner: str | Runner | None = None,
        ordered: bool | None = None,
        item_timeout: float | None = None,
        on_error: Literal["raise", "continue", "return"] = "continue",
        buffer: int | None = None,
        **options: Unpack[StartOptions],
    ) -> ForeachJob:
        """Start `ajobs.parallel_foreach` as one job: PowerShell's ``-Parallel -AsJob``.

        Results are the output of the job, while items run. It is Running from its first item
        on, tells how far it is (`ForeachJob.counts`, `Job.progress`), and has the items that
        run and those that failed as `Job.children`. Items that fail do not stop the others:
        at the end the job is Failed with `ForeachErrors`. After a stop `Job.status_message`
        says how many items did not run.

        Args:
            iterable: The items, as for `parallel_foreach`, like all up to *buffer*.
            fn: Called with each item.
            throttle: Most items that run at once. In the session it counts as one job.
            max_per_second: Most items that start in a second.
            runner: Where *fn* runs.
            ordered: Whether output comes in the order of the input.
            item_timeout: Seconds for each item.
            on_error: What the failure of an item does.
            buffer: How far items may be ahead of what the job has written.
            **options: `name`, `timeout`, `output_limit`, `overflow` and `auto_remove` of
                `start`; with an *output_limit* items wait until output is received, with
                *auto_remove* the job writes no progress records of its own.

        Raises:
            TypeError: An argument is of the wrong sort.
            ValueError: An argument is out of range.
            SessionClosed: The session is not open, or stops its jobs already.
        """
        from ._foreach.job import ForeachJob, ForeachRunner, foreach_spec  # loaded on use
        from ._foreach.plan import call_of

        if not self._accepts or not self._loop.may_start_here:
            self._refuse_start()

        refuse_unknown("start_foreach", options)
        if "input" in options:
            raise TypeError("start_foreach() has no option input: the items are its input")

        call = call_of(
            iterable,
            fn,
            throttle=throttle,
            max_per_second=max_per_second,
            runner=runner,
            ordered=ordered,
            timeout=None,
            item_timeout=item_timeout,
            on_error=on_error,
            buffer=buffer,
        )
        spec = foreach_spec(call, self._options(**options))
        return self._add(ForeachRunner(self._stop_grace), spec, ForeachJob)

    def _start_in(self, runner: str, fn: Callable[[], int], options: StartOptions) -> Job[int]:
        refuse_unknown(f"start_{runner}", options)
        return self.start(fn, runner=runner, **options)

    def _refuse_start(self) -> NoReturn:
        if not self._accepts:
            why = {
                "not entered": "it was not entered: `async with ajobs.Session() as jobs:`",
                "stopping": "it is stopping its jobs",
                "closed": "it is closed",
            }[self._phase]
            raise SessionClosed(f"the session takes no jobs: {why}")

        raise RuntimeError(
            "a session's jobs are started on its own event loop and thread; from elsewhere "
            "use ajobs.blocking, or anyio.from_thread.run_sync(jobs.start, ...)"
        )

    def _options(
        self,
        name: str | None = None,
        timeout: float | None = None,
        input: Input | None = None,  # noqa: A002  # the word of the field
        output_limit: int | None = None,
        overflow: str | None = None,
        auto_remove: bool = False,
    ) -> JobOptions:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r:.80}")

        if overflow is not None:
            one_of(overflow, "overflow", ("wait", "error"))

        if input is not None:
            check_input(input)
            if isinstance(input, Receipt):
                input.attach()

        most = count(output_limit, "output_limit")
        return JobOptions(
            name,
            seconds(timeout, "timeout"),
            input,
            self._defaults.output_limit if most is None else most,
            overflow or self._defaults.overflow,
            bool(auto_remove),
        )

    def _runner_for(self, runner: str | Runner | None, fn: object) -> Runner:
        kind = kind_of(fn)
        if isinstance(runner, Runner):
            return runner

        if runner is None:
            runner = "task" if kind.is_async else "thread"

        asked: object = runner
        if isinstance(asked, type) and issubclass(asked, Runner):
            raise TypeError(f"runner takes a Runner object, not its class: {asked.__name__}(...)")

        one_of(runner, "runner", NAMES)
        return self._runners.get(runner) or self._named_runner(runner)

    def _named_runner(self, name: str) -> Runner:
        runner = self._runners[name] = make_runner(name, self._loop)
        return runner

    def _close_runners(self) -> None:
        for runner in self._runners.values():
            if isinstance(runner, HostedRunner):
                runner.close()


def refuse_keywords(fn: object, keywords: dict[str, object]) -> NoReturn:
    """Raise for keyword arguments that were meant for the function."""
    name = getattr(fn, "__name__", "fn")
    given = ", ".join(f"{key}=..." for key in keywords)
    raise TypeError(
        f"start() has no option {', '.join(keywords)}; keyword arguments for the function go "
        f"through functools.partial: start(partial({name}, {given}))"
    )


def refuse_unknown(verb: str, options: StartOptions) -> None:
    """Raise for options that *verb* has not, as Python does where it knows them all."""
    for option in options:
        if option not in StartOptions.__annotations__:
            raise TypeError(f"Session.{verb}() got an unexpected keyword argument {option!r}")
