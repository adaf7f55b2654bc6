"""Which models this machine can train: the memory that it takes, and the one to recommend.

Rough, like the forecast that it stands on. Knows of the machine's own memory only, not of a GPU's.
"""

from collections.abc import Iterable
from typing import TypeVar

import psutil

from training import forecast
from training.bases import Base
from training.hub.presets import Preset

Model = TypeVar("Model", Base, Preset)
ROW_TOKENS = 1024
"""Of an example that is long, but not the longest."""
USABLE = 0.8
"""Part of the memory that a training may take."""
NIGHT_SECONDS = 12 * 3600
USUAL_TOKENS = 200_000
"""About 300 examples of 220 tokens, seen three times."""


def needed_bytes(model: Base | Preset, method: str) -> int:
    return forecast.memory_bytes(model, method, ROW_TOKENS)


def has_room(model: Base | Preset, method: str) -> bool:
    """Say whether this machine's memory carries the training of a model."""
    return carries(needed_bytes(model, method))


def carries(memory_bytes: int) -> bool:
    """Say whether this machine's memory carries a training that needs so much."""
    return memory_bytes <= psutil.virtual_memory().total * USABLE


def takes_a_night(model: Base | Preset, method: str) -> bool:
    """Say whether a usual training is over in a night; yes until this machine was measured."""
    seconds = forecast.usual_seconds(model, method, USUAL_TOKENS)
    return seconds is None or seconds <= NIGHT_SECONDS


def recommended(models: Iterable[Model], method: str) -> Model | None:
    """Return the model to take: of those that speak Korean, may be used by anybody, have room
    here and take a night at most, one made for Korean, and of these the largest."""
    fitting = [
        model for model in models
        if _is_for_all(model) and has_room(model, method) and takes_a_night(model, method)
    ]  # fmt: skip
    return max(fitting, key=_worth, default=None)


def _is_for_all(model: Base | Preset) -> bool:
    preset = preset_of(model)
    return preset is not None and preset.speaks_korean and not model.is_noncommercial


def preset_of(model: Base | Preset) -> Preset | None:
    return model.preset if isinstance(model, Base) else model


def _worth(model: Base | Preset) -> tuple[bool, int]:
    preset = preset_of(model)
    return preset is not None and preset.is_made_for_korean, model.parameters
