"""A text file's lines, numbered, in bounded memory: one by one or some thousand at a time.

A path and its encoding go in. Knows nothing of formats.
"""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from training.datasets.encoding import Detected

BLOCK_BYTES = 1 << 18
LINE_LIMIT = 32 * 1024 * 1024
"""Longest line, in bytes (UTF-8) or characters."""
ROW_SHOWN = 500


class LineTooLong(Exception):
    """A line of more than LINE_LIMIT characters; what follows it can still be read."""

    def __init__(self, line: int, row: str) -> None:
        super().__init__(line)
        self.line = line
        self.row = row


class Block(NamedTuple):
    """Some whole lines."""

    line: int
    """Number of the first one."""
    content: str | bytes
    """Bytes (UTF-8) where the file is UTF-8."""

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else self.content.decode()


class Lines:
    """The lines of a file, numbered from 1; every kind of line end becomes a newline.

    Raises (while iterating): LineTooLong, after which iteration may go on.
    """

    def __init__(self, path: Path, detected: Detected) -> None:
        self.raw = path.open("rb")
        self.detected = detected
        self.number = 0
        self.is_over = False
        self.is_plain = detected.is_plain
        """Whether every letter is known to be composed, undamaged and no NUL."""
        self._blocks = self.blocks()
        self._pending: Iterator[str] = iter(())

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._pending:
            self.number += 1
            return line
        block = next(self._blocks, None)
        if block is None:
            self.is_over = True
            raise StopIteration
        if isinstance(block, LineTooLong):
            self.number = block.line
            raise block
        self._pending = iter(split(block.text))
        return next(self)

    def lists(self) -> Iterator[list[str]]:
        """Yield the lines many at a time; sets is_over, not number.

        Raises: LineTooLong, after which nothing comes.
        """
        for block in self.blocks():
            if isinstance(block, LineTooLong):
                raise block
            yield split(block.text)
        self.is_over = True

    def blocks(self) -> "Iterator[Block | LineTooLong]":
        """Yield whole lines, many at a time; a line that is too long comes as LineTooLong."""
        pieces = self._bytes() if self.detected.is_utf_8 else self._text()
        return _blocks(pieces)

    def _bytes(self) -> Iterator[bytes]:
        if self.detected.encoding == "utf-8-sig":
            self.raw.seek(3)
        held = b""
        while piece := held + self.raw.read(BLOCK_BYTES):
            if piece == held:
                yield b"\n"
                return
            held = b""
            if b"\r" in piece:
                if piece.endswith(b"\r"):  # its newline may be the next byte
                    piece, held = piece[:-1], b"\r"
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            yield piece

    def _text(self) -> Iterator[str]:
        inner = codecs.getincrementaldecoder(self.detected.encoding)(self.detected.errors)
        decoder = io.IncrementalNewlineDecoder(inner, translate=True)
        while piece := self.raw.read(BLOCK_BYTES):
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    @property
    def done_bytes(self) -> int:
        return 0 if self.raw.closed else self.raw.tell()

    def close(self) -> None:
        self.raw.close()


def split(text: str) -> list[str]:
    """Cut text behind its newlines (and nowhere else, as splitlines does)."""
    return io.StringIO(text, newline="\n").readlines()


def _blocks(pieces: "Iterator[bytes] | Iterator[str]") -> "Iterator[Block | LineTooLong]":
    parts: list = []
    size, number = 0, 1
    newline: str | bytes = "\n"
    is_skipping = False
    for piece in pieces:
        newline = b"\n" if isinstance(piece, bytes) else "\n"
        if is_skipping:
            at = piece.find(newline) + 1  # type: ignore[arg-type]
            if not at:
                continue
            piece, is_skipping = piece[at:], False
            number += 1
        end = piece.rfind(newline) + 1  # type: ignore[arg-type]
        if end:
            head = piece[:end]
            whole = newline[:0].join([*parts, head]) if size else head  # type: ignore[arg-type, list-item]
            yield from _bounded(number, whole)
            number += whole.count(newline)  # type: ignore[arg-type]
            parts, size = [piece[end:]], len(piece) - end
        else:
            parts.append(piece)
            size += len(piece)
        if size > LINE_LIMIT:
            yield LineTooLong(number, _shown(newline[:0].join(parts)))  # type: ignore[arg-type]
            parts, size, is_skipping = [], 0, True
    if size and not is_skipping:
        yield from _bounded(number, newline[:0].join(parts))  # type: ignore[arg-type]


def _bounded(number: int, whole: str | bytes) -> "Iterator[Block | LineTooLong]":
    """Yield a block, without the lines in it that are too long."""
    if len(whole) <= LINE_LIMIT:
        yield Block(number, whole)
        return
    lines = whole.splitlines(True) if isinstance(whole, bytes) else split(whole)
    for line in lines:
        is_long = len(line) > LINE_LIMIT + 1
        yield LineTooLong(number, _shown(line)) if is_long else Block(number, line)
        number += 1


def _shown(line: str | bytes) -> str:
    if isinstance(line, bytes):
        return line[: 4 * ROW_SHOWN].decode("utf-8", "ignore")[:ROW_SHOWN]
    return line[:ROW_SHOWN]
