"""Text for people, made of what users give: on one line, and without orders to a terminal.

Below everything that has something to say, so that the log says it like the views do.
"""

from __future__ import annotations


def clean(text: str) -> str:
    """Return *text* with everything escaped that could move a cursor or hide other text."""
    if text.isprintable():
        return text

    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    from unicodedata import category  # loaded by those who meet such a character

    if category(char) == "Zs":  # spaces of all widths: harmless
        return " "

    return char.encode("unicode_escape").decode("ascii")


def line_of(error: BaseException | None) -> str:
    """Return *error* on one line, escaped, whatever its own ``__str__`` does."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # a user's method may raise anything
        text = "(its message cannot be shown)"

    name = type(error).__name__
    return clean(f"{name}: {text}".splitlines()[0] if text else name)
