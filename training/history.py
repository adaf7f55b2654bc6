"""What a job said while it ran: the points of its chart, the marks on it, and the lines of its log.

The database draws points together: however many a run told, a reading brings back a bounded number,
each with the lowest and highest loss of those it stands for, so that no spike is lost.
"""

from functools import cached_property
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, FloatField, Func, QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

from training.models import Job, JobEvent

BUCKETS = 500
"""Points that one reading brings at most."""
LOSSES = {"metrics": "loss", "validation": "validation_loss"}
FIGURES = ("learning_rate", "gradient_norm", "tokens_per_second", "memory_bytes")
"""What a point of `metrics` says beside its loss, as it was at its last step."""
BEGINNINGS = ("start", "resumed")
MARKS = ("crash", "resumed")
CHARTED = ("metrics", "validation", "best", "probe", "probes")
"""Events that are shown as curves, marks and answers, and so are no lines of the log."""
MOST_MARKS, MOST_CUTS = 40, 200
DRAWN_TOGETHER = (
    "SELECT MAX(id), MAX(step), MIN(loss), MAX(loss), AVG(loss)"
    " FROM ({rows}) AS told GROUP BY bucket ORDER BY bucket"
)
ALL = 1_000_000_000
"""A limit that limits nothing: it has a database read the loss out of the JSON once a row, not thrice."""


class Number(Func):
    """A number within an event's data, read by the database."""

    output_field = FloatField()

    def __init__(self, key: str) -> None:
        super().__init__(F("data"))
        self.key = key

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> tuple[str, Any]:
        template = f"JSON_EXTRACT(%(expressions)s, '$.{self.key}')"
        return self.as_sql(compiler, connection, template=template)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> tuple[str, Any]:
        template = f"(%(expressions)s ->> '{self.key}')::float8"
        return self.as_sql(compiler, connection, template=template)


class History:
    """One job's events, read when they are asked for."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def _cuts(self) -> list[tuple[int, int]]:
        """Event and step of each beginning that may have taken steps back, the latest first."""
        begun = self.job.events.filter(kind__in=BEGINNINGS).order_by()  # sorted here: few
        found: list[tuple[int, int]] = []
        for pk, step in sorted(begun.values_list("pk", "step"), reverse=True):
            if not found or step < found[-1][1]:  # else a later one took as much back
                found.append((pk, step))
        return found[:MOST_CUTS]

    def told(self, kind: str) -> QuerySet[JobEvent]:
        """Return the events of a kind that count: after a crash the steps since the last checkpoint
        are run again, and only their last run does."""
        found = self.job.events.filter(kind=kind)
        for pk, step in self._cuts:
            found = found.exclude(pk__lt=pk, step__gt=step)
        return found

    def points(self, kind: str, after: int = 0, buckets: int = BUCKETS) -> list[dict]:
        """Return the chart's points of one kind (metrics or validation) after an event's id.

        Each says id, step and epoch of its last event, and the loss; of metrics also FIGURES. Where it
        stands for several `steps` the loss is their mean, and `low` and `high` are said too.
        """
        rows = self.told(kind).filter(pk__gt=after)
        first, last = rows.first(), rows.last()
        if first is None or last is None:
            return []
        width = max(1, -(-(last.step - first.step + 1) // buckets))
        together = _drawn_together(rows, LOSSES[kind], first.step, width)
        ends = JobEvent.objects.in_bulk([pk for pk, *_losses in together])
        return [self._point(ends[row[0]], row, kind, width) for row in together]

    def _point(self, end: JobEvent, row: tuple, kind: str, width: int) -> dict:
        pk, step, low, high, mean = row
        point = {"id": pk, "step": step, "epoch": self.epoch(end), "loss": mean}
        if width > 1:
            point |= {"steps": width, "low": low, "high": high}
        if kind == "metrics":
            point |= {key: end.data.get(key) for key in FIGURES}
        return {key: _short(value) for key, value in point.items() if value is not None}

    def epoch(self, event: JobEvent) -> float:
        """Return how often all examples had been seen at an event."""
        if "epoch" in event.data:
            return event.data["epoch"]
        epochs, steps = self.job.resolved.get("epochs", 0), self.job.total_steps
        return round(event.step * epochs / steps, 3) if epochs and steps else event.step

    @cached_property
    def best(self) -> dict | None:
        """Where the validation loss was lowest: step, epoch and loss."""
        kept = self.told("best").last()
        if kept is None:
            measured = self.told("validation").annotate(loss=Number("validation_loss"))
            kept = measured.filter(loss__isnull=False).order_by("loss", "pk").first()
        if kept is None:
            return None
        loss = kept.data.get("validation_loss")
        return {"step": kept.step, "epoch": self.epoch(kept), "loss": loss}

    @cached_property
    def marks(self) -> list[dict]:
        """Return where the run stopped and where it went on, oldest first."""
        found = self.job.events.filter(kind__in=MARKS).order_by()
        newest = sorted(found, key=lambda event: event.pk)[-MOST_MARKS:]
        return [
            {"kind": event.kind, "step": event.step, "epoch": self.epoch(event)} for event in newest
        ]


def _drawn_together(rows: QuerySet[JobEvent], key: str, first: int, width: int) -> list[tuple]:
    """Return the last id, last step, lowest, highest and mean loss of each `width` steps."""
    bucket = (F("step") - first) / width
    wanted = rows.order_by().annotate(bucket=bucket, loss=Number(key))
    inner = wanted.values("id", "step", "bucket", "loss")[:ALL].query
    sql, params = inner.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(DRAWN_TOGETHER.format(rows=sql), params)
        return cursor.fetchall()


def _short(value: float) -> float:
    """Round a fraction to five digits: a picture shows no more, and a page stays small."""
    return value if isinstance(value, int) else float(f"{value:.5g}")


def waits_for_room(job: Job) -> bool:
    """Whether a job waits in line since the disk was full when it wanted to save."""
    if job.status != Job.Status.QUEUED or not job.not_before or job.not_before < timezone.now():
        return False
    crash = job.events.filter(kind="crash", attempt=job.attempt).last()
    return crash is not None and crash.data.get("code") == "disk_full"


def log(job: Job) -> QuerySet[JobEvent]:
    return job.events.exclude(kind__in=CHARTED)
