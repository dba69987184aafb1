"""A web server on loopback for the demo, and the client that asks it.

As much of HTTP/1.1 as both need, done right: GET and HEAD, one request for each connection.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import anyio
from anyio.abc import ByteStream, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from .. import write_output

__all__ = ("PageError", "get", "serve")

HOST = "127.0.0.1"
MOST_HEAD = 8192  # bytes of request line and headers
PATIENCE = 10.0  # seconds for a client to send them


class PageError(Exception):
    """The server did not give the page that was asked for."""


class Answer(NamedTuple):
    """What the server says, without the page."""

    status: HTTPStatus
    file: Path | None = None
    with_body: bool = True


async def serve(root: Path) -> None:
    """Serve the files below *root* until the job is stopped; its first output is the port."""
    with socket.create_server((HOST, 0)) as listener:
        await write_output(listener.getsockname()[1])
        await answer_all(listener, root)


async def answer_all(listener: socket.socket, root: Path) -> None:
    """Answer whoever connects to *listener*, from the files below *root*."""
    # Accepted by hand: `loop.sock_accept` of asyncio prints a traceback when it is cancelled at
    # the very moment when a client comes.
    listener.setblocking(False)
    async with anyio.create_task_group() as tasks:
        while True:
            await anyio.wait_readable(listener)
            with suppress(BlockingIOError, ConnectionAbortedError):  # the client left meanwhile
                tasks.start_soon(_talk, root, listener.accept()[0])


async def _talk(root: Path, client: socket.socket) -> None:
    try:
        stream = await SocketStream.from_socket(client)
    except ValueError:
        client.close()
        return  # it is not connected any more

    async with stream:
        try:
            with anyio.fail_after(PATIENCE):
                buffered = BufferedByteReceiveStream(stream)
                head = await buffered.receive_until(b"\r\n\r\n", MOST_HEAD)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, TimeoutError):
            return  # it left without a request: nobody to answer
        except anyio.DelimiterNotFound:
            answer = Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            answer = answer_to(root, head)

        try:
            await _send(stream, answer)
        except anyio.BrokenResourceError:
            return  # it did not wait for the answer


def answer_to(root: Path, head: bytes) -> Answer:
    """Say what a request with this *head* gets."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Answer(HTTPStatus.BAD_REQUEST)

    method, target, _ = words
    if method not in ("GET", "HEAD"):
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED)

    file = _file_at(root, target)
    status = HTTPStatus.OK if file else HTTPStatus.NOT_FOUND
    return Answer(status, file, with_body=method == "GET")


def _file_at(root: Path, target: str) -> Path | None:
    try:
        file = (root / unquote(urlsplit(target).path).lstrip("/")).resolve()
        # After resolve, since neither ".." nor a link may lead out of the tree.
        return file if file.is_relative_to(root.resolve()) and file.is_file() else None
    except ValueError:  # a null byte, or a target that is no URL
        return None


async def _send(stream: ByteStream, answer: Answer) -> None:
    status = answer.status
    try:
        page = await anyio.Path(answer.file).read_bytes() if answer.file else b""
    except OSError:
        status, page = HTTPStatus.INTERNAL_SERVER_ERROR, b""

    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/octet-stream",
        f"Content-Length: {len(page)}",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")

    head = "\r\n".join([*lines, "", ""]).encode("ascii")
    await stream.send(head + page if answer.with_body else head)


async def get(port: int, name: str) -> bytes:
    """Return the page *name* of the server on *port*.

    Raises:
        PageError: The server refused, or the answer was cut short.
        OSError: Nobody listens there.
    """
    request = f"GET /{quote(name)} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n"
    async with await anyio.connect_tcp(HOST, port) as stream:
        await stream.send(request.encode("ascii"))
        answer = b"".join([part async for part in stream])

    head, _, page = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    _, _, said = status.partition(" ")
    if not said.startswith("200 "):
        raise PageError(f"{said or 'no answer'}: /{name}")

    length = next(int(line[15:]) for line in headers if line.lower().startswith("content-length:"))
    if len(page) != length:
        raise PageError(f"{len(page)} of {length} bytes came: /{name}")

    return page
