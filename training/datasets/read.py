"""A file goes in, Examples and Problems come out, one by one and in bounded memory.

The format is known by the content, never by the name. Behind this border nobody knows of columns,
keys or encodings.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.chat import Example
from training.datasets.encoding import Lines, detect
from training.datasets.objects import Objects
from training.datasets.shapes import (
    MESSAGES,
    PAIR,
    Mistake,
    Problem,
    Shape,
    conversation,
    listed,
    missing_part,
    pair,
    problem,
    shape,
    text,
)
from training.datasets.tables import Table
from training.errors import UserError

HEAD = 65_536
PAGE = re.compile(r"<(!doctype\s+html|html|head|body|script|title|meta)\b", re.IGNORECASE)
JSON_BEGINS = re.compile(r"(```\w*\s*)?(\{|\[\s*[\[{\]]|\[\s*$)")


def is_page(head: str) -> bool:
    """Say whether text begins like a web page."""
    head = head.lstrip("\ufeff\0 \t\r\n")
    return head.startswith("<") and PAGE.search(head[:4096]) is not None


class Reader:
    """Iterate over it once; afterwards `format` and `notes` are whole."""

    def __init__(self, path: Path) -> None:
        """Raises: UserError of detect, `file_is_page`, `columns_unknown`,
        `line_too_long`."""
        self.path = path
        self.size_bytes = path.stat().st_size
        self.detected = detect(path)
        self.notes: set[str] = {"some_letters_damaged"} if self.detected.is_damaged else set()
        self.format = ""
        """jsonl-prompt, jsonl-messages, csv-prompt or csv-conversation."""
        self.lines: Lines | None = None
        self.table = None if self._is_json() else Table(self._open, path.parent, self.notes)
        if self.table:
            self.format = f"csv-{self.table.shape.kind}"

    @property
    def encoding(self) -> str:
        return self.detected.encoding

    @property
    def done_bytes(self) -> int:
        return self.lines.done_bytes if self.lines else 0

    def _open(self) -> Lines:
        self.lines = Lines(self.path, self.detected)
        return self.lines

    def _is_json(self) -> bool:
        """Raises: UserError `file_is_page`, `file_empty`."""
        with self.path.open("rb") as raw:
            raw_head = raw.read(HEAD)
        head = raw_head.decode(self.encoding, "ignore").lstrip("\ufeff\0 \t\r\n")
        if not head and self.size_bytes <= HEAD:
            raise UserError("file_empty")
        if is_page(head):
            raise UserError("file_is_page")
        return JSON_BEGINS.match(head) is not None

    def __iter__(self) -> Iterator[Example | Problem]:
        """Raises: UserError `columns_unknown`, `file_empty`, `line_too_long`, `quote_open`."""
        try:
            yield from self.table or self._objects()
        finally:
            if self.lines:
                self.lines.close()

    def _objects(self) -> Iterator[Example | Problem]:
        unknown: tuple[str, ...] = ()
        is_empty = True
        for line, row, value in Objects(self._open(), self.notes):
            is_empty = False
            try:
                if isinstance(value, Mistake):
                    raise value
                names = tuple(value)
                known = shape(names)
                if known is None or known.kind not in (PAIR, MESSAGES):
                    unknown = unknown or names
                    raise missing_part(names)
                self.format = self.format or f"jsonl-{known.kind}"
                yield self._example(known, names, value)
            except Mistake as mistake:
                yield problem(line, mistake, row)
        if is_empty:
            raise UserError("file_empty")
        if unknown and not self.format:
            raise UserError("columns_unknown", columns=listed(unknown))

    def _example(self, known: Shape, names: tuple[str, ...], value: dict) -> Example:
        if known.kind == MESSAGES:
            return conversation(_turns(value[names[known.places["messages"]]]))
        if known.ignored:
            self.notes.add("columns_ignored")
        parts = {part: text(value[names[i]], names[i]) for part, i in known.places.items()}
        return pair(
            parts["prompt"],
            parts["answer"],
            extra=parts.get("extra", ""),
            system=parts.get("system", ""),
        )


def _turns(messages: object) -> list[tuple[object, object]]:
    """Raises: Mistake `messages_wrong`."""
    if not isinstance(messages, list) or not messages:
        raise Mistake("messages_wrong", turn=1)
    turns = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or "role" not in message:
            raise Mistake("messages_wrong", turn=number)
        turns.append((message["role"], message.get("content")))
    return turns
