"""Jobs whose worker is killed at a named point of their life, by their own code: exactly there.

Imported by workers, so it imports little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import ajobs


def kill() -> NoReturn:
    """Have the system end this process, in the middle of whatever it does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it goes on")


class KillsWhenLoaded:
    """Kills the process that unpickles it."""

    def __reduce__(self) -> Any:
        return kill, ()


class KillsWhenPickled:
    """Kills the process that pickles it."""

    def __reduce__(self) -> Any:
        kill()


class KillsWhenFreed:
    """Kills the process that lets go of it; it travels as something harmless."""

    def __reduce__(self) -> Any:
        return str, ("done",)

    def __del__(self) -> None:
        kill()


def take(value: object) -> None:
    """Take anything: it never gets that far."""


def in_a_generator() -> Iterator[int]:
    """Between two values."""
    yield from range(3)
    kill()


def while_it_writes() -> None:
    """Right after a record."""
    for number in range(100):
        ajobs.write_output(number)

    kill()


def while_it_prints() -> None:
    """In the middle of a line."""
    sys.stdout.write("half a li")
    sys.stdout.flush()
    kill()


def with_an_item() -> None:
    """As the item of its input is loaded."""
    list(ajobs.job_input())


def without_room() -> None:
    """As it begins to wait for room in its output."""
    instead_of_receiving()
    for number in range(100):
        ajobs.write_output(number)


def without_an_item() -> None:
    """As it begins to wait for its input."""
    instead_of_receiving()
    list(ajobs.job_input())


def with_an_unpicklable_result() -> KillsWhenPickled:
    """As its result is pickled."""
    return KillsWhenPickled()


def with_a_deadly_result() -> KillsWhenFreed:
    """As its result, which was pickled, is let go."""
    return KillsWhenFreed()


def in_the_result() -> bytes:
    """When half of its result is on its way."""
    instead_of_sending(half=True)
    return bytes(3_000_000)


def in_a_record() -> None:
    """When half of a record is on its way."""
    instead_of_sending(half=True)
    ajobs.write_output(bytes(3_000_000))


def after_the_result() -> str:
    """When the whole result is on its way, and nothing has read it."""
    instead_of_sending(half=False)
    return "done"


def in_a_thread() -> None:
    """By another thread than the one that it runs in."""
    thread = threading.Thread(target=kill)
    thread.start()
    thread.join()


def with_a_child() -> None:
    """While a process that it has started holds its standard output."""
    subprocess.Popen(["sleep", "600"])
    kill()


async def in_a_loop() -> None:
    """In an event loop of its own."""
    import anyio

    await anyio.lowlevel.checkpoint()
    kill()


async def in_an_async_generator() -> AsyncIterator[int]:
    """Between two values of an async generator."""
    yield 1
    kill()


def in_cleanup() -> None:
    """While it cleans up after its time limit."""
    try:
        threading.Event().wait()
    finally:
        kill()


def instead_of_receiving() -> None:
    """Have the worker killed when it next waits for its parent."""
    from ajobs._worker.channel import Channel

    def receive(_: Channel) -> NoReturn:
        kill()

    Channel.receive = receive  # type: ignore[method-assign,assignment]  # it ends with this job


def instead_of_sending(*, half: bool) -> None:
    """Have the worker send half of the next thing, or all of it, and be killed."""
    from ajobs._worker.channel import Channel

    def send(self: Channel, parts: list[Any]) -> None:
        data = b"".join(map(bytes, parts))
        self._socket.sendall(data[: len(data) // 2] if half else data)
        kill()

    Channel.send = send  # type: ignore[method-assign]  # it ends with this job


#: What is started for each point: function, arguments, options of `start`.
POINTS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "as its arguments are loaded": (take, (KillsWhenLoaded(),), {}),
    "as its function begins": (kill, (), {}),
    "in a generator": (in_a_generator, (), {}),
    "in an async generator": (in_an_async_generator, (), {}),
    "in an event loop": (in_a_loop, (), {}),
    "in a thread": (in_a_thread, (), {}),
    "after a record": (while_it_writes, (), {}),
    "in a record": (in_a_record, (), {}),
    "in a printed line": (while_it_prints, (), {}),
    "as an item is loaded": (with_an_item, (), {"input": [KillsWhenLoaded()]}),
    "without an item": (without_an_item, (), {"input": [1]}),
    "without room": (without_room, (), {"output_limit": 10}),
    "as its result is pickled": (with_an_unpicklable_result, (), {}),
    "as its result is let go": (with_a_deadly_result, (), {}),
    "in its result": (in_the_result, (), {}),
    "after its result": (after_the_result, (), {}),
    "with a child": (with_a_child, (), {}),
    "in its cleanup": (in_cleanup, (), {"timeout": 0.02}),
}
