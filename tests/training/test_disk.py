"""What runs take of the disk stays in bounds, and nothing goes that somebody has."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from training import bases, disk, drafts, forecast, jobs, registry, supervise, tasks
from training.leases import Order
from training.models import Job

pytestmark = pytest.mark.django_db
GONE = "a" * 16


@pytest.fixture
def job(user, version, models_folder, monkeypatch) -> Job:
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    return Job.objects.create(
        owner=user, version=version, name="끝", base="tiny", status="queued",
        queued_at=timezone.now(), resolved={"lora_rank": 16},
    )  # fmt: skip


def folder(data: Path, name: str, hours: float) -> Path:
    made = data / "runs" / name
    made.mkdir(parents=True)
    then = time.time() - hours * 3600
    os.utime(made, (then, then))
    return made


def since(user, days: int) -> None:
    type(user).objects.update(date_joined=timezone.now() - timedelta(days=days))


def test_an_old_folder_whose_job_is_gone_goes_and_no_other(data, user, job):
    since(user, days=30)
    old, fresh = folder(data, GONE, 25), folder(data, "b" * 16, 23)
    own = folder(data, job.pk, 99)
    disk.sweep()
    assert not old.exists() and fresh.exists() and own.exists()


def test_folders_of_before_this_database_are_left_alone(data, user):
    """A new database over an old data folder must not cost the models that lie there."""
    since(user, days=1)
    old = folder(data, GONE, 48)
    disk.sweep()
    assert old.exists()


def test_the_sweep_comes_once_an_hour(data, user):
    since(user, days=30)
    folder(data, "b" * 16, 1)
    disk.sweep()
    old = folder(data, GONE, 25)
    disk.sweep()
    assert old.exists()
    an_hour_ago = time.time() - 3601
    os.utime(data / "runs.swept", (an_hour_ago, an_hour_ago))
    jobs.reap()
    assert not old.exists()


@pytest.mark.parametrize("end", [jobs.release, lambda job: jobs.crashed(job, {"code": "x"})])
def test_a_job_that_goes_on_later_keeps_its_checkpoints_and_no_halves(job, end):
    held = jobs.claim_next()
    attempt = registry.attempt_folder(held)
    for name in ("checkpoint-00000010", ".checkpoint-00000020.part"):
        (attempt / name).mkdir(parents=True)
    assert end(held)
    assert [path.name for path in attempt.iterdir()] == ["checkpoint-00000010"]


def test_a_fenced_attempt_takes_nothing_of_the_next_one(job):
    held = jobs.claim_next()
    part = registry.run_folder(job) / "attempt-2" / ".checkpoint-00000020.part"
    part.mkdir(parents=True)
    disk.trim(held)
    assert part.exists()


def test_a_start_counts_what_other_runs_will_still_write(job, user, version, monkeypatch):
    full = forecast.disk(bases.find("tiny"), "full", {"patience": 4})
    draft = drafts.create_draft(user)
    drafts.edit(draft, name="다음", base="tiny", method="full", version=version)
    Job.objects.filter(pk=job.pk).update(method="full", resolved={"patience": 4})
    room = full.most_bytes + full.result_bytes
    monkeypatch.setattr(forecast, "free_bytes", lambda: room)
    assert disk.promised_bytes(besides=draft) == full.result_bytes  # it has not begun
    assert not drafts.disk_blockers(draft)
    Job.objects.filter(pk=job.pk).update(status="paused", attempt=1)
    assert disk.promised_bytes(besides=draft) == full.most_bytes
    (error,) = drafts.disk_blockers(draft)
    assert error.code == "disk_promised"
    saved = registry.run_folder(job) / "attempt-1" / "checkpoint-00000001" / "state.safetensors"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(b"0" * (full.most_bytes - full.result_bytes))
    assert not drafts.disk_blockers(draft)  # what lies there is no longer to come
    monkeypatch.setattr(forecast, "free_bytes", lambda: full.most_bytes - 1)
    assert drafts.disk_blockers(draft)[0].code == "disk_too_small"


def test_a_log_is_cut_to_its_newer_half_while_a_child_writes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "LOG_BYTES", 10_000)
    log = tmp_path / "log.txt"
    code = (
        "import sys\nfor n in range(5000): print('line', n, file=sys.stderr)\n"
        "sys.stdin.read()\nprint('the end', file=sys.stderr)"
    )
    with log.open("ab") as file:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=file)
        while "line 4999" not in log.read_text():
            time.sleep(0.05)
        supervise.shorten(log)
        assert log.stat().st_size <= 5_000
        child.communicate(b"")
    lines = log.read_text().splitlines()
    assert lines[0].startswith("line ") and lines[-2:] == ["line 4999", "the end"]


def test_a_childs_log_stays_in_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "LOG_BYTES", 10_000)
    (tmp_path / "log.txt").write_text("old\n" * 9_000)
    supervise.supervise(
        "this", ["--version"], beat=lambda events: Order.GO_ON, log=tmp_path / "log.txt"
    )  # a module that is not there says so
    assert (tmp_path / "log.txt").stat().st_size < 10_000


def test_of_all_attempts_the_two_newest_checkpoints_are_kept(tmp_path):
    """A job that was paused twice holds no more on the disk than one that never was."""
    import torch

    from training.trainer import checkpoint

    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([weight])
    for attempt, steps in ((1, (1, 2, 3)), (2, (4,)), (3, (5,))):
        for step in steps:
            folder = tmp_path / f"attempt-{attempt}"
            checkpoint.save(folder, step, {"weight": weight}, optimizer, {})
    kept = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert kept == ["attempt-2/checkpoint-00000004", "attempt-3/checkpoint-00000005"]
