"""Drafts: what a user has chosen so far, the numbers that it comes to, and what keeps it from starting.

A draft is a Job row that no worker sees; jobs.py starts it. Knows no browser.
"""

import hashlib
import json
from typing import Any

from django.conf import settings
from django.db import IntegrityError

from training import bases, disk, forecast, line, recipe, registry, works
from training.bases import Base
from training.datasets import lengths, reports, versions
from training.datasets.lengths import Kept
from training.errors import UserError
from training.models import DatasetVersion, Job, TokenCount, TunedModel

Status = Job.Status
DRAFT_FIELDS = {
    "name", "work", "method", "base", "knobs", "overflow", "version", "foundation", "probes",
    "not_before", "is_taste",
}  # fmt: skip
LINKS = {"version", "foundation"}
"""Those that are rows of other tables."""


def create_draft(owner, parent: Job | None = None) -> Job:
    base = next((base.slug for base in bases.catalogue() if not base.problem), "")
    return Job.objects.create(owner=owner, base=base, parent=parent)


def open_draft(owner) -> Job:
    """Return the owner's draft in which nothing was written yet, or a new one."""
    return _untouched(owner) or create_draft(owner)


def _untouched(owner) -> Job | None:
    """Return the owner's draft in which nothing was written yet."""
    nothing: dict[str, Any] = {
        "name": "",
        "version": None,
        "knobs": {},
        "method": recipe.LORA,
        "work": "",
        "probes": [],
        "not_before": None,
    }
    drafts = Job.objects.filter(owner=owner, status=Status.DRAFT, parent=None, **nothing)
    return drafts.filter(overflow=recipe.CUT).first()


def edit(job: Job, **fields) -> None:
    """Change a draft's fields.

    Raises: UserError `job_not_draft` when it was started meanwhile (in another tab, say),
    `data_gone`.
    """
    unknown = fields.keys() - DRAFT_FIELDS
    if unknown:
        raise TypeError(f"not a draft's field: {unknown}")
    try:
        moved = Job.objects.filter(pk=job.pk, status=Status.DRAFT).update(**fields)
    except IntegrityError:
        raise UserError("data_gone") from None
    if not moved:
        raise UserError("job_not_draft", name=job.name)
    for name, value in fields.items():
        setattr(job, name, value)


def retry(job: Job) -> Job:
    """Return a new draft with the same settings and data.

    Raises: UserError `foundation_deleted` where it would begin at another model than the job did.
    """
    if registry.has_lost_foundation(job):
        raise UserError("foundation_deleted")
    draft = create_draft(job.owner, parent=job)
    edit(draft, **{field: getattr(job, field) for field in DRAFT_FIELDS - {"not_before"}})
    return draft


def further(tuned: TunedModel) -> Job:
    """Return a new draft that trains a tuned model further; its data is still to be chosen."""
    draft = create_draft(tuned.owner, parent=tuned.job)
    edit(
        draft,
        name=tuned.name, method=tuned.method, base=tuned.base, work=tuned.job.work, foundation=tuned,
    )  # fmt: skip
    return draft


def method_on(foundation: TunedModel, asked: str | None) -> str:
    """Return the method by which a tuned model is trained further: its own.

    Raises: UserError `foundation_misfit` where another one is asked for.
    """
    if asked not in (None, foundation.method):
        raise UserError("foundation_misfit", name=foundation.name)
    return foundation.method


def fingerprint(job: Job) -> str:
    """Return a short mark of the settings a draft would start with; it changes with each of them.
    When it is to start is said with the start itself."""
    said = {field: getattr(job, field) for field in DRAFT_FIELDS - LINKS - {"not_before"}}
    said["foundation"] = job.foundation_id
    said["version"] = [job.version_id, job.version.fingerprint if job.version else ""]
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolved(job: Job, without: str = "", base: Base | None = None) -> dict:
    """Return the numbers that the draft would run with, as far as they are known; those that it
    would run with if the knob `without` were left to us, or with another base."""
    base = base or bases.known(job.base)
    examples = job.version.example_count if job.version else settings.MIN_EXAMPLES
    knobs = {key: value for key, value in job.knobs.items() if key != without}
    knobs |= _of_foundation(job)
    return recipe.resolve(
        job.method, knobs, examples=examples, context_length=base.context_length,
        parameters=base.parameters, more_epochs=works.more_epochs(job.work),
    )  # fmt: skip


def _of_foundation(job: Job) -> dict:
    """Return the numbers that are those of the model that a job trains further: its LoRA's shape."""
    if job.foundation is None:
        return {}
    numbers = job.foundation.job.resolved
    return {key: numbers[key] for key in recipe.SHAPE if key in numbers}


def token_count(job: Job) -> TokenCount | None:
    """Return (and if need be order) the count of the draft's data in its base's own tokens."""
    if not job.version or job.version.status != DatasetVersion.Status.READY:
        return None
    return versions.token_count(job.version, job.base)


def kept(job: Job, count: TokenCount | None = None, limit: int | None = None) -> Kept | None:
    """Return what the draft's limit on length, or another, leaves of its data, once counted."""
    count = count or token_count(job)
    if count is None or count.status != TokenCount.Status.READY:
        return None
    limit = limit or resolved(job)["max_length"]
    return lengths.kept(count.result, limit, drops=job.overflow == recipe.DROP)


def usable_examples(job: Job) -> int:
    """Return how many examples are left when the limit on their length has had its say."""
    found = kept(job)
    used = found.used if found else job.version.example_count if job.version else 0
    return min(used, recipe.TASTE_ROWS) if job.is_taste else used


def blockers(job: Job) -> list[UserError]:
    """Return why the draft can't start yet; nothing when it can."""
    found = settings_blockers(job)
    if any(error.code != "job_without_name" for error in found):  # data is measured by a base
        return found
    return found + _data_blockers(job) + disk_blockers(job) + _line_blockers(job)


def settings_blockers(job: Job) -> list[UserError]:
    """Return what is missing of a draft's name and base."""
    found = [] if job.name.strip() else [UserError("job_without_name")]
    try:
        bases.find(job.base)
    except UserError as error:
        found.append(error)
    if job.foundation and (job.base, job.method) != (job.foundation.base, job.foundation.method):
        found.append(UserError("foundation_misfit", name=job.foundation.name))
    return found


def disk_blockers(job: Job) -> list[UserError]:
    """Return that a run with the draft's base and settings would fill the disk, together with what
    the other live runs will still write, if so."""
    needed = forecast.disk(bases.find(job.base), job.method, resolved(job)).most_bytes
    free = forecast.free_bytes()
    promised = disk.promised_bytes(besides=job)
    if needed + promised <= free:
        return []
    megabytes = {"needed_mb": -(-needed // 2**20), "free_mb": free // 2**20}
    if needed > free:
        return [UserError("disk_too_small", **megabytes)]
    return [UserError("disk_promised", promised_mb=-(-promised // 2**20), **megabytes)]


def _line_blockers(job: Job) -> list[UserError]:
    """Return that the owner has too many jobs in line to start the draft, if so."""
    found = line.limit_blocker(job.owner_id) if job.status == Status.DRAFT else None
    return [found] if found else []


def _data_blockers(job: Job) -> list[UserError]:
    version = job.version
    if version is None:
        return [UserError("job_without_data")]
    if version.is_busy:
        return [UserError("data_being_read")]
    if version.status == DatasetVersion.Status.FAILED:
        return [UserError.of(version.error)]
    if version.example_count < settings.MIN_EXAMPLES:
        return [too_few(version)]
    if personal := reports.blockers(version):
        return personal
    count = token_count(job)
    if count is None or count.status in (TokenCount.Status.WAITING, TokenCount.Status.COUNTING):
        return [UserError("tokens_being_counted")]
    if count.status == TokenCount.Status.FAILED:
        return [UserError.of(count.error)]
    limit = resolved(job)["max_length"]
    found = kept(job, count, limit)
    return _length_blockers(job, found, limit) if found else []


def _length_blockers(job: Job, found: Kept, limit: int) -> list[UserError]:
    """Return what the limit on an example's length leaves too little of, or finds too long."""
    longest = found.longest
    if job.overflow == recipe.FAIL and found.over:
        return [UserError("examples_too_long", count=found.over, longest=longest, limit=limit)]
    if found.used >= settings.MIN_EXAMPLES:
        return []
    context = bases.find(job.base).context_length
    code = "too_few_after_cutting" if limit < context else "too_few_within_the_base"
    return [
        UserError(
            "too_few_after_dropping" if job.overflow == recipe.DROP else code,
            count=found.used, minimum=settings.MIN_EXAMPLES, examples=found.examples,
            lost=found.examples - found.used, limit=limit, longest=longest, context=context,
        )
    ]  # fmt: skip


def too_few(version: DatasetVersion) -> UserError:
    """Say that a version has too few examples, and whether lines of it could be mended."""
    code = "too_few_with_problems" if version.problem_count else "too_few_examples"
    return UserError(code, count=version.example_count, minimum=settings.MIN_EXAMPLES)
