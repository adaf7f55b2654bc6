"""What a GPU short of memory is spared. On processors the choice is tested, and that layers computed again
give the same gradients; the rest where there is a GPU."""

from dataclasses import replace

import making
import pytest
import torch
from trainer_runs import of_kind, train

from training.costs import Shape, usual_shape
from training.lm import tight, trainable
from training.lm.tight import Load, Savings

BILLION = 10**9
SEVEN = usual_shape(7 * BILLION)
USUAL = Load(longest=1024, packed=4096, rank=16, dtype=torch.bfloat16)


def choice(gigabytes: float, shape: Shape = SEVEN, *, has_4bit: bool = True, **changes) -> Savings:
    return tight.choose(shape, replace(USUAL, **changes), gigabytes * BILLION, has_4bit=has_4bit)


def test_no_more_is_saved_than_memory_asks_for():
    assert choice(80) == Savings()
    assert choice(24) == Savings(remakes=True)
    assert choice(15) == Savings(remakes=True, is_4bit=True)
    assert choice(150, rank=0) == Savings(remakes=True)


def test_where_nothing_fits_what_needs_least_is_done():
    assert choice(5) == Savings(remakes=True, is_4bit=True)
    assert choice(5, has_4bit=False) == Savings(remakes=True)
    assert choice(5, rank=0) == Savings(remakes=True)  # all weights are never in 4 bits
    many_words = replace(usual_shape(BILLION), vocabulary=150_000)  # 4 bits have all logits at once
    assert choice(2, many_words) == Savings(remakes=True)


def test_a_row_is_what_goes_through_at_once():
    one_by_one = replace(SEVEN, is_packed=False)
    short, long = (replace(USUAL, longest=length) for length in (512, 8192))
    for shape, load in ((SEVEN, long), (one_by_one, USUAL)):
        assert tight.needed(shape, load, Savings()) > tight.needed(shape, short, Savings())
    assert tight.needed(SEVEN, USUAL, Savings()) == tight.needed(SEVEN, short, Savings())


def test_the_forecast_is_what_a_gpu_took():
    """A Llama of 1.2 billion parameters with LoRA, rows of up to 3,603 tokens, on an H200."""
    shape = Shape(30, 1920, 5760, 30, 10, 64, vocabulary=49_152)
    forecast = tight.needed(shape, replace(USUAL, packed=3603), Savings())
    assert forecast == pytest.approx(11_362 * 2**20, rel=0.05)


@pytest.mark.parametrize(
    ("load", "times_words"),
    [
        (USUAL, 0),  # an embedding in fp32 and its copy in bf16; or a head in bf16 beside it
        (replace(USUAL, dtype=torch.float32), 4),
        (replace(USUAL, rank=0), 16),
    ],
    ids=("LoRA", "LoRA in fp32", "all weights"),
)
def test_a_head_of_its_own_weighs_what_it_weighs(load, times_words):
    own = replace(SEVEN, is_tied=False)
    more = tight.needed(own, load, Savings()) - tight.needed(SEVEN, load, Savings())
    assert more == times_words * SEVEN.hidden * SEVEN.vocabulary


@pytest.mark.parametrize("change", [{"dtype": torch.float32}, {"rank": 256}], ids=str)
def test_what_weighs_more_is_forecast_so(change):
    more = tight.needed(SEVEN, replace(USUAL, **change), Savings())
    assert more > tight.needed(SEVEN, USUAL, Savings())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_processors_save_nothing(tiny_base):
    assert tight.savings(tiny_base, replace(USUAL, longest=10**9)) == Savings()


def test_layers_computed_again_give_the_same_gradients(tiny_base, monkeypatch):
    monkeypatch.setattr(trainable.Trainable, "_decoder", lambda self: None)

    def gradients(way: Savings) -> dict[str, torch.Tensor]:
        options = {"rank": 4, "alpha": 8, "seed": 1, "dtype": torch.float32}
        made = trainable.prepare(tiny_base, "lora", **options, way=way)
        draw = torch.Generator().manual_seed(3)
        for name, parameter in made.parameters():
            if "lora_B" in name:
                parameter.data.copy_(torch.randn(parameter.shape, generator=draw))
        ids = torch.arange(40, device=made.device)[None] % 20
        out = made.model(input_ids=ids, labels=ids, use_cache=False)
        out.loss.backward()
        return {name: parameter.grad for name, parameter in made.parameters()}

    kept, remade = gradients(Savings()), gradients(Savings(remakes=True))
    assert all(gradient.abs().sum() > 0 for gradient in kept.values())
    for name, gradient in kept.items():
        torch.testing.assert_close(remade[name], gradient)


needs_4bit = pytest.mark.skipif(not tight.has_4bit(), reason="no bitsandbytes here")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(
    "way",
    [Savings(remakes=True), pytest.param(Savings(remakes=True, is_4bit=True), marks=needs_4bit)],
)
def test_a_training_that_saves_memory_learns_as_well(way, tiny_base, tmp_path, monkeypatch):
    def losses(chosen: Savings) -> list[float]:
        monkeypatch.setattr(tight, "savings", lambda *args, **options: chosen)
        run = making.run_folder(tmp_path / str(chosen), tiny_base, epochs=6)
        code, events = train(run)
        assert code == 0, events[-1]
        (start,) = of_kind(events, "start")
        assert start["path"] == ("packed" if chosen.is_4bit else "fast")
        assert (run / "attempt-1/result/adapter_model.safetensors").exists()
        return [event["validation_loss"] for event in of_kind(events, "validation")]

    kept, saved = losses(Savings()), losses(way)
    assert kept[-1] < 0.95 * kept[0]
    assert saved == pytest.approx(kept, rel=0.1 if way.is_4bit else 0.02)
