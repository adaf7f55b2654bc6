"""When waiting jobs will begin: exact for forecasts that are exact."""

import json
from datetime import timedelta

import making
import pytest
from django.utils import timezone

from training import line, schedule, tasks, wire
from training.models import Heartbeat, Job, TokenCount

pytestmark = pytest.mark.django_db
NUMBERS = {
    "epochs": 3, "batch_size": 8, "max_length": 512, "validation_share": 0.1, "lora_rank": 16,
}  # fmt: skip


@pytest.fixture(autouse=True)
def counted(version, data, models_folder, monkeypatch):
    """Data that was counted, on a machine that was measured."""
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    making.measured(data, 0.01)
    result = making.lengths((240, 2000, 16))
    TokenCount.objects.create(version=version, base="tiny", status="ready", result=result)


@pytest.fixture
def now(monkeypatch):
    moment = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: moment)
    return moment


@pytest.fixture
def job(user, version, now):
    def make(status: str = "queued", minute: int = 0, **fields) -> Job:
        given = {"resolved": NUMBERS, "queued_at": now - timedelta(minutes=60 - minute)}
        return Job.objects.create(
            owner=user, version=version, name=f"{minute}", base="tiny", status=status,
            **given | fields,
        )  # fmt: skip

    return make


def seconds(job: Job) -> float:
    return schedule.Lengths([job]).seconds(job)


def starts(now) -> dict[str, float | None]:
    """Return the seconds until each waiting job begins, by name."""
    found = schedule.slots()
    names = dict(Job.objects.values_list("pk", "name"))
    return {
        names[pk]: None if slot.start is None else (slot.start - now).total_seconds()
        for pk, slot in found.items()
    }


def test_a_job_begins_when_those_before_it_have_ended(job, now):
    job("running", progress={"seconds_left": 100})
    first = job(minute=1)
    job(minute=2)
    job(minute=3)
    length = seconds(first)
    assert length > 100
    assert starts(now) == {"1": 100, "2": 100 + length, "3": 100 + 2 * length}
    assert schedule.slots()[first.pk].end == now + timedelta(seconds=100 + length)


def test_a_running_job_that_has_not_said_yet_takes_its_forecast(job, now):
    running = job("running")
    job(minute=1)
    assert starts(now) == {"1": seconds(running)}
    Job.objects.filter(pk=running.pk).update(step=75, total_steps=100)
    assert starts(now)["1"] == pytest.approx(seconds(running) / 4)
    Job.objects.filter(pk=running.pk).update(cancel_requested=True)
    assert starts(now)["1"] == 0


def test_a_night_job_begins_at_its_time_and_holds_up_nobody_before(job, now):
    job("running", progress={"seconds_left": 100})
    job(minute=1, not_before=now + timedelta(hours=50), priority=line.FIRST)
    second = job(minute=2)
    assert starts(now) == {"2": 100, "1": 50 * 3600}
    late = 100 + seconds(second) - 5
    Job.objects.filter(name="1").update(not_before=now + timedelta(seconds=late))
    assert starts(now)["1"] == pytest.approx(100 + seconds(second))


def test_two_workers_train_two_at_a_time(job, now):
    for number in range(2):
        Heartbeat.objects.create(name=f"heavy@{number}", lane="heavy", beat_at=now)
    gone = now - timedelta(hours=1)
    Heartbeat.objects.create(name="heavy@gone", lane="heavy", beat_at=gone)
    Heartbeat.objects.create(name="light@1", lane="light", beat_at=now)
    assert schedule.workers() == 2
    first = job(minute=1)
    job(minute=2)
    job(minute=3)
    assert starts(now) == {"1": 0, "2": 0, "3": seconds(first)}


def test_what_waits_behind_the_unknown_is_unknown(job, now, data):
    job(minute=1)
    job(minute=2)
    (data / "speed.json").unlink()
    assert starts(now) == {"1": 0, "2": None}


def test_a_draft_is_told_when_it_would_begin(job, now, user, version):
    first = job(minute=1)
    draft = Job.objects.create(owner=user, version=version, base="tiny", name="초안")
    slot = schedule.slots(also=draft)[draft.pk]
    assert slot.start == now + timedelta(seconds=seconds(first))
    assert draft.status == "draft" and draft.queued_at is None
    draft.not_before = now + timedelta(days=9)
    assert schedule.slots(also=draft)[draft.pk].start == draft.not_before


def test_the_queries_do_not_grow_with_the_line(job, django_assert_num_queries):
    job("running")
    for number in range(20):
        job(minute=number)
    with django_assert_num_queries(6):
        schedule.slots()


def test_programs_are_told_when_a_waiting_job_will_have_ended(job, now):
    first, second = job(minute=1), job(minute=2)
    end = (now + timedelta(seconds=2 * seconds(first))).timestamp()
    assert wire.job(second)["estimated_finish"] == int(end)
    assert [one["estimated_finish"] for one in wire.jobs([second])] == [int(end)]
    json.dumps(wire.job(first))
