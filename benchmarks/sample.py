"""What the built-in sample teaches: held-out accuracy before, with five examples, and after.

    .venv/bin/python benchmarks/sample.py [--base FOLDER] [--epochs 6] [--learning-rate 1e-3]

Trains the 320 sample enquiries with the product's own trainer and asks the 60 held-out ones, greedily.
An answer counts when it is the department's name and nothing else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SAMPLES = ROOT / "training/datasets/samples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=ROOT / "data/builtin/smollm2-135m-instruct")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    taught, asked = (
        read(SAMPLES / name) for name in ("enquiries.jsonl", "enquiries-held-out.jsonl")
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        seconds = train(run, taught, arguments)
        adapter = run / "attempt-1" / "result"
        print(f"trained {len(taught)} records in {seconds:.0f} s")
        rows = [
            ("base, the same question", accuracy(arguments.base, None, asked, few=[])),
            ("base, with five examples", accuracy(arguments.base, None, asked, few=five(taught))),
            ("after training", accuracy(arguments.base, adapter, asked, few=[])),
        ]
    for name, (right, tokens) in rows:
        print(
            f"{name:28} {right:3d} / {len(asked)}  {right / len(asked):4.0%}  {tokens:6.0f} tokens a question"
        )


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def five(taught: list[dict]) -> list[dict]:
    """Return the first example of each department."""
    found: dict[str, dict] = {}
    for row in taught:
        found.setdefault(row["completion"], row)
    return list(found.values())


def train(run: Path, taught: list[dict], arguments: argparse.Namespace) -> float:
    from training.chat import Example, Message
    from training.datasets import segments

    with segments.Writer(run / "examples") as writer:
        for row in taught:
            turns = (Message("user", row["prompt"]), Message("assistant", row["completion"]))
            writer.add(Example(turns))
    settings = {
        "epochs": arguments.epochs, "batch_size": 8, "learning_rate": arguments.learning_rate,
        "max_length": 2048, "warmup_ratio": 0.1, "seed": arguments.seed,
        "lora_rank": 16, "lora_alpha": 32,
    }  # fmt: skip
    order = {
        "base": str(arguments.base), "base_name": arguments.base.name, "method": "lora",
        "settings": settings, "checkpoint_seconds": 86_400, "validation_examples": 32,
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(order))
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "training.trainer", str(run)],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - started


def accuracy(
    base: Path, adapter: Path | None, asked: list[dict], few: list[dict]
) -> tuple[int, float]:
    """Return how many answers are right and the mean length of a question in tokens."""
    from training.chat import Message, Renderer
    from training.lm import generate, load

    renderer = Renderer.of(base)
    model = load.model(base, adapter=adapter)
    shown = [
        Message(role, row[key])
        for row in few
        for role, key in (("user", "prompt"), ("assistant", "completion"))
    ]
    right, tokens = 0, 0
    for row in asked:
        prompt = renderer.prompt([*shown, Message("user", row["prompt"])])
        answer = generate.stream(model, prompt, max_tokens=16, stop_ids=renderer.stop_ids)
        right += renderer.decode(list(answer)).strip() == row["completion"]
        tokens += len(prompt)
    return right, tokens / len(asked)


if __name__ == "__main__":
    main()
