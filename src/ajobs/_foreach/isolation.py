"""Items that share a task share no context variables.

A copy of the context for each item, entered at each of its steps, costs more than all the rest
of a worker. Nearly all items set no variable: they run in the worker's own context, and this
file tells whether it is still as it was.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from gc import get_referents
from typing import Final

_probe: ContextVar[object] = ContextVar("ajobs_probe")


def variables_of(context: Context) -> object:
    """Return what a context and its copies have in common until a variable is set in one.

    It is the immutable map behind them. Comparing contexts instead would call the `__eq__` of
    what is in them, and take a value for another one that is equal to it.
    """
    return next(iter(get_referents(context)), None)


def _can_tell() -> bool:
    context = Context()
    before = variables_of(context)
    is_kept = variables_of(context.copy()) is before
    context.run(_probe.set, 0)
    return is_kept and variables_of(context) is not before


#: False on a Python that has no such map: there each item gets its copy.
CAN_TELL: Final = _can_tell()
