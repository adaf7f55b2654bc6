"""Makes the folders that tests of training begin with."""

import json
from pathlib import Path

from training import forecast
from training.chat import Example, Message
from training.datasets import segments
from training.datasets.lengths import Tally


def write_examples(folder: Path, count: int, long_every: int = 0) -> None:
    """Write `count` short two-turn examples; every `long_every`-th has a long question."""
    with segments.Writer(folder) as writer:
        for number in range(count):
            question = f"오늘 날씨 {number % 7} 어때요"
            if long_every and number % long_every == 0:
                question = "hello world " * 60
            answer = ("맑습니다", "비가 옵니다")[number % 2]
            writer.add(Example((Message("user", question), Message("assistant", answer))))


def write_unlike_examples(folder: Path, count: int) -> None:
    """Write `count` short two-turn examples, no two of which begin alike."""
    with segments.Writer(folder) as writer:
        for number in range(count):
            question = f"{number:03} " + "오늘 날씨 어때요 " * 4
            writer.add(Example((Message("user", question), Message("assistant", "맑습니다"))))


def lengths(*groups: tuple[int, int, int]) -> dict:
    """Return what a count comes to: each group is so many examples, as long as that in tokens, of
    which so many come before the answer."""
    tally = Tally()
    for examples, length, first in (group for group in groups if group[0]):
        tally.answered[length] += examples
        tally.firsts[first] += examples
        tally.answers[length - first] += examples
    return tally.result()


def run_folder(
    run: Path, base: Path, *, count: int = 40, method: str = "lora", long_every: int = 0,
    checkpoint_seconds: float = 60, validation_examples: int = 4, overflow: str = "cut", **numbers,
) -> Path:  # fmt: skip
    """Write a run folder for the trainer alone, with small settings that `numbers` change."""
    write_examples(run / "examples", count, long_every)
    settings = {
        "epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "max_length": 256,
        "warmup_ratio": 0.1, "validation_share": 0.1, "seed": 7, "lora_rank": 4, "lora_alpha": 8,
    }  # fmt: skip
    order = {
        "base": str(base), "base_name": "tiny", "method": method,
        "checkpoint_seconds": checkpoint_seconds, "validation_examples": validation_examples,
        "overflow": overflow,
        "settings": settings | numbers,
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(order))
    return run


RATES = {
    "precision": "bfloat16",
    "step": {
        "products": 1.5e-12, "elements": 1.5e-9, "attention": 1.9e-9, "logits": 3.7e-9, "calls": 4e-3,
        "calls for examples": 3e-4, "updates": 7e-10, "reading weights": 2e-10, "gradients": 3e-9,
    },
    "forward": 0.4,
    "answer": {"calls": 8e-4, "reading weights": 3.5e-10},
    "beginning": {"calls": 0.05, "copied": 1.5e-9},
    "load": {"start": 8.0, "parameters": 1e-9},
    "write": 2e-9,
    "memory": {"libraries": 4e8, "elements": 3.5, "attention": 0.2, "logits": 14.0},
}  # fmt: skip
"""What a machine with two cores told of itself (training/lm/measure.py)."""


def measured(folder: Path, times: float = 1, **place: str) -> dict:
    """Have a data folder know a machine that trains so many times as fast as that one; `place` is what
    is not as in this process."""
    step = {term: rate / times for term, rate in RATES["step"].items()}
    told = RATES | {"step": step, "place": forecast.place() | place}
    (folder / "speed.json").write_text(json.dumps(told))
    return told
