"""How each ending of the trainer becomes an ending of the job."""

import errno
import json

import pytest
from django.utils import timezone

from training import jobs, leases, registry, runs, tasks
from training.datasets import store, versions
from training.models import Job, TunedModel
from training.supervise import Outcome

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(user, version, models_folder, monkeypatch) -> Job:
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    Job.objects.create(
        owner=user, version=version, name="끝", base="tiny", status="queued",
        queued_at=timezone.now(), resolved={"validation_share": 0.1},
    )  # fmt: skip
    return jobs.claim_next()


def status(job: Job) -> str:
    return Job.objects.get(pk=job.pk).status


def write_result(job: Job, tiny_base) -> None:
    result = registry.attempt_folder(job) / "result"
    result.mkdir(parents=True)
    files = {}
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (result / name).write_bytes((tiny_base / name).read_bytes())
        files[name] = {"size_bytes": (result / name).stat().st_size, "sha256": ""}
    (result / "manifest.json").write_text(json.dumps({"files": files, "metrics": {"loss": 1.5}}))


def test_a_whole_result_becomes_a_model_and_checkpoints_go(running, tiny_base):
    write_result(running, tiny_base)
    (registry.attempt_folder(running) / "checkpoint-00000001").mkdir()
    runs.settle(running, Outcome(exit_code=0))
    tuned = TunedModel.objects.get()
    assert tuned.metrics == {"loss": 1.5} and (registry.folder(tuned) / "config.json").exists()
    assert not (registry.attempt_folder(running) / "checkpoint-00000001").exists()


def test_a_result_with_a_missing_file_is_no_success(running, tiny_base):
    write_result(running, tiny_base)
    (registry.attempt_folder(running) / "result" / "model.safetensors").unlink()
    runs.settle(running, Outcome(exit_code=0))
    assert status(running) == "queued" and not TunedModel.objects.exists()


def test_what_the_user_can_mend_fails_the_job_with_its_cause(running):
    error = {"code": "out_of_memory", "params": {}}
    runs.settle(running, Outcome(exit_code=2, error=error))
    assert status(running) == "failed" and Job.objects.get().error == error


@pytest.mark.parametrize("exit_code", [-9, -11, 1, 2])
def test_a_crash_is_tried_again(running, exit_code):
    runs.settle(running, Outcome(exit_code=exit_code))
    assert status(running) == "queued"


def test_a_trainer_stopped_because_its_worker_goes_home_waits_again(running):
    runs.settle(running, Outcome(exit_code=75))
    assert status(running) == "queued" and not Job.objects.get().crashes


def test_a_trainer_whose_worker_was_frozen_or_without_database_too_long_did_not_crash(running):
    """Three such times without a checkpoint failed the job."""
    runs.settle(running, Outcome(exit_code=78))
    assert status(running) == "queued" and not Job.objects.get().crashes


def test_a_full_disk_lets_the_job_wait_for_room_and_counts_as_no_crash(running):
    """It used to fail the job at once, with all that it had learnt."""
    full = Outcome(exit_code=2, error={"code": "disk_full", "params": {}})
    for wait in (5, 10, 20, 40):
        runs.settle(running, full)
        job = Job.objects.get()
        assert (job.status, job.crashes) == ("queued", 0)
        left = (job.not_before - timezone.now()).total_seconds()
        assert wait - 2 < left <= wait
        assert jobs.claim_next() is None and not jobs.unheard()
        Job.objects.update(not_before=timezone.now())
        running = jobs.claim_next()
    jobs.beat(running, [{"kind": "checkpoint", "step": 10}])
    runs.settle(running, full)
    assert (Job.objects.get().not_before - timezone.now()).total_seconds() <= 5


def test_a_disk_that_stays_full_fails_the_job_in_the_end(running, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_WAITS_FOR_ROOM", 1)
    full = {"code": "disk_full", "params": {}}
    runs.settle(running, Outcome(exit_code=2, error=full))
    Job.objects.update(not_before=None)
    runs.settle(jobs.claim_next(), Outcome(exit_code=2, error=full))
    assert status(running) == "failed" and Job.objects.get().error == full


def test_a_disk_that_is_full_before_the_trainer_begins_is_waited_for_too(running, monkeypatch):
    """Three tries within a second failed the job."""

    def no_room(job: Job) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Job.objects.update(status="queued", **leases.FREE)
    monkeypatch.setattr(registry, "prepare", no_room)
    for _ in range(5):
        runs.train(running.pk)
    assert status(running) == "queued" and Job.objects.get().not_before


@pytest.mark.parametrize("exit_code", [75, -9])
def test_a_trainer_stopped_by_the_user_is_cancelled(running, exit_code):
    jobs.cancel(running)
    runs.settle(running, Outcome(exit_code=exit_code))
    assert status(running) == "cancelled"


def test_a_fenced_worker_writes_nothing(running):
    runs.settle(running, Outcome(exit_code=-9, fenced=True))
    assert status(running) == "running"


def test_a_base_that_is_gone_fails_the_job_before_it_starts(running, models_folder):
    import shutil

    shutil.rmtree(models_folder / "tiny")
    Job.objects.update(status="queued", **leases.FREE)
    runs.train(running.pk)
    assert status(running) == "failed" and Job.objects.get().error["code"] == "base_missing"


def test_the_device_is_held_by_one_at_a_time(data):
    with runs.device_alone() as first, runs.device_alone() as second:
        assert (first, second) == (True, False)


@pytest.mark.parametrize("exit_code", [-15, -9])
def test_a_trainer_that_its_leaving_worker_had_to_end_is_no_crash(running, exit_code):
    runs.settle(running, Outcome(exit_code=exit_code, sent_home=True))
    assert status(running) == "queued" and not Job.objects.get().crashes


def test_a_hook_that_fails_does_not_cost_the_job(running, monkeypatch, models_folder):
    def broken() -> None:
        raise RuntimeError("the engine is ill")

    Job.objects.update(status="queued", base="gone", **leases.FREE)
    monkeypatch.setattr(tasks, "BEFORE_HEAVY", [broken])
    runs.train(running.pk)
    assert Job.objects.get().error["code"] == "base_missing"


def test_cancelling_while_its_worker_leaves_ends_the_job(running):
    Job.objects.update(cancel_requested=True)
    assert jobs.release(running)
    assert status(running) == "cancelled"


def test_a_run_shares_segments_with_its_data_but_no_file_that_edits_go_into(running):
    """changes.jsonl was a link: what was appended to it came into the run that had begun."""
    source = versions.folder(running.version)
    store.remove(source, [0])
    run = registry.prepare(running) / "examples"
    assert (run / "segment-0000.jsonl").samefile(source / "segment-0000.jsonl")
    before = list(store.iterate(run))
    store.remove(source, [1])
    assert list(store.iterate(run)) == before and len(before) == 239
