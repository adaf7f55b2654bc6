"""A folder as a ZIP, byte by byte: nothing is held in memory, nothing is copied to disk."""

from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

CHUNK_BYTES = 1024 * 1024


class _Outlet(RawIOBase):
    """What a ZipFile writes into, to be taken out in between."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # any buffer
        self.waiting.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self.waiting = b"".join(self.waiting), []
        return taken


def files(folder: Path) -> list[Path]:
    """Return the folder's own files in order; no links, no folders."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()]


def stream(folder: Path, name: str) -> Iterator[bytes]:
    """Yield a ZIP of the folder's files, which lie under `name` in it. They are stored as they
    are: weights don't get smaller."""
    outlet = _Outlet()
    with ZipFile(outlet, "w", ZIP_STORED) as archive:  # type: ignore[arg-type]  # writes only
        for path in files(folder):
            entry = ZipInfo.from_file(path, f"{name}/{path.name}", strict_timestamps=False)
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield outlet.take()
    yield outlet.take()
