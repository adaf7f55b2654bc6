"""A canary for each thing that must not reach transformers."""

import json
import shutil
import struct

import pytest

from training import gate
from training.errors import UserError


@pytest.fixture
def folder(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "model")


def refusal(folder) -> UserError:
    with pytest.raises(UserError) as caught:
        gate.check(folder)
    return caught.value


def test_a_plain_model_folder_passes(folder):
    gate.check(folder)


@pytest.mark.parametrize(
    "name",
    ["modeling_evil.py", "pytorch_model.bin", "model.pt", "rng.pkl", "x.so", "run.sh", "sub/x.py"],
)
def test_a_file_that_is_no_data_is_refused(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    error = refusal(folder)
    assert error.code == "gate_file" and error.params["file"] == name


def test_a_link_is_refused(folder):
    (folder / "extra.json").symlink_to("/etc/hostname")
    assert refusal(folder).code == "gate_link"


def test_a_linked_folder_is_refused(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert refusal(tmp_path / "link").code == "gate_no_folder"


@pytest.mark.parametrize("key", sorted(gate.FORBIDDEN_KEYS))
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "adapter_config.json"])
def test_a_key_that_runs_code_is_refused_wherever_it_hides(folder, name, key):
    path = folder / name
    content = json.loads(path.read_text()) if path.exists() else {}
    content["nested"] = [{"deep": {key: "evil.Model"}}]
    path.write_text(json.dumps(content))
    error = refusal(folder)
    assert error.code == "gate_key" and error.params["key"] == key


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_part_is_named(folder, missing):
    (folder / missing).unlink()
    assert refusal(folder).code == "gate_missing"


def test_weights_in_parts_must_all_be_there(folder):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    error = refusal(folder)
    assert error.code == "gate_missing"
    assert error.params["file"] == "model-00002-of-00002.safetensors"
    for text in ("[]", "{", '{"weight_map": []}'):
        (folder / "model.safetensors.index.json").write_text(text)
        assert refusal(folder).code == "gate_unreadable"


def test_truncated_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert refusal(folder).code == "gate_unreadable"


def test_a_header_that_lies_about_its_size_is_refused(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    assert refusal(folder).code == "gate_unreadable"


def test_a_config_that_is_no_object_is_refused(folder):
    (folder / "config.json").write_text("[1]")
    assert refusal(folder).code == "gate_unreadable"
    (folder / "config.json").write_text("[" * 100_000)
    assert refusal(folder).code == "gate_unreadable"


def test_a_huge_config_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"a": "x" * (2 * 1024 * 1024)}))
    assert refusal(folder).code == "gate_too_large"


@pytest.mark.parametrize("key", sorted(gate.COUNTS))
@pytest.mark.parametrize("value", [10**30, 10**9, -1, 0, "512", 1.5, True, ["x"], float("inf")])
def test_a_number_that_no_model_has_is_refused(folder, key, value):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {key: value}))
    assert refusal(folder).params["key"] == key
    path.write_text(json.dumps(content | {"text_config": {key: value}}))
    assert refusal(folder).code == "gate_number"


@pytest.mark.parametrize("name", ["chat_template.jinja", "additional_chat_templates/tools.jinja"])
def test_a_huge_template_is_refused(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x" * (65 * 1024))
    assert refusal(folder).code == "gate_too_large"


HOSTILE_FILES = {
    "deep tokenizer": ("tokenizer.json", "[" * 1_000_000),
    "deep tokenizer object": ("tokenizer.json", '{"a":' * 500_000),
    "tokenizer of another kind": ("tokenizer.json", '{"version": 1, "model": {"type": "?"}}'),
    "tokenizer that is no text": ("tokenizer.json", "\x00\xff"),
    "text_config": ("config.json", '{"text_config": "x"}'),
    "number with many digits": ("config.json", '{"vocab_size": ' + "9" * 5000 + "}"),
    "no JSON": ("config.json", "{"),
    "template": ("chat_template.jinja", "{% for a in range(99999) %}{{ 'a' * 9999 }}{% endfor %}"),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_a_hostile_file_closes_its_own_card_only(folder, settings, name):
    from training import bases

    settings.MODELS, settings.BUILTIN_MODEL = folder.parent, folder.parent / "none"
    shutil.copytree(folder, folder.parent / "good")
    file, content = HOSTILE_FILES[name]
    (folder / file).write_text(content)
    good, bad = bases.catalogue()
    assert good.problem is None and good.slug == "good"
    assert bad.problem and bad.problem.code.startswith(("gate_", "tokenizer_", "template_"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("generation_config.json", {"eos_token_id": 10**30}),
        ("generation_config.json", {"eos_token_id": ["x", -1, None, 2]}),
        ("tokenizer_config.json", {"eos_token": 7, "model_max_length": 10**30}),
        ("tokenizer_config.json", {"eos_token": {"content": ["x"]}, "bos_token": True}),
    ],
)
def test_an_odd_value_that_nobody_needs_is_passed_over(folder, settings, file, content):
    from training import bases

    settings.MODELS, settings.BUILTIN_MODEL = folder.parent, folder.parent / "none"
    (folder / file).write_text(json.dumps(content))
    (base,) = bases.catalogue()
    assert base.problem is None and base.context_length == 512
