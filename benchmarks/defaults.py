"""Our recommended settings beside the defaults of other tools: the same base, data and trainer.

    .venv/bin/python benchmarks/defaults.py [--chats korean-chat-pairs.csv] [--results FILE] [--full]

Two tasks with short answers: messages about appointments (appointments.py) and, with --chats, questions
to be sorted by subject (Chatbot data for Korean v1.0: columns Q and label). For each number of examples
and seed a LoRA is trained with every set of numbers, and 120 questions that none has seen are answered
greedily; an answer counts when it is the expected one to the letter. Ours gives up the examples
that it holds back by itself; the others train on all. Each run is a line of FILE, and what is
there already is not run again: it can be stopped and started anew. --full takes more examples and seeds.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
ASKED = 120
LETTERS = 16
"""Of a question at most."""
SUBJECTS = {"0": "일상", "1": "이별", "2": "사랑"}
OURS = "Dadeum"


@dataclass(frozen=True)
class Numbers:
    epochs: int
    batch_size: int
    """Examples an optimiser step: batch times accumulation."""
    learning_rate: float
    lora_rank: int
    lora_alpha: int
    warmup_ratio: float = 0.0
    is_linear: bool = False
    """Down to zero along a line, not half a cosine."""
    most_steps: int | None = None
    """Ends after so many steps, whatever the epochs are."""
    patience: int = 0
    validation_share: float = 0.0

    @classmethod
    def of(cls, result: dict) -> "Numbers":
        return cls(**{key: result[key] for key in cls.__dataclass_fields__ if key in result})


PEERS = {
    "H2O LLM Studio": Numbers(1, 2, 1e-4, 4, 16),
    "LLaMA-Factory (LlamaBoard)": Numbers(3, 16, 5e-5, 8, 16),
    "AutoTrain": Numbers(3, 8, 3e-5, 16, 32, 0.1, is_linear=True),
    "Unsloth Studio": Numbers(2, 8, 2e-4, 16, 16, 0.1, is_linear=True, most_steps=30),
    "ms-swift": Numbers(3, 16, 1e-4, 8, 32),
    "CLOVA Studio": Numbers(8, 8, 1e-4, 8, 16),
}


@dataclass(frozen=True)
class Cell:
    task: str
    examples: int
    seed: int

    @classmethod
    def of(cls, result: dict) -> "Cell":
        return cls(result["task"], result["examples"], result["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--chats", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/defaults.jsonl")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--full", action="store_true")
    told = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    import django

    django.setup()
    from training import bases

    base = bases.find(told.base)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(told.jobs, spawn, take_one_thread) as pool:
        jobs = [pool.submit(run, base.folder, told.chats, *job) for job in jobs_left(told, base)]
        for ended in as_completed(jobs):
            with told.results.open("a") as file:
                file.write(json.dumps(ended.result()) + "\n")
            print(ended.result(), flush=True)
    print(table(read(told.results)))


def take_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def read(path: Path) -> list[dict]:
    return list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def jobs_left(told: argparse.Namespace, base) -> list[tuple[Cell, str, Numbers]]:
    """Return what has no result yet with the numbers that it would have now."""
    known = [(Cell.of(one), one["name"], Numbers.of(one)) for one in read(told.results)]
    every = [
        (cell, name, numbers)
        for cell in cells(told.full, bool(told.chats))
        for name, numbers in {OURS: ours(base, cell.examples), **PEERS}.items()
    ]
    return [job for job in every if job not in known]


def cells(is_full: bool, has_chats: bool) -> list[Cell]:
    seeds, sizes = (range(1, 5), (200, 1000, 4000)) if is_full else (range(1, 3), (200, 1000))
    tasks = ("appointments", "subjects") if has_chats else ("appointments",)
    return [Cell(task, size, seed) for seed in seeds for size in sizes for task in tasks]


def data(cell: Cell, chats: Path | None) -> tuple[list[dict], list[dict]]:
    """Return what is taught and what is asked; the latter is the same for every cell of a task."""
    import appointments

    if cell.task == "subjects":
        assert chats
        found = subjects(chats)
    else:
        found = list(appointments.rows(ASKED + 5000))
    asked, rest = found[:ASKED], found[ASKED:]
    return random.Random(cell.seed).sample(rest, cell.examples), asked


def subjects(chats: Path) -> list[dict]:
    """Return short questions with their subject, as many of each, in an order that is always the same."""
    with chats.open(encoding="utf-8", newline="") as file:
        known = {row["Q"]: SUBJECTS[row["label"].strip()] for row in csv.DictReader(file)}
    groups = {name: [] for name in SUBJECTS.values()}
    for question, subject in known.items():
        if len(question) <= LETTERS:
            groups[subject].append({"prompt": question, "completion": subject})
    for group in groups.values():
        random.Random(7).shuffle(group)
    return [row for rows in zip(*groups.values(), strict=False) for row in rows]


def ours(base, examples: int) -> Numbers:
    """Return what somebody gets who sets nothing."""
    from training import recipe

    numbers = recipe.resolve(
        recipe.LORA, {}, examples=examples, context_length=base.context_length,
        parameters=base.parameters,
    )  # fmt: skip
    return Numbers.of(numbers)


# --- one training -------------------------------------------------------------------------------
def run(base: Path, chats: Path | None, cell: Cell, name: str, numbers: Numbers) -> dict:
    """Train with the product's trainer, then measure on the questions asked."""
    from training.trainer import order

    taught, asked = data(cell, chats)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        write(Path(folder), base, numbers, taught, cell.seed)
        job = trainer(numbers)(order.Order.read(Path(folder), 1))
        job.order.folder.mkdir()
        job.prepare()
        if numbers.most_steps:
            job.plan.total_steps = numbers.most_steps
        job.train()
        job.best.take(job.step)
        job.trainable.refresh()
        facts = {"steps": job.step, "kept": job.history.get("best_step", job.step)}
        facts |= {"name": name} | asdict(cell)
        return facts | asdict(numbers) | measure(job, asked, Path(folder) / "asked")


def write(folder: Path, base: Path, numbers: Numbers, taught: list[dict], seed: int) -> None:
    from training import recipe

    store(folder / "examples", taught)
    settings = asdict(numbers) | {"seed": seed, "max_length": 512}
    held_back = recipe.validation_count(len(taught), numbers.validation_share)
    order = {
        "base": str(base), "base_name": base.name, "method": "lora", "settings": settings,
        "validation_examples": held_back, "checkpoint_seconds": 86_400,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(order))


def store(folder: Path, rows: list[dict]) -> None:
    from training.chat import Example, Message
    from training.datasets import segments

    with segments.Writer(folder) as writer:
        for row in rows:
            turns = Message("user", row["prompt"]), Message("assistant", row["completion"])
            writer.add(Example(turns))


def trainer(numbers: Numbers) -> type:
    """Return the trainer without questions on the way, with the schedule that is asked for."""
    from training.trainer import train

    class Trainer(train.Run):
        def _probe(self, should_stop=None) -> None:
            pass

        def _probe_if_due(self) -> None:
            pass

        def learning_rate(self, step: int) -> float:
            if not numbers.is_linear:
                return super().learning_rate(step)
            total = self.plan.total_steps
            warmup = -(-total * numbers.warmup_ratio // 1)
            share = (step + 1) / warmup if step < warmup else (total - step) / (total - warmup)
            return numbers.learning_rate * share

    return Trainer


def measure(job, asked: list[dict], folder: Path) -> dict:
    """Return the mean loss a label and the share of exact answers."""
    import numpy as np

    from training.chat import Message
    from training.trainer import batch

    store(folder, asked)
    job.corpus = batch.read(folder, job.renderer, job.order.max_length)
    job.validation = np.arange(len(job.corpus))
    job.validation_packs = list(job._packs(job.validation))
    job.order = None
    job.best.see = lambda *args, **data: None
    job.validate()
    prompts = [job.renderer.prompt([Message("user", row["prompt"])]) for row in asked]
    found = job.trainable.answers(prompts, max_tokens=16, stop_ids=job.renderer.stop_ids)
    answers = [job.renderer.decode(ids).strip() for ids in found]
    right = sum(a == row["completion"] for a, row in zip(answers, asked, strict=True))
    return {"loss": job.history["validation_loss"], "exact": right / len(asked)}


def table(found: list[dict]) -> str:
    """Return in Markdown the share of exact answers, with loss and number of seeds, by task and examples."""
    columns = sorted({(one["task"], one["examples"]) for one in found})
    lines = ["| | " + " | ".join(f"{task}, {examples:,}" for task, examples in columns) + " |"]
    lines.append("|---" + "|--:" * len(columns) + "|")
    for name in (OURS, *PEERS):
        lines.append(f"| {name} | " + " | ".join(mean(found, name, *one) for one in columns) + " |")
    return "\n".join(lines)


def mean(found: list[dict], name: str, task: str, examples: int) -> str:
    mine = [o for o in found if (o["name"], o["task"], o["examples"]) == (name, task, examples)]
    if not mine:
        return "–"
    exact, loss = (statistics.mean(one[key] for one in mine) for key in ("exact", "loss"))
    return f"{exact:.0%} ({loss:.2f}, {len(mine)})"


if __name__ == "__main__":
    main()
