"""A job goes on and ends well, whatever is killed in the middle of it."""

import json
import signal
import sqlite3
import time

import pytest
import tiny
from running import Studio, wait_until

pytestmark = pytest.mark.journey
SUBMIT = """
import pathlib, shutil, sys
from studio.models import User
from training import drafts, jobs
from training.datasets import versions
user, _ = User.objects.get_or_create(username="mina", is_staff=True)
copy = pathlib.Path(shutil.copy("{file}", versions.incoming()))
version = versions.from_upload(user, "examples.jsonl", copy)
job = drafts.create_draft(user)
drafts.edit(job, name="끈기", base="tiny", version=version, knobs={knobs})
import time
for _ in range(300):
    job.refresh_from_db()
    if not drafts.blockers(job):
        break
    time.sleep(0.1)
jobs.start(job)
print(job.pk)
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    data = tmp_path_factory.mktemp("recovery")
    tiny.build(data / "models" / "tiny", hidden_size=64)
    settings = {"DADEUM_MIN_EXAMPLES": "20", "DADEUM_CHECKPOINT_SECONDS": "0.3"}
    with Studio(data, **settings) as running:
        yield running


def row(studio: Studio, job: str) -> dict:
    with sqlite3.connect(studio.data / "dadeum.sqlite3") as database:
        database.row_factory = sqlite3.Row
        found = database.execute("select * from training_job where id = ?", (job,)).fetchone()
    return dict(found)


def events(studio: Studio, job: str, kind: str) -> list[dict]:
    with sqlite3.connect(studio.data / "dadeum.sqlite3") as database:
        found = database.execute(
            "select attempt, step, data from training_jobevent where job_id = ? and kind = ? "
            "order by id",
            (job, kind),
        ).fetchall()
    return [{"attempt": a, "step": s, **json.loads(d)} for a, s, d in found]


def submit(studio: Studio, epochs: int = 25) -> str:
    file = studio.data / "examples.jsonl"
    lines = [
        json.dumps({"prompt": f"오늘 날씨 {i % 9}", "completion": "맑습니다"}, ensure_ascii=False)
        for i in range(120)
    ]
    file.write_text("\n".join(lines))
    return studio.shell(SUBMIT.format(file=file, knobs={"epochs": epochs})).splitlines()[-1]


def under_way(studio: Studio, job: str) -> int:
    """Wait until a job has a checkpoint and return the attempt that it is in."""
    wait_until(lambda: events(studio, job, "checkpoint"), 60, "a checkpoint")
    return row(studio, job)["attempt"]


def ends_well(studio: Studio, job: str) -> dict:
    wait_until(lambda: row(studio, job)["finished_at"], 120, "the end of the job")
    found = row(studio, job)
    assert found["status"] == "succeeded", found["error"]
    with sqlite3.connect(studio.data / "dadeum.sqlite3") as database:
        query = "select count(*) from training_tunedmodel where job_id = ?"
        assert database.execute(query, (job,)).fetchone() == (1,)
    return found


def resumed_from_a_checkpoint(studio: Studio, job: str, attempt: int) -> bool:
    return any(e["attempt"] > attempt and e["step"] > 0 for e in events(studio, job, "resumed"))


@pytest.mark.parametrize("victim", ["training.trainer", "-Q heavy"])
def test_a_killed_trainer_or_worker_costs_no_job(studio, victim):
    job = submit(studio)
    attempt = under_way(studio, job)
    for process in studio.processes(victim):
        process.kill()
    ended = ends_well(studio, job)
    assert ended["attempt"] == attempt + 1
    assert resumed_from_a_checkpoint(studio, job, attempt)


def test_a_worker_that_is_frozen_longer_than_its_lease_writes_nothing_more(studio):
    """Its trainer must stop by itself, so that never two train the same job."""
    job = submit(studio)
    attempt = under_way(studio, job)
    (worker,) = studio.processes("-Q heavy")
    worker.send_signal(signal.SIGSTOP)
    wait_until(lambda: not studio.processes("training.trainer"), 30, "the trainer's end")
    wait_until(lambda: row(studio, job)["status"] == "queued", 30, "the taking back")
    worker.send_signal(signal.SIGCONT)
    ends_well(studio, job)
    assert resumed_from_a_checkpoint(studio, job, attempt)


def test_stopping_and_starting_the_studio_goes_on_with_the_job(studio):
    job = submit(studio)
    attempt = under_way(studio, job)
    assert studio.stop() == 0
    assert row(studio, job)["status"] == "queued"
    studio.log.write_text("")
    studio.start()
    ends_well(studio, job)
    assert resumed_from_a_checkpoint(studio, job, attempt)


def test_cancelling_stops_the_trainer_and_one_waits_for_the_other(studio):
    first, second = submit(studio, epochs=2000), submit(studio, epochs=1)
    under_way(studio, first)
    assert row(studio, second)["status"] == "queued"
    assert len(studio.processes("training.trainer")) == 1
    asked = time.monotonic()
    studio.shell(
        f"from training import jobs, models; jobs.cancel(models.Job.objects.get(pk={first!r}))"
    )
    wait_until(lambda: row(studio, first)["status"] == "cancelled", 30, "the cancelling")
    assert time.monotonic() - asked < 20
    ends_well(studio, second)


def test_a_job_that_is_finished_early_leaves_a_model(studio):
    job = submit(studio, epochs=2000)
    under_way(studio, job)
    verb = "from training import jobs, models; print(jobs.{}(models.Job.objects.get(pk={!r})))"
    assert studio.shell(verb.format("finish_early", job)) == "True"
    ended = ends_well(studio, job)
    assert 0 < ended["step"] < ended["total_steps"]
    assert ended["attempt"] == 1 and ended["crashes"] == 0


def test_a_paused_job_goes_on_from_where_it_stopped(studio):
    job = submit(studio)
    attempt = under_way(studio, job)
    verb = "from training import jobs, models; print(jobs.{}(models.Job.objects.get(pk={!r})))"
    assert studio.shell(verb.format("pause", job)) == "True"
    wait_until(lambda: row(studio, job)["status"] == "paused", 30, "the pausing")
    stopped_at = row(studio, job)["step"]
    assert not studio.processes("training.trainer")
    assert studio.shell(verb.format("resume", job)) == "True"
    ended = ends_well(studio, job)
    assert ended["attempt"] == attempt + 1 and ended["crashes"] == 0
    assert [e["step"] for e in events(studio, job, "resumed") if e["attempt"] > attempt] == [
        stopped_at
    ]
