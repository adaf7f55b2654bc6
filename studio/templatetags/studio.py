"""Tags and filters of every page: icons, chips, Korean numbers and times, errors as words."""

import math
import re
from datetime import datetime, timedelta
from functools import lru_cache

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from training import bases, line, report_words, wording
from training.errors import UserError
from training.forecast import ONE_FIGURE_SECONDS, Forecast
from training.models import BaseDownload, Job, JobEvent

register = template.Library()

HANGUL = re.compile("[가-힣]")
ICON_FOLDER = settings.ROOT / "static" / "vendor" / "icons"
NO_ICON = "<path d=''/>"
STATUS_LOOKS = {
    "draft": ("pencil", ""),
    "validating_files": ("search", "live"),
    "queued": ("clock", "warn"),
    "running": ("loader-circle", "live"),
    "paused": ("pause", "warn"),
    "succeeded": ("circle-check", "good"),
    "failed": ("circle-alert", "bad"),
    "cancelled": ("ban", ""),
    "waiting": ("clock", "warn"),
    "reading": ("loader-circle", "live"),
    "fetching": ("loader-circle", "live"),
    "ready": ("circle-check", "good"),
}


def is_korean() -> bool:
    return (get_language() or "ko").startswith("ko")


@lru_cache(maxsize=256)
def icon_shape(name: str) -> str:
    """Return what stands inside an icon's <svg>; an empty path where the file is missing."""
    try:
        source = (ICON_FOLDER / f"{name}.svg").read_text("utf-8")
    except OSError:
        return NO_ICON
    inner = source[source.index(">", source.index("<svg")) + 1 : source.rindex("</svg>")]
    return " ".join(inner.split())


@register.simple_tag
def icon(name: str, classes: str = "", label: str = "") -> SafeString:
    """Draw a Lucide icon. With a label it is read aloud, without one it is decoration."""
    naming = mark_safe('aria-hidden="true"')
    if label:
        naming = format_html('role="img" aria-label="{}"', label)
    return format_html(
        '<svg class="icon {}" {} focusable="false" viewBox="0 0 24 24" fill="none" '
        'stroke="currentColor" stroke-linecap="round" stroke-linejoin="round">{}</svg>',
        classes,
        naming,
        mark_safe(icon_shape(name)),  # the file is ours, put there at set-up
    )


@register.simple_tag
def chip(row: object) -> SafeString:
    """Draw the status of a job, a dataset version or a download: icon, word and tone."""
    status, word = str(row.status), row.get_status_display()
    name, tone = STATUS_LOOKS.get(status, ("info", ""))
    if status == Job.Status.RUNNING and getattr(row, "cancel_requested", False):
        tone, word = "warn", _("취소하는 중")
    elif status == Job.Status.RUNNING and getattr(row, "finish_requested", False):
        word = _("마치는 중")
    elif status == Job.Status.RUNNING and getattr(row, "pause_requested", False):
        tone, word = "warn", _("일시 중지하는 중")
    elif status == BaseDownload.Status.FETCHING and getattr(row, "cancel_requested", False):
        tone, word = "warn", _("멈추는 중")
    turning = "turning" if name == "loader-circle" else ""
    return format_html(
        '<span class="chip {}" data-status="{}">{}{}</span>',
        tone,
        status,
        icon(name, turning),
        word,
    )


@register.filter
def sentence(error: object) -> object:
    """Turn {"code", "params"} or a UserError into its Sentence (what, cure)."""
    if isinstance(error, UserError):
        return wording.say(error.code, error.params)
    if isinstance(error, dict) and error.get("code"):
        return wording.say(error["code"], error.get("params") or {})
    return None


@register.filter
def thousands(value: object) -> str:
    """Write a number with separators; nothing for nothing."""
    if value in (None, ""):
        return ""
    number = float(value)
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:,.1f}"


@register.filter
def plain(value: object) -> str:
    """Write a number the short way: 0.0002, 16, 1.234."""
    if value in (None, ""):
        return ""
    number = float(value)
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    text = f"{number:.4g}"
    is_written_out = "e" in text and abs(number) < 1e15  # a loss beyond it is told by its size
    return f"{number:.10f}".rstrip("0") if is_written_out else text


@register.filter
def amount(value: object, unit: object) -> str:
    """Write a number with its unit, as closely as the language does: 8개, 8 per step."""
    number = plain(value)
    return _("{number}{unit}").format(number=number, unit=unit) if unit else number


@register.filter
def share(value: object) -> str:
    """Write 0.1 as 10 %, 0.083 as 8.3 %."""
    return f"{round(float(value) * 100, 1):g} %" if value not in (None, "") else ""


@register.filter
def hundredths(value: object) -> str:
    """Write a number with two places at most: 0.21."""
    return plain(round(float(value), 2)) if value not in (None, "") else ""


@register.filter
def byte_size(value: object) -> str:
    size = float(value or 0)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit in ("B", "KB") else f"{size:,.1f} {unit}"
        size /= 1024
    return ""


@register.filter
def parameter_count(value: object) -> str:
    """Write a model's number of parameters: 1억 3,500만, or 135M in English."""
    number = int(value or 0)
    if not is_korean():
        return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.0f}M"
    hundred_millions, rest = divmod(round(number / 10_000), 10_000)
    if hundred_millions >= 10:
        return f"{number / 1e8:,.0f}억"
    tens = f"{round(rest, -2 if hundred_millions else -1):,}만" if rest >= 100 else f"{rest:,}만"
    if hundred_millions:
        return f"{hundred_millions}억 {tens}" if rest else f"{hundred_millions}억"
    return tens


@register.filter
def duration(seconds: object) -> str:
    """Write a length of time in at most two units."""
    if seconds in (None, ""):
        return ""
    total = max(0, int(float(seconds)))
    hours, minutes, rest = total // 3600, total % 3600 // 60, total % 60
    if hours >= 24:
        return _("{days}일 {hours}시간").format(days=hours // 24, hours=hours % 24)
    if hours:
        return _("{hours}시간 {minutes}분").format(hours=hours, minutes=minutes)
    if minutes >= 10 or (minutes and not rest):
        return _("{minutes}분").format(minutes=minutes)
    if minutes:
        return _("{minutes}분 {seconds}초").format(minutes=minutes, seconds=rest)
    return _("{seconds}초").format(seconds=rest)


SPANS = (
    (120, 10, gettext_lazy("{low}~{high}초")),
    (2 * 3600, 60, gettext_lazy("{low}~{high}분")),
    (48 * 3600, 3600, gettext_lazy("{low}~{high}시간")),
    (math.inf, 24 * 3600, gettext_lazy("{low}~{high}일")),
)
"""Longest times up to which a forecast is said so, and the seconds of its last digit or unit."""


@register.filter
def expected(found: Forecast) -> str:
    """Say a forecast's time, no finer than it can be: 약 40초, 약 12~18분; one figure where both are."""
    low, high = found.range
    if high <= ONE_FIGURE_SECONDS:
        return _("약 {time}").format(time=duration(max(1, high)))
    _most, unit, words = next(span for span in SPANS if high <= span[0])
    shortest, longest = max(1, round(low / unit)), max(1, round(high / unit))
    if shortest == longest:
        return _("약 {time}").format(time=duration(longest * unit))
    written = unit if unit == 10 else 1
    span = words.format(low=shortest * written, high=longest * written)
    return _("약 {time}").format(time=span)


def clock(value: datetime) -> str:
    """Write a time the way people do: 오늘 오후 2:05, 11월 3일 오전 9:10, 2025년 1월 2일; in English
    14:05 today, 3 Nov 09:10, 2 Jan 2025."""
    local, today = timezone.localtime(value), timezone.localdate()
    hour = date_format(local, "A g:i" if is_korean() else "H:i")
    if local.date() == today:
        return _("오늘 {time}").format(time=hour)
    if local.date() == today + timedelta(days=1):
        return _("내일 {time}").format(time=hour)
    if local.year == today.year or local.date() > today:  # no start is set a year ahead
        return f"{date_format(local, 'n월 j일' if is_korean() else 'j M')} {hour}"
    return date_format(local, "DATE_FORMAT" if is_korean() else "j M Y")


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """Write a time the way people do, so that programs can read it too."""
    if not value:
        return ""
    exact = timezone.localtime(value).isoformat(timespec="seconds")
    return format_html('<time datetime="{}">{}</time>', exact, clock(value))


@register.filter
def priority_name(priority: int) -> object:
    """Name a priority in the line: 먼저, 보통, 나중에."""
    return line.PRIORITIES.get(priority, priority)


@register.filter
def took(job: Job) -> str:
    """Say how long a finished job ran."""
    return duration((job.finished_at - job.started_at).total_seconds())


@register.filter
def format_name(key: str) -> str:
    """Name a file's format and what stands in it."""
    kind, _dash, shape = (key or "").partition("-")
    words = {
        "prompt": _("질문과 답변"),
        "messages": _("대화(messages)"),
        "conversation": _("대화(C_ID)"),
        "turns": _("대화(질문과 답변)"),
    }
    kind = {"sheet": _("엑셀"), "markdown": "Markdown", "parquet": "Parquet"}.get(
        kind, kind.upper()
    )
    return f"{kind} · {words.get(shape, shape)}" if shape else kind


@register.filter
def encoding_name(key: str) -> str:
    return {
        "utf-8": "UTF-8",
        "utf-8-sig": "UTF-8 (BOM)",
        "cp949": "CP949",
        "utf-16": "UTF-16",
    }.get((key or "").lower(), (key or "").upper())


@register.filter
def note(code: object) -> str:
    """Say what the reader mended; a code it has no sentence for says nothing."""
    known = wording.SENTENCES.get(str(code))
    return str(wording.say(str(code)).what) if known else ""


def _length_lines(cut: int, lost: int) -> list[str]:
    """Say what the limit on length took of the examples; those that were cut and had no answer left
    are among both."""
    said = []
    if cut > lost:
        words = _("길이 한계에서 뒤를 자른 예제는 {count}개입니다.")
        said.append(words.format(count=thousands(cut - lost)))
    if lost:
        said.append(_("길이 한계 때문에 뺀 예제는 {count}개입니다.").format(count=thousands(lost)))
    return said


def _ways(data: dict) -> list[str]:
    """Say how a run is computed."""
    ways = {
        "fast": _("빠른 경로"),
        "packed": _("예제를 이어 붙이는 경로"),
        "one by one": _("예제를 하나씩 계산하는 경로"),
    }
    if data.get("path") not in ways:
        return []
    words = _("{way}로 계산합니다({precision}, 스레드 {threads}개).")
    if data.get("processes", 1) > 1:
        words = _(
            "{way}로 계산합니다({precision}, 프로세스 {processes}개, 각각 스레드 {threads}개)."
        )
    facts = {key: data.get(key, "") for key in ("precision", "threads", "processes")}
    said = [words.format(way=ways[data["path"]], **facts)]
    if data.get("is_4bit"):
        said.append(_("GPU 메모리를 아끼려고 층을 다시 계산하고 기본 모델을 4비트로 올립니다."))
    elif data.get("remakes"):
        said.append(_("GPU 메모리를 아끼려고 층을 다시 계산합니다."))
    return said


@register.filter
def log_line(event: JobEvent) -> str:
    """Write one event of a job's life as a sentence."""
    data = event.data or {}
    if event.kind == "start":
        words = _("학습 예제 {train}개, 검증 예제 {validation}개로 {steps}스텝을 학습합니다.")
        said = words.format(
            train=thousands(data.get("train_examples")),
            validation=thousands(data.get("validation_examples")),
            steps=thousands(data.get("total_steps")),
        )
        lengths = _length_lines(data.get("cut", 0), data.get("lost", 0))
        return " ".join([said, *lengths, *_ways(data)])
    if event.kind in ("crash", "error"):
        words = sentence(data)
        return _("학습이 멈췄습니다. {what}").format(what=words.what if words else "")
    sentences = {
        "resumed": _("{step}번째 스텝부터 이어서 학습합니다."),
        "checkpoint": _("{step}번째 스텝까지 저장했습니다."),
        "done": _("학습을 마쳤습니다."),
        "best": _("{step}번째 스텝이 지금까지 가장 좋습니다."),
        "early_stop": _("검증 손실이 더 나아지지 않아 {step}번째 스텝에서 멈췄습니다."),
        "best_lost": _("가장 좋았던 때의 저장 파일이 손상되어 마지막 모델을 남깁니다."),
    }
    words = sentences.get(event.kind)
    return words.format(step=thousands(event.step)) if words else event.kind


@register.filter
def effect_of(summary: object, key: str) -> str:
    """Say what a draft's number does beside the recommended one; nothing where none was set."""
    return getattr(summary, "effects", {}).get(key, "")


@register.filter
def by_language(text: str) -> list[tuple[str, str]]:
    """Return the paragraphs of a text with the language of each, so that it can be declared."""
    parts = re.findall(r"(?s).+?(?:\n\n|$)", text)
    return [("ko" if HANGUL.search(part) else "en", part) for part in parts]


@register.filter
def base_name(slug: str) -> str:
    """Return a base model's name; of one that is gone, its slug."""
    return bases.name(slug)


@register.filter
def did(cure: dict) -> str:
    """Say what was done to a version's rows."""
    return report_words.did(cure)
