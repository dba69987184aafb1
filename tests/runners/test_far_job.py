"""A job as its own threads see it, without the worker around it."""

from __future__ import annotations

import _thread
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ajobs._errors import StopRequested
from ajobs._wire import GREETING, STOP, encode
from ajobs._worker.channel import Channel
from ajobs._worker.job import FarJob
from ajobs._worker.tails import Tails

SECONDS = 10.0


class Parent:
    """Starts one job and tells it to end."""

    def __init__(self) -> None:
        self.socket, far = socket.socketpair()
        self.channel = Channel(far.detach())
        self.tails = Tails(0.001)
        self.job = FarJob(self.channel, self.tails, has_input=True, credit=None, tells_begin=False)
        self.socket.sendall(GREETING)

    def stop(self) -> None:
        """Send the one frame that says so."""
        self.socket.sendall(b"".join(encode(STOP)))


@pytest.fixture
def parent() -> Iterator[Parent]:
    """One with a job that runs."""
    parent = Parent()
    with parent.socket:
        yield parent

    parent.tails.stop()
    parent.channel.close()


def test_a_stop_reaches_every_thread_that_waits(parent: Parent) -> None:
    """It comes once, to whichever of them reads; nothing else would wake the others."""
    left: list[BaseException] = []

    def wait() -> None:
        try:
            parent.job.next_item()
        except StopRequested as exc:
            left.append(exc)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()

    while parent.job.readers < len(threads):
        time.sleep(0.001)

    parent.stop()
    for thread in threads:
        thread.join(SECONDS)

    assert len(left) == len(threads)


def test_code_that_has_seen_its_stop_does_not_wait_for_input(parent: Parent) -> None:
    """Nothing comes any more, so the wait is left like one that was there before."""
    parent.stop()

    assert parent.job.stop_requested()
    with pytest.raises(StopRequested):
        parent.job.next_item()


def test_a_thread_for_the_last_words_stays_no_longer_than_they_last(parent: Parent) -> None:
    """It would keep an interpreter that was left behind from ending with the program."""
    before = _thread._count()  # bare threads, too
    for word in "one", "two":
        parent.job.write("output", word)
        assert word.encode() in parent.socket.recv(1 << 16)

        until = time.monotonic() + SECONDS
        while _thread._count() > before and time.monotonic() < until:
            time.sleep(0.01)

        assert _thread._count() <= before  # idle ones of a loop may end meanwhile
