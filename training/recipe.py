"""Methods and knobs: what a user may choose, its bounds, its help, and what "auto" stands for.

Form, REST schema, help texts and `jobs.start` read this table; a knob lives in one row of it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise

AUTO = "auto"
LORA, FULL = "lora", "full"
LEARNING_RATES = {LORA: 2e-4, FULL: 2e-5}
"""Of a base of USUAL_PARAMETERS; others want another (`automatic_learning_rate`)."""
USUAL_PARAMETERS = 7e9
GROWTH = 0.4
"""A tenth of the parameters wants 10 ** 0.4 = 2.5 times the rate, never more than HIGHEST_TIMES it."""
HIGHEST_TIMES = 5
USUAL_EPOCHS = 3
LEAST_LOOKS, MOST_LOOKS = 1000, 25_000
"""Examples that auto lets the model see, each time counted, at 25 epochs at most and one at least."""
SEED = 42
SHAPE = ("lora_rank", "lora_alpha")
"""Knobs that a tuned model has for good: training it further can't change them."""
PATIENCE, TELLING = 4, 50
"""Validations without a better one that auto waits for, two epochs, and the held-back examples from which
on they tell when to stop: with fewer, chance picks the step (benchmarks/defaults.py)."""
LONGEST = 8192
"""Tokens of an example that auto takes at most."""
ROW_TOKENS = 4096
"""Tokens that go through the model at once, unless a single example is longer."""


@dataclass(frozen=True)
class Method:
    key: str
    label: "Words"
    summary: "Words"
    when: "Words"
    cost: "Words"


METHODS = {
    LORA: Method(
        LORA,
        _("효율적인 미세 조정(PEFT)"),
        _("모델은 그대로 두고, 곁에 붙인 작은 부분만 학습합니다."),
        _("대부분의 경우에 알맞습니다. 처음이라면 이 방법을 선택하세요."),
        _("메모리와 디스크를 적게 쓰고, 결과 파일이 작습니다."),
    ),
    FULL: Method(
        FULL,
        _("전체 미세 조정(Full)"),
        _("모델의 모든 가중치를 학습합니다."),
        _("예제가 아주 많고, 모델의 말투나 지식을 크게 바꾸어야 할 때 선택하세요."),
        _("메모리를 두 배쯤 쓰고, 결과 파일이 모델 전체만큼 큽니다."),
    ),
}


CUT, DROP, FAIL = "cut", "drop", "fail"
OVERFLOWS = {
    CUT: _("한계까지 자르기"),
    DROP: _("한계보다 긴 예제 빼기"),
    FAIL: _("한계보다 긴 예제가 있으면 시작하지 않기"),
}
"""What happens to examples longer than max_length."""


@dataclass(frozen=True)
class Knob:
    key: str
    label: "Words"
    help: "Words"
    unit: "Words"
    kind: str
    """int or float."""
    low: float
    high: float
    rule: "Words"
    """What auto does, in one sentence."""
    methods: tuple[str, ...] = (LORA, FULL)
    expert: bool = False
    counters: tuple[str, ...] = ()
    """Words that may stand behind the number."""
    is_share: bool = False
    """Shown in percent, and may be written so."""


KNOBS = (
    Knob(
        "epochs",
        _("학습 반복"),
        _(
            "전체 학습 데이터를 처음부터 끝까지 몇 번 볼지 정합니다. 많으면 예제를 더 닮고, 지나치면 예제만 외웁니다."
        ),
        _("번"),
        "int",
        1,
        50,
        _(
            "예제 수에 맞춥니다. 보통 3번이고, 예제가 적으면 모두 1,000개를 볼 때까지 더 많이(25번까지), 아주 많으면 더 적게 봅니다."
        ),
        counters=("번", "회"),
    ),
    Knob(
        "batch_size",
        _("배치 크기"),
        _(
            "한 스텝에서 함께 보고 한 번 고치는 예제의 수입니다. 크면 학습이 고르고, 작으면 자주 고칩니다."
        ),
        _("개"),
        "int",
        1,
        256,
        _("8개로 시작합니다."),
        counters=("개",),
    ),
    Knob(
        "learning_rate",
        _("학습률"),
        _(
            "한 스텝에서 모델을 얼마나 크게 바꿀지 정합니다. 크면 빨리 배우지만 흔들리고, 작으면 천천히 배웁니다."
        ),
        "",
        "float",
        1e-7,
        1e-1,
        _(
            "방법과 기본 모델의 크기에 맞춥니다. 매개변수가 70억 개이면 PEFT는 0.0002, Full은 0.00002이고, 더 작은 모델에서는 다섯 배까지 높입니다."
        ),
    ),
    Knob(
        "max_length",
        _("예제 최대 길이"),
        _(
            "예제 하나에서 학습에 쓰는 길이입니다. 이보다 긴 예제는 따로 정하지 않으면 여기까지만 잘라서 사용합니다."
        ),
        _("토큰"),
        "int",
        16,
        131_072,
        _("기본 모델의 한계를 따르되 8,192토큰을 넘지 않습니다."),
        counters=("토큰",),
        expert=True,
    ),
    Knob(
        "row_tokens",
        _("한 번에 계산하는 토큰"),
        _(
            "한 번에 모델을 지나는 토큰의 수입니다. 작으면 메모리를 덜 쓰고 조금 느리며, 결과는 같습니다."
        ),
        _("토큰"),
        "int",
        128,
        131_072,
        _("4,096토큰입니다."),
        counters=("토큰",),
        expert=True,
    ),
    Knob(
        "lora_rank",
        _("LoRA 랭크"),
        _("곁에 붙이는 부분의 크기입니다. 크면 더 많이 배우고 메모리를 더 씁니다."),
        "",
        "int",
        1,
        256,
        _("16입니다."),
        methods=(LORA,),
        expert=True,
    ),
    Knob(
        "lora_alpha",
        _("LoRA 알파"),
        _("곁에 붙인 부분을 얼마나 세게 반영할지 정합니다."),
        "",
        "int",
        1,
        1024,
        _("랭크의 두 배입니다."),
        methods=(LORA,),
        expert=True,
    ),
    Knob(
        "warmup_ratio",
        _("준비 구간"),
        _("학습률을 0에서 목표까지 천천히 올리는 구간의 비율입니다."),
        "",
        "float",
        0,
        0.5,
        _("전체 스텝의 10 %입니다."),
        expert=True,
        is_share=True,
    ),
    Knob(
        "validation_share",
        _("검증 데이터 비율"),
        _("학습에 쓰지 않고 남겨 두어, 처음 보는 예제에서도 잘하는지 재는 데이터의 비율입니다."),
        "",
        "float",
        0,
        0.5,
        _("10 %를 남기되 500개를 넘지 않습니다."),
        expert=True,
        is_share=True,
    ),
    Knob(
        "patience",
        _("조기 종료"),
        _(
            "검증 손실이 연속으로 이만큼 나아지지 않으면 학습을 멈추고, 가장 좋았던 때의 모델을 남깁니다. 검증은 학습 반복마다 두 번 합니다. 0이면 끝까지 학습하고 마지막 모델을 남깁니다."
        ),
        _("번"),
        "int",
        0,
        100,
        _("검증 데이터가 50개 이상이면 4번이고, 더 적으면 우연에 흔들리므로 끝까지 학습합니다."),
        counters=("번", "회"),
        expert=True,
    ),
    Knob(
        "seed",
        _("시드"),
        _("순서를 섞는 난수의 출발점입니다. 같은 값이면 같은 순서로 학습합니다."),
        "",
        "int",
        0,
        2**31 - 1,
        _("42입니다."),
        expert=True,
    ),
)
BY_KEY = {knob.key: knob for knob in KNOBS}


TASTE_ROWS = 10
"""Examples of a taste (taste.py)."""


class Invalid(Exception):
    """Knobs that can't be used. `errors` maps a knob's key to a sentence for the user, `sound`
    holds the numbers of the others."""

    def __init__(self, errors: "dict[str, Words]", sound: dict | None = None) -> None:
        super().__init__(errors)
        self.errors, self.sound = errors, sound or {}


def knobs_of(method: str) -> list[Knob]:
    return [knob for knob in KNOBS if method in knob.methods]


def rule(key: str, method: str) -> str:
    return str(BY_KEY[key].rule)


def parse(method: str, raw: Mapping[str, object]) -> dict:
    """Turn form or API values into numbers; "" and "auto" mean auto.

    Takes what people write as long as it can mean one thing only: 1,024 · 0,0002 · 3번 · 10 %.

    Raises: Invalid with a sentence for each knob that is out of its bounds.
    """
    errors: dict[str, Words] = {}
    chosen: dict = {}
    for knob in knobs_of(method):
        value = str(raw.get(knob.key, "")).strip()
        if value in ("", AUTO, str(_("자동"))):
            continue
        number = _number(knob, value)
        if number is None:
            errors[knob.key] = format_lazy(
                _("{label}: {low}에서 {high} 사이의 {kind}를 쓰거나 비워 두세요."),
                label=knob.label,
                low=written(knob.low),
                high=written(knob.high),
                kind=_("정수") if knob.kind == "int" else _("숫자"),
            )
        else:
            chosen[knob.key] = number
    if errors:
        raise Invalid(errors, chosen)
    return chosen


def written(number: float) -> str:
    """Write a number with separators and without an exponent."""
    text = f"{number:,.10f}"
    return text.rstrip("0").rstrip(".")


GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def _number(knob: Knob, text: str) -> float | int | None:
    for counter in (*knob.counters, str(knob.unit)):
        text = text.removesuffix(counter).rstrip()
    is_percent = knob.is_share and text.endswith("%")
    text = text.removesuffix("%").rstrip() if is_percent else text
    if GROUPED.fullmatch(text):
        text = text.replace(",", "")
    elif DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        number = float(text) / (100 if is_percent else 1)
    except ValueError:
        return None
    if not knob.low <= number <= knob.high or (knob.kind == "int" and number != int(number)):
        return None
    return int(number) if knob.kind == "int" else number


def resolve(
    method: str, knobs: Mapping, *, examples: int, context_length: int, parameters: int = 0,
    more_epochs: int = 0,
) -> dict:  # fmt: skip
    """Return a number for every knob of the method: the user's, or what auto makes of the facts.

    `examples` counts before the validation split; `context_length` is in tokens, `parameters` are the
    base's (0: not known); `more_epochs` is what a kind of work adds to auto (works.py).
    """
    values = dict(knobs)
    automatic = {
        "epochs": lambda: automatic_epochs(examples) + more_epochs,
        "batch_size": lambda: 8,
        "learning_rate": lambda: automatic_learning_rate(method, parameters),
        "max_length": lambda: min(context_length, LONGEST),
        "lora_rank": lambda: 16,
        "lora_alpha": lambda: 2 * values["lora_rank"],
        "warmup_ratio": lambda: 0.1,
        "validation_share": lambda: automatic_validation_share(examples),
        "patience": lambda: automatic_patience(examples, values["validation_share"]),
        "row_tokens": lambda: ROW_TOKENS,
        "seed": lambda: SEED,
    }
    for knob in knobs_of(method):
        if knob.key not in values:
            values[knob.key] = automatic[knob.key]()
    values["max_length"] = min(values["max_length"], context_length)
    return {knob.key: values[knob.key] for knob in knobs_of(method)}


def automatic_learning_rate(method: str, parameters: int) -> float:
    """The smaller the base, the higher, to one digit: LoRA's is a line between logarithms through 1e-3 for
    135M parameters (benchmarks/defaults.py), 2e-4 for 7B and 1e-4 for 33B (QLoRA, Dettmers et al. 2023);
    all weights want a tenth of it (Schulman et al., LoRA Without Regret, 2025). Not known: as 7B."""
    times = (USUAL_PARAMETERS / (parameters or USUAL_PARAMETERS)) ** GROWTH
    return float(f"{LEARNING_RATES[method] * min(times, HIGHEST_TIMES):.0e}")


def automatic_epochs(examples: int) -> int:
    """The rule of OpenAI's fine-tuning cookbook (three, more for few rows, fewer for very many), but few
    rows are seen until 1,000 were seen in all, not 100."""
    if examples * USUAL_EPOCHS < LEAST_LOOKS:
        return min(25, math.ceil(LEAST_LOOKS / max(examples, 1)))
    if examples * USUAL_EPOCHS > MOST_LOOKS:
        return max(1, MOST_LOOKS // examples)
    return USUAL_EPOCHS


def automatic_validation_share(examples: int) -> float:
    """A tenth, and 500 examples at most."""
    return min(0.1, 500 / max(examples, 1))


def automatic_patience(examples: int, validation_share: float) -> int:
    """Few held-back examples do not end a training: it goes on to its end and keeps the last model."""
    return PATIENCE if validation_count(examples, validation_share) >= TELLING else 0


def validation_count(examples: int, share: float) -> int:
    """How many examples are held back: none of fewer than 10, never more than half or 2,000."""
    return 0 if examples < 10 or share <= 0 else min(2000, max(1, math.floor(examples * share)))


def steps(resolved: Mapping, examples: int) -> int:
    """Optimiser steps of a whole run."""
    trained = examples - validation_count(examples, resolved["validation_share"])
    return resolved["epochs"] * math.ceil(max(trained, 1) / resolved["batch_size"])
