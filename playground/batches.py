"""The verbs of a batch, questions that are asked all at once; the only writer of its status.

In: a file, a dataset, or what a training held back. Out: rows of questions, which a worker has
answered (asking.py). Reading is done by a child in the light lane.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from playground import homes
from playground.models import Batch, BatchQuestion
from playground.parameters import Parameters, checked_system_prompt
from training import leases, registry, tasks
from training.datasets import editing, holding, questions, room, store
from training.datasets.choices import Choices
from training.desk import CANCELLED, WAITING, Desk
from training.errors import UserError
from training.hub.sizes import in_words
from training.models import Dataset, DatasetVersion, TunedModel
from training.supervise import Outcome, supervise

FILE, HELD, DATA = "file", "held", "data"
CHILDREN = {
    FILE: "training.datasets.questions",
    DATA: "training.datasets.questions",
    HELD: "training.trainer.held",
}


@dataclass(frozen=True)
class Wish:
    """How questions are to be answered, and how many of them."""

    model: str
    parameters: Parameters
    system_prompt: str = ""
    most: int = questions.MOST
    is_random: bool = False
    """Whether a random choice is taken where there are more, the same each time; else the first."""


def folder(batch: Batch) -> Path:
    return settings.DATA / "batches" / batch.pk


# --- by the user ----------------------------------------------------------------------------------
def from_file(owner: Any, wish: Wish, file_name: str, temporary_path: Path) -> Batch:
    """Take a file over (it is moved) and put its questions in line.

    Raises: UserError of `check`, `questions_file_large`, `file_empty`, `upload_disk`.
    """
    size_bytes = Path(temporary_path).stat().st_size
    if size_bytes > questions.LIMIT_BYTES:
        raise UserError("questions_file_large", limit=in_words(questions.LIMIT_BYTES))
    if not size_bytes:
        raise UserError("file_empty")
    room.refuse_beyond_disk(size_bytes)
    name = Path(file_name).name[:200]
    order = {"source": FILE, "file_name": name, "choices": {}}
    with _making(owner, wish, name, order) as batch:
        shutil.move(temporary_path, folder(batch) / "raw")
        (folder(batch) / "raw").chmod(0o600)
    return batch


def from_data(owner: Any, wish: Wish, dataset: Dataset) -> Batch:
    """Put the questions of a dataset's examples in line, as they are now.

    Raises: UserError of `check`, `data_gone`, `data_being_read`, `data_not_readable`.
    """
    version = editing.newest(dataset)
    if version.status != DatasetVersion.Status.READY:
        raise UserError("data_being_read" if version.is_busy else "data_not_readable")
    order = {"source": DATA, "dataset": dataset.pk}
    with _making(owner, wish, dataset.name, order) as batch, holding.present(version):
        store.branch(holding.folder(version), folder(batch) / "part")
    return batch


def from_held_back(owner: Any, wish: Wish, tuned: TunedModel) -> Batch:
    """Put the examples in line that a model's training held back for validation.

    Raises: UserError of `check`, `held_none`.
    """
    if not held_back_count(tuned):
        raise UserError("held_none")
    version = tuned.job.version
    assert version is not None
    order = {"source": HELD, "tuned": tuned.pk, "model": str(registry.tokenizer_of(tuned))}
    order |= registry.order_of(tuned.job)
    with _making(owner, wish, tuned.name, order) as batch, holding.present(version):
        store.branch(holding.folder(version), folder(batch) / "part")
    return batch


def held_back_count(tuned: TunedModel) -> int:
    """Return how many examples a model's training held back, unless it left some out as too long."""
    version = tuned.job.version
    if version is None:
        return 0
    return registry.order_of(tuned.job)["validation_examples"]


@contextmanager
def _making(owner: Any, wish: Wish, name: str, order: dict) -> Iterator[Batch]:
    """Give a new batch whose folder is to be filled, and ring for it; where that fails nothing stays."""
    order |= {"most": wish.most, "is_random": wish.is_random}
    batch = Batch(owner=owner, name=name, order=order, **_checked(owner, wish))
    folder(batch).mkdir(parents=True, mode=0o700)
    try:
        yield batch
        batch.save()
    except BaseException:
        shutil.rmtree(folder(batch), ignore_errors=True)
        raise
    tasks.ring("batch", batch.pk)


def _checked(owner: Any, wish: Wish) -> dict:
    """Return a batch's fields of a wish.

    Raises: UserError `model_unknown`, `system_prompt_too_long`, `questions_count_wrong`.
    """
    choices = homes.choices(owner)
    choices.allow(wish.model)
    if not 1 <= wish.most <= questions.MOST:
        raise UserError("questions_count_wrong", limit=questions.MOST)
    return {
        "model": wish.model,
        "model_name": choices.label(wish.model)[:120],
        "parameters": wish.parameters.as_dict(),
        "system_prompt": checked_system_prompt(wish.system_prompt),
    }


def again(batch: Batch, model: str) -> Batch:
    """Have another model answer the same questions, with the same settings.

    Raises: UserError `model_unknown`, `questions_none`.
    """
    wish = Wish(model, Parameters.parse(batch.parameters), batch.system_prompt)
    if not batch.total:
        raise UserError("questions_none")
    fields = _checked(batch.owner, wish)
    with transaction.atomic():
        fresh = Batch.objects.create(
            owner=batch.owner, name=batch.name, parent=batch.parent or batch, order=batch.order,
            layout=batch.layout, found_count=batch.found_count, total=batch.total,
            problem_count=batch.problem_count, problems=batch.problems, **fields,
        )  # fmt: skip
        rows = batch.questions.values("position", "messages", "expected")
        BatchQuestion.objects.bulk_create(BatchQuestion(batch=fresh, **row) for row in rows)
        tasks.ring("batch", fresh.pk)
    return fresh


def go_on(batch: Batch) -> bool:
    """Put a batch that was stopped or failed back in line; answers that are there stay, questions
    that failed are asked again. Says whether there was anything to do."""
    ended = Batch.objects.filter(pk=batch.pk).exclude(status__in=Batch.LIVE)
    with transaction.atomic():
        moved = ended.update(
            status=WAITING, attempt=0, cancel_requested=False, error=None, seconds_left=None,
            finished_at=None, **leases.FREE,
        )  # fmt: skip
        if moved:
            batch.questions.filter(error__isnull=False).update(
                error=None, answered_at=None, answer="", usage={}, is_same=None
            )
            Batch.objects.filter(pk=batch.pk).update(**counts(batch))
            tasks.ring("batch", batch.pk)
    return bool(moved)


def read_again(batch: Batch, columns: dict[str, str]) -> None:
    """Read a file's questions anew, from the columns that its owner names: prompt, answer, system.

    Raises: UserError `batch_under_way`, `raw_purged`, `choice_wrong`, `column_missing`.
    """
    chosen = Choices.of({"mapping": {part: name for part, name in columns.items() if name}})
    if not chosen.mapping.get("prompt"):
        raise UserError("column_missing")
    if not (folder(batch) / "raw").exists():
        raise UserError("raw_purged")
    with transaction.atomic():
        moved = (
            Batch.objects.filter(pk=batch.pk)
            .exclude(status__in=Batch.LIVE)
            .update(
                order=batch.order | {"choices": chosen.as_dict()}, total=0, found_count=0,
                problem_count=0, problems=[], done_count=0, error_count=0, expected_count=0,
                same_count=0, status=WAITING, attempt=0, cancel_requested=False, error=None,
                seconds_left=None, finished_at=None, **leases.FREE,
            )
        )  # fmt: skip
        if not moved:
            raise UserError("batch_under_way")
        batch.questions.all().delete()
        _leave(batch)
        tasks.ring("batch", batch.pk)


def can_read_again(batch: Batch) -> bool:
    """Say whether the columns of a batch's file can be chosen anew."""
    is_table = bool(batch.layout.get("columns")) and batch.order.get("source") == FILE
    return is_table and not batch.is_live and (folder(batch) / "raw").exists()


def cancel(batch: Batch) -> bool:
    """Stop a batch: at once while it waits, else with the worker's next beat.

    Returns False for one that had ended before.
    """
    row = Batch.objects.filter(pk=batch.pk)
    wished = row.filter(status=WAITING).update(
        status=CANCELLED, cancel_requested=True, **leases.FREE
    ) or row.filter(status=Batch.Status.RUNNING).update(cancel_requested=True)
    batch.refresh_from_db()
    return bool(wished)


def delete(batch: Batch) -> None:
    """Delete a batch with its questions and files; whoever answers it stops."""
    place = folder(batch)
    with transaction.atomic():
        _leave(batch)
        batch.delete()
        transaction.on_commit(partial(shutil.rmtree, place, ignore_errors=True))


def _leave(batch: Batch) -> None:
    """Have the batches that repeat one's questions, which go or change, repeat the oldest of them."""
    oldest = batch.repeats.order_by("created_at").first()
    if oldest:
        batch.repeats.update(parent=oldest)
        Batch.objects.filter(pk=oldest.pk).update(parent=None)


# --- what a page shows ----------------------------------------------------------------------------
def family(batch: Batch) -> list[Batch]:
    """Return the batches with the same questions, itself among them, the first one first."""
    root = batch.parent_id or batch.pk
    found = Batch.objects.filter(owner=batch.owner_id)
    return list(found.filter(Q(pk=root) | Q(parent=root)).order_by("created_at"))


def place_in_line(batch: Batch) -> int:
    """Return how many batches come before a waiting one."""
    before = Batch.objects.filter(status=WAITING, created_at__lt=batch.created_at).count()
    return before + Batch.objects.filter(status=Batch.Status.RUNNING).count()


def different(found: QuerySet[BatchQuestion]) -> QuerySet[BatchQuestion]:
    """Keep the questions whose answer is not the expected one."""
    return found.filter(Q(is_same=False) | Q(error__isnull=False))


# --- by a worker ----------------------------------------------------------------------------------
def counts(batch: Batch) -> dict:
    """Return a batch's fields that say how far it has come."""
    return batch.questions.aggregate(
        done_count=Count("pk", filter=Q(answered_at__isnull=False)),
        error_count=Count("pk", filter=Q(error__isnull=False)),
        expected_count=Count("pk", filter=Q(is_same__isnull=False)),
        same_count=Count("pk", filter=Q(is_same=True)),
    )


def write_down(batch: Batch) -> None:
    """Have a held batch's row say how far it has come."""
    DESK.held(batch).update(**counts(batch))


def _figures(row: Batch, events: list[dict]) -> dict:
    """Return a batch's fields that the worker's (or its reading child's) events change. Answers that
    come make good for earlier crashes."""
    fields: dict = {}
    for event in events:
        if event["kind"] == "layout":
            fields["layout"] = event["layout"]
        elif event["kind"] == "progress" and "waits_for" in event:
            fields |= {"waits_for": event["waits_for"], "seconds_left": event["seconds_left"]}
            if event["has_answers"]:
                fields |= counts(row) | {"attempt": 1}
    return fields


DESK = Desk(
    "batch", Batch, busy=Batch.Status.RUNNING.value, lost="batch_crashed", figures=_figures,
    can_be_cancelled=True,
)  # fmt: skip


def take_in(batch: Batch) -> Outcome:
    """Have a held batch's questions read, and make rows of them."""
    (folder(batch) / "order.json").write_text(json.dumps(batch.order))
    outcome = supervise(
        CHILDREN[batch.order["source"]],
        [str(folder(batch))],
        beat=partial(DESK.beat, batch),
        log=settings.DATA / "logs" / "batches.log",
    )
    if outcome.is_done:
        outcome = _keep_rows(batch, outcome.results["read"])
        shutil.rmtree(folder(batch) / "part", ignore_errors=True)
        (folder(batch) / questions.FOUND).unlink(missing_ok=True)
    return outcome


def _keep_rows(batch: Batch, said: dict) -> Outcome:
    rows = [
        BatchQuestion(
            batch=batch, position=place, messages=one["messages"], expected=one["expected"]
        )
        for place, one in enumerate(questions.kept(folder(batch)), 1)
    ]
    facts = {"found_count": said["found"], "problem_count": said["problems"], "total": len(rows)}
    with transaction.atomic():
        if not DESK.held(batch).update(problems=said["told"], **facts):
            return Outcome(fenced=True)
        batch.questions.all().delete()
        BatchQuestion.objects.bulk_create(rows)
    batch.refresh_from_db()
    if rows:
        return Outcome()
    return Outcome(exit_code=2, error=UserError("questions_none").as_dict())


def keep_answer(
    batch: Batch, question: BatchQuestion, answer: str, usage: dict, error: UserError | None = None
) -> bool:
    """Keep an answer, or why there is none, while the worker's hold of the batch stands and nobody
    answered before."""
    is_comparable = bool(question.expected.strip()) and error is None
    held = BatchQuestion.objects.filter(
        pk=question.pk, answered_at=None, batch__token=batch.token, batch__status=DESK.busy
    )
    return bool(
        held.update(
            answer=answer,
            usage=usage,
            error=error.as_dict() if error else None,
            is_same=answer.strip() == question.expected.strip() if is_comparable else None,
            answered_at=timezone.now(),
        )
    )


def ring_next() -> None:
    for row in unheard():
        tasks.ring("batch", row.pk)
        return


def unheard() -> QuerySet[Batch]:
    """Return what waits unheard; behind one that is being answered nothing is unheard."""
    if Batch.objects.filter(status=DESK.busy).exists():
        return Batch.objects.none()
    return tasks.unheard(Batch.objects.filter(status=WAITING).order_by("created_at"))
