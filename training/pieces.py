"""A file that comes through the browser piece by piece, so that a broken connection costs one.

Each piece is written at its place, so one may come again.
"""

from collections.abc import Callable
from pathlib import Path

PIECE_BYTES = 16 * 1024 * 1024
"""Most that one request brings."""
CHUNK_BYTES = 1024 * 1024


class OutOfStep(Exception):
    """The piece begins behind the end of what is here."""


class TooLarge(Exception):
    """The file grew past its limit."""


def write(
    path: Path,
    start: int,
    read: Callable[[int], bytes],
    limit_bytes: int,
    *,
    keeps_rest: bool = False,
) -> int:
    """Write one piece at a place in a file and return how long the file is now. What stood behind
    the place goes, since the file may be another now; where it can't be, it may be kept.

    Raises: OutOfStep; TooLarge; OSError of a full disk, with what came before it kept.
    """
    path.touch()
    if not 0 <= start <= path.stat().st_size:
        raise OutOfStep
    with path.open("r+b") as file:
        file.seek(start)
        if not keeps_rest:
            file.truncate()
        while chunk := read(CHUNK_BYTES):
            if file.tell() + len(chunk) > limit_bytes:
                raise TooLarge
            file.write(chunk)
        return file.seek(0, 2)
