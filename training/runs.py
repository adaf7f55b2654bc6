"""What the lanes do: run the trainer for the next job and write down how it ended (heavy); read,
count and check data, then move on the jobs that waited for it (light)."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from django.conf import settings

from training import causes, jobs, journal, line, registry, tasks
from training.datasets import reports, versions
from training.errors import UserError
from training.leases import Order
from training.models import DatasetVersion, Job
from training.supervise import Outcome, insist, supervise

logger = logging.getLogger(__name__)


def read(pk: str) -> None:
    versions.read(pk)
    if version := DatasetVersion.objects.filter(pk=pk).first():
        reports.of(version)
    jobs.proceed_all()


def count(pk: str) -> None:
    versions.count(pk)
    jobs.proceed_all()


def check(pk: str) -> None:
    reports.check(pk)
    jobs.proceed_all()


def train(pk: str) -> None:
    """Run the job that waits longest (the bell's `pk` says only that one waits)."""
    with device_alone() as is_mine:
        if is_mine and line.in_line().exists():
            _make_room()
            if job := jobs.claim_next():
                with journal.of(job):
                    _train(job)


def _make_room() -> None:
    """Let the others give back what they can spare; before the claim, since it may take a while."""
    for hook in tasks.BEFORE_HEAVY:
        try:
            hook()
        except Exception:  # whatever it is, the training matters more
            logger.exception("a hook before heavy work failed")


@contextmanager
def device_alone() -> Iterator[bool]:
    """Hold this machine's device, so that `manage.py finetune` beside a worker waits its turn."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "cpu").replace(",", "-") or "cpu"
    path = settings.DATA / f"device-{socket.gethostname()}-{device}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _train(job: Job) -> None:
    try:
        outcome = _attempt(job)
    except UserError as error:
        cause = error.as_dict()
        insist(lambda: jobs.fail(job, cause))
    except OSError as error:
        cause = causes.of_disk(error)
        insist(lambda: jobs.crashed(job, cause))
    else:
        insist(lambda: settle(job, outcome))


def _attempt(job: Job) -> Outcome:
    """Raises: UserError when the base is gone or refused, OSError when the disk fails."""
    run = insist(lambda: registry.prepare(job))
    arguments = [str(run), "--attempt", str(job.attempt)]
    module = "training.trainer"
    if settings.PROCESSES > 1:
        module, arguments = "training.trainer.launch", [str(settings.PROCESSES), *arguments]
    return supervise(
        module,
        arguments,
        beat=partial(_beat, job),
        log=registry.attempt_folder(job) / "log.txt",
    )


def _beat(job: Job, events: list[dict]) -> Order:
    order = jobs.beat(job, events)
    if order is Order.FINISH:  # the trainer looks for it at every step
        with suppress(OSError):  # on a full disk: the next beat tries again
            registry.ask_to_finish(job)
        return Order.GO_ON
    return order


def settle(job: Job, outcome: Outcome) -> None:
    """Write the end of one attempt."""
    if outcome.fenced:
        logger.warning("job %s: attempt %s was fenced", job.pk, job.attempt)
    elif outcome.is_done:
        _finish(job)
    elif outcome.is_short_of_room:
        jobs.crashed(job, outcome.error or {})
    elif outcome.is_users_error:
        jobs.fail(job, causes.of_refusal(outcome.error or {}))
    elif _wants_cancel(job):
        jobs.stopped(job)
    elif outcome.is_stopped or outcome.sent_home:
        jobs.release(job)
    else:
        jobs.crashed(job, causes.of_crash(outcome))


def _finish(job: Job) -> None:
    try:
        metrics, size_bytes = registry.result_of(job)
    except UserError as error:
        jobs.crashed(job, error.as_dict())
        return
    if jobs.succeed(job, metrics, size_bytes):
        registry.tidy(job)


def _wants_cancel(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, cancel_requested=True).exists()
