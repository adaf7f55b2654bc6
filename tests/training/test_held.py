"""What a training held back, found again: the very examples that its trainer held back."""

import json

import making
import pytest
from trainer_runs import of_kind, train

from training import registry
from training.datasets import questions, segments, store, versions
from training.models import Dataset, DatasetVersion, Job
from training.trainer import held


@pytest.mark.parametrize("overflow", ["cut", "drop"])
def test_they_are_those_that_the_trainer_held_back(overflow, tiny_base, tmp_path):
    """Every row's question is its own, so that the three that the trainer asks while it learns tell rows apart."""
    run = making.run_folder(
        tmp_path / "run", tiny_base, epochs=1, validation_examples=9, overflow=overflow,
        max_length=60,
    )  # fmt: skip
    rows = [
        (f"{number} 오늘 날씨 " + "hello " * (90 * (number % 4 == 0)), "네") for number in range(40)
    ]
    segments.clear(run / "examples")
    with segments.Writer(run / "examples") as writer:
        for row in rows:
            writer.add(example(*row))
    code, events = train(run)
    (start,) = of_kind(events, "start")
    (told,) = of_kind(events, "probes")
    assert code == 0 and start["validation_examples"] == 9

    order = json.loads((run / "run.json").read_text())
    found = held.rows(run / "examples", order | {"most_examples": 0, "model": str(tiny_base)})
    assert len(found) == 9
    assert [rows[row][0] for row in (found[0], found[4], found[8])] == told["questions"]
    if overflow == "drop":
        assert not any(row % 4 == 0 for row in found)


def example(question: str, answer: str):
    from training.chat import Example, Message

    return Example((Message("user", question), Message("assistant", answer)))


def test_the_order_of_a_job_is_what_its_run_was_given(user, models_folder, data):
    version = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(owner=user, name="날씨"), status="ready", example_count=60
    )
    making.write_examples(versions.folder(version), 60)
    resolved = {"seed": 7, "max_length": 256, "validation_share": 0.1}
    job = Job.objects.create(
        owner=user, version=version, base="tiny", status="running", attempt=1, resolved=resolved
    )
    run = json.loads((registry.prepare(job) / "run.json").read_text())
    order = registry.order_of(job)
    assert order == {key: run[key] for key in order} and order["validation_examples"] == 6


def test_a_child_writes_them_as_questions(tiny_base, tmp_path):
    making.write_unlike_examples(tmp_path / "part", 40)
    order = {
        "model": str(tiny_base), "settings": {"max_length": 256, "seed": 7}, "overflow": "cut",
        "most_examples": 0, "validation_examples": 8, "most": 5, "is_random": False,
    }  # fmt: skip
    (tmp_path / "order.json").write_text(json.dumps(order))
    held.run(tmp_path)
    kept = list(questions.kept(tmp_path))
    rows = held.rows(tmp_path / "part", order)[:5]
    view = store.view(tmp_path / "part")
    wanted = [found.messages for _, found in view.at(rows)]
    assert [one["expected"] for one in kept] == [messages[-1].content for messages in wanted]
    assert [one["messages"][0]["content"] for one in kept] == [m[0].content for m in wanted]
