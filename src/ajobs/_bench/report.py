"""What `ajobs.bench` returns: the figures, and the ways to look at them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .measures import Machine, Table
from .text import report_dict, report_text

__all__ = ("BenchReport",)


@dataclass(frozen=True, slots=True, repr=False)
class BenchReport:
    """What `ajobs.bench` found out; print it, or look at it in a notebook.

    Attributes:
        tables: One for each function that was measured: its rows, and the verdict.
        machine: Where that was.
    """

    tables: tuple[Table, ...]
    machine: Machine

    def __repr__(self) -> str:
        found = (f"{one.function}: {one.best.runner} x{one.best.throttle}" for one in self.tables)
        return f"<BenchReport {', '.join(found)}>"

    def __str__(self) -> str:
        return report_text(self.tables, self.machine)

    def _repr_html_(self) -> str:
        from .html import fragment

        return fragment(self.tables, self.machine)

    def as_dict(self) -> dict[str, object]:
        """Return all figures as what JSON knows; the field ``schema`` names the form."""
        return report_dict(self.tables, self.machine)

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write a web page of one file: table, charts, and which slot ran which item when."""
        from .html import page

        Path(path).write_text(page(self.tables, self.machine), encoding="utf-8")

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Draw throughput and latency over throttle; the ending of *path* says the format.

        Raises:
            ModuleNotFoundError: matplotlib is missing; it comes with ``ajobs[plot]``.
            ValueError: There is no such format.
        """
        from .plot import save

        save(self.tables, self.machine, path)
