"""What the playground's precisions cost in quality: perplexity on English text, beside transformers.

    .venv/bin/python benchmarks/precision.py [--base FOLDER] [--tokens 4096] [--threads 2]

The text is this product's English documentation, cut into windows of 256 tokens. The decoder is asked for
the probability of each next token, one after the other, as when it answers; transformers in float32 and
in bfloat16 for all at once.
"""

import argparse
import math
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
WINDOW = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=ROOT / "data/builtin/smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    told = parser.parse_args()
    import torch

    from training.lm import load
    from training.lm.decode.decoder import Decoder

    torch.set_num_threads(told.threads)
    windows = text(told.base, told.tokens)
    exact = load.model(told.base, dtype=torch.float32)
    reference = at_once(exact, windows)
    rows = {"transformers float32": reference}
    rows["transformers bfloat16"] = at_once(load.model(told.base, dtype=torch.bfloat16), windows)
    for name, is_int8 in (("Dadeum exact", False), ("Dadeum fast (int8)", True)):
        rows[name] = one_by_one(Decoder(exact, is_int8=is_int8, threads=told.threads), windows)
    print(f"{len(windows) * (WINDOW - 1):,} tokens")
    for name, loss in rows.items():
        change = math.exp(loss - reference) - 1
        print(f"{name:24}perplexity {math.exp(loss):8.3f}  {change:+.2%}")


def text(base: Path, tokens: int) -> list[list[int]]:
    from transformers import AutoTokenizer

    pages = sorted((ROOT / "docs/en").glob("*.md"))
    ids = AutoTokenizer.from_pretrained(base)("\n".join(page.read_text() for page in pages))
    ids = ids["input_ids"][:tokens]
    return [ids[start : start + WINDOW] for start in range(0, len(ids) - WINDOW + 1, WINDOW)]


def at_once(model, windows: list[list[int]]) -> float:
    """Return the mean loss a token of transformers."""
    import torch
    from torch.nn.functional import cross_entropy

    total = 0.0
    for window in windows:
        ids_T = torch.tensor(window)
        with torch.inference_mode():
            logits_TV = model(input_ids=ids_T[None]).logits[0].float()
        total += float(cross_entropy(logits_TV[:-1], ids_T[1:]))
    return total / len(windows)


def one_by_one(decoder, windows: list[list[int]]) -> float:
    """Return the mean loss a token of the decoder, up to 16 windows beside each other."""
    import torch

    total = 0.0
    for start in range(0, len(windows), 16):
        some = windows[start : start + 16]
        streams = [decoder.admit(window[:1], None, "", WINDOW) for window in some]
        assert all(streams)
        logits = decoder.step(streams, [stream.last for stream in streams])
        for place in range(1, WINDOW):
            tokens = [window[place] for window in some]
            chosen = torch.tensor(tokens)[:, None]
            total -= float(logits.log_softmax(-1).gather(1, chosen).sum())
            logits = decoder.step(streams, tokens)
        for stream in streams:
            decoder.leave(stream)
    return total / (len(windows) * (WINDOW - 1))


if __name__ == "__main__":
    main()
