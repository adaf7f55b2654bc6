"""`python -m playground.engine` as a process of the tests, with a plain HTTP client for it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

FULL = 7
"""Streams of 4,096 tokens that the cache has room for."""
ROOT = Path(__file__).resolve().parent.parent.parent


class EngineProcess:
    """`python -m playground.engine` and a plain HTTP client for it."""

    def __init__(self, folder: Path | None = None, memory: int = 0) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="dadeum-e-"))
        self.socket = str(self.folder / "engine.sock")
        self.started = time.monotonic()
        command = [sys.executable, "-m", "playground.engine", "--socket", self.socket]
        self.process = subprocess.Popen(
            [*command, "--threads", "1", "--memory", str(memory)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
            start_new_session=True,
        )
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=self.socket),
            base_url="http://engine",
            timeout=60,
            trust_env=False,
        )
        self.wait_until(self._is_up, 20)
        self.up_seconds = time.monotonic() - self.started

    def _is_up(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    @staticmethod
    def wait_until(question, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not question():
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.02)

    def models(self) -> dict[str, dict]:
        return {entry["id"]: entry for entry in self.http.get("/v1/models").json()["data"]}

    def settled(self, name: str) -> dict:
        """Wait until a model is loaded or has failed, and return its entry."""
        self.wait_until(lambda: self.models()[name]["state"] != "loading", 60)
        return self.models()[name]

    def load(self, name: str, path: Path) -> dict:
        answer = self.http.post("/load_model", json={"model": name, "path": str(path)})
        assert answer.status_code == 202
        return self.settled(name)

    def load_adapter(self, name: str, path: Path, base: str, base_path: Path) -> dict:
        body = {
            "lora_name": name,
            "lora_path": str(path),
            "base": base,
            "base_path": str(base_path),
        }
        answer = self.http.post("/v1/load_lora_adapter", json=body)
        assert answer.status_code == 202
        return self.settled(name)

    def unload_all(self) -> None:
        self.wait_until(lambda: self.health()["streams"] == self.health()["waiting"] == 0)
        self.http.post("/release", json={})

    def health(self) -> dict:
        return self.http.get("/health").json()

    def open(self, **body):
        """Return the context manager of a streamed completion."""
        whole = {"model": "base:tiny", "prompt": [5, 6, 7], "stream": True, "temperature": 0} | body
        return self.http.stream("POST", "/v1/completions", json=whole)

    def complete(self, **body) -> tuple[str, dict]:
        """Return all text and the last chunk."""
        with self.open(**body) as response:
            assert response.status_code == 200, response.read()
            chunks = [value for event, value in events(response) if event == "message"]
        return "".join(chunk["choices"][0]["text"] for chunk in chunks), chunks[-1]

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.http.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def events(response: httpx.Response):
    """Yield (event, value) of a stream of server-sent events."""
    kind = "message"
    for line in response.iter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: {"):
            yield kind, json.loads(line[6:])
            kind = "message"
