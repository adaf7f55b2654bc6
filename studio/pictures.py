"""Numbers to pictures: bins or labelled counts go in, coordinates of an SVG come out.

Places are in percent of the picture's width or height, written as SVG attributes take them, so that
letters keep their size on any screen. Knows neither words, nor where the numbers come from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from training.datasets.bins import Bins, round_step

TAIL_GAP = 0.6
"""Free room before the last bin where that one is wider than the others, in bins."""
LOWEST = 1.5
"""Percent of the height that a bar with anything in it takes at least, so that it is seen."""
TICKS = 6
TAIL_SHARE = 80
"""Percent of the width beyond which no tick stands where the highest number has one of its own."""


@dataclass(frozen=True)
class Bin:
    low: int
    high: int
    """The lowest and the highest number that it may hold."""
    count: int

    @property
    def label(self) -> str:
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}–{self.high:,}"


@dataclass(frozen=True)
class Bar:
    bin: Bin
    x: str
    width: str
    y: str
    height: str
    is_over: bool = False
    """Whether it stands for numbers above the line."""


@dataclass(frozen=True)
class Tick:
    number: int
    x: str
    anchor: str
    """start, middle or end: which part of the number stands at x."""


@dataclass(frozen=True)
class Histogram:
    bars: list[Bar]
    """From left to right; one that the line crosses is two of them."""
    bins: list[Bin]
    """For a table."""
    ticks: list[Tick]
    highest: int
    """Count of the highest bar."""
    line: Tick | None
    """None where none was asked for, or no number lies above it."""


@dataclass(frozen=True)
class Scale:
    """Numbers to percent of the width, along bins of which the last may be wider than the others."""

    edges: list[int]

    @property
    def has_tail(self) -> bool:
        edges = self.edges
        return len(edges) > 2 and edges[-1] - edges[-2] != edges[1] - edges[0]

    @property
    def slots(self) -> float:
        return len(self.edges) - 1 + (TAIL_GAP if self.has_tail else 0)

    def percent(self, number: float, *, ends: bool = False) -> float:
        """Return where a number stands; `ends` tells the end of a bin from the start of the next."""
        edges = self.edges
        place = len(edges) - 2
        for index, (low, high) in enumerate(pairwise(edges)):
            if low <= number < high or (ends and number == high):
                place = index
                break
        low, high = edges[place], edges[place + 1]
        gap = TAIL_GAP if self.has_tail and place == len(edges) - 2 else 0
        return 100 * (place + gap + (number - low) / (high - low)) / self.slots


def histogram(bins: Bins, line: int | None = None) -> Histogram | None:
    """Draw bins. `line` is the highest number left of the line: what lies above it is marked. None
    where there is nothing to draw."""
    edges, counts = bins["edges"], bins["counts"]
    if not counts:
        return None
    if line is not None and line >= bins["highest"]:
        line = None
    scale, highest = Scale(edges), max(counts)
    found = [Bin(low, high - 1, n) for (low, high), n in zip(pairwise(edges), counts, strict=True)]
    return Histogram(
        bars=[bar for one in found if one.count for bar in _bars(scale, one, highest, line)],
        bins=found,
        ticks=_ticks(scale),
        highest=highest,
        line=None if line is None else _line(line, scale.percent(max(line + 1, edges[0]))),
    )


def _bars(scale: Scale, one: Bin, highest: int, line: int | None) -> Iterable[Bar]:
    """Yield the bar of a bin, in two parts where the line goes through it."""
    edges = [one.low, one.high + 1]
    if line is not None and one.low <= line < one.high:
        edges.insert(1, line + 1)
    height = max(LOWEST, 100 * one.count / highest)
    upright = _written(100 - height), _written(height)
    for start, end in pairwise(edges):
        x, right = scale.percent(start), scale.percent(end, ends=True)
        is_over = line is not None and start > line
        yield Bar(one, _written(x), _written(right - x), *upright, is_over)


def _ticks(scale: Scale) -> list[Tick]:
    """Return some round numbers for the foot of the picture, and the highest where the last bin is
    wider than the others."""
    edges = scale.edges
    first, last = edges[0], edges[-2] if scale.has_tail else edges[-1]
    step = round_step(last - first, TICKS)
    is_single = edges[1] - edges[0] == 1  # each bin is one number, which stands in its middle
    numbers = range(-(-first // step) * step, last if is_single else last + 1, step)
    places = [(n, scale.percent(n + 0.5 if is_single else n, ends=True)) for n in numbers]
    if not scale.has_tail:
        return [_tick(number, percent) for number, percent in places]
    near = [_tick(number, percent) for number, percent in places if percent <= TAIL_SHARE]
    return [*near, Tick(edges[-1] - 1, "100%", "end")]


def _tick(number: int, percent: float) -> Tick:
    anchor = "start" if percent < 4 else "end" if percent > 96 else "middle"
    return Tick(number, _written(percent), anchor)


def _line(number: int, percent: float) -> Tick:
    """Return the line, its words on the side where there is more room."""
    return Tick(number, _written(percent), "start" if percent < 50 else "end")


def _written(percent: float) -> str:
    return f"{percent:.2f}%"


@dataclass(frozen=True)
class Row:
    label: object
    count: float
    width: str
    """Of its bar, beside the longest one's 100 %."""
    share: float
    """Part of all counts, 0 to 1."""


def bars(pairs: Iterable[tuple[object, float]], total: float = 0) -> list[Row]:
    """Draw labelled counts as a list of bars, in the order in which they come. `total` is what
    shares are of, where the counts are not all there are."""
    known = list(pairs)
    total = total or sum(count for _label, count in known)
    most = max((count for _label, count in known), default=0)
    return [
        Row(
            label,
            count,
            _written(100 * count / most if most else 0),
            count / total if total else 0,
        )
        for label, count in known
    ]
