"""Run one child process to its end: events out, orders in. Knows nothing of jobs or data.

The child prints JSON lines; `beat` gets them every BEAT_SECONDS and says whether to go on.
Nothing secret is in the child's environment, and it dies with this process (lifeline.py).
"""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import close_old_connections

from training import allocator, memory, tasks
from training.leases import AWAY, Order
from training.lifeline import EXIT_ORPHAN, Lifeline, end_group

T = TypeVar("T")
logger = logging.getLogger(__name__)
Said = queue.SimpleQueue[dict]
TICK_SECONDS = 0.1
GRACE_SECONDS = 15
EXIT_USER_ERROR, EXIT_STOPPED = 2, 75
LOG_BYTES = 8 * 2**20
"""How large a child's log may grow; of a larger one the older half goes."""
PASSED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PYTORCH_CUDA_ALLOC_CONF", "NCCL_DEBUG",
    "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE",
)  # fmt: skip


@dataclass
class Outcome:
    exit_code: int = 0
    fenced: bool = False
    sent_home: bool = False
    """Whether the child was asked to stop because its worker goes home."""
    was_short_of_memory: bool = False
    """Whether the kernel ended a process for want of memory meanwhile, or the child held nearly all."""
    error: dict | None = None
    """What the child said was wrong ({"code", "params"}), for EXIT_USER_ERROR."""
    results: dict[str, dict] = field(default_factory=dict)
    """The last event of each kind."""

    @property
    def is_done(self) -> bool:
        return self.exit_code == 0 and not self.fenced

    @property
    def is_users_error(self) -> bool:
        return self.exit_code == EXIT_USER_ERROR and self.error is not None

    @property
    def is_short_of_room(self) -> bool:
        return self.is_users_error and (self.error or {}).get("code") == "disk_full"

    @property
    def is_stopped(self) -> bool:
        """Whether the child stopped when asked to, or since its worker was frozen or waited for the
        database for too long: nothing is wrong with the work."""
        return self.exit_code in (EXIT_STOPPED, EXIT_ORPHAN)


def environment() -> dict[str, str]:
    """Return a child's whole environment."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    threads = {"DADEUM_THREADS": str(settings.THREADS)} if settings.THREADS else {}
    return (
        passed
        | allocator.environment(passed)
        | threads
        | {
            "NUMBA_CACHE_DIR": str(settings.COMPILED),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "true",
            "PYTHONUNBUFFERED": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
    )


def supervise(
    module: str,
    arguments: list[str],
    *,
    beat: Callable[[list[dict]], Order],
    log: Path,
    extra: Mapping[str, str] | None = None,
) -> Outcome:
    """Run `python -m module arguments` until it ends or must be ended.

    `log` receives the child's stderr; `extra` goes into the environment of this child alone. While
    the database is away the events are kept and brought again.
    """
    line = Lifeline(silence_seconds=settings.LEASE_SECONDS * 0.8)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as technical:
        process = line.spawn(
            [sys.executable, "-m", module, *arguments],
            environment() | dict(extra or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=technical,
            cwd=settings.ROOT,
        )
        try:
            return _watch(process, line, partial(_beat, beat, log))
        finally:
            end_group(process)
            process.wait()
            line.close()
            if process.stdout:
                process.stdout.close()


def _watch(process: subprocess.Popen, line: Lifeline, beat: Callable) -> Outcome:
    outcome, said = Outcome(), Said()
    reader = threading.Thread(target=_read, args=(process, said), daemon=True)
    reader.start()
    pending: list[dict] = []
    next_beat = asked_at = 0.0
    is_behind = False  # the database did not take the last beat
    kills, peak_bytes = memory.kills(), 0
    while True:
        ended = process.poll() is not None and not reader.is_alive()
        _collect(said, pending, outcome)
        line.beat()
        peak_bytes = max(peak_bytes, memory.peak_bytes(process.pid))
        if time.monotonic() >= next_beat or (ended and not is_behind):
            next_beat = time.monotonic() + settings.BEAT_SECONDS
            order = beat(pending)
            is_behind = order is None
            if order is Order.FENCED:
                outcome.fenced = True
                return outcome
            if order is not None:
                pending = []
            if (order is Order.STOP or tasks.stopping.is_set()) and not asked_at:
                outcome.sent_home = tasks.stopping.is_set()
                end_group(process, signal.SIGTERM)
                asked_at = time.monotonic()
        if asked_at and time.monotonic() - asked_at > GRACE_SECONDS:
            end_group(process)
        if ended and not pending:
            outcome.exit_code = process.returncode
            is_near = memory.is_near_limit(peak_bytes)
            outcome.was_short_of_memory = is_near or memory.kills() > kills
            return outcome
        time.sleep(TICK_SECONDS)


def _beat(beat: Callable, log: Path, events: list[dict]) -> Order | None:
    """Return the order, or None while the database is away."""
    shorten(log)
    try:
        return beat(events)
    except AWAY as error:
        logger.warning("the database did not take a beat: %s", error)
        close_old_connections()
        return None


def shorten(log: Path) -> None:
    """Cut a log that has grown too large to its newer half; whoever appends to it goes on."""
    if log.stat().st_size <= LOG_BYTES:
        return
    with log.open("r+b") as file:
        file.seek(-(LOG_BYTES // 2), os.SEEK_END)
        kept = file.read()
        file.truncate(0)
        file.seek(0)
        file.write(kept.partition(b"\n")[2])


def insist(write: Callable[[], T]) -> T:
    """Write how a piece of work begins or ends, again while the database is away, as long as its
    lease may last; `write` does nothing where it has no hold any more."""
    deadline = time.monotonic() + settings.LEASE_SECONDS
    while True:
        try:
            return write()
        except AWAY as error:
            if time.monotonic() > deadline:
                raise
            logger.warning("the database did not take a word: %s", error)
            close_old_connections()
            time.sleep(settings.BEAT_SECONDS)


def _read(process: subprocess.Popen, said: Said) -> None:
    for raw in process.stdout or ():
        try:
            event = json.loads(raw)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            said.put(event)


def _collect(said: Said, pending: list[dict], outcome: Outcome) -> None:
    while not said.empty():
        event = said.get()
        outcome.results[event["kind"]] = event
        if event["kind"] == "error":
            error = {"code": event["code"], "params": event.get("params", {})}
            if error == outcome.error:  # each process of a training says it
                continue
            outcome.error = error
        pending.append(event)
