"""A version's examples as a file to take home: JSONL (exact), CSV (for Excel), XLSX.

Examples go in, bytes come out, piece by piece. Tables have one row an exchange, in columns that the
reader knows again. No cell can become a formula.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from string import ascii_uppercase
from tempfile import TemporaryFile
from typing import Any

from django.utils.translation import gettext as _

from training.chat import Example
from training.datasets import store
from training.datasets.formulas import guarded
from training.datasets.names import TALK_COLUMNS
from training.errors import UserError

PIECE_LETTERS = 1 << 18
XLSX_ROWS = 50_000
"""Most rows of a sheet that is made while somebody waits."""
CELL_LETTERS = 32_767
"""Most letters that Excel keeps in a cell."""
UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
CODED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
"""What a workbook would take for the code of a letter."""


def jsonl(folder: Path) -> Iterator[bytes]:
    """Yield every example as a line with `messages`."""
    waiting: list[bytes] = []
    size = 0
    for line in store.view(folder).lines():
        line = _without_position(line)
        waiting.append(line)
        size += len(line)
        if size >= PIECE_LETTERS:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _without_position(line: bytes) -> bytes:
    """A changed row's line says where it stands; nobody outside needs that."""
    return b'{"messages"' + line.partition(b'"messages"')[2] if line.startswith(b'{"at"') else line


def exchanges(examples: Iterable[Example]) -> Iterator[tuple[str, int, int, str, str]]:
    """Yield (system prompt, conversation, turn, question, answer), both numbers from 0."""
    for conversation, example in enumerate(examples):
        messages = list(example.messages)
        system = messages.pop(0).content if messages[0].role == "system" else ""
        for turn, (question, answer) in enumerate(zip(messages[::2], messages[1::2], strict=True)):
            yield (system if not turn else "", conversation, turn, question.content, answer.content)


def table(folder: Path) -> Iterator[Sequence]:
    """Yield the columns' names and then the rows: question and answer where there is nothing else,
    else TALK_COLUMNS."""
    if all(map(_is_pair, store.view(folder).lines())):
        rows = (
            (question, answer)
            for _system, _talk, _turn, question, answer in exchanges(store.iterate(folder))
        )
        return chain([(_("질문"), _("답변"))], rows)
    return chain([TALK_COLUMNS], exchanges(store.iterate(folder)))


def _is_pair(line: bytes) -> bool:
    return line.count(b'{"role":"') == 2 and b'"messages":[{"role":"user"' in line[:60]


def as_csv(folder: Path) -> Iterator[bytes]:
    """Yield a table in UTF-8 with a mark that Excel needs; what might run as a formula begins
    with an apostrophe, which the reader takes off again."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)  # a blank at the beginning is kept
    rows = table(folder)
    yield "\ufeff".encode()
    for row in rows:
        writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in row])
        if out.tell() >= PIECE_LETTERS:
            yield _taken(out)
    yield _taken(out)


def _taken(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()


@dataclass(frozen=True)
class Sheet:
    """One sheet of a workbook to be made."""

    title: str
    rows: Iterable[Sequence[object]]
    """The names of the columns first."""
    widths: tuple[int, ...] = ()
    """Letters that a line of each column holds; where given, long texts are broken into lines."""


def as_xlsx(folder: Path) -> Iterator[bytes]:
    """Yield a workbook whose cells are all text.

    Raises: UserError `sheet_too_long`, `cell_too_long`.
    """
    if len(store.view(folder)) > XLSX_ROWS:  # before any work
        raise UserError("sheet_too_long", limit=XLSX_ROWS)
    return workbook([Sheet("data", table(folder))])


def workbook(sheets: Iterable[Sheet]) -> Iterator[bytes]:
    """Yield an XLSX file in which no text is a formula.

    Raises: UserError `sheet_too_long`, `cell_too_long`.
    """
    from openpyxl import Workbook  # here, since it is slow to load and seldom wanted

    book = Workbook(write_only=True)
    for sheet in sheets:
        _fill(book.create_sheet(sheet.title), sheet)
    with TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while piece := file.read(PIECE_LETTERS):
            yield piece


def _fill(page: Any, sheet: Sheet) -> None:
    for letter, width in zip(ascii_uppercase, sheet.widths, strict=False):
        page.column_dimensions[letter].width = width
    for number, row in enumerate(sheet.rows):
        if number > XLSX_ROWS:
            raise UserError("sheet_too_long", limit=XLSX_ROWS)
        page.append([_cell(page, value, number, bool(sheet.widths)) for value in row])


def _cell(page: Any, value: object, row: int, is_broken: bool) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment

    if not isinstance(value, str):
        return WriteOnlyCell(page, value)
    if len(value) > CELL_LETTERS:
        raise UserError("cell_too_long", row=row, limit=CELL_LETTERS)
    cell = WriteOnlyCell(page, CODED.sub("_x005F_", UNPRINTABLE.sub("", value)))
    cell.data_type = "s"  # never a formula
    if is_broken:
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    return cell


FORMATS = {
    "jsonl": (jsonl, "application/jsonl; charset=utf-8"),
    "csv": (as_csv, "text/csv; charset=utf-8"),
    "xlsx": (as_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
"""File ending -> what makes it, and its media type."""


def problems(found: Iterable[dict], say: Callable[[dict], Any]) -> Iterator[bytes]:
    """Yield the rows that could not be used as a table: line, why, what to do, the row itself.
    `say` turns a problem into its sentence (what, cure)."""
    out = io.StringIO()
    writer = csv.writer(out)
    yield "\ufeff".encode()
    for one in found:
        words = say(one)
        cells = (one["line"], words.what, words.cure, one["row"])
        writer.writerow([guarded(cell) if isinstance(cell, str) else cell for cell in cells])
        if out.tell() >= PIECE_LETTERS:
            yield _taken(out)
    yield _taken(out)
