"""What list and detail pages say about a job beyond its row. Reads rows and run folders only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from studio.models import User
from studio.templatetags.studio import amount, clock, duration, share
from training import archive, history, line, recipe, registry, schedule, works
from training.models import Job, TunedModel
from training.schedule import Slot

Status = Job.Status
NO_SLOT = Slot(None, None)


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


SOON = timedelta(minutes=1)
"""What begins within it is said to begin soon."""


def with_places(found: list[Job]) -> list[Job]:
    """Give each waiting job its `place` in line, when it starts (`starts_at`, where that is worth
    saying) and whether that `is_soon`, at the same few queries for all of them."""
    slots = schedule.slots() if any(job.status == Status.QUEUED for job in found) else {}
    for job in found:
        slot = slots.get(job.pk, NO_SLOT)
        job.place, job.starts_at = slot.place, told(job, slot)
        job.is_soon = slot.start is not None and job.starts_at is None
    return found


def told(job: Job, slot: Slot) -> datetime | None:
    """Return a start that is neither soon nor at the time that its owner chose."""
    earliest = max(timezone.now(), job.not_before or job.created_at)
    return slot.start if slot.start and slot.start > earliest + SOON else None


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
        Status.VALIDATING: _("학습 데이터를 확인하고 있습니다. 이 창은 닫아도 됩니다."),
        Status.PAUSED: _(
            "학습을 잠시 멈추었습니다. «이어서 학습»을 누르면 멈춘 곳부터 이어서 배웁니다."
        ),
        Status.SUCCEEDED: succeeded(job),
        Status.FAILED: _("학습을 마치지 못했습니다. 아래에서 까닭과 해결 방법을 확인하세요."),
        Status.CANCELLED: _("학습을 취소했습니다."),
    }.get(job.status)
    if history.waits_for_room(job):
        return _(
            "디스크에 남은 공간이 없어 기다립니다. 공간이 생기면 멈춘 곳부터 저절로 이어서 학습합니다."
        )
    return sentence or (waiting(job) if job.status == Status.QUEUED else running(job))


def succeeded(job: Job) -> str:
    """Say that a job is over, and how it ended where not all its steps were taken."""
    metrics = job.tuned.metrics if hasattr(job, "tuned") else {}
    ended = {
        "early": _("검증 손실이 더 나아지지 않아 일찍 마치고, 가장 좋았던 때의 모델을 남겼습니다."),
        "asked": _("중간에 마치고, 그때까지 배운 것으로 모델을 만들었습니다."),
    }.get(metrics.get("ended"), _("학습이 끝났습니다."))
    return ended + " " + _("플레이그라운드에서 대화하며 확인해 보세요.")


def accepted(job: Job) -> str:
    """Say what 조정 시작 led to: the start, or a place in line."""
    if job.is_for_later:
        return at_its_time(job)
    before = line.ahead(job)
    if before:
        return in_line(before)
    return _("{name} 학습을 신청했습니다. 곧 시작합니다.").format(name=job)


def in_line(before: int) -> str:
    return _(
        "차례를 기다립니다. 앞에 다른 학습이 {ahead}개 있습니다. 끝나면 저절로 시작합니다."
    ).format(ahead=before)


def at_its_time(job: Job) -> str:
    return _("{time}부터 차례를 기다려 저절로 시작합니다.").format(time=clock(job.not_before))


def waiting(job: Job) -> str:
    said = [_in_turn(job)]
    if start := told(job, schedule.slot(job)):
        said.append(_("{time}쯤 시작할 것으로 보입니다.").format(time=clock(start)))
    return " ".join([*said, _("이 창은 닫아도 됩니다.")])


def _in_turn(job: Job) -> str:
    if job.is_for_later:
        return at_its_time(job)
    before = line.ahead(job)
    if before:
        return in_line(before)
    if job.finish_requested:
        return _("지금까지 배운 것으로 모델을 만들 차례를 기다립니다.")
    return _("중단된 곳부터 곧 이어서 학습합니다.") if job.attempt else _("곧 학습을 시작합니다.")


def if_started(draft: Job) -> str:
    """Say when a draft would begin if it were started now."""
    slot = schedule.slots(also=draft)[draft.pk]
    if start := told(draft, slot):
        return _("지금 신청하면 {time}쯤").format(time=clock(start))
    if draft.not_before and draft.not_before > timezone.now():
        return clock(draft.not_before)
    if slot.start:
        return _("신청하면 바로")
    return _("앞의 학습이 끝나면")


def running(job: Job) -> str:
    if job.cancel_requested:
        if job.step:
            return _("취소하는 중입니다. 하던 스텝을 마치면 멈춥니다.")
        return _("취소하는 중입니다. 준비하던 일을 멈추면 끝납니다.")
    if job.finish_requested:
        return _("지금까지 배운 것으로 모델을 만들고 있습니다. 곧 끝납니다.")
    if job.pause_requested:
        return _("일시 중지하는 중입니다. 하던 스텝을 마치면 배운 것을 저장하고 멈춥니다.")
    phase = job.progress.get("phase", "")
    if not job.step:
        preparing = {"reading": _("예제를 토큰으로 바꾸고 있습니다.")}.get(
            phase, _("기본 모델과 학습 데이터를 준비하고 있습니다.")
        )
        return preparing + " " + _("이 창은 닫아도 됩니다.")
    if phase == "saving":
        return _("학습한 모델을 저장하고 있습니다. 이 창은 닫아도 됩니다.")
    left = job.progress.get("seconds_left")
    if left is None:
        return _("예제를 보며 학습하고 있습니다. 이 창은 닫아도 됩니다.")
    return _("예제를 보며 학습하고 있습니다. {time} 남았습니다. 이 창은 닫아도 됩니다.").format(
        time=duration(left)
    )
