"""Examples out of CSV and its kin: lines go in, Examples and Problems come out.

The first row names the columns. Rows of one conversation need not stand together; those that
do not are sorted on disk, so that memory stays bounded.
"""

import csv
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from training.chat import Example
from training.datasets.encoding import LINE_LIMIT, Lines, LineTooLong
from training.datasets.shapes import (
    CONVERSATION,
    PAIR,
    Mistake,
    Problem,
    Shape,
    conversation,
    listed,
    pair,
    printable,
    problem,
    shape,
    text,
)
from training.errors import UserError

DELIMITERS = ",;\t|"
TURN_LIMIT = 10_000
"""Most turns of one conversation."""
SAMPLE_SIZE = 65_536
SPOOL = "spool.sqlite3"
csv.field_size_limit(LINE_LIMIT)

Row = tuple[int, list[str], Mistake | None]
"""Line where it begins, its cells, and what is wrong with it."""


class Turn(NamedTuple):
    conversation: str
    line: int
    role: str
    content: str
    mistake: Mistake | None = None

    @property
    def row(self) -> str:
        shown = (self.conversation, self.role, self.content)
        return self.content if self.mistake else ", ".join(shown)


class Table:
    """One table; `shape` and `header` are known from the start."""

    def __init__(self, open_lines: Callable[[], Lines], folder: Path, notes: set[str]) -> None:
        """Raises: UserError `columns_unknown`, `file_empty`, `line_too_long`."""
        self.open_lines = open_lines
        self.folder = folder
        self.notes = notes
        self.delimiter, self.header, self.shape = self._recognise()
        if self.shape.ignored:
            notes.add("columns_ignored")

    def _recognise(self) -> tuple[str, list[str], Shape]:
        sample = self._sample()
        for delimiter in DELIMITERS:
            header = _header(sample, delimiter)
            known = shape(tuple(header))
            if known and known.kind in (PAIR, CONVERSATION):
                return delimiter, header, known
        raise UserError("columns_unknown", columns=listed(_header(sample, _sniffed(sample))))

    def _sample(self) -> list[str]:
        """Return the first lines from the header on.

        Raises: UserError `file_empty`, `line_too_long`.
        """
        sample: list[str] = []
        lines = self.open_lines()
        try:
            for line in lines:
                if sample or line.strip("\ufeff\0 \r\n"):
                    sample.append(line)
                if len(sample) == 20 or sum(map(len, sample)) > SAMPLE_SIZE:
                    break
        except LineTooLong as error:
            raise _too_long(error.line) from None
        finally:
            lines.close()
        if not sample:
            raise UserError("file_empty")
        return sample

    def __iter__(self) -> Iterator[Example | Problem]:
        """Raises: UserError `line_too_long`, `quote_open`."""
        is_scattered = self.shape.kind == CONVERSATION and self._is_scattered()
        lines = self.open_lines()
        try:
            if self.shape.kind == PAIR:
                yield from self._pairs(lines)
            else:
                turns = self._turns(lines)
                yield from self._sorted_talks(turns) if is_scattered else _joined(turns)
        finally:
            lines.close()

    def _rows(self, lines: Lines) -> Iterator[Row]:
        """Yield the rows below the header that are not blank, with the line each begins at.

        Raises: UserError `line_too_long`, `quote_open`.
        """
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)
        is_header = True
        while True:
            start = lines.number + 1
            try:
                cells = next(reader, None)
            except LineTooLong as error:
                raise _too_long(error.line) from None
            except csv.Error:
                raise UserError("quote_open", line=start) from None
            if cells is None:
                return
            if not any(cell.strip("\ufeff\0 \r\n\t") for cell in cells):
                continue
            if is_header:
                is_header = False
            elif lines.is_over:  # the end of the file came within quotes
                yield start, cells, Mistake("quote_unclosed")
            elif any(cell.strip() for cell in cells[len(self.header) :]):
                expected, found = len(self.header), len(cells)
                yield start, cells, Mistake("cells_too_many", expected=expected, found=found)
            else:
                yield start, cells + [""] * (len(self.header) - len(cells)), None

    # --- one example a row ----------------------------------------------------------------------
    def _pairs(self, lines: Lines) -> Iterator[Example | Problem]:
        for line, cells, wrong in self._rows(lines):
            try:
                if wrong:
                    raise wrong
                yield self._pair(cells)
            except Mistake as mistake:
                yield problem(line, mistake, self.delimiter.join(cells))

    def _pair(self, cells: list[str]) -> Example:
        parts = {part: text(cells[place], part) for part, place in self.shape.places.items()}
        return pair(
            parts["prompt"],
            parts["answer"],
            extra=parts.get("extra", ""),
            system=parts.get("system", ""),
        )

    # --- several rows an example ----------------------------------------------------------------
    def _turns(self, lines: Lines) -> Iterator[Turn]:
        """Yield turn by turn; an empty conversation id is the one above (merged cells)."""
        places = self.shape.places
        current = ""
        for line, cells, wrong in self._rows(lines):
            cells += [""] * (len(self.header) - len(cells))
            name = cells[places["conversation"]].strip()
            if not name and current:
                self.notes.add("conversation_ids_filled")
            current = name or current
            if wrong:
                yield Turn(current, line, "", self.delimiter.join(cells), wrong)
            else:
                yield Turn(current, line, cells[places["role"]], cells[places["content"]])

    def _is_scattered(self) -> bool:
        """Say whether a conversation goes on after another one has begun."""
        lines = self.open_lines()
        try:
            names = (turn.conversation for turn in self._turns(lines))
            return _comes_back(name for name, _ in itertools.groupby(names))
        finally:
            lines.close()

    def _sorted_talks(self, turns: Iterable[Turn]) -> Iterator[Example | Problem]:
        """Sort the turns by conversation in a file beside the data."""
        path = self.folder / SPOOL
        path.unlink(missing_ok=True)
        spool = sqlite3.connect(path, isolation_level=None)
        try:
            spool.execute("PRAGMA journal_mode=OFF")
            spool.execute("PRAGMA synchronous=OFF")
            spool.execute("CREATE TABLE turns (id, line, role, content, bad)")
            spool.execute("BEGIN")
            spool.executemany("INSERT INTO turns VALUES (?, ?, ?, ?, ?)", map(_stored, turns))
            spool.execute("CREATE TABLE talks AS SELECT id, min(line) first FROM turns GROUP BY id")
            spool.execute("CREATE UNIQUE INDEX by_id ON talks (id)")
            found = spool.execute(
                "SELECT turns.* FROM turns CROSS JOIN talks USING (id) ORDER BY first, line"
            )
            yield from _joined(map(_restored, found))
        finally:
            spool.close()
            path.unlink(missing_ok=True)


def _comes_back(names: Iterable[str]) -> bool:
    """Say whether a name may come twice; rising numbers, the usual case, need no memory."""
    highest, seen = -1, set()
    for name in names:
        if name.isascii() and name.isdigit() and len(name) < 19:
            if int(name) <= highest:
                return True
            highest = int(name)
        elif hash(name) in seen:
            return True
        else:
            seen.add(hash(name))
    return False


def _joined(turns: Iterable[Turn]) -> Iterator[Example | Problem]:
    for _, group in itertools.groupby(turns, key=lambda turn: turn.conversation):
        taken: list[Turn] = []
        size = 0
        for turn in group:
            size += len(turn.content)
            if len(taken) <= TURN_LIMIT and size <= LINE_LIMIT:
                taken.append(turn)
        yield _talk(taken, is_whole=len(taken) <= TURN_LIMIT and size <= LINE_LIMIT)


def _talk(turns: list[Turn], is_whole: bool) -> Example | Problem:
    at = turns[0]
    try:
        if not is_whole:
            raise Mistake("conversation_too_long", turns=TURN_LIMIT, limit_mb=LINE_LIMIT >> 20)
        for at in turns:
            if at.mistake:
                raise at.mistake
        at = turns[0]
        return conversation([(turn.role, turn.content) for turn in turns])
    except Mistake as mistake:
        number = mistake.params.get("turn")
        at = turns[number - 1] if isinstance(number, int) else at
        return problem(at.line, mistake, at.row)


def _stored(turn: Turn) -> tuple:
    name, role, content = (
        value.encode("utf-8", "surrogatepass")
        for value in (turn.conversation, turn.role, turn.content)
    )
    bad = json.dumps([turn.mistake.code, turn.mistake.params]) if turn.mistake else ""
    return name, turn.line, role, content, bad


def _restored(row: tuple) -> Turn:
    name, line, role, content, bad = row
    code, params = json.loads(bad) if bad else ("", {})
    name, role, content = (
        value.decode("utf-8", "surrogatepass") for value in (name, role, content)
    )
    return Turn(name, line, role, content, Mistake(code, **params) if bad else None)


def _header(sample: list[str], delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader(sample, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return []
    return [printable(cell).strip("\ufeff \t\r\n") for cell in cells]


def _sniffed(sample: list[str]) -> str:
    try:
        return csv.Sniffer().sniff("".join(sample)[:4096], delimiters=DELIMITERS).delimiter
    except csv.Error:
        return max(DELIMITERS, key=sample[0][:4096].count)


def _too_long(line: int) -> UserError:
    return UserError("line_too_long", line=line, limit_mb=LINE_LIMIT >> 20)
