"""Rows of text become rows of numbers: all that the checks need to know of each.

In: lines of JSON with `messages`. Out: one record of ROW a line, and a sketch of its letters
(near.py). Computed once per segment and kept beside it; an edit costs its own rows only. Knows
nothing of what is good or bad: findings.py judges.
"""

import re
import sys
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.datasets import personal
from training.datasets.check import patterns
from training.datasets.check.patterns import Flag
from training.datasets.check.terms import plain_text
from training.datasets.plain import TALKS, Talk

ROW = np.dtype(
    [
        ("line", "u8"),  # hash of the whole conversation, letter by letter
        ("question", "u8"),  # hash of all before the last answer; blanks, case and end signs aside
        ("answer", "u8"),  # hash of the last answer, likewise
        ("spelled", "u8"),  # hash of the last answer, letter by letter
        ("opening", "u8"),  # hash of how the last answer begins
        ("form", "u8"),  # hash of the marks around the first question, 0 without
        ("numbers", "u8"),  # hash of the numbers in all texts, 0 without any
        ("question_length", "u4"),  # code points of all before the last answer
        ("answer_length", "u4"),  # code points of the last answer
        ("turns", "u2"),  # answers
        ("flags", "u2"),
        ("personal", "u2"),  # bit by bit the kinds of personal.KINDS
        ("register", "u1"),  # of the answers: REGISTERS
        ("asked_in", "u1"),  # LANGUAGES of the question
        ("answered_in", "u1"),  # LANGUAGES of the answer
    ]
)
REGISTERS = ("none", "haeyo", "hapsyo", "plain")
LANGUAGES = ("none", "ko", "en", "zh", "ja", "other")
KEY = f"{hash('다듬')}-{sys.hash_info.algorithm}-2"
"""Records are comparable between processes whose key is the same: run with PYTHONHASHSEED=0. Its
last number rises when the meaning of a field or pattern changes."""
OPENING = 20
"""Most code points of an answer's opening."""
MARKS = re.compile(
    r"\s*(#{1,4} ?[^\n]{1,12}|\[[^\]\n]{1,12}\]|<[가-힣A-Za-z ]{1,12}>|[가-힣A-Za-z]{1,8} ?[:：])"
)
NUMBER = re.compile(r"[0-9]+")
END_MARK = re.compile(r"(?:^|\n)([^\n]{1,12}[:：])\s*$")
HANGUL, LATIN, HAN, KANA, OTHER, DIGIT = range(1, 7)


def _classes() -> np.ndarray:
    """Return what each code point of the first plane is: HANGUL … OTHER, DIGIT, or 0."""
    found = np.zeros(0x10000, np.uint8)
    for number in range(0x80, 0x10000):
        if chr(number).isalpha():
            found[number] = OTHER
    for first, last, kind in (
        (0x30, 0x39, DIGIT), (0x41, 0x5A, LATIN), (0x61, 0x7A, LATIN), (0xC0, 0x24F, LATIN),
        (0x1100, 0x11FF, HANGUL), (0x3130, 0x318F, HANGUL), (0xAC00, 0xD7A3, HANGUL),
        (0x3040, 0x30FF, KANA), (0x3400, 0x4DBF, HAN), (0x4E00, 0x9FFF, HAN), (0xF900, 0xFAFF, HAN),
    ):  # fmt: skip
        found[first : last + 1] = kind
    return found


CLASSES = _classes()


class Letters:
    """The code points of many texts, laid end to end."""

    def __init__(self, texts: list[str]) -> None:
        self.lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        joined = "".join(texts).encode("utf-32-le", "surrogatepass")
        self.points = np.frombuffer(joined, np.uint32)
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths
        self.classes = CLASSES[np.minimum(self.points, 0xFFFF)]

    def counts(self, kind: int) -> np.ndarray:
        """Return how many code points of a class each text holds."""
        return self.sums(self.classes == kind)

    def sums(self, marks: np.ndarray) -> np.ndarray:
        """Return how many of a text's code points are marked, text by text."""
        totals = np.concatenate([[0], np.cumsum(marks, dtype=np.int64)])
        return totals[self.ends] - totals[self.starts]


def languages(letters: Letters) -> np.ndarray:
    """Return what each text is written in, as a number of LANGUAGES."""
    hangul, latin, han, kana, other = (
        letters.counts(kind) for kind in (HANGUL, LATIN, HAN, KANA, OTHER)
    )
    total = hangul + latin + han + kana + other
    found = np.select(
        [
            total < 2,
            (kana > 0) & (kana + han > 0.3 * total),
            han > 0.5 * total,
            hangul >= 0.2 * total,
            latin > 0.5 * total,
        ],
        [0, 4, 3, 1, 2],
        5,
    )
    return found.astype(np.uint8)


def registers(answers: pa.Array) -> np.ndarray:
    """Return how each answer's sentences end for the most part, as a number of REGISTERS."""
    haeyo, hapsyo, plain = (
        pc.count_substring_regex(answers, pattern).to_numpy(zero_copy_only=False)
        for pattern in (patterns.HAEYO, patterns.HAPSYO, patterns.PLAIN)
    )
    said = np.stack([haeyo, hapsyo, np.maximum(plain - hapsyo, 0)])
    return np.where(said.max(0) > 0, said.argmax(0) + 1, 0).astype(np.uint8)


def opening(answer: str) -> str:
    """Return the first two words of an answer, as far as they are short."""
    return " ".join(answer[: 2 * OPENING].split(None, 2)[:2])[:OPENING]


def is_copy(question: str, answer: str) -> bool:
    """Say whether an answer is its question, with at most half as much of its own; one or two words
    are no copy. Both are plain texts."""
    return len(question) >= 8 and question in answer and 2 * len(answer) <= 3 * len(question)


def _form(question: str) -> int:
    begin, end = MARKS.match(question), END_MARK.search(question[-40:])
    if not begin and not end:
        return 0
    return hash((begin[1] if begin else "", end[1] if end else ""))


def _numbers(text: str) -> int:
    numbers = NUMBER.findall(text)
    return hash(tuple(numbers)) if numbers else 0


def _hashes(values: list, of: Callable = hash) -> np.ndarray:
    return np.fromiter(map(of, values), np.int64, len(values)).view(np.uint64)


class Block:
    """Some rows side by side: the columns that records are made of."""

    def __init__(self, talks: list[Talk]) -> None:
        said = [talk.messages for talk in talks]
        self.turns = [sum(one.role == "assistant" for one in messages) for messages in said]
        self.has_system = [messages[0].role == "system" for messages in said]
        self.answers = [messages[-1].content for messages in said]
        self.questions = [messages[-2].content for messages in said]
        self.firsts = [
            messages[1 if has_system else 0].content
            for messages, has_system in zip(said, self.has_system, strict=True)
        ]
        self.before = ["\n".join([one.content for one in messages[:-1]]) for messages in said]
        self.texts = [
            f"{before}\n{answer}" for before, answer in zip(self.before, self.answers, strict=True)
        ]

    def records(self) -> np.ndarray:
        """Return one ROW a conversation."""
        found = np.zeros(len(self.answers), ROW)
        plain_answers = [plain_text(answer) for answer in self.answers]
        found["line"] = _hashes(self.texts)
        found["question"] = _hashes(self.before, lambda text: hash(plain_text(text)))
        found["answer"] = _hashes(plain_answers)
        found["spelled"] = _hashes(self.answers)
        found["opening"] = _hashes(self.answers, lambda answer: hash(opening(answer)))
        found["form"] = _hashes(self.firsts, _form)
        found["numbers"] = _hashes(self.texts, _numbers)
        found["question_length"] = np.fromiter(map(len, self.before), np.int64)
        found["answer_length"] = np.fromiter(map(len, self.answers), np.int64)
        found["turns"] = np.minimum(self.turns, 0xFFFF)
        found["asked_in"] = languages(Letters(self.questions))
        found["answered_in"] = languages(Letters(self.answers))
        answers, texts = pa.array(self.answers), pa.array(self.texts)
        found["register"] = registers(answers)
        found["flags"] = self._flags(answers, texts, found["answered_in"], plain_answers)
        found["personal"] = self._personal(texts)
        return found

    def _flags(
        self, answers: pa.Array, texts: pa.Array, answered_in: np.ndarray, plain_answers: list[str]
    ) -> np.ndarray:
        found = np.zeros(len(self.answers), np.uint16)
        is_code = matches(texts, patterns.CODE)
        spaces = matches(pa.array(self.before), patterns.SPACES) | matches(answers, patterns.SPACES)
        spaces &= ~matches(texts, patterns.LAID_OUT)
        marks = matches(texts, patterns.CHAT_MARK) | matches(answers, patterns.ANSWER_MARK)
        foreign = matches(answers, patterns.FOREIGN) & (answered_in == LANGUAGES.index("ko"))
        for flag, holds in (
            (Flag.CONTROL, matches(texts, patterns.INVISIBLE)),
            (Flag.MOJIBAKE, matches(texts, patterns.MOJIBAKE)),
            (Flag.SPACES, spaces & ~is_code),
            (Flag.PLACEHOLDER, matches(texts, patterns.PLACEHOLDER) & ~is_code),
            (Flag.CHAT_MARK, marks),
            (Flag.HTML, matches(texts, patterns.HTML) & ~is_code),
            (Flag.REFUSAL, matches(answers, patterns.REFUSAL)),
            (Flag.COPY, self._copies(plain_answers)),
            (Flag.BROKEN, matches(answers, patterns.BROKEN)),
            (Flag.FOREIGN, foreign),
            (Flag.CODE, is_code),
            (Flag.SYSTEM, np.array(self.has_system)),
        ):
            found[holds] |= np.uint16(flag)
        return found

    def _copies(self, plain_answers: list[str]) -> np.ndarray:
        """Say which answers are the question again, whole and with little of their own."""
        pairs = zip(map(plain_text, self.questions), plain_answers, strict=True)
        return np.array([is_copy(question, answer) for question, answer in pairs])

    def _personal(self, texts: pa.Array) -> np.ndarray:
        found = np.zeros(len(texts), np.uint16)
        for index in np.flatnonzero(matches(texts, personal.HINT)):
            for match in personal.find(self.texts[index]):
                found[index] |= np.uint16(1 << personal.KINDS.index(match.kind))
        return found


def matches(texts: pa.Array, pattern: str) -> np.ndarray:
    """Say text by text whether a pattern of RE2 is found in it."""
    return pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)


def talks_of(lines: list[bytes]) -> list[Talk]:
    return TALKS.decode_lines(b"".join(lines))
