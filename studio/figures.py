"""The figures of a training in plain words: what each is, and what a reader may take from it."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise


@dataclass(frozen=True)
class Figure:
    key: str
    name: Words
    help: Words


CHARTED = (
    Figure(
        "learning_rate",
        _("학습률"),
        _(
            "한 스텝에 모델을 얼마나 고치는지입니다. 처음에 올라갔다가 끝으로 갈수록 줄어드는 것이 정상입니다."
        ),
    ),
    Figure(
        "gradient_norm",
        _("기울기 크기"),
        _(
            "고칠 점이 얼마나 큰지입니다. 보통 차츰 작아지고, 갑자기 크게 뛰면 학습률이 크거나 이상한 예제가 있는 것입니다."
        ),
    ),
    Figure(
        "tokens_per_second",
        _("초당 토큰"),
        _("1초에 배우는 글의 양입니다. 뚝 떨어지면 컴퓨터가 다른 일도 하고 있는 것입니다."),
    ),
    Figure(
        "memory_bytes",
        _("메모리"),
        _(
            "학습하는 데 쓰는 메모리입니다. 컴퓨터의 메모리에 가까우면 다른 프로그램을 닫거나 설정을 줄이세요."
        ),
    ),
)
EXPLAINED = (
    Figure("step", _("스텝"), _("예제 한 묶음을 보고 모델을 한 번 고치는 것이 한 스텝입니다.")),
    Figure("epoch", _("학습 반복"), _("모든 예제를 몇 번째 보고 있는지입니다. 0.5는 예제의 절반을 보았다는 뜻입니다.")),
    Figure("loss", _("손실"), _("배우는 예제의 답에서 모델의 답이 얼마나 먼지입니다. 작을수록 가깝습니다.")),
    Figure(
        "validation_loss",
        _("검증 손실"),
        _("배우지 않고 따로 떼어 둔 예제로 잰 손실입니다. 이것이 다시 올라가면 예제를 외우기 시작한 것입니다."),
    ),
    *CHARTED,
)  # fmt: skip
