"""What list and detail pages say about a job beyond its row. Reads rows and run folders only."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from studio.models import User
from studio.templatetags.studio import amount, duration, share
from training import archive, history, line, recipe, registry, works
from training.models import Job, TunedModel

Status = Job.Status


@dataclass(frozen=True)
class File:
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Setting:
    label: str
    value: str
    is_auto: bool
    is_advised: bool = False
    """Whether it is auto as the kind of work would have it."""


def jobs_of(owner: User) -> QuerySet[Job]:
    """Return the jobs that were started, newest first."""
    started = Job.objects.filter(owner=owner).exclude(status=Status.DRAFT)
    return started.select_related("tuned", "version__dataset").order_by("-queued_at", "-created_at")


def with_places(found: list[Job]) -> list[Job]:
    """Give each waiting job its `place` in line, with one query for all of them."""
    if any(job.status == Status.QUEUED for job in found):
        waiting_pks = line.in_line().values_list("pk", flat=True)
        places = {pk: place for place, pk in enumerate(waiting_pks, 1)}
        for job in found:
            job.place = places.get(job.pk)
    return found


def settings_of(job: Job, numbers: dict) -> list[Setting]:
    """Return the method's knobs with the numbers of a run, in the recipe's order."""
    found = []
    for knob in recipe.knobs_of(job.method):
        if knob.key in numbers:
            number = numbers[knob.key]
            value = share(number) if knob.is_share else amount(number, knob.unit)
            is_advised = works.is_advised(job.work, knob.key)
            found.append(Setting(str(knob.label), value, knob.key not in job.knobs, is_advised))
    if numbers and job.overflow != recipe.CUT:
        found.append(Setting(_("긴 예제"), str(recipe.OVERFLOWS[job.overflow]), False))
    return found


def files_of(tuned: TunedModel) -> list[File]:
    found = archive.files(registry.folder(tuned))
    return [File(path.name, path.stat().st_size) for path in found]


def happening(job: Job) -> str:
    """Say in one sentence what is happening to a job now."""
    sentence = {
        Status.VALIDATING: _("학습 데이터를 확인하고 있습니다."),
        Status.PAUSED: _(
            "학습을 잠시 멈추었습니다. «이어서 학습»을 누르면 멈춘 곳부터 이어서 배웁니다."
        ),
        Status.SUCCEEDED: _("학습이 끝났습니다. 플레이그라운드에서 대화하며 확인해 보세요."),
        Status.FAILED: _("학습을 마치지 못했습니다. 아래에서 까닭과 해결 방법을 확인하세요."),
        Status.CANCELLED: _("학습을 취소했습니다."),
    }.get(job.status)
    if history.waits_for_room(job):
        return _(
            "디스크에 남은 공간이 없어 기다립니다. 공간이 생기면 멈춘 곳부터 저절로 이어서 학습합니다."
        )
    return sentence or (waiting(job) if job.status == Status.QUEUED else running(job))


def accepted(job: Job) -> str:
    """Say what 조정 시작 led to: the start, or a place in line."""
    before = line.ahead(job)
    if before:
        return in_line(before)
    return _("{name} 학습을 신청했습니다. 곧 시작합니다.").format(name=job)


def in_line(before: int) -> str:
    return _(
        "차례를 기다립니다. 앞에 다른 학습이 {ahead}개 있습니다. 끝나면 저절로 시작합니다."
    ).format(ahead=before)


def waiting(job: Job) -> str:
    before = line.ahead(job)
    if before:
        return in_line(before) + " " + _("이 창은 닫아도 됩니다.")
    if job.attempt:
        return _("중단된 곳부터 곧 이어서 학습합니다. 이 창은 닫아도 됩니다.")
    return _("곧 학습을 시작합니다. 이 창은 닫아도 됩니다.")


def running(job: Job) -> str:
    if job.cancel_requested:
        if job.step:
            return _("취소하는 중입니다. 하던 스텝을 마치면 멈춥니다.")
        return _("취소하는 중입니다. 준비하던 일을 멈추면 끝납니다.")
    if job.pause_requested:
        return _("일시 중지하는 중입니다. 하던 스텝을 마치면 배운 것을 저장하고 멈춥니다.")
    phase = job.progress.get("phase", "")
    if not job.step:
        preparing = {"reading": _("예제를 토큰으로 바꾸고 있습니다.")}.get(
            phase, _("기본 모델과 학습 데이터를 준비하고 있습니다.")
        )
        return preparing + " " + _("이 창은 닫아도 됩니다.")
    if phase == "saving":
        return _("학습한 모델을 저장하고 있습니다.")
    left = job.progress.get("seconds_left")
    if left is None:
        return _("예제를 보며 학습하고 있습니다. 이 창은 닫아도 됩니다.")
    return _("예제를 보며 학습하고 있습니다. {time} 남았습니다. 이 창은 닫아도 됩니다.").format(
        time=duration(left)
    )
