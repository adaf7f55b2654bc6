"""One dataset's versions: where each lies, which is the newest, who uses it; and how it is held.

Whoever gives a version a number, edits its rows or deletes it holds the dataset until the end of
the transaction. Knows no files but the folders, and nothing of reading.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, ProtectedError, QuerySet

from training.datasets import store
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job

Status = DatasetVersion.Status
RAW, ORDER = "raw", "order.json"
"""What came, and what a reader is to do, in a version's folder."""


def folder(version: DatasetVersion) -> Path:
    return settings.DATA / "datasets" / version.pk


def has_raw(version: DatasetVersion) -> bool:
    """Say whether the file as it came is still here."""
    return (folder(version) / RAW).exists()


def newest(dataset: Dataset) -> DatasetVersion:
    """Raises: UserError `data_gone`."""
    if (found := dataset.versions.order_by("-number").first()) is None:
        raise UserError("data_gone")  # deleted this moment: a dataset is never without a version
    return found


def next_number(dataset: Dataset) -> int:
    """Return the number of a held dataset's next version."""
    return 1 + (dataset.versions.aggregate(highest=Max("number"))["highest"] or 0)


def used_by(version: DatasetVersion) -> QuerySet[Job]:
    """Return the jobs that were started with a version."""
    return version.jobs.exclude(status=Job.Status.DRAFT)


# --- holding ----------------------------------------------------------------------------------
def lock(dataset: Dataset) -> None:
    """Hold a dataset until the transaction ends: no version comes or goes meanwhile.

    Raises: UserError `data_gone`.
    """
    if not Dataset.objects.select_for_update().filter(pk=dataset.pk).first():
        raise UserError("data_gone")


def hold(dataset: Dataset) -> DatasetVersion:
    """Hold a dataset and return its newest version, held too: no job starts with it meanwhile.

    Raises: UserError `data_gone`.
    """
    lock(dataset)
    return dataset.versions.select_for_update().order_by("-number")[0]


@contextmanager
def unused(dataset: Dataset) -> Iterator[None]:
    """Hold a dataset while something of it is deleted; all is undone where a job has begun to use
    what goes.

    Raises: UserError `data_in_use`, `data_gone`.
    """
    try:
        with transaction.atomic():
            lock(dataset)
            yield
    except (ProtectedError, IntegrityError):
        raise UserError("data_in_use", name=dataset.name) from None


def discard(versions: list[DatasetVersion]) -> None:
    """Remove the folders of versions that are to be deleted once the present transaction is committed."""
    for place in map(folder, versions):
        remove_later(place)


def remove_later(place: Path) -> None:
    transaction.on_commit(partial(rmtree, place, ignore_errors=True))


@contextmanager
def present(version: DatasetVersion) -> Iterator[None]:
    """Say so when something can't be read since a version was deleted meanwhile.

    Raises: UserError `data_gone`.
    """
    try:
        yield
    except (FileNotFoundError, DatasetVersion.DoesNotExist):
        if DatasetVersion.objects.filter(pk=version.pk).exists():
            raise
        raise UserError("data_gone") from None


# --- a reading after another -------------------------------------------------------------------
def take_place(version: DatasetVersion) -> None:
    """Remove the reading that a held dataset's settled one was to do better, if nobody misses it;
    the settled one takes its number."""
    former = version.parent
    if former is None or not _is_done_with(former, version):
        return
    version.number, version.parent = former.number, None
    discard([former])
    former.delete()
    version.save(update_fields=["number", "parent"])


def _is_done_with(former: DatasetVersion, version: DatasetVersion) -> bool:
    """Say whether nobody misses a reading now that the same file was read another way: the file is
    here, no job refers to the reading, nothing came between, and it was no better."""
    held = DatasetVersion.objects.select_for_update().get(pk=former.pk)
    is_needed = not held.is_of_a_file or held.jobs.exists() or version.number != held.number + 1
    if is_needed or not has_raw(version) or _order_of(version)["source"] != "upload":
        return False
    return held.status == Status.FAILED or version.status == Status.READY


def _order_of(version: DatasetVersion) -> dict:
    return json.loads((folder(version) / ORDER).read_text())


def hand_on_drafts(former: DatasetVersion, version: DatasetVersion) -> None:
    """Have the drafts that were to use one version use another."""
    Job.objects.filter(status=Job.Status.DRAFT, version=former).update(version=version)


# --- an open version --------------------------------------------------------------------------
def freeze(version: DatasetVersion | None) -> None:
    """Have a version take no more edits."""
    if version and version.is_open:
        DatasetVersion.objects.filter(pk=version.pk).update(is_open=False)


def write_down(version: DatasetVersion) -> None:
    """Have a version's row say what its rows come to; what was counted before is forgotten."""
    version.example_count = len(store.view(folder(version)))
    version.fingerprint = store.fingerprint(folder(version))
    version.save(update_fields=["example_count", "fingerprint"])
    version.token_counts.all().delete()


def is_true(version: DatasetVersion) -> bool:
    """Say whether a version's row knows all edits in its folder. A transaction that is undone after
    the file was written leaves one that it does not; only an open version can have it."""
    return not version.is_open or version.fingerprint == store.fingerprint(folder(version))


def mend(version: DatasetVersion | None) -> None:
    """Write a version down anew if its row does not know all edits in its folder.

    Raises: UserError `data_gone`.
    """
    if version is None:
        return
    with present(version):
        if is_true(version):
            return
        with transaction.atomic():
            held = DatasetVersion.objects.select_for_update().filter(pk=version.pk).first()
            if held and not is_true(held):  # whoever held it may have written it down
                write_down(held)
        version.refresh_from_db()
