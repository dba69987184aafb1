"""The plan that the words and the options of ``ajobs foreach`` make."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..._worker.launch import find_program
from .._ends import Problem, Status
from .._signals import run_until_signal
from .._targets import is_function, load_function
from .items import Source, open_source, split
from .joblog import JobLog, finished
from .output import Output
from .run import Plan, carry_out, carry_out_with_bar, dry_run
from .template import Template
from .work import Commands, Functions, Limits, Work

__all__ = ("carry",)


def carry(words: Sequence[str], backend: str, options: dict[str, Any]) -> int:
    """Make the plan, and carry it out on *backend*; return the exit status.

    Raises:
        Problem: There is none.
    """
    target, given = split(words)
    if not target:
        raise Problem("there is no command before ':::': say what to run", Status.USAGE)

    source = open_source(given, options["arg_file"], null=options["null"])
    limits = Limits(
        options["throttle"],
        options["timeout"],
        options["retries"],
        options["keep_order"],
    )
    work = work_for(target, options["runner"], limits, may_halt=options["halt"].most > 0)
    plan = plan_for(source, work, options)
    begin = dry_run if options["dry_run"] else carry_out_with_bar if options["bar"] else carry_out
    try:
        return run_until_signal(partial(begin, plan), backend)
    finally:
        if plan.joblog is not None:
            plan.joblog.close()


def work_for(target: list[str], runner: str | None, limits: Limits, *, may_halt: bool) -> Work:
    """Return what *target* asks for.

    Raises:
        Problem: It cannot be had.
    """
    if len(target) == 1 and is_function(target[0]):
        return Functions(target[0], load_function(target[0]), runner, limits)

    if runner is not None:
        raise Problem("--runner is for functions only: leave it out", Status.USAGE)

    template = Template(target)
    program = target[0] if len(target) == 1 and " " in target[0] else template.program
    if program is not None:
        check_program(program)

    return Commands(template.fill, limits, may_halt=may_halt)


def check_program(name: str) -> None:
    """Raise a `Problem` unless there is a program of this *name*."""
    try:
        find_program(os.fsencode(name))
    except OSError as error:
        hint = "write its words apart, no shell does that" if " " in name else "check its name"
        raise Problem(f"there is no program {name!r}: {hint}", Status.USAGE) from error


def plan_for(source: Source, work: Work, options: dict[str, Any]) -> Plan:
    """Return the plan that the *options* make.

    Raises:
        Problem: They do not go together.
    """
    resumes = options["resume"] or options["resume_failed"]
    path: Path | None = options["joblog"]
    if resumes and path is None:
        raise Problem("--resume needs the log of the last time: add --joblog FILE", Status.USAGE)

    skipped: set[int] = set()
    joblog = None
    if path is not None:
        if resumes:
            skipped = finished(path, failed_too=not options["resume_failed"])

        if not options["dry_run"]:
            joblog = JobLog(path, append=resumes)

    output = Output(raw=options["raw"], tag=options["tag"], jsonl=options["jsonl"])
    return Plan(source, skipped, work, options["halt"], joblog, output)
