"""Real (non-padding) tokens a second of a training, beside the peers.

    .venv/bin/python benchmarks/training.py [--method lora|full] [--steps 8] [--base FOLDER] [--rows FILE]
        [--peer trl_sft=PYTHON] [--peer llama_factory=PYTHON] [--rounds 2] [--quality 100] [--beside 1]
        [--family qwen3] [--parameters 1000000000]

The same base, examples, order, LoRA (rank 16) and effective batch (8); each in a process of its own, one
after the other, in turns. Trainer of transformers runs in this environment; a peer given with --peer runs
in the environment of that interpreter. ROWS is a file of {"prompt", "completion"} lines; without one,
examples of mixed lengths are made (mixed.py). A table is printed: the median of the steps after the first
two, and what an epoch of these rows would take. --beside N has N processes count without end
meanwhile, as a machine that does something else too. --quality N compares N steps with the same run
computed plainly in fp32. --family takes a model of random weights instead, of that family and the
base's size; --parameters one of the usual shape of so many. Where there is a GPU all train on it, and
memory is its own. Close everything else that uses the processor.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(PEERS)]
BATCH, RANK, RATE, LENGTH, HELD_OUT = 8, 16, 2e-4, 1024, 64
SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "tie_word_embeddings", "bos_token_id", "eos_token_id",
    "pad_token_id",
)  # fmt: skip
OURS, PLAIN = "Dadeum", "Dadeum, plain fp32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=ROOT / "data/builtin/smollm2-135m-instruct")
    parser.add_argument("--family", help="qwen3, gemma3_text, ...")
    parser.add_argument("--parameters", type=int, default=0)
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--quality", type=int, default=0)
    parser.add_argument("--beside", type=int, default=0)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--ours", choices=(OURS, PLAIN), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.ours:
        print(json.dumps(ours(told.folder, told.steps, is_plain=told.ours == PLAIN)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if told.family or told.parameters:
            told.base = of_family(told, Path(folder) / "random")
        lengths = prepare(Path(folder), told)
        if told.quality:
            compare(Path(folder), told)
        else:
            measure(Path(folder), told, lengths)


def of_family(told: argparse.Namespace, folder: Path) -> Path:
    """Write a model of random weights with the tokens of the base; return it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from training.costs import usual_shape

    shutil.copytree(told.base, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    known = AutoConfig.from_pretrained(told.base)
    sizes = {key: getattr(known, key) for key in SIZES}
    head = known.hidden_size // known.num_attention_heads
    if told.parameters:
        shape = usual_shape(told.parameters)
        head = shape.head_size
        sizes |= {
            "hidden_size": shape.hidden, "intermediate_size": shape.inner, "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads, "num_key_value_heads": shape.key_heads,
        }  # fmt: skip
    config = AutoConfig.for_model(told.family or known.model_type, **sizes, head_dim=head)
    AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    return folder


def prepare(folder: Path, told: argparse.Namespace) -> list[int]:
    """Write what every peer reads; return the tokens of each example."""
    from mixed import rows

    from training.chat import Example, Message, Renderer
    from training.datasets import segments

    renderer = Renderer(told.base)
    count = max(told.steps, told.quality) * BATCH + HELD_OUT
    if told.rows:
        found = list(islice(map(json.loads, told.rows.read_text().splitlines()), count))
    else:
        found = list(rows(count, lambda text: renderer.count_tokens([text])))
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in found))
    examples = [
        Example((Message("user", row["prompt"]), Message("assistant", row["completion"])))
        for row in found
    ]
    encoded = [one.cut(LENGTH) for one in renderer.encode_many(examples)]
    lines = [json.dumps({"ids": list(one.ids), "labels": list(one.labels)}) for one in encoded]
    (folder / "tokens.jsonl").write_text("\n".join(lines))
    with segments.Writer(folder / "examples") as writer:
        for example in examples:
            writer.add(example)
    settings = {
        "epochs": 1, "batch_size": BATCH, "learning_rate": RATE, "max_length": LENGTH,
        "warmup_ratio": 0.0, "seed": 1, "lora_rank": RANK, "lora_alpha": 2 * RANK,
    }  # fmt: skip
    order = {
        "base": str(told.base), "base_name": told.base.name, "method": told.method,
        "settings": settings, "checkpoint_seconds": 86_400, "validation_examples": 0,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(order))
    return [len(one.ids) for one in encoded]


# --- the peers ----------------------------------------------------------------------------------
def run(name: str, folder: Path, told: argparse.Namespace, steps: int) -> dict:
    """Run one peer in a process of its own and return what it measured."""
    if name in (OURS, PLAIN):
        command = [
            sys.executable,
            __file__,
            "--ours",
            name,
            "--folder",
            str(folder),
            "--steps",
            str(steps),
        ]
    else:
        interpreters = dict(peer.split("=", 1) for peer in told.peer)
        file = "tokens.jsonl" if name == "hugging_face" else "rows.jsonl"
        command = [
            interpreters.get(name, sys.executable), str(PEERS / f"{name}.py"), str(told.base),
            str(folder / file), str(steps), told.method,
        ]  # fmt: skip
    begun = time.perf_counter()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    if name in (OURS, PLAIN):  # as training/supervise.py starts the trainer
        from training import allocator

        environment |= allocator.environment(environment)
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(told.beside)
    ]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    finally:
        for one in busy:
            one.kill()
    if ended.returncode:
        raise SystemExit(f"{name}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1]) | {"wall": time.perf_counter() - begun}


def ours(folder: Path, steps: int, is_plain: bool) -> dict:
    """Run our trainer's own steps in order, in this process."""
    import numpy as np
    from gpu import peak_mb, settle

    from training.lm import speed, trainable
    from training.trainer import order, train

    if is_plain:
        import torch

        trainable.training_dtype = speed.training_dtype = lambda: torch.float32
        trainable.Trainable._decoder = lambda self: None
    order.say = train.say = lambda *args, **data: None
    begun = time.perf_counter()
    job = train.Run(order.Order.read(folder, 1))
    job.prepare()
    ready = time.perf_counter() - begun
    job.order = order.Order.read(folder, 1)
    job.learning_rate = lambda step: RATE
    seconds, losses = [], []
    for number in range(steps):
        started = time.perf_counter()
        loss, _, _ = job.one_step(np.arange(number * BATCH, (number + 1) * BATCH))
        settle()
        seconds.append(time.perf_counter() - started)
        losses.append(loss)
    held_out = np.arange(len(job.corpus) - HELD_OUT, len(job.corpus))
    job.validation, job.validation_packs = held_out, list(job._packs(held_out))
    job.validate()
    return {
        "seconds": seconds, "losses": losses, "peak_mb": peak_mb(), "ready": ready,
        "held_out": job.history["validation_loss"], "path": job.trainable.path,
        "operations": operations(job),
    }  # fmt: skip


# --- the tables ---------------------------------------------------------------------------------
def measure(folder: Path, told: argparse.Namespace, lengths: list[int]) -> None:
    names = [OURS, "hugging_face", *(peer.split("=", 1)[0] for peer in told.peer)]
    tokens = [sum(lengths[n * BATCH : (n + 1) * BATCH]) for n in range(told.steps)]
    found: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(told.rounds):
        for name in names:
            found[name].append(run(name, folder, told, told.steps))
    peak = gemm_peak()
    print(
        f"{told.base.name}, {told.method}, {sum(tokens):,} tokens in {told.steps} steps of {BATCH}"
    )
    print(f"best bf16 matrix product: {peak:,.0f} GFLOPS\n")
    print(
        f"{'':22} {'tokens/s':>16} {'ours is':>8} {'epoch s':>8} {'peak MB':>8} {'of GEMM':>8} "
        f"{'loss of last':>12}"
    )
    speeds = {
        name: [statistics.median(t / s for t, s in zip(tokens[2:], one["seconds"][2:], strict=False))
               for one in all_]
        for name, all_ in found.items()
    }  # fmt: skip
    flops = found[OURS][0]["operations"] / 1e9
    for name, all_ in found.items():
        mean = statistics.mean(speeds[name])
        print(
            f"{name:22} {' / '.join(f'{s:.0f}' for s in speeds[name]):>16} "
            f"{statistics.mean(speeds[OURS]) / mean:>7.2f}x {sum(lengths) / mean:>8,.0f} {max(o['peak_mb'] for o in all_):>8,.0f} "
            f"{mean * flops / peak:>7.0%} {all_[0]['losses'][-1]:>12.4f}"
        )
    one = found[OURS][0]
    print(f"\nours: {one['path']} path, {one['ready']:.1f} s from the start to the first step")


def operations(job) -> int:
    """Count the floating-point operations of one trained token: 2 forward and 2 back for each weight of
    a layer, 2 more for each that is trained. Attention and the head are left out."""
    layers = sum(
        parameter.numel()
        for name, parameter in job.trainable.model.named_parameters()
        if ".layers." in name and parameter.ndim == 2 and "lora_" not in name
    )
    trained = sum(
        p.numel() for name, p in job.parameters.items() if ".layers." in name and p.ndim == 2
    )
    adapters = trained if job.order.method == "lora" else 0
    return 4 * (layers + adapters) + 2 * trained


def gemm_peak(seconds: float = 1.0) -> float:
    """Return the best of many bf16 matrix products on all threads, in GFLOPS."""
    import torch
    from gpu import settle

    best = 0.0
    place = "cuda" if torch.cuda.is_available() else "cpu"
    for side in (1024, 2048, 4096):
        left, right = (torch.randn(side, side, device=place).bfloat16() for _ in range(2))
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            settle()
            begun = time.perf_counter()
            left @ right
            settle()
            best = max(best, 2 * side**3 / (time.perf_counter() - begun) / 1e9)
    return best


def compare(folder: Path, told: argparse.Namespace) -> None:
    """Print how far our losses are from those of the plain path in fp32."""
    fast, plain = (run(name, folder, told, told.quality) for name in (OURS, PLAIN))
    differences = [abs(a - b) for a, b in zip(fast["losses"], plain["losses"], strict=True)]
    print(f"{told.quality} steps, {told.method}: mean |loss - fp32 loss| {statistics.mean(differences):.4f}, "
          f"largest {max(differences):.4f}")  # fmt: skip
    share = fast["held_out"] / plain["held_out"] - 1
    print(f"held-out loss {fast['held_out']:.4f}, fp32 {plain['held_out']:.4f} ({share:+.2%})")


if __name__ == "__main__":
    main()
