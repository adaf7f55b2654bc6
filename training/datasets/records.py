"""Examples out of JSON records: lines go in, Examples and Problems come out."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from training.chat import Example
from training.datasets import names, objects, plain, talks
from training.datasets.choices import Choices
from training.datasets.lines import Block, Lines, LineTooLong, split
from training.datasets.names import CONVERSATION, MESSAGES, PAIR, TURNS, Shape
from training.datasets.objects import LEARNT_LINES, Objects, wrapper_length
from training.datasets.shapes import Meaning, Mistake, Problem, missing_part, problem
from training.errors import UserError

SAMPLE_RECORDS, KEYS_LIMIT = 50, 16_384
COLUMNS_IGNORED = "columns_ignored"

Found = list[plain.Talk] | Example | Problem


class Plan(NamedTuple):
    """How the records with one set of keys are read the short way."""

    kind: str
    """PAIR, MESSAGES or ''."""
    first: str
    second: str
    is_ignoring: bool


NOT_PLAIN = Plan("", "", "", False)


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
        self.header = self.header[:KEYS_LIMIT]
        self.head = [[value.get(name) for name in self.header] for value in sample[:5]]
        self.shape = self._first_shape(sample)
        self.is_empty = True
        self.unknown: tuple[str, ...] = ()
        self.is_fast = not choices.mapping
        """Whether plain records may take the short way."""
        self._meanings: dict[tuple[str, ...], Meaning | Mistake] = {}
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._last_plan = NOT_PLAIN

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

    def _found(self, notes: set[str]) -> Iterator[objects.Found]:
        reader = Objects(notes, self.skip)
        lines = self.open_lines()
        try:
            for block in lines.blocks():
                if isinstance(block, LineTooLong):
                    yield from reader.feed_too_long(block)
                    continue
                for number, line in enumerate(split(block.text), block.line):
                    yield from reader.feed(number, line)
            yield from reader.end()
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

    def __iter__(self) -> Iterator[Found]:
        """Raises: UserError `columns_unknown`, `column_unknown`, `mapping_incomplete`,
        `records_none`."""
        if grouped := self._grouped():
            self.kind = grouped.shape.kind
            if grouped.shape.ignored:
                self.notes.add(COLUMNS_IGNORED)
            yield from talks.examples(lambda: self.records(grouped), self.folder, self.notes)
            return
        reader = Objects(self.notes, self.skip)
        lines = self.open_lines()
        try:
            for block in lines.blocks():
                if isinstance(block, LineTooLong):
                    yield from self._carefully(reader.feed_too_long(block))
                else:
                    yield from self._block(reader, block, lines.is_plain)
            yield from self._carefully(reader.end())
        finally:
            lines.close()
        if self.is_empty:
            raise UserError("records_none")
        if self.unknown and not self.kind:
            raise UserError("columns_unknown", columns=names.listed(self.unknown))

    def _block(self, reader: Objects, block: Block, is_plain: bool) -> Iterator[Found]:
        """Yield what some lines hold: plain ones many at a time, the others with care."""
        values: Sequence[dict | plain.Talk | None] | None = None
        if not reader.is_within and self.is_fast:
            is_talks = self.kind == MESSAGES and block.line > LEARNT_LINES
            values = plain.talks(block) if is_talks else None
            values = values or plain.objects(block) or plain.objects_line_by_line(block)
        if values is None:
            for number, line in enumerate(split(block.text), block.line):
                yield from self._carefully(reader.feed(number, line))
            return
        is_clean = is_plain and not plain.needs_cleaning(block)
        batch: list[plain.Talk] = []
        lines: list[str] | None = None
        is_within, to_learn = False, LEARNT_LINES - block.line
        for place, value in enumerate(values):
            if value is not None and not is_within:
                found = self._plain(value)
                if found is not None and not is_clean:
                    found = plain.cleaned(found, self.notes)
                if found is not None:
                    batch.append(found)
                    if place < to_learn and isinstance(value, dict):
                        reader.learn(block.line + place, value)
                    continue
            if batch:
                yield batch
                batch = []
            lines = lines or split(block.text)
            yield from self._carefully(reader.feed(block.line + place, lines[place]))
            is_within = reader.is_within
        if batch:
            yield batch

    def _plain(self, value: dict | plain.Talk) -> plain.Talk | None:
        """Return what a record is if that is plain to see."""
        if isinstance(value, plain.Talk):
            return plain.in_order(value)
        keys = tuple(value)
        plan = self._plans.get(keys) or self._plan(keys)
        if plan.kind == PAIR:
            found = plain.pair(value[plan.first], value[plan.second])
        elif plan.kind == MESSAGES:
            found = plain.talk(value[plan.first])
        else:
            return None
        if found is not None and plan is not self._last_plan:
            self._last_plan = plan
            self.is_empty = False
            self.kind = self.kind or plan.kind
            if plan.is_ignoring:
                self.notes.add(COLUMNS_IGNORED)
        return found

    def _plan(self, keys: tuple[str, ...]) -> Plan:
        plan = NOT_PLAIN
        try:
            known = self._meaning(keys).shape
        except Mistake:
            known = None
        if (
            known
            and known.kind == PAIR
            and set(known.places) <= {"prompt", "answer", "conversation", "order"}
        ):
            first, second = (known.places[part] for part in ("prompt", "answer"))
            if isinstance(first, int) and isinstance(second, int):
                plan = Plan(PAIR, keys[first], keys[second], bool(known.ignored))
        elif known and known.kind == MESSAGES and set(known.places) == {"messages"}:
            place = known.places["messages"]
            if isinstance(place, int):
                plan = Plan(MESSAGES, keys[place], "", bool(known.ignored))
        if len(self._plans) < 1000:
            self._plans[keys] = plan
        return plan

    def _carefully(self, found: Iterable[objects.Found]) -> Iterator[Found]:
        for line, row, value in found:
            self.is_empty = False
            try:
                if isinstance(value, Mistake):
                    raise value
                try:
                    meaning, values = self.meant(value)
                except Mistake:
                    self.unknown = self.unknown or tuple(value)
                    raise
                self.kind = self.kind or meaning.shape.kind
                if meaning.shape.ignored:
                    self.notes.add(COLUMNS_IGNORED)
                yield meaning.example(values)
            except Mistake as mistake:
                yield problem(line, mistake, row)

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

    def records(self, meaning: Meaning) -> Iterator[talks.Record]:
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
