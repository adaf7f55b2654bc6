"""How long a training will take and how much memory and disk it needs, before it starts.

In: the base's card, the method, the tokens. The speed is that of this machine's own finished
trainings where there are any, else a one-second measurement (lm/measure.py) times the share of it
that trainings reach. Rough by nature; said as «약».
"""

import json
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from training import recipe, tasks
from training.bases import Base
from training.datasets.lengths import Kept
from training.hub.presets import Preset
from training.leases import Order
from training.models import TunedModel
from training.supervise import supervise

SHARES = {"bfloat16": 0.2, "float32": 0.5}
"""Part of the measured matrix speed that trainings of 135M parameters reach, by precision (2 cores of
AMD Zen 5: 430 tokens a second of 920 GFLOPS; 2 cores of Intel without AMX: 336 of 320)."""
START_SECONDS = 12
"""Loading the base and the libraries."""
RECENT = 5
USUAL_RANK = 16
"""The LoRA rank to which memory was fitted."""
CHECKPOINTS = 3
"""At most on disk, of best steps too: two as trainer/checkpoint.py keeps them, and a third while it is
written."""


SpeedOf = Callable[[Base, str, int], tuple[float, bool]]


@dataclass(frozen=True)
class Disk:
    result_bytes: int
    """What stays when the training is over."""
    most_bytes: int
    """What lies there at most while it runs, checkpoints included."""


@dataclass(frozen=True)
class Effect:
    """What one number does beside another: new / old; None where the data must tell and can't."""

    time: float | None
    memory: float | None
    disk: float


@dataclass(frozen=True)
class Forecast:
    seconds: int
    memory_bytes: int
    is_from_trainings: bool
    """Whether the speed is that of finished trainings, not of the quick measurement."""


def forecast(
    base: Base, method: str, resolved: dict, kept: Kept, speed_of: SpeedOf | None = None
) -> Forecast | None:
    """Return the forecast for counted data; None until this machine has been measured. Whoever
    forecasts many brings a `speed_of` that remembers."""
    speed, is_known = (speed_of or tokens_per_second)(base, method, rank_of(resolved))
    if not speed:
        return None
    seconds = START_SECONDS + kept.tokens * passes(resolved) / speed
    memory = memory_bytes(base, method, row_tokens(resolved, kept), rank_of(resolved))
    return Forecast(round(seconds), memory, is_known)


def passes(resolved: dict) -> float:
    """Return how often the work of training one token is done for each token of the data."""
    share = resolved["validation_share"]
    # held-back examples go forward only, twice an epoch
    return resolved["epochs"] * (1 - share + share * 2 / 3)


def row_tokens(resolved: dict, kept: Kept) -> float:
    """Return the tokens of the longest row that goes through the model at once."""
    budget = resolved.get("row_tokens", recipe.ROW_TOKENS)
    packed = min(resolved["batch_size"] * kept.tokens / max(1, kept.used), budget)
    return max(packed, kept.longest_used)


def tokens_per_second(base: Base, method: str, rank: int = USUAL_RANK) -> tuple[float, bool]:
    """Return the speed to expect and whether finished trainings told it."""
    work = operations_per_token(base, method, rank)
    rows = TunedModel.objects.filter(base=base.slug, method=method).select_related("job")
    known = [
        row.metrics["tokens_per_second"]
        * (operations_per_token(base, method, rank_of(row.job.resolved)) / work if work else 1)
        for row in rows[:RECENT]
        if row.metrics.get("tokens_per_second")
    ]
    if known:
        return statistics.median(known), True
    return (training_flops() / work if work else 0), False


def rank_of(resolved: dict) -> int:
    return resolved.get("lora_rank", USUAL_RANK)


def trained_parameters(base: Base | Preset, method: str, rank: int) -> int:
    return base.parameters if method == recipe.FULL else base.linear_sides * rank


def operations_per_token(base: Base | Preset, method: str, rank: int = USUAL_RANK) -> float:
    """Forward 2, back through the activations 2, and 2 more for each parameter that is trained;
    LoRA's own parameters come on top of the base's."""
    if method == recipe.FULL:
        return base.parameters * 6
    return base.parameters * 4 + trained_parameters(base, method, rank) * 6


def memory_bytes(
    base: Base | Preset, method: str, row_tokens: float, rank: int = USUAL_RANK
) -> int:
    """Libraries, weights (with gradients and optimiser where all are trained) and the activations
    of one row; fitted to 135M parameters: 2.9 GB for rows of 670 tokens."""
    weights = base.parameters * (6 if method == recipe.LORA else 18)
    activations = row_tokens * 1.1e6 * (base.parameters / 135e6) ** 0.6
    beside = 0
    if method == recipe.LORA:  # weight, gradient and the optimiser's two moments, in fp32
        beside = 16 * base.linear_sides * (rank - USUAL_RANK)
    return int(1.3e9 + weights + activations + beside)


def disk(base: Base, method: str, resolved: dict) -> Disk:
    """Return the disk space that a run takes: a checkpoint holds what is trained three times over
    in fp32 (the numbers and the optimiser's two moments), what is kept of a best step once."""
    trained = trained_parameters(base, method, rank_of(resolved))
    checkpoint, best = trained * 12, trained * 4 if resolved.get("patience") else 0
    result = base.size_bytes if method == recipe.FULL else trained * 4
    most = max(CHECKPOINTS * checkpoint, (CHECKPOINTS - 1) * checkpoint + result)
    return Disk(result, most + CHECKPOINTS * best)


def free_bytes() -> int:
    """Return what is left on the disk of the data folder."""
    return shutil.disk_usage(settings.DATA).free


ROW_KNOBS = ("batch_size", "max_length", "row_tokens", "lora_rank")
"""What they do to memory depends on the length of the examples."""


def effect(base: Base, method: str, new: dict, old: dict, kept: tuple[Kept, Kept] | None) -> Effect:
    """Return what the numbers `new` do beside `old`; `kept` is what either keeps of the data.

    Without data time is compared by the work for each token, and memory where rows have no say.
    """
    disks = disk(base, method, new).most_bytes, disk(base, method, old).most_bytes
    if kept:
        then, before = (
            forecast(base, method, numbers, one)
            for numbers, one in zip((new, old), kept, strict=True)
        )
        if then and before:
            memory = then.memory_bytes / before.memory_bytes
            return Effect(then.seconds / before.seconds, memory, _ratio(*disks))
    works = (
        passes(numbers) * operations_per_token(base, method, rank_of(numbers))
        for numbers in (new, old)
    )
    is_known = all(new.get(key) == old.get(key) for key in ROW_KNOBS)
    time_ratio = None if new["max_length"] != old["max_length"] else _ratio(*works)
    return Effect(time_ratio, 1.0 if is_known else None, _ratio(*disks))


def _ratio(new: float, old: float) -> float:
    return new / old if old else 1.0


# --- the quick measurement ----------------------------------------------------------------------
def training_flops() -> float:
    """Return the operations a second that a training may reach; 0 until this was measured."""
    return gigaflops() * 1e9 * SHARES.get(_measured().get("precision", ""), 0.2)


def gigaflops() -> float:
    """Return what was measured here; the first call orders the measurement and returns 0."""
    found = _measured().get("gigaflops", 0)
    asked = settings.DATA / "speed.asked"
    if not found and (not asked.exists() or time.time() - asked.stat().st_mtime > 60):
        asked.touch()
        tasks.ring("measure", "machine")
    return found


def _measured() -> dict:
    try:
        return json.loads((settings.DATA / "speed.json").read_text())
    except (OSError, ValueError):
        return {}


def measure(_: str = "") -> None:
    """Measure this machine (the light lane's work); the best of all measurements counts, since
    whatever else it was doing made the others slower."""
    target = settings.DATA / "speed.json"
    outcome = supervise(
        "training.lm.measure",
        [],
        beat=lambda _: Order.GO_ON,
        log=settings.DATA / "logs/measure.log",
    )
    found = outcome.results.get("measure")
    if outcome.is_done and found and found["gigaflops"] > _measured().get("gigaflops", 0):
        part = target.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(target)
