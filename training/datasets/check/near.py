"""Rows that say almost the same: MinHash over letters, bands, then the likeness itself.

In: texts, or the sketches made of them. Out: pairs of rows whose sets of three-letter pieces have
a Jaccard similarity of LIKENESS or more (Broder 1997; Leskovec, Rajaraman, Ullman: Mining of
Massive Datasets, chapter 3). Pieces that many rows share, an instruction say, tell nothing and are
left out, unless hardly any others are there. Knows no rows of the database.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from training.datasets.batches import batches
from training.datasets.check.features import Letters

LIKENESS = 0.8
"""Jaccard similarity from which on two rows are near duplicates."""
SKETCH, BANDS = 32, 8
"""Minima a row, and the groups of four of which one must agree for two rows to be compared: at a
similarity of 0.8, 98 of 100 are, at 0.75 95, at 0.3 6."""
GUESS = 0.5
"""Share of agreeing minima below which a pair is not looked at."""
CHANGED_PIECES = 30
"""Most pieces in which near duplicates differ: a few words, however long the rest is. Two questions
about one long text differ in more."""
ANSWERS_LIKENESS = 0.5
"""Jaccard similarity of the answers of near duplicates: the same text with another answer (another
label, the way back of a translation) teaches something else."""
COMPARED_PAIRS, COMPARED_LETTERS = 200_000, 400_000_000
"""Most pairs, and letters in them, that are compared; of more, the sketches alone decide."""
CHUNK_ROWS, CHUNK_LETTERS = 1000, 2_000_000
"""Most texts, and letters in them, that lie in memory as pieces."""
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


def common_pieces(texts: Iterable[str]) -> np.ndarray:
    """Return a table over the upper bits of hashes: which of them too many texts hold."""
    counts = np.zeros(1 << TABLE_BITS, np.int64)
    total = 0
    for some in batches(texts, len, most=CHUNK_ROWS, most_size=CHUNK_LETTERS):
        pieces = Pieces(some)
        places = (pieces.hashes >> np.uint32(32 - TABLE_BITS)).astype(np.int64)
        seen = np.unique(pieces.rows * (1 << TABLE_BITS) + places)
        counts += np.bincount(seen & ((1 << TABLE_BITS) - 1), minlength=1 << TABLE_BITS)
        total += len(some)
    return counts > max(COMMON_SHARE * total, 5)


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


def candidates(found: np.ndarray, numbers: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return pairs (earlier, later) of the rows asked for that may be alike by their sketches and
    hold the same numbers, shape (pairs, 2). Numbers are part of the key: among a thousand rows of one
    form each is compared with those that have its own."""
    usable = asked[found[asked].any(1)]
    known = np.zeros(0, np.int64)
    width = SKETCH // BANDS
    for start in range(0, SKETCH, width):
        keys = np.ascontiguousarray(found[usable, start : start + width]).view(np.uint64)
        pairs = usable[_same_key(keys[:, 0] ^ numbers[usable])]
        pairs = pairs[numbers[pairs[:, 0]] == numbers[pairs[:, 1]]]
        pairs = pairs[guessed(found, pairs) >= GUESS]
        known = np.union1d(known, pairs[:, 0] * len(found) + pairs[:, 1])
    return np.stack(np.divmod(known, len(found)), 1)


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


def guessed(found: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the share of minima in which the rows of each pair agree."""
    parts = np.array_split(pairs, max(1, len(pairs) // 100_000))
    return np.concatenate([(found[p[:, 0]] == found[p[:, 1]]).mean(1) for p in parts])


def alike(
    found: np.ndarray, numbers: np.ndarray, asked: np.ndarray, lengths: np.ndarray,
    common: np.ndarray, texts_of: Callable[[list[int]], Iterable[str]],
) -> np.ndarray:  # fmt: skip
    """Return the pairs (earlier, later) of the rows asked for that are near duplicates, rising by
    the later one. Rows with other `numbers` are none, however like they are: a date or a sum makes
    the difference.

    `lengths` are those of the texts in code points; `texts_of` gives the texts of rows whose numbers
    rise.
    """
    pairs = candidates(found, numbers, asked)
    guesses = guessed(found, pairs)
    by_guess = np.argsort(-guesses, kind="stable")
    letters = np.cumsum(lengths[pairs[by_guess]].sum(1, dtype=np.int64))
    compared = min(COMPARED_PAIRS, int(np.searchsorted(letters, COMPARED_LETTERS, "right")))
    looked_at, rest = pairs[by_guess[:compared]], by_guess[compared:]
    guess = guesses[rest]
    changed = (1 - guess) / (1 + guess) * lengths[pairs[rest]].sum(1, dtype=np.int64)
    sure = pairs[rest[(guess >= SURE_GUESS) & (changed <= CHANGED_PIECES)]]
    rows = np.unique(looked_at).tolist()
    known = dict(zip(rows, piece_sets(texts_of(rows), common), strict=True))
    is_alike = [_is_alike(known[a], known[b]) for a, b in looked_at.tolist()]
    kept = np.concatenate([looked_at[np.array(is_alike, bool)], sure])
    return kept[np.lexsort((kept[:, 0], kept[:, 1]))]


def _is_alike(one: np.ndarray, other: np.ndarray) -> bool:
    share = likeness(one, other)
    changed = (1 - share) / (1 + share) * (len(one) + len(other))
    return share >= LIKENESS and changed <= CHANGED_PIECES


def with_like_answers(
    pairs: np.ndarray, answers: np.ndarray, answers_of: Callable[[list[int]], Iterable[str]]
) -> np.ndarray:
    """Return the pairs of rows whose answers are the same by their hashes, or alike; of very many
    that are not the same, only the first ones are looked at.

    `answers_of` gives the answers of rows whose numbers rise.
    """
    is_kept = answers[pairs[:, 0]] == answers[pairs[:, 1]]
    others = np.flatnonzero(~is_kept)[:COMPARED_PAIRS]
    rows = np.unique(pairs[others]).tolist()
    nothing = np.zeros(1 << TABLE_BITS, bool)
    known = dict(zip(rows, piece_sets(answers_of(rows), nothing), strict=True))
    is_kept[others] = [
        likeness(known[a], known[b]) >= ANSWERS_LIKENESS for a, b in pairs[others].tolist()
    ]
    return pairs[is_kept]


def piece_sets(texts: Iterable[str], common: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the different pieces of each text, rising."""
    for some in batches(texts, len, most=CHUNK_ROWS, most_size=CHUNK_LETTERS):
        yield from _sets(some, common)


def _sets(texts: list[str], common: np.ndarray) -> Iterator[np.ndarray]:
    pieces = Pieces(texts).without(common)
    ends = np.cumsum(pieces.counts())
    for found in np.split(pieces.hashes, ends[:-1]):
        yield np.unique(found)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Jaccard similarity of two sets, 0 for two empty ones."""
    together = len(np.intersect1d(one, other, assume_unique=True))
    return together / max(1, len(one) + len(other) - together)


def later_twins(pairs: np.ndarray) -> dict[int, int]:
    """Return the rows that go when of rows alike the first one stays: row -> the one like it that
    stays. `pairs` rise by their later row."""
    twins: dict[int, int] = {}
    for earlier, later in pairs.tolist():
        if later not in twins and earlier not in twins:
            twins[later] = earlier
    return twins
