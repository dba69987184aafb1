"""When to give up, in GNU parallel's words. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ("NEVER", "Halt", "parse")

_RULE = re.compile(r"(now|soon),(fail|success|done)=([1-9]\d*)")


class Halt(NamedTuple):
    """A rule.

    Attributes:
        kills: True: what runs is stopped; False: it may finish, and nothing else begins.
        what: Which items count: those that fail, those that succeed, or all that are done.
        most: So many of them; 0 for a rule that never applies.
    """

    kills: bool
    what: str
    most: int

    def applies(self, failed: int, succeeded: int) -> bool:
        """Tell whether it is time to give up."""
        counted = {"fail": failed, "success": succeeded, "done": failed + succeeded}
        return 0 < self.most <= counted[self.what]


NEVER = Halt(False, "done", 0)


def parse(text: str) -> Halt:
    """Return the rule in *text*.

    Raises:
        ValueError: It is none.
    """
    if text == "never":
        return NEVER

    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no rule: write never, now,fail=1, soon,fail=3, now,success=1 or the like"
        )

    return Halt(match[1] == "now", match[2], int(match[3]))
