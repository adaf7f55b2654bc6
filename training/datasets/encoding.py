"""Which letters a file is written in, and its lines as text, in bounded memory.

A path goes in; an encoding (proved over the whole file) and numbered lines come out. Knows
nothing of formats. The ladder: BOM, strict UTF-8, NUL pattern (UTF-16), CP949, and only then
charset-normalizer, which by itself takes short Korean files for Chinese ones.
"""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.errors import UserError

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 16
LINE_LIMIT = 32 * 1024 * 1024
"""Longest line, in characters."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
KINDS = (
    (b"%PDF-", "PDF"),
    (b"\x1f\x8b", "GZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7Z"),
    (b"Rar!", "RAR"),
    (b"PAR1", "Parquet"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"SQLite format 3", "SQLite"),
    (b"HWP Document File", "HWP"),
)
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = b"PK\x03\x04"
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Detected:
    encoding: str
    """Name of a Python codec."""
    is_damaged: bool = False
    """A few bytes are not letters of this encoding; they are read as lone surrogates."""

    @property
    def errors(self) -> str:
        return "surrogateescape" if self.is_damaged else "strict"


class LineTooLong(Exception):
    """A line of more than LINE_LIMIT characters; what follows it can still be read."""

    def __init__(self, line: int, row: str) -> None:
        super().__init__(line)
        self.line = line
        self.row = row


class Lines:
    """The lines of a file, numbered from 1; every kind of line end becomes a newline.

    Raises (while iterating): LineTooLong, after which iteration may go on.
    """

    def __init__(self, path: Path, detected: Detected) -> None:
        self.raw = path.open("rb", buffering=CHUNK_BYTES)
        self.text = io.TextIOWrapper(self.raw, detected.encoding, detected.errors, newline=None)
        self.number = 0
        self.is_over = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.text.readline(LINE_LIMIT + 1)
        if not line:
            self.is_over = True
            raise StopIteration
        self.number += 1
        if len(line) > LINE_LIMIT and not line.endswith("\n"):
            self._skip_rest()
            raise LineTooLong(self.number, line[:500])
        return line

    def _skip_rest(self) -> None:
        while (rest := self.text.readline(CHUNK_BYTES)) and not rest.endswith("\n"):
            pass

    @property
    def done_bytes(self) -> int:
        return 0 if self.raw.closed else self.raw.tell()

    def close(self) -> None:
        self.text.close()


def detect(path: Path) -> Detected:
    """Find the encoding that fits every byte of a file.

    Raises: UserError `file_empty`, `file_excel`, `file_old_office`, `file_binary`,
        `file_undecodable`.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    _refuse_binary(head)
    for encoding in _candidates(head):
        if is_strictly(path, encoding):
            _refuse_nul(head, encoding)
            return Detected(encoding)
    return _nearly(path, head)


def _candidates(head: bytes) -> list[str]:
    for bom, encoding in BOMS:
        if head.startswith(bom):
            return [encoding]
    wide = _wide(head)
    ladder = ["utf-8", wide, "cp949"]
    if head.count(0) * 4 > len(head):  # plain ASCII in UTF-16 is valid UTF-8 too
        ladder = [wide, "utf-8", "cp949"]
    return [encoding for encoding in ladder if encoding]


def _wide(head: bytes) -> str | None:
    """Return the UTF-16 whose empty halves the NUL bytes look like."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) * 50 < len(head) or min(even, odd) * 10 > max(even, odd):
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def is_strictly(path: Path, encoding: str) -> bool:
    """Say whether every byte of a file is a letter of this encoding."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except (UnicodeError, LookupError):
        return False
    return True


def _nearly(path: Path, head: bytes) -> Detected:
    """Accept Korean text with a few broken letters: its reader names the rows.

    Raises: UserError `file_undecodable`.
    """
    bom = next((encoding for mark, encoding in BOMS if head.startswith(mark)), None)
    for encoding in {"utf-8-sig": ("utf-8-sig",), None: ("utf-8", "cp949")}.get(bom, ()):
        good, bad = _letters(path, encoding)
        if good >= 20 * bad:
            return Detected(encoding, is_damaged=True)
    guess = None if bom else _guess(head)
    if guess is None or not is_strictly(path, guess):
        raise UserError("file_undecodable")
    return Detected(guess)


def _letters(path: Path, encoding: str) -> tuple[int, int]:
    """Count the letters beyond ASCII and the bytes that are none."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    good = bad = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            text = decoder.decode(chunk)
            broken = len(SURROGATE.findall(text))
            good += len(text) - len(text.encode("ascii", "ignore")) - broken
            bad += broken
    return good, bad + len(decoder.decode(b"", final=True))


def _guess(head: bytes) -> str | None:
    import charset_normalizer  # here, since the other rungs seldom leave it work

    best = charset_normalizer.from_bytes(head).best()
    return best.encoding if best else None


def _refuse_binary(head: bytes) -> None:
    if not head:
        raise UserError("file_empty")
    if head.startswith(ZIP):
        is_excel = b"xl/" in head or b"[Content_Types].xml" in head
        raise UserError("file_excel") if is_excel else UserError("file_binary", kind="ZIP")
    if head.startswith(OLD_OFFICE):
        raise UserError("file_old_office")
    for mark, kind in KINDS:
        if head.startswith(mark):
            raise UserError("file_binary", kind=kind)


def _refuse_nul(head: bytes, encoding: str) -> None:
    if "16" not in encoding and "32" not in encoding and head.count(0) * 4 > len(head):
        raise UserError("file_binary", kind="?")
