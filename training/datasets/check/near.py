"""Rows that say almost the same: MinHash over letters, bands, then the likeness itself.

In: texts, or the sketches made of them. Out: pairs of rows whose sets of three-letter pieces have
a Jaccard similarity of LIKENESS or more (Broder 1997; Leskovec, Rajaraman, Ullman: Mining of
Massive Datasets, chapter 3). Pieces that many rows share, an instruction say, tell nothing and are
left out, unless hardly any others are there. Knows no rows of the database.
"""

from collections.abc import Callable, Iterable

import numpy as np

from training.datasets.check.features import Letters

LIKENESS = 0.8
"""Jaccard similarity from which on two rows are near duplicates."""
SKETCH, BANDS = 32, 8
"""Minima a row, and the groups of four of which one must agree for two rows to be compared: at a
similarity of 0.8, 98 of 100 are, at 0.75 95, at 0.3 6."""
GUESS = 0.5
"""Share of agreeing minima below which a pair is not looked at."""
COMPARED_PAIRS = 200_000
"""Most pairs whose letters are compared; of more, the sketches alone decide."""
SURE_GUESS = 0.85
PIECE = 3
FEW_PIECES = 8
"""Pieces without which a row is too short to be like another one."""
COMMON_SHARE, COMMON_ROWS = 0.2, 4000
"""Share of rows that must hold a piece for it to tell nothing; rows that are asked."""
TABLE_BITS = 20
CROWD = 1000
"""Rows of one band from which on each is compared with the first one only."""

LOWER = np.array(
    [ord(low) if len(low := chr(n).lower()) == 1 else n for n in range(0x10000)], np.uint32
)
MULTIPLIERS = (np.random.default_rng(20261).integers(1, 2**32, SKETCH, np.uint32)) | 1
MASKS = np.random.default_rng(20262).integers(0, 2**32, SKETCH, np.uint32)


class Pieces:
    """Hashes of the three-letter pieces of many texts, laid end to end."""

    def __init__(self, texts: list[str]) -> None:
        letters = Letters(texts)
        kept = letters.classes > 0
        lengths = letters.sums(kept)
        points = letters.points[kept]
        points = np.where(points < 0x10000, LOWER[np.minimum(points, 0xFFFF)], points)
        self.hashes = _mixed(points.astype(np.uint32))
        self.rows = np.repeat(np.arange(len(texts)), lengths)
        ends = np.cumsum(lengths)
        is_whole = np.ones(len(points), bool)
        for back in range(1, PIECE):
            is_whole[ends[lengths >= back] - back] = False
        self._keep(is_whole)
        self.count = len(texts)

    def _keep(self, marks: np.ndarray) -> None:
        self.hashes, self.rows = self.hashes[marks], self.rows[marks]

    def counts(self) -> np.ndarray:
        return np.bincount(self.rows, minlength=self.count)

    def without(self, common: np.ndarray) -> "Pieces":
        """Leave out common pieces where enough others are there."""
        is_rare = ~common[self.hashes >> np.uint32(32 - TABLE_BITS)]
        rare = np.bincount(self.rows[is_rare], minlength=self.count)
        self._keep(is_rare | (rare < FEW_PIECES)[self.rows])
        return self


def _mixed(points: np.ndarray) -> np.ndarray:
    """Return one hash a point, of it and the two behind it."""
    if len(points) < PIECE:
        return np.zeros(len(points), np.uint32)
    found = points * np.uint32(0x9E3779B1)
    found[:-1] += points[1:] * np.uint32(0x85EBCA77)
    found[:-2] += points[2:] * np.uint32(0xC2B2AE3D)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        found ^= found >> np.uint32(shift)
        found *= np.uint32(factor)
    return found ^ (found >> np.uint32(15))


def common_pieces(texts: list[str]) -> np.ndarray:
    """Return a table over the upper bits of hashes: which of them too many texts hold."""
    pieces = Pieces(texts)
    places = (pieces.hashes >> np.uint32(32 - TABLE_BITS)).astype(np.int64)
    seen = np.unique(pieces.rows * (1 << TABLE_BITS) + places)
    counts = np.bincount(seen & ((1 << TABLE_BITS) - 1), minlength=1 << TABLE_BITS)
    return counts > max(COMMON_SHARE * len(texts), 5)


def sketches(texts: list[str], common: np.ndarray) -> np.ndarray:
    """Return SKETCH minima a text, shape (texts, SKETCH), uint16; all 0 for one that is too short."""
    pieces = Pieces(texts).without(common)
    counts = pieces.counts()
    found = np.zeros((len(texts), SKETCH), np.uint16)
    filled = counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    if len(starts):
        for column in range(SKETCH):
            minima = np.minimum.reduceat(_permuted(pieces.hashes, column), starts)
            found[filled, column] = minima & np.uint32(0xFFFF)
    found[counts < FEW_PIECES] = 0
    return found


def _permuted(hashes: np.ndarray, number: int) -> np.ndarray:
    found = (hashes ^ MASKS[number]) * MULTIPLIERS[number]
    found ^= found >> np.uint32(16)
    found *= np.uint32(0x45D9F3B)
    return found


def candidates(found: np.ndarray) -> np.ndarray:
    """Return pairs (earlier, later) of rows that may be alike, shape (pairs, 2), by their sketches."""
    usable = np.flatnonzero(found.any(1))
    pairs = [np.zeros((0, 2), np.int64)]
    for band in np.ascontiguousarray(found[usable]).view(np.uint64).T:
        pairs.append(_likely(found, usable[_same_key(band)]))
    merged = np.concatenate(pairs)
    return np.unique(merged, axis=0) if len(merged) else merged


def _same_key(keys: np.ndarray) -> np.ndarray:
    """Return pairs (first, other) and (neighbour, other) of places with the same key."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    is_same = np.concatenate([[False], ranked[1:] == ranked[:-1]])
    first = np.maximum.accumulate(np.where(is_same, 0, np.arange(len(keys))))
    later = np.flatnonzero(is_same)
    sizes = np.bincount(first, minlength=len(keys))
    beside = later[(first[later] != later - 1) & (sizes[first[later]] <= CROWD)]
    return np.concatenate(
        [
            np.stack([order[first[later]], order[later]], 1),
            np.stack([order[beside - 1], order[beside]], 1),
        ]
    )


def _likely(found: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    guesses = guessed(found, pairs)
    return pairs[guesses >= GUESS]


def guessed(found: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the share of minima in which the rows of each pair agree."""
    parts = np.array_split(pairs, max(1, len(pairs) // 100_000))
    return np.concatenate([(found[p[:, 0]] == found[p[:, 1]]).mean(1) for p in parts])


def alike(
    found: np.ndarray, numbers: np.ndarray, common: np.ndarray,
    texts_of: Callable[[list[int]], Iterable[str]],
) -> np.ndarray:  # fmt: skip
    """Return the pairs (earlier, later) of rows that are near duplicates, rising by the later one.
    Rows with other `numbers` are none, however like they are: a date or a sum makes the difference.

    `texts_of` gives the texts of rows whose numbers rise.
    """
    pairs = candidates(found)
    pairs = pairs[numbers[pairs[:, 0]] == numbers[pairs[:, 1]]]
    guesses = guessed(found, pairs)
    by_guess = np.argsort(-guesses, kind="stable")
    looked_at, rest = pairs[by_guess[:COMPARED_PAIRS]], by_guess[COMPARED_PAIRS:]
    sure = pairs[rest[guesses[rest] >= SURE_GUESS]]
    rows = np.unique(looked_at)
    known = dict(zip(rows.tolist(), _piece_sets(texts_of(rows.tolist()), common), strict=True))
    is_alike = [likeness(known[a], known[b]) >= LIKENESS for a, b in looked_at.tolist()]
    kept = np.concatenate([looked_at[np.array(is_alike, bool)], sure])
    return kept[np.lexsort((kept[:, 0], kept[:, 1]))]


def _piece_sets(texts: Iterable[str], common: np.ndarray) -> Iterable[frozenset[int]]:
    waiting: list[str] = []
    for text in texts:
        waiting.append(text)
        if len(waiting) == 1000:
            yield from _sets(waiting, common)
            waiting = []
    yield from _sets(waiting, common)


def _sets(texts: list[str], common: np.ndarray) -> Iterable[frozenset[int]]:
    if not texts:
        return
    pieces = Pieces(texts).without(common)
    ends = np.cumsum(pieces.counts())
    for found in np.split(pieces.hashes, ends[:-1]):
        yield frozenset(found.tolist())


def likeness(one: frozenset[int], other: frozenset[int]) -> float:
    """Return the Jaccard similarity of two sets, 0 for two empty ones."""
    together = len(one & other)
    return together / max(1, len(one) + len(other) - together)


def later_twins(pairs: np.ndarray) -> dict[int, int]:
    """Return the rows that go when of rows alike the first one stays: row -> the one like it that
    stays. `pairs` rise by their later row."""
    twins: dict[int, int] = {}
    for earlier, later in pairs.tolist():
        if later not in twins and earlier not in twins:
            twins[later] = earlier
    return twins
