"""``ajobs bench``: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import rich_click as click

from ajobs.cli import main
from ajobs.cli._bench import read_items

SHOP = """
import os

def resize(path):
    print("from Python")
    os.system("echo from a program")
    return len(path)

def two(first, second):
    pass

def fails(path):
    return 1 / (len(path) - 5)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, with a module of functions and a file of items."""
    (tmp_path / "bench_shop.py").write_text(SHOP)
    (tmp_path / "paths.txt").write_text("one\ntwo\n\nthree\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_figures_and_report(shop: Path) -> None:
    """JSON alone goes to stdout, the page to its file; what the function prints goes nowhere."""
    options = "--quick --input paths.txt --runner thread -j 2 --json --report bench.html"
    command = [sys.executable, "-W", "error", "-m", "ajobs", "bench", "bench_shop:resize"]
    ended = subprocess.run(
        [*command, *options.split()],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    data = json.loads(ended.stdout)

    assert ended.stderr == "Wrote bench.html\n"
    assert ended.returncode == 0
    assert data["schema"] == "ajobs.bench/1"
    assert [row["runner"] for row in data["functions"][0]["rows"]] == ["thread"]
    assert "bench_shop.resize" in (shop / "bench.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ["bench_shop:fails", "-i", "paths.txt"],
            1,
            "failed for item 2 of the input: 'three'; mend",
        ),
        (["bench_shop:two", "-i", "3"], 2, "with functools.partial"),
        (["bench_shop:none", "-i", "3"], 2, "bench_shop has no function 'none'"),
        (["bench_shop:resize"], 2, "Give --input FILE"),
        (["bench_shop:resize", "-i", "0"], 2, "there is nothing to measure"),
        (["bench_shop:resize", "-i", "none.txt"], 2, "numbers are written 100 or 1..9"),
        (["--input", "3"], 2, "--input is for a function of yours"),
        (["bench_shop:resize", "-i", "3", "--runner", "thread,ssh"], 2, "'ssh' is none of task"),
        (["bench_shop:resize", "-i", "3", "-j", "2,0"], 2, "'0' is no whole number from 1"),
        (["bench_shop:resize", "-i", "3", "--report", "."], 2, "no file can be written at '.'"),
        (["bench_shop:resize", "-i", "3", "--plot", "x.doc"], 2, "has to end in one of .png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("shop")
def test_wrong_calls(
    arguments: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before two minutes are spent, what cannot work is named, with what to do instead."""
    assert main(["bench", *arguments]) == status

    printed = capfd.readouterr()
    assert printed.out == ""
    assert said in printed.err


@pytest.mark.usefixtures("shop")
def test_failing_item_shows_its_own_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """The frames are those of the function, none of ours."""
    main(["bench", "bench_shop:fails", "-i", "paths.txt"])

    lines = capfd.readouterr().err.splitlines()
    assert sum("File " in line for line in lines) == 1
    assert "ZeroDivisionError: division by zero" in lines


def test_plot_without_matplotlib(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no matplotlib learns it before the measuring."""
    monkeypatch.setattr("ajobs.cli._bench.find_spec", lambda _: None)

    assert main(["bench", "--plot", "bench.png"]) == 2
    assert "pip install 'ajobs[plot]'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("word", "items"),
    [
        ("3", [0, 1, 2]),
        ("1..3", [1, 2, 3]),
        ("2..-1", [2, 1, 0, -1]),
        ("paths.txt", ["one", "two", "three"]),
        ("-", ["from", "stdin"]),
    ],
)
@pytest.mark.usefixtures("shop")
def test_items(word: str, items: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers as PowerShell and Python count, lines without their ends and without empty ones."""
    Path("stdin.txt").write_text("from\nstdin\n")
    with Path("stdin.txt").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert list(read_items(word)) == items


def test_items_that_are_no_text(tmp_path: Path) -> None:
    """A picture has no lines."""
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(click.BadParameter, match="it is no text"):
        read_items(str(tmp_path / "picture"))
