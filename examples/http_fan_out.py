"""200 requests to a web server, 20 at a time, with httpx as the client.

The server is a few lines on this machine, so that the example needs no network.
"""

import http.server
import threading

import anyio
import httpx

import ajobs


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"you asked for {self.path}".encode()
        self.send_response(404 if self.path == "/page/13" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


async def main(base):
    async with httpx.AsyncClient(base_url=base) as client:

        async def fetch(path):
            response = await client.get(path)
            response.raise_for_status()
            return response.text

        # The stream gives each outcome as it comes; "return" keeps one failure from ending all.
        paths = [f"/page/{number}" for number in range(200)]
        good, bad = 0, []
        async with ajobs.parallel_foreach(paths, fetch, throttle=20, on_error="return") as outcomes:
            async for outcome in outcomes:
                if outcome.error is None:
                    good += 1
                else:
                    bad.append(f"{outcome.item}: {outcome.error.response.reason_phrase}")

    print(good, "pages")
    print(*bad, sep="\n")


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
    threading.Thread(target=server.serve_forever).start()
    try:
        anyio.run(main, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
