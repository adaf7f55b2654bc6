"""What programs send and get, in OpenAI's words: rows go in, JSON objects come out.

The schemas are what /v1/openapi.json tells. Knows no request; bounds of numbers are recipe's.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from django.utils import timezone
from ninja import Schema
from pydantic import AfterValidator, ConfigDict, Field, StrictFloat, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from training import bases, clinic_words, naming, recipe, report_words, schedule, wording
from training.bases import Base
from training.datasets import store, versions
from training.models import DataReport, DatasetVersion, Job, TunedModel
from training.schedule import Slot

JOB_MARK, FILE_MARK = "ftjob-", "file-"
Auto = Literal["auto"]
Number = StrictInt | StrictFloat | Auto


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise PydanticCustomError("string_unprintable", "not printable")
    return text.strip()


# --- what is sent -----------------------------------------------------------------------------
class Hyperparameters(Schema):
    """The guide's three; 0 and "auto" leave the choice to us."""

    model_config = ConfigDict(extra="forbid")
    epochs: Number = 0
    batch_size: Number = 0
    lr: Number = 0

    def knobs(self) -> dict:
        """Return those that were chosen, by recipe's names."""
        sent = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.lr}
        return {key: number for key, number in sent.items() if number != 0}


class FineTune(Schema):
    model_config = ConfigDict(extra="forbid")
    base_model: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    suffix: Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_printable)]
    """Becomes the model's name."""
    training_file: Annotated[StrictStr, Field(min_length=1, max_length=2000)]
    """URL of a JSONL, CSV or TSV file."""
    train_method: Literal["lora", "peft", "full"] = "lora"
    hyperparams: Hyperparameters = Hyperparameters()
    overflow: Literal["cut", "drop", "fail"] = "cut"
    """What happens to examples that are longer than the limit."""
    start_at: Annotated[StrictInt, Field(ge=0, le=10_000_000_000)] = 0
    """When it may begin at the earliest, in seconds since 1970; a time that is past means now."""

    @property
    def not_before(self) -> datetime:
        return datetime.fromtimestamp(self.start_at, UTC)

    @property
    def method(self) -> str:
        return recipe.FULL if self.train_method == "full" else recipe.LORA


# --- what is answered -------------------------------------------------------------------------
class Problem(Schema):
    code: str
    message: str
    param: str | None


class Resolved(Schema):
    n_epochs: int | Auto
    batch_size: int | Auto
    learning_rate_multiplier: float | Auto
    learning_rate: float | Auto


class Supervised(Schema):
    hyperparameters: Resolved


class Method(Schema):
    type: Literal["supervised"] = "supervised"
    supervised: Supervised


class FineTuningJob(Schema):
    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: str
    hyperparameters: Resolved
    method: Method
    train_method: str
    overflow: str
    suffix: str
    training_file: str
    validation_file: str | None = None
    result_files: list[str] = []
    trained_tokens: int | None
    error: Problem | None
    seed: int
    estimated_finish: int | None
    start_at: int | None
    integrations: list[dict] = []
    metadata: dict[str, str] | None = None


class Model(Schema):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class Jobs(Schema):
    object: Literal["list"] = "list"
    data: list[FineTuningJob]
    has_more: bool
    first_id: str | None
    last_id: str | None


class Models(Schema):
    object: Literal["list"] = "list"
    data: list[Model]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class Deleted(Schema):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True


class Cure(Schema):
    name: str
    label: str
    examples: int
    """How many examples it takes out or writes anew."""


class Finding(Schema):
    """One thing that the data report found."""

    name: str
    level: Literal["bad", "warn", "info"]
    message: str
    reason: str
    count: int
    examples: list[int]
    """Numbers of the first ones, from 1."""
    cures: list[Cure]


class Report(Schema):
    id: str
    object: Literal["file.report"] = "file.report"
    status: Literal["in_progress", "ready", "error"]
    error: Problem | None
    findings: list[Finding]
    statistics: dict


def page(found: list[dict], has_more: bool = False) -> dict:
    """Return a list as OpenAI's clients page through it."""
    first, last = (found[0]["id"], found[-1]["id"]) if found else (None, None)
    return {"data": found, "has_more": has_more, "first_id": first, "last_id": last}


def model(found: Base | TunedModel) -> dict:
    if isinstance(found, TunedModel):
        created = int(found.created_at.timestamp())
        return {"id": naming.of(found), "created": created, "owned_by": found.owner.username}
    created = int((found.folder / "config.json").stat().st_mtime)
    return {"id": found.slug, "created": created, "owned_by": naming.ORGANISATION}


def jobs(rows: list[Job]) -> list[dict]:
    """Return started jobs as fine_tuning.jobs."""
    slots = schedule.slots() if any(row.status == Job.Status.QUEUED for row in rows) else {}
    return [job(row, slots) for row in rows]


def job(row: Job, slots: dict[str, Slot] | None = None) -> dict:
    """Return a started job as a fine_tuning.job; whoever has many brings the line's slots, and is not
    told what would help each one that failed: that takes several queries a job."""
    tuned = getattr(row, "tuned", None)
    numbers = hyperparameters(row)
    return {
        "id": JOB_MARK + row.pk,
        "created_at": _unix(row.created_at),
        "finished_at": _unix(row.finished_at),
        "model": row.base,
        "fine_tuned_model": naming.of(tuned) if tuned else None,
        "organization_id": naming.ORGANISATION,
        "status": row.status,
        "hyperparameters": numbers,
        "method": {"supervised": {"hyperparameters": numbers}},
        "train_method": row.method,
        "overflow": row.overflow,
        "suffix": row.name,
        "training_file": f"{FILE_MARK}{row.version_id}",
        "trained_tokens": row.progress.get("trained_tokens") if row.is_final else None,
        "error": problem(row, tells_cure=slots is None),
        "seed": (row.resolved | row.knobs).get("seed", recipe.SEED),
        "estimated_finish": estimated_finish(row, slots),
        "start_at": _unix(row.not_before),
    }


def hyperparameters(row: Job) -> dict:
    """Return the three main numbers: those of the run, or what was chosen, or "auto"."""
    numbers = row.knobs | row.resolved
    rate = numbers.get("learning_rate", recipe.AUTO)
    usual = recipe.automatic_learning_rate(row.method, bases.known(row.base).parameters)
    return {
        "n_epochs": numbers.get("epochs", recipe.AUTO),
        "batch_size": numbers.get("batch_size", recipe.AUTO),
        "learning_rate": rate,
        "learning_rate_multiplier": rate if rate == recipe.AUTO else round(rate / usual, 6),
    }


def report(version: DatasetVersion, made: DataReport | None) -> dict:
    """Return the data report on a version, as far as it is made."""
    is_ready = made is not None and made.status == DataReport.Status.READY
    error = version.error or (made.error if made else None)
    found = made.result if made and is_ready else {"findings": [], "statistics": {}}
    return {
        "id": FILE_MARK + version.pk,
        "status": "error" if error else "ready" if is_ready else "in_progress",
        "error": _problem(error, None) if error else None,
        "findings": [_finding(version, one) for one in found["findings"]],
        "statistics": found["statistics"],
    }


def _finding(version: DatasetVersion, finding: dict) -> dict:
    words = report_words.say(finding)
    view = store.view(versions.folder(version))
    shown = [view.number(position) + 1 for group in finding["shown"] for position in group]
    return {
        "name": finding["key"],
        "level": finding["level"],
        "message": words.what,
        "reason": words.why,
        "count": finding["count"],
        "examples": shown,
        "cures": [
            {"name": how, "label": words.cures[how], "examples": count}
            for how, count in finding["cures"].items()
        ],
    }


def problem(row: Job, tells_cure: bool = True) -> dict | None:
    """Say why a job failed and what would help; what kept it from the line lay in what it was given."""
    if not row.error:
        return None
    field = None
    if not row.queued_at:
        is_base = row.error["code"].startswith(("base_", "gate_"))
        field = "base_model" if is_base else "training_file"
    found = _problem(row.error, field)
    if tells_cure:
        found["message"] = f"{found['message']} {clinic_words.promise(row)}".strip()
    return found


def _problem(error: dict, field: str | None) -> dict:
    words = wording.say(error["code"], error.get("params"))
    return {"code": error["code"], "message": f"{words.what} {words.cure}", "param": field}


def estimated_finish(row: Job, slots: dict[str, Slot] | None = None) -> int | None:
    if row.status == Job.Status.QUEUED:
        slots = schedule.slots() if slots is None else slots
        return _unix(slots[row.pk].end) if row.pk in slots else None
    left = row.progress.get("seconds_left")
    if row.status != Job.Status.RUNNING or left is None:
        return None
    return _unix(timezone.now() + timedelta(seconds=left))


def _unix(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None
