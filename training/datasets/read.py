"""A file goes in, Examples and Problems come out, one by one and in bounded memory.

The format is known by the content, never by the name. Behind this border nobody knows of columns,
keys or encodings.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.chat import Example
from training.datasets import kinds, layout
from training.datasets.choices import Choices
from training.datasets.encoding import Detected, detect, fitting
from training.datasets.grids import text_grid
from training.datasets.lines import Lines
from training.datasets.plain import Talk
from training.datasets.records import Records
from training.datasets.shapes import Problem
from training.datasets.tables import Table
from training.errors import UserError

HEAD = 65_536
PAGE = re.compile(r"<(!doctype\s+html|html|head|body|script|title|meta)\b", re.IGNORECASE)
JSON_BEGINS = re.compile(r"(```\w*\s*)?(\{|\[\s*[\[{\]]|\[\s*$)")
WHOLE_JSON = re.compile(r"\[|\{\s*$", re.MULTILINE)
"""How a list begins, or an object that is written over several lines."""
INVISIBLE = "\ufeff\0 \t\r\n"


def is_page(head: str) -> bool:
    """Say whether text begins like a web page."""
    head = head.lstrip(INVISIBLE)
    return head.startswith("<") and PAGE.search(head[:4096]) is not None


class Reader:
    """Iterate over it once; `layout` is whole before, `format` and `notes` are afterwards."""

    def __init__(self, path: Path, choices: Choices | None = None) -> None:
        """Raises: UserError of kind_of, detect, Sheet and Parquet, `file_is_page`, `file_empty`,
        `line_too_long`, `columns_too_many`."""
        self.path = path
        self.choices = choices or Choices()
        self.size_bytes = path.stat().st_size
        self.notes: set[str] = set()
        self.detected: Detected | None = None
        self.lines: Lines | None = None
        self.source: Table | Records
        self.label = ""
        kind = kinds.kind_of(path)
        self.layout: dict
        if kind == kinds.TEXT:
            self._open_text()
        elif kind == kinds.SHEET:
            self._open_sheet()
        else:
            self._open_parquet()

    # --- what it is -----------------------------------------------------------------------------
    def _open_text(self) -> None:
        self.detected = detect(self.path, self.choices.encoding)
        if self.detected.is_damaged:
            self.notes.add("some_letters_damaged")
        facts = {"encoding": self.encoding, "encodings": fitting(self.path, self.detected)}
        head = self._text_head()
        if JSON_BEGINS.match(head.lstrip(INVISIBLE)) and not self.choices.delimiter:
            self.source = Records(self._open, self.path.parent, self.notes, self.choices, head)
            self.label = "json" if WHOLE_JSON.match(head.lstrip(INVISIBLE)) else "jsonl"
            self._lay_out(kind="json", delimiter="", **facts)
            return
        grid = text_grid(self._open, self.choices)
        self.source = Table(grid, self.path.parent, self.notes, self.choices)
        self._lay_out(kind="table", delimiter=grid.delimiter, **facts)

    def _open_sheet(self) -> None:
        from training.datasets.sheets import Sheet

        sheet = Sheet(self.path, self.choices.sheet)
        self.source = Table(sheet, self.path.parent, self.notes, self.choices)
        self._lay_out(kind="sheet", sheets=sheet.names, sheet=sheet.name)

    def _open_parquet(self) -> None:
        from training.datasets.parquet import Parquet

        self.source = Table(Parquet(self.path), self.path.parent, self.notes, self.choices)
        self._lay_out(kind="parquet")

    def _lay_out(self, **facts: object) -> None:
        source = self.source
        self.layout = layout.of(source.header, source.head, source.shape, **facts)
        self.layout["format"] = self.format
        if isinstance(source, Table):
            self.layout["has_header"] = source.header_line > 0

    def _text_head(self) -> str:
        """Return the beginning of a text.

        Raises: UserError `file_is_page`, `file_empty`.
        """
        with self.path.open("rb") as raw:
            raw_head = raw.read(HEAD)
        head = raw_head.decode(self.encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")
        if not head.lstrip(INVISIBLE) and self.size_bytes <= HEAD:
            raise UserError("file_empty")
        if is_page(head):
            raise UserError("file_is_page")
        return head

    def _open(self) -> Lines:
        assert self.detected
        self.lines = Lines(self.path, self.detected)
        return self.lines

    # --- what is told of it ---------------------------------------------------------------------
    @property
    def encoding(self) -> str:
        """'' for what is no text."""
        return self.detected.encoding if self.detected else ""

    @property
    def format(self) -> str:
        """What holds the records, and what they are: jsonl-prompt, csv-conversation, sheet-turns."""
        if isinstance(self.source, Records):
            kind = self.source.kind or (self.source.shape.kind if self.source.shape else "")
            return f"{self.label}-{kind}" if kind else self.label
        known = self.source.known
        return f"{self.source.grid.label}-{known.kind}" if known else self.source.grid.label

    @property
    def done_bytes(self) -> int:
        if isinstance(self.source, Table) and self.lines is None:
            return int(self.source.grid.done * self.size_bytes)
        return self.lines.done_bytes if self.lines else 0

    def __iter__(self) -> Iterator[Example | Problem]:
        """Raises: UserError of batches."""
        for found in self.batches():
            if isinstance(found, list):
                yield from (talk.example() for talk in found)
            else:
                yield found

    def batches(self) -> Iterator[list[Talk] | Example | Problem]:
        """Yield the same as iteration, plain examples many at a time.

        Raises: UserError `columns_unknown`, `column_unknown`, `mapping_incomplete`,
        `template_braces`, `records_none`, `line_too_long`, `quote_open`, `parquet_broken`."""
        try:
            yield from self.source
        finally:
            if self.lines:
                self.lines.close()
