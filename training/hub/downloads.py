"""The verbs of a download from the hub; the only writer of its status.

In: the hub's id of a model. Out: a folder in the library. The fetching itself is done by a child
in the light lane (child.py), one model at a time; what is stopped or fails keeps its bytes, and a
retry goes on there.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from training import leases, tasks
from training.desk import CANCELLED, FAILED, WAITING, Desk
from training.errors import UserError
from training.hub import ids, library, origin
from training.models import BaseDownload
from training.supervise import EXIT_USER_ERROR, Outcome, supervise

Status = BaseDownload.Status


# --- by an administrator ------------------------------------------------------------------------
def order(owner, repo: str, revision: str = "") -> BaseDownload:
    """Put a model of the hub in line to be fetched; one that was stopped or failed goes on.

    Raises: UserError `hub_off`, `hub_id_wrong`, `hub_revision_wrong`, `base_here_already` or
    `download_under_way`.
    """
    refuse_off()
    found, state = ids.repo(repo), ids.revision(revision)
    library.refuse_here(ids.slug(found))
    unfinished = BaseDownload.objects.filter(repo=found, revision=state).exclude(
        status=Status.READY
    )
    if earlier := unfinished.first():
        return retry(earlier)
    with _one_a_repo(found):
        row = BaseDownload.objects.create(owner=owner, repo=found, revision=state)
    tasks.ring("fetch", row.pk)
    return row


def retry(download: BaseDownload) -> BaseDownload:
    """Put a download that was stopped or failed back in line; what it has it keeps.

    Raises: UserError `hub_off`, `base_here_already` or `download_under_way`.
    """
    refuse_off()
    library.refuse_here(ids.slug(download.repo))
    ended = BaseDownload.objects.filter(pk=download.pk, status__in=(FAILED, CANCELLED))
    with _one_a_repo(download.repo):
        moved = ended.update(
            status=WAITING, attempt=0, cancel_requested=False, error=None, seconds_left=None,
            **leases.FREE,
        )  # fmt: skip
    if not moved:
        raise UserError("download_under_way", repo=download.repo)
    tasks.ring("fetch", download.pk)
    download.refresh_from_db()
    return download


def cancel(download: BaseDownload) -> bool:
    """Stop a download: at once while it waits, else as soon as its child has stopped.

    Returns False for one that had ended before.
    """
    row = BaseDownload.objects.filter(pk=download.pk)
    wished = row.filter(status=Status.WAITING).update(
        status=Status.CANCELLED, cancel_requested=True, **leases.FREE
    ) or row.filter(status=Status.FETCHING).update(cancel_requested=True)
    download.refresh_from_db()
    return bool(wished)


def discard(download: BaseDownload) -> None:
    """Forget a download and what it has fetched so far; a model that is in place stays.

    Raises: UserError `download_under_way` while it waits or runs.
    """
    gone, _ = BaseDownload.objects.filter(pk=download.pk).exclude(
        status__in=BaseDownload.LIVE
    ).delete()  # fmt: skip
    if not gone:
        raise UserError("download_under_way", repo=download.repo)
    library.clear(download.pk)


def refuse_off() -> None:
    """Raises: UserError `hub_off` where the administrator has switched the hub off."""
    if not settings.HUB:
        raise UserError("hub_off")


@contextmanager
def _one_a_repo(repo: str) -> Iterator[None]:
    """Raises: UserError `download_under_way` where the database holds a live one already."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise UserError("download_under_way", repo=repo) from None


# --- what a page shows ----------------------------------------------------------------------------
def shown() -> QuerySet[BaseDownload]:
    """Return the downloads that are not in place: on their way, stopped or failed."""
    return BaseDownload.objects.exclude(status=Status.READY)


# --- by a worker ----------------------------------------------------------------------------------
def _figures(row: BaseDownload, events: list[dict]) -> dict:
    """Return a download's fields that its child's events change. Bytes that come make good for
    earlier crashes."""
    fields: dict = {}
    for event in events:
        if event["kind"] == "found":
            fields["commit"] = event["commit"][:64]
        elif event["kind"] == "progress":
            fields |= {"size_bytes": event["total_bytes"], "done_bytes": event["done_bytes"]}
            fields["seconds_left"] = event["seconds_left"]
    if fields.get("done_bytes", 0) > row.done_bytes:
        row.done_bytes, fields["attempt"] = fields["done_bytes"], 1
    return fields


DESK = Desk(
    "fetch", BaseDownload, busy=Status.FETCHING.value, lost="hub_crashed", figures=_figures,
    can_be_cancelled=True,
)  # fmt: skip


def fetch(pk: str) -> None:
    """Fetch a model and put it in place (the light lane's work, one at a time)."""
    row = DESK.claim(pk)
    if row is None:
        return
    outcome = Outcome() if _is_in_place(row) else _run_child(row)
    if outcome.is_done and not _is_in_place(row):
        outcome = _put_in_place(row)
    DESK.settle(row, outcome, {"seconds_left": None})
    ring_next()


def _run_child(row: BaseDownload) -> Outcome:
    if not settings.HUB:
        return _refused(UserError("hub_off"))
    try:
        folder = library.make_incoming(row.pk)
    except UserError as error:
        return _refused(error)
    _write_order(row, folder)
    return supervise(
        "training.hub.child",
        [str(folder)],
        beat=partial(DESK.beat, row),
        log=settings.DATA / "logs" / "hub.log",
        extra=environment(folder),
    )


def _write_order(row: BaseDownload, folder: Path) -> None:
    order = {
        "repo": row.repo,
        "revision": row.revision,
        "commit": row.commit,
        "endpoint": settings.HUB_URL,
        "download": row.pk,
        "max_bytes": settings.MODEL_LIMIT_BYTES,
    }
    (folder / "order.json").write_text(json.dumps(order))


def environment(folder: Path) -> dict[str, str]:
    """Return what this child alone gets: the way out, and the token."""
    token = {"HF_TOKEN": settings.HF_TOKEN} if settings.HF_TOKEN else {}
    return (
        settings.HUB_NETWORK
        | token
        | {
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "30",
            "HF_HOME": str(folder / "home"),
        }
    )


def _refused(error: UserError) -> Outcome:
    return Outcome(exit_code=EXIT_USER_ERROR, error=error.as_dict())


def _put_in_place(row: BaseDownload) -> Outcome:
    """Let what was fetched into the library, unless another worker holds the row by now."""
    if not DESK.held(row).exists():
        return Outcome(fenced=True)
    try:
        library.place(library.incoming(row.pk) / ids.slug(row.repo))
    except UserError as error:
        return _refused(error)
    library.clear(row.pk)
    return Outcome()


def _is_in_place(row: BaseDownload) -> bool:
    """Say whether this very download lies in the library: a worker may have died after that."""
    found = origin.read(settings.MODELS / ids.slug(row.repo))
    return found is not None and found.download == row.pk


def ring_next() -> None:
    for row in unheard():
        tasks.ring("fetch", row.pk)
        return


def unheard() -> QuerySet[BaseDownload]:
    """Return what waits unheard; behind one that is being fetched nothing is unheard."""
    if BaseDownload.objects.filter(status=Status.FETCHING).exists():
        return BaseDownload.objects.none()
    return tasks.unheard(BaseDownload.objects.filter(status=WAITING).order_by("created_at"))


def sweep() -> None:
    """Remove what is half in the library and belongs to nobody."""
    library.sweep(set(BaseDownload.objects.values_list("pk", flat=True)))
