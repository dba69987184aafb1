"""What a command line names: a function in a module."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ._ends import Problem, Status

__all__ = ("is_function", "load_function")

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_function(word: str) -> bool:
    """Tell whether *word* looks like ``package.module:function``."""
    return _FUNCTION.fullmatch(word) is not None


def load_function(target: str) -> Callable[..., Any]:
    """Import the function that *target* names, looking in the current directory first.

    Raises:
        Problem: It cannot be had.
    """
    if not is_function(target):
        raise Problem(
            f"{target!r} names no function: write MODULE:FUNCTION, such as os.path:getsize",
            Status.USAGE,
        )

    here = os.getcwd()  # noqa: PTH109  # an entry of sys.path is text
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)

    name, _, path = target.partition(":")
    try:
        found: Any = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Problem(f"{name} needs a module that is missing: {error}") from error

        raise Problem(
            f"there is no module {error.name!r} here: run ajobs where `python -c 'import {name}'` "
            "works",
            Status.USAGE,
        ) from error
    except Exception as error:
        raise Problem(f"{name} cannot be imported: {type(error).__name__}: {error}") from error

    for part in path.split("."):
        found = getattr(found, part, None)

    if not callable(found):
        raise Problem(f"{name} has no function {path!r}", Status.USAGE)

    function: Callable[..., Any] = found
    return function
