"""Each example runs as a program of its own and prints what it promises."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"

PRINTED = {
    "http_fan_out.py": """\
199 pages
/page/13: Not Found
""",
    "on_trio.py": """\
received 3
received 2
received 1
worker is Running
worker: tidied up
worker is Stopped
announced: worker Stopped
""",
    "process_pipeline.py": """\
every file was parsed: True
more functions than coroutines: True
parsed __init__.py
find thread Completed
parse process Completed
add_up task Completed
""",
    "receive_while_running.py": """\
25 %
50 %
kept:  ['cat.png resized']
taken: ['cat.png resized']
left:  [] ['notes.txt is no picture']
live:  dog.png resized (Running)
live:  owl.png resized (Running)
Completed
""",
    "server_check.py": """\
web   thread  Completed  True
mail  thread  Completed  True
files thread  Failed     False
web ['up']
mail ['up']
['up'] []
files is down: ConnectionRefusedError
0 jobs left
""",
    "without_async.py": """\
0.txt b19329ca
1.txt f4435ec1
2.txt 7987cfc6
0.gz is smaller: True
1.gz is smaller: True
2.gz is smaller: True
['a program'] 0
missing: missing.txt
[] ['Completed', 'Completed', 'Failed']
""",
}

# What an example needs beside ajobs.
NEEDS = {"http_fan_out.py": "httpx"}

# trio wakes tasks in no particular order, so two of the lines may come the other way round.
UNORDERED = {"on_trio.py"}


def lines_of(name: str, text: str) -> list[str]:
    """Return the lines of *text*, in an order that two runs of the example *name* share."""
    lines = text.splitlines()
    return sorted(lines) if name in UNORDERED else lines


def test_every_example_is_known() -> None:
    """No example goes untested."""
    assert sorted(path.name for path in FOLDER.glob("*.py")) == sorted(PRINTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_example(name: str) -> None:
    """The example prints what it promises; warnings are errors."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])

    ended = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / name)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    # A job that fails while nobody waits for it is logged.
    logged = [line for line in ended.stderr.splitlines() if not line.startswith("job ")]
    assert (ended.returncode, logged) == (0, [])
    assert lines_of(name, ended.stdout) == lines_of(name, PRINTED[name])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_example_is_short(path: Path) -> None:
    """An example can be read at one go."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
