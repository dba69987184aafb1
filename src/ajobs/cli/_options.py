"""Options that several subcommands share."""

from __future__ import annotations

import math
from typing import Any

import rich_click as click
from click.shell_completion import CompletionItem

__all__ = ("SECONDS", "WORDS", "backend_option", "runner_option")


class Words(click.ParamType[Any]):
    """The words of a command, taken as they are; a shell completes them as files."""

    name = "word"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


class Seconds(click.FloatRange):
    """A time limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return *value* as a number; click takes NaN for one that is in range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number of seconds", param, ctx)

        return number


WORDS = Words()
SECONDS = Seconds(min=0, min_open=True)

backend_option = click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    metavar="NAME",
    help="The event loop to run on: asyncio or trio.",
)

runner_option = click.option(
    "--runner",
    type=click.Choice(["task", "thread", "process", "interpreter"]),
    metavar="NAME",
    help="Where a function runs: task, thread, process or interpreter. "
    "[default: task for an async one, else thread]",
)
