"""What only shows after a minute, or after a million items."""

import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

#: Each in a process of its own, whose memory nothing else uses.
START = """
import re, sys, time
import anyio
from pathlib import Path
from ajobs import parallel_foreach

def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def plain(item):
    return item

async def coroutine(item):
    await anyio.lowlevel.checkpoint()
    return item
"""


def measure(code: str, *args: str) -> float:
    """Run *code* elsewhere and return the KiB that it prints, in MiB."""
    argv = [sys.executable, "-c", START + dedent(code), *args]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


@pytest.mark.parametrize("runner", ["task", "thread", "process"])
def test_G9_million_items(runner: str, anyio_backend_name: str) -> None:
    """The peak of memory grows by less than 16 MiB."""
    code = """
    async def run(items):
        fn = coroutine if sys.argv[1] == "task" else plain
        async with parallel_foreach(range(items), fn, runner=sys.argv[1]) as results:
            async for _ in results:
                pass

    async def main():
        await run(20_000)
        before = memory("VmHWM")
        await run(1_000_000)
        print(memory("VmHWM") - before)

    anyio.run(main, backend=sys.argv[2])
    """
    assert measure(code, runner, anyio_backend_name) < 16


def test_a_minute_of_an_endless_input(anyio_backend_name: str) -> None:
    """A slow consumer of results in order: less than 2 MiB from the tenth second on."""
    code = """
    async def numbers():
        number = 0
        while True:
            yield number
            number += 1
            await anyio.lowlevel.checkpoint()

    async def main():
        begin = time.monotonic()
        before = None
        expected = 0
        async with parallel_foreach(numbers(), coroutine, throttle=100, ordered=True) as results:
            async for number in results:
                assert number == expected
                expected += 1
                if expected % 10 == 0:
                    await anyio.sleep(0.001)

                passed = time.monotonic() - begin
                if before is None and passed > 10:
                    before = memory("VmRSS")
                elif passed > 60:
                    break

        print(memory("VmHWM") - before)

    anyio.run(main, backend=sys.argv[1])
    """
    assert measure(code, anyio_backend_name) < 2
