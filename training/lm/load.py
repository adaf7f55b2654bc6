"""Model folder in, nn.Module ready for inference out.

The gate looks at the folder before transformers is imported; nothing is fetched, no code of the
folder runs. Knows no conversation, no user and no job.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from training import gate
from training.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel

CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@cache
def has_bf16() -> bool:
    """Say whether the processor multiplies bfloat16 in hardware."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not CPU_FLAGS.isdisjoint(flags.split())


@cache
def device() -> torch.device:
    """Return the accelerator where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def best_dtype() -> torch.dtype:
    fits = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if device().type == "cuda"
        else has_bf16()
    )
    return torch.bfloat16 if fits else torch.float32


def model(
    folder: Path, *, adapter: Path | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Load a transformers folder for inference, with a LoRA adapter on it if one is given.

    Raises: UserError of the gate ("model_…") when a folder is not safe or not complete;
        UserError("model_unreadable") when transformers does not know the architecture;
        MemoryError.
    """
    gate.check(folder)
    from transformers import AutoModelForCausalLM

    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype or best_dtype(),
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_short_of_memory(error):
            raise MemoryError from error
        raise UserError("model_unreadable", folder=folder.name) from error
    loaded = loaded.to(device()).eval().requires_grad_(False)
    return loaded if adapter is None else attach(loaded, adapter, "adapter")


def attach(base: "nn.Module | PeftModel", folder: Path, name: str) -> "PeftModel":
    """Put a PEFT folder on a base as adapter `name`; further adapters share the same base.

    Raises: UserError of the gate; UserError("adapter_misfit") when it belongs to another base.
    """
    gate.check(folder)
    from peft import PeftModel

    options = {"adapter_name": name, "is_trainable": False, "low_cpu_mem_usage": True}
    try:
        if isinstance(base, PeftModel):
            base.load_adapter(str(folder), torch_device=str(device()), **options)
            return base
        return PeftModel.from_pretrained(base, str(folder), **options).eval()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UserError("adapter_misfit", folder=folder.name) from error


WANT_OF_MEMORY = (
    "out of memory", "allocate memory", "bad_alloc", "bad allocation", "could not create a primitive",
    "could not create a memory object",
)  # fmt: skip
"""What torch and the libraries below it say where memory was refused; oneDNN names no reason."""


def is_short_of_memory(error: BaseException) -> bool:
    """Say whether torch failed for want of memory, which it tells by text alone on a processor."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in WANT_OF_MEMORY)


def size_bytes(folder: Path) -> int:
    """Return the size of the weights on disk."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def memory_bytes(folder: Path) -> int:
    """Forecast the memory that the weights take once loaded: twice the file where 16-bit weights
    are computed in 32 bits."""
    size = size_bytes(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return size
    stored = str(config.get("dtype") or config.get("torch_dtype") or "")
    return size * 2 if "16" in stored and best_dtype() == torch.float32 else size
