"""When each waiting job will probably begin and end.

In: what runs and its time left, what waits in its order, forecasts from frozen numbers and counted
data, how many workers there are. Rough by nature; said as «쯤». Unknown where a forecast is.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from heapq import heapify, heapreplace
from math import inf

from django.utils import timezone

from training import bases, forecast, heartbeats, line, recipe, tasks
from training.datasets import lengths
from training.errors import UserError
from training.models import Job, TokenCount

Status = Job.Status


@dataclass(frozen=True)
class Slot:
    start: datetime | None
    end: datetime | None
    place: int | None = None
    """1 is next; None where it waits for its time."""


def slots(also: Job | None = None) -> dict[str, Slot]:
    """Return the slot of each waiting job by its id, and of a draft if it were started now; the
    number of queries does not grow with theirs."""
    now = timezone.now()
    waiting = [*line.waiting(), *([_as_if_started(also, now)] if also else [])]
    if not waiting:
        return {}
    running = list(Job.objects.filter(status=Status.RUNNING))
    seconds = Lengths([*waiting, *running]).seconds
    ends = [_left(job, seconds) for job in running]
    ends += [0.0] * (workers() - len(running))
    order = line.order(waiting)
    turns = [job for job in order if line.since(job) <= now]
    places = {job: place for place, job in enumerate(turns, 1)}
    return {
        job.pk: Slot(_moment(now, start), _moment(now, start + seconds(job)), places.get(job))
        for job, start in _starts(order, ends, now, seconds)
    }


def slot(job: Job) -> Slot:
    """Return the slot of one job; an empty one where it does not wait."""
    return slots().get(job.pk, Slot(None, None))


def workers() -> int:
    """Return how many workers train here."""
    return max(1, heartbeats.fresh(tasks.HEAVY).count())


def _as_if_started(draft: Job, now: datetime) -> Job:
    started = copy.copy(draft)
    started.status, started.queued_at = Status.QUEUED, now
    return started


def _starts(todo: list[Job], ends: list[float], now: datetime, seconds):
    """Yield each job with its start, in seconds from now: whoever is next in order, of those that
    may begin by then, is taken when the next worker is free (`ends`)."""
    begins = {job: (line.since(job) - now).total_seconds() for job in todo}
    heapify(ends)
    while todo:
        start = max(0.0, ends[0], min(begins[job] for job in todo))
        job = next(one for one in todo if begins[one] <= start)
        todo.remove(job)
        heapreplace(ends, start + seconds(job))
        yield job, start


def _moment(now: datetime, offset: float) -> datetime | None:
    return None if offset == inf else now + timedelta(seconds=offset)


def _left(job: Job, seconds) -> float:
    """Return how long a running job will run."""
    if job.is_asked_to_end:
        return 0
    told = job.progress.get("seconds_left")
    return told if told is not None else seconds(job)


class Lengths:
    """How long jobs will run; what they share is read once."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        versions = {job.version_id for job in jobs if job.version_id}
        rows = TokenCount.objects.filter(
            version__in=versions, status=TokenCount.Status.READY, is_sample=False
        )
        self.counts = {(count.version_id, count.base): count.result for count in rows}
        self.base = cache(bases.find)
        self.machine = forecast.machine()
        self.seconds = cache(self._seconds)

    def _seconds(self, job: Job) -> float:
        """Return the forecast for what a job has still to do; inf where it is unknown."""
        counted = self.counts.get((job.version_id or "", job.base))
        if not counted or self.machine is None:
            return inf
        try:
            base, numbers = self.base(job.base), job.resolved
            kept = lengths.kept(counted, numbers["max_length"], drops=job.overflow == recipe.DROP)
            found = forecast.forecast(base, job.method, numbers, kept, self.machine)
        except UserError:  # its base is gone: it will fail at once
            return 0
        except KeyError:  # its numbers were frozen before some knob was there
            return inf
        done = job.step / job.total_steps if job.total_steps else 0
        return found.seconds * max(0.0, 1 - done) if found else inf
