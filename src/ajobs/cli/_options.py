"""Options that several subcommands share."""

from __future__ import annotations

import rich_click as click

__all__ = ("backend_option",)

backend_option = click.option(
    "--backend",
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    metavar="NAME",
    help="The event loop to run on: asyncio or trio.",
)
