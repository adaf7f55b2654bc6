"""What the page of several runs says: how each looks on the chart, how they ended, how they differ."""

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from studio.templatetags.studio import base_name, duration, hundredths, plain, thousands
from studio.views import lines
from training import recipe
from training.history import History
from training.models import Job
from training.works import WORKS

DASHES = ("", "8 4", "2 3", "12 4 2 4", "5 5", "14 6")
"""How the lines of the first, second, … run are dashed: nobody must tell them by colour alone."""
NOTHING = "–"


@dataclass(frozen=True)
class Run:
    """One job as a line of the chart."""

    number: int
    job: Job

    @property
    def dash(self) -> str:
        return DASHES[self.number - 1]

    @cached_property
    def history(self) -> History:
        return History(self.job)


@dataclass(frozen=True)
class Row:
    """One thing that is said of every run."""

    label: str
    values: list[str]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


class Comparison:
    def __init__(self, jobs: list[Job], shows_all: bool) -> None:
        self.runs = [Run(number, job) for number, job in enumerate(jobs, 1)]
        self.jobs = jobs
        self.shows_all = shows_all

    @property
    def is_live(self) -> bool:
        return any(job.is_live for job in self.jobs)

    @property
    def address(self) -> str:
        return self._address(self.shows_all)

    @property
    def other_address(self) -> str:
        """The same page with the settings that are alike, or without them."""
        return self._address(not self.shows_all)

    def _address(self, shows_all: bool) -> str:
        query = [("job", job.pk) for job in self.jobs] + [("all", "1")] * shows_all
        return f"{reverse('model-compare')}?{urlencode(query)}"

    @cached_property
    def results(self) -> list[Row]:
        return [
            Row(_("가장 낮은 검증 손실"), [best_of(run) for run in self.runs]),
            Row(_("마지막 학습 손실"), [figure(job, "loss") for job in self.jobs]),
            Row(_("스텝"), [steps_of(job) for job in self.jobs]),
            Row(_("걸린 시간"), [time_of(job) for job in self.jobs]),
            Row(_("초당 토큰"), [speed_of(job) for job in self.jobs]),
        ]

    @cached_property
    def settings(self) -> list[Row]:
        every = self._facts() + self._knobs()
        return every if self.shows_all else [row for row in every if row.differs]

    def _facts(self) -> list[Row]:
        said = {
            _("기본 모델"): [base_name(job.base) for job in self.jobs],
            _("학습 방법"): [str(recipe.METHODS[job.method].label) for job in self.jobs],
            _("하는 일"): [work_of(job) for job in self.jobs],
            _("학습 데이터"): [data_of(job) for job in self.jobs],
            _("예제"): [thousands(job.version.example_count) for job in self.jobs],
        }
        return [Row(label, values) for label, values in said.items()]

    def _knobs(self) -> list[Row]:
        """Return the knobs in the recipe's order, those of one method alone among them."""
        said = [
            {one.label: one.value for one in lines.settings_of(job, job.resolved)}
            for job in self.jobs
        ]
        labels = dict.fromkeys(label for settings in said for label in settings)
        return [Row(label, [one.get(label, NOTHING) for one in said]) for label in labels]


def best_of(run: Run) -> str:
    best = run.history.best
    if best is None:
        return NOTHING
    place = _("학습 반복 {epoch}").format(epoch=hundredths(best["epoch"]) or "0")
    return f"{plain(best['loss'])} ({place})"


def figure(job: Job, key: str) -> str:
    return plain(job.progress.get(key)) or NOTHING


def speed_of(job: Job) -> str:
    return thousands(job.progress.get("tokens_per_second")) or NOTHING


def steps_of(job: Job) -> str:
    return f"{thousands(job.step)} / {thousands(job.total_steps)}" if job.total_steps else NOTHING


def time_of(job: Job) -> str:
    """Say how long a run took; of one that goes on, how long it has."""
    if not job.started_at:
        return NOTHING
    until = job.finished_at or timezone.now()
    took = duration((until - job.started_at).total_seconds())
    return took if job.finished_at else _("{time}째").format(time=took)


def work_of(job: Job) -> str:
    return str(WORKS[job.work].label) if job.work in WORKS else NOTHING


def data_of(job: Job) -> str:
    return _("{name} {number}판").format(name=job.version.dataset, number=job.version.number)
