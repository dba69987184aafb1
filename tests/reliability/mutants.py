"""Are the tests strong enough? A small change to the core or the protocol must make one fail.

Run by hand: ``python -m tests.reliability.mutants --count 300``. Needs cosmic-ray, which makes the
changes, besides what the tests need, and root on Linux: a changed line may kill what it should
not, so each change is tried in a pid namespace. The suite runs once to learn which tests reach
which line; then each change is tried on those that reach its line, the quick ones first. Lines that
an import alone runs are left out, and so is what Python does not evaluate.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from xml.etree import ElementTree as ET

from coverage import CoverageData

ROOT = Path(__file__).parents[2]

#: What decides and remembers, and what the two ends of a connection say.
CORE = (
    "context engine fold following input job jobs log log_router logs loop named reading records"
    " run session settling spec starting state table timers track waiting wakeup writing"
)
PROTOCOL = "far_messages link payload talk wire"

#: Seconds of tests that are tried on a change.
SECONDS = 40.0

#: A change that makes them take so many times as long, and seconds more, has been noticed.
SLOWER, STARTING = 4.0, 60.0

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")

#: In a pid namespace; a shell is its first process, which has to bury whoever is left behind.
ALONE = (
    *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
    *("sh", "-c", '"$@"; exit $?', "sh"),
)

#: Where the first run leaves what each test took.
TIMES = "times.xml"

#: A line and a column; lines count from 1.
Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a file; *change* returns the source with it."""

    path: Path
    line: int
    source: str
    change: Callable[[], str]

    def __str__(self) -> str:
        before, after = self.source.splitlines(), self.change().splitlines()
        changed = list(unified_diff(before, after, n=0, lineterm=""))[3:]
        return "\n".join([f"{self.path}:{self.line}", *changed])


def copy_tree(folder: Path) -> Path:
    """Copy what the tests need, so that nobody's files are changed."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return folder


def pytest_in(tree: Path, *options: str, limit: float | None = None) -> bool:
    """Tell whether the tests pass in *tree*, within *limit* seconds.

    Raises:
        RuntimeError: There are no such tests, which would pass for a failure.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*ALONE, *PYTEST, *options]
    try:
        ran = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return False

    if b"ERROR: not found" in ran.stdout + ran.stderr:
        raise RuntimeError(ran.stderr.decode())

    return ran.returncode == 0


class Reach:
    """Which tests reach a line, as one run of the suite in *tree* tells."""

    def __init__(self, tree: Path) -> None:
        # Not the project's settings, by which workers are measured too, which no test is named in.
        settings = tree / "contexts.ini"
        settings.write_text("[run]\nsource = ajobs\n")
        learning = (
            "--cov=ajobs",
            "--cov-context=test",
            "--cov-report=",
            f"--cov-config={settings}",
        )
        options = ("-m", "not kill and not soak", f"--junitxml={TIMES}", *learning)
        if not (tree / TIMES).exists() and not pytest_in(tree, *options):
            raise SystemExit("the tests fail as they are")

        self._data = CoverageData(str(tree / ".coverage"))
        self._data.read()
        self._names = {Path(name).relative_to(tree): name for name in self._data.measured_files()}
        self._contexts: dict[Path, dict[int, list[str]]] = {}
        self.seconds = dict(self._times(tree))

    @staticmethod
    def _times(tree: Path) -> Iterator[tuple[str, float]]:
        """Give the seconds of each test, by the name that it has in the contexts."""
        for case in ET.parse(tree / TIMES).iter("testcase"):
            *folders, last = case.attrib["classname"].split(".")
            classes: list[str] = []
            while not (tree / Path(*folders, f"{last}.py")).exists():
                classes.insert(0, last)
                last = folders.pop()

            file = "/".join([*folders, f"{last}.py"])
            yield "::".join([file, *classes, case.attrib["name"]]), float(case.attrib["time"])

    def tests(self, path: Path, line: int) -> list[str]:
        """Return the tests that reach *line* of *path*, the quick ones first."""
        if path not in self._contexts:
            self._contexts[path] = self._data.contexts_by_lineno(self._names[path])

        contexts = self._contexts[path].get(line, [])
        names = {context.rpartition("|")[0] for context in contexts} & self.seconds.keys()
        chosen: list[str] = []
        spent = 0.0
        for name in sorted(names, key=lambda name: (self.seconds[name], name)):
            spent += self.seconds[name]
            if spent > SECONDS:
                break

            chosen.append(name)

        return chosen


def unevaluated(source: str) -> list[tuple[Position, Position]]:
    """Return where the annotations of *source* stand, and what only type checkers see."""
    nodes: list[Any] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation):
                nodes.append(annotation)
            case ast.FunctionDef(returns=returns) | ast.AsyncFunctionDef(returns=returns):
                nodes.append(returns)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                nodes += body

    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in nodes
        if node is not None
    ]


def mutants(path: Path, source: str, chance: random.Random) -> Iterator[Mutant]:
    """Give one change, which *chance* chooses, for each place in *source*."""
    plugins: Any = importlib.import_module("cosmic_ray.plugins")
    trees: Any = importlib.import_module("cosmic_ray.ast")
    mutate: Any = importlib.import_module("cosmic_ray.mutating").mutate_code
    skipped = unevaluated(source)
    places: dict[Position, list[Callable[[], str]]] = defaultdict(list)
    nodes = list(trees.ast_nodes(trees.get_ast(source)))
    for name in plugins.operator_names():
        if "Variable" in name:
            continue  # these want to be told names

        operator = plugins.get_operator(name)()
        occurrence = 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                if not any(first <= start < last for first, last in skipped):
                    places[start].append(partial(mutate, source, operator, occurrence))

                occurrence += 1

    for (line, _), ways in sorted(places.items()):
        yield Mutant(path, line, source, chance.choice(ways))


def survives(mutant: Mutant, tests: list[str], seconds: float, tree: Path) -> bool:
    """Tell whether no test notices *mutant*."""
    file = tree / mutant.path
    file.write_text(mutant.change())
    try:
        return pytest_in(tree, "-x", "--timeout=30", *tests, limit=STARTING + SLOWER * seconds)
    finally:
        file.write_text(mutant.source)


def main() -> None:
    """Try a sample of all changes, and print those that no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many changes are tried")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--learned", type=Path, help="keep there what the first run learns")
    parser.add_argument("modules", nargs="*", default=f"{CORE} {PROTOCOL}".split())
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            trees.put(copy_tree(Path(folder, str(number))))

        learned = options.learned or Path(folder, "learned")
        reach = Reach(learned if learned.exists() else copy_tree(learned))
        paths = [Path("src", "ajobs", f"_{module}.py") for module in options.modules]
        every = [
            (mutant, tests)
            for path in paths
            for mutant in mutants(path, (ROOT / path).read_text(), chance)
            if (tests := reach.tests(path, mutant.line))
        ]

        def attempt(one: tuple[Mutant, list[str]]) -> bool:
            mutant, tests = one
            tree = trees.get()
            try:
                survived = survives(mutant, tests, sum(map(reach.seconds.__getitem__, tests)), tree)
            finally:
                trees.put(tree)

            if survived:
                print(f"no test of {len(tests)} notices {mutant}\n", flush=True)

            return survived

        sample = chance.sample(every, min(options.count, len(every)))
        with ThreadPoolExecutor(options.jobs) as pool:
            survivors = sum(pool.map(attempt, sample))

        print(f"{len(sample) - survivors} of {len(sample)} were noticed, of {len(every)} in all")


if __name__ == "__main__":
    main()
