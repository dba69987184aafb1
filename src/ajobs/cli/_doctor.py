"""``ajobs doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from importlib import metadata
from time import perf_counter

import anyio
import rich_click as click

from .. import AjobsError, InterpreterRunner, Session
from .._child import check_platform

__all__ = ("Finding", "Grade", "command", "examine")

SCHEMA = "ajobs.doctor/1"

#: Fewer open files than this are soon used up by a session with many processes or commands.
FEW_FILES = 1024


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    NOTE = "note"  # something optional is not there
    BAD = "BAD"


@dataclass(frozen=True)
class Finding:
    """What was found out.

    Attributes:
        name: What was looked at.
        grade: How good it is.
        said: What it is.
        advice: What to do, if something is not good.
    """

    name: str
    grade: Grade
    said: str
    advice: str = ""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> int:
    """Look at what ajobs needs here; say what is missing and what to do.

    Runs a coroutine on each event loop, a job in a process and one in a subinterpreter. The
    status is 1 if something does not work that should.
    """
    findings = list(examine())
    if as_json:
        print(json.dumps({"schema": SCHEMA, "findings": [asdict(one) for one in findings]}))
    else:
        print("\n".join(lines_of(findings)))

    return int(any(one.grade is Grade.BAD for one in findings))


def lines_of(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield *findings* as a table for people."""
    for one in findings:
        yield f"{one.grade:<5} {one.name:<15} {one.said}"
        if one.advice:
            yield f"{'':<21} -> {one.advice}"


def examine() -> Iterator[Finding]:
    """Look at everything, the quick things first."""
    yield from _python()
    yield from _limits()
    looks: dict[str, Callable[[], Finding]] = {
        "loopback": _loopback,
        "temporary files": _temporary,
        "processes": _processes,
        "interpreters": _interpreters,
        "asyncio": partial(_loop, "asyncio"),
        "trio": partial(_loop, "trio"),
    }
    for name, look in looks.items():
        yield _looked(name, look)

    yield from _extras()


def _looked(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return Finding(name, Grade.BAD, f"{type(error).__name__}: {error}")


def _python() -> Iterator[Finding]:
    said = f"{platform.python_version()}, {platform.python_implementation()}, {sys.executable}"
    yield Finding("Python", Grade.OK, said)
    yield Finding("system", Grade.OK, f"{platform.system()} {platform.release()}")


def _limits() -> Iterator[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("CPUs", Grade.OK, f"{usable} for this process")
    try:
        import resource
    except ImportError:
        return

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft != resource.RLIM_INFINITY and soft < FEW_FILES
    advice = f"ulimit -n {min(hard, 65536) if hard > 0 else 65536}" if few else ""
    grade = Grade.NOTE if few else Grade.OK
    yield Finding("open files", grade, f"{soft:,} at most" if soft > 0 else "no limit", advice)
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    yield Finding("user processes", Grade.OK, f"{soft:,} at most" if soft > 0 else "no limit")


def _loopback() -> Finding:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return Finding("loopback", Grade.OK, "a connection to 127.0.0.1 works")


def _temporary() -> Finding:
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.flush()

    return Finding("temporary files", Grade.OK, tempfile.gettempdir())


def _loop(backend: str) -> Finding:
    anyio.run(anyio.sleep, 0, backend=backend)
    version = "" if backend == "asyncio" else f"{metadata.version(backend)}, "
    return Finding(backend, Grade.OK, f"{version}anyio {metadata.version('anyio')}")


def _processes() -> Finding:
    name = "processes"
    try:
        check_platform("process jobs")
    except AjobsError as error:
        return Finding(name, Grade.NOTE, "not here", str(error))

    bare = _seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))

    async def first() -> None:
        async with Session() as jobs:
            await jobs.start(os.getpid, runner="process")

    took = _seconds(lambda: anyio.run(first))
    said = f"first job in {took * 1000:.0f} ms (python -c pass: {bare * 1000:.0f} ms), pidfd"
    return Finding(name, Grade.OK, said)


def _interpreters() -> Finding:
    name = "interpreters"
    try:
        InterpreterRunner()
    except AjobsError as error:
        return Finding(name, Grade.NOTE, "not here", f"{error}")

    async def first() -> None:
        async with Session() as jobs:
            await jobs.start(os.getpid, runner="interpreter")

    took = _seconds(lambda: anyio.run(first))
    return Finding(name, Grade.OK, f"first job in {took * 1000:.0f} ms")


def _seconds(act: Callable[[], object]) -> float:
    start = perf_counter()
    act()
    return perf_counter() - start


def _extras() -> Iterator[Finding]:
    """Look for the packages of each extra, as the installed copy of ajobs lists them."""
    try:
        needs = metadata.requires("ajobs") or []
    except metadata.PackageNotFoundError:
        said = "unknown: ajobs runs from a source tree"
        yield Finding("extras", Grade.NOTE, said, "pip install -e '.[cli]'")
        return

    extras: dict[str, list[str]] = {}
    for need in needs:
        match = re.match(r"([\w.-]+).*extra\s*==\s*['\"](\w+)['\"]", need)
        if match and match[1] != "ajobs" and match[2] not in {"all", "test", "bench"}:
            extras.setdefault(match[2], []).append(match[1])

    for extra, packages in extras.items():
        missing = [package for package in packages if not _is_installed(package)]
        if missing:
            said = f"not installed: {', '.join(missing)}"
            advice = f"python -m pip install 'ajobs[{extra}]', if you want it"
            yield Finding(f"extra {extra}", Grade.NOTE, said, advice)
        else:
            yield Finding(f"extra {extra}", Grade.OK, ", ".join(packages))


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False

    return True
