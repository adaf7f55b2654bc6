"""The failure clinic in words: a cure goes in, what its button says and what it changes come out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from training import bases, clinic, recipe
from training.clinic import Change, Cure
from training.models import Job

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Text = str | _StrPromise


@dataclass(frozen=True)
class Words:
    label: str
    """Of the button."""
    text: str
    """What it changes, in one or two sentences."""


BEST = _("고쳐서 다시 시작")
"""The button of the recommended cure, where nothing is left to decide."""
CURES: "dict[str, tuple[Text, Text]]" = {
    clinic.ROWS: (
        _("한 번에 적게 계산하기"),
        _("한 번에 계산하는 토큰을 줄입니다({old} → {new}). 결과는 같고 조금 느립니다."),
    ),
    clinic.SHORTER: (
        _("최대 길이 줄이기"),
        _("예제 최대 길이를 줄입니다({old} → {new}토큰). 이보다 긴 예제는 뒤를 자릅니다."),
    ),
    clinic.LORA: (
        _("PEFT로 바꾸기"),
        _(
            "전체 미세 조정(Full) 대신 효율적인 미세 조정(PEFT)으로 학습합니다. 메모리를 훨씬 적게 씁니다."
        ),
    ),
    clinic.RANK: (
        _("LoRA 랭크 줄이기"),
        _("LoRA 랭크를 줄입니다({old} → {new}). 곁에 붙이는 부분이 작아져 메모리를 덜 씁니다."),
    ),
    clinic.SLOWER: (
        _("학습률 낮추기"),
        _(
            "학습률을 낮추고({old} → {new}) 준비 구간을 늘립니다({old_warmup} → {new_warmup}). 더 천천히, 흔들리지 않게 배웁니다."
        ),
    ),
    clinic.FULL: (
        _("Full로 바꾸기"),
        _("PEFT 대신 모델 전체를 학습합니다(Full). 메모리와 디스크를 더 씁니다."),
    ),
    clinic.LONGER: (
        _("최대 길이 늘리기"),
        _("예제 최대 길이를 늘립니다({old} → {new}토큰). 메모리와 시간이 더 들 수 있습니다."),
    ),
    clinic.DROP: (
        _("긴 예제 빼기"),
        _("최대 길이보다 긴 예제를 빼고 나머지로 학습합니다."),
    ),
    clinic.CUT: (
        _("긴 예제 자르기"),
        _("긴 예제를 빼지 않고, 최대 길이까지 잘라서 학습합니다."),
    ),
    clinic.BASE: (
        _("다른 기본 모델 고르기"),
        _("나머지 설정과 학습 데이터는 그대로 두고 기본 모델만 바꿉니다."),
    ),
    clinic.DATA: (
        _("학습 데이터 고치기"),
        _("설정은 그대로 두고, 학습 데이터를 고치거나 다른 데이터를 고릅니다."),
    ),
    clinic.FETCH: (
        _("다시 가져와 시작"),
        _("같은 주소에서 파일을 다시 가져옵니다. 다 읽으면 저절로 학습을 시작합니다."),
    ),
    clinic.SAME: (
        _("같은 설정으로 다시 시작"),
        _("아무것도 바꾸지 않고 처음부터 다시 학습합니다."),
    ),
}
FIELDS: "dict[str, Text]" = {
    "method": _("학습 방법"),
    "base": _("기본 모델"),
    "overflow": _("긴 예제"),
    "version": _("학습 데이터"),
}


def is_sure(cure: Cure) -> bool:
    """Say whether it mends something without asking."""
    return not cure.opens and cure.key != clinic.SAME


def say(cure: Cure, is_best: bool = False) -> Words:
    label, text = CURES[cure.key]
    if is_best and is_sure(cure):
        label = BEST
    return Words(str(label), str(text).format_map(_shown(cure.facts)))


def _shown(facts: dict) -> dict:
    shown = {key: recipe.written(value) for key, value in facts.items()}
    warmups = {key: _share(facts[key]) for key in ("old_warmup", "new_warmup") if key in facts}
    return shown | warmups


def _share(value: float) -> str:
    return f"{round(100 * value, 1):g} %"


def promise(job: Job) -> str:
    """Say what would be changed to train a failed job again; nothing where only a person can tell."""
    best = clinic.diagnose(job).best
    return say(best).text if is_sure(best) else ""


def change(one: Change) -> str:
    """Say one difference between two tries: 한 번에 계산하는 토큰 4,096 → 2,048."""
    if one.key in recipe.BY_KEY:
        knob = recipe.BY_KEY[one.key]
        old, new = (
            _share(value) if knob.is_share else recipe.written(value)  # type: ignore[arg-type]
            for value in (one.old, one.new)
        )
        return f"{knob.label} {old} → {new}"
    return f"{FIELDS[one.key]} {_named(one.key, one.old)} → {_named(one.key, one.new)}"


def _named(key: str, value: object) -> str:
    if key == "method":
        return str(recipe.METHODS[str(value)].label)
    if key == "overflow":
        return str(recipe.OVERFLOWS[str(value)])
    if key == "base":
        return bases.name(str(value))
    return str(_("{number}판")).format(number=getattr(value, "number", "–"))
