"""Whether there is room for a data file: by its own size, by the disk, by its owner's quota."""

import json
import shutil
from pathlib import Path

from django.conf import settings
from django.db.models import Sum

from training.errors import UserError
from training.hub.sizes import SPARE_BYTES, in_words
from training.models import DatasetVersion

ARRIVALS, FACTS = "arrival-*", "facts.json"
"""Files on their way in (arrivals.py), and what each tells of itself."""
TIMES = 2.5
"""Disk that a file takes as it came and as it is read, in its own sizes."""


def refuse(owner, size_bytes: int) -> None:
    """Refuse a file for which there is no room.

    Raises: UserError `file_empty`, `upload_too_large`, `upload_disk` or `quota_full`.
    """
    if size_bytes < 1:
        raise UserError("file_empty")
    if size_bytes > settings.UPLOAD_LIMIT_BYTES:
        raise UserError("upload_too_large", limit=in_words(settings.UPLOAD_LIMIT_BYTES))
    refuse_beyond_disk(size_bytes)
    refuse_beyond_quota(owner, size_bytes)


def refuse_beyond_disk(size_bytes: int) -> None:
    """Raises: UserError `upload_disk`."""
    if size_bytes > (free := max(0, free_bytes())):
        raise UserError("upload_disk", size=in_words(size_bytes), free=in_words(free))


def free_bytes() -> int:
    """Return how large a file may be that the disk takes now; below 0 where it is as good as full."""
    free = shutil.disk_usage(settings.FILE_UPLOAD_TEMP_DIR).free
    return int((free - SPARE_BYTES) / TIMES)


def limit_bytes(owner) -> int:
    """Return how large a person's next file may be."""
    limit = min(settings.UPLOAD_LIMIT_BYTES, max(1, free_bytes()))
    quota = settings.DATA_QUOTA_BYTES
    return min(limit, max(1, quota - used_bytes(owner))) if quota else limit


def refuse_beyond_quota(owner, size_bytes: int) -> None:
    """Raises: UserError `quota_full`."""
    limit = settings.DATA_QUOTA_BYTES
    if limit and (used := used_bytes(owner)) + size_bytes > limit:
        raise UserError("quota_full", used=in_words(used), limit=in_words(limit))


def used_bytes(owner) -> int:
    """Return how much a person's files take: those that were read and those on their way in."""
    own = DatasetVersion.objects.filter(dataset__owner=owner)
    read = own.exclude(source__in=(DatasetVersion.Source.EDIT, DatasetVersion.Source.SPLIT))
    coming = map(facts_of, Path(settings.FILE_UPLOAD_TEMP_DIR).glob(ARRIVALS))
    arriving = sum(one["size_bytes"] for one in coming if one.get("owner_id") == owner.pk)
    return arriving + (read.aggregate(sum=Sum("size_bytes"))["sum"] or 0)


def facts_of(arrival: Path) -> dict:
    """Return what an arrival's folder tells; {} for one that was begun this moment or ended."""
    try:
        return json.loads((arrival / FACTS).read_text())
    except (OSError, ValueError):
        return {}
