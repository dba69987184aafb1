"""Handles and sessions are shown as what is behind them. It knows neither."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any


class Seen(ABC):
    """Something that is shown as something else."""

    __slots__ = ()

    @property
    @abstractmethod
    def _shown_as(self) -> Any:
        """What is shown."""

    def __str__(self) -> str:
        """Return a table, as ``Get-Job`` shows it."""
        return str(self._shown_as)

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        """Show the same by rich, in colour."""
        shown: Iterable[Any] = self._shown_as.__rich_console__(console, options)
        return shown

    def _repr_html_(self) -> str:
        return str(self._shown_as._repr_html_())
