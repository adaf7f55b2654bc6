"""Who computes the steps between matrix products where a tensor lies: loops on processors, operations of
PyTorch on GPUs. Both are functions of tensors and numbers here.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from training.lm.fast import kernels, operations
from training.lm.fast.kernels import F, numbers


def _on_tensors(loop: Callable) -> Callable:
    def told(one):
        if isinstance(one, torch.Tensor):
            return numbers(one)
        return F(one) if isinstance(one, float) else one

    return lambda *arguments: loop(*map(told, arguments))


STEPS = ("norm", "norm_back", "heads", "heads_back", "cross_entropy", "gate", "gate_back")
LOOPS = SimpleNamespace(**{name: _on_tensors(getattr(kernels, name)) for name in STEPS})


def steps_for(x: torch.Tensor) -> Any:
    return operations if x.is_cuda else LOOPS
