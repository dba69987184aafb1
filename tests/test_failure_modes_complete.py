"""Every failure mode of the docs has its test, and every test that names one is about one."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs" / "failure-modes.md"

#: How many modes each chapter numbers. A chapter that comes to the docs comes here too.
CHAPTERS = {"B": 13, "D": 32, "F": 13, "G": 11}

NOT_HERE = "What does not apply"


def tables() -> dict[str, dict[str, str]]:
    """Return for each chapter of the docs the last cell of each mode."""
    found: dict[str, dict[str, str]] = {}
    for section in DOCS.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        rows = re.findall(r"^\| ([A-G]\d+) \|.*\| ([^|]+) \|$", text, re.MULTILINE)
        assert [] == [mode for mode, count in Counter(m for m, _ in rows).items() if count > 1]
        found[title if title == NOT_HERE else title[0]] = dict(rows)

    return found


def modes_named_by(name: str) -> list[str]:
    """Return the modes in the *name* of a test, such as D24 and D25 of `test_D24_D25_...`."""
    found = re.match(r"test_((?:[A-G]\d+_)*)", name)
    return found[1].split("_")[:-1] if found else []


def names_with_modes() -> dict[str, list[str]]:
    """Return the tests that have modes in their names; PowerShell's cases are in other files."""
    found: dict[str, list[str]] = {}
    for file in TESTS.rglob("test_*.py"):
        if "powershell" not in str(file.relative_to(TESTS)):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found |= {node.name: modes} if (modes := modes_named_by(node.name)) else {}

    return found


@pytest.mark.parametrize(("chapter", "count"), CHAPTERS.items())
def test_each_mode_stands_in_the_docs(chapter: str, count: int) -> None:
    """Once: in its chapter, or among those that do not apply, where the reason stands."""
    listed = tables()
    there = [*listed[chapter], *(mode for mode in listed[NOT_HERE] if mode[0] == chapter)]
    assert [f"{chapter}{number}" for number in range(1, count + 1)] == sorted(
        there, key=lambda mode: int(mode[1:])
    )


def test_each_test_of_the_docs_is_there() -> None:
    """It exists, and has the number of its mode in its name."""
    exist = names_with_modes()
    listed = tables()
    del listed[NOT_HERE]
    wrong = [
        (mode, name)
        for chapter in listed.values()
        for mode, cell in chapter.items()
        for name in cell.split(", ")
        if mode not in exist.get(name.strip("`"), [])
    ]
    assert [] == wrong
    assert CHAPTERS.keys() == listed.keys()


def test_no_test_names_a_mode_that_is_not_in_the_docs() -> None:
    """Nor one that does not apply."""
    listed = tables()
    unknown = {
        name: mode
        for name, modes in names_with_modes().items()
        for mode in modes
        if mode[0] in CHAPTERS and mode not in listed[mode[0]]
    }
    assert {} == unknown
