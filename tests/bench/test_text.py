"""The report as text, and as what JSON knows."""

from __future__ import annotations

import json

import pytest

from ajobs._bench.text import duration, number
from tests.bench.figures import report


def test_text_fits_80_columns() -> None:
    """The table, what was left out and the verdict are there, in lines that a terminal shows."""
    text = str(report(sentence="Take this. " * 20))

    assert max(map(len, text.splitlines())) <= 80
    assert "shop.resize" in text
    assert "Not measured: interpreter: needs Python 3.13." in text
    assert text.count("Take this.") == 20
    assert "thread            4     400    4.00x  10 ms 20 ms     1 ms  40 MB     1 ms" in text


def test_repr_is_short() -> None:
    """In a console it says what came out, not thousands of times."""
    assert repr(report()) == "<BenchReport shop.resize: thread x4>"


def test_json_has_a_schema_and_all_figures() -> None:
    """Programs read what people see, in seconds and bytes."""
    data = json.loads(json.dumps(report().as_dict()))

    assert data["schema"] == "ajobs.bench/1"
    assert data["machine"]["backend"] == "asyncio"
    (function,) = data["functions"]
    assert function["function"] == "shop.resize"
    assert function["verdict"]["runner"] == "thread"
    assert function["left_out"] == [
        {"runner": "interpreter", "throttle": None, "why": "needs Python 3.13"}
    ]
    assert set(function["rows"][0]) == {
        "runner",
        "throttle",
        "rate",
        "rates",
        "speedup",
        "latency",
        "latency_p95",
        "cpu",
        "memory",
        "startup",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (0.25, "250 ms"), (1e-3, "1 ms"), (4.2e-6, "4.2 us"), (3e-9, "3 ns")],
)
def test_duration(seconds: float, text: str) -> None:
    """A time is shown in the unit that keeps it short."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.123"), (99.94, "99.9"), (12345.6, "12,346"), (2.5e6, "2.5M")]
)
def test_number(value: float, text: str) -> None:
    """Three digits tell enough."""
    assert number(value) == text
