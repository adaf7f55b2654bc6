"""What a training on a GPU does where its memory is short: layers are computed again in the backward pass
(checkpointing), then a frozen base is held in 4 bits (QLoRA, Dettmers et al. 2023; bitsandbytes).

On processors nothing of this is done: system memory is larger, and what does not fit is said before the
start.
"""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from training.costs import Shape, shape_of
from training.lm.fast.head import CHUNK
from training.lm.load import device

USABLE = 0.9
"""Part of the free memory that is planned with: libraries take some, and some is lost between pieces."""
LOGIT_BYTES = 14
"""A label's logit as it comes, and three times in fp32 while its loss is computed."""
GATE_BYTES = 48
"""What the backward pass of a gate makes of each of its numbers, in fp32, while it lasts."""
TRAINED_BYTES = 20
"""A LoRA's number in fp32 with gradient and two moments, and copies that are computed with."""


@dataclass(frozen=True)
class Savings:
    remakes: bool = False
    """Whether layers are computed again in the backward pass instead of kept."""
    is_4bit: bool = False


WAYS = (Savings(), Savings(remakes=True), Savings(remakes=True, is_4bit=True))
"""What saves more stands later."""


def savings(base: Path, tokens: int, rank: int, dtype: torch.dtype) -> Savings:
    """Return what has to be saved, so that rows of so many tokens fit into the GPU's free memory; `rank` is
    the LoRA's, or 0 where all weights are trained. `dtype` is what is computed in."""
    shape = shape_of(json.loads((base / "config.json").read_text()))
    if device().type != "cuda" or shape is None:
        return Savings()
    free = USABLE * torch.cuda.mem_get_info()[0]
    return choose(shape, tokens, free, rank, dtype, has_4bit=has_4bit())


def choose(
    shape: Shape, tokens: int, free: float, rank: int, dtype: torch.dtype, *, has_4bit: bool
) -> Savings:
    """Return the least that fits; the most where nothing does."""
    ways = [way for way in WAYS if not way.is_4bit or (has_4bit and rank)]
    fitting = (way for way in ways if needed(shape, tokens, way, rank, dtype) <= free)
    return next(fitting, ways[-1])


def needed(shape: Shape, tokens: int, way: Savings, rank: int, dtype: torch.dtype) -> float:
    """Forecast the bytes of weights, what the optimiser holds, and one row."""
    is_fast = shape.is_packed and not way.is_4bit
    size = dtype.itemsize
    row = _fast_row(shape, tokens, way, size) if is_fast else _plain_row(shape, tokens, way)
    return _weights(shape, way, rank, size, is_fast) + TRAINED_BYTES * rank * shape.sides + row


def _weights(shape: Shape, way: Savings, rank: int, size: int, is_fast: bool) -> float:
    """`size`: bytes of a number that is computed with; embeddings are in fp32."""
    words = shape.hidden * shape.vocabulary
    heads = 1 if shape.is_tied else 2
    if not rank:  # in fp32 weight, gradient, two moments; and what is computed with
        copy = size if size < 4 else 0
        return (16.0 + copy) * (shape.weights + heads * words)
    if way.is_4bit:
        return 0.6 * shape.weights + 4.0 * heads * words
    return size * (shape.weights + words * (is_fast or heads > 1)) + 4.0 * words


def _fast_row(shape: Shape, tokens: int, way: Savings, size: int) -> float:
    kept = shape.width
    if way.remakes:
        kept = 2 * shape.layers * shape.hidden + shape.width / shape.layers
    labels = min(tokens, CHUNK)
    return (
        tokens * (size * kept + GATE_BYTES * shape.inner) + labels * LOGIT_BYTES * shape.vocabulary
    )


def _plain_row(shape: Shape, tokens: int, way: Savings) -> float:
    kept = shape.width
    if way.remakes:
        kept = shape.layers * shape.hidden + shape.width / shape.layers
    return tokens * (4.0 * kept + LOGIT_BYTES * shape.vocabulary)


def has_4bit() -> bool:
    return find_spec("bitsandbytes") is not None


def loading(way: Savings) -> dict[str, Any]:
    """Return what from_pretrained is told besides."""
    if not way.is_4bit:
        return {}
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        "device_map": {"": torch.cuda.current_device() if device().type == "cuda" else "cpu"},
    }  # fmt: skip


def apply(model: Any, way: Savings) -> None:
    if way.remakes:
        model.gradient_checkpointing_enable({"use_reentrant": False})
