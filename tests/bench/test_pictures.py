"""The report as a page, in a notebook and as a plot."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajobs import BenchReport
from ajobs._bench.svg import Scale
from tests.bench.figures import report

VOID = {"meta"}
NASTY = "shop.<script>alert(1)</script>&\"'"


class Reader(HTMLParser):
    """Reads a page, and refuses a tag that is not closed where it should be."""

    def __init__(self, page: str) -> None:
        """Read all of *page*."""
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without content."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text.append(data)


def test_page_is_whole_and_stands_alone(tmp_path: Path) -> None:
    """Every tag is closed, table and pictures are there, and nothing is loaded."""
    path = tmp_path / "bench.html"
    report().save_html(path)
    page = path.read_text(encoding="utf-8")
    read = Reader(page)

    assert read.tags.count("tr") == 1 + 1 + 4
    assert read.tags.count("figure") == 2
    assert "Items per second" in read.text
    assert "thread" in read.text
    # two runners, each with its eight items in a time line
    assert len(re.findall(r'<rect class="item', page)) == 2 * 8
    assert {"item 3: 9 ms, thread 1 of process 7"} < set(read.text)
    assert not {"src", "href"} & {name for name, _ in read.attributes}
    assert "script" not in read.tags
    assert not re.search(r"https?://|@import|url\(", page)


def test_names_are_escaped(tmp_path: Path) -> None:
    """A name is text wherever it stands."""
    page = report(NASTY, f"Take {NASTY}.")._repr_html_()
    read = Reader(page)

    assert "script" not in read.tags
    assert "<script" not in page
    assert NASTY in read.text
    assert f"Take {NASTY}." in read.text


def test_notebook_gets_a_part_of_a_page() -> None:
    """It brings its style with it, and touches nothing else in the notebook."""
    read = Reader(report()._repr_html_())

    assert read.tags[0] == "div"
    assert not {"html", "body", "h1"} & set(read.tags)
    style = next(text for text in read.text if "{" in text)
    assert all(rule.strip().startswith(".ajobs-bench") for rule in style.split("}")[:-1])


def test_nothing_measured_is_shown_without_pictures() -> None:
    """A table of the plain loop alone is a page too."""
    full = report()
    bare = BenchReport((replace(full.tables[0], rows=()),), full.machine)

    assert "svg" not in Reader(bare._repr_html_()).tags


@given(
    low=st.floats(min_value=1e-9, max_value=1e9),
    factor=st.floats(min_value=1, max_value=1e6),
    is_log=st.booleans(),
)
def test_scale(low: float, factor: float, is_log: bool) -> None:
    """Ticks rise, lie inside, and are neither none at all nor a crowd."""
    high = low * factor
    scale = Scale(low if is_log else 0, high, 0, 100, is_log)
    ticks = scale.ticks()

    assert len(ticks) <= 12
    assert is_log or len(ticks) >= 3
    assert all(0 <= scale(tick) <= 100 for tick in ticks)
    assert all(scale(one) <= scale(other) for one, other in pairwise(ticks))
    assert -0.1 <= scale(high) <= 100.1


@pytest.mark.slow
def test_plot(tmp_path: Path) -> None:
    """It draws what its ending says, and an unknown ending is named."""
    pytest.importorskip("matplotlib", reason="needs the extra `plot`, which is 170 MB")
    # Of its own, since matplotlib keeps its fonts open.
    code = "import sys; from tests.bench.figures import report; report().save_plot(sys.argv[1])"
    drawn, refused = (
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / name],
            capture_output=True,
            text=True,
            check=False,
        )
        for name in ("bench.png", "bench.nonsense")
    )

    assert drawn.stderr == ""
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "ValueError" in refused.stderr
    assert "nonsense" in refused.stderr


def test_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no matplotlib is told what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'ajobs\[plot\]'"):
        report().save_plot(tmp_path / "bench.png")
