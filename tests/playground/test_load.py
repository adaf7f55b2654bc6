"""training/lm/load.py: what passes the gate comes out ready for inference."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from training.errors import UserError  # noqa: E402
from training.lm import load  # noqa: E402


def test_a_model_is_ready_for_inference(tiny_base):
    model = load.model(tiny_base)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert next(model.parameters()).dtype == load.best_dtype()


def test_an_adapter_changes_what_the_base_says(tiny_base, adapter):
    ids = torch.tensor([[3, 4, 5]])
    base = load.model(tiny_base, dtype=torch.float32)
    tuned = load.model(tiny_base, adapter=adapter, dtype=torch.float32)
    assert not torch.allclose(base(ids).logits, tuned(ids).logits)


def test_a_folder_with_code_is_refused_before_transformers_sees_it(tiny_base, tmp_path):
    folder = tmp_path / "evil"
    shutil.copytree(tiny_base, folder)
    (folder / "modeling_evil.py").write_text("raise SystemExit(99)")
    with pytest.raises(UserError) as caught:
        load.model(folder)
    assert caught.value.code == "gate_file"


def test_an_unknown_architecture_is_a_user_error(tiny_base, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(tiny_base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nosuchthing"}))
    with pytest.raises(UserError) as caught:
        load.model(folder)
    assert caught.value.code == "model_unreadable"


def test_an_adapter_of_another_base_is_a_user_error(tmp_path, adapter):
    import tiny

    other = tiny.build(tmp_path / "other", hidden_size=64)
    with pytest.raises(UserError) as caught:
        load.model(other, adapter=adapter)
    assert caught.value.code == "adapter_misfit"


def test_memory_is_twice_the_file_for_16_bit_weights_in_32_bits(tiny_base, tmp_path, monkeypatch):
    folder = tmp_path / "half"
    shutil.copytree(tiny_base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    size = load.size_bytes(folder)
    monkeypatch.setattr(load, "best_dtype", lambda: torch.float32)
    assert load.memory_bytes(folder) == 2 * size
    monkeypatch.setattr(load, "best_dtype", lambda: torch.bfloat16)
    assert load.memory_bytes(folder) == size
