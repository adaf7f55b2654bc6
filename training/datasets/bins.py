"""Bins for a picture: how often each whole number occurs goes in, edges that people read come out.

Knows neither what was counted nor how it is drawn.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TypedDict

MOST = 40
FEWEST = 10
"""Bins for which there is always room, however few numbers there are."""
USUAL_SHARE = 0.95
"""Part of the numbers by which the width of the bins goes; far above it lies the tail."""


class Bins(TypedDict):
    edges: list[int]
    """One more than `counts`: bin i holds edges[i] <= number < edges[i + 1]."""
    counts: list[int]
    highest: int
    """The highest number there is."""


def of(counts: Mapping[int, int], most: int = MOST) -> Bins:
    """Put numbers (each with how often it occurs) into at most `most` bins.

    All bins are as wide as each other, 1, 2 or 5 times a power of ten, but for the last one where a
    few numbers lie far above all others: it reaches to the highest.
    """
    if not counts:
        return {"edges": [], "counts": [], "highest": 0}
    low, high = min(counts), max(counts)
    room = min(most, max(FEWEST, round(2 * math.sqrt(sum(counts.values())))))
    end = _usual_end(counts, low, high, room)
    # room for the tail, and for a first bin that begins before the lowest
    step = round_step(end - low + 1, room - 2)
    first = low // step * step
    edges = list(range(first, end + step + 1, step))
    if edges[-1] <= high:
        edges.append(high + 1)
    return {"edges": edges, "counts": _counts(counts, edges), "highest": high}


def _usual_end(counts: Mapping[int, int], low: int, high: int, room: int) -> int:
    """Return the number up to which bins are as wide as each other: the highest, if that leaves
    most numbers more than one of them."""
    usual = at_share(counts, USUAL_SHARE)
    if high <= max(low + 2 * (usual - low), low + room - 2):
        return high
    return max(low + 3 * (usual - low) // 2, low + room - 2)


def round_step(span: int, most: int) -> int:
    """Return the smallest round number (1, 2 or 5 times a power of ten) of which `most` reach over
    a span."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if span <= factor * power * most:
                return factor * power
        power *= 10


def _counts(counts: Mapping[int, int], edges: list[int]) -> list[int]:
    numbers = iter(sorted(counts.items()))
    found = []
    number, times = next(numbers, (math.inf, 0))
    for _low, high in pairwise(edges):
        inside = 0
        while number < high:
            inside += times
            number, times = next(numbers, (math.inf, 0))
        found.append(inside)
    return found


def at_share(counts: Mapping[int, int], share: float) -> int:
    """Return the smallest number up to which that share of all numbers lies; 0 of none."""
    wanted = share * sum(counts.values())
    passed = 0
    for number, times in sorted(counts.items()):
        passed += times
        if passed >= wanted:
            return number
    return 0
