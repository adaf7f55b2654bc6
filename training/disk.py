"""What runs take of the disk, kept in bounds: what the live ones will still write, what killed ones
left half written, and folders whose job is gone."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Min

from training import bases, forecast, registry
from training.bases import Base
from training.errors import UserError
from training.models import Job

logger = logging.getLogger(__name__)
Status = Job.Status
WRITING = (Status.QUEUED, Status.RUNNING, Status.PAUSED)
SWEEP_SECONDS = 3600
ORPHAN_SECONDS = 24 * 3600
"""A folder without a job is left alone for so long: a database may be put back from a backup."""


def promised_bytes(besides: Job) -> int:
    """Return what all other jobs that wait, run or are paused will still write."""
    find = cache(bases.find)
    live = Job.objects.filter(status__in=WRITING).exclude(pk=besides.pk)
    return sum(_still_to_come(job, find) for job in live)


def _still_to_come(job: Job, find: Callable[[str], Base]) -> int:
    """A job that has not begun counts with its result: its checkpoints go before the next begins."""
    try:
        found = forecast.disk(find(job.base), job.method, job.resolved)
    except UserError:  # it will fail and write nothing
        return 0
    has_begun = job.status != Status.QUEUED or job.attempt
    return max(0, found.most_bytes - used_bytes(job)) if has_begun else found.result_bytes


def used_bytes(job: Job) -> int:
    """Return what a job's attempts take; its examples are links."""
    found = 0
    for attempt in registry.run_folder(job).glob("attempt-*"):
        for folder, _folders, names in os.walk(attempt):
            for name in names:
                with suppress(FileNotFoundError):  # checkpoints are renamed and removed meanwhile
                    found += os.lstat(os.path.join(folder, name)).st_size
    return found


def trim(job: Job) -> None:
    """Remove what the attempts of a job that goes on later had only half written; checkpoints are
    kept in bounds by the trainer."""
    for attempt in range(1, job.attempt + 1):
        for part in (registry.run_folder(job) / f"attempt-{attempt}").glob(".*.part"):
            registry.remove_folder(part)


def sweep() -> None:
    """Once an hour, remove the old folders of runs whose job is gone."""
    runs, now = settings.DATA / "runs", time.time()
    if not runs.is_dir() or not _is_time(now):
        return
    ages = {folder: folder.stat().st_mtime for folder in runs.iterdir() if folder.is_dir()}
    old = [folder for folder, changed in ages.items() if now - changed > ORPHAN_SECONDS]
    known = set(Job.objects.values_list("pk", flat=True)) if old else set()
    for folder in old:
        if folder.name not in known and ages[folder] > _studio_began():
            logger.warning("removing %s: no job has it any more", folder)
            registry.remove_folder(folder)


def _is_time(now: float) -> bool:
    marker = settings.DATA / "runs.swept"
    if marker.exists() and now - marker.stat().st_mtime < SWEEP_SECONDS:
        return False
    marker.touch()
    return True


def _studio_began() -> float:
    """Return when the first account was made; older folders belong to another database."""
    began = get_user_model().objects.aggregate(first=Min("date_joined"))["first"]
    return began.timestamp() if began else float("inf")
