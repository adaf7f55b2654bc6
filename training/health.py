"""Whether the studio is well: checks by name in, their findings out, always within a second.

Each check runs in a thread of its own, once at a time, so that one that hangs keeps nobody waiting
and is not begun again beside itself. Rooms that training does not know register their own.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection, connections
from django.db.models import Max, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from training import heartbeats, leases, line
from training.hub.sizes import SPARE_BYTES
from training.models import (
    BaseDownload,
    DataReport,
    DatasetVersion,
    Heartbeat,
    Job,
    JobEvent,
    TokenCount,
)

OK, DEGRADED, DOWN, OFF = "ok", "degraded", "down", "off"
LIMIT_SECONDS = 0.9
"""How long all checks together may take."""
GIVEN_UP_SECONDS = 120
"""After which a check that hangs, on a dead connection say, is begun anew beside itself."""
FULL_BYTES = 64 * 1024**2
"""Free disk below which not even rows can be written safely."""
REASON_LETTERS = 200
ESSENTIAL = ("database", "disk")
"""Checks without which no page can be served."""


@dataclass(frozen=True)
class Finding:
    status: str = OK
    """ok, degraded, down, or off where the part is not used here."""
    figures: dict[str, Any] = field(default_factory=dict)
    ms: int = 0


@dataclass(frozen=True)
class Report:
    checks: dict[str, Finding]

    @property
    def status(self) -> str:
        if any(self.checks[name].status == DOWN for name in ESSENTIAL):
            return DOWN
        is_well = all(found.status in (OK, OFF) for found in self.checks.values())
        return OK if is_well else DEGRADED

    def as_dict(self, in_full: bool) -> dict[str, Any]:
        """Return the report, figures only in full: they name what strangers need not know."""
        words = {
            name: asdict(found) if in_full else {"status": found.status}
            for name, found in self.checks.items()
        }
        return {"status": self.status, "checks": words}


# --- asking -----------------------------------------------------------------------------------
def report() -> Report:
    """Run every check; one that does not answer in time is down."""
    begun = [begin(name, check) for name, check in CHECKS.items()]
    return Report(dict(zip(CHECKS, answers(begun, LIMIT_SECONDS), strict=True)))


def answers(begun: Sequence[Future], seconds: float) -> list[Finding]:
    """Return what checks that were begun find within some seconds."""
    wait(begun, timeout=seconds)
    late = Finding(DOWN, {"reason": "no answer in time"}, round(1000 * seconds))
    return [one.result() if one.done() else late for one in begun]


_under_way: dict[str, tuple[Future, float]] = {}
_lock = threading.Lock()


def begin(name: str, check: Callable[[], Finding]) -> Future:
    """Begin a check in a thread of its own, or return the one of that name that is under way."""
    now = time.monotonic()
    with _lock:
        known, since = _under_way.get(name, (None, 0.0))
        if known and not known.done() and now - since < GIVEN_UP_SECONDS:
            return known
        begun: Future = Future()
        _under_way[name] = begun, now
    threading.Thread(target=_carry_out, args=(check, begun), daemon=True).start()
    return begun


def _carry_out(check: Callable[[], Finding], begun: Future) -> None:
    began = time.monotonic()
    try:
        found = check()
    except Exception as error:  # whatever it is, it is the finding
        found = Finding(DOWN, {"reason": f"{type(error).__name__}: {error}"[:REASON_LETTERS]})
    connections.close_all()
    begun.set_result(replace(found, ms=round(1000 * (time.monotonic() - began))))


# --- the checks -------------------------------------------------------------------------------
def database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
    return Finding(figures={"engine": connection.vendor})


def disk() -> Finding:
    """Look at the disk of the data folder: below a gigabyte work is refused, then pages fail too."""
    usage = shutil.disk_usage(settings.DATA)
    figures = {"free_bytes": usage.free, "size_bytes": usage.total}
    if usage.free < FULL_BYTES or not os.access(settings.DATA, os.W_OK | os.X_OK):
        return Finding(DOWN, figures)
    return Finding(DEGRADED if usage.free < SPARE_BYTES else OK, figures)


def broker() -> Finding:
    """Look whether the doorbell can be rung; without it work begins later, by the reaper."""
    kind = settings.BROKER_URL.partition(":")[0]
    if kind == "embedded":
        queue = settings.BROKER_FOLDER / "queue"
        is_there = queue.is_dir() and os.access(queue, os.W_OK | os.X_OK)
        return Finding(OK if is_there else DOWN, {"kind": kind})
    with current_app.connection_for_write(connect_timeout=1) as link:
        link.transport_options = {**link.transport_options, "max_retries": 0}
        link.default_channel.close()
    return Finding(figures={"kind": kind})


def worker(lane: str) -> Finding:
    count = heartbeats.fresh(lane).count()
    newest = Heartbeat.objects.filter(lane=lane).aggregate(at=Max("beat_at"))["at"]
    figures = {"workers": count, "seconds_since_beat": _seconds_since(newest)}
    return Finding(OK if count else DOWN, figures)


def oldest_waiting_job() -> Finding:
    waited = stalled_seconds()
    patience = max(30.0, settings.LEASE_SECONDS)
    return Finding(DEGRADED if waited > patience else OK, {"seconds": waited})


CHECKS: dict[str, Callable[[], Finding]] = {
    "database": database,
    "disk": disk,
    "broker": broker,
    "heavy_worker": partial(worker, "heavy"),
    "light_worker": partial(worker, "light"),
    "oldest_waiting_job": oldest_waiting_job,
}


def register(name: str, check: Callable[[], Finding]) -> None:
    CHECKS[name] = check


# --- figures ----------------------------------------------------------------------------------
def _seconds_since(moment: datetime | None) -> int | None:
    return max(0, round((timezone.now() - moment).total_seconds())) if moment else None


def waiting_since() -> datetime | None:
    """Return since when the job that waits longest could have begun."""
    now = timezone.now()
    ready = line.in_line().filter(Q(not_before=None) | Q(not_before__lte=now))
    begin_at = Greatest("queued_at", Coalesce("not_before", "queued_at"))
    return ready.order_by(begin_at).values_list(begin_at, flat=True).first()


def waiting_seconds() -> int:
    return _seconds_since(waiting_since()) or 0


def stalled_seconds() -> int:
    """Return how long a job has waited while nobody trained; behind a training it waits rightly."""
    since = waiting_since()
    busy = Job.objects.filter(~leases.expired(), status=Job.Status.RUNNING)
    if since is None or busy.exists():
        return 0
    finished = Job.objects.aggregate(at=Max("finished_at"))["at"]
    heard = JobEvent.objects.order_by("-pk").values_list("created_at", flat=True).first()
    return _seconds_since(max(moment for moment in (since, finished, heard) if moment)) or 0


def has_light_work(owner: Any = None) -> bool:
    """Say whether files of a person (of anybody) wait to be fetched, read, counted or checked."""
    rows: Iterable = (
        (DatasetVersion, "dataset__owner", ("waiting", "reading")),
        (TokenCount, "version__dataset__owner", ("waiting", "counting")),
        (DataReport, "version__dataset__owner", ("waiting", "checking")),
        (BaseDownload, "owner", ("waiting", "fetching")),
    )
    first, *others = (
        model.objects.filter(status__in=busy, **({field: owner} if owner else {}))
        .order_by()
        .values_list("token")
        for model, field, busy in rows
    )
    return first.union(*others, all=True).exists()
