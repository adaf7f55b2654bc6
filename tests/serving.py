"""A loopback file server for tests of fetching."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def files(content_of: Callable[[str], str], port: int = 0) -> Iterator[int]:
    """Serve what `content_of` makes of a path; yield the port, any that is free or the one asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = content_of(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
