"""Kinds of work that a model is tuned for: what each is, how its examples are written, what suits it.

Wizard, pages, template files and playground read this table; the five examples of each kind lie
beside the readers (datasets/samples/works/), as rows of the kind's own template.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from training.recipe import Knob

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise


@dataclass(frozen=True, eq=False)
class Work:
    """One kind of work.

    Only the number of epochs differs from what auto makes of the data. The loss counts the tokens
    of answers alone: where these are few beside the prompt (one name in 분류, one sentence under a
    page of text in 참고 문서), a pass teaches little, and the answer is either right or wrong, so
    following the examples closely is wanted. Where answers are long and may differ, it is not. The
    step of one or two is the guide's for answers that do not follow the data; it is added to auto,
    so that very much data stays affordable.
    """

    key: str
    label: "Words"
    summary: "Words"
    """What it is, in one sentence."""
    advice: "tuple[Words, ...]"
    """How to write good examples."""
    talking: Mapping[str, float] = field(default_factory=dict)
    """What a conversation with such a model begins with, by the playground's names."""
    more_epochs: int = 0
    """Added to what auto makes of the number of examples."""


CLASSIFY = "classify"
_ALL = (
    Work(
        "draft",
        _("문서 초안 작성"),
        _("몇 가지 사실을 적어 주면 정해진 형식을 갖춘 문서의 초안을 씁니다."),
        (
            _("지시에는 실제로 손에 쥐고 시작하는 만큼만 적으세요. 메모 몇 줄이어도 됩니다."),
            _("초안은 결재를 받은 문서처럼 제목, 번호, 줄바꿈, 맺음말까지 갖추어 적으세요."),
            _("지시에 없는 날짜, 이름, 금액은 초안에도 쓰지 마세요. 쓰면 모델이 지어내는 것을 배웁니다."),
            _("공문, 보도자료, 보고서처럼 쓰는 문서의 종류를 실제 비율에 가깝게 섞으세요."),
        ),
        {"temperature": 0.8, "top_p": 0.95, "max_tokens": 1024},
    ),
    Work(
        "summary",
        _("요약"),
        _("긴 글에서 중요한 것만 골라 짧게 줄입니다."),
        (
            _("지시를 한 문장으로 정해 모든 예제에 똑같이 쓰고, 쓸 때도 그대로 쓰세요."),
            _("요약의 길이와 문체를 하나로 정하세요. 예를 들면 «세 문장 안으로, ~다로 끝맺기»입니다."),
            _("원문에 있는 내용만 적고, 날짜와 숫자는 원문과 맞는지 한 번 더 확인하세요."),
            _("짧은 글과 긴 글, 회의록과 민원처럼 여러 종류의 원문을 넣으세요."),
        ),
        {"temperature": 0.3, "top_p": 0.9, "max_tokens": 512},
    ),
    Work(
        "dialogue",
        _("대화"),
        _("앞에서 주고받은 말을 기억하며 여러 번 묻고 답합니다."),
        (
            _("한 대화는 대화번호를 같게 하고, 주고받은 차례대로 한 줄에 하나씩 적으세요."),
            _("두세 번 이상 주고받고, 앞에서 들은 내용을 뒤의 답변에서 쓰세요."),
            _("모르는 것은 되묻는 답변을 넣으세요. 없으면 모델이 짐작으로 답합니다."),
            _("화난 손님이나 말이 짧은 손님에게도 같은 말투로 답하세요."),
        ),
        {"temperature": 0.7, "top_p": 0.95, "max_tokens": 512},
    ),
    Work(
        "answer",
        _("질의/응답"),
        _("자주 받는 질문에 정해진 내용과 말투로 답합니다."),
        (
            _("질문은 다듬지 말고 사람들이 실제로 묻는 말 그대로 적으세요. 짧거나 틀린 말도 좋습니다."),
            _("같은 내용을 서너 가지로 달리 물은 질문을 넣고, 답변은 서로 어긋나지 않게 적으세요."),
            _("답변은 그대로 보낼 수 있게 적으세요. 결론을 먼저 쓰고 방법과 담당을 덧붙입니다."),
            _("답할 수 없는 질문도 조금 넣고, 대신 무엇을 하면 되는지 알려 주세요."),
        ),
        {"temperature": 0.3, "top_p": 0.9, "max_tokens": 512},
    ),
    Work(
        "reference",
        _("참고 문서 기반 질의/응답"),
        _("질문과 함께 준 문서에서 답을 찾고, 없으면 없다고 답합니다."),
        (
            _("참고 문서에는 쓸 때 붙여 넣을 만큼의 글을 그대로 적으세요."),
            _("답변은 참고 문서에 있는 내용만으로 적으세요. 아는 것을 보태면 모델도 보탭니다."),
            _("문서에 답이 없는 질문을 열에 한둘 넣고, 늘 같은 말로 없다고 답하세요."),
            _("두 곳을 이어 보거나 날짜를 셈해야 하는 질문도 넣으세요."),
        ),
        {"temperature": 0.1, "top_p": 0.9, "max_tokens": 512},
        more_epochs=1,
    ),
    Work(
        "translate",
        _("번역"),
        _("글을 다른 언어로, 정해진 용어와 문체로 옮깁니다."),
        (
            _("어느 언어로 옮길지 지시에 적고, 같은 방향에는 늘 같은 지시를 쓰세요."),
            _("부서 이름과 직책처럼 되풀이되는 용어는 모든 예제에서 하나로 옮기세요."),
            _("낱말보다 문장과 문단을 넣으세요. 실제로 옮길 글과 길이가 비슷해야 합니다."),
            _("사람이 다듬은 번역만 넣으세요. 번역기의 말투도 그대로 배웁니다."),
        ),
        {"temperature": 0.1, "top_p": 0.9, "max_tokens": 1024},
    ),
    Work(
        CLASSIFY,
        _("분류"),
        _("글을 읽고 정해 둔 이름 가운데 하나를 고릅니다."),
        (
            _("지시에 고를 수 있는 이름을 모두 적고, 모든 예제에 똑같이 쓰세요."),
            _("갈래에는 이름 하나만 적으세요. 마침표나 설명이 붙으면 그것까지 배웁니다."),
            _("갈래마다 예제를 스무 개쯤은 넣고, 드문 갈래도 빠뜨리지 마세요."),
            _("헷갈리는 글일수록 많이 넣으세요. 기준은 미리 정하고 여럿이 같게 나누어야 합니다."),
        ),
        {"temperature": 0, "top_p": 1, "max_tokens": 64},
        more_epochs=2,
    ),
)  # fmt: skip
WORKS = {work.key: work for work in _ALL}
ADVISED = "epochs"
"""The one knob that a kind of work has a say in."""


def more_epochs(key: str) -> int:
    """Return what a kind adds to the automatic number of epochs; no kind adds nothing."""
    return WORKS[key].more_epochs if key in WORKS else 0


def is_advised(key: str, knob: str) -> bool:
    """Say whether a knob left to us is other than auto would have it."""
    return knob == ADVISED and more_epochs(key) != 0


def rule(key: str, knob: Knob) -> "Words":
    """Say what a knob left to us becomes for a kind of work."""
    if not is_advised(key, knob.key):
        return knob.rule
    more = _("«{work}»에 권장하는 대로 여기에 {count}번을 더합니다.")
    said = format_lazy(more, work=WORKS[key].label, count=more_epochs(key))
    return format_lazy("{rule} {more}", rule=knob.rule, more=said)
