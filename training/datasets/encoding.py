"""Which letters a text file is written in.

A path goes in; an encoding, proved over the whole file, comes out. Knows nothing of formats. The ladder: BOM, strict UTF-8, NUL pattern (UTF-16), CP949, and only then
charset-normalizer, which by itself takes short Korean files for Chinese ones.
"""

import codecs
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets.choices import ENCODINGS
from training.errors import UserError

CHUNK_BYTES = 1 << 18
HEAD_BYTES = 1 << 16
LINE_BYTES = 1 << 22
"""Lines longer than this are not proved to be plain."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Detected:
    encoding: str
    """Name of a Python codec."""
    is_damaged: bool = False
    """A few bytes are not letters of this encoding; they are read as lone surrogates."""
    is_plain: bool = field(default=False, compare=False)
    """It is known that all letters are composed (NFC) and none is NUL."""

    @property
    def errors(self) -> str:
        return "surrogateescape" if self.is_damaged else "strict"

    @property
    def is_utf_8(self) -> bool:
        return self.encoding in ("utf-8", "utf-8-sig") and not self.is_damaged


def detect(path: Path, chosen: str | None = None) -> Detected:
    """Find the encoding that fits every byte of a file, or prove the one that was chosen.

    Raises: UserError `file_empty`, `file_binary`, `file_undecodable`, `encoding_unfit`.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UserError("file_empty")
    if chosen:
        return _proved(path, head, chosen)
    for encoding in _candidates(head):
        if (found := strictly(path, encoding)) is not None:
            _refuse_nul(head, encoding)
            return found
    return _nearly(path, head)


def _proved(path: Path, head: bytes, chosen: str) -> Detected:
    """Raises: UserError `encoding_unfit`."""
    encoding = "utf-8-sig" if chosen == "utf-8" and head.startswith(codecs.BOM_UTF8) else chosen
    if (found := strictly(path, encoding)) is not None:
        return found
    if encoding in ("utf-8", "utf-8-sig", "cp949"):
        good, bad = _letters(path, encoding)
        if good >= 20 * bad:
            return Detected(encoding, is_damaged=True)
    raise UserError("encoding_unfit", encoding=chosen)


def fitting(path: Path, detected: Detected | None) -> list[str]:
    """Return the offered encodings that the beginning of a file can be read in, the detected
    one first."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = [detected.encoding.removesuffix("-sig")] if detected else []
    for encoding in ENCODINGS:
        if encoding.startswith(("utf-16", "utf-32")) and not head[:4096].count(0):
            continue
        try:
            text = codecs.getincrementaldecoder(encoding)("strict").decode(head)
        except UnicodeError:
            continue
        if text and encoding not in found:
            found.append(encoding)
    return found


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


def strictly(path: Path, encoding: str) -> Detected | None:
    """Return the encoding if every byte of a file is a letter of it."""
    is_all_plain = True
    is_wide = "16" in encoding or "32" in encoding  # a byte 10 is no line end there
    try:
        decoder = codecs.getincrementaldecoder(encoding)("strict")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                if is_all_plain:  # whole lines: nothing is composed across a newline
                    chunk += file.readline(LINE_BYTES)
                    is_cut = is_wide or not chunk.endswith(b"\n")
                    is_all_plain = not is_cut or not file.peek(1)
                text = decoder.decode(chunk)
                is_all_plain = is_all_plain and is_plain(text)
        decoder.decode(b"", final=True)
    except (UnicodeError, LookupError):
        return None
    return Detected(encoding, is_plain=is_all_plain)


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
    found = strictly(path, guess) if guess else None
    if found is None:
        raise UserError("file_undecodable")
    return found


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


def _refuse_nul(head: bytes, encoding: str) -> None:
    if "16" not in encoding and "32" not in encoding and head.count(0) * 4 > len(head):
        raise UserError("file_binary", kind="?")


def is_plain(text: str) -> bool:
    has_odd = "\0" in text or "\ufeff" in text
    return not has_odd and (text.isascii() or unicodedata.is_normalized("NFC", text))
