"""Functions for workers, which import this module."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ajobs._context import stop_requested, write_output, write_warning


def identity(item: Any) -> Any:
    """Return what came."""
    return item


async def identity_async(item: Any) -> Any:
    """Return what came."""
    return item


def pid(_: object) -> int:
    """Tell which worker runs the item."""
    return os.getpid()


def twice(item: Any) -> Iterator[Any]:
    """Give the item two times."""
    yield item
    yield item


def count_to(number: int) -> Iterator[int]:
    """Count."""
    yield from range(number)


def fail_if_odd(number: int) -> int:
    """Fail for every other item."""
    if number % 2:
        raise ValueError(f"{number} is odd")

    return number


class Loadless:
    """Can be sent, and not be loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


def loadless_at(bad: int, number: int) -> Any:
    """Give something for one item that only comes half-way."""
    return Loadless() if number == bad else number


def note_and_fail_at(bad: int, path: str, number: int) -> None:
    """Note each item in a file, and fail for one."""
    with Path(path).open("a", encoding="utf-8") as file:
        print(number, file=file)

    if number == bad:
        raise ValueError(f"{number} is bad")


def die_at_three(number: int) -> int:
    """Kill the worker with the third item."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)

    return number


def sleep_at_three(number: int) -> int:
    """Take long for one item."""
    if number == 3:
        time.sleep(60)

    return number


def spin_at_three(number: int) -> int:
    """Hold the interpreter with one item, so that no other thread of it runs."""
    if number == 3:
        sum(range(10**13))

    return number


def refuse_at_three(number: int) -> int:
    """Run one item on whatever happens, short of a kill."""
    if number == 3:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)

    return number


def refuse_to_stop(number: int) -> None:
    """Say that it runs, and run on whatever happens."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_output(number)
    while True:
        time.sleep(1)


def exit_at_three(number: int) -> int:
    """Leave the interpreter with one item."""
    if number == 3:
        sys.exit(7)

    return number


def tell(item: str) -> str:
    """Use the streams."""
    write_warning(f"careful with {item}")
    print(f"printed {item}", flush=True)
    write_output(f"{item} first")
    return f"{item} last"


def lambda_at_three(number: int) -> Any:
    """Give something that cannot be sent, with one item."""
    return threading.Lock() if number == 3 else number


def run_until_stopped(number: int) -> int:
    """Go on until the stop."""
    while not stop_requested():
        time.sleep(0.001)

    return number


class LoadsNot:
    """Can be sent and not be loaded."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("cannot be loaded")
