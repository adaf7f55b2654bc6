"""Pictures of a version's rows: a report's statistics go in, histograms and bars with their words come
out."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from studio import pictures
from studio.templatetags.studio import thousands
from training import report_words


@dataclass(frozen=True)
class Lengths:
    """A histogram with its words."""

    key: str
    title: str
    picture: pictures.Histogram | None
    sentence: str
    unit: str


@dataclass(frozen=True)
class Shares:
    """Labelled counts with their words."""

    title: str
    named: str
    rows: list[pictures.Row]
    sentence: str


def lengths_of(told: dict) -> list[Lengths]:
    """Return the histograms of a report's statistics, without those that hold nothing."""
    wanted = (
        ("question_length", _("질문 길이"), _("자"), _spread(told, "question", _("질문은 보통 {usual}자이고, 가장 긴 것은 {most}자입니다. 앞서 한 말과 시스템 프롬프트도 함께 셉니다."))),
        ("answer_length", _("답변 길이"), _("자"), _spread(told, "answer", _("답변은 보통 {usual}자이고, 가장 긴 것은 {most}자입니다."))),
        ("turns", _("주고받은 횟수"), _("번"), _("한 예제에서 묻고 답한 횟수입니다.")),
    )  # fmt: skip
    found = (
        Lengths(key, title, pictures.histogram(told[key]), words, unit)
        for key, title, unit, words in wanted
    )  # fmt: skip
    return [one for one in found if one.picture and len(one.picture.bins) > 1]


def _spread(told: dict, what: str, words: str) -> str:
    most = thousands(told[f"{what}_length"]["highest"])
    return words.format(usual=thousands(told[f"median_{what}"]), most=most)


def shares_of(told: dict) -> list[Shares]:
    """Return the lists of labelled counts of a report's statistics, without those that say nothing."""
    named = {
        name: [(names[key], count) for key, count in told[name].items()]
        for name, names in report_words.NAMED.items()
    }
    found = (
        Shares(_("갈래"), _("갈래"), pictures.bars(told["labels"]), _("답변이 몇 가지 이름뿐이어서 분류로 보았습니다.")),
        Shares(_("자주 쓴 첫머리"), _("첫머리"), pictures.bars(told["openings"], told["examples"]), _("답변을 시작하는 두 낱말입니다. 하나가 너무 많으면 답변이 한결같아집니다.")),
        Shares(_("말투"), _("말투"), pictures.bars(named["registers"]), _("답변의 문장 끝을 보고 셉니다.")),
        Shares(_("답변의 언어"), _("언어"), pictures.bars(named["languages"]), _("답변의 글자를 보고 셉니다.")),
    )  # fmt: skip
    hidden = {_("자주 쓴 첫머리")} if told["labels"] else set()
    return [one for one in found if len(one.rows) > 1 and one.title not in hidden]
