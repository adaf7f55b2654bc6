"""What is said about time and memory before a start."""

import json
from dataclasses import replace

import making
import pytest

from training import forecast, tasks
from training.bases import Base
from training.datasets import lengths
from training.models import Job, TunedModel

pytestmark = pytest.mark.django_db
NUMBERS = {"epochs": 3, "batch_size": 8, "max_length": 2048, "validation_share": 0.1}
COUNTED = lengths.kept(making.lengths((250, 72, 20), (50, 140, 20)), limit=2048)


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
    long = forecast.forecast(base, "lora", NUMBERS, replace(COUNTED, longest_used=2000))
    full = forecast.forecast(base, "full", NUMBERS, COUNTED)
    assert twice.seconds > 1.5 * one.seconds and full.seconds > one.seconds
    assert long.memory_bytes > one.memory_bytes and full.memory_bytes > one.memory_bytes


def test_a_larger_rank_takes_more_of_everything(base, data):
    (data / "speed.json").write_text('{"gigaflops": 900}')
    base = replace(base, linear_sides=305_280)
    small, large = (
        forecast.forecast(base, "lora", NUMBERS | {"lora_rank": rank}, COUNTED)
        for rank in (16, 256)
    )
    assert large.seconds > 1.5 * small.seconds
    assert large.memory_bytes - small.memory_bytes == 16 * 305_280 * 240


def test_the_speed_of_another_rank_is_carried_over(base, data, user, version):
    (data / "speed.json").write_text('{"gigaflops": 1}')
    base = replace(base, linear_sides=305_280)
    job = Job.objects.create(
        owner=user, version=version, status="succeeded", resolved={"lora_rank": 256}
    )
    TunedModel.objects.create(
        owner=user, job=job, base="small", method="lora", metrics={"tokens_per_second": 100}
    )
    same, _is_known = forecast.tokens_per_second(base, "lora", 256)
    faster, _is_known = forecast.tokens_per_second(base, "lora", 16)
    assert same == pytest.approx(100) and faster > 150


def test_disk_is_the_result_and_three_checkpoints_of_what_is_trained(base):
    base = replace(base, linear_sides=1000, size_bytes=270_000_000)
    lora = forecast.disk(base, "lora", {"lora_rank": 8})
    assert lora == forecast.Disk(result_bytes=32_000, most_bytes=3 * 96_000)
    full = forecast.disk(base, "full", {})
    assert full == forecast.Disk(result_bytes=270_000_000, most_bytes=3 * 12 * 135_000_000)


def test_effects_are_those_of_the_forecast_where_the_data_is_counted(base, data):
    (data / "speed.json").write_text('{"gigaflops": 900}')
    twice = forecast.effect(base, "lora", NUMBERS | {"epochs": 6}, NUMBERS, (COUNTED, COUNTED))
    assert 1.5 < twice.time < 2 and twice.memory == 1 and twice.disk == 1
    batch = NUMBERS | {"batch_size": 32}
    assert forecast.effect(base, "lora", batch, NUMBERS, (COUNTED, COUNTED)).memory > 1
    short = NUMBERS | {"max_length": 64}
    cut = replace(COUNTED, tokens=12_500)
    assert forecast.effect(base, "lora", short, NUMBERS, (cut, COUNTED)).time < 0.8


def test_without_data_only_what_does_not_hang_on_it_is_said(base, data):
    def without(**numbers: float) -> forecast.Effect:
        return forecast.effect(base, "lora", NUMBERS | numbers, NUMBERS, None)

    assert without(epochs=6) == forecast.Effect(time=2, memory=1, disk=1)
    assert without(batch_size=32) == forecast.Effect(time=1, memory=None, disk=1)
    assert without(max_length=64) == forecast.Effect(time=None, memory=None, disk=1)
