"""What a run may be told besides to go on: to end early, to answer questions, to begin at another's end."""

import json
import signal
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from trainer_runs import begin, of_kind, said, train

from training import registry
from training.chat import Message, Renderer
from training.lm import generate, load
from training.trainer import checkpoint
from training.trainer.best import Best


def weights(run, attempt=1):
    return load_file(run / f"attempt-{attempt}" / "result" / "adapter_model.safetensors")


def metrics(run, attempt=1):
    return json.loads((run / f"attempt-{attempt}" / "result" / "manifest.json").read_text())[
        "metrics"
    ]


def same(one, other) -> bool:
    return all((one[name] == other[name]).all() for name in one)


@pytest.fixture(scope="module")
def overtrained(tiny_base, tmp_path_factory):
    """A run whose validation loss has its best early, and the same one without a best kept."""
    import making

    folder = tmp_path_factory.mktemp("overtrained")
    numbers = {"epochs": 30, "learning_rate": 0.05, "validation_examples": 8, "long_every": 3}
    runs = {
        patience: making.run_folder(folder / str(patience), tiny_base, patience=patience, **numbers)
        for patience in (0, 3)
    }
    return {patience: (run, *train(run)) for patience, run in runs.items()}


def test_a_run_without_gain_ends_and_leaves_its_best_model(overtrained):
    run, code, events = overtrained[3]
    assert code == 0
    losses = {e["step"]: e["validation_loss"] for e in of_kind(events, "validation")}
    (stop,) = of_kind(events, "early_stop")
    best_step = min(losses, key=losses.get)
    assert (stop["best_step"], stop["step"]) == (best_step, max(losses))
    assert len([step for step in losses if step > best_step]) == 3
    assert stop["step"] < of_kind(events, "start")[0]["total_steps"]
    told = metrics(run)
    assert (told["ended"], told["best_step"]) == ("early", best_step)
    assert all(event["step"] for event in of_kind(events, "best"))
    assert told["validation_loss"] == pytest.approx(losses[best_step], abs=1e-4)


def test_the_model_of_an_early_end_is_what_the_run_was_at_its_best(overtrained, run_folder):
    """It is measured again by a run that trains no further."""
    run, _, events = overtrained[3]
    best_step = of_kind(events, "early_stop")[0]["best_step"]
    kept = checkpoint.best(run, best_step)
    saved = load_file(kept / "state.safetensors")
    result = weights(run)
    assert len(result) == len(saved)
    for name, tensor in result.items():
        key = "weights." + name.replace(".weight", ".default.weight")
        assert (saved[key] == tensor).all()


def test_the_best_step_is_one_that_learnt_though_all_were_worse_than_none(tmp_path):
    order = SimpleNamespace(patience=2, run=tmp_path, folder=tmp_path / "attempt-1")
    best = Best(order, {"a": torch.nn.Parameter(torch.ones(1))}, {})
    for step, loss in enumerate((1.0, 3.0, 2.0, 4.0)):
        best.see(step, loss, is_last=False)
    assert best.history["best_step"] == 2 and not best.is_over
    best.see(4, 4.0, is_last=True)
    assert best.is_over


def test_patience_of_nothing_trains_to_the_end_and_takes_the_last(overtrained):
    run, code, events = overtrained[0]
    assert code == 0 and not of_kind(events, "best")
    assert metrics(run)["steps"] == of_kind(events, "start")[0]["total_steps"]
    assert not list(run.glob("attempt-*/best-*"))
    last = of_kind(events, "validation")[-1]["validation_loss"]
    assert metrics(run)["validation_loss"] == pytest.approx(last, abs=1e-4)


def test_a_damaged_best_is_told_and_the_last_model_taken(run_folder):
    run = run_folder(epochs=30, learning_rate=0.05, validation_examples=8, patience=3, long_every=3)
    process = begin(run)
    events = []
    for event in said(process):
        events.append(event)
        if event["kind"] == "best" and event["step"]:
            process.send_signal(signal.SIGSTOP)
            for path in run.glob("attempt-*/best-*/state.safetensors"):
                path.write_bytes(path.read_bytes()[:-8])
            process.send_signal(signal.SIGCONT)
    assert process.wait() == 0
    assert of_kind(events, "best_lost")
    assert "best_step" in metrics(run)


def test_a_run_that_is_told_to_finish_leaves_what_it_has_learnt(run_folder):
    run = run_folder(epochs=400, patience=0)
    process = begin(run)
    events = []
    for event in said(process):
        events.append(event)
        if event["kind"] == "metrics" and event["step"] >= 20:
            (run / "finish").touch()
    assert process.wait() == 0
    told = metrics(run)
    assert told["ended"] == "asked" and 20 <= told["steps"] < 400 * 9
    # it was measured where it ended
    assert of_kind(events, "validation")[-1]["step"] == told["steps"]


def test_a_stopped_run_can_be_finished_without_another_step(run_folder):
    run = run_folder(epochs=4, checkpoint_seconds=0, patience=0)
    process = begin(run)
    for event in said(process):
        if event["kind"] == "checkpoint":
            process.send_signal(signal.SIGTERM)
            break
    process.stdout.read()
    assert process.wait() == 75
    (run / "finish").touch()
    code, events = train(run, attempt=2)
    assert code == 0 and not of_kind(events, "metrics")
    (resumed,) = of_kind(events, "resumed")
    assert metrics(run, attempt=2)["steps"] == resumed["step"] > 0


def test_questions_are_fixed_and_answered_before_on_the_way_and_after(run_folder, tiny_base):
    run = run_folder(epochs=6, checkpoint_seconds=0)
    _, events = train(run)
    (told,) = of_kind(events, "probes")
    assert len(told["questions"]) == len(told["expected"]) == 3
    assert all(text.startswith("오늘 날씨") for text in told["questions"])
    assert set(told["expected"]) <= {"맑습니다", "비가 옵니다"}
    rounds = of_kind(events, "probe")
    assert rounds[0]["step"] == 0 and rounds[-1]["step"] == 6 * 9
    assert all(len(one["answers"]) == 3 for one in rounds)
    # the first answers are the base's own, by the engine's loop
    renderer, model = Renderer(tiny_base), load.model(tiny_base)
    for question, answer in zip(told["questions"], rounds[0]["answers"], strict=True):
        prompt = renderer.prompt([Message("user", question)])
        ids = list(generate.stream(model, prompt, max_tokens=64, stop_ids=renderer.stop_ids))
        assert renderer.decode(ids)[:10] == answer[:10]
    assert rounds[0]["answers"] != rounds[-1]["answers"]


def test_the_users_own_questions_are_answered(run_folder):
    run = run_folder(epochs=1)
    order = json.loads((run / "run.json").read_text()) | {"probes": ["hello", "부산 날씨"]}
    (run / "run.json").write_text(json.dumps(order))
    _, events = train(run)
    (told,) = of_kind(events, "probes")
    assert told["questions"] == ["hello", "부산 날씨"] and told["expected"] == ["", ""]
    assert all(len(one["answers"]) == 2 for one in of_kind(events, "probe"))


@pytest.fixture(scope="module")
def plain(tiny_base, tmp_path_factory):
    """A run of two epochs, and what it said."""
    import making

    run = making.run_folder(tmp_path_factory.mktemp("plain") / "run", tiny_base, epochs=2)
    return run, train(run)[1]


def test_answering_changes_nothing_of_what_is_learnt(plain, run_folder):
    """Other questions, other answers; the same weights."""
    other = run_folder("other", epochs=2)
    order = json.loads((other / "run.json").read_text()) | {"probes": ["hello world"]}
    (other / "run.json").write_text(json.dumps(order))
    assert train(other)[0] == 0
    assert same(weights(plain[0]), weights(other))


@pytest.mark.parametrize("row_tokens", [128, 64])
def test_fewer_tokens_at_once_learn_the_same(plain, run_folder, row_tokens):
    _, expected = plain
    _, found = train(run_folder("small", epochs=2, row_tokens=row_tokens))
    for one, other in zip(of_kind(expected, "metrics"), of_kind(found, "metrics"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_tuned_model_is_trained_further_from_where_it_was(run_folder, method):
    first = run_folder("first", epochs=4, method=method)
    _, events = train(first)
    second = run_folder("second", epochs=2, method=method)
    (first / "attempt-1" / "result").rename(second / "foundation")
    code, further = train(second)
    assert code == 0
    learnt = of_kind(events, "validation")[-1]["validation_loss"]
    begun = of_kind(further, "validation")[0]["validation_loss"]
    assert begun == pytest.approx(learnt, rel=0.02)
    assert begun < of_kind(events, "validation")[0]["validation_loss"] * 0.95


def test_a_foundation_stays_though_its_model_is_deleted(user, version, models_folder, data):
    from training.models import Job, TunedModel

    def a_job(**fields):
        return Job.objects.create(owner=user, status="queued", base="tiny", version=version,
                                  resolved={"validation_share": 0.1}, attempt=1, **fields)  # fmt: skip

    parent = a_job()
    tuned = TunedModel.objects.create(owner=user, name="앞", job=parent, base="tiny", method="lora")
    registry.folder(tuned).mkdir(parents=True)
    (registry.folder(tuned) / "adapter_model.safetensors").write_bytes(b"weights")
    job = a_job(foundation=tuned)
    registry.lay_foundation(job)
    registry.remove_folder(registry.run_folder(parent))
    registry.prepare(job)
    laid = registry.run_folder(job) / "foundation" / "adapter_model.safetensors"
    assert laid.read_bytes() == b"weights"
