"""The failure clinic: a failed job goes in; what ails it and the cures that promise something come out,
the best first. A chosen cure becomes a new job. Knows neither words (clinic_words.py) nor pages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction

from training import bases, drafts, fit, forecast, jobs, memory, recipe
from training.bases import Base
from training.datasets import editing, lengths, versions
from training.datasets.lengths import Kept
from training.errors import UserError
from training.models import DatasetVersion, Job, TokenCount, TunedModel

ROWS, SHORTER, LORA, RANK, SLOWER, FULL = "rows", "shorter", "lora", "rank", "slower", "full"
LONGER, DROP, CUT, BASE, DATA, FETCH = "longer", "drop", "cut", "base", "data", "fetch"
SAME = "same"
TO_MODEL, TO_DATA = "model", "data"
"""Steps of the wizard in which something is left to decide."""

ENDED = frozenset({"trainer_killed", "worker_lost", "trainer_crashed"})
"""Ended from outside or by a fault, for a reason that nobody saw."""
OF_BASES = ("base_", "gate_", "template_", "tokenizer_", "adapter_", "model_unreadable")
"""Beginnings of codes about a base model that can't be used."""
OF_LENGTH = frozenset(
    {"no_example_left", "example_too_long", "examples_too_long", "too_few_after_cutting"}
    | {"too_few_after_dropping"}
)
OF_DATA = ("too_few_", "personal_data", "data_")
OF_DISK = frozenset({"disk_full", "disk_trouble", "disk_too_small", "result_incomplete"})
OF_NETWORK = ("url_",)

COMPARED = ("method", "base", "overflow", "version")
"""Fields of a draft that a try may differ in, beside its numbers."""
SLOWER_TIMES, LEAST_RATE = 5, 1e-6
MORE_WARMUP, MOST_WARMUP = 0.2, 0.5
ROW_STEP, LEAST_LENGTH, LEAST_RANK = 64, 64, 4


@dataclass(frozen=True)
class Cure:
    key: str
    fields: dict = field(default_factory=dict)
    """What it changes of the draft."""
    facts: dict = field(default_factory=dict)
    """Numbers for its words."""
    opens: str = ""
    """The wizard's step in which something is left to decide; empty where the new job starts."""


@dataclass(frozen=True)
class Space:
    """What there is of the disk, and what would be needed."""

    needed_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Diagnosis:
    error: UserError
    cures: list[Cure]
    """In the order of their promise: the first is the one to take."""

    @property
    def best(self) -> Cure:
        return self.cures[0]

    @property
    def is_of_disk(self) -> bool:
        return self.error.code in OF_DISK

    @property
    def is_unexplained(self) -> bool:
        return self.best.key == SAME and not self.is_of_disk


@dataclass(frozen=True)
class Treatment:
    """What a cure led to."""

    job: Job
    """The new job: in line, or a draft where something is left to decide or in the way."""
    cure: Cure
    blocker: UserError | None = None
    """Why it could not start, where it should have."""


def diagnose(job: Job) -> Diagnosis:
    error = UserError.of(job.error)
    return Diagnosis(error, [*_cures(job, error), Cure(SAME)])


def _cures(job: Job, error: UserError) -> list[Cure]:
    code = error.code
    if code == "out_of_memory" or (code in ENDED and _was_near_limit(job)):
        return less_memory(job)
    if code == "loss_not_a_number":
        return [*_slower(job), Cure(BASE, opens=TO_MODEL)]
    if code in OF_LENGTH:
        return [*_lengths(job, error), Cure(DATA, opens=TO_DATA)]
    if code == "lora_no_layers":
        return [Cure(FULL, _method(job, recipe.FULL)), Cure(BASE, opens=TO_MODEL)]
    if code == "too_few_within_the_base":
        return [Cure(BASE, opens=TO_MODEL), Cure(DATA, opens=TO_DATA)]
    if code.startswith(OF_BASES) or code == "loss_never_a_number":
        return [Cure(BASE, opens=TO_MODEL)]
    return _of_data(job, code)


def _of_data(job: Job, code: str) -> list[Cure]:
    """Return what helps where the data could not be had, or not be read, or is not enough."""
    version = _data(job)
    is_unread = version.status == DatasetVersion.Status.FAILED
    if is_unread and version.url and code.startswith(OF_NETWORK):
        return [Cure(FETCH), Cure(DATA, opens=TO_DATA)]
    return [Cure(DATA, opens=TO_DATA)] if is_unread or code.startswith(OF_DATA) else []


# --- what a failed job was like -----------------------------------------------------------------
def numbers(job: Job) -> dict:
    """Return the numbers of its run, or those that it would have run with."""
    frozen = job.resolved if "max_length" in job.resolved else drafts.resolved(job)
    return {"row_tokens": recipe.ROW_TOKENS} | frozen


def _data(job: Job) -> DatasetVersion:
    assert job.version is not None  # the database holds that a started job has data
    return job.version


def _base(job: Job) -> Base | None:
    try:
        return bases.find(job.base)
    except UserError:
        return None


def _lengths_of(job: Job) -> dict | None:
    """Return the lengths of its examples, as far as they were counted."""
    ready = TokenCount.objects.filter(
        version=job.version, base=job.base, is_sample=False, status=TokenCount.Status.READY
    ).first()
    return ready.result if ready else None


def _kept(job: Job, counted: dict, limit: int) -> Kept:
    return lengths.kept(counted, limit, drops=job.overflow == recipe.DROP)


def _was_near_limit(job: Job) -> bool:
    """Say whether the last that a trainer told of its memory was nearly all that there is."""
    told = job.events.filter(kind="metrics").last()
    return told is not None and memory.is_near_limit(told.data.get("memory_bytes") or 0)


# --- memory -------------------------------------------------------------------------------------
def less_memory(job: Job) -> list[Cure]:
    """Return what takes less memory in a job or draft; what this machine should carry then comes
    first."""
    found, base, counted = list(_lighter(job)), _base(job), _lengths_of(job)
    if base is None or counted is None:
        return found
    return sorted(found, key=lambda cure: not _is_carried(job, cure, base, counted))


def _lighter(job: Job) -> Iterator[Cure]:
    start = job.events.filter(kind="start").last()
    now, counted = numbers(job), _lengths_of(job)
    if start is None or start.data.get("path") in ("fast", "packed"):
        yield from _smaller_rows(job, now, counted)
    yield from _shorter(job, now, counted)
    if job.foundation_id:  # method and rank are those of the model that it trains further
        return
    if job.method == recipe.FULL:
        yield Cure(LORA, _method(job, recipe.LORA))
    elif now["lora_rank"] > LEAST_RANK:
        rank = max(LEAST_RANK, now["lora_rank"] // 2)
        yield Cure(RANK, _knobs(job, lora_rank=rank), {"old": now["lora_rank"], "new": rank})


def _smaller_rows(job: Job, now: dict, counted: dict | None) -> Iterator[Cure]:
    """Halve the rows that were computed at once, unless one example alone was the longest of them."""
    at_once, longest = now["row_tokens"], now["max_length"]
    row = float(at_once)
    if counted:
        kept = _kept(job, counted, now["max_length"])
        row, longest = forecast.row_tokens(now, kept), kept.longest_used
    fewer = max(int(recipe.BY_KEY["row_tokens"].low), int(row) // 2 // ROW_STEP * ROW_STEP)
    if fewer < row and longest < row:
        yield Cure(ROWS, _knobs(job, row_tokens=fewer), {"old": at_once, "new": fewer})


def _shorter(job: Job, now: dict, counted: dict | None) -> Iterator[Cure]:
    """Cut the longest examples: where 95 of 100 are shorter than that, or else at half."""
    longest = now["max_length"]
    if counted:
        longest = _kept(job, counted, longest).longest_used
    usual = counted["usual"] if counted else longest
    limit = usual if usual < longest else longest // 2
    if limit < LEAST_LENGTH:
        return
    facts = {"old": now["max_length"], "new": limit}
    if counted:
        kept = _kept(job, counted, limit)
        if kept.used < settings.MIN_EXAMPLES:
            return
        facts["over"] = kept.over
    yield Cure(SHORTER, _knobs(job, max_length=limit), facts)


def _is_carried(job: Job, cure: Cure, base: Base, counted: dict) -> bool:
    """Say whether this machine should carry the training as a cure would have it."""
    method = cure.fields.get("method", job.method)
    now = {"lora_rank": forecast.USUAL_RANK} | numbers(job) | cure.fields["knobs"]
    row = forecast.row_tokens(now, _kept(job, counted, now["max_length"]))
    return fit.carries(forecast.memory_bytes(base, method, row, forecast.rank_of(now)))


def _knobs(job: Job, **changed: float) -> dict:
    return {"knobs": job.knobs | changed}


def _method(job: Job, method: str) -> dict:
    """Return the fields for another method; a learning rate that was chosen was chosen for the old."""
    known = {knob.key for knob in recipe.knobs_of(method)} - {"learning_rate"}
    kept = {key: value for key, value in job.knobs.items() if key in known}
    return {"method": method, "knobs": kept}


# --- numbers that ran away ----------------------------------------------------------------------
def _slower(job: Job) -> Iterator[Cure]:
    """Lower the learning rate, to the usual one where it was far above, and lengthen the warm-up."""
    now = numbers(job)
    rate, warmup = now["learning_rate"], now["warmup_ratio"]
    usual = recipe.automatic_learning_rate(job.method, bases.known(job.base).parameters)
    slower = max(LEAST_RATE, min(rate / SLOWER_TIMES, usual))
    slower = float(f"{slower:.2g}")
    longer = min(MOST_WARMUP, max(MORE_WARMUP, 2 * warmup))
    if slower < rate:
        facts = {"old": rate, "new": slower, "old_warmup": warmup, "new_warmup": longer}
        yield Cure(SLOWER, _knobs(job, learning_rate=slower, warmup_ratio=longer), facts)


# --- examples that are too long -----------------------------------------------------------------
def _lengths(job: Job, error: UserError) -> Iterator[Cure]:
    base, counted, limit = _base(job), _lengths_of(job), numbers(job)["max_length"]
    longest = counted["longest"] if counted else error.params.get("longest", 0)
    most = min(base.context_length, int(recipe.BY_KEY["max_length"].high)) if base else limit
    reach = min(int(str(longest)), most)
    if reach > limit:
        raised = _knobs(job, max_length=reach)
        yield Cure(LONGER, raised, {"old": limit, "new": reach}, opens=TO_DATA)
    if job.overflow == recipe.FAIL:
        yield Cure(DROP, {"overflow": recipe.DROP}, opens=TO_DATA)
    if job.overflow != recipe.CUT:
        yield Cure(CUT, {"overflow": recipe.CUT}, opens=TO_DATA)


# --- the disk -----------------------------------------------------------------------------------
def space(job: Job) -> Space | None:
    """Return what a run of the job needs of the disk, and what is free; None without its base."""
    base = _base(job)
    if base is None:
        return None
    return Space(
        forecast.disk(base, job.method, numbers(job)).most_bytes, forecast.free_bytes()
    )  # fmt: skip


def largest(owner, count: int = 3) -> list[TunedModel | DatasetVersion]:
    """Return what of a person's takes most of the disk, the largest first."""
    models = TunedModel.objects.filter(owner=owner).order_by("-size_bytes")[:count]
    data = DatasetVersion.objects.filter(dataset__owner=owner).select_related("dataset")
    both: list[TunedModel | DatasetVersion] = [*models, *data.order_by("-size_bytes")[:count]]
    both.sort(key=lambda row: row.size_bytes, reverse=True)
    return [row for row in both if row.size_bytes][:count]


# --- what is done about it ----------------------------------------------------------------------
def cure(job: Job, key: str) -> Treatment:
    """Make the new job that a cure comes to, and start it where nothing is left to decide.

    A cure that is pressed again while its job waits or runs leads to that job.

    Raises: UserError `cure_gone` where the job has no such cure, and those of a fetching.
    """
    is_failed = job.status == Job.Status.FAILED
    chosen = next((one for one in diagnose(job).cures if is_failed and one.key == key), None)
    if chosen is None:
        raise UserError("cure_gone")
    draft = _try(job, chosen)
    if chosen.opens or draft.status != Job.Status.DRAFT:
        return Treatment(draft, chosen)
    try:
        if draft.version:
            versions.count_again(draft.version)  # what was in the way may be mended
        jobs.start_when_read(draft)
    except UserError as error:
        return Treatment(draft, chosen, error)
    return Treatment(draft, chosen)


def _try(job: Job, chosen: Cure) -> Job:
    """Return the try that a cure comes to: the one that is under way, or a new draft."""
    fields = dict(chosen.fields)
    with transaction.atomic():  # two presses at once make one
        Job.objects.select_for_update().filter(pk=job.pk).first()
        if under_way := _tried(job, fields, is_fresh=chosen.key == FETCH):
            return under_way
        draft = drafts.retry(job)
        if chosen.key == FETCH:
            fields["version"] = editing.refresh(_data(job).dataset)
        if fields:
            drafts.edit(draft, **fields)
    return draft


def _tried(job: Job, fields: dict, is_fresh: bool) -> Job | None:
    """Return the other try of a job that these changes came to, unless it has ended; one with data
    of its own where that `is_fresh`."""
    for other in tries(job).exclude(status__in=Job.FINAL).select_related("version"):
        same = {name: getattr(job, name) for name in ("method", "knobs", "overflow", "base")}
        has_same_data = (other.version_id != job.version_id) == is_fresh
        if has_same_data and all(getattr(other, k) == v for k, v in (same | fields).items()):
            return other
    return None


# --- tries and what was changed for them --------------------------------------------------------
def tries(job: Job):
    """Return the other tries of a job, the newest first: not what trains its model further."""
    return Job.objects.filter(parent=job, foundation=job.foundation_id).order_by("-created_at")


def tried_before(job: Job) -> Job | None:
    """Return the job that this one is another try of."""
    parent = job.parent
    is_try = parent is not None and parent.foundation_id == job.foundation_id
    return parent if is_try else None


@dataclass(frozen=True)
class Change:
    key: str
    """A knob, or a field of the draft."""
    old: object
    new: object


def changes(old: Job, new: Job) -> list[Change]:
    """Return in what a try differs from the job before it."""
    fields = [Change(key, getattr(old, key), getattr(new, key)) for key in COMPARED]
    before, after = numbers(old), numbers(new)
    knobs = [Change(key, before[key], after[key]) for key in before.keys() & after.keys()]
    knobs.sort(key=lambda change: list(recipe.BY_KEY).index(change.key))
    return [change for change in fields + knobs if change.old != change.new]
