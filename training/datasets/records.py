"""Examples out of JSON records: lines go in, Examples and Problems come out."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from training.chat import Example
from training.datasets import names, talks
from training.datasets.choices import Choices
from training.datasets.lines import Lines, LineTooLong, split
from training.datasets.names import CONVERSATION, PAIR, TURNS, Shape
from training.datasets.objects import Found, Objects, wrapper_length
from training.datasets.shapes import Meaning, Mistake, Problem, missing_part, problem
from training.errors import UserError

SAMPLE_RECORDS, COLUMNS_LIMIT = 50, 100
COLUMNS_IGNORED = "columns_ignored"


class Records:
    """JSON records of a file; `header`, `head` and `shape` are known from the start, `shape` is
    None where the first records are nothing we know."""

    def __init__(
        self,
        open_lines: Callable[[], Lines],
        folder: Path,
        notes: set[str],
        choices: Choices,
        head: str,
    ) -> None:
        self.open_lines = open_lines
        self.folder = folder
        self.notes = notes
        self.choices = choices
        self.skip = wrapper_length(head, choices.mapping.get("messages", ""))
        self.kind = ""
        """What the first record that is one of ours is."""
        sample = self._sample()
        self.header = list(dict.fromkeys(key for value in sample for key in value))
        self.header = self.header[:COLUMNS_LIMIT]
        self.head = [[value.get(name) for name in self.header] for value in sample[:5]]
        self.shape = self._first_shape(sample)
        self._meanings: dict[tuple[str, ...], Meaning | Mistake] = {}

    def _sample(self) -> list[dict]:
        found = self._found(set())
        values = (value for _, _, value in found if isinstance(value, dict))
        return list(itertools.islice(values, SAMPLE_RECORDS))

    def _first_shape(self, sample: list[dict]) -> Shape | None:
        """Return the shape of the first record that has one, with its places in the header."""
        for value in sample:
            if known := names.shape(tuple(value)):
                return names.mapped(tuple(self.header), names.mapping(known, tuple(value)))
        return None

    def _found(self, notes: set[str]) -> Iterator[Found]:
        objects = Objects(notes, self.skip)
        lines = self.open_lines()
        try:
            for block in lines.blocks():
                if isinstance(block, LineTooLong):
                    yield from objects.feed_too_long(block)
                    continue
                for number, line in enumerate(split(block.text), block.line):
                    yield from objects.feed(number, line)
            yield from objects.end()
        finally:
            lines.close()

    def _grouped(self) -> Meaning | None:
        """Return what the records mean where several make one example.

        Raises: UserError `column_unknown`, `mapping_incomplete`.
        """
        known = self.shape
        if self.choices.mapping:
            known = names.mapped(tuple(self.header), self.choices.mapping)
        if known is None or not known.is_grouped:
            return None
        return Meaning(known, tuple(self.header), self.notes)

    def __iter__(self) -> Iterator[Example | Problem]:
        """Raises: UserError `columns_unknown`, `column_unknown`, `mapping_incomplete`,
        `file_empty`."""
        if grouped := self._grouped():
            self.kind = grouped.shape.kind
            if grouped.shape.ignored:
                self.notes.add(COLUMNS_IGNORED)
            yield from talks.examples(lambda: self._turns(grouped), self.folder, self.notes)
            return
        unknown: tuple[str, ...] = ()
        is_empty = True
        for line, row, value in self._found(self.notes):
            is_empty = False
            try:
                if isinstance(value, Mistake):
                    raise value
                try:
                    meaning, values = self.meant(value)
                except Mistake:
                    unknown = unknown or tuple(value)
                    raise
                self.kind = self.kind or meaning.shape.kind
                yield meaning.example(values)
            except Mistake as mistake:
                yield problem(line, mistake, row)
        if is_empty:
            raise UserError("file_empty")
        if unknown and not self.kind:
            raise UserError("columns_unknown", columns=names.listed(unknown))

    def meant(self, value: dict) -> tuple[Meaning, Sequence]:
        """Return what a record means and its values in that order.

        Raises: Mistake of missing_part.
        """
        if self.choices.mapping:
            meaning = self._meaning(tuple(self.header))
            return meaning, [value.get(name) for name in self.header]
        return self._meaning(tuple(value)), list(value.values())

    def _meaning(self, keys: tuple[str, ...]) -> Meaning:
        """Raises: Mistake of missing_part."""
        found = self._meanings.get(keys)
        if found is None:
            found = self._new_meaning(keys)
            if len(self._meanings) < 1000:
                self._meanings[keys] = found
        if isinstance(found, Mistake):
            raise found
        if found.shape.ignored:
            self.notes.add(COLUMNS_IGNORED)
        return found

    def _new_meaning(self, keys: tuple[str, ...]) -> Meaning | Mistake:
        if self.choices.mapping:
            return Meaning(names.mapped(keys, self.choices.mapping), keys, self.notes)
        known = names.shape(keys)
        if known is None or known.kind == CONVERSATION:
            return missing_part(keys)
        if known.kind == TURNS:
            known = Shape(PAIR, known.places, known.ignored)
        return Meaning(known, keys, self.notes)

    def _turns(self, meaning: Meaning) -> Iterator[talks.Turn]:
        return talks.turns(self._of_talks(meaning), self.notes)

    def _of_talks(self, meaning: Meaning) -> Iterator[talks.Record]:
        for line, row, value in self._found(self.notes):
            mistake = value if isinstance(value, Mistake) else None
            values: list = [""] * len(self.header)
            if isinstance(value, dict):
                low = {names.known_as(key): one for key, one in value.items()}
                values = [low.get(names.known_as(name)) for name in self.header]
                if all(one is None for one in values):
                    mistake = missing_part(tuple(value))
            yield line, values, meaning, mistake, partial(str, row)


def shown(value: object) -> str:
    """Write a value for a preview."""
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "…"
