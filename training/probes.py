"""The questions that a training is watched by, and how the model's answers to them change.

Answers are a model's: text to be shown as text. Knows no browser.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, pairwise

from training.history import History
from training.models import JobEvent

MOST, LETTERS = 3, 500
"""How many questions a user may choose, and how long each may be."""
MOST_MOMENTS = 16
MOST_WORDS = 150
"""Of longer answers what changed is not looked for."""
HEAD_LETTERS = 320
"""What is seen of an answer before it is unfolded."""
WORD = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class Piece:
    text: str
    is_new: bool = False
    """Whether the answer before did not have it there."""


@dataclass(frozen=True)
class Said:
    """A text as it is shown."""

    head: list[Piece]
    rest: list[Piece]
    """What is folded away; empty for short answers."""

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.head + self.rest)


@dataclass(frozen=True)
class Moment:
    """One time at which all questions were answered."""

    pk: int
    step: int
    epoch: float
    answers: list[Said]


@dataclass(frozen=True)
class Question:
    place: str
    """1, 2 or 3."""
    asked: Said
    expected: Said
    """Empty where nobody knows."""
    answers: list[tuple[Moment, Said]]
    """The newest first."""


@dataclass(frozen=True)
class Watch:
    """What a job's page shows of its questions."""

    questions: list[Question]
    moments: list[Moment]
    """The oldest first."""
    newest: int
    """Id of the latest event that it is made of; 0 where there is none."""

    @property
    def last(self) -> int:
        """The place of the last moment."""
        return len(self.moments) - 1


def cleaned(texts: Iterable[str]) -> list[str]:
    """Return the questions without blanks and empty ones."""
    return [text.strip()[:LETTERS] for text in texts if text.strip()][:MOST]


def newest(history: History) -> int:
    """Return the id of the latest event that a watch is made of."""
    said = [history.told(kind).last() for kind in ("probes", "probe")]
    return max((event.pk for event in said if event), default=0)


def watch(history: History) -> Watch:
    """Return the questions with their answers, at MOST_MOMENTS times or a few more."""
    asked = history.told("probes").last()
    data = asked.data if asked else {"questions": history.job.probes}
    texts = [str(text) for text in data.get("questions", [])]
    expected = [str(text or "") for text in data.get("expected", [])]
    expected += [""] * (len(texts) - len(expected))
    moments = _moments(history, len(texts))
    questions = [
        Question(
            str(place + 1),
            _said(text),
            _said(known),
            [(one, one.answers[place]) for one in reversed(moments)],
        )
        for place, (text, known) in enumerate(zip(texts, expected, strict=False))
    ]
    latest = [moment.pk for moment in moments[-1:]] + [asked.pk if asked else 0]
    return Watch(questions, moments, max(latest))


def _moments(history: History, questions: int) -> list[Moment]:
    latest = dict(history.told("probe").values_list("step", "pk"))  # the last at each step
    picked = _spread([latest[step] for step in sorted(latest)])
    events = [event for _pk, event in sorted(JobEvent.objects.in_bulk(picked).items())]
    texts = [_answers(event, questions) for event in events]
    compared = [[_said(text) for text in said] for said in texts[:1]]
    compared += [
        [_said(text, before) for before, text in zip(*pair, strict=True)]
        for pair in pairwise(texts)
    ]
    return [
        Moment(event.pk, event.step, history.epoch(event), answers)
        for event, answers in zip(events, compared, strict=True)
    ]


def _answers(event: JobEvent, questions: int) -> list[str]:
    said = [str(text) for text in event.data.get("answers", [])][:questions]
    return said + [""] * (questions - len(said))


def _spread(pks: list[int]) -> list[int]:
    """Return every second, fourth, eighth… of many, and the last: as a run grows most of them stay."""
    stride = 1
    while len(pks) / stride > MOST_MOMENTS:
        stride *= 2
    return pks if stride == 1 else [*pks[:-1:stride], pks[-1]]


def _said(text: str, before: str | None = None) -> Said:
    pieces = [Piece(text)] if before is None else changes(before, text)
    return _folded(pieces)


def changes(before: str, text: str) -> list[Piece]:
    """Return a text in pieces, each new or as it was before, word by word."""
    old, new = WORD.findall(before), WORD.findall(text)
    if max(len(old), len(new)) > MOST_WORDS:
        return [Piece(text)]
    same = [False] * len(new)
    words = [[word.strip() for word in found] for found in (old, new)]
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=False)
    for block in matcher.get_matching_blocks():
        same[block.b : block.b + block.size] = [True] * block.size
    parts = groupby(zip(new, same, strict=True), key=lambda part: part[1])
    return [Piece("".join(word for word, _ in run), not is_same) for is_same, run in parts]


def _folded(pieces: list[Piece]) -> Said:
    """Part pieces where the head is full; an answer that is hardly longer is not folded."""
    if sum(len(piece.text) for piece in pieces) <= HEAD_LETTERS * 1.25:
        return Said(pieces, [])
    head: list[Piece] = []
    room = HEAD_LETTERS
    for place, piece in enumerate(pieces):
        if len(piece.text) > room:
            end = _end_of_word(piece.text, room)
            rest = Piece(piece.text[end:], piece.is_new)
            return Said(
                [*head, Piece(piece.text[:end], piece.is_new)], [rest, *pieces[place + 1 :]]
            )
        head.append(piece)
        room -= len(piece.text)
    return Said(head, [])


def _end_of_word(text: str, room: int) -> int:
    """Return where to part a text: behind a blank, if there is one."""
    return text.rfind(" ", 0, room) + 1 or room
