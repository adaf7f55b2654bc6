"""Checkpoints: the trained weights, the optimiser and where the run stands, as data only; and the
weights alone of the best step so far.

Written beside, renamed into place, manifest (sha256 of each file) last: a folder that is there is
whole, and one whose bytes changed since is passed over. No pickles anywhere.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

CHECKPOINT, BEST = "checkpoint", "best"
KEPT = 2


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(part: Path, target: Path, facts: dict) -> None:
    """Write the manifest into `part` as its last file and rename the folder into place."""
    files = {
        str(path.relative_to(part)): {"size_bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(part.rglob("*"))
        if path.is_file()
    }
    content = facts | {"files": files}
    manifest = part / "manifest.json"
    manifest.write_text(
        json.dumps(content | {"seal": _seal_of(content)}, ensure_ascii=False, indent=1)
    )
    for path in [*part.rglob("*"), part]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _seal_of(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_whole(folder: Path) -> bool:
    """Tell whether the manifest of a sealed folder, and every file in it, is as it was written."""
    try:
        content = json.loads((folder / "manifest.json").read_text())
        if content.pop("seal") != _seal_of(content):
            return False
        files = content["files"].items()
        return all(digest(folder / name) == entry["sha256"] for name, entry in files)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def save(
    folder: Path, step: int, parameters: dict[str, nn.Parameter], optimizer, facts: dict
) -> None:
    """Write `folder/checkpoint-<step>` and keep the newest two of the run.

    `parameters` maps names to the trained parameters, in the optimiser's order.
    """
    tensors = _weights(parameters)
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).contiguous()
    tensors["random.cpu"] = torch.get_rng_state()
    _write(folder, CHECKPOINT, step, tensors, facts)


def save_best(folder: Path, step: int, parameters: dict[str, nn.Parameter], facts: dict) -> None:
    """Write `folder/best-<step>`, the weights alone, and keep the newest two of the run: a run that
    goes back to a checkpoint may want the one before."""
    _write(folder, BEST, step, _weights(parameters), facts)


def _weights(parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    return {f"weights.{name}": p.detach().contiguous() for name, p in parameters.items()}


def _write(folder: Path, kind: str, step: int, tensors: dict, facts: dict) -> None:
    name = f"{kind}-{step:08d}"
    part = folder / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        save_file(tensors, part / "state.safetensors")
        seal(part, folder / name, facts | {"step": step})
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for stale in _all(folder.parent, kind)[KEPT:]:
        shutil.rmtree(stale, ignore_errors=True)


def _all(run: Path, kind: str) -> list[Path]:
    """Return what is saved of one kind in all attempts, those with the most steps first."""
    return sorted(run.glob(f"attempt-*/{kind}-*"), key=lambda path: path.name, reverse=True)


def latest(run: Path) -> Path | None:
    """Return the whole checkpoint with the most steps of all attempts of a run."""
    return next((folder for folder in _all(run, CHECKPOINT) if is_whole(folder)), None)


def best(run: Path, step: int) -> Path | None:
    """Return the weights that were kept of a step as the best ones, if they are whole."""
    kept = (folder for folder in _all(run, BEST) if folder.name == f"{BEST}-{step:08d}")
    return next((folder for folder in kept if is_whole(folder)), None)


def load(folder: Path, parameters: dict[str, nn.Parameter], optimizer) -> dict:
    """Put a checkpoint's state into model and optimiser; return its facts."""
    tensors = load_weights(folder, parameters)
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            key: tensors[f"optimizer.{key}.{name}"].to(parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"optimizer.{key}.{name}" in tensors
        }
    torch.set_rng_state(tensors["random.cpu"])
    return json.loads((folder / "manifest.json").read_text())


def load_weights(folder: Path, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Put what was saved into the model; return all tensors of the folder."""
    tensors = load_file(folder / "state.safetensors")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"weights.{name}"])
    return tensors
