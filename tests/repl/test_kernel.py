"""Sessions in a notebook: cells run by a real kernel, which its own client drives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")

PATIENCE = 30.0


class Notebook:
    """Runs cells, and tells what they show."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, cell: str) -> str:
        """Begin to run *cell*."""
        return str(self._client.execute(cell))

    def shown(self, sent: str, until: str = "") -> str:
        """Wait for the end of a cell, or for a text; return all that it shows."""
        pieces: list[str] = []
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            content, kind = message["content"], message["msg_type"]
            if message["parent_header"].get("msg_id") != sent:
                continue

            if kind == "status" and content["execution_state"] == "idle":
                return "".join(pieces)

            if kind == "stream":
                pieces.append(content["text"])
                # The kernel sends what it shows by the clock, so a line may come in two pieces.
                if until and "".join(pieces).endswith(until):
                    return "".join(pieces)
            elif kind == "error":
                pieces.append(f"{content['ename']}: {content['evalue']}")
            elif kind == "execute_result":
                pieces.append(content["data"]["text/plain"])

    def turn(self) -> None:
        """Wake the kernel's loop: while it rests, an interrupt is noted and nothing more."""
        self._client.kernel_info()

    def run(self, cell: str) -> str:
        """Run *cell* to its end; return what it shows."""
        return self.shown(self.send(cell))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """Start a kernel; one is enough, since it takes a second."""
    running, client = manager.start_new_kernel(kernel_name="python3")
    try:
        yield running, Notebook(client)
    finally:
        client.stop_channels()
        running.shutdown_kernel(now=True)
        running.context.destroy(linger=0)


@pytest.mark.slow
def test_cells_share_a_session(kernel: Any) -> None:
    """Open in one cell, start in the next, await in a third; the interrupt of a cell."""
    running, notebook = kernel
    assert notebook.run("import ajobs, anyio\njobs = await ajobs.open_session('mine')") == ""
    assert "<Job " in notebook.run("job = jobs.start(sum, [1, 2, 3])\njob")
    assert "6" == notebook.run("await job")
    assert "[6]" == notebook.run("job.receive_nowait()")
    assert "True" == notebook.run("ajobs.current_session() is jobs")
    assert "ValueError" in notebook.run("await jobs.start(int, 'x')")

    waiting = notebook.send("long = jobs.start(anyio.sleep, 60)\nprint('begun')\nawait long")
    notebook.shown(waiting, until="begun\n")
    running.interrupt_kernel()
    notebook.turn()
    shown = notebook.shown(waiting)
    assert "KeyboardInterrupt" in shown or "CancelledError" in shown
    assert "Running" in notebook.run("print(long.state)")
    assert "True" == notebook.run("await long.stop()")
    assert "closed" in notebook.run("await jobs.aclose()\nrepr(jobs)")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_blocking_session_beside_the_kernels_loop(kernel: Any, backend: str) -> None:
    """The blocking verbs work in cells, on a loop of their own; so does the interrupt."""
    running, notebook = kernel
    notebook.run(f"import ajobs, anyio\njobs = ajobs.blocking.open_session(backend={backend!r})")
    assert "6" == notebook.run("jobs.start(sum, [1, 2, 3]).result()")
    assert "[0, 1]" == notebook.run("jobs.parallel_foreach(range(2), abs).result()")
    waiting = notebook.send("long = jobs.start(anyio.sleep, 60)\nprint('begun')\nlong.wait()")
    notebook.shown(waiting, until="begun\n")
    running.interrupt_kernel()
    assert "KeyboardInterrupt" in notebook.shown(waiting)
    assert "Running" in notebook.run("print(long.state)")
    assert "True" == notebook.run("long.stop()")
    assert "closed" in notebook.run("jobs.close()\nrepr(jobs)")
