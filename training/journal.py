"""What the log says of a job's life in a worker: claimed, resumed, how it ended, taken back. Ids,
steps and seconds; never a name, a text or a number of anybody's data."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from training import logs
from training.models import Job, JobEvent

logger = logging.getLogger(__name__)


@contextmanager
def of(job: Job) -> Iterator[None]:
    """Log the beginning and the end of one attempt; what is logged within names the job."""
    began = time.monotonic()
    with logs.about(job=job.pk, attempt=job.attempt):
        if job.attempt > 1:
            logger.info("job resumed at step %s of %s", job.step, job.total_steps)
        else:
            logger.info("job claimed")
        try:
            yield
        except Exception:
            logger.exception("the work on a job broke off")
            raise
        logger.info("job %s after %.1f s", _end_of(job), time.monotonic() - began)


def _end_of(job: Job) -> str:
    """Say in a word, and an error's code, how an attempt ended."""
    row = Job.objects.filter(pk=job.pk).first()
    if row is None or row.attempt != job.attempt:
        return "lost to another worker"
    crash = JobEvent.objects.filter(job=job, attempt=job.attempt, kind="crash").last()
    if crash and row.status != Job.Status.FAILED:
        return f"crashed ({crash.data.get('code')}), now {row.status}"
    if row.status == Job.Status.FAILED:
        return f"failed ({(row.error or {}).get('code')})"
    words = {"succeeded": "finished", "queued": "put back in line"}
    return words.get(row.status, row.status)


def taken_back(job: Job) -> None:
    """Log that a job's worker was not heard of for longer than its lease."""
    with logs.about(job=job.pk, attempt=job.attempt):
        logger.warning("job taken back at step %s: its worker is gone", job.step)
