"""Doors of the failure clinic: what a failed job's page says and offers, and the pressing of a cure."""

from dataclasses import dataclass
from functools import cached_property

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from studio.views import lines
from training import clinic, clinic_words, wording
from training.clinic import Space, Treatment
from training.clinic_words import Words
from training.models import DatasetVersion, Job

PLACES = {
    clinic.BASE: "#bases", clinic.LONGER: "#lengths", clinic.DROP: "#lengths",
    clinic.CUT: "#lengths", clinic.DATA: "#sources",
}  # fmt: skip
"""Where on the wizard's step a cure is decided."""


@dataclass(frozen=True)
class Choice:
    key: str
    words: Words


@dataclass(frozen=True)
class Taker:
    """Something that takes much of the disk."""

    name: str
    size_bytes: int
    address: str


class Visit:
    """One failed job as its page shows it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.diagnosis = clinic.diagnose(job)

    @cached_property
    def choices(self) -> list[Choice]:
        best = self.diagnosis.best
        return [
            Choice(cure.key, clinic_words.say(cure, is_best=cure is best))
            for cure in self.diagnosis.cures
        ]

    @property
    def best(self) -> Choice:
        return self.choices[0]

    @property
    def others(self) -> list[Choice]:
        return self.choices[1:]

    @cached_property
    def space(self) -> Space | None:
        """What the disk lacks, where that is what ails the job."""
        return clinic.space(self.job) if self.diagnosis.is_of_disk else None

    @property
    def missing_bytes(self) -> int:
        return max(0, self.space.needed_bytes - self.space.free_bytes) if self.space else 0

    @property
    def takers(self) -> list[Taker]:
        if not self.diagnosis.is_of_disk:
            return []
        return [_taker(row) for row in clinic.largest(self.job.owner)]

    @property
    def asks_for_less(self) -> bool:
        return any(choice.key in (clinic.ROWS, clinic.SHORTER) for choice in self.choices)

    @property
    def asks_for_data(self) -> bool:
        """Whether the data report may tell more."""
        keys = {choice.key for choice in self.choices}
        return bool(keys & {clinic.SLOWER, clinic.DATA}) and bool(self.job.version.example_count)

    @property
    def asks_for_bases(self) -> bool:
        return self.best.key == clinic.BASE


def _taker(row) -> Taker:
    if isinstance(row, DatasetVersion):
        address = reverse("dataset", args=[row.dataset_id])
        return Taker(str(row.dataset), row.size_bytes, address)
    return Taker(row.name, row.size_bytes, reverse("model", args=[row.job_id]))


def of(job: Job) -> dict:
    """Return what a job's page shows of failure, earlier and later tries."""
    before = clinic.tried_before(job)
    changes = clinic.changes(before, job) if before else []
    return {
        "visit": Visit(job) if job.status == Job.Status.FAILED else None,
        "tried_before": before,
        "changes": [clinic_words.change(one) for one in changes],
        "tries": clinic.tries(job).exclude(status=Job.Status.DRAFT),
    }


@require_POST
def cure(request: HttpRequest, pk: str) -> HttpResponse:
    """고쳐서 다시 시작: to the new job, or where something is left to decide to its place in the wizard."""
    job = get_object_or_404(lines.jobs_of(request.user), pk=pk)
    found = clinic.cure(job, request.POST.get("key", ""))
    if found.job.status != Job.Status.DRAFT:
        messages.success(request, lines.accepted(found.job))
        return redirect("model", found.job.pk)
    messages.warning(request, _left(found))
    step = found.cure.opens or clinic.TO_DATA
    address = reverse(f"wizard-{step}", args=[found.job.pk])
    return redirect(address + PLACES.get(found.cure.key, ""))


def _left(found: Treatment) -> str:
    """Say why the new job has not started."""
    if found.blocker is None:
        return _(
            "실패한 학습의 설정을 옮겨 두었습니다. 아래에서 마저 고르고 «조정 시작»을 누르세요."
        )
    words = wording.say(found.blocker.code, found.blocker.params)
    kept = _("아직 시작하지 못했습니다. 설정은 그대로 남아 있습니다.")
    return f"{kept} {words.what} {words.cure}"
