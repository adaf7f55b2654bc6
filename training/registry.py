"""Run folder ↔ row: where a run's files lie, how one is laid out, what of it becomes a model.

data/runs/<job>/run.json            what the trainer reads: settings and paths
                examples/           hard links to the data version's segments
                foundation/         hard links to the tuned model that is trained further
                attempt-<n>/        checkpoints, result/, log.txt of one attempt
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from training import bases, gate, recipe
from training.datasets import store, versions
from training.errors import UserError
from training.models import Job, TunedModel

BEFORE_FORGETTING: list[Callable[[TunedModel], None]] = []
"""Called before a tuned model's files go (the playground unloads it)."""


def run_folder(job: Job) -> Path:
    return settings.DATA / "runs" / job.pk


def attempt_folder(job: Job) -> Path:
    return run_folder(job) / f"attempt-{job.attempt}"


def folder(tuned: TunedModel) -> Path:
    """Return the tuned model's standard PEFT or transformers folder."""
    return attempt_folder(tuned.job) / "result"


def prepare(job: Job) -> Path:
    """Lay out the run folder for the job's present attempt and return it.

    Raises: UserError when the base is gone or refused.
    """
    base = bases.find(job.base)
    assert job.version is not None  # the database holds that a started job has data
    run = run_folder(job)
    examples = run / "examples"
    source = versions.folder(job.version)
    if not examples.is_dir():
        fresh = run / ".examples.part"
        remove_folder(fresh)
        store.branch(source, fresh)  # links to the segments, copies of the edits
        fresh.rename(examples)
    attempt_folder(job).mkdir(exist_ok=True)
    lay_foundation(job)
    if job.finish_requested:
        ask_to_finish(job)
    order = order_of(job) | {
        "base": str(base.folder),
        "base_name": base.name,
        "method": job.method,
        "probes": job.probes,
        "checkpoint_seconds": settings.CHECKPOINT_SECONDS,
        "data_fingerprint": job.version.fingerprint,
    }
    part = run / ".run.json.part"
    part.write_text(json.dumps(order, indent=1))
    part.rename(run / "run.json")
    return run


def order_of(job: Job) -> dict:
    """Return what decides which examples a job trains and which it holds back."""
    assert job.version is not None  # the database holds that a started job has data
    count = job.version.example_count
    if job.is_taste:
        count = min(count, recipe.TASTE_ROWS)
    return {
        "settings": job.resolved,
        "validation_examples": recipe.validation_count(
            count, job.resolved.get("validation_share", 0)
        ),
        "most_examples": count if job.is_taste else 0,
        "overflow": job.overflow,
    }


def tokenizer_of(tuned: TunedModel) -> Path:
    """Return the folder whose tokenizer a training read its examples with; the model's own, which is a
    copy, where that is gone."""
    job = tuned.job
    is_further = job.method == "full" and (run_folder(job) / "foundation").is_dir()
    with suppress(UserError):
        return folder(tuned) if is_further else bases.find(job.base).folder
    return folder(tuned)


def lay_foundation(job: Job) -> None:
    """Put the tuned model that a job trains further into its run folder, by hard links, so that it
    stays there whatever becomes of that model.

    Raises: UserError `foundation_gone`.
    """
    target = run_folder(job) / "foundation"
    if job.foundation is None or target.is_dir():
        return
    fresh = run_folder(job) / f".foundation.{uuid4().hex}.part"  # two tabs may start it at once
    try:
        fresh.mkdir(parents=True)
        for path in folder(job.foundation).iterdir():
            (fresh / path.name).hardlink_to(path)
        fresh.rename(target)
    except (FileNotFoundError, Job.DoesNotExist):
        raise UserError("foundation_gone", name=job.foundation.name) from None
    except OSError:
        if not target.is_dir():  # else another one has laid it meanwhile
            raise
    finally:
        remove_folder(fresh)


def lift_foundation(job: Job) -> None:
    """Take away what was laid for a draft that is to begin at its base after all."""
    remove_folder(run_folder(job) / "foundation")


def has_lost_foundation(job: Job) -> bool:
    """Whether a job trained a model further that was deleted since."""
    return job.foundation_id is None and (run_folder(job) / "foundation").is_dir()


def ask_to_finish(job: Job) -> None:
    """Tell a job's trainer to train no further and make the model of what was learnt."""
    (run_folder(job) / "finish").touch()


def result_of(job: Job) -> tuple[dict, int]:
    """Check the present attempt's result; return its metrics and size in bytes.

    Raises: UserError `result_incomplete` when a file is missing or does not match its manifest.
    """
    result = attempt_folder(job) / "result"
    try:
        manifest = json.loads((result / "manifest.json").read_text())
        sizes = [(result / name).stat().st_size for name in manifest["files"]]
        if sizes != [entry["size_bytes"] for entry in manifest["files"].values()]:
            raise UserError("result_incomplete")
    except (OSError, ValueError, KeyError):
        raise UserError("result_incomplete") from None
    gate.check(result)
    return manifest["metrics"], sum(sizes)


def tidy(job: Job) -> None:
    """Remove what a finished job no longer needs: checkpoints and lost attempts."""
    run = run_folder(job)
    for attempt in run.glob("attempt-*"):
        if attempt != attempt_folder(job):
            remove_folder(attempt)
    for pattern in ("attempt-*/checkpoint-*", "attempt-*/best-*", "attempt-*/.*.part", ".*.part"):
        for stale in run.glob(pattern):
            remove_folder(stale)
    remove_folder(run / "examples")
    foundation = run / "foundation"
    if foundation.is_dir():  # the empty folder tells that there was one
        remove_folder(foundation)
        foundation.mkdir()


def forget(tuned: TunedModel) -> None:
    for hook in BEFORE_FORGETTING:
        hook(tuned)


def remove_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
