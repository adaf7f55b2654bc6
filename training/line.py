"""The line in which jobs wait for this machine: who is next, what stands before one, and how many
jobs one person may have in it.

What only has to be finished goes first, since it takes a moment; then jobs of a higher priority.
Within a priority people take turns: everybody's first job, then everybody's second; a job counts as waiting from when it was asked for, or from when its owner's last
one began, if that was later. Who was served last therefore stands behind whoever waited meanwhile.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Max, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.errors import UserError
from training.models import Job

Status = Job.Status
FIRST, USUAL, LATER = 1, 0, -1
PRIORITIES: dict[int, Promise] = {FIRST: _("먼저"), USUAL: _("보통"), LATER: _("나중에")}
OWN_PRIORITIES = (USUAL, LATER)
"""Those that people may give to their own jobs; the others are the administrators' to give."""
LATEST_DAYS = 31
"""How far ahead a start may be set."""
COUNTED = (Status.VALIDATING, Status.QUEUED, Status.RUNNING)
"""Jobs that count for the limit a person."""


def waiting() -> QuerySet[Job]:
    return Job.objects.filter(status=Status.QUEUED)


def in_line() -> QuerySet[Job]:
    """Return the jobs that may begin now; those that wait for their time are left out."""
    return waiting().filter(Q(not_before=None) | Q(not_before__lte=timezone.now()))


def since(job: Job) -> datetime:
    """Return from when on a job waits for its turn."""
    asked = job.queued_at or job.created_at
    return max(asked, job.not_before) if job.not_before else asked


def order(rows: Iterable[Job]) -> list[Job]:
    """Return waiting jobs in the order in which they begin, if all may; one query."""
    groups: dict[tuple, list[Job]] = defaultdict(list)
    for job in sorted(rows, key=lambda job: (since(job), job.pk)):
        groups[job.priority, job.owner_id].append(job)
    served = _last_starts({owner for _priority, owner in groups})
    keys = {}
    for (priority, owner), own in groups.items():
        first = since(own[0])
        stands_since = max(first, served.get(owner) or first)
        for turn, job in enumerate(own):
            keys[job] = (not job.finish_requested, -priority, turn, stands_since, job.pk)
    return sorted(keys, key=keys.__getitem__)


def _last_starts(owners: Iterable[int]) -> dict[int, datetime]:
    """Return when each owner's last job began; one that is back in line has had no turn yet."""
    begun = Job.objects.filter(owner__in=owners, started_at__isnull=False)
    begun = begun.exclude(status=Status.QUEUED).order_by()
    return dict(begun.values_list("owner").annotate(Max("started_at")))


def before(job: Job) -> list[Job]:
    """Return the waiting jobs that begin before one, as far as can be said now."""
    horizon = max(timezone.now(), job.not_before or job.created_at)
    rows = [other for other in waiting() if not other.not_before or other.not_before <= horizon]
    found = order(rows if job in rows else [*rows, job])
    return found[: found.index(job)]


def place(job: Job) -> int:
    """Return the job's place in line; 1 is next."""
    return len(before(job)) + 1


def ahead(job: Job) -> int:
    """Return how many jobs, anybody's, end or begin before a waiting one begins."""
    running_now = Job.objects.filter(status=Status.RUNNING).exclude(pk=job.pk).count()
    return running_now + len(before(job))


def neighbour(job: Job, step: int) -> Job | None:
    """Return the owner's job beside one in their own order (-1: before it, 1: behind it)."""
    own = order(in_line().filter(owner=job.owner_id, priority=job.priority))
    at = own.index(job) + step if job in own else -1
    return own[at] if 0 <= at < len(own) else None


def counts() -> dict[str, int]:
    """Return how many jobs run and wait here, whoever they belong to: they share one machine."""
    live = list(
        Job.objects.filter(status__in=(Status.RUNNING, Status.QUEUED)).values_list(
            "status", flat=True
        )
    )
    return {"running": live.count(Status.RUNNING), "queued": live.count(Status.QUEUED)}


# --- times --------------------------------------------------------------------------------------
def tonight() -> datetime:
    """Return when the next night begins."""
    now = timezone.localtime()
    begins = now.replace(
        hour=settings.NIGHT.hour, minute=settings.NIGHT.minute, second=0, microsecond=0
    )
    return begins if begins > now else begins + timedelta(days=1)


def not_before(moment: datetime | None) -> datetime | None:
    """Return what a wish for a start comes to: a time that is past means now.

    Raises: UserError `start_too_far`.
    """
    now = timezone.now()
    if moment is None or moment <= now:
        return None
    if moment > now + timedelta(days=LATEST_DAYS):
        raise UserError("start_too_far", days=LATEST_DAYS)
    return moment


# --- how many jobs one person may have ----------------------------------------------------------
def refuse_beyond_limit(owner_id: int) -> None:
    """Raises: UserError `queue_full` when one more job would be too many of one person's."""
    if blocker := limit_blocker(owner_id):
        raise blocker


def limit_blocker(owner_id: int) -> UserError | None:
    limit = settings.QUEUE_LIMIT
    if not limit:
        return None
    count = Job.objects.filter(owner=owner_id, status__in=COUNTED).count()
    return UserError("queue_full", count=count, limit=limit) if count >= limit else None


def admit(owner_id: int) -> None:
    """Hold the owner's row until the transaction ends, so that two starts at once count each other.

    Raises: UserError `queue_full`.
    """
    if settings.QUEUE_LIMIT:
        get_user_model().objects.select_for_update(no_key=True).filter(pk=owner_id).first()
        refuse_beyond_limit(owner_id)
