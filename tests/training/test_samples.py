"""The built-in sample: what it holds, and the job that one press starts."""

from collections import Counter

import making
import pytest

from training import bases, drafts, jobs, samples, tasks
from training.models import Job

DEPARTMENTS = {"교통과", "환경과", "복지과", "세무과", "건축과"}


def test_the_sample_is_large_balanced_and_apart_from_what_is_held_out():
    taught, asked = samples.records("enquiries"), samples.records("enquiries-held-out")
    assert len(taught) >= 300 and len(asked) == 60
    for rows, each in ((taught, 64), (asked, 12)):
        assert Counter(row["completion"] for row in rows) == dict.fromkeys(DEPARTMENTS, each)
    assert not {row["prompt"] for row in taught} & {row["prompt"] for row in asked}


def test_a_few_held_out_enquiries_are_of_different_departments():
    assert {record["completion"] for record in samples.held_out(5)} == DEPARTMENTS


def test_a_question_with_examples_shows_five_solved_ones_before_it():
    text = samples.with_examples("민원: 시험\n담당 부서:")
    assert text.count("부서: ") == 5 and text.endswith("\n\n민원: 시험\n담당 부서:")


def test_an_enquiry_stands_bare_beside_its_prompt():
    for record in samples.held_out(5):
        assert record["prompt"] == f"민원: {record['enquiry']}\n담당 부서:"


@pytest.fixture
def builtin(tiny_base, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(bases, "BUILTIN", replace(bases.BUILTIN, folder=tiny_base))


@pytest.mark.django_db
def test_one_press_starts_the_sample_and_another_shows_the_same_job(
    user, data, builtin, monkeypatch
):
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what[0]))
    job = samples.start(user)
    assert job.status == "validating_files" and rung == ["read"]
    assert job.work == "classify" and drafts.resolved(job)["epochs"] == samples.KNOBS["epochs"]
    assert samples.start(user).pk == job.pk
    assert not list((data / "incoming").iterdir())
    jobs.cancel(job)
    assert samples.start(user).pk != job.pk
    assert Job.objects.count() == 2


def test_its_time_is_forecast_from_this_machines_speed(data, builtin, db):
    making.measured(data)
    assert samples.expected().seconds > 10
