"""The verbs of a job, and the only writer of Job.status.

Every move is a compare-and-set: one UPDATE that names the state (and, for a worker, the fencing
token) from which it may happen. A move that loses changes nothing. Knows no browser.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Case, Max, QuerySet, Value, When
from django.utils import timezone

from training import bases, disk, drafts, journal, leases, line, recipe, registry, tasks
from training.datasets import holding
from training.errors import UserError
from training.leases import Order
from training.models import DatasetVersion, Job, JobEvent, TunedModel

Status = Job.Status
MAX_CRASHES = 3
"""Crashes in a row without a new checkpoint after which a job fails."""
MAX_WAITS_FOR_ROOM = 100
"""Times in a row without a new checkpoint that a job waits for room on the disk before it fails."""
LONGEST_WAIT_SECONDS = 600
PROGRESS_KEYS = (
    "phase", "loss", "validation_loss", "epoch", "learning_rate", "gradient_norm",
    "tokens_per_second", "seconds_left", "trained_tokens", "memory_bytes",
)  # fmt: skip


# --- by the user ------------------------------------------------------------------------------
def start(job: Job, seen: str | None = None) -> None:
    """Freeze the draft's settings and put it in line.

    `seen` is the fingerprint of the settings that the user saw when starting.

    Raises: UserError with the first blocker, `job_not_draft`, `data_gone`, `foundation_gone`, or
    `draft_changed` when the settings are others than those seen (changed in another tab, say).
    """
    _look_again(job)
    if job.status != Status.DRAFT:
        raise UserError("job_not_draft", name=job.name)
    try:
        holding.mend(job.version)
        if seen is not None and seen != drafts.fingerprint(job):
            raise UserError("draft_changed")
        for blocker in drafts.blockers(job):
            raise blocker
        registry.lay_foundation(job)
    except UserError:
        _look_again(job)  # its data may be gone
        raise
    if not _queue(job):
        _look_again(job)
        code = "draft_changed" if job.status == Status.DRAFT else "job_not_draft"
        raise UserError(code, name=job.name)
    job.refresh_from_db()


def start_when_read(job: Job) -> None:
    """Start a draft; one whose data is read, counted or checked just now gets in line by itself once
    that is done.

    Raises: UserError as `start`.
    """
    try:
        start(job)
    except UserError as error:
        if error.code not in PENDING:
            raise
        drafted = Job.objects.filter(pk=job.pk, status=Status.DRAFT, version=job.version_id)
        if not drafted.update(status=Status.VALIDATING):
            raise UserError("draft_changed") from None
        holding.freeze(job.version)
        proceed(job)


def _look_again(job: Job) -> None:
    """Read a job and its data in one look: a draft's data may be deleted at any time."""
    job.refresh_from_db(from_queryset=Job.objects.select_related("version"))


def _queue(job: Job) -> bool:
    """Move a job that is ready from where it is into the line, unless it changed meanwhile.

    Raises: UserError `queue_full`.
    """
    numbers = drafts.resolved(job)
    as_read = {field: getattr(job, field) for field in drafts.DRAFT_FIELDS}
    with transaction.atomic():
        if job.status == Status.DRAFT:  # one that waited for its data was let in before
            line.admit(job.owner_id)
        if not _is_as_read(job.version):
            return False
        moved = Job.objects.filter(pk=job.pk, status=job.status, **as_read).update(
            status=Status.QUEUED,
            resolved=numbers,
            total_steps=recipe.steps(numbers, drafts.usable_examples(job)),
            queued_at=timezone.now(),
            **leases.FREE,
        )
        if moved:
            holding.freeze(job.version)
            tasks.ring("train", job.pk)
    return bool(moved)


def _is_as_read(version: DatasetVersion | None) -> bool:
    """Hold a job's data till it is frozen; say whether its rows are still those that were read."""
    if version is None:
        return False
    held = DatasetVersion.objects.select_for_update().filter(pk=version.pk).first()
    return held is not None and held.fingerprint == version.fingerprint and holding.is_true(held)


def submit(
    owner, *, name: str, method: str, base: str, knobs: dict, version: DatasetVersion,
    overflow: str = recipe.CUT, work: str = "", foundation: TunedModel | None = None,
    not_before: datetime | None = None,
) -> Job:  # fmt: skip
    """Create a job that gets in line by itself once its data is read and counted.

    Raises: UserError when the base or the name can't be used, `data_gone`, `foundation_gone`,
    `queue_full`, `start_too_far`.
    """
    if not name.strip():
        raise UserError("job_without_name")
    bases.find(base)
    start = line.not_before(not_before)
    try:
        with transaction.atomic():
            line.admit(owner.pk)
            job = Job.objects.create(
                owner=owner, status=Status.VALIDATING, name=name.strip()[:64], method=method,
                base=base, knobs=knobs, overflow=overflow, version=version, work=work,
                foundation=foundation, not_before=start,
            )  # fmt: skip
    except IntegrityError:
        raise UserError("data_gone") from None
    try:
        registry.lay_foundation(job)
    except UserError:
        job.delete()
        raise
    holding.freeze(version)
    proceed(job)
    return job


PENDING = ("data_being_read", "data_being_checked", "tokens_being_counted")


def proceed(job: Job) -> None:
    """Move a job that waits for its data on: into the line, or to its failure with the reason."""
    found = drafts.blockers(job)
    if not found:
        _queue(job)
    elif found[0].code not in PENDING:
        Job.objects.filter(pk=job.pk, status=Status.VALIDATING).update(
            status=Status.FAILED, error=found[0].as_dict(), finished_at=timezone.now()
        )
    job.refresh_from_db()


def proceed_all() -> None:
    """Move on whatever waits for data that is read by now; cheap when nothing does."""
    for job in Job.objects.filter(status=Status.VALIDATING).select_related("version"):
        proceed(job)


def cancel(job: Job) -> bool:
    """End a job at the user's wish: at once when nobody works on it, else as soon as it can stop.

    Returns False for a job that had ended in another way before.
    """
    row = Job.objects.filter(pk=job.pk)
    idle = (Status.QUEUED, Status.VALIDATING, Status.PAUSED)
    for _ in range(3):  # it may move between the two, from its worker back into the line
        running = row.filter(status=Status.RUNNING)
        if running.update(cancel_requested=True, pause_requested=False, finish_requested=False):
            break
        if row.filter(status__in=idle).update(
            status=Status.CANCELLED,
            cancel_requested=True,
            finish_requested=False,
            finished_at=timezone.now(),
            **leases.FREE,
        ):
            registry.tidy(job)
            break
    job.refresh_from_db()
    return job.cancel_requested


def pause(job: Job) -> bool:
    """Have a job wait till it is resumed: at once when nobody works on it, else as soon as it can
    stop, with a checkpoint.

    Returns False for a job that has ended, is being cancelled or finished early, or whose data is
    not read yet.
    """
    row = Job.objects.filter(pk=job.pk, cancel_requested=False, finish_requested=False)
    for _ in range(3):  # it may move between the two
        if row.filter(status=Status.RUNNING).update(pause_requested=True):
            break
        if row.filter(status=Status.QUEUED).update(status=Status.PAUSED, **leases.FREE):
            break
    job.refresh_from_db()
    return job.status == Status.PAUSED or job.pause_requested


def resume(job: Job) -> bool:
    """Put a paused job at the end of the line; it goes on from its last checkpoint. One that is only
    about to pause goes on.

    Returns False for a job that was not paused. Raises: UserError `queue_full`.
    """
    row = Job.objects.filter(pk=job.pk)
    with transaction.atomic():
        if row.filter(status=Status.PAUSED).exists():
            line.admit(job.owner_id)
        moved = row.filter(status=Status.PAUSED).update(
            status=Status.QUEUED, queued_at=timezone.now(), **leases.FREE
        )
        if moved:
            tasks.ring("train", job.pk)
        else:
            moved = row.filter(pause_requested=True).update(pause_requested=False)
    job.refresh_from_db()
    return bool(moved)


def finish_early(job: Job) -> bool:
    """Have a job train no further and make its model of what it has learnt: a running one as soon as
    its step is over, a paused or waiting one when its turn comes.

    Returns False for a job that has ended, is being cancelled, or has learnt nothing yet.
    """
    row = Job.objects.filter(pk=job.pk, cancel_requested=False, step__gt=0)
    wanted = {"finish_requested": True, "pause_requested": False, "not_before": None}
    for _ in range(3):  # it may move between the three
        if row.filter(status__in=(Status.RUNNING, Status.QUEUED)).update(**wanted):
            break
        with transaction.atomic():
            again = {"status": Status.QUEUED, "queued_at": timezone.now(), **leases.FREE}
            if row.filter(status=Status.PAUSED).update(**wanted, **again):
                tasks.ring("train", job.pk)
                break
    job.refresh_from_db()
    return job.finish_requested


# --- in the line ------------------------------------------------------------------------------
def move(job: Job, step: int) -> bool:
    """Let a waiting job and its owner's own one beside it (-1: before it, 1: behind it) change
    places.

    Returns False when there is none, or either of them moved meanwhile.
    """
    other = line.neighbour(job, step)
    if other is None:
        return False
    ours, theirs = line.since(job), line.since(other)
    if ours == theirs:
        theirs += step * timedelta(microseconds=1)
    changes = sorted([(job.pk, job, theirs), (other.pk, other, ours)])  # no two wait crosswise
    try:
        with transaction.atomic():
            for _pk, one, moment in changes:
                _stand_at(one, moment)
    except _Moved:
        return False
    return True


class _Moved(Exception):
    """A job is no longer where it was read."""


def _stand_at(job: Job, moment: datetime) -> None:
    """Have a job wait as from another moment, if it still waits as it was read."""
    as_read = {"queued_at": job.queued_at, "not_before": job.not_before, "priority": job.priority}
    held = line.waiting().filter(pk=job.pk, **as_read)
    if not held.update(queued_at=moment, not_before=None):
        raise _Moved


def prioritise(job: Job, priority: int, *, is_administrator: bool = False) -> bool:
    """Have a waiting job go before others, or behind them.

    Returns False when it no longer waits. Raises: UserError `priority_not_yours`.
    """
    if priority not in (line.PRIORITIES if is_administrator else line.OWN_PRIORITIES):
        raise UserError("priority_not_yours")
    return bool(line.waiting().filter(pk=job.pk).update(priority=priority))


def postpone(job: Job, moment: datetime | None) -> bool:
    """Have a waiting job begin at a time or, at None or a time that is past, as soon as it can; it
    waits for its turn from then on.

    Returns False when it no longer waits. Raises: UserError `start_too_far`.
    """
    begins, now = line.not_before(moment), timezone.now()
    row = line.waiting().filter(pk=job.pk)
    if begins is None and line.in_line().filter(pk=job.pk).exists():
        return True  # it keeps its place
    with transaction.atomic():
        moved = row.update(not_before=begins or now, rung_at=None)
        if moved:
            tasks.ring("train", job.pk)
    return bool(moved)


def delete(job: Job) -> None:
    """Delete a job, its tuned model and their files.

    Raises: UserError `job_is_live` while it waits or runs.
    """
    refuse_live(job)
    folder = registry.run_folder(job)
    with transaction.atomic():
        held = Job.objects.select_for_update().filter(pk=job.pk)
        found = held.exclude(status__in=(Status.VALIDATING, Status.QUEUED, Status.RUNNING)).first()
        if found is None:
            raise UserError("job_is_live", name=job.name)
        if tuned := TunedModel.objects.filter(job=found).first():
            registry.forget(tuned)
        found.delete()
    registry.remove_folder(folder)


def refuse_live(job: Job) -> None:
    """Raises: UserError `job_is_live` while the job waits or runs."""
    if job.is_live:
        raise UserError("job_is_live", name=job.name)


def rename(job: Job, name: str) -> None:
    """Raises: UserError `job_without_name`."""
    name = name.strip()[:64]
    if not name:
        raise UserError("job_without_name")
    Job.objects.filter(pk=job.pk).update(name=name)
    TunedModel.objects.filter(job=job).update(name=name)
    job.name = name


# --- by a worker ------------------------------------------------------------------------------
def claim_next() -> Job | None:
    """Claim the job whose turn it is, or return None. The bell says only that one waits."""
    for pk in [job.pk for job in line.order(line.in_line())][:20]:
        token = leases.fresh_token()
        if line.in_line().filter(pk=pk).update(status=Status.RUNNING, **leases.taken(token)):
            job = Job.objects.get(pk=pk)
            if not job.started_at:
                Job.objects.filter(pk=pk).update(started_at=timezone.now())
            return job if job.token == token else None
    return None


def _held(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, token=job.token, status=Status.RUNNING)


def beat(job: Job, events: Sequence[dict]) -> Order:
    """Renew the lease and store what the child said since the last beat."""
    with transaction.atomic():
        if not _held(job).update(**leases.renewed(), **_latest(job, events)):
            return Order.FENCED
        JobEvent.objects.bulk_create(
            JobEvent(
                job_id=job.pk,
                attempt=job.attempt,
                kind=event["kind"],
                step=event.get("step", 0),
                data={key: value for key, value in event.items() if key not in ("kind", "step")},
            )
            for event in events
            if event["kind"] != "progress"
        )
        wishes = _held(job).values("cancel_requested", "pause_requested", "finish_requested")
        wish = wishes.get()
    if wish["cancel_requested"] or wish["pause_requested"]:
        return Order.STOP
    return Order.FINISH if wish["finish_requested"] else Order.GO_ON


def _latest(job: Job, events: Sequence[dict]) -> dict:
    """Return the job's fields that change by these events."""
    fields: dict = {}
    for event in events:
        if "step" in event:
            fields["step"] = event["step"]
        if "total_steps" in event:
            fields["total_steps"] = event["total_steps"]
        if event["kind"] == "checkpoint":
            fields["crashes"] = 0
        job.progress |= {key: event[key] for key in PROGRESS_KEYS if key in event}
    return fields | {"progress": job.progress} if events else fields


def succeed(job: Job, metrics: dict, size_bytes: int) -> bool:
    """End a job well and register its model, both or neither. A late result is refused."""
    with transaction.atomic():
        moved = _held(job).update(
            status=Status.SUCCEEDED,
            finished_at=timezone.now(),
            error=None,
            pause_requested=False,
            **leases.FREE,
        )
        if moved:
            TunedModel.objects.create(
                owner_id=job.owner_id, name=job.name, job=job, base=job.base, method=job.method,
                metrics=metrics, size_bytes=size_bytes,
            )  # fmt: skip
    return bool(moved)


def fail(job: Job, error: dict) -> bool:
    """End a job whose cause the user can mend; it is not tried again as it was."""
    return _end(job, status=Status.FAILED, error=error)


def _end(job: Job, **fields) -> bool:
    """End a held job without a result; what only its next attempt would need goes."""
    moved = _held(job).update(
        finished_at=timezone.now(), pause_requested=False, **fields, **leases.FREE
    )
    if moved:
        registry.tidy(job)
    return bool(moved)


def stopped(job: Job) -> bool:
    """End a job whose child stopped at the user's wish."""
    return _end(job, status=Status.CANCELLED)


def release(job: Job) -> bool:
    """Let go of a job whose child stopped: it is paused if its owner wants so, else it goes back in
    line (its worker goes home) and keeps its place."""
    after = Case(
        When(pause_requested=True, then=Value(Status.PAUSED)), default=Value(Status.QUEUED)
    )
    wanted = _held(job).filter(cancel_requested=False)
    moved = wanted.update(status=after, pause_requested=False, **leases.FREE)
    if moved:
        disk.trim(job)
    return bool(moved) or stopped(job)


def crashed(job: Job, cause: dict) -> bool:
    """Put a job back in line to go on from its last checkpoint, or fail it after three crashes."""
    return _put_back(_held(job), job, cause)


def _put_back(held: QuerySet[Job], job: Job, cause: dict) -> bool:
    job.refresh_from_db(fields=["crashes", "cancel_requested", "pause_requested", "step"])
    is_full = cause["code"] == "disk_full"  # no fault of the job's: it waits for room
    crashes = job.crashes if is_full else job.crashes + 1
    waits = _waits_for_room(job) if is_full else 0
    later = {"not_before": _when_to_look_for_room(waits)} if is_full else {}
    ended = {"finished_at": timezone.now(), "pause_requested": False}
    fields: dict
    if job.cancel_requested:
        fields = {"status": Status.CANCELLED, **ended}
    elif crashes >= MAX_CRASHES or waits >= MAX_WAITS_FOR_ROOM:
        fields = {"status": Status.FAILED, "error": cause, **ended}
    elif job.pause_requested:
        fields = {"status": Status.PAUSED, "pause_requested": False}
    else:
        fields = {"status": Status.QUEUED, **later}
    with transaction.atomic():
        if not held.update(crashes=crashes, **fields, **leases.FREE):
            return False
        JobEvent.objects.create(
            job=job, attempt=job.attempt, kind="crash", step=job.step, data=cause
        )
        if fields["status"] == Status.QUEUED:
            tasks.ring("train", job.pk)
    if fields["status"] in Job.FINAL:
        registry.tidy(job)
    else:
        disk.trim(job)
    return True


def _waits_for_room(job: Job) -> int:
    """Return how often in a row, without a new checkpoint, the disk was full."""
    events = JobEvent.objects.filter(job=job)
    saved = events.filter(kind="checkpoint").aggregate(last=Max("id"))["last"] or 0
    return events.filter(kind="crash", data__code="disk_full", id__gt=saved).count()


def _when_to_look_for_room(waits: int) -> datetime:
    """Return when to try again: later each time; all waits together take half a day."""
    return timezone.now() + timedelta(seconds=min(LONGEST_WAIT_SECONDS, 5 * 2**waits))


# --- by the reaper ----------------------------------------------------------------------------
def reap() -> int:
    """Take jobs back whose worker has not renewed its lease. Returns how many."""
    taken_back = 0
    for job in Job.objects.filter(leases.expired(), status=Status.RUNNING):
        held = _held(job).filter(leases.expired())
        if _put_back(held, job, UserError("worker_lost").as_dict()):
            journal.taken_back(job)
            taken_back += 1
    proceed_all()
    disk.sweep()
    return taken_back


def unheard() -> QuerySet[Job]:
    return tasks.unheard(line.in_line())
