"""What the wizard shows beside its form: «이대로 시작하면», and the state of the chosen data."""

from dataclasses import dataclass
from functools import cached_property

from django.urls import reverse

from studio.views import effects, lines
from studio.views.lengths import Comparison, Lengths
from training import bases, clinic, clinic_words, drafts, fit, forecast, recipe, taste, works
from training.bases import Base
from training.datasets import reports
from training.datasets.lengths import Kept
from training.errors import UserError
from training.forecast import Disk, Forecast, Machine
from training.models import DatasetVersion, Job, TokenCount
from training.works import Work


@dataclass(frozen=True)
class Step:
    number: int
    name: str
    label: str


@dataclass(frozen=True)
class Cost:
    """What a method takes with the draft's base; nothing is known without one."""

    method: recipe.Method
    memory_bytes: int = 0
    """Before the length of the examples has its say."""
    disk: Disk | None = None


CURED_IN_STEP_2 = {"job_without_name", "base_missing", "too_few_within_the_base"}
CURED_BY_LENGTHS = {"examples_too_long", "too_few_after_cutting", "too_few_after_dropping"}


class Summary:
    """One draft as it would start now. Everything is read once, and only where a page shows it."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def method(self) -> recipe.Method:
        return recipe.METHODS[self.job.method]

    @property
    def work(self) -> Work | None:
        return works.WORKS.get(self.job.work)

    @property
    def works(self) -> list[Work]:
        return list(works.WORKS.values())

    @cached_property
    def base(self) -> Base | None:
        try:
            return bases.find(self.job.base)
        except UserError:
            return None

    @property
    def version(self) -> DatasetVersion | None:
        return self.job.version

    @cached_property
    def numbers(self) -> dict:
        return drafts.resolved(self.job)

    @cached_property
    def costs(self) -> list[Cost]:
        return [self.cost(method) for method in recipe.METHODS.values()]

    def cost(self, method: recipe.Method) -> Cost:
        if not self.base:
            return Cost(method)
        memory = forecast.memory_bytes(self.base, method.key, row_tokens=0)
        return Cost(method, memory, forecast.disk(self.base, method.key, {}))

    @property
    def knobs(self) -> list[recipe.Knob]:
        return recipe.knobs_of(self.job.method)

    @cached_property
    def settings(self) -> list[lines.Setting]:
        return lines.settings_of(self.job, self.numbers)[:3]

    @cached_property
    def has_data(self) -> bool:
        return bool(self.version and self.version.status == DatasetVersion.Status.READY)

    @cached_property
    def steps(self) -> int:
        return recipe.steps(self.numbers, self.usable) if self.has_data else 0

    @cached_property
    def count(self) -> TokenCount | None:
        return drafts.token_count(self.job) if self.base else None

    @property
    def is_counting(self) -> bool:
        """Whether the summary will say more in a moment: tokens, or this machine's speed."""
        return self.forecast is None if self.kept else self.is_counting_lengths

    @cached_property
    def faults(self) -> int:
        """How many kinds of faults the data report found that do harm; 0 while it is not made."""
        return reports.faults(self.version) if self.version else 0

    @property
    def is_moving(self) -> bool:
        """Whether the summary, or why the draft can't start, will be another in a moment."""
        return self.is_counting or any(
            blocker.code == "data_being_checked" for blocker, _ in self.reasons
        )

    @property
    def is_counting_lengths(self) -> bool:
        return bool(self.count and self.count.status in ("waiting", "counting"))

    @cached_property
    def kept(self) -> Kept | None:
        """What the limit on length leaves of the data, once it is counted."""
        limit = self.numbers["max_length"]
        return drafts.kept(self.job, self.count, limit) if self.count else None

    @cached_property
    def lengths(self) -> Lengths | None:
        if not self.kept or not self.base or not self.count:
            return None
        return Lengths(self.job, self.base, self.count)

    @cached_property
    def comparison(self) -> Comparison | None:
        """How finely the base models cut the data's text; the first look after the data itself is
        counted orders the counting."""
        if not self.version or not self.count or self.is_counting_lengths:
            return None
        return Comparison(self.job, self.version)

    @cached_property
    def forecast(self) -> Forecast | None:
        if not self.kept or not self.base:
            return None
        if not self.machine:
            return None
        return forecast.forecast(self.base, self.job.method, self.numbers, self.kept, self.machine)

    @cached_property
    def machine(self) -> Machine | None:
        return forecast.machine()

    @cached_property
    def taste(self) -> Forecast | None:
        """What a taste of it takes."""
        if not self.kept or not self.base or not self.machine:
            return None
        numbers, some = taste.numbers(self.job), taste.some(self.kept)
        return forecast.forecast(self.base, self.job.method, numbers, some, self.machine)

    @property
    def is_too_large(self) -> bool:
        """Whether this machine's memory should not do."""
        return self.forecast is not None and not fit.carries(self.forecast.memory_bytes)

    @property
    def lighter(self) -> clinic_words.Words | None:
        """What to change so that it takes less memory, in words."""
        cures = clinic.less_memory(self.job)
        return clinic_words.say(cures[0]) if cures else None

    @cached_property
    def start(self) -> str:
        """When the draft would begin, in words, once there is something to begin with."""
        return lines.if_started(self.job) if self.has_data else ""

    @cached_property
    def disk(self) -> Disk | None:
        return forecast.disk(self.base, self.job.method, self.numbers) if self.base else None

    @cached_property
    def disk_blockers(self) -> list[UserError]:
        return drafts.disk_blockers(self.job) if self.base else []

    @cached_property
    def effects(self) -> dict[str, str]:
        """What each number that is set by hand does beside the recommended one, by knob."""
        if not self.base:
            return {}
        return {key: effects.words(self.job, self.base, key) for key in self.job.knobs}

    @cached_property
    def validation(self) -> int:
        """How many examples are kept back to check with."""
        share = self.numbers["validation_share"]
        return recipe.validation_count(self.version.example_count, share) if self.has_data else 0

    @cached_property
    def usable(self) -> int:
        """How many examples are left of the version's when the limit on length had its say."""
        if self.kept:
            return self.kept.used
        return self.version.example_count if self.version else 0

    @property
    def is_short(self) -> bool:
        return bool(self.kept) and self.usable < self.version.example_count

    @cached_property
    def blockers(self) -> list[UserError]:
        return drafts.blockers(self.job)

    @property
    def reasons(self) -> list[tuple[UserError, str]]:
        """The blockers as they stand beside the button, and the address where they are cured, if
        there is one; why a file can't be read stands above."""
        found = self.blockers
        if self.version and self.version.status == DatasetVersion.Status.FAILED:
            found = [*drafts.settings_blockers(self.job), UserError("data_unreadable")]
        return [(error, self._cured_at(error.code)) for error in found]

    def _cured_at(self, code: str) -> str:
        if code in CURED_BY_LENGTHS:
            return "#lengths"
        return reverse("wizard-model", args=[self.job.pk]) if code in CURED_IN_STEP_2 else ""

    @cached_property
    def complete(self) -> set[int]:
        """The numbers of the steps that need nothing more."""
        found = {1}
        if not drafts.settings_blockers(self.job):
            found.add(2)
        if self.has_data and not self.blockers:
            found.add(3)
        return found

    @cached_property
    def fingerprint(self) -> str:
        return drafts.fingerprint(self.job)
