"""The rows of a version: its immutable segments with later edits laid over them.

A folder goes in; live examples come out by row number, or in order in bounded memory. A row keeps
its position for good: that of its line in the segments, or past their end for one added later.
Edits cost what they say and nothing more: `changes.jsonl` holds replaced, added and removed rows,
line by line, the last word on a row standing; `gone` holds the positions removed in bulk, after
the number of changes that had been made by then. Knows no rows of the database.
"""

import fcntl
import hashlib
import json
import os
import shutil
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from heapq import merge
from itertools import chain
from pathlib import Path

from training.chat import Example
from training.datasets import segments
from training.datasets.segments import MANIFEST, Manifest

CHANGES, GONE = "changes.jsonl", "gone"
CHANGE_LIMIT = 20_000
"""Most lines of changes before a version is written anew."""


@dataclass(frozen=True)
class Row:
    """One live row."""

    position: int
    """Where it stays, whatever is removed before it; from 0."""
    example: Example


class TooManyChanges(Exception):
    """The version must be written anew before it takes more edits."""


class View:
    """The rows of one state of a folder. Make it with `view`, which keeps the last ones."""

    def __init__(self, folder: Path) -> None:
        """Raises: FileNotFoundError when the folder was never published."""
        self.folder = folder
        self.manifest: Manifest = segments.manifest(folder)
        self.places: dict[int, tuple[int, int]] = {}
        """Position -> where its new line lies in changes.jsonl: offset, bytes."""
        self.physical = self.manifest.rows
        """Positions that ever were."""
        self.changes = 0
        self.gone = self._read_gone()
        """Positions removed, rising."""

    def __len__(self) -> int:
        return self.physical - len(self.gone)

    def _read_gone(self) -> array:
        gone = array("I", [0])
        path = self.folder / GONE
        if path.exists():
            gone = array("I")
            gone.frombytes(path.read_bytes())
        told = self._read_changes(gone.pop(0))
        if not told:
            return gone
        back = {position for position, is_gone in told.items() if not is_gone}
        more = {position for position, is_gone in told.items() if is_gone}
        return array("I", sorted((set(gone) | more) - back))

    def _read_changes(self, covered: int) -> dict[int, bool]:
        """Fill `places` and return what the changes after the first `covered` say of being gone."""
        told: dict[int, bool] = {}
        offset = 0
        for line in _lines(self.folder / CHANGES):
            if not line.endswith(b"\n"):  # cut off by a crash: it was never answered for
                break
            change = json.loads(line)
            position = change["at"]
            if "messages" in change:
                self.places[position] = (offset, len(line))
                self.physical = max(self.physical, position + 1)
            elif self.changes >= covered:
                told[position] = change["gone"]
            offset += len(line)
            self.changes += 1
        return told

    def position(self, row: int) -> int:
        """Return the position of the live row with this number (from 0)."""
        low, high = 0, len(self.gone)
        while low < high:  # how many removed ones lie before it
            middle = (low + high) // 2
            if self.gone[middle] - middle <= row:
                low = middle + 1
            else:
                high = middle
        return row + low

    def number(self, position: int) -> int:
        """Return the number (from 0) of the live row at a position."""
        return position - bisect_left(self.gone, position)

    def is_live(self, position: int) -> bool:
        at = bisect_left(self.gone, position)
        is_gone = at < len(self.gone) and self.gone[at] == position
        return 0 <= position < self.physical and not is_gone

    def rows(self, start: int, count: int) -> list[Row]:
        """Return `count` live rows from number `start` (from 0) on, fewer at the end."""
        start = max(0, start)
        end = min(len(self), start + max(0, count))
        if start >= end:
            return []
        positions = [self.position(row) for row in range(start, end)]
        return [Row(position, example) for position, example in self.at(positions)]

    def at(self, positions: list[int]) -> Iterator[tuple[int, Example]]:
        """Yield the examples at rising positions."""
        if not positions:
            return
        first, last = positions[0], min(positions[-1], self.manifest.rows - 1)
        whole = last - first < 4 * len(positions)
        run = segments.lines(self.folder, first, last - first + 1) if whole else []
        for position in positions:
            if position in self.places:
                yield position, segments.read_line(self._changed(position))
            elif whole:
                yield position, segments.read_line(run[position - first])
            else:
                yield position, segments.read_line(segments.lines(self.folder, position, 1)[0])

    def _changed(self, position: int) -> bytes:
        offset, size = self.places[position]
        with (self.folder / CHANGES).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def lines(self) -> Iterator[bytes]:
        """Yield the live rows as lines of JSON with `messages`, in bounded memory."""
        gone = chain(self.gone, [self.physical])
        next_gone = next(gone)
        for position, line in enumerate(segments.all_lines(self.folder)):
            if position == next_gone:
                next_gone = next(gone)
            elif position in self.places:
                yield self._changed(position)
            else:
                yield line
        for position in range(self.manifest.rows, self.physical):
            if position == next_gone:
                next_gone = next(gone)
            else:
                yield self._changed(position)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return


def view(folder: Path) -> View:
    """Return the rows of a folder as it stands.

    Raises: FileNotFoundError when the folder was never published.
    """
    return _kept_view(folder, _state(folder))


def _state(folder: Path) -> tuple:
    """What changes whenever the rows of a folder do."""
    found = []
    for name in (MANIFEST, CHANGES, GONE):
        try:
            told = (folder / name).stat()
            found.append((told.st_ino, told.st_size, told.st_mtime_ns))
        except FileNotFoundError:
            found.append((0, 0, 0))
    return tuple(found)


@lru_cache(maxsize=16)
def _kept_view(folder: Path, state: tuple) -> View:
    return View(folder)


def examples(folder: Path, start: int, count: int) -> list[Example]:
    """Return `count` live examples from row `start` (from 0) on, fewer at the end."""
    return [row.example for row in view(folder).rows(start, count)]


def iterate(folder: Path) -> Iterator[Example]:
    """Yield all live examples in order, in bounded memory.

    Raises: FileNotFoundError when the folder was never published.
    """
    yield from map(segments.read_line, View(folder).lines())


# --- edits ------------------------------------------------------------------------------------
def replace(folder: Path, position: int, example: Example) -> None:
    """Put another example in a row's place.

    Raises: IndexError when no such row is live; TooManyChanges.
    """
    with _changing(folder) as found:
        if not found.is_live(position):
            raise IndexError(position)
        _append(folder, [_change(position, example)])


def replace_many(folder: Path, found: dict[int, Example | None]) -> None:
    """Put other examples in the places of live rows, and remove those that have none.

    Raises: TooManyChanges, and nothing is changed.
    """
    with _changing(folder) as before:
        if before.changes + len(found) > CHANGE_LIMIT:
            raise TooManyChanges
        lines = [
            _change(position, example) if example else _line({"at": position, "gone": True})
            for position, example in found.items()
        ]
        _append(folder, lines)


def add(folder: Path, found: Iterable[Example]) -> list[int]:
    """Add examples behind the last row and return their positions.

    Raises: TooManyChanges.
    """
    with _changing(folder) as before:
        positions = []
        lines = []
        for number, example in enumerate(found, before.physical):
            positions.append(number)
            lines.append(_change(number, example))
        _append(folder, lines)
        return positions


def remove(folder: Path, positions: Iterable[int]) -> int:
    """Remove rows and return how many of them were live. A few go into the changes, many into
    `gone`.

    Raises: TooManyChanges.
    """
    with _changing(folder) as found:
        live = sorted({one for one in positions if found.is_live(one)})
        if len(live) <= 100:
            _append(folder, [_line({"at": position, "gone": True}) for position in live])
        else:
            _write_gone(folder, found.changes, merge(found.gone, live))
        return len(live)


def restore(folder: Path, position: int) -> None:
    """Bring a removed row back.

    Raises: TooManyChanges.
    """
    with _changing(folder):
        _append(folder, [_line({"at": position, "gone": False})])


def keep_only(folder: Path, positions: Iterable[int]) -> None:
    """Remove every row but those at these positions.

    Raises: TooManyChanges.
    """
    with _changing(folder) as found:
        kept = set(positions)
        gone = (one for one in range(found.physical) if one not in kept)
        _write_gone(folder, found.changes, gone)


def _write_gone(folder: Path, covered: int, positions: Iterable[int]) -> None:
    """Say which positions are removed, whatever the first `covered` changes said of that; they
    must rise."""
    part = folder / f"{GONE}.part"
    with part.open("wb") as file:
        told = array("I", [covered])
        told.extend(positions)
        told.tofile(file)
        segments.publish(file, folder / GONE)


def _change(position: int, example: Example) -> bytes:
    return b'{"at":%d,' % position + segments.write_line(example)[1:]


def _line(change: dict) -> bytes:
    return json.dumps(change, separators=(",", ":")).encode() + b"\n"


@contextmanager
def _changing(folder: Path) -> Iterator[View]:
    """Hold a folder while its rows are changed.

    Raises: TooManyChanges.
    """
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _mend_tail(folder / CHANGES)
        found = View(folder)
        if found.changes >= CHANGE_LIMIT:
            raise TooManyChanges
        yield found


def _mend_tail(path: Path) -> None:
    """Drop half a line that a crash or a full disk left at the end."""
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            while size:
                start = max(0, size - 65_536)
                file.seek(start)
                end = file.read(size - start).rfind(b"\n")
                if end >= 0:
                    file.truncate(start + end + 1)
                    return
                size = start
            file.truncate(0)
    except FileNotFoundError:
        return


def _append(folder: Path, lines: list[bytes]) -> None:
    with (folder / CHANGES).open("ab") as file:
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())


# --- versions ---------------------------------------------------------------------------------
def files(folder: Path) -> list[Path]:
    """Return the files that hold a version's rows."""
    found = [*sorted(folder.glob("segment-*")), folder / MANIFEST, folder / CHANGES, folder / GONE]
    return [path for path in found if path.exists() and path.suffix != ".part"]


def branch(source: Path, target: Path) -> None:
    """Make a version of its own out of another's rows: segments are shared, edits copied.

    Raises: FileNotFoundError when the source was never published.
    """
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in files(source):
        if path.name not in (MANIFEST, CHANGES, GONE):
            link(path, target / path.name)
    for name in (CHANGES, GONE, MANIFEST):  # the manifest last: without it nothing is there
        if (source / name).exists() or name == MANIFEST:
            _copy(source / name, target / name)


def share_features(source: Path, target: Path) -> None:
    """Let a branch have what the data report keeps of the segments."""
    for path in source.glob(segments.FEATURES):
        link(path, target / path.name)


def _copy(source: Path, target: Path) -> None:
    """Copy a small file that goes on changing; it is whole on disk before it has its name."""
    with source.open("rb") as found, target.with_name(f"{target.name}.part").open("wb") as file:
        shutil.copyfileobj(found, file)
        segments.publish(file, target)


def link(source: Path, target: Path) -> None:
    """Share a file that never changes: a link where the file system can, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def fingerprint(folder: Path) -> str:
    """Return what tells two states of rows apart: sha256 over segments and edits."""
    found = segments.manifest(folder).fingerprint
    edits = [path for path in (folder / CHANGES, folder / GONE) if path.exists()]
    if not edits:
        return found
    told = hashlib.sha256(found.encode())
    for path in edits:
        told.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()


def search(folder: Path, words: str, start: int, count: int) -> tuple[list[Row], int]:
    """Return the rows from match number `start` on that hold `words`, and how many do in all.
    Letters' case does not count."""
    found = view(folder)
    needle = words.casefold()
    # as JSON writes it, so that lines need not be parsed to be passed over
    written = json.dumps(words, ensure_ascii=False)[1:-1].casefold()
    rows: list[Row] = []
    total = 0
    for number, line in enumerate(found.lines()):
        if written not in line.decode().casefold():
            continue
        example = segments.read_line(line)
        if not any(needle in message.content.casefold() for message in example.messages):
            continue
        if start <= total < start + count:
            rows.append(Row(found.position(number), example))
        total += 1
    return rows, total
