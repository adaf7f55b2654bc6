"""How fast this machine multiplies: `python -m training.lm.measure` prints one JSON line in a second.

The figure is what forecast.py scales the work of a training by. Knows no Django.
"""

import json
import os

from training import lifeline


def main() -> None:
    lifeline.attach()
    import torch

    from training.lm.load import device
    from training.lm.speed import gigaflops, training_dtype

    if threads := int(os.environ.get("DADEUM_THREADS") or 0):
        torch.set_num_threads(threads)
    kind = training_dtype()
    facts = {"gigaflops": round(gigaflops(kind), 1), "precision": str(kind).removeprefix("torch.")}
    print(json.dumps({"kind": "measure", **facts, "device": str(device())}), flush=True)


if __name__ == "__main__":
    main()
