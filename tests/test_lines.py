"""Lines, however their bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ajobs import _lines
from ajobs._lines import ByteLines

#: Lines of some length, with one of the ends that there are, or cut off.
PART = st.builds(
    lambda length, end: b"a" * length + end,
    st.integers(min_value=0, max_value=30),
    st.sampled_from([b"\n", b"\r\n", b"\r", b""]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(PART, max_size=5).map(b"".join),
    sizes=st.lists(st.integers(min_value=1, max_value=20), max_size=30),
)
def test_reads_do_not_show(monkeypatch: pytest.MonkeyPatch, data: bytes, sizes: list[int]) -> None:
    """Neither where a line ends nor where a long one is cut depends on what came together."""
    monkeypatch.setattr(_lines, "LONGEST_LINE", 8)
    lines = ByteLines()
    got = []
    rest = data
    for size in sizes:
        got += lines.feed(rest[:size])
        rest = rest[size:]

    got += lines.feed(rest, final=True)

    assert got == ByteLines().feed(data, final=True)
    assert all(len(line) <= 8 for line in got)
    assert b"".join(got).count(b"a") == data.count(b"a")
