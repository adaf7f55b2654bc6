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

from training import gate
from training.chat import Renderer, read_json
from training.errors import UserError

logger = logging.getLogger(__name__)


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
    size_bytes: int = 0
    licence: str = ""
    architecture: str = ""
    has_template: bool = False
    is_builtin: bool = False
    problem: UserError | None = None
    """Why the gate refuses the folder; such a base can't be chosen."""


BUILTIN = Base(
    slug="smollm2-135m-instruct",
    name="SmolLM2-135M-Instruct",
    folder=settings.BUILTIN_MODEL,
    licence="Apache-2.0",
    is_builtin=True,
)


def catalogue() -> list[Base]:
    """Return every base on this machine, the built-in one first, refused ones last."""
    bases = [_read(BUILTIN)] if BUILTIN.folder.is_dir() else []
    if settings.MODELS.is_dir():
        folders = sorted(path for path in settings.MODELS.iterdir() if path.is_dir())
        bases += [_read(Base(folder.name, folder.name, folder)) for folder in folders]
    return sorted(bases, key=lambda base: base.problem is not None)


def name(slug: str) -> str:
    """Return a base's name; of one that is gone, its slug."""
    return next((base.name for base in catalogue() if base.slug == slug), slug)


def find(slug: str) -> Base:
    """Return the base of a slug, or of a name that the administrator gave to one.

    Raises: UserError `base_missing`, or the gate's refusal.
    """
    slug = settings.MODEL_ALIASES.get(slug, slug)
    for base in catalogue():
        if base.slug == slug:
            if base.problem:
                raise UserError(base.problem.code, **base.problem.params)
            return base
    raise UserError("base_missing", slug=slug)


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
        size_bytes=sum(path.stat().st_size for path in weights),
        licence=base.licence or _licence(base.folder),
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
        for line in card.read_text("utf-8", "replace")[:4000].splitlines():
            if line.startswith("license:"):
                return line.partition(":")[2].strip()
    return str(read_json(folder / "config.json").get("license") or "")
