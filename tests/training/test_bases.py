"""What the catalogue reads from a model folder's headers."""

import pytest

from training import bases


def test_linear_layers_are_those_that_lora_is_put_on(tiny_base, settings):
    """The forecast's count of LoRA's parameters is PEFT's own, for the tiny base and any rank."""
    from training.lm import trainable

    settings.MODELS = tiny_base.parent
    prepared = trainable.prepare(tiny_base, "lora", rank=4, alpha=8, seed=1)
    trained = sum(parameter.numel() for _name, parameter in prepared.parameters())
    assert bases.find("tiny").linear_sides * 4 == trained


@pytest.mark.parametrize(
    ("name", "sides", "is_linear"),
    [
        ("model.layers.0.self_attn.q_proj.weight", [8, 8], True),
        ("transformer.h.0.attn.c_attn.weight", [8, 24], True),
        ("model.embed_tokens.weight", [384, 8], False),
        ("transformer.wte.weight", [384, 8], False),
        ("lm_head.weight", [384, 8], False),
        ("model.norm.weight", [8], False),
    ],
)
def test_embeddings_norms_and_the_head_are_left_alone(name, sides, is_linear):
    assert bases._is_linear(name, sides) is is_linear
