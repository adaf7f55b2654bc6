"""What a worker does when the database, the disk or the clock fails it."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from training import leases, supervise, tasks
from training.lifeline import EXIT_ORPHAN
from training.models import TokenCount


def locked(times: int, error: Exception):
    """Return a write that the database refuses so many times."""
    left = [error] * times

    def write() -> str:
        if left:
            raise left.pop()
        return "written"

    return write


@pytest.mark.django_db(transaction=True)
def test_an_ending_is_written_again_when_the_database_is_back(settings):
    settings.BEAT_SECONDS, settings.LEASE_SECONDS = 0.01, 5
    assert supervise.insist(locked(3, OperationalError("database is locked"))) == "written"


@pytest.mark.django_db(transaction=True)
def test_an_ending_is_left_to_the_reaper_once_the_lease_has_run_out(settings):
    settings.BEAT_SECONDS, settings.LEASE_SECONDS = 0.01, 0.05
    with pytest.raises(OperationalError):
        supervise.insist(locked(1000, OperationalError("database is locked")))


def test_an_ending_that_is_wrong_is_not_tried_again():
    write = locked(1, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        supervise.insist(write)


def test_a_child_whose_worker_was_frozen_has_stopped_and_not_crashed():
    assert supervise.Outcome(exit_code=EXIT_ORPHAN).is_stopped


@pytest.mark.django_db
def test_a_lease_written_before_the_clock_stepped_back_runs_out_too(version, settings):
    settings.LEASE_SECONDS = 60
    count = TokenCount.objects.create(version=version, base="tiny", lease_expires_at=timezone.now())
    for seconds, has_expired in ((-1, True), (30, False), (59, False), (3600, True)):
        count.lease_expires_at = timezone.now() + timedelta(seconds=seconds)
        count.save()
        assert TokenCount.objects.filter(leases.expired()).exists() == has_expired, seconds


@pytest.mark.django_db
def test_trouble_with_one_kind_of_work_does_not_keep_the_reaper_from_the_others(monkeypatch):
    reaped = []

    def broken() -> int:
        raise RuntimeError("a row that nobody can read")

    kinds = {
        "broken": tasks.Kind("broken", tasks.LIGHT, print, broken, lambda: ()),
        "sound": tasks.Kind("sound", tasks.LIGHT, print, lambda: reaped.append(1) or 1, lambda: ()),
    }
    monkeypatch.setattr(tasks, "KINDS", kinds)
    tasks.reap()
    assert reaped


def test_an_error_that_each_process_of_a_training_says_is_told_once():
    said, pending, outcome = supervise.Said(), [], supervise.Outcome()
    error = {"kind": "error", "code": "no_example_left", "params": {"max_length": 16}}
    for event in (error, dict(error), error | {"code": "disk_full"}):
        said.put(event)
    supervise._collect(said, pending, outcome)
    assert [event["code"] for event in pending] == ["no_example_left", "disk_full"]
    assert outcome.error["code"] == "disk_full"
