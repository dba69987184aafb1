"""Live bars for what jobs tell of their progress, by the same renderer as in any program."""

from __future__ import annotations

from .._view.screens import wanted_word
from ._ends import Problem, Status

__all__ = ("check_word",)


def check_word() -> None:
    """See to it, before anything starts, that `show_progress` will know how to show it.

    Raises:
        Problem: The environment asks for something unknown.
    """
    try:
        wanted_word()
    except ValueError as error:
        raise Problem(str(error), Status.USAGE) from error
