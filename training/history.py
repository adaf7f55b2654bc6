"""What a job said while it ran: the points of its chart and the lines of its log."""

from django.db.models import QuerySet
from django.utils import timezone

from training.models import Job, JobEvent

CHART_POINTS = 1000


def points(job: Job, kind: str, after: int = 0) -> list[dict]:
    """Return the chart's points of one kind (metrics or validation), thinned to about 1,000.

    After a crash the steps since the last checkpoint are run again: only their last run counts.
    """
    rows = job.events.filter(kind=kind, pk__gt=after).values_list("pk", "step", "data")
    latest: dict[int, dict] = {}
    for pk, step, data in rows.iterator():
        for stale in [old for old in latest if old >= step] if step in latest else ():
            del latest[stale]
        latest[step] = {"id": pk, "step": step, **data}
    found = list(latest.values())
    stride = max(1, len(found) // CHART_POINTS)
    return found[::stride] if stride == 1 else found[::stride] + found[-1:]


def waits_for_room(job: Job) -> bool:
    """Whether a job waits in line since the disk was full when it wanted to save."""
    if job.status != Job.Status.QUEUED or not job.not_before or job.not_before < timezone.now():
        return False
    crash = job.events.filter(kind="crash", attempt=job.attempt).last()
    return crash is not None and crash.data.get("code") == "disk_full"


def log(job: Job) -> QuerySet[JobEvent]:
    return job.events.exclude(kind__in=("metrics", "validation"))
