"""A real fan-out: requests by an async client to a server in another process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import aiohttp
import aiometer
import anyio
import httpx

import ajobs

from .harness import Contest, Measure, Row
from .work import Fn, loops, timed

PEERS = ("aiohttp", "httpx", "aiometer", "uvloop")

Way = Callable[[Fn], Awaitable[None]]

REQUESTS = 10_000

#: With httpx, whose pool of connections takes milliseconds for a request at this throttle.
FEW_REQUESTS = 1_000

THROTTLE = 100

#: A round is 10,000 requests of each. The aim is a matter of a few percent, and so is what medians
#: of nine rounds differ by, even between two loops by hand.
LEAST_ROUNDS = 27

#: Keeps its connections open, as servers do.
SERVER = """
import asyncio

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"

async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def server() -> Iterator[str]:
    """Run a small HTTP server in another process; give its address."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.terminate()


async def with_ajobs(count: int, fn: Fn) -> None:
    """Await the list, as the loop by hand makes one."""
    await ajobs.parallel_foreach(range(count), fn, throttle=THROTTLE)


async def by_hand(count: int, fn: Fn) -> None:
    """Do what one writes who wants no library: workers that share an iterator."""
    items = iter(range(count))
    results: list[Any] = []

    async def work() -> None:
        for item in items:
            results.append(await fn(item))  # noqa: PERF401 - other workers append meanwhile

    async with anyio.create_task_group() as group:
        for _ in range(THROTTLE):
            group.start_soon(work)


async def with_semaphore(count: int, fn: Fn) -> None:
    """Create a task for each request, with a semaphore."""
    semaphore = asyncio.Semaphore(THROTTLE)

    async def work(item: int) -> Any:
        async with semaphore:
            return await fn(item)

    await asyncio.gather(*(work(item) for item in range(count)))


async def with_aiometer(count: int, fn: Fn) -> None:
    """Run them all with aiometer."""
    await aiometer.run_on_each(fn, list(range(count)), max_at_once=THROTTLE)


async def with_aiohttp(way: Way, address: str) -> None:
    """Fan out over one client of aiohttp, which is asyncio's own; it shares connections."""
    connector = aiohttp.TCPConnector(limit=THROTTLE)
    async with aiohttp.ClientSession(connector=connector) as client:

        async def fetch(_: int) -> bytes:
            async with client.get(address) as answer:
                return await answer.read()

        await way(fetch)


async def with_httpx(way: Way, address: str) -> None:
    """Fan out over one client of httpx, which runs on trio too."""
    limits = httpx.Limits(max_connections=THROTTLE, max_keepalive_connections=THROTTLE)
    async with httpx.AsyncClient(limits=limits, timeout=None) as client:

        async def fetch(_: int) -> bytes:
            return (await client.get(address)).content

        await way(fetch)


def contest(address: str, loop: str) -> Contest:
    """Compare the ways to fan out."""
    peers = {"a worker loop by hand": by_hand, "aiometer.run_on_each": with_aiometer}
    if loop == "trio":
        client, name, count = with_httpx, "httpx", FEW_REQUESTS
    else:
        client, name, count = with_aiohttp, "aiohttp", REQUESTS
        peers["asyncio.gather + Semaphore"] = with_semaphore

    def measure(way: Callable[[int, Fn], Awaitable[None]]) -> Measure:
        return timed(partial(client, partial(way, count), address), loop)

    return Contest(
        f"{count:,} requests with {name}, throttle {THROTTLE}; {loop}",
        count,
        measure(with_ajobs),
        {peer: measure(way) for peer, way in peers.items()},
        {} if loop == "trio" else {"a worker loop by hand": 1.05},
    )


def rows(rounds: int) -> list[Row]:
    """Measure everything of this page."""
    found: list[Row] = []
    with server() as address:
        for loop in loops():
            least = 1 if loop == "trio" else LEAST_ROUNDS
            found += contest(address, loop).run(max(rounds, least))

    return found
