"""``ajobs run``: one job in the foreground, with its streams and its exit status."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import rich_click as click
from anyio import CancelScope

from .. import Job, JobStuck, JobTimeout, Record, Session, Stream, WorkerDied, show_progress
from .._writable import is_read
from ._bars import check_word
from ._ends import Problem, Status, died_of
from ._input import chunks
from ._options import SECONDS, WORDS, backend_option, runner_option
from ._signals import run_until_signal
from ._targets import is_function, load_function
from ._terminal import Printer, as_bytes, json_line
from ._writer import Piece, Writer, open_writer

__all__ = ("command",)

SCHEMA = "ajobs.run/1"

#: What may be unread before the job waits.
ROOM = 1000

#: Seconds that a job has to stop; a second Ctrl-C ends it at once.
GRACE = 3.0

#: Where a stream goes that is not stdout, and what is put before it.
_LABELS = {Stream.WARNING: b"WARNING: ", Stream.VERBOSE: b"VERBOSE: ", Stream.DEBUG: b"DEBUG: "}


#: What stands between us and the user's code in a traceback.
_CARRIERS = {"ajobs", "anyio", "asyncio", "concurrent", "outcome", "threading", "trio"}


class Target(NamedTuple):
    """What to run, and how."""

    words: Sequence[str]
    is_command: bool
    runner: str | None
    timeout: float | None


class RunCommand(click.RichCommand):
    """Notes whether a ``--`` stands before the words that are to be run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        words = ctx.params["words"]
        ctx.params["is_command"] = bool(words) and given[-len(words) - 1 :][0] == "--"
        return rest


@click.command("run", cls=RunCommand, context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="TARGET [ARGS]...", nargs=-1, required=True, type=WORDS)
@runner_option
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Stop it after so long, with status 124.",
)
@click.option("--raw", is_flag=True, help="Do not escape control characters on a terminal.")
@click.option("--jsonl", is_flag=True, help="Print each record of the job as a line of JSON.")
@backend_option
def command(
    words: tuple[str, ...],
    is_command: bool,
    runner: str | None,
    timeout: float | None,
    raw: bool,
    jsonl: bool,
    backend: str,
) -> int:
    """Run a job in the foreground, with its streams and its exit status.

    TARGET is a function (package.module:function; ARGS are text), a Python file (script.py),
    or a command after two dashes:

        ajobs run os.path:getsize README.md
        ajobs run script.py --its --options
        ajobs run --timeout 60 -- rsync -a here/ there/

    What it writes as output goes to stdout; errors, warnings and progress go to stderr. No
    shell takes a command apart; ask for one with: -- sh -c '...'
    """
    check_word()
    target = Target(words, is_command, runner, timeout)
    course = Course(target, Printers(raw=raw, jsonl=jsonl))
    return run_until_signal(course.run, backend)


class Printers:
    """Where the records of the job go."""

    def __init__(self, *, raw: bool, jsonl: bool) -> None:
        """Print to our own streams."""
        self._out = Printer("stdout", raw=raw or jsonl)
        self._err = Printer("stderr", raw=raw)
        self._jsonl = jsonl

    def words(self, text: str) -> Piece:
        """Return what the user is told."""
        return self._err, as_bytes(text)

    def of(self, record: Record) -> Iterator[Piece]:
        """Yield what there is to print of *record*."""
        stream, value = record.stream, record.value
        if self._jsonl:
            time = record.time.isoformat()
            line = json_line(SCHEMA, seq=record.seq, time=time, stream=stream.value, value=value)
            yield self._out, line
        elif stream in {Stream.OUTPUT, Stream.INFORMATION}:
            yield self._out, as_bytes(value) + b"\n"
        elif stream is not Stream.PROGRESS:
            yield self._err, _LABELS.get(stream, b"") + as_bytes(value) + b"\n"


class Course:
    """One job in the foreground, from its start to its end."""

    def __init__(self, target: Target, printers: Printers) -> None:
        """Run *target*, and print what it writes with *printers*."""
        self._target = target
        self._printers = printers
        self._is_stuck = False

    async def run(self) -> int:
        """Run it to its end; return the exit status."""
        async with (
            open_writer() as writer,
            Session("run", failures="keep", drain=0, stop_grace=GRACE) as jobs,
        ):
            job = start(jobs, self._target)
            await self._receive(job, writer)
            status, words = self._ending(job)
            await writer.write([self._printers.words(words)])

        return status

    def _ending(self, job: Job[Any]) -> tuple[int, str]:
        """Return the exit status, and what to say of it."""
        if self._is_stuck:
            late = f"{job.name} runs longer than {self._target.timeout:g} s"
            return Status.TIMEOUT, f"ajobs run: {late}; --timeout sets the limit\n"

        return ending(job)

    async def _receive(self, job: Job[Any], writer: Writer) -> None:
        """Print what *job* writes until it has finished, or cannot be ended."""
        printing = CancelScope(shield=True)  # also what it writes while it cleans up
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._print, job, writer, printing)
            try:
                await job
            except JobStuck:
                self._is_stuck = True
            except anyio.get_cancelled_exc_class():
                with CancelScope(shield=True):
                    self._is_stuck = not await job.stop()

                printing.deadline = writer.last_moment().deadline
                raise
            except Exception:  # noqa: BLE001  # told when all is printed
                pass
            finally:
                if self._is_stuck:
                    printing.cancel()

    async def _print(self, job: Job[Any], writer: Writer, scope: CancelScope) -> None:
        """Print it; bars show its progress, once it tells any."""
        with scope:
            async with AsyncExitStack() as bars:
                has_bars = False
                # Followed, since of what a worker prints a job keeps the newest lines only; and
                # taken once it is written, so that the job waits for whoever reads.
                async for record in job.follow():
                    if record.stream is Stream.PROGRESS and not has_bars:
                        has_bars = True
                        await bars.enter_async_context(show_progress(job))

                    await writer.write(self._printers.of(record))
                    job.receive_nowait(record.stream, limit=1)


def start(jobs: Session, target: Target) -> Job[Any]:
    """Start the job that *target* names.

    Raises:
        Problem: It names none.
    """
    first, *others = target.words
    limits: dict[str, Any] = {"name": first, "timeout": target.timeout, "output_limit": ROOM}
    takes_runner = not target.is_command and not first.endswith(".py")
    if target.runner is not None and not takes_runner:
        raise Problem("--runner is for functions only: leave it out", Status.USAGE)

    if target.is_command:
        return jobs.start_command(
            target.words, check=False, encoding=None, input=chunks(0), **limits
        )

    if first.endswith(".py"):
        if not Path(first).is_file():
            raise Problem(f"there is no script {first!r}: check the path", Status.USAGE)

        return jobs.start_script(first, *others, check=False, **limits)

    if not is_function(first):
        raise Problem(
            f"{first!r} is no target: write MODULE:FUNCTION, a script.py, or two dashes before a "
            f"command: ajobs run -- {' '.join(target.words)}",
            Status.USAGE,
        )

    return jobs.start(load_function(first), *others, runner=target.runner, **limits)


def ending(job: Job[Any]) -> tuple[int, str]:
    """Return the exit status for a job that has finished, and what to say of it.

    Raises:
        BrokenPipeError: It has printed although nobody reads.
    """
    reason = job.reason
    match reason:
        case None:
            code = job.result() if job.kind in {"command", "script"} else 0
            return (died_of(-code) if code < 0 else code), ""
        case JobTimeout():
            return Status.TIMEOUT, f"ajobs run: {reason}; --timeout sets the limit\n"
        case BrokenPipeError() if not is_read(sys.stdout):
            raise reason  # a thread prints to our own stdout, so this is no failure of its own
        case WorkerDied(returncode=int(code)) if code < 0:
            return died_of(-code), f"ajobs run: {reason}\n"
        case FileNotFoundError() | PermissionError() if job.kind == "command":
            return Status.FAILURE, f"ajobs run: cannot run {job.command}: {reason.strerror}\n"
        case _:
            return Status.FAILURE, "".join(told(reason))


def told(reason: BaseException) -> list[str]:
    """Return the traceback of *reason*, from where the user's own code begins."""
    frames = reason.__traceback__
    while frames is not None:
        module: str = frames.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in _CARRIERS:
            break

        frames = frames.tb_next

    return traceback.format_exception(type(reason), reason, frames)
