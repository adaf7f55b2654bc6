"""Conversations of several records: turns go in, Examples and Problems come out.

Records of one conversation need not stand together; those that do not are sorted on disk, so
that memory stays bounded. Knows no formats.
"""

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from training.chat import Example
from training.datasets.lines import LINE_LIMIT
from training.datasets.names import CONVERSATION
from training.datasets.shapes import Meaning, Mistake, Problem, conversation, problem

TURN_LIMIT = 10_000
"""Most turns of one conversation."""
SPOOL = "spool.sqlite3"
IDS_FILLED = "conversation_ids_filled"


class Turn(NamedTuple):
    """One record of a conversation: a message, or a question and its answer."""

    conversation: str
    line: int
    order: str
    said: tuple[tuple[str, str], ...]
    """Role and content of each message."""
    row: str = ""
    """The record as written, where it is a mistake."""
    mistake: Mistake | None = None

    @property
    def shown(self) -> str:
        contents = [part for message in self.said for part in message]
        return self.row or ", ".join([self.conversation, *contents])

    @property
    def size(self) -> int:
        return sum(len(content) for _, content in self.said)


Record = tuple[int, Sequence, Meaning | None, Mistake | None, Callable[[], str]]
"""Line, values, what they mean, what is wrong, and a way to show it."""


def turns(records: Iterable[Record], notes: set[str]) -> Iterator[Turn]:
    """Yield turn by turn; an empty conversation id is the one above (merged cells)."""
    current = ""
    for line, values, meaning, mistake, shown in records:
        try:
            if mistake or meaning is None:
                raise mistake or Mistake("keys_unknown", keys="")
            name = meaning.text("conversation", values).strip()
            if not name and current:
                notes.add(IDS_FILLED)
            current = name or current
            order = meaning.text("order", values).strip()
            yield Turn(current, line, order, tuple(_said(meaning, values)))
        except Mistake as error:
            yield Turn(_name(meaning, values) or current, line, "", (), shown(), error)


def _names(records: Iterable[Record]) -> Iterator[str]:
    """Yield the conversation of each turn that `turns` makes, and make none of them."""
    current = ""
    for _line, values, meaning, mistake, _shown in records:
        name = _name(meaning, values) or current
        if not mistake and meaning is not None:
            current = name
        yield name


def _name(meaning: Meaning | None, values: Sequence) -> str:
    try:
        return meaning.text("conversation", values).strip() if meaning else ""
    except (Mistake, IndexError):
        return ""


def _said(meaning: Meaning, values: Sequence) -> Iterator[tuple[str, str]]:
    """Raises: Mistake `content_not_text`, `letters_damaged`."""
    if meaning.shape.kind == CONVERSATION:
        yield meaning.text("role", values), meaning.text("content", values)
        return
    if (system := meaning.text("system", values)).strip():
        yield "system", system
    yield "user", meaning.prompt(values)
    yield "assistant", meaning.text("answer", values)


def examples(
    open_records: Callable[[], Iterator[Record]], folder: Path, notes: set[str]
) -> Iterator[Example | Problem]:
    """Yield the conversations in the order in which they begin. The records are read twice: whether
    a conversation's stand together is known only at the end."""
    names = itertools.groupby(_names(open_records()))
    is_scattered = _comes_back(name for name, _ in names)
    found = turns(open_records(), notes)
    yield from _sorted_talks(found, folder, notes) if is_scattered else _joined(found, notes)


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


def _sorted_talks(
    found: Iterable[Turn], folder: Path, notes: set[str]
) -> Iterator[Example | Problem]:
    """Sort the turns by conversation in a file beside the data."""
    path = folder / SPOOL
    path.unlink(missing_ok=True)
    spool = sqlite3.connect(path, isolation_level=None)
    try:
        spool.execute("PRAGMA journal_mode=OFF")
        spool.execute("PRAGMA synchronous=OFF")
        spool.execute("CREATE TABLE turns (id, line, turn)")
        spool.execute("BEGIN")
        spool.executemany("INSERT INTO turns VALUES (?, ?, ?)", map(_stored, found))
        spool.execute("CREATE TABLE talks AS SELECT id, min(line) first FROM turns GROUP BY id")
        spool.execute("CREATE UNIQUE INDEX by_id ON talks (id)")
        rows = spool.execute(
            "SELECT turns.* FROM turns CROSS JOIN talks USING (id) ORDER BY first, line, turns.rowid"
        )
        yield from _joined(map(_restored, rows), notes)
    finally:
        spool.close()
        path.unlink(missing_ok=True)


def _stored(turn: Turn) -> tuple:
    bad = [turn.mistake.code, turn.mistake.params] if turn.mistake else None
    kept = json.dumps([turn.order, turn.said, turn.row, bad])
    return turn.conversation.encode("utf-8", "surrogatepass"), turn.line, kept


def _restored(row: tuple) -> Turn:
    name, line, kept = row
    order, said, shown, bad = json.loads(kept)
    mistake = Mistake(bad[0], **bad[1]) if bad else None
    said = tuple((role, content) for role, content in said)
    return Turn(name.decode("utf-8", "surrogatepass"), line, order, said, shown, mistake)


def _joined(found: Iterable[Turn], notes: set[str]) -> Iterator[Example | Problem]:
    for _, group in itertools.groupby(found, key=lambda turn: turn.conversation):
        taken: list[Turn] = []
        size = 0
        for turn in group:
            size += turn.size
            if len(taken) <= TURN_LIMIT and size <= LINE_LIMIT:
                taken.append(turn)
        yield _talk(taken, len(taken) <= TURN_LIMIT and size <= LINE_LIMIT, notes)


def _talk(taken: list[Turn], is_whole: bool, notes: set[str]) -> Example | Problem:
    at = taken[0]
    owners: list[Turn] = []
    try:
        if not is_whole:
            raise Mistake("conversation_too_long", turns=TURN_LIMIT, limit_mb=LINE_LIMIT >> 20)
        for at in taken:
            if at.mistake:
                raise at.mistake
        taken = _ordered(taken)
        at = taken[0]
        said: list[tuple[object, object]] = []
        for turn in taken:  # the system prompt stands in every row of a conversation
            messages = (
                turn.said[1:]
                if said and turn.said[0][0] == "system" and len(turn.said) > 2
                else turn.said
            )
            said += messages
            owners += [turn] * len(messages)
        return conversation(said, notes)
    except Mistake as mistake:
        number = mistake.params.get("turn")
        at = owners[number - 1] if isinstance(number, int) and owners else at
        return problem(at.line, mistake, at.shown)


def _ordered(taken: list[Turn]) -> list[Turn]:
    """Sort turns by their number where they have one.

    Raises: Mistake `turn_number_wrong`.
    """
    if not any(turn.order for turn in taken):
        return taken
    numbers = []
    for at, turn in enumerate(taken):
        try:
            numbers.append((float(turn.order or "nan"), at))
        except ValueError:
            raise Mistake("turn_number_wrong", value=turn.order[:40]) from None
        if numbers[-1][0] != numbers[-1][0]:
            raise Mistake("turn_number_wrong", value=turn.order[:40])
    return [taken[at] for _, at in sorted(numbers)]
