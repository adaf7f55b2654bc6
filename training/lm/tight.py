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

from training.costs import Shape, shape_of, weight_bytes
from training.lm.fast.head import CHUNK
from training.lm.load import device

USABLE = 0.9
"""Part of the free memory that is planned with: libraries take some, and some is lost between pieces."""
LOGIT_BYTES = 14
"""A label's logit as it comes, and three times in fp32 while its loss is computed."""
GATE_BYTES = 48
"""What the backward pass of a gate makes of each of its numbers, in fp32, while it lasts."""
SIDES = 7
"""Linear layers with a LoRA in each layer of a decoder."""
TRAINED_BYTES = 20
"""A LoRA's number in fp32 with gradient and two moments, and copies that are computed with."""


@dataclass(frozen=True)
class Savings:
    remakes: bool = False
    """Whether layers are computed again in the backward pass instead of kept."""
    is_4bit: bool = False


WAYS = (Savings(), Savings(remakes=True), Savings(remakes=True, is_4bit=True))
"""Each is slower than the one before."""


@dataclass(frozen=True)
class Load:
    """What is trained at once, and in which precision."""

    longest: int
    """Tokens of the longest example."""
    packed: int
    """Tokens of a row, where examples are packed."""
    rank: int
    """Of the LoRA; 0 where all weights are trained."""
    dtype: torch.dtype


def savings(base: Path, load: Load) -> Savings:
    """Return what has to be saved, so that a row of the training fits into the GPU's free memory."""
    shape = shape_of(json.loads((base / "config.json").read_text()))
    if device().type != "cuda" or shape is None:
        return Savings()
    return choose(shape, load, USABLE * torch.cuda.mem_get_info()[0], has_4bit=has_4bit())


def choose(shape: Shape, load: Load, free: float, *, has_4bit: bool) -> Savings:
    """Return the quickest way that fits; where none does, the one that needs least."""
    ways = [way for way in WAYS if not way.is_4bit or (has_4bit and load.rank)]
    fitting = (way for way in ways if needed(shape, load, way) <= free)
    return next(fitting, min(ways, key=lambda way: needed(shape, load, way)))


def needed(shape: Shape, load: Load, way: Savings) -> float:
    """Forecast the bytes of weights, what the optimiser holds, and one row."""
    size = load.dtype.itemsize
    is_fast = shape.is_packed and not way.is_4bit
    tokens = max(load.longest, load.packed) if shape.is_packed else load.longest
    row = _fast_row(shape, load, way, tokens) if is_fast else _plain_row(shape, way, tokens)
    trained = TRAINED_BYTES * load.rank * shape.sides
    return _held(shape, way, load.rank, size) + trained + row


def _held(shape: Shape, way: Savings, rank: int, size: int) -> float:
    """Bytes of the weights, `size` of a number that is computed with; and where all are trained, of what
    the optimiser holds and of another gradient of the head."""
    words = shape.hidden * shape.vocabulary
    ends = words * (1 if shape.is_tied else 2)
    if way.is_4bit:
        return 0.6 * shape.weights + 4.0 * ends
    held = weight_bytes(shape.weights, words, is_tied=shape.is_tied, size=size, is_full=not rank)
    return held if rank else held + 16.0 * (shape.weights + ends) + (4.0 + size) * words


def _fast_row(shape: Shape, load: Load, way: Savings, tokens: int) -> float:
    kept = shape.width + SIDES * load.rank * shape.layers
    if way.remakes:
        kept = 2 * shape.layers * shape.hidden + kept / shape.layers
    labels = min(tokens, CHUNK) * LOGIT_BYTES * shape.vocabulary
    return tokens * (load.dtype.itemsize * kept + GATE_BYTES * shape.inner) + labels


def _plain_row(shape: Shape, way: Savings, tokens: int) -> float:
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
    if way.remakes and model.supports_gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
