"""What step 3 shows of the examples' lengths: pictures, the three ways with long ones and what each
costs, and how finely each base model cuts the data's text."""

from dataclasses import dataclass
from functools import cached_property

from django.conf import settings

from studio import pictures
from studio.pictures import Histogram, Row
from studio.views import effects
from training import bases, drafts, fit, forecast, limits, recipe
from training.bases import Base
from training.datasets import lengths, versions
from training.datasets.lengths import Kept
from training.forecast import Forecast, Machine
from training.limits import Way
from training.models import DatasetVersion, Job, TokenCount

WASTEFUL = 2
"""Times the tokens of the thriftiest base from which on a base is said to cut text finely."""


@dataclass(frozen=True)
class Choice:
    """One way with examples that are too long, as it stands on the page."""

    way: Way
    effect: str
    """What it does to time and memory beside cutting; nothing where that isn't known yet."""
    forecast: Forecast | None
    examples_needed: int

    @property
    def key(self) -> str:
        return self.way.key

    @property
    def kept(self) -> Kept:
        return self.way.kept

    @property
    def is_too_large(self) -> bool:
        """Whether this machine's memory may not carry it."""
        return bool(self.forecast and not fit.carries(self.forecast.memory_bytes))

    @property
    def leaves_too_few(self) -> bool:
        return self.way.kept.used < self.examples_needed


class Lengths:
    """The lengths of a draft's examples. Its count is there."""

    def __init__(self, job: Job, base: Base, count: TokenCount) -> None:
        self.job, self.base, self.count = job, base, count
        self.numbers = drafts.resolved(job)
        self.limit: int = self.numbers["max_length"]
        self.facts: dict = count.result

    @cached_property
    def kept(self) -> Kept:
        return lengths.kept(self.facts, self.limit, drops=self.job.overflow == recipe.DROP)

    @cached_property
    def picture(self) -> Histogram | None:
        return pictures.histogram(self.facts["bins"], self.limit)

    @cached_property
    def answers(self) -> Histogram | None:
        return pictures.histogram(self.facts["answers"]["bins"])

    @cached_property
    def choices(self) -> list[Choice]:
        ways = limits.ways(self.job, self.base, self.count)
        return [self._choice(way, ways[-1]) for way in ways]

    @cached_property
    def machine(self) -> Machine | None:
        return forecast.machine()

    @property
    def below(self) -> int:
        """The limit that examples are longer than."""
        return self.choices[-1].way.limit

    @property
    def over(self) -> int:
        return self.choices[-1].kept.over

    def _choice(self, way: Way, cut: Way) -> Choice:
        numbers, before = (self.numbers | {"max_length": one.limit} for one in (way, cut))
        found = forecast.effect(self.base, self.job.method, numbers, before, (way.kept, cut.kept))
        words = effects.sentence(found, has_data=True) if way is not cut else ""
        known = self.machine
        expected = known and forecast.forecast(self.base, self.job.method, numbers, way.kept, known)
        return Choice(way, words if expected else "", expected, settings.MIN_EXAMPLES)


@dataclass(frozen=True)
class Cutter:
    """How finely one base model cuts the text of the data's sample."""

    base: Base
    is_chosen: bool
    row: Row
    """Its bar; the count is tokens for 100 characters."""
    ratio: float
    """Its tokens beside those of the thriftiest base."""
    limit: int
    over: int
    """Examples of the sample that are longer than the limit with this base."""

    @property
    def is_wasteful(self) -> bool:
        return self.ratio > WASTEFUL

    @property
    def tokens(self) -> str:
        return f"{self.row.count:.1f}"

    @property
    def times(self) -> str:
        return f"{self.ratio:.1f}".removesuffix(".0")


class Comparison:
    """How finely the base models here cut the text of a version."""

    def __init__(self, job: Job, version: DatasetVersion) -> None:
        self.job = job
        usable = [base for base in bases.catalogue() if not base.problem]
        counts = versions.samples(version, [base.slug for base in usable])
        self.known = [
            (base, count.result)
            for base, count in zip(usable, counts, strict=True)
            if count.status == TokenCount.Status.READY and count.result["text_tokens"]
        ]
        self.unknown = [
            base
            for base, count in zip(usable, counts, strict=True)
            if count.status == TokenCount.Status.FAILED
        ]
        self.is_counting = any(
            count.status in (TokenCount.Status.WAITING, TokenCount.Status.COUNTING)
            for count in counts
        )

    @property
    def is_alone(self) -> bool:
        """Whether there is one base model only, and so nothing to compare."""
        return len(self.known) == 1 and not self.unknown and not self.is_counting

    @property
    def examples(self) -> int:
        """How many examples were compared."""
        return self.known[0][1]["count"] if self.known else 0

    @cached_property
    def cutters(self) -> list[Cutter]:
        """The base models, the thriftiest first."""
        fineness = [(100 * r["text_tokens"] / r["text_characters"], b, r) for b, r in self.known]
        fineness.sort(key=lambda one: one[0])
        rows = pictures.bars((base.name, tokens) for tokens, base, _result in fineness)
        return [
            self._cutter(base, result, row, rows[0].count)
            for (_tokens, base, result), row in zip(fineness, rows, strict=True)
        ]

    def _cutter(self, base: Base, result: dict, row: Row, best: float) -> Cutter:
        limit = drafts.resolved(self.job, base=base)["max_length"]
        over = lengths.kept(result, limit).over
        return Cutter(base, base.slug == self.job.base, row, row.count / best, limit, over)

    @property
    def wasteful(self) -> Cutter | None:
        """The draft's base, where it needs much more tokens than another one."""
        return next((one for one in self.cutters if one.is_chosen and one.is_wasteful), None)
