"""What a GPU short of memory is spared. The choice is tested here, and on processors that layers computed
again give the same gradients; QLoRA is not."""

import torch

from training.costs import usual_shape
from training.lm import tight, trainable
from training.lm.tight import Savings

BILLION = 10**9


def choice(gigabytes: float, *, is_full: bool = False, has_4bit: bool = True) -> Savings:
    shape = usual_shape(7 * BILLION)
    return tight.choose(shape, 4096, gigabytes * BILLION, is_full=is_full, has_4bit=has_4bit)


def test_no_more_is_saved_than_memory_asks_for():
    assert choice(80) == Savings()
    assert choice(24) == Savings(remakes=True)
    assert choice(10) == Savings(remakes=True, is_4bit=True)
    assert choice(10, has_4bit=False) == Savings(remakes=True)
    assert choice(80, is_full=True) == Savings(remakes=True)  # all weights are never in 4 bits


def test_processors_save_nothing(tiny_base):
    assert tight.savings(tiny_base, 10**9, is_full=True) == Savings()


def test_layers_computed_again_give_the_same_gradients(tiny_base, monkeypatch):
    monkeypatch.setattr(trainable.Trainable, "_decoder", lambda self: None)

    def gradients(way: Savings) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(tight, "savings", lambda *args, **options: way)
        made = trainable.prepare(tiny_base, "lora", rank=4, alpha=8, seed=1, dtype=torch.float32)
        for name, parameter in made.parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(3))
        ids = torch.arange(40)[None] % 20
        out = made.model(input_ids=ids, labels=ids, use_cache=False)
        out.loss.backward()
        return {name: parameter.grad for name, parameter in made.parameters()}

    kept, remade = gradients(Savings()), gradients(Savings(remakes=True))
    assert all(gradient.abs().sum() > 0 for gradient in kept.values())
    for name, gradient in kept.items():
        torch.testing.assert_close(remade[name], gradient)
