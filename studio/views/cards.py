"""Base models and presets as cards: what is known of one, and whether this machine carries it."""

from collections.abc import Iterator
from dataclasses import dataclass

from training import bases, fit, recipe
from training.bases import Base
from training.hub import downloads, presets
from training.hub.presets import Preset


@dataclass(frozen=True)
class Card:
    """One base model that is here."""

    base: Base
    memory_bytes: int
    """Of a training with the method asked for."""
    has_room: bool
    is_recommended: bool

    @property
    def preset(self) -> Preset | None:
        return self.base.preset

    @property
    def is_fetched(self) -> bool:
        return self.base.origin is not None


@dataclass(frozen=True)
class Offer:
    """One preset that can be fetched, is on its way or is here."""

    preset: Preset
    memory_bytes: int
    has_room: bool
    is_recommended: bool
    is_here: bool
    is_coming: bool


def of_bases(method: str = recipe.LORA) -> list[Card]:
    """Return the bases of this machine, refused ones last."""
    found = bases.catalogue()
    best = fit.recommended([base for base in found if not base.problem], method)
    return [
        Card(
            base, fit.needed_bytes(base, method), fit.has_room(base, method),
            is_recommended=best is not None and base.slug == best.slug,
        )
        for base in found
    ]  # fmt: skip


def of_presets(here: list[Card]) -> Iterator[Offer]:
    """Yield an offer for each preset, in the presets' order."""
    best = fit.recommended(presets.PRESETS, recipe.LORA)
    known = {card.preset.repo for card in here if card.preset}
    coming = {row.repo for row in downloads.shown() if row.is_live}
    for preset in presets.PRESETS:
        yield Offer(
            preset, fit.needed_bytes(preset, recipe.LORA), fit.has_room(preset, recipe.LORA),
            is_recommended=preset is best,
            is_here=preset.repo in known, is_coming=preset.repo in coming,
        )  # fmt: skip
