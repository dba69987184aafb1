"""Every case of PowerShell's own tests is tested, or the docs say why it is not."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

import ajobs

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs" / "powershell.md"

#: Every case that there is. The numbering of PowerShell's own tests has gaps.
KNOWN = [
    *map(str, (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26, 27)),
    *map(str, (29, 30, 31, 33, 34, 35, 37, 38, 39, 41, 42, 43, 45, 46)),
    *map(str, (47, 49, 50, 51, 53, 54, 55, 57, 58, 59, 61, 62, 63, 65, 66, 67, 69, 70, 71, 73, 74)),
    *map(str, (75, 77, 78, 79, 81, 82, 83, 85, 86, 87, 89, 90, 91, 93, 94, 95, 97, 98, 99)),
    *map(str, (101, 102, 103, 105, 106, 107, 109, 110, 111, 113, 114, 115, 117, 118, 119, 121)),
    *map(str, (122, 123, 125, 126, 127, 129, 130, 131, 133, 134, 135, 137, 138, 139)),
    *(f"D{n}" for n in range(1, 50)),
]

HERE = "Tested with task and thread jobs"
FOREACH = "Tested with `parallel_foreach`"
FOREACH_JOB = "Tested with `parallel_foreach` as a job"
PROCESS = "Tested with process jobs"
NOT_HERE = "Does not carry over"


def documented() -> dict[str, list[str]]:
    """Return the cases in the first column of each table of the docs' last chapter."""
    chapter = DOCS.read_text(encoding="utf-8").split("## PowerShell's own tests\n")[1]
    found: dict[str, list[str]] = {}
    for section in chapter.split("\n### ")[1:]:
        title, _, text = section.partition("\n")
        cells = re.findall(r"^\| ([D\d][^|]*) \|", text, re.MULTILINE)
        found[title] = [case for cell in cells for case in cases_in(cell)]

    return found


def cases_in(cell: str) -> list[str]:
    """Return the cases that *cell*, such as "1-3, D4", names; gaps in a range are left out."""
    found = []
    for part in cell.split(", "):
        first, _, last = part.partition("-")
        begin, end = KNOWN.index(first), KNOWN.index(last or first)
        found += KNOWN[begin : end + 1]

    return found


def named_by(files: Iterable[Path]) -> set[str]:
    """Return the cases that the names of the tests in *files* begin with."""
    texts = [file.read_text(encoding="utf-8") for file in files]
    names = [name for text in texts for name in re.findall(r"def test_(D?\d+)_", text)]
    return {re.sub(r"^0+", "", name) for name in names}


def cases_of_tasks_and_threads() -> set[str]:
    """Return the cases that the tests in the folder for them have in their names."""
    return named_by((TESTS / "powershell").glob("test_*.py"))


def cases_elsewhere() -> set[str]:
    """Return the cases that the tests elsewhere, in files named so, have in their names."""
    return named_by(TESTS.rglob("test_powershell*.py"))


def test_each_case_stands_in_one_table() -> None:
    """The tables of the docs hold every case, each once, and nothing else."""
    tables = documented()
    assert list(tables) == [HERE, FOREACH, FOREACH_JOB, PROCESS, NOT_HERE]
    times = Counter(case for cases in tables.values() for case in cases)
    assert [case for case in KNOWN if times[case] == 0] == []
    assert [case for case, count in times.items() if count > 1] == []
    assert times.keys() <= set(KNOWN)


def test_task_and_thread_cases_are_tested() -> None:
    """The cases that carry over are those, and only those, that the tests have in their names."""
    assert cases_of_tasks_and_threads() == set(documented()[HERE])


@pytest.mark.parametrize("section", [FOREACH, FOREACH_JOB, PROCESS])
def test_other_cases_are_tested(section: str) -> None:
    """The cases of another kind of job have their tests beside those of that kind."""
    tested = cases_elsewhere()
    assert [case for case in documented()[section] if case not in tested] == []


def test_no_test_for_a_case_that_does_not_carry_over() -> None:
    """What the docs say does not carry over is tested nowhere."""
    tested = cases_of_tasks_and_threads() | cases_elsewhere()
    assert [case for case in documented()[NOT_HERE] if case in tested] == []


def test_the_names_in_the_docs_exist() -> None:
    """Whatever of the library, a session or a job the docs name, is there."""
    text = DOCS.read_text(encoding="utf-8")
    job_names = set(dir(ajobs.Job))
    session_names = set(dir(ajobs.Session)) | {"aclose"}  # of what `open_session` returns
    assert set(re.findall(r"\bajobs\.([A-Za-z]\w*)", text)) <= set(ajobs.__all__)
    assert set(re.findall(r"\bjobs\.([a-z]\w*)", text)) <= session_names
    assert set(re.findall(r"\bjob\.([a-z]\w*)", text)) - {"ps1", "py"} <= job_names


def test_the_example_in_the_docs_prints_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    """The first example of the docs runs, and prints what stands below it."""
    _, code, rest = DOCS.read_text(encoding="utf-8").split("```", 2)
    exec(code.removeprefix("python\n"), {})
    assert capsys.readouterr().out == rest.split("```\n")[1]
