"""The folder of base models: what comes in passes the gate and is renamed into place, what goes is
renamed away first. So whoever reads the catalogue sees whole models only.

settings.MODELS/<name>/           a base model
                .incoming/<id>/   one on its way in (downloads.py, imports.py), or out
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from training import gate, recipe
from training.bases import Base
from training.errors import UserError
from training.models import Job, TunedModel, new_id

INCOMING = ".incoming"
ABANDONED_SECONDS = 24 * 3600
BEFORE_REMOVING: list[Callable[[Base], None]] = []
"""Called before a base's files go (the playground unloads it)."""


def incoming(identity: str) -> Path:
    """Return the folder of something on its way; `identity` is an id that we made."""
    return settings.MODELS / INCOMING / identity


def make_incoming(identity: str) -> Path:
    """Raises: UserError `disk_trouble` where the folder of models can't be written."""
    folder = incoming(identity)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("disk_trouble", reason=error.strerror or str(error)) from None
    return folder


def free_bytes() -> int:
    """Return how much room there is for models."""
    settings.MODELS.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(settings.MODELS).free


def place(folder: Path) -> None:
    """Let a folder in under the name that it has.

    Raises: UserError of the gate, or `base_here_already`.
    """
    gate.check(folder)
    refuse_here(folder.name)
    folder.rename(settings.MODELS / folder.name)


def refuse_here(name: str) -> None:
    """Raises: UserError `base_here_already`."""
    if (settings.MODELS / name).exists():
        raise UserError("base_here_already", name=name)


def clear(identity: str) -> None:
    shutil.rmtree(incoming(identity), ignore_errors=True)


def users(base: Base) -> tuple[int, int]:
    """Return how many jobs that are not over, and how many LoRA models, can't do without a base.

    Whoever they belong to: the base is everybody's.
    """
    live = (Job.Status.VALIDATING, Job.Status.QUEUED, Job.Status.RUNNING, Job.Status.PAUSED)
    jobs = Job.objects.filter(base=base.slug, status__in=live).count()
    tuned = TunedModel.objects.filter(base=base.slug, method=recipe.LORA).count()
    return jobs, tuned


def refuse_needed(base: Base) -> None:
    """Raises: UserError `base_is_builtin` or `base_in_use` for a base that must stay."""
    if base.is_builtin:
        raise UserError("base_is_builtin", name=base.name)
    jobs, tuned = users(base)
    if jobs or tuned:
        raise UserError("base_in_use", name=base.name, jobs=jobs, tuned=tuned)


def remove(base: Base) -> None:
    """Remove a base and its files.

    Raises: UserError `base_is_builtin` or `base_in_use`.
    """
    refuse_needed(base)
    for hook in BEFORE_REMOVING:
        hook(base)
    identity = new_id()
    make_incoming(identity)
    base.folder.rename(incoming(identity) / base.slug)
    clear(identity)


def sweep(known: set[str]) -> None:
    """Remove what came in half and was left for a day; `known` ids may still go on."""
    for folder in (settings.MODELS / INCOMING).glob("*"):
        newest = max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0)
        if folder.name not in known and time.time() - newest > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
