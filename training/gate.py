"""The gate in front of transformers: a model folder goes in, a refusal comes out, or nothing.

Only data may pass: safetensors, JSON, text and tokenizer files. No code, no pickles, no links, no
config key that makes a loader fetch or run something. Knows neither Django nor torch.
"""

import json
import struct
from pathlib import Path

from training import template
from training.errors import UserError

ALLOWED_ENDINGS = (".safetensors", ".json", ".txt", ".model", ".jinja", ".md", ".tiktoken")
ALLOWED_NAMES = ("LICENSE", "NOTICE", ".gitattributes", "USE_POLICY")
FORBIDDEN_KEYS = frozenset(
    {"auto_map", "trust_remote_code", "_attn_implementation_internal", "custom_pipelines"}
)
JSON_LIMIT_BYTES = 64 * 1024 * 1024
CONFIG_LIMIT_BYTES = 1024 * 1024
HEADER_LIMIT_BYTES = 32 * 1024 * 1024
COUNTS = frozenset(
    {"hidden_size", "intermediate_size", "head_dim", "max_position_embeddings", "vocab_size"}
    | {"num_attention_heads", "num_hidden_layers", "num_key_value_heads"}
)
"""Keys of config.json, and of its text_config, that are whole numbers if they are there."""
MAX_COUNT = 100_000_000


def allows(name: str) -> bool:
    """Say whether a file of this name may lie in a model folder."""
    return name in ALLOWED_NAMES or name.endswith(ALLOWED_ENDINGS)


def check(folder: Path) -> None:
    """Let a model folder pass or refuse it.

    Raises: UserError (codes gate_*) naming the folder, the file and what is wrong with it.
    """
    if not folder.is_dir() or folder.is_symlink():
        raise UserError("gate_no_folder", folder=folder.name)
    entries = sorted(folder.rglob("*"))
    for path in entries:
        _check_entry(folder, path)
    names = {path.name for path in entries}
    if not names & {"config.json", "adapter_config.json"}:
        raise UserError("gate_missing", folder=folder.name, file="config.json")
    if not any(name.endswith(".safetensors") for name in names):
        raise UserError("gate_missing", folder=folder.name, file="*.safetensors")
    if "tokenizer.json" not in names:
        raise UserError("gate_missing", folder=folder.name, file="tokenizer.json")
    _check_shards(folder, names)


def _check_shards(folder: Path, names: set[str]) -> None:
    """Where the weights lie in several files, each that the index names must be there."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError("gate_unreadable", folder=folder.name, file=index.name) from None
    for missing in sorted(str(shard) for shard in shards - names):
        raise UserError("gate_missing", folder=folder.name, file=missing)


def _check_entry(folder: Path, path: Path) -> None:
    name = str(path.relative_to(folder))
    if path.is_symlink():
        raise UserError("gate_link", folder=folder.name, file=name)
    if path.is_dir():
        return
    if not path.is_file():
        raise UserError("gate_file", folder=folder.name, file=name)
    if not allows(path.name):
        raise UserError("gate_file", folder=folder.name, file=name)
    if path.suffix == ".json":
        _check_json(folder, path, name)
    elif path.suffix == ".safetensors":
        _check_safetensors(folder, path, name)
    elif path.suffix == ".jinja" and path.stat().st_size > template.LIMIT_BYTES:
        raise UserError("gate_too_large", folder=folder.name, file=name)


def _check_json(folder: Path, path: Path, name: str) -> None:
    is_config = path.name.endswith("config.json")
    if path.stat().st_size > (CONFIG_LIMIT_BYTES if is_config else JSON_LIMIT_BYTES):
        raise UserError("gate_too_large", folder=folder.name, file=name)
    if not is_config:
        return
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise UserError("gate_unreadable", folder=folder.name, file=name) from None
    if not isinstance(content, dict):
        raise UserError("gate_unreadable", folder=folder.name, file=name)
    if key := _forbidden_key(content):
        raise UserError("gate_key", folder=folder.name, file=name, key=key)
    if path.name == "config.json" and (key := _wrong_count(content)):
        raise UserError("gate_number", folder=folder.name, file=name, key=key)


def _forbidden_key(value: object) -> str | None:
    """Return the first forbidden key anywhere in a JSON value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if found := FORBIDDEN_KEYS & item.keys():
                return min(found)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return None


def _wrong_count(config: dict) -> str | None:
    """Return the first key whose number no model can have."""
    text = config.get("text_config", {})
    if not isinstance(text, dict):
        return "text_config"
    counts = [(key, part[key]) for part in (config, text) for key in sorted(COUNTS & part.keys())]
    return next((key for key, value in counts if not _is_count(value)), None)


def _is_count(value: object) -> bool:
    if isinstance(value, list):  # one for each layer
        return all(type(item) is int and _is_count(item) for item in value)
    return value is None or (type(value) is int and 1 <= value <= MAX_COUNT)


def _check_safetensors(folder: Path, path: Path, name: str) -> None:
    """Compare the header with the file's size, as the format's specification asks:
    https://github.com/huggingface/safetensors#format"""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER_LIMIT_BYTES, size - 8):
            raise UserError("gate_unreadable", folder=folder.name, file=name)
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise UserError("gate_unreadable", folder=folder.name, file=name) from None
    if end != size - 8 - length:
        raise UserError("gate_unreadable", folder=folder.name, file=name)
