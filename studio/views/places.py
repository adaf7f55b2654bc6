"""What 대기열 and a job's page say of places in line, as far as the reader may know. Reads rows only."""

from dataclasses import dataclass
from datetime import datetime

from studio.models import User
from studio.views import lines
from training import line
from training.models import Job

Status = Job.Status


@dataclass(frozen=True)
class Row:
    """One job in line, as far as the reader may know it."""

    job: Job
    is_own: bool
    shows_owner: bool
    place: int | None
    starts_at: datetime | None
    priorities: tuple[int, ...]
    """Those that the reader may give it."""
    priority_route: str
    can_go_before: bool = False
    can_go_behind: bool = False


def of(job: Job) -> Row | None:
    """Return a job as its owner may know it; None where it does not wait."""
    found = lines.with_places(line.order(line.waiting().filter(owner=job.owner_id)))
    return next((_row(one, job.owner, found) for one in found if one == job), None)


def everybodys(reader: User) -> dict:
    """Return what runs, what waits for its turn and what waits for its time."""
    running = Job.objects.filter(status=Status.RUNNING).select_related("owner")
    waiting = lines.with_places(line.order(line.waiting().select_related("owner")))
    found = [_row(job, reader, waiting) for job in [*running.order_by("started_at"), *waiting]]
    return {
        "running": [row for row in found if row.job.status == Status.RUNNING],
        "turns": [row for row in found if row.place],
        "later": sorted(
            (row for row in found if row.job.is_for_later), key=lambda row: row.job.not_before
        ),
        "is_administrator": reader.is_staff,
    }


def _row(job: Job, reader: User, waiting: list[Job]) -> Row:
    is_own, place = job.owner_id == reader.pk, getattr(job, "place", None)
    mates = [
        other for other in waiting
        if other.place and (other.owner_id, other.priority) == (job.owner_id, job.priority)
    ]  # fmt: skip
    may_give = tuple(line.PRIORITIES) if reader.is_staff else line.OWN_PRIORITIES if is_own else ()
    return Row(
        job, is_own, is_own or reader.is_staff, place, getattr(job, "starts_at", None),
        may_give if job.status == Status.QUEUED else (),
        "line-rank" if reader.is_staff else "line-priority",
        can_go_before=bool(is_own and place and mates[0] != job),
        can_go_behind=bool(is_own and place and mates[-1] != job),
    )  # fmt: skip
