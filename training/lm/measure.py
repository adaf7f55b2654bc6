"""How fast this machine multiplies: `python -m training.lm.measure` prints one JSON line in a second.

The figure is what forecast.py scales the work of a training by. Knows no Django.
"""

import json
import os
import time

from training import lifeline

SIDE = 1536
SECONDS = 0.6


def main() -> None:
    lifeline.attach()
    import torch

    from training.lm.load import device, has_bf16

    if threads := int(os.environ.get("DADEUM_THREADS") or 0):
        torch.set_num_threads(threads)
    kind = torch.bfloat16 if has_bf16() or device().type == "cuda" else torch.float32
    speed = gigaflops(torch, kind, device())
    facts = {"gigaflops": round(speed, 1), "precision": str(kind).removeprefix("torch.")}
    print(json.dumps({"kind": "measure", **facts, "device": str(device())}), flush=True)


def gigaflops(torch, kind, place) -> float:
    """Return the best of several short runs, in 10⁹ floating-point operations a second."""
    left, right = (torch.randn(SIDE, SIDE, dtype=kind, device=place) for _ in range(2))
    best, deadline = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < deadline:
        started = time.perf_counter()
        for _ in range(4):
            result = left @ right
        result[0, 0].item()
        best = max(best, 4 * 2 * SIDE**3 / (time.perf_counter() - started) / 1e9)
    return best


if __name__ == "__main__":
    main()
