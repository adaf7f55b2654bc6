"""All live rows of a version as arrays: what features.py and near.py make of them, kept by segment.

In: a version's folder. Out: records and sketches of its rows in order. What was made of a segment
lies beside it (`features-<number>.npz`) and goes with it into other versions, so that a report
after a small edit reads the edited rows only.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from training.chat import Example
from training.datasets import segments, store
from training.datasets.batches import batches
from training.datasets.check import near
from training.datasets.check.features import KEY, ROW, Block, talks_of
from training.datasets.plain import Talk

BATCH = {"most": 5000, "most_size": 8_000_000}
"""Most rows, and bytes or letters in them, that are read at once: what is made of them on the way takes
some fifty times as much memory."""
COMMON = "features-common.npz"


class Rows:
    """Records and sketches of a version's live rows."""

    def __init__(self, folder: Path, progress: Callable[[int, int], None]) -> None:
        """Raises: FileNotFoundError when the folder was never published."""
        self.view = store.view(folder)
        self.folder = folder
        self.progress = progress
        self.common = self._common()
        physical = self.view.physical
        self.records = np.zeros(physical, ROW)
        self.sketches = np.zeros((physical, near.SKETCH), np.uint16)
        self._fill_segments()
        self._fill_edits()
        is_live = np.ones(physical, bool)
        is_live[np.frombuffer(self.view.gone, np.uint32)] = False
        self.positions = np.flatnonzero(is_live)
        """Position in the version of each live row."""
        if len(self.positions) < physical:
            self.records = self.records[self.positions]
            self.sketches = self.sketches[self.positions]

    def __len__(self) -> int:
        return len(self.positions)

    def _common(self) -> np.ndarray:
        """Return the pieces that too many rows share; those of the version this one came from,
        so that what was made of its segments can be kept."""
        path = self.folder / COMMON
        if (kept := _load(path)) is not None:
            return kept["common"]
        count = len(self.view)
        asked = np.unique(np.linspace(0, count - 1, min(count, near.COMMON_ROWS)).astype(int))
        positions = [self.view.position(row) for row in asked.tolist()]
        common = near.common_pieces(self.texts_at(positions))
        _save(path, common=common)
        return common

    def _fill_segments(self) -> None:
        at = 0
        for number, segment in enumerate(self.view.manifest.segments):
            path = self.folder / f"features-{number:04d}.npz"
            kept = _load(path)
            if kept is None or len(kept["records"]) != segment.rows:
                kept = self._computed(segment, at)
                _save(path, **kept)
            self.records[at : at + segment.rows] = kept["records"]
            self.sketches[at : at + segment.rows] = kept["sketches"]
            at += segment.rows
            self.progress(at, self.view.physical)

    def _computed(self, segment: segments.Segment, at: int) -> dict[str, np.ndarray]:
        records, sketches = [], []
        done = at
        with (self.folder / f"{segment.name}.jsonl").open("rb") as lines:
            for batch in batches(lines, len, **BATCH):
                found = self._read(talks_of(batch))
                records.append(found[0])
                sketches.append(found[1])
                done += len(batch)
                self.progress(done, self.view.physical)
        return {"records": np.concatenate(records), "sketches": np.concatenate(sketches)}

    def _read(self, talks: list[Talk]) -> tuple[np.ndarray, np.ndarray]:
        block = Block(talks)
        return block.records(), near.sketches(block.texts, self.common)

    def _fill_edits(self) -> None:
        positions = sorted(self.view.places)
        for batch in batches(self.view.at(positions), _letters, **BATCH):
            some = [position for position, _ in batch]
            found = self._read([_talk(example) for _, example in batch])
            self.records[some], self.sketches[some] = found

    def texts_at(self, positions: list[int]) -> Iterator[str]:
        """Yield the texts at rising positions, as the sketches are made of them."""
        for batch in batches(self.view.at(positions), _letters, **BATCH):
            yield from Block([_talk(example) for _, example in batch]).texts

    def texts(self, rows: Iterable[int]) -> Iterator[str]:
        """Yield the texts of live rows whose numbers rise."""
        return self.texts_at([int(self.positions[row]) for row in rows])

    def answers(self, rows: Iterable[int]) -> Iterator[str]:
        """Yield the last answers of live rows whose numbers rise."""
        for _, example in self.view.at([int(self.positions[row]) for row in rows]):
            yield example.messages[-1].content

    def answer(self, row: int) -> str:
        """Return the last answer of a live row."""
        return next(self.answers([row]))


def _letters(row: tuple[int, Example]) -> int:
    return row[1].letters()


def _talk(example: Example) -> Talk:
    return talks_of([segments.write_line(example)])[0]


def _load(path: Path) -> dict[str, np.ndarray] | None:
    """Return what was kept, None where nothing was or it can't be compared with what is made now."""
    try:
        with np.load(path) as kept:
            if str(kept["key"]) != KEY:
                return None
            return {name: kept[name] for name in kept.files if name != "key"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # not there, or cut off
        return None


def _save(path: Path, **arrays: np.ndarray) -> None:
    """Keep arrays under a name. Whoever else makes the same ones writes beside; what one who was
    killed left there goes with the first who is done."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file, contextlib.suppress(FileNotFoundError):  # another was done first
        np.savez(file, key=np.array(KEY), **arrays)  # type: ignore[arg-type]
        segments.publish(file, path)
    for left in path.parent.glob(f"{path.name}.*.part"):
        left.unlink(missing_ok=True)
