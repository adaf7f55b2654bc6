"""The trainer, run as the child process that it is, on a tiny but real model."""

import json
import signal
import subprocess
import sys
import time
from itertools import chain, islice
from pathlib import Path

import making
import pytest
import torch
from trainer_runs import ROOT, begin, command, of_kind, said, train

from training import gate
from training.chat import IGNORED, Encoded, Example, Message, Renderer
from training.datasets import store
from training.lm import trainable as lm
from training.trainer import batch, checkpoint


@pytest.fixture(scope="module")
def trained(tiny_base, tmp_path_factory):
    """One LoRA run, looked at by several tests."""
    run = making.run_folder(tmp_path_factory.mktemp("trained") / "run", tiny_base, epochs=6)
    return run, *train(run)


def test_the_loss_falls_and_is_told_live(trained):
    _, code, events = trained
    assert code == 0
    losses = [event["loss"] for event in of_kind(events, "metrics")]
    validation = [event["validation_loss"] for event in of_kind(events, "validation")]
    assert losses[-1] < losses[0] * 0.95
    assert validation[0] > validation[-1] and len(validation) >= 3
    (start,) = of_kind(events, "start")
    assert (start["train_examples"], start["validation_examples"]) == (36, 4)
    assert of_kind(events, "metrics")[-1]["step"] == start["total_steps"] == 6 * 9


def test_the_result_is_a_standard_folder_that_passes_the_gate(trained):
    run, _, _ = trained
    result = run / "attempt-1" / "result"
    gate.check(result)
    assert checkpoint.is_whole(result)
    names = {path.name for path in result.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"} <= names
    assert (
        json.loads((result / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "tiny"
    )
    assert str(run) not in "".join(
        path.read_text() for path in result.iterdir() if path.suffix in (".json", ".md")
    )


def test_the_adapter_loads_in_plain_peft_and_answers_as_taught(trained, tiny_base):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, _, _ = trained
    result = run / "attempt-1" / "result"
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(result)
    renderer = Renderer(result)
    examples = store.examples(run / "examples", 0, 8)

    def mean_loss(model) -> float:
        total = []
        for encoded in renderer.encode_many(examples):
            ids, labels = torch.tensor([encoded.ids]), torch.tensor([encoded.labels])
            with torch.no_grad():
                total.append(float(model(input_ids=ids, labels=labels).loss))
        return sum(total) / len(total)

    before = mean_loss(base)
    tuned = PeftModel.from_pretrained(base, result)
    assert mean_loss(tuned) < before * 0.95
    assert tokenizer.chat_template == (result / "chat_template.jinja").read_text()


def test_full_fine_tuning_gives_a_plain_transformers_folder(run_folder, tiny_base):
    from transformers import AutoModelForCausalLM

    run = run_folder(method="full", learning_rate=5e-3, epochs=3)
    code, events = train(run)
    assert code == 0
    result = run / "attempt-1" / "result"
    gate.check(result)
    tuned = AutoModelForCausalLM.from_pretrained(result)
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    assert not torch.equal(tuned.lm_head.weight, base.lm_head.weight)
    losses = [event["validation_loss"] for event in of_kind(events, "validation")]
    assert losses[-1] < losses[0]


FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 8},
    "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
}


@pytest.mark.parametrize("family", sorted(lm.PACKABLE))
def test_packing_changes_nothing_for_each_family_that_is_packed(family, tmp_path, monkeypatch):
    """Loss and gradients beside transformers' own eager attention, example by example."""
    import shutil

    from transformers import AutoConfig, AutoModelForCausalLM

    monkeypatch.setattr(lm, "training_dtype", lambda: torch.float32)
    sizes = {
        "vocab_size": 384, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    }  # fmt: skip
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **sizes, **FAMILIES[family])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    generator = torch.Generator().manual_seed(5)
    rows = [torch.randint(3, 380, (n,), generator=generator).tolist() for n in (5, 40, 17)]
    corpus = _corpus([Encoded(row, [IGNORED] * 2 + row[2:]) for row in rows])
    trainable = lm.prepare(tmp_path, lm.FULL, rank=4, alpha=8, seed=0)
    (pack,) = batch.packs(corpus, range(3), 4096)
    loss = trainable.learn(pack, 1.0)
    reference = AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    expected = sum(
        reference(
            input_ids=torch.tensor([row]), labels=torch.tensor([[IGNORED] * 2 + row[2:]])
        ).loss
        * (len(row) - 2)
        for row in rows
    )
    expected.backward()
    assert loss == pytest.approx(float(expected), rel=1e-4)
    for (name, one), other in zip(trainable.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one.grad.cpu(), other.grad, rtol=1e-3, atol=1e-4, msg=name)
    shutil.rmtree(tmp_path)


def test_packing_gives_the_same_loss_and_gradients_as_one_by_one(tiny_base, monkeypatch):
    monkeypatch.setattr(lm, "training_dtype", lambda: torch.float32)
    renderer = Renderer(tiny_base)
    texts = ["오늘 날씨", "hello world " * 30, "서울", "부산 질문 답변"]
    encoded = renderer.encode_many(
        [Example((Message("user", t), Message("assistant", "네 맑습니다"))) for t in texts]
    )
    corpus = _corpus(encoded)
    indices = range(len(texts))

    def measure(budget: int) -> tuple[float, list[torch.Tensor]]:
        trainable = lm.prepare(tiny_base, lm.FULL, rank=4, alpha=8, seed=0)
        loss = sum(trainable.learn(pack, 1.0) for pack in batch.packs(corpus, indices, budget))
        return loss, [p.grad for _, p in trainable.parameters()]

    packed, packed_gradients = measure(4096)
    single, single_gradients = measure(1)
    assert packed == pytest.approx(single, rel=1e-5)
    for one, other in zip(packed_gradients, single_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_transformers_on_each_example_alone(tiny_base, monkeypatch):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(lm, "training_dtype", lambda: torch.float32)
    renderer = Renderer(tiny_base)
    encoded = renderer.encode_many(
        [
            Example((Message("user", t), Message("assistant", "네"), Message("user", "또"),
                     Message("assistant", "아니요 비가 옵니다")))
            for t in ("오늘 날씨", "hello world " * 20)
        ]
    )  # fmt: skip
    trainable = lm.prepare(tiny_base, lm.LORA, rank=4, alpha=8, seed=0)
    corpus = _corpus(encoded)
    (pack,) = batch.packs(corpus, range(2), 4096)
    reference = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    expected = sum(
        float(reference(input_ids=torch.tensor([e.ids]), labels=torch.tensor([e.labels])).loss)
        * sum(end - start for start, end in e.answers())
        for e in encoded
    )
    assert trainable.loss(pack) == pytest.approx(expected, rel=1e-5)


def _corpus(encoded) -> batch.Corpus:
    import numpy as np

    starts = np.cumsum([0] + [len(e.ids) for e in encoded])
    return batch.Corpus(
        np.concatenate([e.ids for e in encoded]),
        np.concatenate([e.labels for e in encoded]),
        starts,
        np.arange(len(encoded)),
    )


def test_a_stopped_run_goes_on_where_it_was_and_ends_the_same(run_folder):
    whole = run_folder("whole", epochs=4)
    _, expected = train(whole)
    run = run_folder("broken", epochs=4, checkpoint_seconds=0)
    process = begin(run)
    for event in said(process):
        if event["kind"] == "checkpoint":
            process.send_signal(signal.SIGTERM)
            break
    process.stdout.read()
    assert process.wait() == 75
    code, events = train(run, attempt=2)
    assert code == 0
    (resumed,) = of_kind(events, "resumed")
    assert resumed["step"] >= 1
    steps = [event["step"] for event in of_kind(events, "metrics")]
    assert min(steps) > resumed["step"]
    final = of_kind(events, "validation")[-1]["validation_loss"]
    assert final == pytest.approx(of_kind(expected, "validation")[-1]["validation_loss"], rel=1e-2)


def test_a_killed_run_resumes_and_a_damaged_checkpoint_is_passed_over(run_folder):
    run = run_folder(epochs=4, checkpoint_seconds=0)
    process = begin(run)
    saved = (event["step"] for event in said(process) if event["kind"] == "checkpoint")
    assert list(islice(saved, 3)) == [1, 2, 3]  # after each step, however slow the disk is
    process.kill()
    process.stdout.close()
    process.wait()
    kept = sorted((run / "attempt-1").glob("checkpoint-*"))
    newest = kept[-1] / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-64] + bytes(64))
    assert checkpoint.latest(run) == kept[-2]
    code, events = train(run, attempt=2)
    assert code == 0
    assert of_kind(events, "resumed")[0]["step"] == int(kept[-2].name.removeprefix("checkpoint-"))


def test_a_manifest_with_one_changed_digit_makes_no_whole_folder(tmp_path):
    """Only the other files were looked at: a run went on from a step that never was."""
    part = tmp_path / "part"
    part.mkdir()
    (part / "state").write_bytes(b"weights")
    checkpoint.seal(part, tmp_path / "sealed", {"step": 41, "history": {"loss": 1 / 3}})
    assert checkpoint.is_whole(tmp_path / "sealed")
    manifest = tmp_path / "sealed" / "manifest.json"
    for spoilt in (
        manifest.read_text().replace("41", "71"),
        manifest.read_text().replace("seal", "sea1"),
        manifest.read_text()[:40],
        "[]",
        "",
    ):
        manifest.write_text(spoilt)
        assert not checkpoint.is_whole(tmp_path / "sealed"), spoilt


def test_a_run_whose_log_has_no_room_goes_on(run_folder):
    """The bar that shows how a base model is loaded made the base unreadable."""
    run = run_folder("deaf", epochs=1)
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command(run), cwd=ROOT, stdout=subprocess.PIPE, stderr=full)
    assert ended.returncode == 0, ended.stdout
    assert checkpoint.is_whole(run / "attempt-1" / "result")


def test_examples_longer_than_the_limit_are_cut_and_those_without_answer_left_out(run_folder):
    run = run_folder(count=40, long_every=10, max_length=64, epochs=1)
    code, events = train(run)
    (start,) = of_kind(events, "start")
    assert code == 0
    assert (start["cut"], start["lost"]) == (4, 4)
    assert start["train_examples"] + start["validation_examples"] == 36


def test_examples_longer_than_the_limit_are_left_out_where_they_are_to_be_dropped(run_folder):
    run = run_folder(count=40, long_every=10, max_length=64, epochs=1, overflow="drop")
    code, events = train(run)
    (start,) = of_kind(events, "start")
    assert code == 0
    assert (start["cut"], start["lost"]) == (0, 4)
    assert start["train_examples"] + start["validation_examples"] == 36


def test_an_example_longer_than_the_limit_fails_the_run_where_it_is_to_fail(run_folder):
    run = run_folder(count=40, long_every=10, max_length=64, epochs=1, overflow="fail")
    code, events = train(run)
    assert code == 2 and not of_kind(events, "start")
    assert events[-1] == {
        "kind": "error", "code": "example_too_long", "params": {"max_length": 64}
    }  # fmt: skip


def test_nothing_left_to_train_is_the_users_error_with_its_cause(run_folder):
    code, events = train(run_folder(count=12, max_length=16, epochs=1, long_every=1))
    assert code == 2
    assert events[-1] == {
        "kind": "error", "code": "no_example_left", "params": {"max_length": 16}
    }  # fmt: skip


def test_a_diverging_run_says_so(run_folder):
    code, events = train(run_folder(method="full", learning_rate=1e30, epochs=20))
    assert code == 2 and events[-1]["code"] == "loss_not_a_number"


def test_a_base_that_the_gate_refuses_is_never_loaded(run_folder, tiny_base, tmp_path):
    import shutil

    bad = shutil.copytree(tiny_base, tmp_path / "bad")
    (bad / "modeling.py").write_text("print('evil')")
    code, events = train(run_folder(base=bad))
    assert code == 2 and events[-1]["code"] == "gate_file"


def test_the_trainer_dies_with_its_parent(run_folder, tmp_path):
    """The parent is killed with -9; the trainer must be gone soon after."""
    run = run_folder(epochs=50, count=200)
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys\n"
        "from training.lifeline import Lifeline\n"
        f"child = Lifeline().spawn({command(run)!r}, dict(os.environ))\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    time.sleep(1)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.stdout.close()
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_run_with_the_same_seed_sees_the_same_examples():
    import numpy as np

    first = batch.Plan(np.arange(20), epochs=2, batch_size=8, seed=1)
    again = batch.Plan(np.arange(20), epochs=2, batch_size=8, seed=1)
    assert first.total_steps == 6
    steps = [first.step(n).tolist() for n in range(6)]
    assert steps == [again.step(n).tolist() for n in range(6)]
    first_epoch, second_epoch = sorted(chain(*steps[:3])), sorted(chain(*steps[3:]))
    assert first_epoch == list(range(20)) == second_epoch
    assert steps[:3] != steps[3:]
