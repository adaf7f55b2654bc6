"""Which workers are there: each renews a row of its own for every lane that it serves.

A worker beats from a thread that outlives a database that is away, and takes its rows along when it
goes home. Whoever asks learns which lanes nobody has been heard of.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from celery.signals import worker_ready, worker_shutdown
from django.conf import settings
from django.db import Error, close_old_connections, connections
from django.db.models import QuerySet
from django.utils import timezone

from training import tasks
from training.models import Heartbeat
from training.tasks import HEAVY, LIGHT

logger = logging.getLogger(__name__)
LANES = (HEAVY, LIGHT)
LONGEST_PAUSE_SECONDS = 5.0
SHORTEST_PATIENCE_SECONDS = 15.0
FORGOTTEN_AFTER = 10
"""Times the patience after which the row of a worker that never came back is removed."""
GOODBYE_SECONDS = 5


def patience() -> timedelta:
    """Return the silence after which a worker counts as gone."""
    return timedelta(seconds=max(SHORTEST_PATIENCE_SECONDS, settings.LEASE_SECONDS))


# --- asking -----------------------------------------------------------------------------------
def fresh(lane: str) -> QuerySet[Heartbeat]:
    """Return the workers of a lane that have been heard of lately."""
    return Heartbeat.objects.filter(lane=lane, beat_at__gte=timezone.now() - patience())


def is_lane_alive(lane: str) -> bool:
    return fresh(lane).exists()


_watched_from: float | None = None


def watch() -> None:
    """Begin to listen: what was silent before may only not have been there yet."""
    global _watched_from
    _watched_from = time.monotonic()


def is_watching() -> bool:
    """Say whether this process has listened for long enough to call a lane silent."""
    if _watched_from is None:
        return False
    return time.monotonic() - _watched_from > patience().total_seconds()


def silent() -> list[str]:
    """Return the lanes of which nobody is heard; none as long as that may be our own fault."""
    if not is_watching():
        return []
    heard = Heartbeat.objects.filter(beat_at__gte=timezone.now() - patience())
    alive = set(heard.values_list("lane", flat=True))
    return [lane for lane in LANES if lane not in alive]


# --- beating ----------------------------------------------------------------------------------
def name(lane: str) -> str:
    return f"{lane}@{socket.gethostname()}:{os.getpid()}"


def beat(lanes: Iterable[str]) -> None:
    """Renew this process's rows, and remove those of workers that are long gone."""
    now = timezone.now()
    for lane in lanes:
        if not Heartbeat.objects.filter(pk=name(lane)).update(beat_at=now):
            Heartbeat.objects.create(name=name(lane), lane=lane, beat_at=now)
    Heartbeat.objects.filter(beat_at__lt=now - FORGOTTEN_AFTER * patience()).delete()


def go_home(lanes: Iterable[str]) -> None:
    """Take this process's rows away, so that nobody waits for it."""
    Heartbeat.objects.filter(pk__in=[name(lane) for lane in lanes]).delete()


def beat_till(stopping: threading.Event, lanes: Iterable[str]) -> None:
    """Beat until this process goes home, then say goodbye."""
    _write(beat, lanes)
    while not stopping.wait(min(LONGEST_PAUSE_SECONDS, settings.LEASE_SECONDS / 4)):
        _write(beat, lanes)
    _write(go_home, lanes)
    connections.close_all()


def _write(verb: Callable[[Iterable[str]], None], lanes: Iterable[str]) -> None:
    try:
        close_old_connections()
        verb(lanes)
    except Error as error:  # a database that is away comes back
        logger.warning("a heartbeat was not written: %s", error)


_thread: threading.Thread | None = None


@worker_ready.connect
def _begin(sender: Any, **_: object) -> None:
    global _thread
    lanes = tuple(sender.app.amqp.queues.consume_from)
    _thread = threading.Thread(target=beat_till, args=(tasks.stopping, lanes), daemon=True)
    _thread.start()


@worker_shutdown.connect
def _end(**_: object) -> None:
    if _thread:
        _thread.join(GOODBYE_SECONDS)
