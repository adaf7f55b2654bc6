"""How fast this machine multiplies matrices, and in which precision it should train for that."""

import time
from functools import cache

import torch

from training.lm.load import best_dtype, device

SIDE = 512
"""Small, so that one multiplication fits between what else the machine does."""
SECONDS = 0.3


def gigaflops(kind: torch.dtype, seconds: float = SECONDS) -> float:
    """Return the best of many short multiplications, in 10⁹ floating-point operations a second.

    On a processor one thread is measured and counted for all: threads that wait for one another
    would measure what else the machine is doing.
    """
    threads = torch.get_num_threads() if device().type == "cpu" else 1
    try:
        if device().type == "cpu":
            torch.set_num_threads(1)
        return threads * _best(kind, seconds)
    finally:
        if device().type == "cpu":
            torch.set_num_threads(threads)


def _best(kind: torch.dtype, seconds: float) -> float:
    left, right = (torch.randn(SIDE, SIDE, dtype=kind, device=device()) for _ in range(2))
    best, deadline = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        started = time.perf_counter()
        result = left @ right
        result[0, 0].item()
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - started) / 1e9)
    return best


@cache
def training_dtype() -> torch.dtype:
    """Return the precision in which this machine trains faster.

    That a processor has instructions for bfloat16 is not enough: some, without AMX, multiply it at
    half the speed of float32.
    """
    if best_dtype() == torch.float32 or device().type != "cpu":
        return best_dtype()
    return max((torch.bfloat16, torch.float32), key=gigaflops)
