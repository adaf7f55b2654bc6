"""In which precision this machine trains: the one in which it multiplies faster."""

import pytest
import torch

from training.lm import speed


@pytest.fixture(autouse=True)
def anew():
    speed.training_dtype.cache_clear()
    yield
    speed.training_dtype.cache_clear()


@pytest.mark.parametrize(("bf16", "fp32"), [(180, 340), (900, 400)])
def test_the_faster_precision_is_taken_where_both_are_there(monkeypatch, bf16, fp32):
    figures = {torch.bfloat16: bf16, torch.float32: fp32}
    monkeypatch.setattr(speed, "best_dtype", lambda: torch.bfloat16)
    monkeypatch.setattr(speed, "gigaflops", figures.get)
    assert speed.training_dtype() == max(figures, key=figures.get)


def test_without_instructions_for_bfloat16_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(speed, "best_dtype", lambda: torch.float32)
    monkeypatch.setattr(speed, "gigaflops", None)
    assert speed.training_dtype() == torch.float32


def test_a_measurement_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    assert speed.gigaflops(torch.float32, 0.05) > 0
    assert torch.get_num_threads() == before
