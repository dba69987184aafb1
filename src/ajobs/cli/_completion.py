"""``ajobs completion``: what a shell needs to complete our commands and options."""

from __future__ import annotations

import os
from pathlib import PurePath

import rich_click as click
from click.shell_completion import get_completion_class

from ._app import COMPLETE, app
from ._ends import Problem, Status

__all__ = ("command",)

SHELLS = ("bash", "zsh", "fish", "powershell")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> None:
    """Print what makes a shell complete ajobs; by default for yours.

    Put the line for it where the shell reads it when it starts:

        bash        eval "$(ajobs completion bash)"   in ~/.bashrc
        zsh         eval "$(ajobs completion zsh)"    in ~/.zshrc
        fish        ajobs completion fish | source    in config.fish
        powershell  ajobs completion powershell | Out-String | Invoke-Expression
    """
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    made = get_completion_class(name) if name in SHELLS else None
    if made is None:
        raise Problem(
            f"no completion for the shell {name!r}: name one of {', '.join(SHELLS)}",
            Status.USAGE,
        )

    print(made(app, {}, "ajobs", COMPLETE).source())
