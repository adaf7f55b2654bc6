"""`manage.py up`: starts web, worker and engine, starts again what dies, and ends them together.

Each child leads a process group of its own and is tied to this process (training/lifeline.py), so
that nothing is left behind however this process ends. Knows nothing of jobs.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from training.lifeline import Lifeline, end_group

STABLE_SECONDS = 60
MAX_PAUSE_SECONDS = 30
GRACE_SECONDS = 25
PORT_PATIENCE_SECONDS = 20
ENDING = "ending"
"""Stands in the lock while its holder is."""
LOG_LIMIT_BYTES = 5_000_000
FETCHER = "worker-light"


class CannotStart(Exception):
    """One line for the terminal: what is in the way and what to do."""


@dataclass
class Child:
    name: str
    command: list[str]
    process: subprocess.Popen | None = None
    started_at: float = 0
    failures: int = 0
    again_at: float = 0
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return settings.DATA / "logs" / f"{self.name}.log"


def children(socket_path: str) -> list[Child]:
    python = sys.executable
    worker = [
        python, "-m", "celery", "-A", "studio", "--quiet", "worker",
        "-P", "threads", "--without-gossip", "--without-mingle", "--loglevel", "INFO",
    ]  # fmt: skip
    trusted = ["--proxy-headers", "--forwarded-allow-ips", ",".join(settings.PROXY)]
    engine = [
        python, "-m", "playground.engine", "--log-format", settings.LOG_FORMAT,
        "--precision", settings.ENGINE_PRECISION, "--memory", str(settings.ENGINE_MEMORY_MB),
    ]  # fmt: skip
    threads = ["--threads", str(settings.THREADS)] if settings.THREADS else []
    return [
        Child(
            "web",
            [
                python, "-m", "uvicorn", "studio.asgi:application",
                "--host", settings.HOST, "--port", str(settings.PORT),
                "--lifespan", "off", "--timeout-graceful-shutdown", "10",
                "--ws", "websockets-sansio", "--ws-max-size", "1048576",
                "--limit-concurrency", "512", "--no-server-header", "--no-access-log",
                *(trusted if settings.PROXY else ["--no-proxy-headers"]),
            ],
        ),
        Child("engine", [*engine, "--socket", socket_path, *threads]),
        Child("worker-heavy", [*worker, "-Q", "heavy", "-c", "1", "-n", "heavy@%h"]),
        Child(FETCHER, [*worker, "-Q", "light", "-c", "3", "-n", "light@%h"]),
    ]  # fmt: skip


def environment(child: Child) -> dict[str, str]:
    """Return what a child gets of our environment: the hub's token is for the one that fetches, the
    key of other engines for all but our own."""
    found = dict(os.environ) | {"PYTHONUNBUFFERED": "1"}
    found.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    if child.name != FETCHER:
        found.pop("HF_TOKEN", None)
    if child.name == "engine":
        found.pop("DADEUM_ENGINE_KEY", None)
        found |= {"NUMBA_CACHE_DIR": str(settings.COMPILED)}
    return found


class Supervisor:
    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.line = Lifeline(grace_seconds=GRACE_SECONDS)
        self.runtime = ""
        self.children: list[Child] = []

    def run(self, announce) -> None:
        """Hold everything up until a signal comes. `announce` is called once pages are served.

        Raises: CannotStart.
        """
        self._lock()
        _close_to_others(settings.DATA)
        self._wait_for_port()
        self._make_runtime_folder()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stopping.set())
        self.children = children(os.environ["DADEUM_ENGINE_SOCKET"])
        try:
            for child in self.children:
                self._start(child)
            self._watch(announce)
        finally:
            self._stop()

    # --- before ---------------------------------------------------------------------------------
    def _lock(self) -> None:
        """One `up` a data folder; the lock goes with the process, whatever ends it. One that is
        ending is waited for."""
        self.lock = (settings.DATA / "up.lock").open("a+")
        begun = time.monotonic()
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.lock.truncate(0)
                return
            except OSError:
                self.lock.seek(0)
                patience = PORT_PATIENCE_SECONDS if self.lock.read() == ENDING else 1
                if time.monotonic() > begun + patience:
                    raise CannotStart(
                        f"다른 다듬이 이미 {settings.DATA} 폴더를 쓰고 있습니다. 그 다듬을 끄거나 DADEUM_DATA를 바꾸세요."
                    ) from None
                time.sleep(0.2)

    def _wait_for_port(self) -> None:
        """Children of an `up` that was killed may hold the port for some seconds yet."""
        deadline = time.monotonic() + PORT_PATIENCE_SECONDS
        while _is_taken(settings.HOST, settings.PORT):
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"포트 {settings.PORT}번을 다른 프로그램이 쓰고 있습니다. DADEUM_PORT=8001 처럼 바꿔서 시작하세요."
                )
            time.sleep(0.2)

    def _make_runtime_folder(self) -> None:
        """A short private folder for the engine's socket, since such paths end at 107 bytes."""
        note = settings.DATA / "runtime"
        if note.exists():
            left_behind = Path(note.read_text())
            if left_behind.name.startswith("dadeum-"):
                shutil.rmtree(left_behind, ignore_errors=True)
        self.runtime = tempfile.mkdtemp(prefix="dadeum-")
        note.write_text(self.runtime)
        os.environ["DADEUM_ENGINE_SOCKET"] = f"{self.runtime}/engine.sock"

    # --- while ----------------------------------------------------------------------------------
    def _start(self, child: Child) -> None:
        child.log.parent.mkdir(exist_ok=True)
        if child.log.exists() and child.log.stat().st_size > LOG_LIMIT_BYTES:
            child.log.replace(child.log.with_suffix(".old.log"))
        with child.log.open("ab") as log:
            child.process = self.line.spawn(
                child.command,
                environment(child),
                cwd=settings.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        child.started_at = time.monotonic()

    def _watch(self, announce) -> None:
        announced = False
        while not self.stopping.wait(0.2):
            for child in self.children:
                self._tend(child)
            if not announced and _is_taken(settings.HOST, settings.PORT):
                announced = True
                announce()

    def _tend(self, child: Child) -> None:
        """Start a dead child again, waiting longer each time it dies young."""
        now = time.monotonic()
        if child.process is not None and child.process.poll() is not None:
            end_group(child.process)
            lived = now - child.started_at
            child.failures = 1 if lived > STABLE_SECONDS else child.failures + 1
            pause = (
                0.5 if child.failures == 1 else min(MAX_PAUSE_SECONDS, 2 ** (child.failures - 2))
            )
            child.again_at = now + pause
            code, child.process = child.process.returncode, None
            with contextlib.suppress(OSError):  # it may go to a disk that is full
                print(
                    f"dadeum: {child.name} 프로세스가 끝났습니다(코드 {code}). "
                    f"{pause:g}초 뒤에 다시 시작합니다. 기록: {child.log}",
                    flush=True,
                )
        if child.process is None and now >= child.again_at:
            try:
                self._start(child)
            except OSError:  # no room for its log, or no memory for a process
                child.again_at = now + MAX_PAUSE_SECONDS / 10

    # --- after ----------------------------------------------------------------------------------
    def _stop(self) -> None:
        """Ask all to end (the worker writes a checkpoint), then end what is left."""
        with contextlib.suppress(OSError):  # a full disk
            self.lock.write(ENDING)
            self.lock.flush()
        running = [child for child in self.children if child.process]
        for child in running:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and any(c.process.poll() is None for c in running):
            time.sleep(0.1)
        for child in running:
            end_group(child.process)
            child.process.wait()
        shutil.rmtree(self.runtime, ignore_errors=True)


def _close_to_others(folder: Path) -> None:
    """Take from strangers on this machine what an older or a copied data folder let them read."""
    with contextlib.suppress(PermissionError):  # another's folder, with this group's access
        folder.chmod(folder.stat().st_mode & 0o7770)


def _is_taken(host: str, port: int) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
