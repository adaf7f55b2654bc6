"""맛보기 학습: a few rows of a draft's data through the whole of a training, in a minute.

A draft goes in, a job of its own comes out, with its base, method and settings but for how long it
trains. The draft stays as it is; what comes out shows that all parts work, not what would be learnt.
"""

from dataclasses import replace

from django.utils.translation import gettext as _

from training import drafts, jobs, recipe
from training.datasets.lengths import Kept
from training.models import Job

KNOBS = {"epochs": 1, "batch_size": 4, "warmup_ratio": 0.0, "validation_share": 0.1, "patience": 0}
SAME = ("work", "method", "base", "overflow", "version", "foundation", "probes")
"""Fields that it takes over from the draft."""


def start(draft: Job) -> Job:
    """Start a taste of a draft.

    Raises: UserError as jobs.start.
    """
    name = _("{name} 맛보기")
    job = Job.objects.create(
        owner=draft.owner, is_taste=True, knobs=draft.knobs | KNOBS,
        name=name.format(name=draft.name[: 64 - len(name)]),
        **{field: getattr(draft, field) for field in SAME},
    )  # fmt: skip
    try:
        jobs.start(job)
    except BaseException:
        jobs.delete(job)
        raise
    return job


def numbers(draft: Job) -> dict:
    return drafts.resolved(draft) | KNOBS


def some(kept: Kept) -> Kept:
    """Return what a taste takes of a draft's data, as it is on the average."""
    share = min(1.0, recipe.TASTE_ROWS / max(1, kept.used))
    fewer = {key: round(getattr(kept, key) * share) for key in ("tokens", "squares", "labels")}
    return replace(
        kept, examples=recipe.TASTE_ROWS, used=min(recipe.TASTE_ROWS, kept.used), **fewer
    )
