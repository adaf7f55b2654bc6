"""What a job said while it ran: the points of its chart and the lines of its log."""

from django.db.models import QuerySet

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


def log(job: Job) -> QuerySet[JobEvent]:
    return job.events.exclude(kind__in=("metrics", "validation", "probes", "probe"))
