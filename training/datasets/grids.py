"""Rows of cells out of text: CSV and its kin, and tables pasted as Markdown.

Lines go in, (line, cells, mistake) come out, the header's row like any other. Knows no columns.
"""

import csv
import itertools
import re
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from training.datasets import formulas
from training.datasets.choices import DELIMITERS, Choices
from training.datasets.lines import LINE_LIMIT, Lines, LineTooLong
from training.datasets.names import TAKEN_HOME, shape
from training.datasets.shapes import Mistake
from training.errors import UserError

SAMPLE_LINES, SAMPLE_SIZE = 20, 65_536
HEADER_ROWS = 5
"""Rows among which the header is looked for: a title may stand above it."""
RULE = re.compile(r"\s*\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?\s*)?\s*$")
PIPE = re.compile(r"(?<!\\)\|")
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
csv.field_size_limit(LINE_LIMIT)

Row = tuple[int, list, Mistake | None]
"""Line where it begins, its cells, and what is wrong with it."""


class Grid(Protocol):
    """Something that has rows of cells, the first of which may name the columns."""

    label: str
    """What its format is called."""
    delimiter: str
    """What parts its cells; '' where nothing does."""
    done: float
    """How much of it was given, 0 to 1; text counts its bytes instead."""

    @property
    def notes(self) -> Collection[str]:
        """What was mended in the rows given so far, as codes for wording.py."""

    def rows(self) -> Iterator[Row]:
        """Yield every row, from the beginning at each call."""


def is_blank(cells: list) -> bool:
    for cell in cells:  # most often the first one tells
        if cell.strip("\ufeff\0 \r\n\t") if isinstance(cell, str) else cell is not None:
            return False
    return True


class Csv:
    """Cells parted by a letter, quoted where they hold it."""

    done = 0.0

    def __init__(
        self, open_lines: Callable[[], Lines], delimiter: str, *, is_guarded: bool = False
    ) -> None:
        """`is_guarded`: an apostrophe stands before what a table program might run."""
        self.open_lines = open_lines
        self.delimiter = delimiter
        self.is_guarded = is_guarded
        self.notes: set[str] = set()
        self.label = "tsv" if delimiter == "\t" else "csv"
        self.lines: Lines | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every row given so far needs no cleaning of its letters."""
        return self.lines is not None and self.lines.is_plain

    def rows(self) -> Iterator[Row]:
        """Raises: UserError `line_too_long`, `quote_open`."""
        lines = self.lines = self.open_lines()
        reader = csv.reader(
            itertools.chain.from_iterable(lines.lists()),
            delimiter=self.delimiter,
            skipinitialspace=True,
        )
        start = 1
        try:
            for cells in reader:
                if self.is_guarded:
                    cells = self._freed(cells)
                if lines.is_over:  # the end of the file came within quotes
                    yield start, cells, Mistake("quote_unclosed")
                else:
                    yield start, cells, None
                start = reader.line_num + 1
        except LineTooLong as error:
            raise _too_long(error) from None
        except csv.Error:
            raise UserError("quote_open", line=start) from None
        finally:
            lines.close()

    def _freed(self, cells: list[str]) -> list[str]:
        found = [formulas.freed(cell) for cell in cells]
        if found != cells:
            self.notes.add(formulas.GUARDS_REMOVED)
        return found


class Markdown:
    """A table of pipes with a row of dashes below its header."""

    label, delimiter, done = "markdown", "|", 0.0
    notes = ()

    def __init__(self, open_lines: Callable[[], Lines]) -> None:
        self.open_lines = open_lines

    def rows(self) -> Iterator[Row]:
        """Raises: UserError `line_too_long`."""
        lines = self.open_lines()
        try:
            for line in lines:
                if not line.strip("\ufeff\0 \r\n\t") or RULE.match(line):
                    continue
                yield lines.number, cut_at_pipes(line), None
        except LineTooLong as error:
            raise _too_long(error) from None
        finally:
            lines.close()


def cut_at_pipes(line: str) -> list[str]:
    bare = line.strip("\ufeff\0 \r\n\t").removeprefix("|")
    if bare.endswith("|") and not bare.endswith("\\|"):
        bare = bare[:-1]
    cells = (cell.strip().replace("\\|", "|") for cell in PIPE.split(bare))
    return [BREAK.sub("\n", cell) for cell in cells]


def text_grid(open_lines: Callable[[], Lines], choices: Choices) -> Grid:
    """Recognise how the cells of a text are parted.

    Raises: UserError `file_empty`, `line_too_long`.
    """
    sample = _sample(open_lines)
    known = choices.delimiter or _known(sample)
    is_ruled = len(sample) > 1 and any("|" in line and RULE.match(line) for line in sample[1:6])
    if is_ruled and known in (None, "|"):  # a cell of a CSV may hold such a table too
        return Markdown(open_lines)
    delimiter = known or _sniffed(sample)
    return Csv(open_lines, delimiter, is_guarded=_is_ours(open_lines, sample, delimiter))


def _known(sample: list[str]) -> str | None:
    """Return what parts the cells of a header that is recognised."""
    for delimiter in DELIMITERS:
        if any(shape(tuple(row)) for row in _rows(sample, delimiter)):
            return delimiter
    return None


def _is_ours(open_lines: Callable[[], Lines], sample: list[str], delimiter: str) -> bool:
    """Say whether a table is evidently one that was taken home from here (see formulas.py)."""
    lines = open_lines()
    lines.close()
    header = next(iter(_rows(sample, delimiter)), [])
    is_marked = lines.detected.encoding == "utf-8-sig"
    return is_marked and delimiter == "," and tuple(header) in TAKEN_HOME


def _sample(open_lines: Callable[[], Lines]) -> list[str]:
    """Return the first lines that are not blank.

    Raises: UserError `file_empty`, `line_too_long`.
    """
    sample: list[str] = []
    lines = open_lines()
    try:
        for line in lines:
            if sample or line.strip("\ufeff\0 \r\n"):
                sample.append(line)
            if len(sample) == SAMPLE_LINES or sum(map(len, sample)) > SAMPLE_SIZE:
                break
    except LineTooLong as error:
        raise _too_long(error) from None
    finally:
        lines.close()
    if not sample:
        raise UserError("file_empty")
    return sample


def _rows(sample: list[str], delimiter: str) -> list[list[str]]:
    try:
        reader = csv.reader(sample, delimiter=delimiter, skipinitialspace=True)
        return [row for row in itertools.islice(reader, HEADER_ROWS) if len(row) < 10_000]
    except csv.Error:
        return []


def _sniffed(sample: list[str]) -> str:
    try:
        return csv.Sniffer().sniff("".join(sample)[:4096], delimiters=DELIMITERS).delimiter
    except csv.Error:
        return max(DELIMITERS, key=sample[0][:4096].count)


def _too_long(error: LineTooLong) -> UserError:
    return UserError("line_too_long", line=error.line, limit_mb=LINE_LIMIT >> 20)
