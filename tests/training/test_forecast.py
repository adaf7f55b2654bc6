"""What is said about time, memory and disk before a start."""

import fcntl
import json
from dataclasses import replace

import making
import pytest
from django.utils import timezone

from training import costs, forecast, tasks
from training.bases import Base
from training.datasets import lengths
from training.forecast import Forecast, Lesson, Machine
from training.models import Job, TokenCount, TunedModel

pytestmark = pytest.mark.django_db
NUMBERS = {"epochs": 3, "batch_size": 8, "max_length": 2048, "validation_share": 0.1}
RESULT = making.lengths((250, 72, 20), (50, 140, 20))
COUNTED = lengths.kept(RESULT, limit=2048)
SMOL = costs.Shape(30, 576, 1536, 9, 3, 64, vocabulary=49_152)


@pytest.fixture
def base(data, tmp_path):
    making.measured(data)
    return Base("small", "Small", tmp_path, parameters=135_000_000, shape=SMOL)


def seconds(base, kept=COUNTED, method="lora", **numbers) -> dict[str, float]:
    return forecast.parts(base, method, NUMBERS | numbers, kept, making.RATES)


def test_an_unmeasured_machine_is_measured_first(base, data, monkeypatch):
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what))
    (data / "speed.json").unlink()
    assert forecast.forecast(base, "lora", NUMBERS, COUNTED) is None
    assert rung == [("measure", "machine")]


@pytest.mark.parametrize("place", [None, {}, {"model name": "another"}])
def test_what_another_machine_told_counts_no_more(base, data, place, monkeypatch):
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what))
    assert forecast.measured() and not rung
    (data / "speed.json").write_text(json.dumps(making.measured(data) | {"place": place}))
    assert forecast.measured() is None
    assert rung == [("measure", "machine")]


def test_a_measurement_beside_a_training_is_made_again_once_it_is_over(
    base, data, user, version, monkeypatch
):
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda *what: rung.append(what))
    told = making.measured(data) | {"was_disturbed": True}
    (data / "speed.json").write_text(json.dumps(told))
    job = Job.objects.create(owner=user, version=version, status="running")
    assert forecast.measured() == told and not rung
    Job.objects.filter(pk=job.pk).update(status="succeeded", finished_at=timezone.now())
    assert forecast.measured() == told and rung == [("measure", "machine")]


def test_more_work_takes_more_time_and_longer_rows_more_memory(base):
    one, twice = seconds(base), seconds(base, epochs=6)
    assert twice["steps"] == pytest.approx(2 * one["steps"])
    assert twice["validation"] == pytest.approx(one["validation"] * 13 / 7)
    assert twice["start"] == one["start"]
    assert seconds(base, method="full")["steps"] > one["steps"]
    assert seconds(base, batch_size=1)["steps"] > one["steps"]  # more calls and updates
    assert seconds(base, validation_share=0)["validation"] == 0
    found = forecast.forecast(base, "lora", NUMBERS, COUNTED)
    assert found.seconds == round(sum(one.values()))
    long = forecast.forecast(base, "lora", NUMBERS, replace(COUNTED, longest_used=2000))
    full = forecast.forecast(base, "full", NUMBERS, COUNTED)
    assert long.memory_bytes > found.memory_bytes and full.memory_bytes > found.memory_bytes


def test_beginnings_in_common_and_answers_have_their_say(base):
    alike = replace(COUNTED, shares=((2, 0.2), (8, 0.4), (32, 0.5)))
    assert alike.shared(1) == 0 and alike.shared(4) == pytest.approx(0.3)
    assert alike.shared(100) == 0.5 and COUNTED.shared(8) == 0
    assert seconds(base, alike)["steps"] < 0.8 * seconds(base)["steps"]
    assert seconds(base, replace(COUNTED, answer=2))["answers"] < seconds(base)["answers"]


def test_a_model_that_is_not_packed_takes_its_examples_one_by_one(base):
    plain = replace(base, shape=replace(SMOL, is_packed=False))
    assert seconds(plain)["steps"] > seconds(base)["steps"]


def test_answers_take_at_most_a_twentieth_beside_the_first_and_the_last(base):
    told = seconds(base, epochs=100)
    assert told["answers"] < 2 * forecast.ANSWER_SECONDS + (told["steps"] + told["validation"]) / 20


def test_a_larger_rank_takes_more_of_everything(base):
    base = replace(base, linear_sides=305_280)
    assert seconds(base, lora_rank=256)["steps"] > 1.3 * seconds(base, lora_rank=16)["steps"]
    small, large = (
        forecast.memory_bytes(base, "lora", 4000, rank, COUNTED, making.RATES) for rank in (16, 256)
    )
    assert large - small == 16 * 305_280 * 240


# --- what finished trainings tell -----------------------------------------------------------------
def trained(user, version, times: float, base="small", **more):
    """Record a training of COUNTED that took so many times as long as was to be expected."""
    expected = seconds(Base("small", "", None, parameters=135_000_000, shape=SMOL))
    steps = 3 * 34
    job = Job.objects.create(
        owner=user, version=version, status="succeeded", base=base, resolved=NUMBERS,
        total_steps=steps, **more,
    )  # fmt: skip
    took = {part: one * times for part, one in expected.items()}
    metrics = {"seconds": took, "steps": steps, "peak_bytes": 3 * 10**9}
    return TunedModel.objects.create(owner=user, job=job, base=base, method="lora", metrics=metrics)


@pytest.fixture
def counted(version):
    return TokenCount.objects.create(version=version, base="small", status="ready", result=RESULT)


def test_finished_trainings_correct_the_measurement(base, user, version, counted, monkeypatch):
    monkeypatch.setattr("training.bases.find", lambda slug: base)
    before = forecast.forecast(base, "lora", NUMBERS, COUNTED)
    for _ in range(4):
        trained(user, version, 2)
    found = forecast.forecast(base, "lora", NUMBERS, COUNTED)
    assert found.is_from_trainings and not before.is_from_trainings
    assert 1.8 * before.seconds < found.seconds < 2 * before.seconds
    assert found.doubt < before.doubt


def test_a_training_of_another_shape_corrects_too(base, user, version, counted, monkeypatch):
    monkeypatch.setattr("training.bases.find", lambda slug: base)
    long = lengths.kept(making.lengths((300, 900, 600)), limit=2048)
    before = forecast.forecast(base, "lora", NUMBERS, long).seconds
    trained(user, version, 2)
    assert forecast.forecast(base, "lora", NUMBERS, long).seconds > 1.4 * before


def test_tastes_and_trainings_whose_lengths_are_gone_tell_nothing(
    base, user, version, counted, monkeypatch
):
    monkeypatch.setattr("training.bases.find", lambda slug: base)
    trained(user, version, 2, is_taste=True)
    trained(user, version, 2, base="other")
    assert forecast.machine().lessons == ()


def test_an_early_end_is_measured_by_the_steps_it_took(base):
    expected = seconds(base)
    job = Job(base="small", method="lora", resolved=NUMBERS, total_steps=100)
    took = {"steps": expected["steps"] / 2}
    metrics = {"seconds": took, "steps": 50, "peak_bytes": 10**9}
    lesson = forecast._lesson(job, base, metrics, RESULT, making.RATES)
    assert lesson.times == {"steps": pytest.approx(1)}


def test_what_is_like_the_training_counts_more(base):
    like = Lesson("small", "lora", dict.fromkeys(forecast.PARTS, 2.0), 1)
    unlike = Lesson("other", "full", dict.fromkeys(forecast.PARTS, 2.0), 1)
    one, other = (
        forecast.forecast(base, "lora", NUMBERS, COUNTED, Machine(making.RATES, (lesson,)))
        for lesson in (like, unlike)
    )
    assert one.seconds > other.seconds > sum(seconds(base).values())


def test_short_times_are_one_figure_and_long_ones_a_range():
    assert Forecast(40, 0, False).range == (40, 40)
    assert Forecast(1000, 0, False, doubt=0.2).range == (800, 1200)


# --- terms ------------------------------------------------------------------------------------------
def test_terms_are_found_again_from_their_sums():
    rates = {"products": 2e-12, "calls": 1e-3}
    rows = [{"products": 1e9 * a, "calls": 10.0 * b} for a, b in ((1, 9), (50, 2), (900, 1))]
    found = costs.fit(rows, [costs.cost(row, rates) for row in rows])
    assert found == {name: pytest.approx(rate, rel=1e-3) for name, rate in rates.items()}


def test_no_term_costs_less_than_nothing():
    rows = [{"products": 1.0, "calls": 1.0}, {"products": 2.0, "calls": 1.0}]
    assert min(costs.fit(rows, [3.0, 1.0]).values()) >= 0


def test_the_shape_is_that_of_the_model(tiny_base):
    from transformers import AutoModelForCausalLM

    from training import chat
    from training.lm.trainable import PACKABLE

    shape = costs.shape_of(chat.read_json(tiny_base / "config.json"))
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    linear = [
        module.weight.shape for name, module in model.named_modules()
        if "layers" in name and hasattr(module, "weight") and module.weight.ndim == 2
    ]  # fmt: skip
    assert shape.weights == sum(rows * columns for rows, columns in linear)
    assert shape.sides == sum(rows + columns for rows, columns in linear)
    assert shape.is_packed and costs.FAST == PACKABLE
    assert shape.is_tied == (model.lm_head.weight is model.model.embed_tokens.weight)
    assert costs.shape_of({"hidden_size": 4}) is None


@pytest.mark.parametrize(
    ("told", "is_tied"),
    [
        ({"model_type": "llama"}, False),
        ({"model_type": "llama", "tie_word_embeddings": True}, True),
        ({"model_type": "gemma3_text"}, True),
        ({"model_type": "gemma3_text", "tie_word_embeddings": False}, False),
    ],
)
def test_a_head_is_one_with_the_embedding_where_the_model_says_so(told, is_tied):
    sizes = {
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
    }
    assert costs.shape_of(sizes | {"vocab_size": 30} | told).is_tied == is_tied


@pytest.mark.parametrize(
    ("method", "precision", "difference"),
    [
        ("lora", "bfloat16", 3),
        ("lora", "float32", 0),
        ("full", "bfloat16", 1),
        ("full", "float32", 0),
    ],
)
def test_a_head_of_its_own_is_held_in_the_precision_of_computing(
    base, method, precision, difference
):
    """Of as many numbers beside the layers, half are the head's then, and none of them stands twice."""
    rates = making.RATES | {"precision": precision}
    one, own = (
        forecast.memory_bytes(
            replace(base, shape=replace(SMOL, is_tied=is_tied)), method, 40_000, rates=rates
        )
        for is_tied in (True, False)
    )
    beside = base.parameters - SMOL.weights
    assert one - own == pytest.approx(difference * beside, abs=1000)


@pytest.mark.parametrize("parameters", [135_000_000, 1_500_000_000, 7_000_000_000])
def test_a_usual_shape_has_about_as_many_parameters(parameters):
    assert 0.5 < costs.usual_shape(parameters).weights / parameters < 1.5


# --- disk and effects -----------------------------------------------------------------------------
def test_disk_is_the_result_and_three_checkpoints_of_what_is_trained(base):
    base = replace(base, linear_sides=1000, size_bytes=270_000_000)
    lora = forecast.disk(base, "lora", {"lora_rank": 8})
    assert lora == forecast.Disk(result_bytes=32_000, most_bytes=3 * 96_000)
    full = forecast.disk(base, "full", {})
    assert full == forecast.Disk(result_bytes=270_000_000, most_bytes=3 * 12 * 135_000_000)


def test_effects_are_those_of_the_forecast_where_the_data_is_counted(base):
    twice = forecast.effect(base, "lora", NUMBERS | {"epochs": 6}, NUMBERS, (COUNTED, COUNTED))
    assert 1.5 < twice.time < 2 and twice.memory == 1 and twice.disk == 1
    batch = NUMBERS | {"batch_size": 32}
    assert forecast.effect(base, "lora", batch, NUMBERS, (COUNTED, COUNTED)).memory > 1
    short = NUMBERS | {"max_length": 64}
    cut = replace(COUNTED, tokens=12_500)
    assert forecast.effect(base, "lora", short, NUMBERS, (cut, COUNTED)).time < 0.9


def test_without_data_only_what_does_not_hang_on_it_is_said(base):
    def without(**numbers: float) -> forecast.Effect:
        return forecast.effect(base, "lora", NUMBERS | numbers, NUMBERS, None)

    assert without(epochs=6) == forecast.Effect(time=2, memory=1, disk=1)
    assert without(batch_size=32) == forecast.Effect(time=1, memory=None, disk=1)
    assert without(max_length=64) == forecast.Effect(time=None, memory=None, disk=1)


def test_a_machine_measures_itself_once_at_a_time(data, base, monkeypatch):
    """With the real measurement, of real steps."""
    (data / "speed.json").unlink()
    with (data / "speed.asked").open("a") as asked:
        fcntl.flock(asked, fcntl.LOCK_EX)
        forecast.measure()
    assert not (data / "speed.json").exists()
    forecast.measure()
    found = forecast.forecast(base, "lora", NUMBERS, COUNTED)
    assert found and found.seconds > 10 and found.memory_bytes > 500_000_000
