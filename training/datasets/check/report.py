"""The report of one version: findings and pictures of its rows, as JSON; row numbers as files.

In: a version's folder. Out: a dict for the page, and `report/` beside the rows with the positions
that each finding and each cure concerns. Knows no Django.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.datasets import bins, personal, segments
from training.datasets.check.data import TOLD, Data, Finding, told
from training.datasets.check.features import LANGUAGES, REGISTERS, opening
from training.datasets.check.findings import CHECKS
from training.datasets.check.patterns import Flag
from training.datasets.check.rows import Rows
from training.datasets.check.terms import LEVELS, PLACE, file_name

OPENINGS, LABELS = 10, 20
Progress = Callable[[int, int], None]


def make(
    folder: Path, progress: Progress, *, minimum: int, validation_share: float, beside: list[Path]
) -> dict:
    """Check a version's rows and return the report; write the rows it speaks of into `report/`.

    Raises: FileNotFoundError when the folder was never published.
    """
    rows = Rows(folder, progress)
    others = [Rows(place, lambda done, total: None).records["question"] for place in beside]
    data = Data(
        rows, minimum=minimum, validation_share=validation_share,
        beside=np.concatenate(others) if others else None,
    )  # fmt: skip
    found = [finding for check in CHECKS for finding in check(data)]
    found.sort(key=lambda finding: LEVELS.index(finding.level))
    _write(folder, rows, found)
    return {
        "findings": [_told(finding, rows) for finding in found],
        "statistics": statistics(data) if len(rows) else {},
    }


def _told(finding: Finding, rows: Rows) -> dict:
    shown = [[int(rows.positions[row]) for row in group] for group in finding.shown()]
    return {
        "key": finding.key,
        "level": finding.level,
        "count": len(finding.rows),
        "cures": {cure: len(taken) for cure, taken in finding.cures.items()},
        "params": json.loads(json.dumps(finding.params, default=float)),
        "shown": shown,
    }


def _write(folder: Path, rows: Rows, found: list[Finding]) -> None:
    """Put the positions of findings and cures under their names."""
    place = folder / PLACE
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for finding in found:
        for name, taken in {"": finding.rows, **finding.cures}.items():
            with (place / f"{file_name(finding.key, name)}.part").open("wb") as file:
                file.write(rows.positions[taken].astype(np.uint32).tobytes())
                segments.publish(file, place / file_name(finding.key, name))


# --- pictures -----------------------------------------------------------------------------------
def statistics(data: Data) -> dict:
    """Return what the pictures show: lengths in letters, turns, openings, labels, registers,
    languages."""
    records = data.records
    return {
        "examples": data.count,
        "question_length": _bins(records["question_length"]),
        "answer_length": _bins(records["answer_length"]),
        "median_question": int(np.median(records["question_length"])),
        "median_answer": int(np.median(records["answer_length"])),
        "turns": _bins(records["turns"]),
        "openings": _openings(data),
        "labels": _labels(data),
        "registers": _named(records["register"], REGISTERS),
        "languages": _named(records["answered_in"], LANGUAGES),
        "refusals": int(np.count_nonzero(records["flags"] & Flag.REFUSAL)),
        "system_prompts": int(np.count_nonzero(records["flags"] & Flag.SYSTEM)),
    }


def _bins(values: np.ndarray) -> bins.Bins:
    numbers, counts = np.unique(values, return_counts=True)
    return bins.of(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))


def _named(values: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(values, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _openings(data: Data) -> list[list]:
    """Return how answers begin most often, as [text, rows], where several begin alike."""
    _, first, counts = np.unique(data.records["opening"], return_index=True, return_counts=True)
    most = [i for i in np.argsort(-counts, kind="stable")[:OPENINGS] if counts[i] > 1]
    return [[_begun(data.rows.answer(int(first[i]))), int(counts[i])] for i in most]


def _begun(answer: str) -> str:
    """Return how an answer begins, without personal data."""
    return opening(personal.masked(answer[:TOLD]))


def _labels(data: Data) -> list[list]:
    """Return the labels of a classification with their rows, the commonest first."""
    return [[told(label.name), len(label.rows)] for label in data.labels[:LABELS]]
