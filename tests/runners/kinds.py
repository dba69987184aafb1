"""The kinds of jobs, and the same few jobs in each of them: as functions, and as programs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ajobs
from tests.runners import contract_jobs as work

#: What starts the job of some name: `start(session, name, *args, **options)`.
Start = Callable[..., ajobs.Job[Any]]


@dataclass(frozen=True)
class Kind:
    """A kind of jobs.

    Attributes:
        name: Its word, as in `Job.kind`.
        start: Starts one of its jobs by name.
        failure: What a job that fails raises.
        death: What a job raises that did to its place the worst that it can.
        ahead: How many items of its input are pulled before they are asked for.
    """

    name: str
    start: Start
    failure: type[BaseException] = work.Error
    death: type[BaseException] = ajobs.JobAborted
    ahead: int = 0


@dataclass(frozen=True)
class Program:
    """What a shell runs, with the arguments of the job as $1 and so on."""

    script: str
    check: bool = True


def start_function(
    kind: str,
    functions: Mapping[str, Callable[..., Any]],
    jobs: ajobs.Session,
    name: str,
    *args: object,
    **options: Any,
) -> ajobs.Job[Any]:
    """Start one of *functions* on the runner *kind*."""
    return jobs.start(functions[name], *args, runner=kind, **options)


def start_program(
    programs: Mapping[str, Program],
    jobs: ajobs.Session,
    name: str,
    *args: object,
    **options: Any,
) -> ajobs.Job[Any]:
    """Start one of *programs*."""
    program = programs[name]
    argv = ["sh", "-c", program.script, name, *map(str, args)]
    return jobs.start_command(argv, check=program.check, **options)


ASYNC: dict[str, Callable[..., Any]] = {
    "double": work.adouble,
    "broken": work.abroken,
    "write_much": work.awrite_much,
    "echo_two": work.aecho_two,
    "until_stopped": work.auntil_stopped,
    "die": work.aleave,
}

PLAIN: dict[str, Callable[..., Any]] = {
    "double": work.double,
    "broken": work.broken,
    "write_much": work.write_much,
    "echo_two": work.echo_two,
    "until_stopped": work.until_stopped,
    "die": work.leave,
}

IN_A_PROCESS = PLAIN | {"die": work.die}

PROGRAMS = {
    "double": Program("exit $(($1 * 2))", check=False),
    "broken": Program('echo before; echo "$1" >&2; exit 1'),
    "write_much": Program("for n in $(seq 0 $(($1 - 1))); do echo $n; echo $n >&2; done"),
    "echo_two": Program("exec head -n 2"),
    "until_stopped": Program(
        "trap 'echo cleaned; exit 0' TERM; echo begun; while :; do sleep 0.001; done"
    ),
    "die": Program("kill -9 $$"),
}

KINDS = (
    Kind("task", partial(start_function, "task", ASYNC)),
    Kind("thread", partial(start_function, "thread", PLAIN)),
    Kind("process", partial(start_function, "process", IN_A_PROCESS), death=ajobs.WorkerDied),
    *(
        [Kind("interpreter", partial(start_function, "interpreter", PLAIN))]
        if sys.version_info >= (3, 13)
        else []
    ),
    Kind(
        "command",
        partial(start_program, PROGRAMS),
        failure=subprocess.CalledProcessError,
        death=subprocess.CalledProcessError,
        ahead=2,  # what a pipe holds
    ),
)
