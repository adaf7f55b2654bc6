"""The one Celery door. In: a kind of work and an id; the row behind the id is the truth.

Apps register their kinds and hooks in AppConfig.ready(). A message that is lost is rung again by
the reaper of an idle worker; one that comes twice finds nothing to claim.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils import timezone

from training import leases, logs

logger = logging.getLogger(__name__)
HEAVY, LIGHT = "heavy", "light"
TASKS = {HEAVY: "dadeum.heavy", LIGHT: "dadeum.light"}


@dataclass(frozen=True)
class Kind:
    name: str
    lane: str
    run: Callable[[str], None]
    """Claims the row and does the work; finding nothing to claim is fine."""
    reap: Callable[[], int]
    """Takes back rows whose lease has run out."""
    unheard: Callable[[], Iterable]
    """Waiting rows for which the bell should ring again."""
    is_long: bool = False
    """Whether it may take hours beside the lane's other work, which must be heard meanwhile."""


KINDS: dict[str, Kind] = {}
BEFORE_HEAVY: list[Callable[[], None]] = []
stopping = threading.Event()
"""Set when this worker goes home: children are asked to stop and rows are put back."""
_busy = {HEAVY: 0, LIGHT: 0}


def register(kind: Kind) -> None:
    KINDS[kind.name] = kind


def before_heavy(hook: Callable[[], None]) -> None:
    """Have `hook` run in the worker before each heavy piece of work."""
    BEFORE_HEAVY.append(hook)


def ring(name: str, identity: str) -> None:
    """Ring the bell for a row once the present transaction is committed."""
    transaction.on_commit(lambda: _ring_now(name, str(identity)))


def _ring_now(name: str, identity: str) -> None:
    lane = KINDS[name].lane
    try:
        {HEAVY: heavy, LIGHT: light}[lane].apply_async((name, identity), retry=False)
    except Exception:  # whatever the broker raises: the row is safe, the reaper rings again
        logger.exception("could not ring for %s %s", name, identity)


@shared_task(name=TASKS[HEAVY])
def heavy(name: str, identity: str) -> None:
    _work(HEAVY, name, identity)


@shared_task(name=TASKS[LIGHT])
def light(name: str, identity: str) -> None:
    _work(LIGHT, name, identity)


def _work(lane: str, name: str, identity: str) -> None:
    if stopping.is_set() or name not in KINDS:
        return
    weight = 0 if KINDS[name].is_long else 1
    _busy[lane] += weight
    try:
        with logs.about(work=name, row=identity if lane == LIGHT else ""):
            KINDS[name].run(identity)
    finally:
        _busy[lane] -= weight


# --- the reaper: a thread in every worker -------------------------------------------------------
def reap(lanes: Iterable[str] = (HEAVY, LIGHT)) -> None:
    """Take back what dead workers held, and ring again for what waits unheard in idle lanes."""
    for kind in KINDS.values():
        try:
            _reap(kind, lanes)
        except leases.AWAY:  # for all kinds
            raise
        except Exception:  # trouble with one kind must not keep the others waiting
            logger.exception("the reaper stumbled over %s", kind.name)


def _reap(kind: Kind, lanes: Iterable[str]) -> None:
    kind.reap()
    is_idle = kind.is_long or not _busy[kind.lane]  # what is long goes beside the others
    if kind.lane in lanes and is_idle and not stopping.is_set():
        for row in kind.unheard():
            type(row).objects.filter(pk=row.pk).update(rung_at=timezone.now())
            ring(kind.name, row.pk)


def reap_for_ever(lanes: Iterable[str]) -> None:
    pause = min(5.0, settings.LEASE_SECONDS / 4)
    while not stopping.wait(pause):
        try:
            close_old_connections()
            reap(lanes)
        except Exception:  # a database that is away comes back; the reaper must still be there
            logger.exception("the reaper stumbled")


@worker_ready.connect
def _start_reaper(sender, **_: object) -> None:
    lanes = tuple(sender.app.amqp.queues.consume_from)
    threading.Thread(target=reap_for_ever, args=(lanes,), daemon=True).start()


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    stopping.set()


def unheard(rows):
    """Return the rows of a queryset for which the bell should ring again."""
    return rows.filter(leases.unheard())[:20]
