"""The line in which jobs wait for this machine: who is next, and what stands before one."""

from django.db.models import Q, QuerySet
from django.utils import timezone

from training.models import Job

Status = Job.Status


def in_line() -> QuerySet[Job]:
    """Return the jobs that could begin now."""
    is_time = Q(not_before=None) | Q(not_before__lte=timezone.now())
    return Job.objects.filter(is_time, status=Status.QUEUED).order_by("queued_at", "pk")


def place(job: Job) -> int:
    """Return the job's place in line; 1 is next."""
    if not job.queued_at:
        return 1
    ahead = Q(queued_at__lt=job.queued_at) | Q(queued_at=job.queued_at, pk__lt=job.pk)
    return in_line().filter(ahead).count() + 1


def ahead(job: Job) -> int:
    """Return how many jobs, anybody's, end or begin before a waiting one begins."""
    running_now = Job.objects.filter(status=Status.RUNNING).exclude(pk=job.pk).count()
    return running_now + place(job) - 1


def counts() -> dict[str, int]:
    """Return how many jobs run and wait here, whoever they belong to: they share one machine."""
    live = list(
        Job.objects.filter(status__in=(Status.RUNNING, Status.QUEUED)).values_list(
            "status", flat=True
        )
    )
    return {"running": live.count(Status.RUNNING), "queued": live.count(Status.QUEUED)}
