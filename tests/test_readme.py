"""README and tour tell the truth: their code runs on both loops, and prints what it shows."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# One program for the pieces of a page, which share their names, their session and the numbers
# of their jobs. It reads the pieces from its input and tells where the output of each ends.
PIECES = """
import ast, inspect, sys, time
import ajobs, anyio

async def main():
    names = {"ajobs": ajobs, "anyio": anyio, "time": time}
    async with ajobs.Session() as names["jobs"]:
        for piece in sys.stdin.read().split("\\0"):
            code = compile(piece, "<README>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.iscoroutine(running):
                await running
            print(end="\\0")

anyio.run(main, backend=sys.argv[1])
"""

# The first example is a program of its own, which says on which loop it runs.
FIRST = """
import functools, sys
import anyio

anyio.run = functools.partial(anyio.run, backend=sys.argv[1])
exec(compile(sys.stdin.read(), "<README>", "exec"))
"""


class Piece(NamedTuple):
    """A block of Python and the output that stands below it."""

    code: str
    output: str


def fences(language: str) -> list[str]:
    """Return the blocks in *language*."""
    return [text for name, text in FENCE.findall(README) if name == language]


def pieces(page: str) -> list[Piece]:
    """Return the blocks of Python, each with the text block that follows it."""
    found = FENCE.findall(page)
    return [
        Piece(text, found[place + 1][1] if found[place + 1][0] == "text" else "")
        for place, (language, text) in enumerate(found)
        if language == "python"
    ]


def run(program: list[str], given: str) -> str:
    """Run Python with the arguments *program* and the input *given*; return what it prints.

    Logged lines are among it, where a reader would see them in a terminal.
    """
    ended = subprocess.run(
        [sys.executable, "-u", "-W", "error", *program],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_first_example(backend: str) -> None:
    """The example of the first screen is a whole program that prints what stands below it."""
    first = pieces(README)[0]

    assert run(["-c", FIRST, backend], first.code) == first.output


def test_first_example_is_short() -> None:
    """The example of the first screen has at most 20 lines of code, and fits the screen."""
    lines = pieces(README)[0].code.splitlines()

    assert len([line for line in lines if line]) <= 20
    assert max(map(len, lines)) <= 88


@pytest.mark.slow
@pytest.mark.parametrize("page", [pieces(README)[1:], pieces(TOUR)], ids=["README", "tour"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pieces(backend: str, page: list[Piece]) -> None:
    """Each piece of a page prints what stands below it."""
    printed = run(["-c", PIECES, backend], "\0".join(piece.code for piece in page))

    assert printed.split("\0")[:-1] == [piece.output for piece in page]


@pytest.mark.slow
def test_console() -> None:
    """What is typed into `python -m asyncio` gives the answers shown."""
    (session,) = fences("pycon")
    prompt = re.compile(r"^(?:>>> |\.\.\. ?)", re.MULTILINE)
    lines = session.splitlines(keepends=True)
    typed = "".join(prompt.sub("", line) for line in lines if prompt.match(line))
    answers = "".join(line for line in lines if not prompt.match(line))
    ended = subprocess.run(
        [sys.executable, "-m", "asyncio"],
        input=typed,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    # Prompts, typed lines that are not echoed, and the banner stand around the answers.
    printed = re.sub(r">>> |\.\.\. ", "", ended.stdout)
    assert "Error" not in ended.stderr
    assert printed.rstrip().endswith(answers.rstrip())


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md"])
def test_links(page: str) -> None:
    """Every file that a page points to is there."""
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))

    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["demo-command", "test-command"])
def test_command_is_one_line(name: str) -> None:
    """The commands that .ci/run looks for stand there, a line each."""
    (command,) = re.findall(rf"^<!-- {name} -->\n```sh\n(.*?)^```$", README, FENCE.flags)

    assert len(command.splitlines()) == 1
