"""Examples → token arrays → packed micro-batches. T: tokens of a pack, L: its labels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from training.chat import IGNORED, Example, Renderer
from training.datasets import store
from training.errors import UserError
from training.lm.fast.attention import Span
from training.trainer import sharing

CHUNK = 1000


@dataclass
class Corpus:
    """All examples in tokens, flat: example i is ids[starts[i]:starts[i + 1]]."""

    ids: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    """Which row of the data each example is."""
    lost: int = 0
    """Examples left out: cutting left them no answer token, or they were to be dropped."""
    cut: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def length(self, index: int) -> int:
        return int(self.starts[index + 1] - self.starts[index])


def read(
    folder: Path, renderer: Renderer, max_length: int, overflow: str = "cut", most: int = 0
) -> Corpus:
    """Tokenise every example of a data folder, or `most` of them from all over it; longer than
    `max_length` tokens is cut, or dropped.

    Raises: UserError `example_too_long` where `overflow` is "fail".
    """
    ids, labels, lengths, rows = [], [], [], []
    lost = cut = 0
    examples = _numbered(folder, most)
    while chunk := list(islice(examples, CHUNK)):
        places, texts = zip(*chunk, strict=True)
        for row, encoded in zip(places, renderer.encode_many(texts), strict=True):
            if len(encoded.ids) > max_length:
                if overflow == "fail":
                    raise UserError("example_too_long", max_length=max_length)
                if overflow == "drop":
                    lost += 1
                    continue
                cut += 1
                encoded = encoded.cut(max_length)
            if encoded.first_label is None:
                lost += 1
                continue
            ids.append(np.asarray(encoded.ids, dtype=np.int32))
            labels.append(np.asarray(encoded.labels, dtype=np.int32))
            lengths.append(len(encoded.ids))
            rows.append(row)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    empty = np.zeros(0, dtype=np.int32)
    return Corpus(
        np.concatenate(ids or [empty]), np.concatenate(labels or [empty]), starts, np.asarray(rows),
        lost, cut,
    )  # fmt: skip


def _numbered(folder: Path, most: int) -> Iterator[tuple[int, Example]]:
    """Yield examples with their rows: all, or `most` at even distances."""
    total = len(store.view(folder)) if most else 0
    wanted = {place * total // most for place in range(most)} if total > most else None
    for row, example in enumerate(store.iterate(folder)):
        if wanted is None or row in wanted:
            yield row, example


def split(examples: int, validation: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices for training and for validation, drawn once per seed."""
    order = np.random.default_rng(seed).permutation(examples)
    validation = min(validation, examples // 2)
    return np.sort(order[validation:]), np.sort(order[:validation])


class Plan:
    """Which examples each optimiser step sees; the same for the same seed, so a run can go on."""

    def __init__(self, indices: np.ndarray, epochs: int, batch_size: int, seed: int) -> None:
        self.indices, self.batch_size, self.seed = indices, batch_size, seed
        self.steps_per_epoch = math.ceil(len(indices) / batch_size)
        self.total_steps = epochs * self.steps_per_epoch
        self._epoch, self._order = -1, indices

    def step(self, number: int) -> np.ndarray:
        """Return the example indices of step `number`, counted from 0."""
        epoch, place = divmod(number, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = np.random.default_rng([self.seed, epoch])
            self._epoch, self._order = epoch, generator.permutation(self.indices)
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]


@dataclass
class Pack:
    """Several examples end to end in one row, without padding."""

    ids_1T: torch.Tensor
    positions_1T: torch.Tensor
    """Begin at 0 for each example."""
    spans: list[Span]
    """Where each example lies in T, and where the tokens that it shares with others; attention
    crosses to nothing else."""
    label_positions_L: torch.Tensor
    """Positions in T whose next token is trained."""
    labels_L: torch.Tensor
    tokens: int
    """Of all examples, those that they share counted for each."""


def packs(corpus: Corpus, indices: np.ndarray, budget: int, shares: bool = False) -> Iterator[Pack]:
    """Put examples into as few packs of `budget` tokens as they need, long ones first; one that is
    longer has a pack of its own. With `shares`, beginnings that examples have in common stand once."""
    groups: list[tuple[int, list[int]]] = []
    for index in sorted(indices, key=corpus.length, reverse=True):
        length = corpus.length(index)
        for place, (used, group) in enumerate(groups):
            if used + length <= budget:
                group.append(index)
                groups[place] = (used + length, group)
                break
        else:
            groups.append((length, [index]))
    for _, group in groups:
        yield pack(corpus, group, shares)


def pack(corpus: Corpus, group: list[int], shares: bool) -> Pack:
    families = sharing.families(corpus, group) if shares else [(0, [index]) for index in group]
    row = _Row(corpus)
    for shared, members in families:
        row.add(shared, members)
    return row.pack()


class _Row:
    """A pack in the making."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.ids: list[np.ndarray] = []
        self.positions: list[np.ndarray] = []
        self.following: list[np.ndarray] = []
        """What each position must tell: the label of the next one in the same example."""
        self.spans: list[Span] = []
        self.length = self.tokens = 0

    def add(self, shared: int, members: list[int]) -> None:
        """Add examples whose first `shared` tokens are the same and have no label after them."""
        start = self.length
        if shared:
            self._put(members[0], 0, shared, Span(start, start + shared))
        for index in members:
            own = self.length, self.length + self.corpus.length(index) - shared
            self._put(index, shared, None, Span(*own, start, start + shared))
            self.tokens += self.corpus.length(index)

    def _put(self, index: int, begin: int, end: int | None, span: Span) -> None:
        bounds = slice(int(self.corpus.starts[index]), int(self.corpus.starts[index + 1]))
        ids, labels = self.corpus.ids[bounds], self.corpus.labels[bounds]
        self.ids.append(ids[begin:end])
        self.positions.append(np.arange(len(ids))[begin:end])
        self.following.append(np.append(labels[1:], IGNORED)[begin:end])
        self.spans.append(span)
        self.length = span.end

    def pack(self) -> Pack:
        following = np.concatenate(self.following)
        (where,) = np.nonzero(following != IGNORED)
        return Pack(
            ids_1T=torch.from_numpy(np.concatenate(self.ids).astype(np.int64))[None],
            positions_1T=torch.from_numpy(np.concatenate(self.positions).astype(np.int64))[None],
            spans=self.spans,
            label_positions_L=torch.from_numpy(where),
            labels_L=torch.from_numpy(following[where].astype(np.int64)),
            tokens=self.tokens,
        )


def label_count(corpus: Corpus, indices: np.ndarray) -> int:
    """Count the trained tokens of some examples."""
    return sum(
        int((corpus.labels[corpus.starts[i] + 1 : corpus.starts[i + 1]] != IGNORED).sum())
        for i in indices
    )
