"""The verbs that change a dataset: its rows, its versions, its parts.

In: a dataset and what shall become of it. Out: an open version, in which edits collect until a job
uses it or somebody saves it; or new datasets made of others' rows. What a job has used never
changes: the next edit opens a version of its own beside it.
"""

import random
import shutil
from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from training.chat import Example
from training.datasets import segments, shapes, store, versions
from training.datasets.versions import RAW, folder
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job

Source = DatasetVersion.Source
COPIED = ("file_name", "url", "encoding", "format", "notes", "layout", "choices", "size_bytes")
"""What a version tells of the file that its rows came from."""


def example_of(turns: Iterable[tuple[str, str]]) -> Example:
    """Make an example of what somebody wrote into a form; an empty system prompt is none.

    Raises: UserError with the reader's own reason why it is no example.
    """
    said = [(role, content) for role, content in turns if role != "system" or content.strip()]
    try:
        return shapes.conversation(said, set())
    except shapes.Mistake as mistake:
        raise UserError(mistake.code, **mistake.params) from None


# --- rows -------------------------------------------------------------------------------------
def replace(dataset: Dataset, position: int, example: Example) -> DatasetVersion:
    """Put an example in a row's place.

    Raises: UserError `row_gone`, `data_being_read`, `data_not_readable`.
    """
    with _changing(dataset) as version:
        try:
            store.replace(folder(version), position, example)
        except IndexError:
            raise UserError("row_gone") from None
    return version


def add(dataset: Dataset, found: Iterable[Example]) -> DatasetVersion:
    """Add examples behind the last one.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    with _changing(dataset) as version:
        store.add(folder(version), found)
    return version


def remove(dataset: Dataset, positions: Iterable[int]) -> DatasetVersion:
    """Remove rows; those that are gone already don't matter.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    with _changing(dataset) as version:
        store.remove(folder(version), positions)
    return version


def restore(dataset: Dataset, position: int) -> DatasetVersion:
    """Bring a removed row back.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    with _changing(dataset) as version:
        store.restore(folder(version), position)
    return version


@contextmanager
def _changing(dataset: Dataset) -> Any:
    """Hold the open version while its rows change, and write down what they come to."""
    with transaction.atomic():
        version = _opened(dataset)
        try:
            yield version
        except store.TooManyChanges:
            raise UserError("too_many_changes", limit=store.CHANGE_LIMIT) from None
        _write_down(version)
        version.token_counts.all().delete()


def _write_down(version: DatasetVersion) -> None:
    """Have a version's row say what its rows come to."""
    version.example_count = len(store.view(folder(version)))
    version.fingerprint = store.fingerprint(folder(version))
    version.save(update_fields=["example_count", "fingerprint"])


def _opened(dataset: Dataset) -> DatasetVersion:
    """Return the version that takes edits, locked; a new one beside the newest if need be."""
    version = newest(dataset)
    if version.is_open and not used_by(version).exists():
        return DatasetVersion.objects.select_for_update().get(pk=version.pk)
    if version.is_busy:
        raise UserError("data_being_read")
    if version.status != DatasetVersion.Status.READY:
        raise UserError("data_not_readable")
    opened = _beside(dataset, version, source=Source.EDIT, is_open=True)
    Job.objects.filter(status=Job.Status.DRAFT, version=version).update(version=opened)
    return opened


def _beside(dataset: Dataset, parent: DatasetVersion, **fields: Any) -> DatasetVersion:
    """Create a version with the parent's rows."""
    version = DatasetVersion.objects.create(
        dataset=dataset,
        number=1 + (dataset.versions.order_by("-number").values_list("number", flat=True).first() or 0),
        parent=parent,
        status=DatasetVersion.Status.READY,
        example_count=parent.example_count,
        fingerprint=parent.fingerprint,
        **{name: getattr(parent, name) for name in COPIED} | fields,
    )  # fmt: skip
    store.branch(folder(parent), folder(version))
    if dataset == parent.dataset and (folder(parent) / segments.PROBLEMS).exists():
        store.link(folder(parent) / segments.PROBLEMS, folder(version) / segments.PROBLEMS)
        version.problem_count = parent.problem_count
        version.save(update_fields=["problem_count"])
    return version


# --- versions ---------------------------------------------------------------------------------
def newest(dataset: Dataset) -> DatasetVersion:
    return dataset.versions.order_by("-number")[0]


def used_by(version: DatasetVersion) -> Any:
    """Return the jobs that were started with a version."""
    return version.jobs.exclude(status=Job.Status.DRAFT)


def rename(dataset: Dataset, name: str) -> None:
    dataset.name = name.strip()[:200]
    dataset.save(update_fields=["name"])


def save(dataset: Dataset) -> None:
    """Close the open version: the next edit begins another."""
    freeze(newest(dataset))


def freeze(version: DatasetVersion) -> None:
    """Have a version take no more edits."""
    DatasetVersion.objects.filter(pk=version.pk, is_open=True).update(is_open=False)


def go_back(dataset: Dataset, version: DatasetVersion) -> DatasetVersion:
    """Make an earlier version's rows the newest again; nothing is lost.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    latest = newest(dataset)
    if latest.is_busy:
        raise UserError("data_being_read")
    if version.status != DatasetVersion.Status.READY:
        raise UserError("data_not_readable")
    with transaction.atomic():
        freeze(latest)
        made = _beside(dataset, version, source=Source.EDIT, is_open=True)
        Job.objects.filter(status=Job.Status.DRAFT, version=latest).update(version=made)
    return made


def split(dataset: Dataset, name: str, count: int, seed: int = 42) -> Dataset:
    """Move `count` rows, drawn by chance, into a dataset of their own; both keep sharing segments.

    Raises: UserError `split_wrong`, `data_being_read`, `data_not_readable`.
    """
    with _changing(dataset) as version:
        view = store.view(folder(version))
        if not 0 < count < len(view):
            raise UserError("split_wrong", count=len(view))
        live = [view.position(row) for row in range(len(view))]
        drawn = set(random.Random(seed).sample(live, count))
        apart = Dataset.objects.create(owner=dataset.owner, name=name[:200])
        taken = _beside(apart, version, source=Source.SPLIT)
        store.keep_only(folder(taken), drawn)
        store.keep_only(folder(version), set(live) - drawn)
        _write_down(taken)
    return apart


def merge(owner: Any, name: str, parts: list[Dataset]) -> DatasetVersion:
    """Queue the writing of a new dataset that holds the rows of others, one after the other.

    Raises: UserError `merge_wrong`, `data_being_read`, `data_not_readable`.
    """
    if len(parts) < 2:
        raise UserError("merge_wrong")
    found = [newest(part) for part in parts]
    for version in found:
        if version.is_busy:
            raise UserError("data_being_read")
        if version.status != DatasetVersion.Status.READY:
            raise UserError("data_not_readable")
    with transaction.atomic():
        dataset = Dataset.objects.create(owner=owner, name=name[:200])
        version = DatasetVersion.objects.create(
            dataset=dataset, source=Source.MERGE, file_name=", ".join(one.name for one in parts)[:255]
        )  # fmt: skip
    return versions.order_merging(version, found)


def stop(dataset: Dataset) -> bool:
    """Give up the reading that is under way; say whether the dataset is still there. One without
    another version goes with it.

    Raises: UserError `data_in_use` when a job waits for it.
    """
    latest = newest(dataset)
    if not latest.is_busy:
        return True
    if used_by(latest).exists():
        raise UserError("data_in_use", name=dataset.name)
    if dataset.versions.count() == 1:
        versions.delete(dataset)
        return False
    place, before = folder(latest), dataset.versions.exclude(pk=latest.pk).order_by("-number")[0]
    with transaction.atomic():
        Job.objects.filter(status=Job.Status.DRAFT, version=latest).update(version=before)
        latest.delete()  # the worker finds its row gone and ends the child
    shutil.rmtree(place, ignore_errors=True)
    return True


def refresh(dataset: Dataset) -> DatasetVersion:
    """Queue the fetching of a dataset's URL into a new version.

    Raises: UserError `data_without_url`, `data_being_read`.
    """
    latest = newest(dataset)
    if latest.is_busy:
        raise UserError("data_being_read")
    if not latest.url:
        raise UserError("data_without_url")
    return versions.read_again(dataset, latest, latest.choices, refetch=True)


def purge(dataset: Dataset) -> int:
    """Delete the raw files, and the earlier versions that no job and no draft uses; return how many
    versions went. The rows of those that stay are theirs alone from then on."""
    latest = newest(dataset)
    if latest.is_busy:
        raise UserError("data_being_read")
    removed = 0
    for version in dataset.versions.exclude(pk=latest.pk):
        if not version.jobs.exists():
            place = folder(version)
            version.delete()
            shutil.rmtree(place, ignore_errors=True)
            removed += 1
    for version in dataset.versions.all():
        (folder(version) / RAW).unlink(missing_ok=True)
    return removed
