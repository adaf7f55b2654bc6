"""맛보기 학습: a few rows of a draft go through the whole of a training."""

import making
import numpy as np
import pytest

from training import drafts, forecast, jobs, recipe, registry, tasks, taste
from training.chat import Renderer
from training.errors import UserError
from training.models import Job, TokenCount, TunedModel
from training.trainer import batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(user, version, models_folder, monkeypatch) -> Job:
    monkeypatch.setattr(tasks, "ring", lambda *_: None)
    job = drafts.create_draft(user)
    drafts.edit(job, name="날씨 도우미", base="tiny", version=version, knobs={"lora_rank": 4})
    result = making.lengths((240, 40, 16))
    TokenCount.objects.create(version=version, base="tiny", status="ready", result=result)
    return job


def test_ten_rows_go_through_trainer_model_and_answers_and_the_draft_stays(draft, data):
    job = taste.start(draft)
    assert job.status == "queued" and job.is_taste and job.total_steps == 3
    tasks.KINDS["train"].run(job.pk)
    job.refresh_from_db()
    assert job.status == "succeeded", job.error
    begun, asked = (job.events.get(kind=kind).data for kind in ("start", "probes"))
    assert (begun["train_examples"], begun["validation_examples"]) == (9, 1)
    assert job.step == 3 and asked["questions"] and job.events.filter(kind="probe").count() == 2
    assert (registry.folder(job.tuned) / "adapter_config.json").exists()
    assert job.tuned.name == "날씨 도우미 맛보기" and job.resolved["lora_rank"] == 4
    draft.refresh_from_db()
    assert draft.status == "draft" and draft.knobs == {"lora_rank": 4}
    making.measured(data)
    assert {"start", "steps", "answers"} <= job.tuned.metrics["seconds"].keys()
    assert forecast.machine().lessons == ()
    jobs.delete(job)
    assert list(Job.objects.all()) == [draft] and not TunedModel.objects.exists()


def test_a_training_that_is_no_taste_teaches_the_forecast(draft, data):
    drafts.edit(draft, knobs={"epochs": 1})
    jobs.start(draft)
    tasks.KINDS["train"].run(draft.pk)
    making.measured(data)
    (lesson,) = forecast.machine().lessons
    assert lesson.base == "tiny" and lesson.times["start"] > 0 and lesson.memory > 0


def test_a_draft_that_can_not_start_has_no_taste(draft):
    draft.version = None
    with pytest.raises(UserError, match="job_without_data"):
        taste.start(draft)
    assert Job.objects.count() == 1


def test_another_try_of_a_taste_is_a_taste(draft):
    assert drafts.retry(taste.start(draft)).is_taste


def test_the_rows_are_from_all_over_the_data(tiny_base, tmp_path):
    making.write_unlike_examples(tmp_path / "examples", 95)
    corpus = batch.read(tmp_path / "examples", Renderer(tiny_base), 256, most=recipe.TASTE_ROWS)
    assert corpus.rows.tolist() == [0, 9, 19, 28, 38, 47, 57, 66, 76, 85]
    assert len(corpus) == 10 and np.all(np.diff(corpus.starts) > 0)
