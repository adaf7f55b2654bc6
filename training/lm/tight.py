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
LOGIT_BYTES = 10
"""A label's logit in bf16 and fp32, and its gradient in fp32."""
GATE_BYTES = 48
"""What the backward pass of a gate makes of each of its numbers, in fp32, while it lasts."""


@dataclass(frozen=True)
class Savings:
    remakes: bool = False
    """Whether layers are computed again in the backward pass instead of kept."""
    is_4bit: bool = False


def savings(base: Path, tokens: int, *, is_full: bool) -> Savings:
    """Return what has to be saved, so that rows of so many tokens fit into the GPU's free memory."""
    shape = shape_of(json.loads((base / "config.json").read_text()))
    if device().type != "cuda" or shape is None:
        return Savings()
    free = USABLE * torch.cuda.mem_get_info()[0]
    return choose(shape, tokens, free, is_full=is_full, has_4bit=has_4bit())


def choose(shape: Shape, tokens: int, free: float, *, is_full: bool, has_4bit: bool) -> Savings:
    """Return the least that fits; the most where nothing does."""
    ways = [Savings(), Savings(remakes=True)]
    if has_4bit and not is_full:
        ways.append(Savings(remakes=True, is_4bit=True))
    return next((way for way in ways if needed(shape, tokens, way, is_full) <= free), ways[-1])


def needed(shape: Shape, tokens: int, way: Savings, is_full: bool) -> float:
    """Forecast the bytes of weights, what the optimiser holds, and one row."""
    is_fast = shape.is_packed and not way.is_4bit
    ends = shape.hidden * shape.vocabulary
    if is_full:  # in fp32 weight, gradient, two moments; in bf16 what is computed with
        weights = 18.0 * (shape.weights + ends)
    else:
        weights = (0.6 if way.is_4bit else 2.0) * shape.weights + (6.0 if is_fast else 4.0) * ends
    kept, size = shape.width, 2.0 if is_fast else 4.0
    if way.remakes:
        kept = 2 * shape.layers * shape.hidden + shape.width / shape.layers
    labels = min(tokens, CHUNK) if is_fast else tokens
    return (
        weights
        + tokens * (size * kept + GATE_BYTES * shape.inner)
        + labels * LOGIT_BYTES * shape.vocabulary
    )


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
