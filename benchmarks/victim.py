"""A studio whose every part can be hurt, and the faults that hurt it: FAULTS, name → Fault."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests import tiny
from tests.running import Studio, free_port, wait_until

LEASE_SECONDS = 3
DISK_BYTES = 400 * 2**20
MOMENTS = ("waiting", "preparing", "training", "saving", "finishing")
HEAVY, LIGHT, TRAINER, WEB, ENGINE = (
    "-Q heavy", "-Q light", "training.trainer", "uvicorn", "playground.engine",
)  # fmt: skip
DATABASE = "dadeum_faults"


# --- the studio ---------------------------------------------------------------------------------
class Victim(Studio):
    """A studio whose every part can be hurt."""

    def __init__(self, folder: Path, mode: str, postgres: str, dice: random.Random) -> None:
        self.folder, self.mode, self.dice = folder, mode, dice
        self.postgres, self.redis_port = postgres, free_port()
        self.is_on_a_small_disk = False
        settings = {
            "DADEUM_LEASE_SECONDS": str(LEASE_SECONDS), "DADEUM_BEAT_SECONDS": "0.25",
            "DADEUM_CHECKPOINT_SECONDS": "0.5", "DADEUM_MIN_EXAMPLES": "20", "DADEUM_HUB": "0",
        }  # fmt: skip
        if mode == "scaled":
            settings |= {
                "DADEUM_DATABASE_URL": f"{postgres}/{DATABASE}",
                "DADEUM_BROKER_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            }
        super().__init__(folder / "data", **settings)

    def __enter__(self) -> "Victim":
        self.data.mkdir(parents=True)
        if os.geteuid() == 0:
            size = f"size={DISK_BYTES}"
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "faults", self.data])
            self.is_on_a_small_disk = mounted.returncode == 0
        if self.mode == "scaled":
            self.start_redis()
            self.in_server(f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
        tiny.build(self.data / "models" / "tiny", hidden_size=64)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop all and remove what it left outside its folder."""
        for process in self.processes():  # an error may have left some frozen
            with contextlib.suppress(Exception):
                process.send_signal(signal.SIGCONT)
        self.stop()
        if self.is_on_a_small_disk:
            subprocess.run(["umount", "--lazy", self.data], check=True)
        if self.mode == "scaled":
            self.redis.kill()
            self.redis.wait()
            self.in_server(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")

    def in_server(self, *statements: str) -> None:
        """Run statements in the database server, beside the studio's own database."""
        import psycopg

        with psycopg.connect(f"{self.postgres}/postgres", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def start_redis(self) -> None:
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def send(self, number: int, *words: str) -> None:
        for process in [p for word in words for p in self.processes(word)]:
            with contextlib.suppress(Exception):  # it may have ended by itself
                process.send_signal(number)

    def kill(self, *words: str) -> None:
        self.send(signal.SIGKILL, *words)

    def begin_again(self) -> None:
        self.process.wait()
        self.log.write_text("")
        self.start()

    def hold(self) -> None:
        """Let a state last longer than the lease."""
        time.sleep(LEASE_SECONDS * self.dice.uniform(1.3, 2.3))

    def trainers(self) -> list[str]:
        """Return the run folder of each trainer that lives now."""
        found = []
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = command.read_bytes().decode(errors="replace").split("\0")
                if TRAINER in words and str(self.data) in (
                    place := words[words.index(TRAINER) + 1]
                ):
                    found.append(place)
        return found


def look(job: Any) -> Any:
    """Return the job's row, whatever the database goes through."""
    from django.db import InterfaceError, OperationalError, close_old_connections

    from training.models import Job

    while True:
        try:
            return Job.objects.get(pk=job.pk)
        except (InterfaceError, OperationalError):
            close_old_connections()
            time.sleep(0.1)


# --- the faults ---------------------------------------------------------------------------------
@dataclass
class Fault:
    strike: Callable[[Victim, Any], None]
    moments: tuple[str, ...] = MOMENTS
    modes: tuple[str, ...] = ("embedded", "scaled")
    ends: tuple[str, ...] = ("succeeded",)
    """The ways in which a job may end under it."""
    intervals: int = 1
    """Checkpoint intervals that may be trained again."""


def kills(*words: str) -> Callable[[Victim, Any], None]:
    return lambda studio, job: studio.kill(*words)


def kill_up(studio: Victim, job: Any) -> None:
    studio.process.kill()
    studio.begin_again()


def kill_everything(studio: Victim, job: Any) -> None:
    studio.kill("")
    studio.begin_again()


def stop_and_start(studio: Victim, job: Any) -> None:
    studio.stop()
    studio.begin_again()


def freeze(studio: Victim, word: str) -> None:
    studio.send(signal.SIGSTOP, word)
    studio.hold()
    studio.send(signal.SIGCONT, word)


def double_messages(studio: Victim, job: Any) -> None:
    from training import tasks

    for _ in range(6):
        tasks.ring("train", job.pk)


def lose_messages(studio: Victim, job: Any) -> None:
    from studio.celery import app

    for _ in range(10):
        if studio.mode == "scaled":
            app.control.purge()
            with app.connection() as connection:
                connection.default_channel.client.flushdb()
        else:
            for message in (studio.data / "broker" / "queue").glob("*.msg"):
                message.unlink(missing_ok=True)
        time.sleep(0.1)


def fill_disk(studio: Victim, job: Any) -> None:
    filler = studio.data / "filler"
    end = time.monotonic() + studio.dice.uniform(2, 10)
    with filler.open("wb") as file:
        size = 0
        while time.monotonic() < end:
            free = os.statvfs(studio.data)
            if free.f_bavail:
                size += free.f_bavail * free.f_bsize
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, size)
            time.sleep(0.02)
    filler.unlink()


def lock_database(studio: Victim, job: Any) -> None:
    if studio.mode == "scaled":
        import psycopg

        with psycopg.connect(f"{studio.postgres}/{DATABASE}") as connection:
            connection.execute("LOCK TABLE training_job IN ACCESS EXCLUSIVE MODE")
            studio.hold()
    else:
        path = studio.data / "dadeum.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as found:
            found.execute("BEGIN EXCLUSIVE")
            studio.hold()
            found.execute("ROLLBACK")


def cut_connections(studio: Victim, job: Any) -> None:
    for _ in range(5):
        studio.in_server(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()"
        )
        time.sleep(studio.dice.uniform(0.05, 0.5))


def take_broker_away(studio: Victim, job: Any) -> None:
    if studio.mode == "scaled":
        studio.redis.kill()
        studio.redis.wait()
        studio.hold()
        studio.start_redis()
    else:
        broker, away = studio.data / "broker", studio.data / "away"
        broker.rename(away)
        studio.hold()
        shutil.rmtree(broker, ignore_errors=True)
        if studio.dice.random() < 0.5:  # else it never comes back
            away.rename(broker)
        shutil.rmtree(away, ignore_errors=True)


def freeze_broker(studio: Victim, job: Any) -> None:
    studio.redis.send_signal(signal.SIGSTOP)
    studio.hold()
    studio.redis.send_signal(signal.SIGCONT)


def newest_checkpoint(studio: Victim, job: Any) -> Path | None:
    found = (studio.data / "runs" / job.pk).glob("attempt-*/checkpoint-*")
    return max(found, key=lambda folder: folder.name, default=None)


def spoil_checkpoint(spoil: Callable[[Path, random.Random], None]) -> Callable:
    """Return a fault that spoils a file of the newest checkpoint once its trainer is dead."""

    def strike(studio: Victim, job: Any) -> None:
        studio.kill(TRAINER)
        if folder := newest_checkpoint(studio, job):
            with contextlib.suppress(FileNotFoundError):
                spoil(studio.dice.choice(sorted(folder.iterdir())), studio.dice)

    return strike


def flip_bytes(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def cut_short(path: Path, dice: random.Random) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size))


def move_lease(hours: int) -> Callable[[Victim, Any], None]:
    """Return a fault that moves a lease as it looks when the clock has stepped back (it ends far from
    now) or ahead (it ended long ago)."""

    def strike(studio: Victim, job: Any) -> None:
        from django.db.models import F

        from training.models import Job

        if hours > 0:
            studio.kill(HEAVY)  # or its next beat would write the right time
        held = Job.objects.filter(pk=job.pk, status="running")
        held.update(lease_expires_at=F("lease_expires_at") + timedelta(hours=hours))

    return strike


def pause_amid_a_kill(studio: Victim, job: Any) -> None:
    from training import jobs

    jobs.pause(job)
    time.sleep(studio.dice.uniform(0, 0.5))
    studio.kill(studio.dice.choice((HEAVY, TRAINER)))
    wait_until(lambda: look(job).status != "running", 60, "the pausing")
    jobs.resume(job)


def cancel_amid_a_kill(studio: Victim, job: Any) -> None:
    from training import jobs

    jobs.cancel(job)
    time.sleep(studio.dice.uniform(0, 0.5))
    studio.kill(studio.dice.choice((HEAVY, TRAINER)))


FAULTS = {
    "trainer killed": Fault(kills(TRAINER)),
    "heavy worker killed": Fault(kills(HEAVY)),
    "worker and trainer killed": Fault(kills(HEAVY, TRAINER)),
    "both workers killed": Fault(kills(HEAVY, LIGHT)),
    "web killed": Fault(kills(WEB)),
    "engine killed": Fault(kills(ENGINE)),
    "up killed": Fault(kill_up),
    "everything killed": Fault(kill_everything),
    "stopped and started": Fault(stop_and_start),
    "heavy worker frozen": Fault(lambda studio, job: freeze(studio, HEAVY)),
    "engine frozen": Fault(lambda studio, job: freeze(studio, ENGINE)),
    "messages doubled": Fault(double_messages),
    "messages lost": Fault(lose_messages, moments=("waiting",)),
    "disk full": Fault(fill_disk),
    "database locked": Fault(lock_database),
    "connections cut": Fault(cut_connections, modes=("scaled",)),
    "broker gone": Fault(take_broker_away),
    "broker frozen": Fault(freeze_broker, modes=("scaled",)),
    "checkpoint flipped": Fault(
        spoil_checkpoint(flip_bytes), moments=("training", "saving"), intervals=2
    ),
    "checkpoint cut short": Fault(
        spoil_checkpoint(cut_short), moments=("training", "saving"), intervals=2
    ),
    "clock back, worker killed": Fault(move_lease(+1)),
    "clock ahead": Fault(move_lease(-1)),
    "paused amid a kill": Fault(pause_amid_a_kill),
    "cancelled amid a kill": Fault(cancel_amid_a_kill, ends=("cancelled", "succeeded")),
}
