"""How long a version's examples are, and what any limit on their length leaves of them.

Encoded examples go in, a result as JSON comes out; from the result a limit is answered at once and
exactly, without the examples. Knows neither Django nor torch.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from training.chat import Encoded
from training.datasets import bins

Pairs = Iterable[tuple[int, int]]
LONGER_OF_THREE = 0.5 ** (1 / 3)
"""Part of all lengths that the longest of three exceeds as often as not."""


@dataclass
class Tally:
    """Collects the lengths of examples, in tokens."""

    answered: Counter[int] = field(default_factory=Counter)
    """Length -> examples, of those with a token that is trained."""
    unanswered: Counter[int] = field(default_factory=Counter)
    """Length -> examples, of those without one."""
    firsts: Counter[int] = field(default_factory=Counter)
    """Tokens before an example's first trained one -> examples."""
    answers: Counter[int] = field(default_factory=Counter)
    """Length -> answers."""

    def add(self, encoded: Encoded) -> None:
        length, first = len(encoded.ids), encoded.first_label
        if first is None:
            self.unanswered[length] += 1
        else:
            self.answered[length] += 1
            self.firsts[first] += 1
        self.answers.update(end - start for start, end in encoded.answers())

    @property
    def examples(self) -> int:
        return self.answered.total() + self.unanswered.total()

    def result(self) -> dict:
        """Return what TokenCount keeps.

        The pairs (length, examples) stay short however many examples there are: as many different
        lengths as that have at least half their number squared in tokens.
        """
        return {
            **_facts(self.answered + self.unanswered),
            "answers": {
                **_facts(self.answers),
                "of_three": bins.at_share(self.answers, LONGER_OF_THREE),
            },
            "answered": sorted(self.answered.items()),
            "unanswered": sorted(self.unanswered.items()),
            "firsts": sorted(self.firsts.items()),
        }


def _facts(counts: Counter[int]) -> dict:
    """Return how many there are, and tokens: of all, of the longest, of the middle one, of the one
    that 95 of 100 don't exceed; and bins."""
    return {
        "count": counts.total(),
        "tokens": sum(length * times for length, times in counts.items()),
        "longest": max(counts, default=0),
        "median": bins.at_share(counts, 0.5),
        "usual": bins.at_share(counts, bins.USUAL_SHARE),
        "bins": bins.of(counts),
    }


@dataclass(frozen=True)
class Kept:
    """What the examples come to at one limit on their length, as training takes them."""

    examples: int
    longest: int
    """Tokens of the longest example, before the limit has its say."""
    over: int
    """Examples longer than the limit."""
    trimmed: int
    """Of these, the ones that are trained without their end."""
    lost: int
    """Examples left out because no answer token lies within the limit."""
    used: int
    """Examples that are trained or kept to check with."""
    tokens: int
    """Of the used ones."""
    longest_used: int
    """Tokens."""
    squares: int = 0
    """Of the used ones' tokens, summed: what attention costs."""
    labels: int = 0
    """Tokens that are trained, about."""
    answer: int = 0
    """Tokens of the longest of three answers, as a rule."""
    shares: tuple[tuple[int, float], ...] = ()
    """Part of the tokens that so many examples have in common with one another, by how many."""

    def shared(self, together: float) -> float:
        """Return which part of the tokens is spared where so many examples go through together."""
        for (few, low), (many, high) in itertools.pairwise(((1, 0.0), *self.shares)):
            if together <= many:
                place = math.log(max(1.0, together) / few) / math.log(many / few)
                return low + place * (high - low)
        return self.shares[-1][1] if self.shares else 0.0


def kept(result: dict, limit: int, *, drops: bool = False) -> Kept:
    """Return what a limit (in tokens) does: longer examples are cut there, or dropped."""
    answered: list[tuple[int, int]] = [(length, times) for length, times in result["answered"]]
    whole = [(length, times) for length, times in answered if length <= limit]
    over, without = _total(answered) - _total(whole), _total(result["unanswered"])
    lost = 0 if drops else _beyond(result["firsts"], limit - 1)
    answers = result["answers"]
    trimmed = 0 if drops else over - lost
    return Kept(
        examples=result["count"],
        longest=result["longest"],
        over=over + _beyond(result["unanswered"], limit),
        trimmed=trimmed,
        lost=lost + without,
        used=_total(whole) + trimmed,
        tokens=sum(length * times for length, times in whole) + trimmed * limit,
        longest_used=limit if trimmed else max((length for length, _times in whole), default=0),
        squares=sum(length**2 * times for length, times in whole) + trimmed * limit**2,
        labels=answers["tokens"] * (_total(whole) + trimmed) // max(1, _total(answered)),
        answer=answers.get("of_three", answers["median"]),  # older counts have none
        shares=tuple((int(size), share) for size, share in result.get("shared", [])),
    )


def _total(pairs: Pairs) -> int:
    return sum(times for _length, times in pairs)


def _beyond(pairs: Pairs, limit: int) -> int:
    return sum(times for length, times in pairs if length > limit)
