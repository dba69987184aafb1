"""The shape of the package: imports point down, and a few promises about every file.

Imports are read from the source, so one under TYPE_CHECKING or inside a function counts too.
"""

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

PACKAGE = "ajobs"
ROOT = Path(__file__).parent.parent / "src" / PACKAGE

# These use the package as everybody does, which proves that the public names are enough.
PUBLIC_NAMES_ONLY = ("monitor", "schedule", "service", "testing")

# From the bottom up: a module imports only from layers below its own. An entry is a module or a
# package with all that is in it; with ".*" each module of that package stands for itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    # data, errors, and what tells one event loop from another
    (
        "_drive",
        "_errors",
        "_exit",
        "_lines",
        "_logs",
        "_records",
        "_spec",
        "_text",
        "_timers",
        "_wakeup",
        "_wire",
        "_writable",
    ),
    ("_loop",),
    # rules, the promise of a runner, what job code may call; a child process and its link
    (
        "_apart",
        "_checks",
        "_child",
        "_context",
        "_guests",
        "_link",
        "_log_router",
        "_memory",
        "_payload",
        "_poll",
    ),
    ("_runner", "_state"),
    ("_blocking", "_capture", "_culprit", "_failure", "_input", "_log", "_printed", "_track"),
    # what is known of a job; reading, waiting and showing; the far end
    ("_far_messages", "_fold", "_place", "_reading", "_view", "_waiting", "_worker", "runners"),
    ("_saving",),
    # the job; what a runner needs of workers
    ("_far_items", "_job", "_pool", "_process", "_talk", "runners.task", "runners.thread"),
    # one run: what it writes, how it begins and is told to end, what becomes of it, and when
    ("_calls", "_following", "_programs", "_showing", "_table", "_writing", "runners.command"),
    ("_pooled", "_run"),
    ("_settling",),
    ("_engine", "_jobs", "_named", "_unseen", "runners.interpreter", "runners.process"),
    ("runners.script",),
    # many items in one call; owners
    ("_foreach",),
    ("_starting",),
    ("_session",),
    ("_hosted",),
    # what the package offers beyond its core, and builds from what it offers
    ("_bench", "blocking"),
    ("__init__",),
    PUBLIC_NAMES_ONLY,
    ("cli",),
    ("__main__",),
)

# (importer, imported) of one layer, where splitting the layer would say less than naming the pair.
BETWEEN_EQUALS: frozenset[tuple[str, str]] = frozenset()

# The rules and the data: they run where nothing is installed, so they import nothing that is.
PURE = (
    "_checks",
    "_context",
    "_drive",
    "_errors",
    "_far_messages",
    "_lines",
    "_link",
    "_log",
    "_log_router",
    "_logs",
    "_records",
    "_spec",
    "_state",
    "_text",
    "_track",
    "_wire",
)

# What an entry may import beside the standard library; any library where nothing is said.
LIBRARIES: dict[str, frozenset[str]] = {
    **dict.fromkeys(PURE, frozenset()),
    "_loop": frozenset({"anyio"}),
    "_timers": frozenset({"anyio"}),
}

MAX_LINES = 400
LONG_FILES: dict[str, str] = {  # path below src/ajobs: why it reads better in one piece
    "_far_items.py": "what one worker does with batches; a second file would slow its start",
    "_loop.py": "what asyncio and trio do differently, side by side",
}

# Each of these costs more to load than all of ajobs, so it waits for its first use.
LOADED_ON_USE = frozenset({"trio", "aiofiles", "cloudpickle", "rich", "click", "sqlite3"})


class Place(NamedTuple):
    """Where a module stands in the table of layers."""

    level: int
    entry: str


@dataclass(frozen=True)
class Rules:
    """Who may import what; the tables above, or others to try the rules on."""

    layers: tuple[tuple[str, ...], ...] = LAYERS
    between_equals: frozenset[tuple[str, str]] = BETWEEN_EQUALS
    public_names_only: tuple[str, ...] = PUBLIC_NAMES_ONLY
    libraries: Mapping[str, frozenset[str]] = field(default_factory=lambda: LIBRARIES)

    def place_of(self, module: str) -> Place | None:
        """Find *module* in the table; None when it is missing there."""
        for name in (module, module.partition(".")[0]):
            for level, entries in enumerate(self.layers):
                if name in entries:
                    return Place(level, name)

                if f"{name.partition('.')[0]}.*" in entries:
                    return Place(level, module)

        return None

    def against_library(self, place: Place, library: str) -> str | None:
        """Object to the module at *place* importing somebody else's *library*."""
        allowed = self.libraries.get(place.entry)
        if allowed is None or library in allowed | sys.stdlib_module_names:
            return None

        return (
            f"import of {library}: here it is {', '.join(['the standard library', *allowed])} only"
        )

    def against_direction(self, place: Place, other: Place) -> str | None:
        """Object to the module at *place* importing the one at *other*."""
        if other.level > place.level:
            return "upward import"

        allowed = (
            other.level < place.level
            or other.entry == place.entry
            or other.entry.startswith(f"{place.entry}.")  # a package gathers its own modules
            or (place.entry, other.entry) in self.between_equals
        )
        return None if allowed else "import of an equal"

    def against_private(self, place: Place, other: Place, dotted: str) -> str | None:
        """Object to the module at *place* using *dotted*, a name in the one at *other*."""
        public = other.entry == "__init__" and not dotted.rpartition(".")[2].startswith("_")
        if place.entry not in self.public_names_only or other.entry == place.entry or public:
            return None

        return "import of what is no public name"


@dataclass(frozen=True)
class Tree:
    """The modules below *root* by dotted name; the package itself is `__init__`."""

    root: Path
    rules: Rules = field(default_factory=Rules)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The path of each module by its name."""
        return {self.name_of(path): path for path in sorted(self.root.rglob("*.py"))}

    def name_of(self, path: Path) -> str:
        """Name the module in *path* as seen from the package."""
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)

    def imports(self, module: str) -> Iterator[tuple[int, str]]:
        """List what *module* imports: line numbers and absolute dotted names."""
        path = self.files[module]
        home = [PACKAGE, *path.relative_to(self.root).parent.parts]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import():
                    yield from ((node.lineno, alias.name) for alias in node.names)
                case ast.ImportFrom():
                    start = home[: len(home) + 1 - node.level] if node.level else []
                    origin = ".".join([*start, *filter(None, [node.module])])
                    yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)

    def resolve(self, dotted: str) -> str | None:
        """Find the module of ours that *dotted* is, or is a name in; None for somebody else's."""
        package, *names = dotted.split(".")
        if package != PACKAGE:
            return None

        while names:
            module = ".".join(names)
            if module in self.files or (len(names) == 1 and self.rules.place_of(module)):
                return module

            names.pop()

        return "__init__"

    def complaints(self, module: str) -> list[str]:
        """Say which imports of *module* break a rule, and where."""
        place = self.rules.place_of(module)
        if not place:
            return [f"{module} is in no layer: add it to LAYERS"]

        judged = ((line, self.judge(place, dotted)) for line, dotted in self.imports(module))
        return [f"line {line}: {problem}" for line, problem in judged if problem]

    def judge(self, place: Place, dotted: str) -> str | None:
        """Say what is wrong with importing *dotted* at *place*; None when nothing is."""
        target = self.resolve(dotted)
        if not target:
            return self.rules.against_library(place, dotted.partition(".")[0])

        other = self.rules.place_of(target)
        if not other:
            return None  # what is in no layer has a complaint of its own

        problem = self.rules.against_direction(place, other)
        problem = problem or self.rules.against_private(place, other, dotted)
        return problem and f"{problem}: {dotted}"

    def cycle(self) -> list[str]:
        """Find modules that import one another in a ring, each imported by the one before."""
        graph = {
            module: {target for _, name in self.imports(module) if (target := self.resolve(name))}
            for module in self.files
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            return list(reversed(error.args[1]))

        return []


def without_docstring(files: Mapping[str, Path]) -> list[str]:
    """List the modules that do not say why they exist."""
    texts = ((name, path.read_text(encoding="utf-8")) for name, path in files.items())
    return [name for name, text in texts if not ast.get_docstring(ast.parse(text))]


def wrong_sizes(root: Path, reasons: Mapping[str, str]) -> list[str]:
    """List the files that are long without a reason, and those that have one and are not long."""
    sizes = {
        path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in root.rglob("*.py")
    }
    long = {name for name, size in sizes.items() if size > MAX_LINES}
    excused = {name for name, reason in reasons.items() if reason and name in sizes}
    return sorted(long ^ excused)


def wrong_exports(source: str) -> list[str]:
    """List the names by which `__all__` differs from the imports, or that stand out of order."""
    imported, exported = set[str](), list[str]()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(names=names, level=1):
                imported |= {alias.asname or alias.name for alias in names}
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                exported += ast.literal_eval(value)

    # The order that ruff gives it: constants, classes, functions.
    ordered = sorted(exported, key=lambda name: (not name.isupper(), name[:1].islower(), name))
    misplaced = [name for name, right in zip(exported, ordered, strict=True) if name != right]
    public = {name for name in imported if not name.startswith("_")}
    return [*sorted(public ^ set(exported)), *misplaced]


def undocumented(namespace: object, names: Iterable[str]) -> list[str]:
    """List the functions and classes among *names* that have no docstring of their own."""
    things = {name: getattr(namespace, name) for name in names}
    return [
        name
        for name, thing in things.items()
        # of constants and aliases Python keeps none; to a dataclass it gives its signature
        if (inspect.isroutine(thing) or inspect.isclass(thing))
        and (thing.__doc__ or f"{name}(").startswith(f"{name}(")
    ]


def modules_after(statement: str) -> set[str]:
    """Run *statement* in a fresh interpreter and say what is loaded there."""
    # where coverage follows into subprocesses, it would load its own
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    argv = [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"]
    return set(
        subprocess.run(argv, env=env, capture_output=True, check=True).stdout.decode().split()
    )


def needless(loaded: set[str], known: set[str]) -> set[str]:
    """Pick from *loaded* what the package must not load: foreign packages, and dear ones."""
    names = {name.partition(".")[0] for name in loaded - known}
    return (names - sys.stdlib_module_names - {PACKAGE}) | (loaded & LOADED_ON_USE)


TREE = Tree(ROOT)
needs_package = pytest.mark.skipif("__init__" not in TREE.files, reason="there is no package yet")


@pytest.mark.parametrize("module", TREE.files)
def test_imports_point_down(module: str) -> None:
    """A module imports what its layer may, and nothing else."""
    assert TREE.complaints(module) == []


def test_imports_have_no_cycle() -> None:
    """No module imports itself by a detour, not even inside one package."""
    assert TREE.cycle() == []


def test_modules_have_docstrings() -> None:
    """Every module says why it exists."""
    assert without_docstring(TREE.files) == []


def test_files_are_short_or_say_why_not() -> None:
    """A long file has its reason in the table, and the table holds no other."""
    assert wrong_sizes(ROOT, LONG_FILES) == []


@needs_package
def test_all_is_sorted_and_complete() -> None:
    """The package exports what it imports without an underscore."""
    assert wrong_exports(TREE.files["__init__"].read_text(encoding="utf-8")) == []


@needs_package
def test_public_names_have_docstrings() -> None:
    """Every public function and class says what its signature cannot."""
    import ajobs

    assert undocumented(ajobs, ajobs.__all__) == []


@needs_package
@pytest.mark.slow
def test_import_loads_anyio_only() -> None:
    """`import ajobs` costs little more than `import anyio`."""
    # anyio loads itself piece by piece, so touch every piece to know what belongs to it
    whole_anyio = modules_after("import anyio; [getattr(anyio, name) for name in dir(anyio)]")

    everything = f"import {PACKAGE}; [getattr({PACKAGE}, name) for name in {PACKAGE}.__all__]"

    assert needless(modules_after(f"import {PACKAGE}"), whole_anyio) == set()
    # a part that it does not load by itself, for those who have no loop
    portal = modules_after("import anyio.from_thread")
    assert needless(modules_after(everything), whole_anyio | portal) == set()


@needs_package
def test_names_load_from_where_the_types_say() -> None:
    """Each public name is loaded, when it is used, from the module that type checkers look at."""
    import ajobs

    source = ast.parse(TREE.files["__init__"].read_text(encoding="utf-8"))
    seen = {
        alias.name: f".{node.module or ''}"
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }

    assert seen == ajobs._HOMES
    assert set(ajobs.__all__) <= set(dir(ajobs))
    with pytest.raises(AttributeError, match="no_such_name"):
        ajobs.no_such_name  # noqa: B018  # looking is what fails


EXAMPLE = Rules(
    layers=(
        ("_errors", "_wire"),
        ("_log", "_loop"),
        ("_job",),
        ("runners.*",),
        ("__init__",),
        ("monitor", "schedule", "testing"),
        ("cli",),
        ("__main__",),
    ),
    between_equals=frozenset({("_log", "_loop")}),
    public_names_only=("monitor", "schedule", "testing"),
    libraries={"_wire": frozenset(), "_loop": frozenset({"anyio"})},
)


def grow(root: Path, sources: Mapping[str, str]) -> Tree:
    """Write a package of *sources* by path, in which a rule can be seen to fail."""
    for name, source in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")

    return Tree(root, EXAMPLE)


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("_errors.py", "from ._job import Job", "upward import: ajobs._job.Job"),
        ("_errors.py", "from . import _job", "upward import: ajobs._job"),
        ("_errors.py", "import os, ajobs._job as job", "upward import: ajobs._job"),
        ("_errors.py", "from ajobs._job import Job", "upward import: ajobs._job.Job"),
        ("_errors.py", "from ajobs import Job", "upward import: ajobs.Job"),
        ("_errors.py", "if TYPE_CHECKING: from ._job import Job", "upward import: ajobs._job.Job"),
        ("_errors.py", "def f(): from ._job import Job", "upward import: ajobs._job.Job"),
        ("_loop.py", "from ._log import Log", "import of an equal: ajobs._log.Log"),
        ("runners/task.py", "from ..cli import main", "upward import: ajobs.cli.main"),
        (
            "runners/task.py",
            "from . import TaskRunner",
            "import of an equal: ajobs.runners.TaskRunner",
        ),
        ("runners/task.py", "from .far import Far", "import of an equal: ajobs.runners.far.Far"),
        ("schedule/cron.py", "from ..monitor import x", "import of an equal: ajobs.monitor.x"),
        ("testing.py", "from ._job import Job", "import of what is no public name: ajobs._job.Job"),
        ("testing.py", "from . import _job", "import of what is no public name: ajobs._job"),
        ("testing.py", "import ajobs._job", "import of what is no public name: ajobs._job"),
        ("testing.py", "from ajobs import _x", "import of what is no public name: ajobs._x"),
        ("monitor/web.py", "from .. import _x", "import of what is no public name: ajobs._x"),
        ("_wire.py", "import rich.text", "import of rich: here it is the standard library only"),
        ("_loop.py", "import trio", "import of trio: here it is the standard library, anyio only"),
    ],
)
def test_wrong_import_is_found(tmp_path: Path, path: str, source: str, problem: str) -> None:
    """However an import is written, the rule that it breaks is named with the line."""
    tree = grow(tmp_path, {"runners/far.py": "", path: f"import ast\n{source}"})

    assert tree.complaints(tree.name_of(tmp_path / path)) == [f"line 2: {problem}"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("_job.py", "import anyio\nfrom ._errors import JobFailed\nfrom . import _log"),
        ("_wire.py", "import pickle\nfrom __future__ import annotations"),
        ("_loop.py", "import asyncio\nimport anyio.lowlevel"),
        ("_log.py", "from ._loop import Loop"),
        ("runners/__init__.py", "from .far import FarRunner"),
        ("runners/task.py", "from .._job import Job"),
        ("__init__.py", "from ._job import Job\nfrom .runners import FarRunner"),
        ("testing.py", "import ajobs\nfrom ajobs import Job\nfrom . import Session"),
        ("schedule/cron.py", "from .. import Job\nfrom ._planner import plan\nimport cronsim"),
        ("cli.py", "from ._job import Job\nfrom .monitor import progress\nimport click"),
        ("__main__.py", "from .cli import main"),
    ],
)
def test_right_import_passes(tmp_path: Path, path: str, source: str) -> None:
    """What points down, stays inside one package, or is in the table of exceptions is right."""
    tree = grow(tmp_path, {"runners/far.py": "", "schedule/_planner.py": "", path: source})

    assert tree.complaints(tree.name_of(tmp_path / path)) == []
    assert tree.cycle() == []


def test_unknown_module_is_found(tmp_path: Path) -> None:
    """A new module has to find its layer before anything else is said of it."""
    tree = grow(tmp_path, {"_new.py": "from .cli import main", "_job.py": "from . import _new"})

    assert tree.complaints("_new") == ["_new is in no layer: add it to LAYERS"]
    assert tree.complaints("_job") == []


@pytest.mark.parametrize("last", ["from . import a", "def f():\n    from .a import x"])
def test_cycle_is_found(tmp_path: Path, last: str) -> None:
    """A ring inside one package is found, also when a function closes it."""
    tree = grow(
        tmp_path,
        {"cli/a.py": "from . import b", "cli/b.py": "from .c import x", "cli/c.py": last},
    )

    assert set(tree.cycle()) == {"cli.a", "cli.b", "cli.c"}
    assert all(tree.complaints(module) == [] for module in tree.files)


def test_missing_module_docstring_is_found(tmp_path: Path) -> None:
    """A comment is no docstring."""
    tree = grow(tmp_path, {"_job.py": "# why\nx = 1", "_log.py": '"""Why."""', "_spec.py": ""})

    assert without_docstring(tree.files) == ["_job", "_spec"]


def test_long_file_and_needless_reason_are_found(tmp_path: Path) -> None:
    """A long file needs a reason that is not empty; a short one must not have any."""
    long = "\n" * (MAX_LINES + 1)
    grow(tmp_path, {"a.py": long, "b/c.py": long, "d.py": long, "short.py": "\n" * MAX_LINES})

    assert wrong_sizes(tmp_path, {"a.py": "one story", "d.py": ""}) == ["b/c.py", "d.py"]
    assert wrong_sizes(tmp_path, dict.fromkeys(["a.py", "b/c.py", "d.py", "short.py"], "why")) == [
        "short.py"
    ]


@pytest.mark.parametrize(
    ("exports", "wrong"),
    [
        ('__all__ = ["LIMIT", "Job", "Session", "start"]', []),
        ('__all__ = ("LIMIT", "Job", "Session", "start")', []),
        ('__all__ = ["LIMIT", "Job", "Session"]', ["start"]),
        ('__all__ = ["LIMIT", "Job", "Session", "start", "stop"]', ["stop"]),
        ('__all__ = ["LIMIT", "Session", "Job", "start"]', ["Session", "Job"]),
        ("", ["Job", "LIMIT", "Session", "start"]),
    ],
)
def test_wrong_exports_are_found(exports: str, wrong: list[str]) -> None:
    """A name may be forgotten, invented or misplaced."""
    imports = (
        "from __future__ import annotations\n"
        "from ._a import LIMIT, Job, _own\n"
        "from ._b import Table as Session, start\n"
    )

    assert wrong_exports(imports + exports) == wrong


def test_missing_docstring_is_found() -> None:
    """The signature that a dataclass gets for a docstring is none; constants need none."""

    class Bare:
        pass

    @dataclass
    class Data:
        x: int

    class Documented:
        """A good one."""

    def bare() -> None:
        pass

    names = SimpleNamespace(Bare=Bare, Data=Data, Documented=Documented, bare=bare, LIMIT=3)

    assert undocumented(names, vars(names)) == ["Bare", "Data", "bare"]


def test_needless_import_is_found() -> None:
    """Foreign packages are found, and those of the standard library that are not needed."""
    loaded = {"ajobs", "ajobs._job", "anyio", "json", "sqlite3", "rich", "numpy.linalg"}

    assert needless(loaded, known={"anyio"}) == {"sqlite3", "rich", "numpy"}


def test_loaded_modules_are_seen() -> None:
    """The fresh interpreter tells what a statement loads, and nothing of its own."""
    assert "sqlite3" in modules_after("import sqlite3")
    assert "json" not in modules_after("pass")
