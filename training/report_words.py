"""What a data report says to a person: a finding's key goes in; what was found, why it matters and
what each cure is called come out, in the reader's language. Knows no page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from training.datasets import personal
from training.datasets.check.terms import (
    BACK,
    BALANCE,
    KEEP_ONE,
    LEAVE_OUT,
    MASK,
    NORMALISE,
    PERSONAL,
    PERSONAL_MARK,
    REWRITES,
)

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise


@dataclass(frozen=True)
class Said:
    what: str
    why: str
    cures: dict[str, str]
    """Cure -> what its button says."""


PERSONAL_KINDS: "dict[str, Words]" = {
    "resident": _("주민등록번호"),
    "mobile": _("휴대전화 번호"),
    "landline": _("전화번호"),
    "email": _("이메일 주소"),
    "card": _("카드번호"),
    "account": _("계좌번호"),
    "business": _("사업자등록번호"),
    "passport": _("여권번호"),
    "driver": _("운전면허번호"),
}
REGISTERS: "dict[str, Words]" = {
    "none": _("알 수 없음"),
    "haeyo": _("해요체"),
    "hapsyo": _("합쇼체"),
    "plain": _("반말·평어"),
}
LANGUAGES: "dict[str, Words]" = {
    "none": _("글자 없음"),
    "ko": _("한국어"),
    "en": _("영어"),
    "zh": _("중국어"),
    "ja": _("일본어"),
    "other": _("그 밖의 언어"),
}
NAMED = {"registers": REGISTERS, "languages": LANGUAGES}
_OUT: "dict[str, Words]" = {LEAVE_OUT: _("모두 빼기")}
FINDINGS: "dict[str, tuple[Words, Words, Mapping[str, Words]]]" = {
    "duplicates": (
        _("똑같은 예제가 되풀이됩니다: {count}개."),
        _("같은 예제를 여러 번 배우면 그 답변만 지나치게 외웁니다."),
        {KEEP_ONE: _("하나씩만 남기기")},
    ),
    "near_duplicates": (
        _("몇 글자만 다르고 거의 같은 예제가 있습니다: {count}개."),
        _("새로 가르치는 것 없이 그 답변 쪽으로 치우치게 합니다."),
        {KEEP_ONE: _("비슷한 것 가운데 하나만 남기기")},
    ),
    "conflicts": (
        _("같은 질문에 서로 다른 답변이 있습니다: 질문 {questions}개, 예제 {count}개."),
        _(
            "무엇이 맞는지 알 수 없어 답변이 들쭉날쭉해집니다. 여러 답변이 모두 옳다면 그대로 두세요."
        ),
        {KEEP_ONE: _("첫 답변만 남기기"), **_OUT},
    ),
    "refusals": (
        _("거절하거나 모른다고 하는 답변이 전체의 {share}입니다: {count}개."),
        _("{wanted}를 크게 넘으면 답할 수 있는 질문에도 거절하게 됩니다."),
        {BALANCE: _("{wanted}만 남기기"), **_OUT},
    ),
    "same_answer": (
        _("답변 하나가 전체의 {share}를 차지합니다: «{answer}», {count}개."),
        _("무엇을 물어도 이 답변으로 기울게 됩니다."),
        {BALANCE: _("{kept}만 남기기")},
    ),
    "label_skew": (
        _("갈래마다 예제 수가 크게 다릅니다: «{commonest}» {most}개, «{rarest}» {least}개."),
        _("드문 갈래는 배우지 못하고 흔한 갈래로만 답하게 됩니다. 드문 갈래의 예제를 더하는 것이 가장 좋습니다."),
        {BALANCE: _("많은 갈래를 {limit}개까지 줄이기"), LEAVE_OUT: _("드문 갈래 빼기")},
    ),
    "label_spellings": (
        _("같은 갈래를 다르게 적은 예제가 있습니다: {count}개."),
        _("띄어쓰기나 마침표만 달라도 모델에게는 다른 갈래입니다."),
        {NORMALISE: _("가장 많이 쓴 이름으로 맞추기")},
    ),
    "copies": (
        _("질문을 그대로 되풀이한 답변이 있습니다: {count}개."),
        _(
            "모델이 답하지 않고 질문을 따라 말하게 됩니다. 맞춤법 교정처럼 그대로 두는 것이 정답인 데이터라면 그대로 두세요."
        ),
        _OUT,
    ),
    "broken": (
        _("비었거나 부호뿐인 답변이 있습니다: {count}개."),
        _("빈칸을 뜻하는 글자까지 답변으로 배웁니다."),
        _OUT,
    ),
    "registers": (
        _("말투가 섞여 있습니다: {main} {share}, 다른 말투 {count}개."),
        _("비슷한 질문에도 말투가 오락가락하게 됩니다."),
        {LEAVE_OUT: _("다른 말투 빼기")},
    ),
    "languages": (
        _("답변의 언어가 섞여 있습니다: {main} {share}, 다른 언어 {count}개."),
        _("묻지 않은 언어로 답할 수 있습니다. 번역을 가르치는 데이터라면 그대로 두세요."),
        {LEAVE_OUT: _("다른 언어 빼기")},
    ),
    "foreign_letters": (
        _("한국어 답변에 한자나 일본 글자가 섞여 있습니다: {count}개."),
        _("다른 모델이 만든 글에서 자주 보이는 흠입니다. 일부러 쓴 한자라면 그대로 두세요."),
        _OUT,
    ),
    "mojibake": (
        _("글자가 깨진 예제가 있습니다: {count}개."),
        _("깨진 글자가 답변에도 나옵니다. 원본을 알맞은 인코딩으로 다시 올리면 고쳐질 수도 있습니다."),
        _OUT,
    ),
    "control_characters": (
        _("눈에 보이지 않는 글자가 든 예제가 있습니다: {count}개."),
        _("한글 문서나 웹에서 복사할 때 딸려 온 것으로, 같은 낱말을 다른 낱말로 배우게 합니다."),
        {NORMALISE: _("보이지 않는 글자 지우기"), **_OUT},
    ),
    "spaces": (
        _("빈칸이나 빈 줄이 쓸데없이 많은 예제가 있습니다: {count}개."),
        _("답변에도 빈칸과 빈 줄이 따라 나옵니다."),
        {NORMALISE: _("빈칸 정리하기"), **_OUT},
    ),
    "html": (
        _("웹 페이지의 표시(<br> 따위)가 남은 예제가 있습니다: {count}개."),
        _("답변에도 이런 표시가 섞여 나옵니다. 웹 페이지를 쓰는 법을 가르치는 데이터라면 그대로 두세요."),
        {NORMALISE: _("표시 지우기"), **_OUT},
    ),
    "chat_marks": (
        _("다른 모델의 대화 표시나 «답변:» 같은 머리말이 붙은 예제가 있습니다: {count}개."),
        _("모델마다 쓰는 대화 표시는 저절로 붙으므로, 글에 남아 있으면 답변에 그대로 나옵니다."),
        {NORMALISE: _("표시 지우기"), **_OUT},
    ),
    "placeholders": (
        _("채우지 않은 자리(○○○, [회사명] 따위)가 남은 예제가 있습니다: {count}개."),
        _("답변에도 빈자리가 그대로 나옵니다."),
        _OUT,
    ),
    "forms": (
        _("질문의 형식이 다른 예제가 있습니다: {count}개."),
        _("학습할 때와 쓸 때의 질문 형식이 같아야 잘 답합니다. 형식을 하나로 맞추세요."),
        {LEAVE_OUT: _("형식이 다른 예제 빼기")},
    ),
    "system_prompts": (
        _("시스템 프롬프트가 있는 예제와 없는 예제가 섞여 있습니다: 적은 쪽이 {count}개."),
        _("학습할 때와 쓸 때의 형식이 같아야 잘 답합니다. 쓸 때와 같은 쪽으로 맞추세요."),
        {LEAVE_OUT: _("적은 쪽 빼기")},
    ),
    "overlap": (
        _("검증용으로 나누어 둔 데이터에도 있는 질문이 있습니다: {count}개."),
        _("배운 질문으로 시험을 보면 실제보다 잘하는 것처럼 보입니다."),
        {LEAVE_OUT: _("겹치는 예제 빼기")},
    ),
    "validation_leak": (
        _("되풀이되는 질문 때문에 검증에 쓸 예제 약 {expected}개가 학습에 쓸 예제와 겹칩니다."),
        _("배운 질문으로 시험을 보면 실제보다 잘하는 것처럼 보입니다."),
        {KEEP_ONE: _("질문마다 하나만 남기기")},
    ),
    PERSONAL: (
        _("여러 가지 개인정보가 든 예제가 모두 {count}개 있습니다."),
        _("모델은 배운 것을 그대로 말할 수 있습니다."),
        {MASK: _("찾은 개인정보를 한꺼번에 가리기")},
    ),
    "few": (
        _("예제가 {count}개라서 {minimum}개에 {more}개 모자랍니다."),
        _(
            "50~100개로도 되는 방향인지는 보이지만, 고르게 답하려면 더 필요합니다. 예제가 두 배가 될 때마다 비슷한 만큼씩 나아집니다."
        ),
        {},
    ),
}  # fmt: skip
TOPICS: "dict[str, Words]" = {
    "duplicates": _("똑같은 예제"),
    "near_duplicates": _("거의 같은 예제"),
    "conflicts": _("같은 질문의 다른 답변"),
    "refusals": _("거절하는 답변"),
    "same_answer": _("한 가지 답변"),
    "label_skew": _("치우친 갈래"),
    "label_spellings": _("갈래의 이름"),
    "copies": _("질문을 되풀이한 답변"),
    "broken": _("빈 답변"),
    "registers": _("다른 말투"),
    "languages": _("다른 언어"),
    "foreign_letters": _("한자와 일본 글자"),
    "mojibake": _("깨진 글자"),
    "control_characters": _("보이지 않는 글자"),
    "spaces": _("빈칸"),
    "html": _("웹 페이지의 표시"),
    "chat_marks": _("대화 표시"),
    "placeholders": _("채우지 않은 자리"),
    "forms": _("다른 형식의 질문"),
    "system_prompts": _("시스템 프롬프트"),
    "overlap": _("검증과 겹치는 예제"),
    "validation_leak": _("되풀이되는 질문"),
    PERSONAL: _("개인정보"),
}
"""What a finding is about, in a few words."""
_HOLDS: "tuple[Words, Words, Words]" = (
    _("{kind}가 든 예제가 있습니다: {count}개."),
    _("모델은 배운 것을 그대로 말할 수 있습니다."),
    _("모두 {place}로 바꾸기"),
)
_MAY_BE_PUBLIC = _("기관의 대표 연락처처럼 공개된 것이라면 그대로 두어도 됩니다.")
PUBLIC = ("landline", "email", "business")


def say(finding: dict) -> Said:
    """Return a finding's words; `finding` is one of a report's (see datasets/check/report.py)."""
    key, params = finding["key"], _told(finding)
    kind = key.removeprefix(PERSONAL_MARK)
    if kind in PERSONAL_KINDS and kind != key:
        what, why, mask = _HOLDS
        more = _MAY_BE_PUBLIC if kind in PUBLIC else ""
        reason = format_lazy("{why} {more}", why=why, more=more)
        return _said(
            what,
            reason,
            {MASK: mask},
            params | {"kind": PERSONAL_KINDS[kind], "place": personal.PLACEHOLDERS[kind]},
        )
    what, why, cures = FINDINGS[key]
    return _said(what, why, cures, params)


def did(cure: dict) -> str:
    """Say what was done to a version's rows; `cure` is DatasetVersion.cure, and not empty."""
    if cure["how"] == BACK:
        return str(_("{number}판의 예제로 되돌림")).format(number=cure["number"])
    key, count = cure["key"], f"{cure['count']:,}"
    kind = key.removeprefix(PERSONAL_MARK)
    topic = PERSONAL_KINDS[kind] if kind in PERSONAL_KINDS and kind != key else TOPICS[key]
    is_rewritten = cure["how"] in REWRITES
    words = _("{topic}: {count}개 고침") if is_rewritten else _("{topic}: {count}개 뺌")
    return str(words).format(topic=topic, count=count)


def _said(what: Any, why: Any, cures: Mapping, params: dict) -> Said:
    named = {cure: str(label).format(**params) for cure, label in cures.items()}
    return Said(str(what).format(**params), str(why).format(**params).strip(), named)


def _told(finding: dict) -> dict[str, Any]:
    """Return a finding's params as a person reads them: shares as per cent, numbers with commas."""
    told: dict[str, Any] = {"count": finding["count"]} | finding["params"]
    for name, value in told.items():
        if name in ("share", "wanted", "kept"):
            told[name] = per_cent(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            told[name] = f"{value:,}"
    if finding["key"] in NAMED and "main" in told:
        told["main"] = NAMED[finding["key"]][told["main"]]
    return told


def per_cent(share: float) -> str:
    number = 100 * share
    return f"{number:.0f} %" if 1 <= number <= 99 or share == 1 else f"{number:.1f} %"
