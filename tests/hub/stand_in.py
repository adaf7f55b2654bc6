"""A stand-in of the hub on the loopback: model info, files by range, gates, faults on request."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Repo:
    files: dict[str, bytes]
    gated: bool = False
    token: str = ""
    """The token that opens it; without one it is open."""
    licence: str = "apache-2.0"
    lies: dict[str, str] = field(default_factory=dict)
    """Digests told instead of the true ones, by file."""

    @classmethod
    def of(cls, folder: Path, **more) -> "Repo":
        return cls({path.name: path.read_bytes() for path in folder.iterdir()}, **more)


@dataclass
class Hub:
    repos: dict[str, Repo] = field(default_factory=dict)
    port: int = 0
    drop_after: int = 0
    """Bytes of one answer after which the connection is dropped."""
    drops: int = 0
    """How many more times that happens."""
    pause_seconds: float = 0
    """Between two chunks, so that a test can come in between."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(path, Range, Authorization) of each request."""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes that went out, by file."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def digests(name: str, content: bytes, repo: Repo) -> dict:
    if name.endswith(".safetensors"):
        told = repo.lies.get(name) or hashlib.sha256(content).hexdigest()
        return {"lfs": {"sha256": told, "size": len(content), "pointerSize": 130}}
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return {"blobId": repo.lies.get(name) or blob}


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = self.headers.get("Authorization", "")
        self.hub.asked.append((path, self.headers.get("Range", ""), token))
        is_info = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        repo = self.hub.repos.get("/".join(parts[:2]))
        if repo is None:
            self.refuse(401, "")
        elif is_info:
            self.info("/".join(parts[:2]), repo)
        elif repo.token and token != f"Bearer {repo.token}":
            self.refuse(403 if token else 401, "GatedRepo")
        else:
            self.file(repo, parts[-1])

    do_HEAD = do_GET

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def info(self, name: str, repo: Repo) -> None:
        siblings = [
            {"rfilename": file, "size": len(content), **digests(file, content, repo)}
            for file, content in repo.files.items()
        ]
        told = {
            "id": name, "sha": COMMIT, "gated": "auto" if repo.gated else False,
            "siblings": siblings, "cardData": {"license": repo.licence},
        }  # fmt: skip
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self, repo: Repo, name: str) -> None:
        content = repo.files.get(name)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.pour(name, content[start:])

    def pour(self, name: str, content: bytes) -> None:
        for at in range(0, len(content), 65536):
            if self.hub.drops and at >= self.hub.drop_after > 0:
                self.hub.drops -= 1
                self.close_connection = True
                return
            chunk = content[at : at + 65536]
            try:
                self.wfile.write(chunk)
            except ConnectionError:  # whoever asked was stopped
                self.close_connection = True
                return
            self.hub.sent[name] = self.hub.sent.get(name, 0) + len(chunk)
            if self.hub.pause_seconds:
                threading.Event().wait(self.hub.pause_seconds)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()

    class Bound(Handler):
        pass

    Bound.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    hub.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
