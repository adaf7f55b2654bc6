"""Examples → token arrays → packed micro-batches. T: tokens of a pack, L: its labels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from training.chat import IGNORED, Renderer
from training.datasets import store
from training.errors import UserError

CHUNK = 1000


@dataclass
class Corpus:
    """All examples in tokens, flat: example i is ids[starts[i]:starts[i + 1]]."""

    ids: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    lost: int = 0
    """Examples left out: cutting left them no answer token, or they were to be dropped."""
    cut: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def length(self, index: int) -> int:
        return int(self.starts[index + 1] - self.starts[index])


def read(folder: Path, renderer: Renderer, max_length: int, overflow: str = "cut") -> Corpus:
    """Tokenise every example of a data folder; longer than `max_length` tokens is cut, or dropped.

    Raises: UserError `example_too_long` where `overflow` is "fail".
    """
    ids, labels, lengths = [], [], []
    lost = cut = 0
    examples = store.iterate(folder)
    while chunk := list(islice(examples, CHUNK)):
        for encoded in renderer.encode_many(chunk):
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
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    empty = np.zeros(0, dtype=np.int32)
    return Corpus(
        np.concatenate(ids or [empty]), np.concatenate(labels or [empty]), starts, lost, cut
    )


def split(count: int, validation: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices for training and for validation, drawn once per seed."""
    order = np.random.default_rng(seed).permutation(count)
    validation = min(validation, count // 2)
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
    segments: list[tuple[int, int]]
    """Where each example begins and ends in T; attention does not cross."""
    label_positions_L: torch.Tensor
    """Positions in T whose next token is trained."""
    labels_L: torch.Tensor

    @property
    def tokens(self) -> int:
        return self.ids_1T.shape[1]


def packs(corpus: Corpus, indices: np.ndarray, budget: int) -> Iterator[Pack]:
    """Put examples into as few packs as fit the budget, long ones first."""
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
        yield pack(corpus, group)


def pack(corpus: Corpus, group: list[int]) -> Pack:
    bounds = [(int(corpus.starts[i]), int(corpus.starts[i + 1])) for i in group]
    ids = np.concatenate([corpus.ids[start:end] for start, end in bounds])
    positions = np.concatenate([np.arange(end - start) for start, end in bounds])
    # what position t must tell is the label of t + 1 in the same example
    following = np.concatenate(
        [np.append(corpus.labels[start + 1 : end], IGNORED) for start, end in bounds]
    )
    ends = np.cumsum([end - start for start, end in bounds])
    (where,) = np.nonzero(following != IGNORED)
    return Pack(
        ids_1T=torch.from_numpy(ids.astype(np.int64))[None],
        positions_1T=torch.from_numpy(positions.astype(np.int64))[None],
        segments=[(int(end - (b - a)), int(end)) for end, (a, b) in zip(ends, bounds, strict=True)],
        label_positions_L=torch.from_numpy(where),
        labels_L=torch.from_numpy(following[where].astype(np.int64)),
    )


def label_count(corpus: Corpus, indices: np.ndarray) -> int:
    """Count the trained tokens of some examples."""
    return sum(
        int((corpus.labels[corpus.starts[i] + 1 : corpus.starts[i + 1]] != IGNORED).sum())
        for i in indices
    )
