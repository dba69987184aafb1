"""What the jobs of the demo do: plain functions and coroutines, as any program has them."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from warnings import catch_warnings, simplefilter

import ajobs

from ._server import get

__all__ = (
    "HashedFile",
    "count_functions",
    "fetch_pages",
    "find_files",
    "hash_files",
    "search_marks",
)

# Not part of the standard library, or rewritten by whatever runs.
SKIPPED = frozenset({"__pycache__", "dist-packages", "site-packages"})

MARKS = (b"TODO", b"FIXME", b"XXX")


class HashedFile(NamedTuple):
    """What is found out about a file."""

    path: Path
    size: int
    lines: int
    digest: str

    @property
    def is_source(self) -> bool:
        """True for Python source."""
        return self.path.suffix == ".py"


def find_files(root: Path) -> Iterator[Path]:
    """Yield every file below *root*; each ``yield`` is a record of the job's output."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and os.access(path, os.R_OK):
                yield path
            else:
                ajobs.write_warning(f"cannot read {path}")


def hash_file(path: Path) -> HashedFile:
    """Read a file, hash it and count its lines."""
    data = path.read_bytes()
    return HashedFile(path, len(data), data.count(b"\n"), hashlib.sha256(data).hexdigest())


async def hash_files() -> None:
    """Hash the files of the job's input, 8 at a time in threads, and write each as output."""
    async with ajobs.parallel_foreach(
        ajobs.job_input(), hash_file, runner="thread", throttle=8
    ) as results:
        async for file in results:
            await ajobs.write_output(file)


async def fetch_pages(port: int, names: list[str]) -> dict[str, str]:
    """Ask the server for *names*, 10 at a time; return the hash of each page."""

    async def digest(name: str) -> str:
        return hashlib.sha256(await get(port, name)).hexdigest()

    digests = await ajobs.parallel_foreach(names, digest, throttle=10)
    return dict(zip(names, digests, strict=True))


def count_functions(paths: list[Path]) -> int:
    """Parse the files and count their functions: work for a processor, not for a disk."""
    found = 0
    for path in paths:
        # What tests a parser's errors does not parse.
        with suppress(SyntaxError, ValueError, RecursionError), catch_warnings():
            simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
            found += sum(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))

    print(f"parsed in process {os.getpid()}")
    return found


def search_marks(paths: list[Path]) -> Iterator[int]:
    """Yield for each file how many of its lines say TODO or the like."""
    for number, path in enumerate(paths, 1):
        yield sum(any(mark in line for mark in MARKS) for line in path.read_bytes().splitlines())
        ajobs.write_progress("searching", completed=number, total=len(paths))
