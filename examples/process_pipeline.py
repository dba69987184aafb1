"""A pipeline over real files: find, read and sort out, add up; each stage is a job.

The files are the sources of Python's own asyncio, which every machine has. Each stage takes the
output of the one before, item by item; `output_limit` makes a fast stage wait for a slow one.
"""

import ast
import asyncio
import collections
import pathlib

import anyio

import ajobs


def find(folder):
    """In a thread: it only waits for the disk."""
    for path in sorted(folder.glob("*.py")):
        yield str(path)


def parse():
    """In a process: parsing is work for a processor of its own."""
    for path in ajobs.job_input():
        tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))
        nodes = [type(node).__name__ for node in ast.walk(tree)]
        print("parsed", pathlib.Path(path).name)  # in a process, a record of information
        yield nodes.count("FunctionDef"), nodes.count("AsyncFunctionDef")


async def add_up():
    """On the loop: a few additions."""
    totals = collections.Counter()
    async for plain, coroutines in ajobs.job_input():
        totals.update(files=1, plain=plain, coroutines=coroutines)

    return totals


async def main():
    folder = pathlib.Path(asyncio.__file__).parent
    async with ajobs.Session() as jobs:
        paths = jobs.start(find, folder, output_limit=10)
        counts = jobs.start(parse, runner="process", input=paths.receive(), output_limit=10)
        totals = await jobs.start(add_up, input=counts.receive())

        print("every file was parsed:", totals["files"] == len(list(folder.glob("*.py"))))
        print("more functions than coroutines:", totals["plain"] > totals["coroutines"] > 0)
        print(counts.receive_nowait("information")[0])
        print(*(f"{job.command} {job.kind} {job.state}" for job in jobs), sep="\n")


anyio.run(main)
