"""Text for people: cut where it tells least, measured as a terminal does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajobs._text import clean
from ajobs._view.text import amount, cells, clock, cut, cut_name, fitted, middle_out


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 5, "short"),
        ("shop.orders.fetch", 17, "shop.orders.fetch"),
        ("shop.orders.fetch", 16, "...orders.fetch"),
        ("shop.orders.fetch", 10, "...fetch"),
        ("fetch_all_orders", 10, "..._orders"),
        ("/usr/lib/python3.11", 19, "/usr/lib/python3.11"),
        ("/usr/lib/python3.11", 18, ".../lib/python3.11"),
        ("python -m http.server", 12, "python -m..."),
        ("...", 2, ".."),
        ("name", 0, ""),
    ],
)
def test_cut_name(text: str, width: int, shown: str) -> None:
    """The end of names and paths is kept, and the beginning of other text."""
    assert cut_name(text, width) == shown
    assert len(shown) <= width


@given(st.text(), st.integers(0, 30))
def test_nothing_is_wider_than_asked_for(text: str, width: int) -> None:
    """Whatever it is, it is printable and fits."""
    harmless = clean(text)
    assert harmless.isprintable()
    assert cells(cut(harmless, width)) <= width
    assert cells(cut_name(harmless, width)) <= width


def test_wide_characters_count_twice() -> None:
    """A terminal gives two columns to some characters, and none to others."""
    assert cells("\u540d\u524da\u0301") == 5
    assert cut("\u540d\u524d\u540d\u524d", 6) == "\u540d..."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (59.9, "0:59"), (61, "1:01"), (3661, "1:01:01"), (90_000, "1 d 1:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    """Seconds read like a clock."""
    assert clock(seconds) == text


def test_amounts() -> None:
    """Numbers take few characters."""
    assert [amount(one) for one in (0, 1200.0, 0.25, 3.14159, 12345.6)] == [
        "0",
        "1,200",
        "0.25",
        "3.14",
        "12,346",
    ]


def test_middle_out() -> None:
    """Of too many lines the ends are kept."""
    lines = [str(number) for number in range(100)]
    assert middle_out(lines, 100) == lines
    assert middle_out(lines, 6) == ["0", "1", "... 94 lines left out ...", "96", "97", "98", "99"]


def test_fitted() -> None:
    """Columns shrink in their order, and are left out when that is not enough."""
    natural = {"a": 10, "b": 10, "c": 10}
    shrink = (("a", 4), ("b", 4))
    assert fitted(natural, 34, shrink, ("c",)) == natural
    assert fitted(natural, 30, shrink, ("c",)) == {"a": 6, "b": 10, "c": 10}
    assert fitted(natural, 22, shrink, ("c",)) == {"a": 4, "b": 4, "c": 10}
    assert fitted(natural, 21, shrink, ("c",)) == {"a": 9, "b": 10}
    assert fitted({"a": 10, "b": 20}, 15, (("b", 8),), ()) == {"a": 5, "b": 8}
