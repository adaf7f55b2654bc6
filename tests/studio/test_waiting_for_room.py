"""What a job's page says while the disk is full."""

from datetime import timedelta

import pytest
from django.utils import timezone

from studio.views import lines
from training import jobs, tasks
from training.models import Job

pytestmark = pytest.mark.django_db


def test_a_job_that_waits_for_room_says_so_until_it_is_its_turn(user, make, monkeypatch):
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    make.job(user, make.version(user))
    jobs.crashed(jobs.claim_next(), {"code": "disk_full", "params": {}})
    job = Job.objects.get()
    assert "디스크에 남은 공간이 없어 기다립니다" in lines.happening(job)
    job.not_before = timezone.now() - timedelta(seconds=1)
    assert "디스크" not in lines.happening(job)


def test_a_job_that_waits_for_the_night_waits_for_no_room(user, make):
    night = timezone.now() + timedelta(hours=3)
    job = make.job(user, make.version(user), not_before=night)
    assert "디스크" not in lines.happening(job)
