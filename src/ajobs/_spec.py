"""What a caller may ask: the frozen description of one job.

This file knows neither jobs nor runners: a spec can be made, sent and looked at anywhere.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, TypedDict

__all__ = ("JobSpec",)

#: What a job may be given to read with `ajobs.job_input()`.
Input: TypeAlias = Iterable[Any] | AsyncIterable[Any]


class StartOptions(TypedDict, total=False):
    """What every verb that starts a job takes by name, as its caller writes it.

    None means: as the session says.
    """

    name: str | None
    timeout: float | None
    input: Input | None
    output_limit: int | None
    overflow: Literal["wait", "error"] | None
    auto_remove: bool


class JobOptions(NamedTuple):
    """The same options, checked and complete.

    One object serves all jobs of a session that ask for nothing special.
    """

    name: str | None = None
    timeout: float = math.inf
    input: Input | None = None
    output_limit: int | None = None
    overflow: str = "wait"
    auto_remove: bool = False


class JobSpec(NamedTuple):
    """What one job is to run.

    Attributes:
        fn: The callable. What it takes and gives is the runner's business.
        args: Its positional arguments.
        options: Name, limits and input.
        command: The text for `Job.command`; None takes the name of *fn*.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...] = ()
    options: JobOptions = JobOptions()
    command: str | None = None
