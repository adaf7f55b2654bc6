"""A version's examples as a file to take home: JSONL (exact), CSV (for Excel), XLSX.

Examples go in, bytes come out, piece by piece. Tables have one row an exchange, in the columns that
the reader knows again: System_Prompt, C_ID, T_ID, Text, Completion. No cell can become a formula.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from training.chat import Example
from training.datasets import store
from training.errors import UserError

COLUMNS = ("System_Prompt", "C_ID", "T_ID", "Text", "Completion")
PIECE_LETTERS = 1 << 18
XLSX_ROWS = 50_000
"""Most rows of a sheet that is made while somebody waits."""
CELL_LETTERS = 32_767
"""Most letters that Excel keeps in a cell."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings for which a table program may run a cell (OWASP, CSV injection)."""
UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f]")


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


def as_csv(folder: Path) -> Iterator[bytes]:
    """Yield a table in UTF-8 with a mark that Excel needs; what might run as a formula begins
    with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    yield "\ufeff".encode()
    writer.writerow(COLUMNS)
    for row in exchanges(store.iterate(folder)):
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])
        if out.tell() >= PIECE_LETTERS:
            yield _taken(out)
    yield _taken(out)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _taken(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()


def as_xlsx(folder: Path) -> Iterator[bytes]:
    """Yield a workbook whose cells are all text.

    Raises: UserError `sheet_too_long`, `cell_too_long`.
    """
    if len(store.view(folder)) > XLSX_ROWS:  # before any work
        raise UserError("sheet_too_long", limit=XLSX_ROWS)
    from openpyxl import Workbook  # here, since it is slow to load and seldom wanted
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("data")
    sheet.append(COLUMNS)
    for number, row in enumerate(exchanges(store.iterate(folder)), 1):
        if number > XLSX_ROWS:
            raise UserError("sheet_too_long", limit=XLSX_ROWS)
        cells = []
        for value in row:
            if isinstance(value, str) and len(value) > CELL_LETTERS:
                raise UserError("cell_too_long", row=number, limit=CELL_LETTERS)
            clean = UNPRINTABLE.sub("", value) if isinstance(value, str) else value
            cell = WriteOnlyCell(sheet, clean)
            if isinstance(value, str):
                cell.data_type = "s"  # never a formula
            cells.append(cell)
        sheet.append(cells)
    with TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while piece := file.read(PIECE_LETTERS):
            yield piece


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
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in cells])
        if out.tell() >= PIECE_LETTERS:
            yield _taken(out)
    yield _taken(out)
