"""The verbs that change a dataset: its rows, its versions, its parts.

In: a dataset and what shall become of it. Out: an open version, in which edits collect until a job
uses it or somebody saves it; or new datasets made of others' rows. What a job has used never
changes: the next edit opens a version of its own beside it.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import transaction

from training.chat import Example
from training.datasets import room, segments, shapes, store, versions
from training.datasets.check import cures
from training.datasets.check.terms import BACK, MASK
from training.datasets.holding import (
    RAW,
    discard,
    folder,
    freeze,
    hand_on_drafts,
    hold,
    is_true,
    lock,
    newest,
    next_number,
    unused,
    used_by,
    write_down,
)  # fmt: skip
from training.errors import UserError
from training.models import Dataset, DatasetVersion

Source, Status = DatasetVersion.Source, DatasetVersion.Status
COPIED = ("file_name", "url", "encoding", "format", "notes", "layout", "choices", "size_bytes")
"""What a version tells of the file that its rows came from."""
REWRITTEN_AT_ONCE = 1000
"""Most rows that a request writes anew by itself."""


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
def mark(example: Example) -> str:
    """Return what tells whether a row is still as it was shown."""
    return hashlib.sha256(repr(example).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _refuse_changed(latest: DatasetVersion, positions: list[int], was: str) -> None:
    """Raises: UserError `row_changed` unless the live rows have the mark that was shown, if any."""
    if was and any(mark(example) != was for _, example in _view(latest).at(positions)):
        raise UserError("row_changed")


def replace(dataset: Dataset, position: int, example: Example, was: str = "") -> DatasetVersion:
    """Put an example in a row's place; `was` is the mark of the one that it is to replace.

    Raises: UserError `row_gone`, `row_changed`, `data_being_read`, `data_not_readable`.
    """
    with _held(dataset) as latest:
        if not _view(latest).is_live(position):
            raise UserError("row_gone")
        _refuse_changed(latest, [position], was)
        with _changing(latest) as version:
            store.replace(folder(version), position, example)
        return version


def add(dataset: Dataset, found: Iterable[Example], *, conversation: str = "") -> DatasetVersion:
    """Add examples behind the last one; the `conversation` that they were mended in is remembered.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    found = list(found) if conversation else found
    with _held(dataset) as latest, _changing(latest) as version:
        store.add(folder(version), found)
    if conversation:
        for example in found:
            dataset.origins.create(mark=mark(example), conversation=conversation)
    return version


def origins(dataset: Dataset, marks: Iterable[str]) -> dict[str, str]:
    """Return by mark the conversations that examples come from."""
    rows = dataset.origins.filter(mark__in=list(marks)).order_by("pk")
    return dict(rows.values_list("mark", "conversation"))


def remove(dataset: Dataset, positions: Iterable[int], was: str = "") -> DatasetVersion:
    """Remove rows; those that are gone already don't matter. `was` is the mark of what goes.

    Raises: UserError `row_changed`, `data_being_read`, `data_not_readable`.
    """
    with _held(dataset) as latest:
        live = [one for one in positions if _view(latest).is_live(one)]
        if not live:
            return latest
        _refuse_changed(latest, live, was)
        with _changing(latest) as version:
            store.remove(folder(version), live)
        return version


def restore(dataset: Dataset, position: int) -> DatasetVersion:
    """Bring a removed row back; one that is there already stays as it is.

    Raises: UserError `row_gone` for one that never was, `data_being_read`, `data_not_readable`.
    """
    with _held(dataset) as latest:
        if not 0 <= position < _view(latest).physical:
            raise UserError("row_gone")
        if _view(latest).is_live(position):
            return latest
        with _changing(latest) as version:
            store.restore(folder(version), position)
        return version


@contextmanager
def _held(dataset: Dataset) -> Iterator[DatasetVersion]:
    """Hold a dataset and give its newest version, which has rows."""
    with transaction.atomic():
        latest = hold(dataset)
        _refuse_unread(latest)
        yield latest


def _refuse_unread(version: DatasetVersion) -> None:
    if version.is_busy:
        raise UserError("data_being_read")
    if version.status != Status.READY:
        raise UserError("data_not_readable")


def _view(version: DatasetVersion) -> store.View:
    return store.view(folder(version))


@contextmanager
def _changing(latest: DatasetVersion) -> Iterator[DatasetVersion]:
    """Give the version that takes edits, a new one beside the held newest one if need be, and write
    down what its rows come to."""
    is_ours = latest.is_open and not latest.cure and not used_by(latest).exists()
    version = latest if is_ours else _successor(latest, latest)
    with _written(version):
        yield version


@contextmanager
def _written(version: DatasetVersion) -> Iterator[None]:
    """Write down what a version's rows come to once they are changed.

    Raises: UserError `too_many_changes`.
    """
    try:
        yield
    except store.TooManyChanges:
        raise UserError("too_many_changes", limit=store.CHANGE_LIMIT) from None
    write_down(version)


def _successor(
    latest: DatasetVersion, parent: DatasetVersion, cure: dict | None = None
) -> DatasetVersion:
    """Open a version with the parent's rows after the held newest one; drafts go on to it."""
    freeze(latest)
    opened = _beside(latest.dataset, parent, source=Source.EDIT, is_open=True, cure=cure or {})
    hand_on_drafts(latest, opened)
    return opened


def _beside(dataset: Dataset, parent: DatasetVersion, **fields: Any) -> DatasetVersion:
    """Create a version with the parent's rows."""
    version = DatasetVersion.objects.create(
        dataset=dataset,
        number=next_number(dataset),
        parent=parent,
        status=Status.READY,
        example_count=parent.example_count,
        fingerprint=parent.fingerprint,
        **{name: getattr(parent, name) for name in COPIED} | fields,
    )
    store.branch(folder(parent), folder(version))
    store.share_features(folder(parent), folder(version))
    if dataset == parent.dataset and (folder(parent) / segments.PROBLEMS).exists():
        store.link(folder(parent) / segments.PROBLEMS, folder(version) / segments.PROBLEMS)
        version.problem_count = parent.problem_count
        version.save(update_fields=["problem_count"])
    return version


# --- many rows at once ------------------------------------------------------------------------
@contextmanager
def _as_seen(dataset: Dataset, fingerprint: str) -> Iterator[DatasetVersion]:
    """Hold a dataset whose newest version's rows are those that somebody speaks of."""
    with _held(dataset) as latest:
        if latest.fingerprint != fingerprint or not is_true(latest):
            raise UserError("report_outdated")
        yield latest


def leave_out(
    dataset: Dataset, fingerprint: str, positions: Iterable[int], cure: dict
) -> DatasetVersion:
    """Open a version without some rows, as a cure has it; the rows as they were stay in the one
    before.

    Raises: UserError `report_outdated`, `data_being_read`, `data_not_readable`, `too_many_changes`.
    """
    with _as_seen(dataset, fingerprint) as latest, _opened(latest, cure) as version:
        store.remove(folder(version), positions)
    return version


def rewrite(
    dataset: Dataset, fingerprint: str, positions: Sequence[int], cure: dict
) -> DatasetVersion:
    """Open a version in which some rows are written anew as a cure has it (check/cures.py). Many rows
    are written by a worker: the version is busy till then. So is personal data: a version that is
    laid over segments would go on holding what it hides.

    Raises: UserError `report_outdated`, `data_being_read`, `data_not_readable`, `upload_disk`,
    `quota_full`.
    """
    with _as_seen(dataset, fingerprint) as latest:
        left = store.CHANGE_LIMIT - _view(latest).changes
        if cure["how"] == MASK or len(positions) > min(REWRITTEN_AT_ONCE, left):
            return _order_rewriting(latest, positions, cure)
        mending = cures.mend(cure["key"], cure["how"], cure["params"])
        found = _view(latest).at(list(positions))
        with _opened(latest, cure) as version:
            mended = {position: cures.rewritten(example, mending) for position, example in found}
            store.replace_many(folder(version), mended)
        return version


@contextmanager
def _opened(latest: DatasetVersion, cure: dict) -> Iterator[DatasetVersion]:
    """Open a version of its own for one change of many rows, so that it can be taken back alone."""
    version = _successor(latest, latest, cure)
    with _written(version):
        yield version


def _order_rewriting(
    latest: DatasetVersion, positions: Sequence[int], cure: dict
) -> DatasetVersion:
    room.refuse_beyond_disk(latest.size_bytes)
    room.refuse_beyond_quota(latest.dataset.owner, latest.size_bytes)
    freeze(latest)
    version = DatasetVersion.objects.create(
        dataset=latest.dataset, number=next_number(latest.dataset), parent=latest,
        source=Source.EDIT, cure=cure, **{name: getattr(latest, name) for name in COPIED},
    )  # fmt: skip
    hand_on_drafts(latest, version)
    return versions.order_rewriting(version, latest, positions, cure)


# --- versions ---------------------------------------------------------------------------------
def rename(dataset: Dataset, name: str) -> None:
    dataset.name = name.strip()[:200]
    dataset.save(update_fields=["name"])


def go_back(dataset: Dataset, version: DatasetVersion) -> DatasetVersion:
    """Make an earlier version's rows the newest again; nothing is lost.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    with transaction.atomic():
        latest = hold(dataset)
        if latest.is_busy:
            raise UserError("data_being_read")
        _refuse_unread(version)
        return _successor(latest, version, {"how": BACK, "number": version.number})


def doubled(dataset: Dataset, version: DatasetVersion) -> list[tuple[Dataset, int]]:
    """Return the datasets that were split off and hold rows that would be here too if an earlier
    version's rows were the newest again, and how many each has.

    Raises: UserError `data_being_read`, `data_not_readable`.
    """
    _refuse_unread(version)
    latest, wanted = newest(dataset), _view(version)
    here = _view(latest) if latest.status == Status.READY else None
    found = []
    for part in _parts(dataset, wanted.manifest.fingerprint):
        count = sum(
            wanted.is_live(position) and not (here and here.is_live(position))
            for position in _view(newest(part)).positions()
        )
        if count:
            found.append((part, count))
    return found


def _parts(dataset: Dataset, fingerprint: str) -> Iterator[Dataset]:
    """Yield the owner's datasets that were split off from rows in the same segments: a position
    means the same row in all of them."""
    others = Dataset.objects.filter(owner=dataset.owner_id).exclude(pk=dataset.pk)
    for part in others.filter(versions__source=Source.SPLIT).distinct():
        latest = newest(part)
        is_read = latest.status == Status.READY
        if is_read and segments.manifest(folder(latest)).fingerprint == fingerprint:
            yield part


def split(dataset: Dataset, name: str, count: int, seed: int = 42) -> Dataset:
    """Move `count` rows, drawn by chance, into a dataset of their own, and the others into a new
    version; both keep sharing segments, and the rows as they were stay where they are.

    Raises: UserError `split_wrong`, `data_being_read`, `data_not_readable`.
    """
    with _held(dataset) as latest:
        view = _view(latest)
        if not 0 < count < len(view):
            raise UserError("split_wrong", count=len(view))
        live = list(view.positions())
        drawn = set(random.Random(seed).sample(live, count))
        apart = Dataset.objects.create(owner=dataset.owner, name=name[:200])
        size_bytes = latest.size_bytes * count // len(view)
        taken = _beside(apart, latest, source=Source.SPLIT, url="", size_bytes=size_bytes)
        _keep_only(taken, drawn)
        _keep_only(_successor(latest, latest), set(live) - drawn)
    return apart


def _keep_only(version: DatasetVersion, positions: set[int]) -> None:
    with _written(version):
        store.keep_only(folder(version), positions)


def merge(owner: Any, name: str, parts: list[Dataset]) -> DatasetVersion:
    """Queue the writing of a new dataset that holds the rows of others, one after the other.

    Raises: UserError `merge_wrong`, `data_being_read`, `data_not_readable`, `data_gone`,
    `upload_disk`, `quota_full`.
    """
    if len(parts) < 2:
        raise UserError("merge_wrong")
    with transaction.atomic():
        for part in sorted(parts, key=lambda part: part.pk):  # in one order: none waits in a ring
            lock(part)
        found = [newest(part) for part in parts]
        for version in found:
            _refuse_unread(version)
        size_bytes = sum(version.size_bytes for version in found)
        room.refuse_beyond_disk(size_bytes)
        room.refuse_beyond_quota(owner, size_bytes)
        dataset = Dataset.objects.create(owner=owner, name=name[:200])
        version = DatasetVersion.objects.create(
            dataset=dataset, source=Source.MERGE, size_bytes=size_bytes,
            file_name=", ".join(one.name for one in parts)[:255],
        )  # fmt: skip
        return versions.order_merging(version, found)


def stop(dataset: Dataset) -> bool:
    """Give up the reading that is under way; say whether the dataset is still there. One without
    another version goes with it.

    Raises: UserError `data_in_use` when a job waits for it.
    """
    with unused(dataset):
        latest = hold(dataset)
        if not latest.is_busy:
            return True
        if used_by(latest).exists():
            raise UserError("data_in_use", name=dataset.name)
        before = dataset.versions.exclude(pk=latest.pk).order_by("-number").first()
        if before is None:
            versions.delete(dataset)
            return False
        hand_on_drafts(latest, before)
        discard([latest])
        latest.delete()  # the worker finds its row gone and ends the child
        return True


def refresh(dataset: Dataset) -> DatasetVersion:
    """Queue the fetching of a dataset's URL into a new version.

    Raises: UserError `data_without_url`, `data_being_read`, and those of versions.read_again.
    """
    latest = newest(dataset)
    if latest.is_busy:
        raise UserError("data_being_read")
    if not latest.url:
        raise UserError("data_without_url")
    return versions.read_again(dataset, latest, latest.choices, refetch=True)


def purge(dataset: Dataset) -> int:
    """Delete the raw files, and the earlier versions that no job and no draft uses; return how many
    versions went. The rows of those that stay are theirs alone from then on.

    Raises: UserError `data_being_read`, `data_in_use` when a job begins to use one meanwhile.
    """
    with unused(dataset):
        latest = hold(dataset)
        if latest.is_busy:
            raise UserError("data_being_read")
        others = dataset.versions.select_for_update(of=("self",)).exclude(pk=latest.pk)
        earlier = list(others.filter(jobs=None))
        discard(earlier)
        for version in earlier:
            version.delete()
        for version in dataset.versions.all():
            for name in (RAW, segments.PROBLEMS):  # a line that could not be used is raw as well
                transaction.on_commit(partial((folder(version) / name).unlink, missing_ok=True))
        dataset.versions.update(problem_count=0)
    return len(earlier)
