"""Which examples of a row begin alike, so that what they have in common is computed once.

Instructions and system prompts are the same in many examples. In causal attention their tokens see
nothing of what follows, so one copy gives every example exactly what its own would.
"""

import itertools
from typing import Protocol

import numpy as np

from training.chat import IGNORED

WORTH = 8
"""Tokens in common below which it is not worth the bother."""
MANY = 256
"""Examples of a row up to which the best split is looked for."""


class Tokens(Protocol):
    ids: np.ndarray
    labels: np.ndarray
    starts: np.ndarray


def families(corpus: Tokens, group: list[int]) -> list[tuple[int, list[int]]]:
    """Split examples into families, each with the number of tokens that its members begin with in
    common, so that the tokens to compute are as few as can be."""
    if not 1 < len(group) <= MANY:
        return [(0, [index]) for index in group]
    ordered = sorted(group, key=lambda index: _ids(corpus, index).astype(">i4").tobytes())
    common = [_common(corpus, a, b) for a, b in itertools.pairwise(ordered)]
    return [
        (shared, ordered[start:end]) if shared else (0, ordered[start:end])
        for start, end, shared in _best_split(common)
    ]


def _ids(corpus: Tokens, index: int) -> np.ndarray:
    return corpus.ids[corpus.starts[index] : corpus.starts[index + 1]]


def _common(corpus: Tokens, one: int, other: int) -> int:
    """Return how many tokens two examples begin with in common, before either's first answer: the
    last of a prompt tells what comes next, which is each one's own."""
    a, b = _ids(corpus, one), _ids(corpus, other)
    length = min(_prompt(corpus, one), _prompt(corpus, other))
    (differing,) = np.nonzero(a[:length] != b[:length])
    return int(differing[0]) if len(differing) else length


def _prompt(corpus: Tokens, index: int) -> int:
    labels = corpus.labels[corpus.starts[index] : corpus.starts[index + 1]]
    return max(0, int(np.argmax(labels != IGNORED)) - 1)


def _best_split(common: list[int]) -> list[tuple[int, int, int]]:
    """Return (start, end, shared) of the neighbours to put together, by what it saves in all."""
    count = len(common) + 1
    saved = [0] * (count + 1)
    begun = [0] * (count + 1)
    shares = [0] * (count + 1)
    for end in range(1, count + 1):
        saved[end], begun[end], shares[end] = saved[end - 1], end - 1, 0
        shared = None
        for start in range(end - 2, -1, -1):
            shared = common[start] if shared is None else min(shared, common[start])
            if shared < WORTH:
                break
            gain = saved[start] + shared * (end - start - 1)
            if gain > saved[end]:
                saved[end], begun[end], shares[end] = gain, start, shared
    found, end = [], count
    while end:
        found.append((begun[end], end, shares[end]))
        end = begun[end]
    return found[::-1]
