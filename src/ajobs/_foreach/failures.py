"""What went wrong in one `parallel_foreach`, and what the caller gets to see of it.

Rules and plain data: no clock, no event loop, no items at work.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from .._errors import ForeachErrors, ForeachTimeout, StopRequested
from .._state import in_iteration, judge
from .._text import line_of
from .items import name_of

#: How many errors are kept under ``on_error="continue"``; all are counted.
KEPT: Final = 1000

#: How many of the failures that came during a stop are told.
TOLD: Final = 10


class Failures:
    """The failures of one call.

    Attributes:
        count: How many items have failed.
    """

    __slots__ = ("_final", "_kept", "_late", "_on_error", "count")

    def __init__(self, on_error: str) -> None:
        self._on_error = on_error
        self._kept: list[Exception] = []
        self._final: BaseException | None = None
        self._late: list[str] = []
        self.count = 0

    def add(self, index: int, item: object, error: Exception) -> None:
        """Note that an item has failed."""
        self.count += 1
        cut_traceback(error)
        if self._on_error == "return" or len(self._kept) == KEPT:
            return

        error.add_note(f"ajobs: in parallel_foreach, {name_of(index, item)}")
        if self._on_error == "continue":
            self._kept.append(error)

    def end_with(self, error: BaseException) -> None:
        """Note what ends the call; the first one is what the caller gets."""
        if self._final is None:
            self._final = error
        elif error is not self._final and len(self._late) < TOLD:
            self._late.append(line_of(error)[:200])

    def take(self, report: Callable[[str, list[Exception]], ForeachErrors]) -> BaseException | None:
        """Return what the caller is to get, if it did not get it before.

        Args:
            report: Makes the group of errors that "continue" ends with.
        """
        kept, self._kept = self._kept, []
        final, self._final = self._final, None
        if final is not None:
            final = in_iteration(final, StopIteration, StopAsyncIteration)

        if not kept:
            return final

        group_it = isinstance(final, Exception) and not isinstance(final, ForeachTimeout)
        if isinstance(final, Exception) and group_it:
            kept.append(final)

        items = "1 item" if self.count == 1 else f"{self.count:,} items"
        group = report(f"{items} of parallel_foreach failed", kept)
        if final is None or group_it:
            return group

        final.__cause__ = group
        return final

    def take_late(self) -> list[str]:
        """Return what failed while everything was being stopped already, a line for each."""
        late, self._late = self._late, []
        return late


def failure_of(
    raised: BaseException, cancelled: type[BaseException], *, is_stopped: bool
) -> BaseException | None:
    """Say what *raised* means for an item.

    Args:
        raised: What came out of the item.
        cancelled: The event loop's cancellation exception.
        is_stopped: The job that made the call is being stopped, and the item saw that.

    Returns:
        The item's failure, an `Exception`; a `KeyboardInterrupt`, which is none of the
        item's; or None for an item that was stopped.
    """
    if isinstance(raised, Exception):
        return raised

    if isinstance(raised, BaseExceptionGroup):
        interrupts = raised.subgroup(KeyboardInterrupt)
        if interrupts is not None:
            return KeyboardInterrupt().with_traceback(raised.__traceback__)

    if isinstance(raised, KeyboardInterrupt):
        return raised

    if is_stopped and isinstance(raised, StopRequested):
        return None

    return judge(None, raised, cancelled)[1]


def cut_traceback(error: BaseException) -> None:
    """Cut our own frames off the front: they help nobody, and hold on to the worker."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_globals):
        frames = frames.tb_next

    error.__traceback__ = frames


def _is_ours(module: dict[str, Any]) -> bool:
    name = str(module.get("__name__", ""))
    return name == "ajobs._drive" or name.startswith("ajobs._foreach.")
