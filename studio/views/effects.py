"""What one number of a draft does to time, memory and disk beside the recommended one, in words."""

from django.utils.translation import gettext as _

from training import drafts, forecast
from training.bases import Base
from training.models import Job

SAME = 0.03
"""A difference that a forecast can't tell from none."""


def words(job: Job, base: Base, key: str) -> str:
    """Compare the draft's number with what it would be if left to us, all others as they are."""
    new = drafts.resolved(job)
    old = drafts.resolved(job, without=key)
    count = drafts.token_count(job)
    then, before = (drafts.kept(job, count, numbers["max_length"]) for numbers in (new, old))
    kept = (then, before) if then and before else None
    found = forecast.effect(base, job.method, new, old, kept)
    return sentence(found, has_data=job.version is not None)


def sentence(found: forecast.Effect, has_data: bool) -> str:
    """Say an effect: 시간 약 2배 · 메모리 그대로."""
    said = [_("시간 {change}").format(change=change(found.time))] if found.time else []
    if found.memory:
        said.append(_("메모리 {change}").format(change=change(found.memory)))
    elif not has_data:
        said.append(_("메모리는 데이터를 고르면 알 수 있음"))
    if abs(found.disk - 1) > SAME:
        said.append(_("디스크 {change}").format(change=change(found.disk)))
    return " · ".join(said)


def change(ratio: float) -> str:
    """Say by how much a number changes: 그대로, 약 2배, 약 30 % 늘어남."""
    if abs(ratio - 1) <= SAME:
        return _("그대로")
    if ratio >= 1.95:
        return _("약 {times}배").format(times=f"{ratio:.1f}".removesuffix(".0"))
    percent = round(abs(ratio - 1) * 100)
    if ratio > 1:
        return _("약 {percent} % 늘어남").format(percent=percent)
    return _("약 {percent} % 줄어듦").format(percent=percent)
