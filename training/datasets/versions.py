"""The verbs of a dataset version and of its token counts; the only writer of their statuses.

In: an uploaded file or a URL. Out: a version whose examples lie in its folder. The reading itself
is done by a child process in the light lane (child.py, count.py), never in the web process.
"""

import json
import shutil
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from training import bases, leases, tasks
from training.chat import Example
from training.datasets import fetch, holding, room, segments, store
from training.datasets.check.terms import ROWS
from training.datasets.holding import ORDER, RAW, folder, has_raw
from training.datasets.holding import freeze as freeze
from training.datasets.holding import newest as newest
from training.desk import Desk
from training.errors import UserError
from training.models import Dataset, DatasetVersion, Job, TokenCount
from training.supervise import Outcome, supervise

PARTS = "parts"
"""Folder of links to what is being merged."""
ABANDONED_SECONDS = 24 * 3600
SAMPLE_ROWS = 300
"""Enough to compare base models by: they differ by much more than samples do."""


def incoming() -> Path:
    """Return the folder where files arrive, on the same file system as the datasets."""
    return Path(settings.FILE_UPLOAD_TEMP_DIR)


# --- by the user ------------------------------------------------------------------------------
def from_upload(
    owner, file_name: str, temporary_path: Path, source: str = DatasetVersion.Source.UPLOAD
) -> DatasetVersion:
    """Take an uploaded file over (it is moved) and queue its reading."""
    size = Path(temporary_path).stat().st_size
    name = Path(file_name).name[:255]
    version = _create(owner, source=source, file_name=name, size_bytes=size)
    shutil.move(temporary_path, folder(version) / RAW)
    (folder(version) / RAW).chmod(0o600)
    return _order_reading(version)


def from_url(owner, url: str) -> DatasetVersion:
    """Queue the fetching and reading of a URL.

    Raises: UserError when the URL can't be meant, or `upload_disk` or `quota_full`.
    """
    fetch.check(url)
    room.refuse(owner, 1)
    place = url.partition("?")[0].partition("#")[0].rstrip("/")
    facts = {"url": url, "file_name": place.rpartition("/")[2][:255] or url[:255]}
    title = place.partition("://")[2]
    return _order_reading(_create(owner, title, source=DatasetVersion.Source.URL, **facts))


def _create(owner, title: str = "", **facts) -> DatasetVersion:
    with transaction.atomic():
        dataset = Dataset.objects.create(owner=owner, name=(title or facts["file_name"])[:200])
        version = DatasetVersion.objects.create(dataset=dataset, **facts)
    folder(version).mkdir(parents=True, mode=0o700)
    return version


def _order_reading(version: DatasetVersion) -> DatasetVersion:
    order = {
        "source": "url" if version.url and not has_raw(version) else "upload",
        "raw": RAW,
        "url": version.url,
        "file_name": version.file_name,
        "allow": settings.FETCH_ALLOW,
        "max_bytes": room.limit_bytes(version.dataset.owner),
        "deadline_seconds": settings.FETCH_SECONDS,
        "choices": version.choices,
    }
    return _order(version, order)


def order_merging(version: DatasetVersion, parts: list[DatasetVersion]) -> DatasetVersion:
    """Queue the writing of a version that holds the rows of others as they are now, one after the
    other; whatever becomes of the others, it keeps links to their files till it is written."""
    folder(version).mkdir(parents=True, mode=0o700)
    places = [folder(version) / PARTS / str(number) for number in range(len(parts))]
    for part, place in zip(parts, places, strict=True):
        store.branch(folder(part), place)
    return _order(version, {"source": "merge", "parts": [str(place) for place in places]})


def order_rewriting(
    version: DatasetVersion, latest: DatasetVersion, positions: Iterable[int], cure: dict
) -> DatasetVersion:
    """Queue the writing of a version with the rows of another as they are now, some of them written
    anew as a cure has it: its finding's key, how, and the finding's params."""
    place = folder(version) / PARTS / "0"
    place.mkdir(parents=True, mode=0o700)
    store.branch(folder(latest), place)
    (place / ROWS).write_bytes(array("I", positions).tobytes())
    return _order(version, {"source": "rewrite", "part": str(place), **cure})


def _order(version: DatasetVersion, order: dict) -> DatasetVersion:
    (folder(version) / ORDER).write_text(json.dumps(order))
    tasks.ring("read", version.pk)
    return version


def read_again(
    dataset: Dataset, version: DatasetVersion, choices: dict, *, refetch: bool = False
) -> DatasetVersion:
    """Queue another reading of a version's file or URL, with the user's choices, as a new version.
    One that is read that way already is returned as it is.

    Raises: UserError `data_being_read`, `raw_purged`, `data_gone`, `upload_disk`, `quota_full`.
    """
    with transaction.atomic():
        if holding.hold(dataset).is_busy:
            raise UserError("data_being_read")
        if not dataset.versions.filter(pk=version.pk).exists():
            raise UserError("data_gone")
        is_ready = version.status == DatasetVersion.Status.READY
        if is_ready and choices == version.choices and not refetch:
            return version
        is_here = has_raw(version) and not refetch
        if not is_here and not version.url:
            raise UserError("raw_purged")
        _refuse_another(version, is_here)
        return _order_reading(_another(version, choices, is_here))


def _refuse_another(version: DatasetVersion, is_here: bool) -> None:
    """Refuse another reading for which there is no room; one that takes this one's place and
    shares its file is nothing more to keep."""
    size_bytes = max(1, version.size_bytes)
    room.refuse_beyond_disk(size_bytes)
    if not is_here or not version.is_of_a_file or holding.used_by(version).exists():
        room.refuse_beyond_quota(version.dataset.owner, size_bytes)


def _another(version: DatasetVersion, choices: dict, is_here: bool) -> DatasetVersion:
    """Create the version for another reading; drafts go on to it."""
    source = version.source if version.is_of_a_file else DatasetVersion.Source.URL
    fresh = DatasetVersion.objects.create(
        dataset=version.dataset, number=holding.next_number(version.dataset), parent=version,
        choices=choices, source=source, url=version.url, file_name=version.file_name,
        size_bytes=version.size_bytes if is_here else 0,
    )  # fmt: skip
    holding.hand_on_drafts(version, fresh)
    folder(fresh).mkdir(parents=True, mode=0o700)
    if is_here:
        store.link(folder(version) / RAW, folder(fresh) / RAW)
    return fresh


def users(dataset: Dataset) -> list[Job]:
    """Return the jobs that were started with a dataset, whatever became of them, newest first."""
    started = Job.objects.filter(version__dataset=dataset).exclude(status=Job.Status.DRAFT)
    return list(started)


def delete(dataset: Dataset) -> None:
    """Delete a dataset and its files.

    Raises: UserError `data_in_use` while a job refers to it, `data_gone`.
    """
    with holding.unused(dataset):
        found = list(dataset.versions.select_for_update())  # before jobs, as a start does
        if users(dataset):
            raise UserError("data_in_use", name=dataset.name)
        Job.objects.filter(status=Job.Status.DRAFT, version__in=found).update(version=None)
        holding.discard(found)
        dataset.delete()


def token_count(version: DatasetVersion, base: str, *, is_sample: bool = False) -> TokenCount:
    """Return the count of a version, or of a sample of its rows, in a base's own tokens; the first
    call orders it."""
    wanted: dict[str, Any] = {"version": version, "base": base, "is_sample": is_sample}
    try:
        count, is_new = TokenCount.objects.get_or_create(**wanted)
    except IntegrityError:
        raise UserError("data_gone") from None
    if is_new:
        tasks.ring("count", str(count.pk))
    return count


def samples(version: DatasetVersion, slugs: list[str]) -> list[TokenCount]:
    """Return the counts of a version's sample in the tokens of each base; what is not counted yet
    is ordered."""
    known = {count.base: count for count in version.token_counts.filter(is_sample=True)}
    return [known.get(slug) or token_count(version, slug, is_sample=True) for slug in slugs]


def count_again(version: DatasetVersion) -> None:
    """Order the counts of a version anew that failed; what was in the way may be mended."""
    for count in version.token_counts.filter(status=TokenCount.Status.FAILED):
        moved = TokenCount.objects.filter(pk=count.pk, status=TokenCount.Status.FAILED).update(
            status=TokenCount.Status.WAITING, attempt=0, error=None, **leases.FREE
        )
        if moved:
            tasks.ring("count", str(count.pk))


def sweep() -> None:
    """Remove what an upload or a deletion left behind when its process was killed."""
    for path in filter(_is_abandoned, incoming().iterdir()):
        _remove(path)
    known = set(DatasetVersion.objects.values_list("pk", flat=True))
    for path in (settings.DATA / "datasets").glob("*"):
        if path.name not in known and _is_abandoned(path):
            _remove(path)


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
    except FileNotFoundError:  # its owner took it away this moment
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# --- what a page shows ------------------------------------------------------------------------
def examples(version: DatasetVersion, start: int, count: int) -> list[Example]:
    return store.examples(folder(version), start, count)


def problems(version: DatasetVersion, start: int, count: int | None) -> list[dict]:
    return segments.problems(folder(version), start, count)


# --- by a worker ------------------------------------------------------------------------------
def _figures(row: DatasetVersion, events: list[dict]) -> dict:
    """Return a version's fields that its child's events change."""
    layouts = [event["layout"] for event in events if event["kind"] == "layout"]
    found = {"layout": layouts[-1]} if layouts else {}
    told = next((event for event in reversed(events) if event["kind"] == "progress"), None)
    if told is None:
        return found
    if "done_rows" in told:  # merging: rows stand for bytes
        done = row.size_bytes * told["done_rows"] // max(1, told["total_rows"])
        return found | {"done_bytes": done}
    total = {"size_bytes": told["total_bytes"]} if told.get("total_bytes") else {}
    return found | {"done_bytes": told["done_bytes"]} | total


READ = Desk("read", DatasetVersion, busy="reading", lost="reading_crashed", figures=_figures)
COUNT = Desk("count", TokenCount, busy="counting", lost="reading_crashed")
READ_FACTS = (
    "encoding", "format", "notes", "fingerprint", "size_bytes", "file_name"
)  # fmt: skip


def read(pk: str) -> None:
    """Read a version's file into segments (the light lane's work)."""
    version = READ.claim(pk)
    if version is None:
        return
    outcome = supervise(
        "training.datasets.child",
        [str(folder(version))],
        beat=partial(READ.beat, version),
        log=folder(version) / "log.txt",
    )
    said = outcome.results.get("read", {})
    facts = {key: said[key] for key in READ_FACTS if said.get(key) is not None}
    if said:
        facts |= {"example_count": said["examples"], "problem_count": said["problems"]}
    with _settling(version):
        READ.settle(version, outcome, facts)


@contextmanager
def _settling(version: DatasetVersion) -> Iterator[None]:
    """Hold a version's dataset while the end of its reading is written down, then do what is due."""
    with transaction.atomic():
        Dataset.objects.select_for_update().filter(pk=version.dataset_id).first()
        yield
        settled = DatasetVersion.objects.filter(pk=version.pk).first()
        if settled and not settled.is_busy:
            holding.remove_later(folder(settled) / PARTS)
            holding.take_place(settled)


def reap() -> int:
    """Take back the readings whose worker is gone, and end those that were lost too often; return
    how many."""
    taken_back = 0
    for version in READ.lost_rows():
        with _settling(version):
            taken_back += READ.take_back(version)
    return taken_back


def count(pk: str) -> None:
    """Count a version's tokens (the light lane's work)."""
    row = COUNT.claim(pk)
    if row is None:
        return
    try:
        base = bases.find(row.base)
    except UserError as error:
        outcome = Outcome(exit_code=2, error=error.as_dict())
    else:
        outcome = supervise(
            "training.datasets.count",
            [str(folder(row.version)), str(base.folder), str(SAMPLE_ROWS if row.is_sample else 0)],
            beat=partial(COUNT.beat, row),
            log=folder(row.version) / "log.txt",
        )
    COUNT.settle(row, outcome, {"result": outcome.results.get("count", {}).get("result", {})})
