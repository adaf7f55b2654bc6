"""Rows out of Excel workbooks, XLSX and XLS, by calamine.

A workbook is a ZIP that strangers packed: its sizes are checked before anything is unpacked into
memory (a bomb of 194 KB can hold 200 MB). Knows no columns.
"""

import datetime
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from training.datasets.grids import Row, is_blank
from training.datasets.kinds import ZIP
from training.errors import UserError

TOTAL_LIMIT = 600 << 20
"""Bytes that all parts of a workbook may unpack to."""
RATIO_LIMIT, RATIO_FREE_BYTES = 100, 32 << 20
"""How many times its packed size a part may unpack to, once it is that large."""
PARTS_LIMIT = 10_000
CELLS_LIMIT = 20_000_000
"""Cells of the rectangle that a sheet spans: calamine keeps it whole in memory."""
CHUNK_BYTES = 1 << 20
SHEET_PART = re.compile(r"/?xl/worksheets/[^/]+\.xml", re.IGNORECASE)
MEDIA_PART = re.compile(r"/?xl/(media|embeddings|printerSettings)/", re.IGNORECASE)
CELL = re.compile(rb"""<(?:\w+:)?(?:(row)\b[^>]*|c\b([^>]*[^/>]|))>""")
REFERENCE = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")


class Sheet:
    """One sheet of a workbook; `names` has all of them."""

    label, delimiter = "sheet", ""
    notes = ()

    def __init__(self, path: Path, chosen: str | None = None) -> None:
        """Raises: UserError `sheet_unknown`, `sheet_broken`, `sheet_too_big`, `file_locked`,
        `file_empty`."""
        check(path)
        self._book = _opened(path)
        self.names: list[str] = self._book.sheet_names
        if chosen is not None and chosen not in self.names:
            names = ", ".join(self.names)[:300]
            raise UserError("sheet_unknown", name=chosen[:100], sheets=names)
        self.name, self._sheet = self._chosen(chosen)
        self.done = 0.0

    def _chosen(self, chosen: str | None) -> tuple[str, Any]:
        """Return the chosen sheet, or the first that has rows.

        Raises: UserError `file_empty`, `sheet_broken`.
        """
        for name in [chosen] if chosen is not None else self._visible_first():
            sheet = _safely(self._book.get_sheet_by_name, name)
            if sheet.height:
                return name, sheet
        raise UserError("file_empty")

    def _visible_first(self) -> list[str]:
        seen = {sheet.name: str(sheet.visible) for sheet in self._book.sheets_metadata}
        return sorted(self.names, key=lambda name: not seen.get(name, "").endswith("Visible"))

    def rows(self) -> Iterator[Row]:
        """Yield rows with their numbers in the sheet."""
        for number, values in enumerate(self._sheet.iter_rows(), 1):
            self.done = number / max(number, self._sheet.total_height)
            cells = [shown(value) for value in values]
            if not is_blank(cells):
                yield number, cells, None


def shown(value: object) -> str:
    """Write a cell's value as a person reads it: no 3.0 for 3, no midnight for a day."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        if value.time() == datetime.time():
            return value.date().isoformat()
        return value.isoformat(" ", "seconds" if value.second else "minutes")
    if isinstance(value, datetime.time):
        return value.isoformat("seconds" if value.second else "minutes")
    return "" if value is None else str(value)


def _opened(path: Path) -> Any:
    import python_calamine  # here, since text files need none of it

    return _safely(python_calamine.CalamineWorkbook.from_path, str(path))


def _safely(read: Any, argument: str) -> Any:
    """Raises: UserError `file_locked`, `sheet_broken`."""
    try:
        return read(argument)
    except (KeyboardInterrupt, SystemExit, MemoryError, UserError):
        raise
    except BaseException as error:  # a panic of Rust's is no Exception
        is_locked = "password" in f"{type(error).__name__} {error}".casefold()
        raise UserError("file_locked" if is_locked else "sheet_broken") from error


def check(path: Path) -> None:
    """Unpack a workbook's parts once, keeping nothing, to see that memory can hold them.

    Raises: UserError `sheet_too_big`, `sheet_broken`.
    """
    with path.open("rb") as file:
        if not file.read(4).startswith(ZIP):
            return  # XLS: not packed, at most 65,536 rows of 256 cells
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            _check_sizes(parts)
            for part in parts:
                if not MEDIA_PART.match(part.filename):
                    with archive.open(part) as unpacked:
                        _check_part(part.filename, unpacked)
    except UserError:
        raise
    except Exception as error:  # zipfile lets struct's, zlib's and others' through
        raise UserError("sheet_broken") from error


def _check_sizes(parts: list[zipfile.ZipInfo]) -> None:
    """Raises: UserError `sheet_too_big`, `sheet_broken`, `file_locked`."""
    names = [part.filename for part in parts]
    if len(set(names)) < len(names) or any(".." in name.split("/") for name in names):
        raise UserError("sheet_broken")
    if any(part.flag_bits & 1 for part in parts):
        raise UserError("file_locked")
    total = sum(part.file_size for part in parts)
    is_bomb = any(
        part.file_size > RATIO_FREE_BYTES
        and part.file_size > RATIO_LIMIT * max(1, part.compress_size)
        for part in parts
    )
    if len(parts) > PARTS_LIMIT or total > TOTAL_LIMIT or is_bomb:
        raise UserError("sheet_too_big", limit_mb=TOTAL_LIMIT >> 20)


def _check_part(name: str, unpacked: IO[bytes]) -> None:
    """Read a part to its end; zipfile itself sees that it is as long as it says.

    Raises: UserError `sheet_too_big`.
    """
    is_sheet = SHEET_PART.fullmatch(name) is not None
    rest = b""
    last_row = last_column = rows = in_row = 0
    while chunk := unpacked.read(CHUNK_BYTES):
        if not is_sheet:
            continue
        text = rest + chunk
        end = text.rfind(b">") + 1
        rest = text[end:][-CHUNK_BYTES:]
        for row, attributes in CELL.findall(text, 0, end):
            if row:
                rows, in_row = rows + 1, 0
                continue
            in_row += 1
            if found := REFERENCE.search(attributes):
                last_row = max(last_row, int(found[2]))
                last_column = max(last_column, _column(found[1]))
            else:
                last_column = max(last_column, in_row)
        if max(last_row, rows) * last_column > CELLS_LIMIT:
            raise UserError("sheet_too_big", limit_mb=TOTAL_LIMIT >> 20)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
