"""The same verbs without await, for code that has no event loop.

Scripts, threads, synchronous shells, and notebooks beside their own loop.
"""

from __future__ import annotations

from ._foreach import Foreach
from ._job import ForeachJob, Job, Receipt
from ._session import Session, SessionView, current, open_session

__all__ = [
    "Foreach",
    "ForeachJob",
    "Job",
    "Receipt",
    "Session",
    "SessionView",
    "current",
    "open_session",
]
