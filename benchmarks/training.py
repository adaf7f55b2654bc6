"""Real (non-padding) tokens a second: our trainer beside Hugging Face's Trainer.

    .venv/bin/python benchmarks/training.py FILE [--base FOLDER] [--rows 300] [--steps 20]

FILE is anything that the reader takes (JSONL, CSV). Same base, rows, LoRA rank, learning rate and
effective batch; each peer in a process of its own, one after the other, twice in turns; the table
gives the median of the steps after the first two. Close everything else that uses the processor.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BATCH, RANK, RATE, LENGTH = 8, 16, 2e-4, 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--base", type=Path, default=ROOT / "data/builtin/smollm2-135m-instruct")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        PEERS[arguments.peer](arguments.run, arguments.base, arguments.steps)
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        prepare(arguments.file, run, arguments.base, arguments.rows)
        results: dict[str, list[dict]] = {name: [] for name in PEERS}
        for name in [*PEERS, *PEERS]:
            results[name].append(measure(name, run, arguments))
        report(results)


def prepare(file: Path, run: Path, base: Path, rows: int) -> None:
    """Write the run folder that both read."""
    from itertools import islice

    from training.chat import Example
    from training.datasets import read, segments

    found = (item for item in read.Reader(file) if isinstance(item, Example))
    with segments.Writer(run / "examples") as writer:
        for example in islice(found, rows):
            writer.add(example)
    settings = {
        "epochs": 50, "batch_size": BATCH, "learning_rate": RATE, "max_length": LENGTH,
        "warmup_ratio": 0.0, "seed": 1, "lora_rank": RANK, "lora_alpha": 2 * RANK,
    }  # fmt: skip
    order = {
        "base": str(base), "base_name": base.name, "method": "lora", "settings": settings,
        "checkpoint_seconds": 86_400, "validation_examples": 0,
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(order))


def measure(name: str, run: Path, arguments: argparse.Namespace) -> dict:
    command = [
        sys.executable, __file__, "--peer", name, "--run", str(run),
        "--base", str(arguments.base), "--steps", str(arguments.steps),
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(said.stdout.splitlines()[-1])


def report(results: dict[str, list[dict]]) -> None:
    means = {
        name: statistics.mean(r["tokens_per_second"] for r in found)
        for name, found in results.items()
    }
    print(f"{'':28} {'tokens/s':>18} {'ratio':>6} {'peak MB':>8} {'loss of step 10':>16}")
    for name, found in results.items():
        speeds = [r["tokens_per_second"] for r in found]
        print(
            f"{name:28} {' / '.join(f'{s:.0f}' for s in speeds):>18} "
            f"{means[name] / min(means.values()):>6.2f} {max(r['peak_mb'] for r in found):>8.0f} "
            f"{found[0]['loss']:>16.3f}"
        )


def finish(steps: list[tuple[int, float]], losses: list[float]) -> None:
    """Print what one peer measured; `steps` holds real tokens and seconds of each step."""
    rates = [tokens / seconds for tokens, seconds in steps[2:]]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"tokens_per_second": statistics.median(rates), "peak_mb": peak}
    print(json.dumps(facts | {"loss": losses[min(9, len(losses) - 1)]}))


def ours(run: Path, base: Path, steps: int) -> None:
    from training.trainer import order, train

    order.say = train.say = lambda *args, **data: None
    job = train.Run(order.Order.read(run, 1))
    job.prepare()
    timed, losses = [], []
    for number in range(steps):
        started = time.perf_counter()
        loss, _, tokens = job.one_step(job.plan.step(number))
        timed.append((tokens, time.perf_counter() - started))
        losses.append(loss)
    finish(timed, losses)


def hugging_face(run: Path, base: Path, steps: int, bf16: bool = True) -> None:
    """HF Trainer with PEFT, dynamic padding, the same examples in the same order."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from training.trainer import batch
    from training.trainer.order import Order

    order = Order.read(run, 1)
    from training.chat import Renderer

    corpus = batch.read(order.examples, Renderer(base), LENGTH)
    plan = batch.Plan(batch.split(len(corpus), 0, 1)[0], 50, BATCH, 1)
    indices = [int(i) for number in range(steps) for i in plan.step(number)]
    rows = [
        {
            "input_ids": corpus.ids[corpus.starts[i] : corpus.starts[i + 1]].tolist(),
            "labels": corpus.labels[corpus.starts[i] : corpus.starts[i + 1]].tolist(),
            "attention_mask": [1] * corpus.length(i),
        }
        for i in indices
    ]
    real = [
        sum(corpus.length(i) for i in indices[start : start + BATCH])
        for start in range(0, len(indices), BATCH)
    ]
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(
        model,
        LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *args, **kwargs) -> None:
            seconds.append(time.perf_counter() - self.started)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder, per_device_train_batch_size=BATCH, max_steps=steps,
                learning_rate=RATE, lr_scheduler_type="constant", bf16=bf16, use_cpu=True,
                report_to=[], logging_steps=1, save_strategy="no", disable_tqdm=True,
                train_sampling_strategy="sequential",
            ),
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(base)),
            callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    finish(list(zip(real, seconds, strict=True)), losses)


PEERS = {
    "Dadeum": ours,
    "HF Trainer, padding, bf16": hugging_face,
}

if __name__ == "__main__":
    main()
