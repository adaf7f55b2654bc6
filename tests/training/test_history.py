"""What a job said: the points that count, drawn together, the best of them, the marks, the log."""

import json

import pytest

from training import history
from training.history import History
from training.models import Job, JobEvent


@pytest.fixture
def job(user, version) -> Job:
    return Job.objects.create(
        owner=user, version=version, status="running", name="날씨", base="tiny", step=10,
        total_steps=100, resolved={"epochs": 4},
    )  # fmt: skip


@pytest.fixture
def say(job):
    """Return a teller of the job's events."""

    def say(kind: str, step: int, **data) -> JobEvent:
        return JobEvent.objects.create(job=job, attempt=1, kind=kind, step=step, data=data)

    return say


def steps(job: Job, kind: str = "metrics", **options) -> list[int]:
    return [point["step"] for point in History(job).points(kind, **options)]


def test_few_points_come_as_they_were_told(job, say):
    told = say(
        "metrics", 3, loss=1.23456789, epoch=0.12, learning_rate=2e-4, gradient_norm=0.5,
        tokens_per_second=None, memory_bytes=3_000_000_001, seconds_left=9,
    )  # fmt: skip
    assert History(job).points("metrics") == [
        {
            "id": told.pk, "step": 3, "epoch": 0.12, "loss": 1.2346, "learning_rate": 2e-4,
            "gradient_norm": 0.5, "memory_bytes": 3_000_000_001,
        }
    ]  # fmt: skip


def test_a_job_that_said_nothing_has_no_points(job):
    assert steps(job) == [] and History(job).best is None and History(job).marks == []


def test_after_a_crash_only_the_last_run_of_a_step_counts(job, say):
    say("start", 0)
    for step in (1, 2, 3, 4, 5):
        say("metrics", step, loss=9)
    say("validation", 4, validation_loss=9)
    say("start", 2)
    for step in (3, 4):
        say("metrics", step, loss=1)
    losses = [(point["step"], point["loss"]) for point in History(job).points("metrics")]
    assert losses == [(1, 9), (2, 9), (3, 1), (4, 1)]
    assert steps(job, "validation") == []


def test_a_crash_that_went_further_back_counts_over_one_that_did_not(job, say):
    for beginning in (0, 6, 4):
        say("start", beginning)
        for step in range(beginning + 1, 9):
            say("metrics", step, loss=beginning)
    say("start", 5)
    losses = [(point["step"], point["loss"]) for point in History(job).points("metrics")]
    assert losses == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 4)]


def test_a_pause_takes_nothing_back(job, say):
    say("start", 0)
    for step in (1, 2, 3):
        say("metrics", step, loss=1)
    say("start", 3)
    say("metrics", 4, loss=1)
    assert steps(job) == [1, 2, 3, 4]


def test_only_what_came_after_an_event_is_brought(job, say):
    seen = say("metrics", 1, loss=1)
    say("metrics", 2, loss=1)
    assert steps(job, after=seen.pk) == [2]


def test_a_long_run_is_drawn_together_and_no_spike_is_lost(job):
    rows = [
        JobEvent(
            job=job, attempt=1, kind="metrics", step=step,
            data={"loss": 50.0 if step == 11_234 else 0.001 if step == 17_001 else 1.0}
            | {"epoch": step / 5_000, "learning_rate": 1e-4, "gradient_norm": 1.234567},
        )
        for step in range(1, 20_001)
    ]  # fmt: skip
    JobEvent.objects.bulk_create(rows, batch_size=5000)
    points = History(job).points("metrics")
    assert len(points) == 500 and points[-1]["step"] == 20_000
    assert all(point["steps"] == 40 for point in points)
    assert max(point["high"] for point in points) == 50
    assert min(point["low"] for point in points) == 0.001
    spike = next(point for point in points if point["high"] == 50)
    assert spike["step"] - 40 < 11_234 <= spike["step"]
    assert spike["loss"] == pytest.approx((39 + 50) / 40, abs=1e-4)
    assert len(json.dumps(points)) < 150_000
    assert len(History(job).points("metrics", buckets=20)) == 20


def test_points_are_read_with_few_queries_however_many_there_are(
    job, say, django_assert_max_num_queries
):
    for step in range(1, 30):
        say("metrics", step, loss=1)
    with django_assert_max_num_queries(5):
        History(job).points("metrics")


def test_where_no_epoch_was_said_it_follows_from_the_step(job, say):
    say("validation", 50, validation_loss=1)
    assert History(job).points("validation")[0]["epoch"] == 2


def test_the_best_is_what_was_kept_as_the_best(job, say):
    say("validation", 5, validation_loss=0.5)
    say("best", 5, validation_loss=0.5)
    say("validation", 10, validation_loss=0.4, epoch=0.4)
    assert History(job).best["step"] == 5
    say("best", 10, validation_loss=0.4, epoch=0.4)
    assert History(job).best == {"step": 10, "epoch": 0.4, "loss": 0.4}


def test_without_such_news_the_best_is_the_lowest_validation_loss(job, say):
    for step, loss in ((5, 0.9), (10, 0.3), (15, 0.5)):
        say("validation", step, validation_loss=loss)
    assert (History(job).best["step"], History(job).best["loss"]) == (10, 0.3)


def test_a_best_that_was_taken_back_is_none(job, say):
    say("best", 10, validation_loss=0.1)
    say("start", 5)
    assert History(job).best is None


def test_marks_tell_where_it_stopped_and_went_on(job, say):
    say("crash", 50, code="worker_lost", params={})
    say("resumed", 25)
    say("checkpoint", 30)
    assert History(job).marks == [
        {"kind": "crash", "step": 50, "epoch": 2.0},
        {"kind": "resumed", "step": 25, "epoch": 1.0},
    ]


def test_curves_and_answers_are_no_lines_of_the_log(job, say):
    for kind in ("start", "metrics", "validation", "probes", "probe", "best", "checkpoint"):
        say(kind, 1)
    assert [event.kind for event in history.log(job)] == ["start", "checkpoint"]
