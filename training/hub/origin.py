"""Where a model folder comes from: one small JSON file in it. Knows no Django."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "origin.json"
LIMIT_BYTES = 64 * 1024
TEXTS = ("repo", "commit", "licence", "download")


@dataclass(frozen=True)
class Origin:
    repo: str = ""
    """The hub's id."""
    commit: str = ""
    licence: str = ""
    is_gated: bool = False
    """Whether the hub wanted terms to be accepted."""
    download: str = ""
    """Id of the download that brought it."""


def write(folder: Path, origin: Origin) -> None:
    (folder / NAME).write_text(json.dumps(asdict(origin), indent=1), "utf-8")


def read(folder: Path) -> Origin | None:
    """Return what is written in a folder; None where nothing is, or nothing of use."""
    path = folder / NAME
    if not path.is_file() or path.stat().st_size > LIMIT_BYTES:
        return None
    try:
        written = json.loads(path.read_text("utf-8"))
        texts = {key: str(written.get(key) or "") for key in TEXTS}
        return Origin(**texts, is_gated=written.get("is_gated") is True)
    except (ValueError, AttributeError, RecursionError):
        return None
