"""The small web server of the demo, asked by its own client and by a rude one."""

import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import ajobs
from ajobs.cli._server import HOST, PageError, answer_all, answer_to, get, serve


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder to serve, with something beside it that is not to be served."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "root"
    (root / "sub dir").mkdir(parents=True)
    (root / "page.txt").write_bytes(b"a page\r\n\r\nwith an empty line")
    (root / "empty").touch()
    (root / "sub dir" / "ä?#%.txt").write_bytes(b"odd")
    (root / "link").symlink_to(tmp_path / "secret.txt")
    return root


@contextlib.asynccontextmanager
async def serving(root: Path) -> AsyncIterator[int]:
    """Serve *root* in a job; yield the port."""
    async with ajobs.Session() as jobs:
        server = jobs.start(serve, root)
        yield await server.receive().receive()
        await server.stop()


async def ask(port: int, request: bytes) -> bytes:
    """Send *request* as it is; return all that comes back."""
    async with await anyio.connect_tcp(HOST, port) as stream:
        await stream.send(request)
        return b"".join([part async for part in stream])


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/page.txt", 200),
        ("/page.txt?query=1", 200),
        ("/sub%20dir/%C3%A4%3F%23%25.txt", 200),
        ("http://localhost/page.txt", 200),
        ("/", 404),
        ("/sub%20dir", 404),
        ("/nothing", 404),
        ("/../secret.txt", 404),
        ("/%2e%2e/secret.txt", 404),
        ("//secret.txt", 404),
        ("/link", 404),
        ("/page.txt%00", 404),
        ("http://[", 404),
    ],
)
def test_what_is_served(root: Path, target: str, status: int) -> None:
    """Files below the root are served, and nothing else."""
    answer = answer_to(root, f"GET {target} HTTP/1.1\r\nHost: localhost".encode())

    assert answer.status == status
    assert (answer.file is not None) == (status == 200)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET /page.txt", HTTPStatus.BAD_REQUEST),
        (b"GET / page HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"GET /page.txt GOPHER", HTTPStatus.BAD_REQUEST),
        (b"\xff\xfe\x00", HTTPStatus.BAD_REQUEST),
        (b"POST /page.txt HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"get /page.txt HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
def test_bad_requests(root: Path, head: bytes, status: HTTPStatus) -> None:
    """What is no request of ours is refused."""
    assert answer_to(root, head).status is status


@pytest.mark.parametrize("name", ["page.txt", "empty", "sub dir/ä?#%.txt"])
async def test_get(root: Path, name: str) -> None:
    """A page arrives as it is in the file, whatever its name."""
    async with serving(root) as port:
        assert await get(port, name) == (root / name).read_bytes()


async def test_get_of_what_is_not_there(root: Path) -> None:
    """The error says what the server said, and to what."""
    async with serving(root) as port:
        with pytest.raises(PageError, match=r"^404 Not Found: /nothing$"):
            await get(port, "nothing")


async def test_unreadable_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is the server's fault, and the server goes on."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    async with serving(root) as port:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", refuse)
            with pytest.raises(PageError, match=r"^500 Internal Server Error: /page\.txt$"):
                await get(port, "page.txt")

        assert await get(port, "empty") == b""


async def test_head(root: Path) -> None:
    """HEAD gets the length of the page without the page."""
    async with serving(root) as port:
        answer = await ask(port, b"HEAD /page.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 28\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_refused_method(root: Path) -> None:
    """Who asks for too much is told what works."""
    async with serving(root) as port:
        answer = await ask(port, b"DELETE /page.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


async def test_endless_request(root: Path) -> None:
    """Headers without an end are refused, and the server goes on."""
    async with serving(root) as port:
        answer = await ask(port, b"GET /page.txt HTTP/1.1\r\n" + b"x" * 8200)
        page = await get(port, "page.txt")

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert page.startswith(b"a page")


async def test_client_that_leaves(root: Path) -> None:
    """Clients that say nothing, or half of something, or do not listen, do no harm."""
    async with serving(root) as port:
        for said in (b"", b"GET /pa", b"GET /page.txt HTTP/1.1\r\n\r\n"):
            async with await anyio.connect_tcp(HOST, port) as stream:
                if said:
                    await stream.send(said)

        assert (await get(port, "page.txt")).startswith(b"a page")


async def test_client_that_comes_at_the_end(root: Path) -> None:
    """A client that comes in the very turn of the loop in which the server is stopped is no error.

    (What the loop complains about by itself fails the test.)
    """
    with socket.create_server((HOST, 0)) as listener, socket.socket() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_all, listener, root)
            await anyio.wait_all_tasks_blocked()
            client.connect(listener.getsockname())
            await anyio.lowlevel.checkpoint()  # the loop has not looked for clients since
            tasks.cancel_scope.cancel()


async def test_client_that_has_left(root: Path) -> None:
    """A client that is gone when its turn comes is left alone, and the next one is answered."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((HOST, port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_all, listener, root)
            assert (await get(port, "page.txt")).startswith(b"a page")
            tasks.cancel_scope.cancel()


async def test_silent_client(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends nothing is left after a while."""
    monkeypatch.setattr("ajobs.cli._server.PATIENCE", 0.01)
    async with serving(root) as port, await anyio.connect_tcp(HOST, port) as stream:
        with pytest.raises(anyio.EndOfStream), anyio.fail_after(20):
            await stream.receive()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "no answer: /page"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "4 of 10 bytes came: /page"),
    ],
)
async def test_cut_answer(answer: bytes, message: str) -> None:
    """A page that did not come whole is an error, not a page."""

    async def answer_once(listener: anyio.abc.Listener[anyio.abc.ByteStream]) -> None:
        async def talk(stream: anyio.abc.ByteStream) -> None:
            async with stream:
                await stream.receive()
                if answer:
                    await stream.send(answer)

        await listener.serve(talk)

    listener = await anyio.create_tcp_listener(local_host=HOST)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, ajobs.Session() as jobs:
        server = jobs.start(answer_once, listener)
        with pytest.raises(PageError, match=message):
            await get(port, "page")

        await server.stop()
