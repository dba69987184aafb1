"""Tables and cut texts."""

import functools

import pytest

import ajobs
from ajobs.cli._format import cut, job_table, megabytes


def add(a: int, b: int) -> int:
    """Add two numbers, as a job of this name."""
    return a + b


async def test_job_table() -> None:
    """The table has PowerShell's columns, in line, and an empty one has its head."""
    async with ajobs.Session() as jobs:
        first = jobs.start(add, 1, 2, name="sum")
        second = jobs.start(functools.partial(add, 1, b=2))
        await ajobs.wait_all(jobs)
        await second.receive()

    head, rule, *rows = job_table([first, second], width=200).splitlines()
    names = head.split()
    assert names == ["Id", "Name", "Kind", "State", "HasMoreData", "Location", "Command"]
    assert rule.split() == ["-" * len(name) for name in names]
    assert [row.split() for row in rows] == [
        [str(first.id), "sum", "thread", "Completed", "True", "localhost", first.command],
        [str(second.id), second.name, "thread", "Completed", "False", "localhost", first.command],
    ]
    assert {row.index("thread") for row in rows} == {head.index("Kind")}
    assert job_table([]).splitlines()[0].split() == names


async def test_job_table_fits() -> None:
    """No line is wider than asked for; the command gives way."""
    async with ajobs.Session() as jobs:
        job = jobs.start(add, 1, 2, name="a rather long name")
        await job

    lines = job_table([job], width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith(".add")


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
    ],
)
def test_cut(text: str, width: int, shown: str) -> None:
    """The end of names and paths is kept, and the beginning of other text."""
    assert cut(text, width) == shown
    assert len(shown) <= width


def test_megabytes() -> None:
    """Sizes are in millions of bytes."""
    assert megabytes(12_345_678_901) == "12,345.7 MB"
