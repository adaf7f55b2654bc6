"""The catalogue of base models: model folders go in, cards come out.

Reads config and header files only; whoever loads the weights is in training/lm.
"""

import json
import logging
import math
import re
import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from training import costs, gate
from training.chat import Renderer, read_json
from training.errors import UserError
from training.hub import ids, origin, presets
from training.hub.origin import Origin
from training.hub.presets import Preset

logger = logging.getLogger(__name__)
NONCOMMERCIAL = re.compile(r"\bnc\b|non-?commercial", re.IGNORECASE)


@dataclass(frozen=True)
class Base:
    slug: str
    """Stable name: `smollm2-135m-instruct` for the built-in one, else the folder's name."""
    name: str
    folder: Path
    context_length: int = 0
    """In tokens."""
    parameters: int = 0
    linear_sides: int = 0
    """Inputs and outputs of all linear layers but the head, summed: LoRA of rank r trains r times
    as many numbers."""
    shape: costs.Shape | None = None
    """None where its config does not tell it."""
    size_bytes: int = 0
    tokenizer_bytes: int = 0
    """Of the file that goes with each result."""
    licence: str = ""
    architecture: str = ""
    has_template: bool = False
    is_builtin: bool = False
    origin: Origin | None = None
    """Where a base that was fetched comes from."""
    problem: UserError | None = None
    """Why the gate refuses the folder; such a base can't be chosen."""

    @property
    def preset(self) -> Preset | None:
        """What we know of a model that people use often."""
        return presets.find(self.origin.repo if self.origin else self.slug)

    @property
    def is_noncommercial(self) -> bool:
        """Whether its licence says so, in its name or as far as we know."""
        is_known = self.preset is not None and self.preset.is_noncommercial
        return is_known or bool(NONCOMMERCIAL.search(self.licence))

    @property
    def is_gated(self) -> bool:
        """Whether its makers want their terms to be accepted."""
        is_known = self.preset is not None and self.preset.is_gated
        return is_known or (self.origin is not None and self.origin.is_gated)


BUILTIN = Base(
    slug="smollm2-135m-instruct",
    name="SmolLM2-135M-Instruct",
    folder=settings.BUILTIN_MODEL,
    licence="Apache-2.0",
    is_builtin=True,
)

UNKNOWN = Base(slug="", name="", folder=Path(), context_length=2048)


def catalogue() -> list[Base]:
    """Return every base on this machine, the built-in one first, refused ones last."""
    bases = [_read(BUILTIN)] if BUILTIN.folder.is_dir() else []
    if settings.MODELS.is_dir():
        bases += [
            _read(_base(folder))
            for folder in sorted(settings.MODELS.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
        ]
    return sorted(bases, key=lambda base: base.problem is not None)


def name(slug: str) -> str:
    """Return a base's name; of one that is gone, its slug."""
    return next((base.name for base in catalogue() if base.slug == slug), slug)


def find(slug: str) -> Base:
    """Return the base of a slug, of a hub's id (`org/name`), or of a name that the administrator
    gave to one.

    Raises: UserError `base_missing`, `base_not_downloaded`, or the gate's refusal.
    """
    wanted = settings.MODEL_ALIASES.get(slug, slug)
    for base in catalogue():
        if base.slug in (wanted, ids.slug(wanted)):
            if base.problem:
                raise UserError(base.problem.code, **base.problem.params)
            return base
    if repo := ids.repo_of(wanted):
        raise UserError("base_not_downloaded", repo=repo)
    raise UserError("base_missing", slug=slug)


def known(slug: str) -> Base:
    """Return the base of a slug, or UNKNOWN where it can't be used (any more)."""
    try:
        return find(slug)
    except UserError:
        return UNKNOWN


def _base(folder: Path) -> Base:
    """Begin the card of a folder: one that came from the hub bears its name there."""
    came_from = origin.read(folder)
    name = came_from.repo.rpartition("/")[2] if came_from else ""
    return Base(folder.name, name or folder.name, folder, origin=came_from)


def _read(base: Base) -> Base:
    try:
        entries = sorted(base.folder.iterdir())
        changed = tuple((entry.name, entry.lstat().st_mtime_ns) for entry in entries)
        return _read_once(base, changed)
    except Exception as error:  # one bad folder must not take the pages of all the others along
        logger.exception("the model folder %s can't be read", base.folder)
        reason = f"{type(error).__name__}: {error}"[:200]
        return replace(base, problem=UserError("base_unreadable", folder=base.slug, reason=reason))


@lru_cache(maxsize=256)
def _read_once(base: Base, changed: tuple) -> Base:
    """Read a folder once per state of its entries (`changed`)."""
    try:
        gate.check(base.folder)
        renderer = Renderer(base.folder)
        renderer.stop_ids  # noqa: B018 - renders a first conversation, so that a bad template shows
    except UserError as problem:
        return replace(base, problem=problem)
    weights = [path for path in base.folder.glob("*.safetensors")]
    shapes = [shape for path in weights for shape in _shapes(path).items()]
    architectures = renderer.config.get("architectures") or [""]
    return replace(
        base,
        context_length=renderer.context_length,
        parameters=sum(math.prod(sides) for _name, sides in shapes),
        linear_sides=sum(sum(sides) for name, sides in shapes if _is_linear(name, sides)),
        shape=costs.shape_of(renderer.config),
        size_bytes=sum(path.stat().st_size for path in weights),
        tokenizer_bytes=(base.folder / "tokenizer.json").stat().st_size,
        licence=base.licence or (base.origin and base.origin.licence) or _licence(base.folder),
        architecture=architectures[0],
        has_template=renderer.has_own_template,
    )


def _shapes(path: Path) -> dict[str, list[int]]:
    """Read the shape of each tensor from a safetensors file's header."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


NO_LINEAR = re.compile(r"embed|lm_head|\bw[tp]e\b|\bshared\b")
"""Names of two-sided tensors that LoRA leaves alone."""


def _is_linear(name: str, sides: list[int]) -> bool:
    return len(sides) == 2 and not NO_LINEAR.search(name)


def _licence(folder: Path) -> str:
    """Read `license:` from a model card's front matter, as hubs write it."""
    card = folder / "README.md"
    if card.exists():
        lines = card.read_text("utf-8", "replace")[:4000].splitlines()
        told = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        named = told.get("license_name", "") if told.get("license") == "other" else ""
        if found := named or told.get("license"):
            return found
    return str(read_json(folder / "config.json").get("license") or "")
