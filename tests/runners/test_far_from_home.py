"""The far end where nothing is installed, at the other side of two pipes, as ssh gives them.

A bare interpreter gets the package's own files over its standard input and serves on. It
shows that the far end asks for no library, no shared directory and no socket of ours.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ajobs
from ajobs import _wire as wire
from ajobs._payload import dumps, loads, pack

HOME = Path(ajobs.__file__).parent

#: What the other host runs. The pumps stand in for whoever moves bytes there.
BOOT = """
import os, socket, sys, threading

size = int(os.read(0, 20))
data = b""
while len(data) < size:
    data += os.read(0, size - len(data))

with open("ajobs.zip", "wb") as file:
    file.write(data)

package = type(sys)("ajobs")
package.__path__ = [os.path.abspath("ajobs.zip") + "/ajobs"]
sys.modules["ajobs"] = package
from ajobs._worker.serve import main

here, there = socket.socketpair()
near, far = os.dup(0), os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDWR), 0)
os.dup2(2, 1)
death, alive = os.pipe()

def pump_in():
    while data := os.read(near, 65536):
        here.sendall(data)
    os.close(alive)

def pump_out():
    while data := here.recv(65536):
        os.write(far, data)

for pump in pump_in, pump_out:
    threading.Thread(target=pump, daemon=True).start()

main(there.detach(), death)
"""


def package() -> bytes:
    """Return the files of the package, as an archive that Python can import from."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for path in HOME.rglob("*.py"):
            file.write(path, Path("ajobs", path.relative_to(HOME)))

    return archive.getvalue()


def bare_path() -> list[str]:
    """Return where an interpreter finds the standard library, and nothing else."""
    argv = [sys.executable, "-I", "-S", "-c", "import sys; print(*sys.path, sep='\\n')"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


class FarHost:
    """A bare interpreter behind two pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Bring it up."""
        self.process = process
        self.decoder = wire.Decoder()
        self.frames: list[wire.Frame] = []
        data = package()
        self.send([b"%-20d" % len(data), data, wire.GREETING])
        setup = {"path": bare_path(), "depth": 1, "initializer": None}
        self.send(wire.encode(wire.SETUP, dumps(setup, 5)))

    def send(self, parts: list[Any]) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        for part in parts:
            self.process.stdin.write(part)

        self.process.stdin.flush()

    def receive(self) -> wire.Frame:
        """Wait for a frame on its standard output."""
        assert self.process.stdout is not None
        while not self.frames:
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "the far end is gone"
            while data:
                space = self.decoder.space()
                part, data = data[: len(space)], data[len(space) :]
                space[: len(part)] = part
                self.frames += self.decoder.filled(len(part))

        return self.frames.pop(0)

    def run(self, fn: Any, *args: Any) -> tuple[list[tuple[str, Any]], wire.Frame]:
        """Run a job there; return what it wrote, and how it ended."""
        told = {"cwd": "/", "has_input": False, "credit": None, "backend": None}
        head = dumps(told | {"tells_begin": False}, 5)
        call = pack((fn, args, ()))
        size = len(head).to_bytes(4, "little")
        self.send(wire.encode(wire.JOB, call.data, call.buffers, size + head))
        written: list[tuple[str, Any]] = []
        while (frame := self.receive()).kind == wire.RECORDS:
            for stream, _, _, values in loads(frame.body):
                written += [(stream, value) for value in values]

        return written, frame


@contextmanager
def bare_interpreter(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start Python without any installed package, in an empty *directory*."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", BOOT],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.kill
def test_jobs_where_nothing_is_installed(tmp_path: Path) -> None:
    """Values, records and failures come over pipes from an interpreter without libraries."""
    code = "import ajobs, sys\nfor n in range(3): ajobs.write_output(n)\nprint('hello')"
    with bare_interpreter(tmp_path) as process:
        host = FarHost(process)
        ready = host.receive()
        written, ended = host.run(exec, code)
        again, value = host.run(divmod, 7, 2)
        _, failed = host.run(divmod, 7, 0)
        assert process.stdin is not None
        process.stdin.close()
        code_of_exit = process.wait(30)

    assert wire.READY == ready.kind
    assert [("output", 0), ("output", 1), ("output", 2)] == written
    assert wire.VALUE == ended.kind
    assert ([], (3, 1)) == (again, loads(value.body))
    assert wire.FAILURE == failed.kind
    assert b"ZeroDivisionError" in bytes(failed.body)
    assert -signal.SIGKILL == code_of_exit, "a far end whose caller is gone goes too"
