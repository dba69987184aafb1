"""Options that several subcommands share."""

from __future__ import annotations

from typing import Any

import rich_click as click
from click.shell_completion import CompletionItem

__all__ = ("WORDS", "backend_option")


class Words(click.ParamType[Any]):
    """The words of a command, taken as they are; a shell completes them as files."""

    name = "word"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


WORDS = Words()

backend_option = click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    metavar="NAME",
    help="The event loop to run on: asyncio or trio.",
)
