"""What is said about time and memory before a start."""

import json

import pytest

from training import forecast, tasks
from training.bases import Base
from training.models import Job, TunedModel

pytestmark = pytest.mark.django_db
NUMBERS = {"epochs": 3, "batch_size": 8, "max_length": 2048, "validation_share": 0.1}
COUNTED = {"examples": 300, "lost": 0, "tokens": 25_000, "longest": 160}


@pytest.fixture
def base(data, tmp_path):
    return Base("small", "Small", tmp_path, parameters=135_000_000)


def test_an_unmeasured_machine_is_measured_first(base, data, monkeypatch):
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what))
    assert forecast.forecast(base, "lora", NUMBERS, COUNTED) is None
    assert rung == [("measure", "machine")]
    forecast.measure()
    assert json.loads((data / "speed.json").read_text())["gigaflops"] > 1
    assert forecast.forecast(base, "lora", NUMBERS, COUNTED).seconds > forecast.START_SECONDS


def test_finished_trainings_tell_the_speed(base, data, user, version):
    (data / "speed.json").write_text('{"gigaflops": 1}')
    for speed in (100, 200, 300):
        job = Job.objects.create(owner=user, version=version, status="succeeded")
        TunedModel.objects.create(
            owner=user, job=job, base="small", method="lora", metrics={"tokens_per_second": speed}
        )
    found = forecast.forecast(base, "lora", NUMBERS, COUNTED)
    assert found.is_from_trainings
    assert found.seconds == round(forecast.START_SECONDS + 75_000 * (0.9 + 0.1 * 2 / 3) / 200)


def test_more_work_takes_more_time_and_longer_rows_more_memory(base, data):
    (data / "speed.json").write_text('{"gigaflops": 900}')
    one = forecast.forecast(base, "lora", NUMBERS, COUNTED)
    twice = forecast.forecast(base, "lora", NUMBERS | {"epochs": 6}, COUNTED)
    long = forecast.forecast(base, "lora", NUMBERS, COUNTED | {"longest": 2000})
    full = forecast.forecast(base, "full", NUMBERS, COUNTED)
    assert twice.seconds > 1.5 * one.seconds and full.seconds > one.seconds
    assert long.memory_bytes > one.memory_bytes and full.memory_bytes > one.memory_bytes
