"""Code for jobs in other processes. Imported there, so it imports little."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import ajobs

flavour: ContextVar[str] = ContextVar("flavour", default="plain")


def add(left: int, right: int) -> int:
    """Return a sum."""
    return left + right


def give(value: Any) -> Any:
    """Return *value*."""
    return value


def fail(error: BaseException) -> None:
    """Raise *error*."""
    raise error


def pid() -> int:
    """Return the worker's process id."""
    return os.getpid()


def fork_and_return() -> tuple[str, int]:
    """Return in two processes, first in the forked one."""
    child = os.fork()
    return ("parent", os.waitpid(child, 0)[1]) if child else ("child", 0)


def fork_and_raise() -> int:
    """Raise in a forked process, and return its status."""
    child = os.fork()
    if not child:
        raise ValueError("in the forked process")

    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def loaded(name: str) -> bool:
    """Tell whether the worker has loaded a module."""
    return name in sys.modules


def count(end: int) -> Iterator[int]:
    """Yield whole numbers."""
    yield from range(end)


def count_then(end: int, value: Any) -> Generator[int, None, Any]:
    """Yield whole numbers and return *value*."""
    yield from range(end)
    return value


async def async_add(left: int, right: int) -> int:
    """Return a sum, after a turn of the loop."""
    import anyio

    await anyio.lowlevel.checkpoint()
    return left + right


async def async_count(end: int) -> AsyncIterator[int]:
    """Yield whole numbers, with a turn of the loop between them."""
    import anyio

    for number in range(end):
        await anyio.lowlevel.checkpoint()
        yield number


def library() -> str:
    """Return the event loop library that runs."""
    import sniffio

    return sniffio.current_async_library()


def every_stream() -> None:
    """Write one record to each stream."""
    ajobs.write_output("output")
    ajobs.write_error("error")
    ajobs.write_warning("warning")
    ajobs.write_verbose("verbose")
    ajobs.write_debug("debug")
    ajobs.write_information("information")
    ajobs.write_progress("copying", "file 2", completed=2, total=8)


def write_values(*values: Any) -> None:
    """Write output."""
    for value in values:
        ajobs.write_output(value)


def write_debug(*values: Any) -> None:
    """Write debug records."""
    for value in values:
        ajobs.write_debug(value)


def write_and_change() -> None:
    """Write a list and change it afterwards."""
    held = [1]
    ajobs.write_output(held)
    held.append(2)
    ajobs.write_output(held)
    held.append(3)


def print_everywhere() -> None:
    """Print by every way there is."""
    print("by print")
    print("by stderr", file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"by descriptor\n")
    subprocess.run(["echo", "by a child"], check=True)
    print("no end", end="")


def print_bytes(*chunks: bytes) -> None:
    """Write to standard output, in pieces."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]


def warn_and_log() -> None:
    """Warn and log."""
    import logging
    import warnings

    warnings.warn("careful", stacklevel=1)
    logger = logging.getLogger("shop")
    logger.setLevel(logging.DEBUG)
    logger.debug("debugging %d", 1)
    logger.info("informing")
    logger.warning("warning")
    logger.error("failing")


def collect() -> list[Any]:
    """Return the input."""
    return list(ajobs.job_input())


def take(many: int) -> list[Any]:
    """Return the first items of the input."""
    source = iter(ajobs.job_input())
    return [next(source) for _ in range(many)]


async def async_collect() -> list[Any]:
    """Return the input, with a loop."""
    return [item async for item in ajobs.job_input()]


def echo() -> Iterator[Any]:
    """Yield each item of the input."""
    yield from ajobs.job_input()


def write_some(many: int) -> int:
    """Write so many numbers, and return how many."""
    for number in range(many):
        ajobs.write_output(number)

    return many


def wait_for_stop() -> str:
    """End by itself once it is told to, and say so."""
    ajobs.write_output("ready")
    while not ajobs.stop_requested():
        time.sleep(0.001)

    ajobs.write_output("stopping")
    return "ended by itself"


def sleep_with_cleanup() -> None:
    """Sleep for ever, and clean up."""
    try:
        ajobs.write_output("ready")
        time.sleep(60)
    finally:
        ajobs.write_output("cleaned")
        print("printed while cleaning")


async def async_sleep_with_cleanup() -> None:
    """Sleep for ever, and clean up with an await."""
    import anyio

    try:
        ajobs.write_output("ready")
        await anyio.sleep(60)
    finally:
        with ajobs.cleanup():
            await anyio.sleep(0.01)
            ajobs.write_output("cleaned")


def refuse_to_stop() -> None:
    """Ignore every stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ajobs.write_output(os.getpid())
    while True:
        time.sleep(1)


def swallow_stop() -> None:
    """Catch the stop and go on."""
    while True:
        try:
            ajobs.write_output(os.getpid())
            time.sleep(60)
        except BaseException:  # noqa: BLE001
            continue


def fail_when_stopped() -> None:
    """Raise in cleanup."""
    try:
        ajobs.write_output("ready")
        time.sleep(60)
    finally:
        raise ValueError("cleanup failed")


def hold_the_interpreter() -> None:
    """Never let another thread of this interpreter run."""
    import collections
    import itertools

    ajobs.write_output(os.getpid())
    collections.deque(itertools.repeat(0), maxlen=0)


def die(number: int) -> None:
    """Die by a signal."""
    print("about to die", file=sys.stderr)
    os.kill(os.getpid(), number)
    time.sleep(60)


async def leave_an_item_unread(code: int, marker: Path) -> str:
    """Ask for an item, and leave without a word once it has come, unread; the second time stay."""
    import anyio.lowlevel

    if not make(marker):
        return "it ran twice"

    async with anyio.create_task_group() as asking:
        while not select.select(sockets(), [], [], 1)[0]:
            asking.start_soon(anext, ajobs.job_input())
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()

        os._exit(code)

    raise AssertionError("it goes on")


def make(marker: Path) -> bool:
    """Make *marker*, unless it is there; return whether it was not."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False

    return True


def sockets() -> list[int]:
    """Return the open sockets of this process."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            if str(link.readlink()).startswith("socket:"):
                found.append(int(link.name))

    return found


def leave(code: int) -> None:
    """Leave without a word."""
    os._exit(code)


def hang_up() -> None:
    """Close the connection to the parent, and live on for a while."""
    os.closerange(3, 256)
    time.sleep(0.02)
    os._exit(0)


async def handlers_seen() -> set[str]:
    """Return which handlers of signals this interpreter gets to see."""
    import _signal  # type: ignore[import-not-found]

    handlers = (
        read(number) for read in (signal.getsignal, _signal.getsignal) for number in (2, 15)
    )
    return {repr(handler) for handler in handlers if handler is not None}


def segfault() -> None:
    """Read what is not there."""
    import ctypes

    ctypes.string_at(0)


def close_everything() -> None:
    """Close all descriptors that a program is not given on purpose, and go on."""
    os.closerange(3, 256)
    time.sleep(60)


def scribble() -> None:
    """Write into descriptors that are not its own."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        fd = int(entry.name)
        try:
            if fd > 2 and "socket" in str(entry.readlink()):
                os.write(fd, b"hello, is it me you are looking for?")
        except OSError:
            continue

    time.sleep(60)


def descriptors() -> list[str]:
    """Return where the open descriptors lead."""
    found = []
    for entry in sorted(Path("/proc/self/fd").iterdir(), key=lambda path: int(path.name)):
        try:
            found.append(str(entry.readlink()).partition(":")[0])
        except FileNotFoundError:
            continue

    return found


def spoil() -> None:
    """Change what a process shares: directory, environment, context, handlers, streams."""
    os.chdir("/")
    os.environ["AJOBS_SPOILT"] = "yes"
    os.environ.pop("PATH", None)
    flavour.set("spoilt")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.argv = ["spoilt"]


def state() -> tuple[str, bool, bool, str, bool, list[str]]:
    """Return what `spoil` changes."""
    print("can be seen")
    return (
        str(Path.cwd()),
        "AJOBS_SPOILT" in os.environ,
        "PATH" in os.environ,
        flavour.get(),
        signal.getsignal(signal.SIGTERM) is signal.SIG_IGN,
        sys.argv,
    )


#: Starts itself until there are three generations, and waits; the last is deaf to SIGTERM.
_FAMILY = """
[ $1 = 3 ] && trap '' TERM
echo generation-$1 $$
[ $1 -lt 3 ] && { sh -c "$0" "$0" $(($1 + 1)) & wait; }
sleep 600
"""


def start_family() -> None:
    """Start three generations of children, the last of them deaf to SIGTERM, and wait."""
    subprocess.Popen(["sh", "-c", _FAMILY, _FAMILY, "1"])
    ajobs.write_output(os.getpid())
    time.sleep(600)


def leave_a_child() -> None:
    """Leave a process behind that holds the standard descriptors."""
    subprocess.Popen(["sleep", "600"])


def write_in_threads(threads: int, lines: int) -> None:
    """Write from many threads at once, in this job's context."""
    from contextvars import copy_context

    write = ajobs.write_output

    def work(number: int) -> None:
        for line in range(lines):
            write((number, line))

    running = [
        threading.Thread(target=copy_context().run, args=(work, number))
        for number in range(threads)
    ]
    for thread in running:
        thread.start()

    for thread in running:
        thread.join()


def directory() -> str:
    """Return the current directory."""
    return str(Path.cwd())


def variable(name: str) -> str | None:
    """Return an environment variable."""
    return os.environ.get(name)


def set_flavour(value: str) -> None:
    """Set the context variable."""
    flavour.set(value)


def get_flavour() -> str:
    """Return the value of the context variable."""
    return flavour.get()


def announce(text: str) -> None:
    """Print: for an initializer."""
    print(text)


def hang_on_load() -> Any:
    """Return something that never comes back when it is loaded."""
    return _Exits()


class _Exits:
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


def make_noise_later(fifo: str) -> int:
    """Leave a thread that writes to all sockets, once somebody writes to *fifo*."""

    def work() -> None:
        Path(fifo).read_bytes()
        for path in Path("/proc/self/fd").iterdir():
            if path.resolve().name.startswith("socket:"):
                os.write(int(path.name), b"Traceback (most recent call last)" * 10)

    threading.Thread(target=work, daemon=True).start()
    return os.getpid()


async def nest(runner: str) -> list[str]:
    """Start this function as a job, again and again; return all pids, then what refused."""
    try:
        async with ajobs.Session() as jobs:
            inner = await jobs.start(nest, runner, runner=runner)
    except ajobs.AjobsError as exc:
        inner = [f"{type(exc).__name__}: {exc}"]

    return [str(os.getpid()), *inner]


def read_pipe(path: str) -> bytes:
    """Make a named pipe, wait for somebody to write to it, and return that; say nothing."""
    os.mkfifo(path)
    with Path(path).open("rb", buffering=0) as pipe:
        return pipe.read(100)
