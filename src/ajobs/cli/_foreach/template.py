"""A command with marks in it, filled in for an item. Pure; the marks are GNU parallel's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath

__all__ = ("Template",)

#: What stands for an item, made of the item and its number.
MARKS: dict[str, Callable[[str, int], str]] = {
    "{}": lambda item, _: item,
    "{.}": lambda item, _: without_extension(item),
    "{/}": lambda item, _: item.rpartition("/")[2],
    "{//}": lambda item, _: str(PurePath(item).parent),
    "{/.}": lambda item, _: without_extension(item.rpartition("/")[2]),
    "{#}": lambda _, number: str(number),
}

_MARK = re.compile("|".join(map(re.escape, MARKS)))


def without_extension(path: str) -> str:
    """Return *path* without what follows the last dot of its last part."""
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem}" if dot else path


class Template:
    """The words of a command; without a mark the item is its last argument."""

    def __init__(self, words: Sequence[str]) -> None:
        """Keep *words*."""
        marked = any(_MARK.search(word) for word in words)
        self._words = list(words) if marked else [*words, "{}"]

    @property
    def program(self) -> str | None:
        """The program, if it is the same for every item."""
        return None if _MARK.search(self._words[0]) else self._words[0]

    def fill(self, item: str, number: int) -> list[str]:
        """Return the command for the *item* of this *number*."""
        return [
            item
            if word == "{}"
            else _MARK.sub(lambda found: MARKS[found[0]](item, number), word)
            if "{" in word
            else word
            for word in self._words
        ]
