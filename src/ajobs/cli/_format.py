"""Numbers as text for people."""

from __future__ import annotations

__all__ = ("megabytes",)


def megabytes(size: int) -> str:
    """Return *size* bytes in megabytes, such as ``12.3 MB``."""
    return f"{size / 1e6:,.1f} MB"
