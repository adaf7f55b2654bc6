"""The verbs of a version's data report: order it, cure what it found; the only writer of its status.

In: a version that was read. Out: a report, made once for each state of its rows by a child process
in the light lane (check/), and a new version for each cure. Knows no page.
"""

import json
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError

from training import leases, recipe, tasks
from training.datasets import editing
from training.datasets.check import terms
from training.datasets.holding import folder, newest
from training.desk import Desk
from training.errors import UserError
from training.models import DataReport, Dataset, DatasetVersion
from training.supervise import supervise

Status = DataReport.Status
BLOCK = "block"


def of(version: DatasetVersion) -> DataReport | None:
    """Return the report on a version's rows as they are; the first call orders it. None while the
    version is not read.

    Raises: UserError `data_gone`.
    """
    if version.status != DatasetVersion.Status.READY:
        return None
    if not DatasetVersion.objects.filter(pk=version.pk).exists():
        raise UserError("data_gone")
    try:
        found, is_new = DataReport.objects.get_or_create(
            version=version, defaults={"fingerprint": version.fingerprint}
        )
    except IntegrityError:
        raise UserError("data_gone") from None
    if is_new or found.fingerprint != version.fingerprint:
        _order(found, version.fingerprint)
    return found


def _order(found: DataReport, fingerprint: str) -> None:
    """Have a report made of the rows as they are now; a worker that is at it is fenced off."""
    fresh = {"fingerprint": fingerprint, "status": Status.WAITING, "done_rows": 0, "attempt": 0}
    DataReport.objects.filter(pk=found.pk).update(**fresh, error=None, **leases.FREE)
    tasks.ring("check", str(found.pk))
    found.refresh_from_db()


def again(version: DatasetVersion) -> None:
    """Order a report anew that could not be made; what was in the way may be mended."""
    found = DataReport.objects.filter(version=version, status=Status.FAILED).first()
    if found:
        _order(found, version.fingerprint)


def positions(version: DatasetVersion, key: str, cure: str = "") -> list[int]:
    """Return the positions of the rows that a finding concerns, or that a cure of it takes.

    Raises: UserError `report_outdated` when there is no such report, finding or cure.
    """
    finding = finding_of(version, key)
    if finding is None or (cure and cure not in finding["cures"]):
        raise UserError("report_outdated")
    try:
        return terms.positions(folder(version), key, cure).tolist()
    except FileNotFoundError:
        raise UserError("report_outdated") from None


def findings(version: DatasetVersion) -> list[dict]:
    """Return what the report on a version's rows as they are found; [] while there is none."""
    asked = {"fingerprint": version.fingerprint, "status": Status.READY}
    made = DataReport.objects.filter(version=version, **asked).first()
    return made.result["findings"] if made else []


def faults(version: DatasetVersion) -> int:
    """Return how many findings of a version's present report do harm; 0 while there is none."""
    return sum(one["level"] == terms.BAD for one in findings(version))


def finding_of(version: DatasetVersion, key: str) -> dict | None:
    """Return one finding of a version's present report."""
    return next((one for one in findings(version) if one["key"] == key), None)


def too_few_left(examples: int, how: str, count: int) -> int | None:
    """Return how many examples a cure would leave, where these were enough to train before and are
    too few then; else None."""
    left = examples - (0 if how in terms.REWRITES else count)
    return left if left < settings.MIN_EXAMPLES <= examples else None


def cure(dataset: Dataset, key: str, how: str, seen: str) -> DatasetVersion:
    """Open a version in which a finding is cured; `seen` is the fingerprint of the rows that the
    report spoke of.

    Raises: UserError `report_outdated` when rows were changed meanwhile, and those of
    editing.leave_out and editing.rewrite.
    """
    latest = newest(dataset)
    if latest.fingerprint != seen:
        raise UserError("report_outdated")
    rows, finding = positions(latest, key, how), finding_of(latest, key) or {}
    done = {"key": key, "how": how, "count": len(rows), "params": finding.get("params", {})}
    if how in terms.REWRITES:
        return editing.rewrite(dataset, seen, rows, done)
    return editing.leave_out(dataset, seen, rows, done)


# --- personal data ------------------------------------------------------------------------------
def personal_rows(found: DataReport) -> int:
    """Return how many rows hold what belongs to one person, each kind counted by itself."""
    keys = {terms.PERSONAL_MARK + kind for kind in terms.SURELY_PERSONAL}
    return sum(one["count"] for one in found.result.get("findings", []) if one["key"] in keys)


def blockers(version: DatasetVersion) -> list[UserError]:
    """Return why training must not start with a version, where the administrator forbids personal
    data (DADEUM_PERSONAL_DATA=block)."""
    if settings.PERSONAL_DATA != BLOCK:
        return []
    found = of(version)
    if found is None or found.is_busy:
        return [UserError("data_being_checked")]
    if found.status == Status.FAILED:
        return [UserError("personal_data_unknown")]
    count = personal_rows(found)
    return [UserError("personal_data", count=count)] if count else []


# --- by a worker --------------------------------------------------------------------------------
def _figures(row: DataReport, events: list[dict]) -> dict:
    told = next((event for event in reversed(events) if event["kind"] == "progress"), None)
    return {name: told[name] for name in ("done_rows", "total_rows")} if told else {}


CHECK = Desk("check", DataReport, busy="checking", lost="check_crashed", figures=_figures)


def check(pk: str) -> None:
    """Make a report (the light lane's work)."""
    row = CHECK.claim(pk)
    if row is None:
        return
    place = folder(row.version)
    order = {
        "minimum": settings.MIN_EXAMPLES,
        "validation_share": recipe.automatic_validation_share(row.version.example_count),
        "beside": [str(other) for other in _beside(row.version)],
    }
    (place / terms.ORDER).write_text(json.dumps(order))
    outcome = supervise(
        "training.datasets.check",
        [str(place)],
        beat=partial(CHECK.beat, row),
        log=place / "log.txt",
        extra={"PYTHONHASHSEED": "0"},
    )
    CHECK.settle(row, outcome, {"result": outcome.results.get("report", {}).get("report", {})})
    if version := DatasetVersion.objects.filter(pk=row.version_id).first():
        of(version)  # once more, if its rows were changed meanwhile


def _beside(version: DatasetVersion) -> list[Path]:
    """Return the folders of the data that was split off from a version's dataset, and of the one
    that it was split off from."""
    split = DatasetVersion.objects.filter(source=DatasetVersion.Source.SPLIT)
    origins = split.filter(dataset=version.dataset).values_list("parent__dataset", flat=True)
    parts = split.filter(parent__dataset=version.dataset).values_list("dataset", flat=True)
    related = Dataset.objects.filter(pk__in=[*origins, *parts])
    latest = [newest(dataset) for dataset in related.exclude(pk=version.dataset_id)]
    return [folder(one) for one in latest if one.status == DatasetVersion.Status.READY]
