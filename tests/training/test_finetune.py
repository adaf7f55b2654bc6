"""The whole main job without a browser, on real parts: reading, counting, training, registering."""

import io
import json

import pytest
from django.core.management import call_command
from peft import PeftModel
from transformers import AutoModelForCausalLM

from training.models import Job, TunedModel

pytestmark = pytest.mark.django_db(transaction=True)


def write(path, count: int):
    rows = [{"prompt": f"오늘 날씨 {i}", "completion": "맑습니다"} for i in range(count)]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    return path


def finetune(file, **options) -> str:
    said = io.StringIO()
    call_command("finetune", str(file), name="시험", base="tiny", stdout=said, **options)
    return said.getvalue().strip()


def test_a_file_becomes_a_model_that_plain_peft_loads(data, models_folder, user, tmp_path):
    folder = finetune(write(tmp_path / "a.jsonl", 220), epochs="1", owner="mina")
    base = AutoModelForCausalLM.from_pretrained(models_folder / "tiny")
    PeftModel.from_pretrained(base, folder)
    tuned = TunedModel.objects.get()
    assert tuned.owner == user and tuned.metrics["validation_loss"] > 0
    assert tuned.job.resolved["epochs"] == 1
    assert not list((data / "runs" / tuned.job_id).glob("attempt-*/checkpoint-*"))


def test_too_few_examples_are_refused_with_both_numbers(data, models_folder, user, tmp_path):
    with pytest.raises(SystemExit) as caught:
        finetune(write(tmp_path / "a.jsonl", 199))
    assert "199" in str(caught.value) and "200" in str(caught.value)
    assert not Job.objects.exclude(status="draft").exists()


def test_a_file_that_cannot_be_read_says_why(data, models_folder, user, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"PK\x03\x04" + bytes(range(256)) * 20)
    with pytest.raises(SystemExit):
        finetune(tmp_path / "a.jsonl")


def test_a_knob_out_of_bounds_is_named(data, models_folder, user, tmp_path):
    with pytest.raises(SystemExit, match="학습 반복"):
        finetune(write(tmp_path / "a.jsonl", 220), epochs="999")


def test_what_the_child_is_given_holds_no_secret(settings):
    from training import supervise

    given = supervise.environment()
    assert settings.SECRET_KEY not in given.values()
    assert not any("DATABASE" in name or "SECRET" in name for name in given)
