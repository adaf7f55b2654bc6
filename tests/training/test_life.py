"""The life of a job against a model in memory: whatever users, workers, bells and clocks do in whatever
order, a job is where the model says, is held by one worker at most, and ends once."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as Settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from training import jobs, line, tasks
from training.leases import Order
from training.models import Dataset, DatasetVersion, Job, JobEvent, TunedModel

RARELY = st.sampled_from((False, False, False, False, True))
"""Ends come rarely, so that much happens before."""
BACK = st.sampled_from((0, 0, 0, 1, 2))
"""How many claims ago a worker claimed the job: mostly it holds it still."""
FINAL = ("succeeded", "failed", "cancelled")
RUNNING, QUEUED, PAUSED = "running", "queued", "paused"


class Life(RuleBasedStateMachine):
    """One job in the database, and what it should be like."""

    def __init__(self) -> None:
        super().__init__()
        Job.objects.all().delete()
        self._begin()

    def _begin(self) -> None:
        from studio.models import User

        owner, _ = User.objects.get_or_create(username="life")
        dataset = Dataset.objects.create(owner=owner, name="d")
        version = DatasetVersion.objects.create(dataset=dataset, status="ready", example_count=300)
        self.job = Job.objects.create(
            owner=owner, status=QUEUED, name="끈기", base="tiny", version=version,
            queued_at=timezone.now(), resolved={"epochs": 1},
        )  # fmt: skip
        self.status = QUEUED
        self.cancel = self.pause = self.finish_early = self.expired = self.later = False
        self.has_learnt = False
        self.crashes = 0
        self.holders: list[Job] = []
        """Rows as every worker that ever claimed the job has them; the last one may hold it."""

    @precondition(lambda self: self.status in FINAL)
    @rule()
    def begin_another(self) -> None:
        self._begin()

    @property
    def holder(self) -> Job | None:
        return self.holders[-1] if self.holders and self.status == RUNNING else None

    def _worker(self, back: int) -> Job:
        """Return the last worker that claimed the job, or one that many claims before it."""
        return self.holders[max(0, len(self.holders) - 1 - back)]

    # --- bells: messages are lost, doubled and late ---------------------------------------------
    @rule()
    def deliver(self) -> None:
        """A worker hears a bell, for this job or another, once more or late."""
        found = jobs.claim_next()
        assert (found is not None) == (self.status == QUEUED and not self.later)
        if found:
            self.holders.append(found)
            self.status, self.expired = RUNNING, False

    @rule()
    def lose_the_bell(self) -> None:
        long_ago = timezone.now() - timedelta(hours=1)
        Job.objects.filter(pk=self.job.pk).update(rung_at=long_ago)
        assert (self.job in jobs.unheard()) == (self.status == QUEUED and not self.later)

    # --- the owner --------------------------------------------------------------------------------
    @rule(is_sure=RARELY)
    def ask_to_cancel(self, is_sure: bool) -> None:
        if not is_sure:
            return
        could = jobs.cancel(self.job)
        if self.status == RUNNING:
            self.cancel, self.pause, self.finish_early = True, False, False
        elif self.status in (QUEUED, PAUSED):
            self.status, self.cancel, self.finish_early = "cancelled", True, False
        assert could == self.cancel

    @rule(is_sure=RARELY)
    def ask_to_finish(self, is_sure: bool) -> None:
        if not is_sure:
            return
        could = jobs.finish_early(self.job)
        is_possible = (
            self.has_learnt and not self.cancel and self.status in (RUNNING, QUEUED, PAUSED)
        )
        assert could == (is_possible or self.finish_early)
        if is_possible:
            self.status = QUEUED if self.status == PAUSED else self.status
            self.finish_early, self.pause, self.later = True, False, False

    @rule()
    def ask_to_pause(self) -> None:
        could = jobs.pause(self.job)
        is_asked = self.cancel or self.finish_early
        is_possible = not is_asked and self.status in (RUNNING, QUEUED, PAUSED)
        assert could == is_possible
        if is_possible and self.status == RUNNING:
            self.pause = True
        elif is_possible:
            self.status = PAUSED

    @rule()
    def ask_to_resume(self) -> None:
        could = jobs.resume(self.job)
        assert could == (self.status == PAUSED or self.pause)
        if self.status == PAUSED:
            self.status = QUEUED
        self.pause = False

    @rule(is_later=st.booleans())
    def ask_for_another_time(self, is_later: bool) -> None:
        moment = timezone.now() + timedelta(hours=1) if is_later else None
        could = jobs.postpone(self.job, moment)
        assert could == (self.status == QUEUED)
        self.later = is_later if could else self.later

    @rule(priority=st.sampled_from(list(line.PRIORITIES)))
    def ask_for_another_priority(self, priority: int) -> None:
        could = jobs.prioritise(self.job, priority, is_administrator=True)
        assert could == (self.status == QUEUED)

    # --- workers, of whom the last may hold the job ------------------------------------------------
    @precondition(lambda self: self.holders)
    @rule(back=BACK, has_checkpoint=st.booleans())
    def beat(self, back: int, has_checkpoint: bool) -> None:
        worker = self._worker(back)
        events = [{"kind": "checkpoint", "step": 3}] if has_checkpoint else []
        order = jobs.beat(worker, events)
        if worker is not self.holder:
            assert order is Order.FENCED
            return
        going_on = Order.FINISH if self.finish_early else Order.GO_ON
        assert order is (Order.STOP if self.cancel or self.pause else going_on)
        self.has_learnt = self.has_learnt or has_checkpoint
        self.expired = False
        self.crashes = 0 if has_checkpoint else self.crashes

    @precondition(lambda self: self.holders)
    @rule(back=BACK, is_sure=RARELY)
    def finish(self, back: int, is_sure: bool) -> None:
        worker = self._worker(back)
        if worker is self.holder and not is_sure:
            return
        assert jobs.succeed(worker, {}, 1) == (worker is self.holder)
        if worker is self.holder:
            self._end("succeeded")

    @precondition(lambda self: self.holders)
    @rule(back=BACK, is_sure=RARELY)
    def fail(self, back: int, is_sure: bool) -> None:
        worker = self._worker(back)
        if worker is self.holder and not is_sure:
            return
        assert jobs.fail(worker, {"code": "disk_full"}) == (worker is self.holder)
        if worker is self.holder:
            self._end("failed")

    @precondition(lambda self: self.holders)
    @rule(back=BACK)
    def crash(self, back: int) -> None:
        worker = self._worker(back)
        assert jobs.crashed(worker, {"code": "trainer_killed"}) == (worker is self.holder)
        if worker is self.holder:
            self._lost()

    @precondition(lambda self: self.holders)
    @rule(back=BACK)
    def go_home(self, back: int) -> None:
        """The child stopped, at its owner's wish or since the worker goes home."""
        worker = self._worker(back)
        assert jobs.release(worker) == (worker is self.holder)
        if worker is self.holder and self.cancel:
            self._end("cancelled")
        elif worker is self.holder:
            self.status, self.pause = PAUSED if self.pause else QUEUED, False

    # --- time -----------------------------------------------------------------------------------
    @precondition(lambda self: self.holder)
    @rule()
    def expire(self) -> None:
        """A worker is frozen, or gone."""
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.filter(pk=self.job.pk).update(lease_expires_at=past)
        self.expired = True

    @rule()
    def reap(self) -> None:
        taken_back = jobs.reap()
        assert taken_back == (1 if self.holder and self.expired else 0)
        if taken_back:
            self._lost()

    def _lost(self) -> None:
        self.crashes += 1
        if self.cancel:
            self._end("cancelled")
        elif self.crashes >= jobs.MAX_CRASHES:
            self._end("failed")
        else:
            self.status, self.pause = PAUSED if self.pause else QUEUED, False

    def _end(self, status: str) -> None:
        self.status, self.pause = status, False

    # --- what always holds --------------------------------------------------------------------------
    @invariant()
    def is_as_the_model_says(self) -> None:
        row = Job.objects.get(pk=self.job.pk)
        assert (row.status, row.crashes) == (self.status, self.crashes)
        assert (row.cancel_requested, row.pause_requested) == (self.cancel, self.pause)
        assert row.finish_requested == self.finish_early
        assert bool(row.token) == bool(row.lease_expires_at) == (self.status == RUNNING)
        assert bool(row.finished_at) == (self.status in FINAL)
        assert row.attempt == len(self.holders)

    @invariant()
    def has_one_result_if_it_succeeded(self) -> None:
        made = TunedModel.objects.filter(job=self.job).count()
        assert made == (1 if self.status == "succeeded" else 0)

    @invariant()
    def every_crash_is_told(self) -> None:
        told = JobEvent.objects.filter(job=self.job, kind="crash").count()
        assert told >= self.crashes


@pytest.mark.django_db
def test_a_job_lives_as_the_model_says(monkeypatch, settings, tmp_path):
    settings.DATA = tmp_path
    monkeypatch.setattr(tasks, "ring", lambda *what: None)
    monkeypatch.setattr(jobs, "MAX_CRASHES", 2)  # so that a short life comes to its end
    rules = Settings(
        max_examples=80, stateful_step_count=60, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Life, settings=rules)
