"""What checks ask of data and what they answer: rows side by side, labels, groups; a finding.

In: records of all live rows (rows.py). Out: what several checks want to know of them. Judges
nothing: findings.py does.
"""

from dataclasses import dataclass, field

import numpy as np

from training.datasets import personal
from training.datasets.check.patterns import Flag
from training.datasets.check.rows import Rows
from training.datasets.check.terms import plain_text

SHOWN, SHOWN_TOGETHER = 5, 4
"""Examples of a finding, and rows of one example where they belong together."""
SEED = 42
MANY = 20
"""Rows below which shares say nothing."""
TOLD = 60
"""Most code points of an answer that a report's sentence tells."""
LABELS, LABEL_LENGTH = 100, 30
"""Most different answers of a classification, and their length in code points."""


@dataclass
class Finding:
    """One thing that a check found. Row numbers count live rows from 0."""

    key: str
    level: str
    """bad, warn or info."""
    rows: np.ndarray
    """The rows concerned, rising."""
    cures: dict[str, np.ndarray] = field(default_factory=dict)
    """What can be done -> the rows that it takes out or writes anew, rising."""
    params: dict = field(default_factory=dict)
    """Numbers and words for wording.py, and what a rewriting cure must know."""
    groups: list[list[int]] = field(default_factory=list)
    """Rows that belong together, for showing; without any, each stands for itself."""

    def shown(self) -> list[list[int]]:
        """Return the first examples: lists of rows that belong together."""
        found = self.groups or [[int(row)] for row in self.rows[:SHOWN]]
        return [group[:SHOWN_TOGETHER] for group in found[:SHOWN]]


@dataclass(frozen=True)
class Label:
    """One label of a classification."""

    name: str
    """As it is written most often."""
    rows: np.ndarray
    odd: np.ndarray
    """Those of its rows that write it otherwise."""


class Data:
    """Records with what several checks ask of them."""

    def __init__(
        self, rows: Rows, *, minimum: int = 200, validation_share: float = 0.1,
        beside: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """`minimum` examples are needed to train; `validation_share` of them are held out; `beside`
        are the questions of the data that was split off, or that this was split off from."""
        self.rows = rows
        self.records = rows.records
        self.count = len(rows)
        self.minimum = minimum
        self.validation_share = validation_share
        self.beside = beside
        self.numbers = np.arange(self.count)
        self.first_line = firsts(self.records["line"])
        self.first_question = firsts(self.records["question"])
        self.labels = self._labels()
        """Where the data is a classification, the commonest first; else empty."""

    def flagged(self, flag: Flag) -> np.ndarray:
        return np.flatnonzero(self.records["flags"] & flag)

    def _labels(self) -> list[Label]:
        """Return the different answers where they are few, short and come again; spellings that
        differ in blanks, case or end signs are one label, and nothing but signs is none."""
        if self.count < MANY or np.percentile(self.records["answer_length"], 95) > LABEL_LENGTH:
            return []
        values, inverse = np.unique(self.records["answer"], return_inverse=True)
        if not 2 <= len(values) <= min(LABELS, self.count // 4):
            return []
        alike: dict[str, list[int]] = {}
        for number in range(len(values)):
            answer = self.rows.answer(int(np.argmax(inverse == number)))
            alike.setdefault("".join(plain_text(answer).split()), []).append(number)
        found = [
            self._label(np.flatnonzero(np.isin(inverse, numbers)))
            for text, numbers in alike.items()
            if text
        ]
        return sorted(found, key=lambda label: -len(label.rows))

    def _label(self, rows: np.ndarray) -> Label:
        spelled, first, counts = np.unique(
            self.records["spelled"][rows], return_index=True, return_counts=True
        )
        most = int(counts.argmax())
        odd = rows[self.records["spelled"][rows] != spelled[most]]
        return Label(self.rows.answer(int(rows[first[most]])), rows, odd)

    def beyond(self, rows: np.ndarray, share: float) -> np.ndarray:
        """Return those of some rows that must go for the others to be a share of all that are left."""
        return self.drawn(rows, int(np.ceil((len(rows) - share * self.count) / (1 - share))))

    def drawn(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Return `count` of some rows, drawn by chance but always the same ones, rising."""
        count = int(min(max(count, 0), len(rows)))
        return np.sort(np.random.default_rng(SEED).permutation(rows)[:count])


def firsts(values: np.ndarray) -> np.ndarray:
    """Return for each row the number of the first row with the same value."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return first[inverse]


def together(first: np.ndarray, rows: np.ndarray) -> list[list[int]]:
    """Return groups of the same first row among some rows, the largest ones first."""
    order = rows[np.argsort(first[rows], kind="stable")]
    _, starts = np.unique(first[order], return_index=True)
    sizes = np.diff(np.append(starts, len(order)))
    largest = np.argsort(-sizes, kind="stable")[:SHOWN]
    shown = np.minimum(sizes, SHOWN_TOGETHER)
    return [order[starts[i] : starts[i] + shown[i]].tolist() for i in largest]


def told(answer: str) -> str:
    """Return an answer as a sentence tells it: its beginning, without personal data."""
    return personal.masked(answer)[:TOLD]
