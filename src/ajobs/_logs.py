"""The library's own logger, loaded when there is something to say.

``logging`` takes longer to load than the rest of the library, and most programs that import
it never hear from us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def logger(name: str = "ajobs") -> logging.Logger:
    """Return the logger *name*."""
    import logging  # see above

    return logging.getLogger(name)
