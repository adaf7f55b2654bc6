"""The names by which programs know models: a base by its slug, a tuned model by
ft:{base}:{organisation}:{name}:{8 letters}; and those of the files that people take home.

The letters are those of the row's id, so a name from before a renaming still leads to its model.
"""

import re
from typing import Any

from django.core.exceptions import SuspiciousFileOperation
from django.utils.text import get_valid_filename, slugify

from training import bases
from training.bases import Base
from training.errors import UserError
from training.models import Job, TunedModel

ORGANISATION = "dadeum"
MARK = "ft:"
"""How the name of every tuned model begins."""
TUNED = re.compile(rf"ft:(?P<base>.+):{ORGANISATION}:[^:]*:(?P<letters>[a-z2-9]{{8}})")


def of(tuned: TunedModel) -> str:
    name = slugify(tuned.name, allow_unicode=True)
    return f"ft:{tuned.base}:{ORGANISATION}:{name}:{tuned.pk[:8]}"


def find(owner: object, name: str) -> Base | TunedModel:
    """Return the base or the owner's own model of a name.

    Raises: UserError `model_unknown`, or the gate's refusal of a base.
    """
    if name.startswith(MARK):
        return _tuned(owner, name)
    try:
        return bases.find(name)
    except UserError as error:
        if error.code in ("base_missing", "base_not_downloaded"):
            raise UserError("model_unknown", model=name) from None
        raise


def of_file(job: Job) -> str:
    """Return the job's name as far as every file system takes it, else its id."""
    try:
        return get_valid_filename(job.name).lstrip(".") or job.pk
    except SuspiciousFileOperation:
        return job.pk


def _tuned(owner: Any, name: str) -> TunedModel:
    match = TUNED.fullmatch(name)
    found = (
        match
        and TunedModel.objects.filter(
            owner=owner, base=match["base"], pk__startswith=match["letters"]
        ).first()
    )
    if not found:
        raise UserError("model_unknown", model=name)
    return found
