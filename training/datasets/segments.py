"""Segments: immutable files of examples with a row-offset index, and the list of problems.

A folder and Examples go in; lines of JSON come out by number or one after the other. The manifest
is written last: a folder without one holds nothing. Knows no edits (store.py lays them over), no
rows of the database and no formats.
"""

import hashlib
import json
import os
import sys
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path

from training.chat import Example, Message
from training.datasets.plain import Talk, encoded
from training.datasets.shapes import Problem

SEGMENT_ROWS = 100_000
PROBLEM_LIMIT = 10_000
"""Most problems kept; all are counted."""
MANIFEST, PROBLEMS = "manifest.json", "problems.jsonl"
FEATURES = "features-*.npz"
"""What the data report keeps of segments (check/rows.py)."""
QUOTE = json.encoder.encode_basestring
ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Segment:
    name: str
    """File name without its ending: NAME.jsonl and NAME.offsets."""
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    rows: int
    segments: tuple[Segment, ...]
    fingerprint: str
    """sha256 over the segments' sha256s."""


class Writer:
    """Writes examples and problems into a folder, row by row.

    Use it as a context: leaving it well publishes the manifest, an exception does not.
    """

    def __init__(self, folder: Path, segment_rows: int = SEGMENT_ROWS) -> None:
        self.folder = folder
        self.segment_rows = segment_rows
        self.segments: list[Segment] = []
        self.problem_count = 0
        self._manifest: Manifest | None = None
        folder.mkdir(parents=True, exist_ok=True)
        clear(folder)
        self._problems = (folder / f"{PROBLEMS}.part").open("wb")
        self._open()

    def _open(self) -> None:
        name = f"segment-{len(self.segments):04d}"
        self._file = (self.folder / f"{name}.jsonl.part").open("wb", buffering=1 << 20)
        self._hash = hashlib.sha256()
        self._offsets = array("Q")
        self._position = 0

    def add(self, example: Example) -> None:
        line = write_line(example)
        self._offsets.append(self._position)
        self._position += len(line)
        self._hash.update(line)
        self._file.write(line)
        if len(self._offsets) == self.segment_rows:
            self._close_segment()
            self._open()

    def add_many(self, talks: list[Talk]) -> None:
        """Add many at once; they are written as `add` writes them."""
        while talks:
            now = talks[: self.segment_rows - len(self._offsets)]
            talks = talks[len(now) :]
            lines = encoded(now)
            ends = accumulate(
                map(len, lines), lambda end, size: end + size + 1, initial=self._position
            )
            self._offsets.extend(islice(ends, len(lines)))
            written = b"\n".join(lines) + b"\n"
            self._position += len(written)
            self._hash.update(written)
            self._file.write(written)
            if len(self._offsets) == self.segment_rows:
                self._close_segment()
                self._open()

    def add_problem(self, problem: Problem) -> None:
        self.problem_count += 1
        if self.problem_count <= PROBLEM_LIMIT:
            self._problems.write(ENCODE(problem.as_dict()).encode() + b"\n")

    def _close_segment(self) -> None:
        name = f"segment-{len(self.segments):04d}"
        publish(self._file, self.folder / f"{name}.jsonl")
        offsets = (self.folder / f"{name}.offsets.part").open("wb")
        if sys.byteorder == "big":
            self._offsets.byteswap()
        self._offsets.tofile(offsets)
        publish(offsets, self.folder / f"{name}.offsets")
        self.segments.append(Segment(name, len(self._offsets), self._hash.hexdigest()))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type | None, error: object, traceback: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._problems.close()
            clear(self.folder)

    def close(self) -> Manifest:
        """Publish what was written; the manifest comes last."""
        if self._manifest:
            return self._manifest
        if self._offsets:
            self._close_segment()
        else:
            self._file.close()
            Path(self._file.name).unlink()
        publish(self._problems, self.folder / PROBLEMS)
        rows = sum(segment.rows for segment in self.segments)
        self._manifest = Manifest(rows, tuple(self.segments), fingerprint(self.segments))
        with (self.folder / f"{MANIFEST}.part").open("wb") as file:
            file.write(json.dumps(asdict(self._manifest), indent=1).encode())
            publish(file, self.folder / MANIFEST)
        _sync_folder(self.folder)
        return self._manifest


def fingerprint(segments: list[Segment]) -> str:
    return hashlib.sha256("".join(segment.sha256 for segment in segments).encode()).hexdigest()


def clear(folder: Path) -> None:
    """Remove what a Writer leaves, whole or half; the manifest goes first."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for pattern in (
        "segment-*",
        f"{PROBLEMS}*",
        f"{MANIFEST}.part",
        "changes.jsonl",
        "gone*",
        FEATURES,
    ):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def manifest(folder: Path) -> Manifest:
    """Read a folder's manifest.

    Raises: FileNotFoundError when the folder was never published.
    """
    raw = json.loads((folder / MANIFEST).read_bytes())
    segments = tuple(Segment(**segment) for segment in raw["segments"])
    return Manifest(raw["rows"], segments, raw["fingerprint"])


@lru_cache(maxsize=64)
def _kept_manifest(folder: Path, changed_ns: int) -> Manifest:
    return manifest(folder)


def lines(folder: Path, start: int, count: int) -> list[bytes]:
    """Return `count` lines of JSON from `start` (from 0) on, fewer at the end.

    Raises: FileNotFoundError when the folder was never published.
    """
    found: list[bytes] = []
    start = max(0, start)
    for segment in _kept_manifest(folder, (folder / MANIFEST).stat().st_mtime_ns).segments:
        if start < segment.rows and len(found) < count:
            found += _slice(folder / segment.name, start, min(count - len(found), segment.rows))
        start = max(0, start - segment.rows)
    return found


def _slice(stem: Path, start: int, count: int) -> list[bytes]:
    with stem.with_suffix(".offsets").open("rb") as offsets:
        offsets.seek(8 * start)
        position = int.from_bytes(offsets.read(8), "little")
    with stem.with_suffix(".jsonl").open("rb") as file:
        file.seek(position)
        return list(islice(file, count))


def all_lines(folder: Path) -> Iterator[bytes]:
    """Yield every line of JSON in order, in bounded memory.

    Raises: FileNotFoundError when the folder was never published.
    """
    for segment in manifest(folder).segments:
        with (folder / f"{segment.name}.jsonl").open("rb", buffering=1 << 20) as file:
            yield from file


def problems(folder: Path, start: int, count: int | None) -> list[dict]:
    """Return problems {line, code, params, row} from number `start` (from 0) on, all the rest
    where `count` is None; [] where the folder has none."""
    start = max(0, start)
    try:
        with (folder / PROBLEMS).open("rb") as lines:
            return [
                json.loads(line)
                for line in islice(lines, start, None if count is None else start + count)
            ]
    except FileNotFoundError:
        return []


def write_line(example: Example) -> bytes:
    """Write an example as JSON by hand: three times as fast as json.dumps."""
    messages = ",".join(
        f'{{"role":{QUOTE(message.role)},"content":{QUOTE(message.content)}}}'
        for message in example.messages
    )
    return f'{{"messages":[{messages}]}}\n'.encode()


def read_line(line: bytes) -> Example:
    """Return the example that a line of JSON with `messages` holds."""
    messages = json.loads(line)["messages"]
    return Example(tuple(Message(message["role"], message["content"]) for message in messages))


def publish(file, path: Path) -> None:
    """Bring an open .part file to disk and under its name."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    os.replace(file.name, path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
