"""Settings under a name: some that come with the studio, and those that people keep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from playground.models import Preset
from playground.parameters import Parameters, checked_system_prompt
from training.errors import UserError

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

MOST = 50


@dataclass(frozen=True)
class Choice:
    """One line of the list, and the values that it puts into the form."""

    key: str
    label: "str | _StrPromise"
    values: Mapping[str, object]

    @property
    def json(self) -> str:
        return json.dumps(self.values, ensure_ascii=False, separators=(",", ":"))


READY = (
    Choice("exact", _("정확하게"), {"temperature": 0, "top_p": 1}),
    Choice("even", _("고르게"), {"temperature": 0.7, "top_p": 0.95}),
    Choice("varied", _("다양하게"), {"temperature": 1, "top_p": 0.98}),
)


def lists(owner: Any) -> dict:
    """Return what _presets.html shows."""
    return {"ready_presets": READY, "kept_presets": kept(owner)}


def kept(owner: Any) -> list[Choice]:
    return [_choice(preset) for preset in Preset.objects.filter(owner=owner)]


def keep(owner: Any, name: str, system_prompt: str, parameters: Parameters) -> Preset:
    """Keep settings under a name; those that had it before give way.

    Raises: UserError("preset_nameless"), UserError("system_prompt_too_long"), UserError("presets_full").
    """
    name = " ".join(name.split())[:60]
    if not name:
        raise UserError("preset_nameless")
    others = Preset.objects.filter(owner=owner).exclude(name=name)
    if others.count() >= MOST:
        raise UserError("presets_full", limit=MOST)
    values = {
        "system_prompt": checked_system_prompt(system_prompt),
        "parameters": parameters.as_dict(),
    }
    return Preset.objects.update_or_create(owner=owner, name=name, defaults=values)[0]


def _choice(preset: Preset) -> Choice:
    parameters = Parameters.parse(preset.parameters)
    values = parameters.as_dict() | {
        "system_prompt": preset.system_prompt,
        "stops": parameters.stops,
        "seed": "" if parameters.seed is None else parameters.seed,
    }
    del values["stop"]
    return Choice(str(preset.pk), preset.name, values)
