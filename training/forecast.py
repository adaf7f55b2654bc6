"""How long a training will take and how much memory it needs, before it starts.

In: the base's card, the method, the tokens. The speed is that of this machine's own finished
trainings where there are any, else a one-second measurement (lm/measure.py) times the share of it
that trainings reach. Rough by nature; said as «약».
"""

import json
import statistics
import time
from dataclasses import dataclass

from django.conf import settings

from training import recipe, tasks
from training.bases import Base
from training.hub.presets import Preset
from training.leases import Order
from training.models import TunedModel
from training.supervise import supervise

SHARE = 0.2
"""Part of the measured matrix speed that trainings reached (2 cores, 135M parameters, bf16)."""
ROW_TOKENS = 4096
"""As trainer/batch.py packs them."""
START_SECONDS = 12
"""Loading the base and the libraries."""
RECENT = 5


@dataclass(frozen=True)
class Forecast:
    seconds: int
    memory_bytes: int
    is_from_trainings: bool
    """Whether the speed is that of finished trainings, not of the quick measurement."""


def forecast(base: Base, method: str, resolved: dict, count: dict) -> Forecast | None:
    """Return the forecast for counted data (see datasets/count.py); None until this machine has
    been measured."""
    tokens = count["tokens"]
    speed, is_known = tokens_per_second(base, method)
    if not speed:
        return None
    trained = tokens * resolved["epochs"] * (1 - resolved["validation_share"])
    # held-back examples go forward only, twice an epoch
    checked = tokens * resolved["epochs"] * resolved["validation_share"] * 2 / 3
    seconds = START_SECONDS + (trained + checked) / speed
    mean = tokens / max(1, count["examples"] - count["lost"])
    row = max(
        min(resolved["batch_size"] * mean, ROW_TOKENS),
        min(count["longest"], resolved["max_length"]),
    )
    return Forecast(round(seconds), memory_bytes(base, method, row), is_known)


def tokens_per_second(base: Base, method: str) -> tuple[float, bool]:
    """Return the speed to expect and whether finished trainings told it."""
    rows = TunedModel.objects.filter(base=base.slug, method=method)[:RECENT]
    known = [
        row.metrics["tokens_per_second"] for row in rows if row.metrics.get("tokens_per_second")
    ]
    if known:
        return statistics.median(known), True
    work = operations_per_token(base.parameters, method)
    return (gigaflops() * 1e9 * SHARE / work if base.parameters else 0), False


def operations_per_token(parameters: int, method: str) -> float:
    """Forward 2, back through the activations 2, and with full training 2 more a parameter."""
    return parameters * (4 if method == recipe.LORA else 6)


def memory_bytes(base: Base | Preset, method: str, row_tokens: float) -> int:
    """Libraries, weights (with gradients and optimiser where all are trained) and the activations
    of one row; fitted to 135M parameters: 2.9 GB for rows of 670 tokens."""
    weights = base.parameters * (6 if method == recipe.LORA else 18)
    activations = row_tokens * 1.1e6 * (base.parameters / 135e6) ** 0.6
    return int(1.3e9 + weights + activations)


# --- the quick measurement ----------------------------------------------------------------------
def gigaflops() -> float:
    """Return what was measured here; the first call orders the measurement and returns 0."""
    found = _measured()
    asked = settings.DATA / "speed.asked"
    if not found and (not asked.exists() or time.time() - asked.stat().st_mtime > 60):
        asked.touch()
        tasks.ring("measure", "machine")
    return found


def _measured() -> float:
    try:
        return json.loads((settings.DATA / "speed.json").read_text())["gigaflops"]
    except (OSError, ValueError, KeyError):
        return 0


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
    if outcome.is_done and found and found["gigaflops"] > _measured():
        part = target.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(target)
