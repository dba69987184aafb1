"""200 requests to a web server, 20 at a time, on asyncio.

The server is a few lines of asyncio on this machine, so that the example needs no network.
"""

import asyncio

import ajobs


async def answer(reader, writer):
    request = await reader.readuntil(b"\r\n\r\n")
    path = request.split(b" ")[1]
    status = b"404 Not Found" if path == b"/page/13" else b"200 OK"
    body = b"you asked for " + path
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    writer.write(head % (status, len(body)) + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def fetch(url):
    port, _, path = url.partition("/")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    try:
        writer.write(b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()

    if b" 200 " not in head:
        raise LookupError(head.splitlines()[0].decode())

    return body.decode()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        urls = [f"{port}/page/{number}" for number in range(200)]

        # The stream gives each outcome as it comes; "return" keeps one failure from ending all.
        good, bad = 0, []
        async with ajobs.parallel_foreach(urls, fetch, throttle=20, on_error="return") as outcomes:
            async for outcome in outcomes:
                if outcome.error is None:
                    good += 1
                else:
                    bad.append(f"item {outcome.index}: {outcome.error}")

        print(good, "pages")
        print(*bad, sep="\n")


asyncio.run(main())
