"""Examples out of a grid of rows, be it CSV, Markdown, a sheet or Parquet.

The header names the columns: the first row, or one of the next where a title stands above it.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from training.chat import Example
from training.datasets import names, plain, talks
from training.datasets.choices import Choices
from training.datasets.grids import HEADER_ROWS, Csv, Grid, Row, is_blank
from training.datasets.names import Shape
from training.datasets.shapes import Meaning, Mistake, Problem, problem
from training.errors import UserError

COLUMNS_LIMIT = 16_384
HEAD_ROWS = 5
ROWS_SKIPPED, COLUMNS_IGNORED = "rows_above_skipped", "columns_ignored"

Found = list[plain.Talk] | Example | Problem


class Table:
    """One table; `header`, `head` and `shape` are known from the start, `shape` is None where
    nothing is recognised."""

    def __init__(self, grid: Grid, folder: Path, notes: set[str], choices: Choices) -> None:
        """Raises: UserError `file_empty`, `columns_too_many` and those of the grid."""
        self.grid = grid
        self.folder = folder
        self.notes = notes
        self.choices = choices
        self.is_fast = True
        """Whether plain rows may take the short way."""
        first = list(itertools.islice(self._filled(), HEADER_ROWS + HEAD_ROWS))
        if not first:
            raise UserError("file_empty")
        self.header, self.header_line = self._header(first)
        self.shape: Shape | None = names.shape(tuple(self.header))
        self.known = self.shape
        """The shape that is read: the recognised one, or the mapping's."""
        self.head = [cells for line, cells, _ in first if line > self.header_line][:HEAD_ROWS]

    def _filled(self) -> Iterator[Row]:
        return (row for row in self.grid.rows() if not is_blank(row[1]))

    def _header(self, first: list) -> tuple[list[str], int]:
        """Return the columns' names and the line on which they stand, 0 for on none.

        Raises: UserError `columns_too_many`.
        """
        if (widest := max(len(cells) for _, cells, _ in first)) > COLUMNS_LIMIT:
            raise UserError("columns_too_many", found=widest, limit=COLUMNS_LIMIT)
        if self.choices.has_header is False:
            return names.numbered(widest), 0
        for line, cells, _ in first[:HEADER_ROWS]:
            if names.shape(header := tuple(named(cells))):
                return list(header), line
        most = max(map(filled, (cells for _line, cells, _mistake in first)))
        for line, cells, _ in first[:HEADER_ROWS]:  # a title above fills a cell or two
            if filled(cells) * 2 > most:
                return named(cells), line
        return named(first[0][1]), first[0][0]

    def _known(self) -> Shape:
        """Raises: UserError `columns_unknown`, `column_unknown`, `mapping_incomplete`."""
        header = tuple(self.header)
        known = names.mapped(header, self.choices.mapping) if self.choices.mapping else self.shape
        if known is None:
            raise UserError("columns_unknown", columns=names.listed(self.header))
        return known

    def __iter__(self) -> Iterator[Found]:
        """Raises: UserError `columns_unknown`, `column_unknown`, `mapping_incomplete` and those
        of the grid."""
        known = self.known = self._known()
        if known.ignored:
            self.notes.add(COLUMNS_IGNORED)
        meaning = Meaning(known, tuple(self.header), self.notes)
        if known.is_grouped:
            yield from talks.examples(lambda: self.records(meaning), self.folder, self.notes)
        else:
            yield from self._pairs(known, meaning)
        self.notes.update(self.grid.notes)

    def _pairs(self, known: Shape, meaning: Meaning) -> Iterator[Found]:
        """Yield one example a row; plain rows of CSV many at a time."""
        first, second = known.places.get("prompt"), known.places.get("answer")
        is_fast = (
            self.is_fast
            and isinstance(self.grid, Csv)
            and set(known.places) == {"prompt", "answer"}
        )
        is_fast = is_fast and isinstance(first, int) and isinstance(second, int)
        width = len(self.header)
        batch: list[plain.Talk] = []
        for line, cells, mistake in self.grid.rows():
            if is_fast and len(cells) == width and not mistake and line > self.header_line:
                found = plain.pair(cells[first], cells[second])  # type: ignore[index]
                if found is not None and self.grid.is_plain:  # type: ignore[attr-defined]
                    batch.append(found)
                    if len(batch) == plain.BATCH:
                        yield batch
                        batch = []
                    continue
            if batch:
                yield batch
                batch = []
            for row in self._checked(line, cells, mistake):
                yield self._carefully(meaning, *row)
        if batch:
            yield batch

    def _carefully(
        self, meaning: Meaning, line: int, cells: list, mistake: Mistake | None
    ) -> Example | Problem:
        try:
            if mistake:
                raise mistake
            return meaning.example(cells)
        except Mistake as error:
            return problem(line, error, self._shown(cells))

    def records(self, meaning: Meaning) -> Iterator[talks.Record]:
        """Yield the rows below the header that are not blank, each as wide as the header."""
        for row in self.grid.rows():
            for line, cells, mistake in self._checked(*row):
                yield line, cells, meaning, mistake, partial(self._shown, cells)

    def _checked(self, line: int, cells: list, mistake: Mistake | None) -> Iterator[Row]:
        """Yield a row if it is one of the data."""
        if is_blank(cells) or line <= self.header_line:
            if line < self.header_line and not is_blank(cells):
                self.notes.add(ROWS_SKIPPED)
            return
        width = len(self.header)
        if len(cells) > width and not mistake and not is_blank(cells[width:]):
            mistake = Mistake("cells_too_many", expected=width, found=len(cells))
        if len(cells) < width:
            cells = cells + [""] * (width - len(cells))
        yield line, cells, mistake

    def _shown(self, cells: Sequence) -> str:
        texts = [one if isinstance(one, str) else "" if one is None else str(one) for one in cells]
        while texts and not texts[-1] and len(texts) > len(self.header):
            texts.pop()
        return (self.grid.delimiter or ", ").join(texts)


def filled(cells: Sequence) -> int:
    """Count the cells that hold something."""
    return sum(not is_blank([cell]) for cell in cells)


def named(cells: Sequence) -> list[str]:
    """Return a row as names of columns."""
    return [
        names.printable(names.clean(cell if isinstance(cell, str) else str(cell or "")))
        for cell in cells
    ]
