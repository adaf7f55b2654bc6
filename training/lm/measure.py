"""How fast this machine trains: `python -m training.lm.measure` prints one JSON line after a minute or two.

Real steps of the trainer on small models of random weights, with few and many, short and long
examples; what each term of costs.py takes is fitted to them. Knows no Django.
"""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from training import costs, lifeline, memory

if TYPE_CHECKING:
    from training.trainer.batch import Corpus
    from training.trainer.order import Order
    from training.trainer.train import Run

ROUNDS = 2
SMALL, BIG, WIDE = "small", "big", "wide"
SHAPES = {
    SMALL: costs.Shape(4, 128, 384, 4, 2, 32, vocabulary=8_192),
    BIG: costs.Shape(6, 576, 1536, 9, 3, 64, vocabulary=49_152),
    WIDE: costs.Shape(2, 1536, 4608, 24, 8, 64, vocabulary=16_384),
}
"""Few layers, so that it takes seconds; but in one more weights than a processor's cache holds."""
ANSWER_TOKENS = 24
MEMORY = "--memory"
"""Given to the process that measures memory alone."""


@dataclass(frozen=True)
class Batch:
    """Examples of one step."""

    model: str
    examples: int
    length: int
    """About, in tokens."""
    trained: float
    """Part of the tokens that are labels."""
    method: str = "lora"
    rank: int = 16

    @property
    def setting(self) -> tuple[str, str, int]:
        return self.model, self.method, self.rank


BATCHES = (
    Batch(SMALL, 8, 40, 0.4),
    Batch(SMALL, 32, 24, 0.1),
    Batch(SMALL, 1, 1024, 0.1),
    Batch(BIG, 2, 24, 0.4),
    Batch(BIG, 8, 40, 0.4),
    Batch(BIG, 32, 24, 0.1),
    Batch(BIG, 2, 512, 0.02),
    Batch(BIG, 2, 512, 0.8),
    Batch(BIG, 1, 1536, 0.1),
    Batch(WIDE, 4, 64, 0.2),
    Batch(WIDE, 1, 512, 0.2),
    Batch(BIG, 8, 128, 0.2, rank=128),
    Batch(SMALL, 8, 40, 0.4, "full"),
    Batch(BIG, 8, 40, 0.4, "full"),
    Batch(BIG, 2, 512, 0.2, "full"),
)


def main() -> None:
    lifeline.attach()
    import torch

    if threads := int(os.environ.get("DADEUM_THREADS") or 0):
        torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        measurement = Measurement(Path(folder))
        found = measurement.memory() if MEMORY in sys.argv else measurement.all()
    print(json.dumps({"kind": "measure", **found}), flush=True)


def _compile() -> float:
    """Have the loops compiled for this machine, if they are not; return the seconds that took."""
    begun = time.time()
    subprocess.run([sys.executable, "-c", "import training.lm.fast.kernels"], check=False)
    return time.time() - begun


class Measurement:
    """Models and runs lie in a folder while it lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiling = _compile()
        """Seconds that no training after this one takes."""
        self.drawn = random.Random(7)
        self.steps: list[tuple[dict, float]] = []
        """Terms of a step, and its seconds; the others alike."""
        self.loads: list[tuple[dict, float]] = []
        self.beginnings: list[tuple[dict, float]] = []
        """Of answers."""
        self.answers: list[tuple[dict, float]] = []
        self.forwards: list[float] = []
        """Seconds of a pass forward for each of a step."""

    def all(self) -> dict:
        for setting in dict.fromkeys(one.setting for one in BATCHES):
            run = self._run(*setting)
            for one in BATCHES:
                if one.setting == setting:
                    self._measure_step(run, one)
            if setting[1:] == ("lora", 16):
                self._measure_answers(run, SHAPES[setting[0]])
        return self._facts() | {
            "step": fit(self.steps),
            "forward": sorted(self.forwards)[len(self.forwards) // 2],
            "answer": fit(self.answers),
            "beginning": fit(self.beginnings),
            "load": fit(self.loads),
            "write": self._write_seconds(run),
            "memory": {"libraries": self.libraries, **_memory_elsewhere()},
        }

    def memory(self) -> dict[str, float]:
        """Return what a number weighs while a row goes through."""
        setting = (BIG, "lora", 16)
        run = self._run(*setting)
        peaks = [self._peak(run, one) for one in BATCHES if one.setting == setting]
        is_told = all(size > 0 for _, size in peaks)
        return fit(peaks) if is_told else dict(costs.KEPT_BYTES)

    def _facts(self) -> dict:
        from training.lm.load import device
        from training.lm.speed import gigaflops, training_dtype

        kind = training_dtype()
        return {
            "gigaflops": round(gigaflops(kind), 1),
            "precision": str(kind).removeprefix("torch."),
            "device": str(device()),
        }

    # --- a run ----------------------------------------------------------------------------------
    def _run(self, model: str, method: str, rank: int) -> "Run":
        from training.trainer import train

        if not (self.folder / model).exists():
            write_model(self.folder / model, SHAPES[model])
        begun = time.time()
        if not self.loads:
            begun = psutil.Process().create_time() + self.compiling
        run = train.Run(self._order(model, method, rank))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing here is worth a checkpoint
        run.corpus = self._corpus(8, 32, 0.5, SHAPES[model])
        run.split()
        run.load()
        if not self.loads:
            self.libraries = psutil.Process().memory_info().rss
        parameters = sum(one.numel() for one in run.trainable.model.parameters())
        terms = {"start": float(not self.loads), "parameters": float(parameters)}
        self.loads.append((terms, time.time() - begun))
        return run

    def _order(self, model: str, method: str, rank: int) -> "Order":
        from training.trainer.order import Order

        folder = self.folder / f"{model}-{method}-{rank}"
        return Order(
            run=folder, attempt=1, base=self.folder / model, base_name=model, method=method,
            epochs=1, batch_size=8, learning_rate=1e-6, max_length=4096, warmup_ratio=0.0,
            validation_examples=0, seed=1, lora_rank=rank, lora_alpha=2 * rank,
        )  # fmt: skip

    def _corpus(self, examples: int, length: int, part: float, shape: costs.Shape) -> "Corpus":
        """Make examples of random tokens, each a little longer or shorter, as data is."""
        import numpy as np

        from training.chat import IGNORED
        from training.trainer.batch import Corpus

        draw = np.random.default_rng(self.drawn.randrange(2**31))
        lengths = np.maximum(4, (length * draw.uniform(0.9, 1.1, examples)).astype(int))
        ids = draw.integers(1, shape.vocabulary, lengths.sum()).astype(np.int32)
        labels, starts = ids.copy(), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        for start, own in zip(starts, lengths, strict=False):
            labels[start : start + max(2, int(own * (1 - part)))] = IGNORED
        return Corpus(ids, labels, starts, np.arange(examples))

    # --- what takes time ------------------------------------------------------------------------
    def _measure_step(self, run: "Run", one: Batch) -> None:
        """Take a few steps, of which the fastest counts: the others met what else the machine did."""
        import numpy as np

        found = []
        indices = np.arange(one.examples)
        for _ in range(ROUNDS + 1):
            run.corpus = self._corpus(one.examples, one.length, one.trained, SHAPES[one.model])
            terms = self._terms(run, one)
            seconds = timed(lambda: run.one_step(indices))
            found.append((seconds / terms[costs.PRODUCTS], seconds, terms))
        _, seconds, terms = min(found[1:], key=lambda each: each[0])  # the first one warms up
        self.steps.append((terms, seconds))
        if one.model == BIG and one.setting[1:] == ("lora", 16):
            packs = list(run._packs(indices))
            forward = min(timed(lambda: run.forward(packs)) for _ in range(2))
            self.forwards.append(forward / seconds)

    def _peak(self, run: "Run", one: Batch) -> tuple[dict[str, float], int]:
        """Return the terms of a step that take memory, and the most that it took."""
        import numpy as np

        run.corpus = self._corpus(one.examples, one.length, one.trained, SHAPES[one.model])
        terms, indices, found = self._terms(run, one), np.arange(one.examples), []
        for _ in range(2):
            with Peak() as peak:
                run.one_step(indices)
            found.append(peak.bytes)
        return {name: terms[name] for name in costs.KEPT_BYTES}, max(found)

    def _terms(self, run: "Run", one: Batch) -> dict[str, float]:
        import numpy as np

        indices = np.arange(one.examples)
        packs = list(run._packs(indices))
        work = costs.Work(
            tokens=sum(pack.ids_1T.shape[1] for pack in packs),
            squares=sum(run.corpus.length(int(i)) ** 2 for i in indices),
            labels=sum(len(pack.labels_L) for pack in packs),
            examples=one.examples,
            packs=len(packs),
            steps=1,
        )
        trained = sum(parameter.numel() for parameter in run.parameters.values())
        return costs.terms(SHAPES[one.model], work, trained, is_full=one.method == costs.FULL)

    def _measure_answers(self, run: "Run", shape: costs.Shape) -> None:
        """Time what three answers take to begin, and one token more of them."""
        prompts = [[self.drawn.randrange(1, shape.vocabulary) for _ in range(32)] for _ in range(3)]

        def answer(tokens: int) -> float:
            return timed(lambda: run.trainable.answers(prompts, max_tokens=tokens, stop_ids=()))

        answer(1)
        one, many = (min(answer(tokens) for _ in range(2)) for tokens in (1, 1 + ANSWER_TOKENS))
        self.beginnings.append((costs.beginning_terms(shape), one))
        self.answers.append((costs.answer_terms(shape), max(1e-6, many - one) / ANSWER_TOKENS))

    def _write_seconds(self, run: "Run") -> float:
        """Return what a byte of a checkpoint takes."""
        from training.trainer import checkpoint

        size = 4 * sum(parameter.numel() for parameter in run.parameters.values())
        folder = run.order.folder
        return timed(lambda: checkpoint.save_best(folder, 1, run.parameters, {})) / size


def _memory_elsewhere() -> dict[str, float]:
    """Measure memory in a process with the system's allocator: another (allocator.py) keeps what one
    step took, so that the next seems to take nothing."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    ended = subprocess.run(
        [sys.executable, "-m", "training.lm.measure", MEMORY], env=environment,
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found = json.loads(ended.stdout.splitlines()[-1])
    return {name: found[name] for name in costs.KEPT_BYTES}


def fit(found: list[tuple[dict, float]]) -> dict[str, float]:
    return costs.fit([terms for terms, _ in found], [cost for _, cost in found])


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Peak:
    """The memory that comes on top of what the process holds; 0 where the kernel does not tell."""

    bytes = 0

    def __enter__(self) -> "Peak":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
        self.before = psutil.Process().memory_info().rss
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = max(0, memory.peak_bytes(os.getpid()) - self.before)


def write_model(folder: Path, shape: costs.Shape) -> None:
    """Write a Llama of random weights."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        num_hidden_layers=shape.layers, hidden_size=shape.hidden, intermediate_size=shape.inner,
        num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads, head_dim=shape.head_size,
        vocab_size=shape.vocabulary, max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    Tokenizer(models.WordLevel({"": 0}, "")).save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    main()
