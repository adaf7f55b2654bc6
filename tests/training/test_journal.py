"""What the log says of a job's life: each line names the job, none its data."""

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from training import jobs, runs, tasks
from training.errors import UserError
from training.logs import OneLine
from training.models import Job
from training.supervise import Outcome

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(user, version, models_folder, monkeypatch):
    """A job in line, and the lines that were logged about it, as they are written."""
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    Job.objects.create(
        owner=user, version=version, name="남몰래 배우는 것", base="tiny", status="queued",
        queued_at=timezone.now(), total_steps=90, resolved={"validation_share": 0.1},
    )  # fmt: skip
    written: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Kept()
    handler.setFormatter(OneLine("%(levelname)s %(message)s"))
    logging.getLogger("training").addHandler(handler)
    yield written
    logging.getLogger("training").removeHandler(handler)
    assert not any("남몰래" in line for line in written)


def run(monkeypatch, outcome: Outcome) -> Job:
    monkeypatch.setattr(runs, "supervise", lambda *_, **__: outcome)
    runs.train("")
    return Job.objects.get()


ENDS = {
    "failed (out_of_memory)": Outcome(exit_code=2, error={"code": "out_of_memory", "params": {}}),
    "crashed (trainer_killed), now queued": Outcome(exit_code=-9),
    "put back in line": Outcome(exit_code=75),
    "lost to another worker": Outcome(fenced=True),
}


@pytest.mark.parametrize("words", ENDS)
def test_an_attempt_is_logged_from_its_claim_to_its_end(lines, monkeypatch, words):
    if words.startswith("lost"):
        monkeypatch.setattr(runs, "settle", lambda job, _: Job.objects.update(attempt=2))
    job = run(monkeypatch, ENDS[words])
    assert lines[0] == f"INFO job claimed job={job.pk} attempt=1"
    assert lines[-1].startswith(f"INFO job {words} after 0.")
    assert lines[-1].endswith(f" s job={job.pk} attempt=1")


def test_a_second_attempt_says_where_it_goes_on(lines, monkeypatch):
    Job.objects.update(attempt=1, step=30)
    run(monkeypatch, Outcome(exit_code=75))
    assert lines[0].startswith("INFO job resumed at step 30 of 90 job=")


def test_what_is_done_for_a_job_names_it_too(lines, monkeypatch):
    def refuse(job: Job):
        logging.getLogger("training.registry").warning("the folder is odd")
        raise UserError("base_missing", base="tiny")

    monkeypatch.setattr(runs.registry, "prepare", refuse)
    runs.train("")
    assert lines[1] == f"WARNING the folder is odd job={Job.objects.get().pk} attempt=1"
    assert "job failed (base_missing)" in lines[-1]


def test_work_that_breaks_off_is_logged_with_the_job(lines, monkeypatch):
    monkeypatch.setattr(runs.registry, "prepare", lambda job: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runs.train("")
    assert lines[-1].startswith("ERROR the work on a job broke off job=")
    assert "ZeroDivisionError" in lines[-1]


def test_a_job_that_is_taken_back_from_a_dead_worker_is_logged(lines):
    job = jobs.claim_next()
    Job.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1), step=12)
    assert jobs.reap() == 1
    taken = f"WARNING job taken back at step 12: its worker is gone job={job.pk} attempt=1"
    assert taken in lines
