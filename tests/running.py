"""A real `manage.py up` in a data folder of its own, for tests that need the whole thing."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import making
import psutil

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(check: Callable, seconds: float = 60, what: str = "it"):
    """Return the first true answer of `check`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds} s")


KEPT = tempfile.TemporaryDirectory(prefix="dadeum-migrated-")
MIGRATED: list[Path] = []
"""A database with the tables and nothing in them, once there is one."""


def copied(source: Path, target: Path) -> Path:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
    target.chmod(0o600)
    return target


class Studio:
    """One running studio. Use it as a context."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = (
            dict(os.environ)
            | {"DADEUM_DATA": str(data), "DADEUM_PORT": str(self.port), "DADEUM_THREADS": "1"}
            | {"DADEUM_LEASE_SECONDS": "4", "DADEUM_DEBUG": "1"}
            | environment
        )
        self.log = data / "up.txt"

    def manage(self, *arguments: str, check: bool = True) -> str:
        """Run another management command beside it and return what it prints."""
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        assert not check or ended.returncode == 0, ended.stderr[-3000:]
        return ended.stdout.strip() or ended.stderr.strip()

    def shell(self, code: str) -> str:
        return self.manage("shell", "--no-imports", "-c", code)

    def start(self) -> "Studio":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self.is_ready, 60, "the start")
        return self

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "Ctrl-C" in self.log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def __enter__(self) -> "Studio":
        self.data.mkdir(parents=True, exist_ok=True)
        if not (self.data / "speed.json").exists():  # else each would measure for a minute or two
            making.measured(self.data, threads=self.environment["DADEUM_THREADS"])
        self._make_database()
        return self.start()

    def _make_database(self) -> None:
        """Migrate; from the second studio on take a copy of what that made of nothing."""
        place = self.data / "dadeum.sqlite3"
        is_fresh = not place.exists() and "DADEUM_DATABASE_URL" not in self.environment
        if is_fresh and MIGRATED:
            copied(MIGRATED[0], place)
            return
        self.manage("migrate", "--verbosity", "0")
        if is_fresh:
            MIGRATED.append(copied(place, Path(KEPT.name) / place.name))

    def __exit__(self, *error: object) -> None:
        self.stop()
        assert not self.processes()

    @property
    def setup_link(self) -> str:
        return re.search(rf"{self.url}/setup/\S+", self.log.read_text())[0]

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Return this studio's living processes (they carry DADEUM_*) whose command holds `word`."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                place, command = str(self.data), " ".join(process.cmdline())
                if (
                    process.pid != os.getpid()
                    and word in command
                    and (process.environ().get("DADEUM_DATA") == place or place in command)
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def answers(self, path: str = "/health/live") -> bool:
        try:
            return httpx.get(self.url + path, trust_env=False, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
