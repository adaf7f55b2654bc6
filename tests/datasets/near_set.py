"""Pairs of rows that say the same in nearly the same letters, and pairs that only look like it.

Made by hand-written rules from sentences of their own, which know nothing of how the check works:
what a person does to a text when it is entered twice, and what distinguishes two real questions.
"""

import random
from collections.abc import Callable, Iterator

import numpy as np

from training.datasets.check import near
from training.datasets.check.features import Block
from training.datasets.plain import Said, Talk

Row = tuple[str, str]
PLACES = ("종로", "해운대", "수성", "유성", "덕진", "상당", "원미", "처인", "일산서", "단원", "팔달", "분당", "남동", "연수", "광산", "북", "울주", "기장", "달성", "강화")  # fmt: skip
THINGS = ("주민등록등본", "가족관계증명서", "인감증명서", "토지대장", "건축물대장", "지방세 납세증명", "병적증명서", "출입국 사실증명", "농지대장", "임야도", "장애인 증명서", "기초생활수급자 증명")  # fmt: skip
QUESTIONS = (
    "{place}구에 사는데 {thing}을 떼려면 어디로 가야 하고 무엇을 가져가야 하는지 알려 주세요",
    "{thing} 발급 수수료가 얼마인지, 그리고 {place}구청 무인발급기에서도 되는지 궁금합니다",
    "부모님 대신 {thing} 신청을 하려는데 {place}구에서는 위임장 말고 다른 서류도 필요한가요",
    "회사에 낼 {thing}이 급하게 필요한데 {place}구 야간 민원실에서 받을 수 있을까요",
)
ANSWERS = (
    "{thing}은 가까운 주민센터 어디서나 신분증을 보여 주시면 바로 떼어 드립니다. {place}구청 민원실은 저녁 여섯 시까지 엽니다.",
    "{place}구청 1층 민원실 또는 무인발급기에서 발급됩니다. 대리인이 오실 때는 위임장과 두 분의 신분증을 함께 가져오세요.",
    "정부24에서 집에서도 발급받을 수 있습니다. 방문하신다면 {place}구 어느 동 주민센터든 가능하며 {thing}은 그 자리에서 나옵니다.",
)
GREETINGS = ("안녕하세요. ", "수고 많으십니다. ", "문의드립니다. ")
SAME = (("알려 주세요", "가르쳐 주세요"), ("궁금합니다", "알고 싶습니다"), ("필요한가요", "있어야 하나요"), ("급하게", "빨리"), ("바로", "곧바로"), ("함께", "같이"), ("떼려면", "발급받으려면"), ("가까운", "근처"))  # fmt: skip


def base(dice: random.Random, place: str = "", thing: str = "", question: int = -1) -> Row:
    words = {"place": place or dice.choice(PLACES), "thing": thing or dice.choice(THINGS)}
    asked = QUESTIONS[question] if question >= 0 else dice.choice(QUESTIONS)
    return asked.format(**words), dice.choice(ANSWERS).format(**words)


# --- what happens to a text that is entered twice ----------------------------------------------
def signs(dice: random.Random, row: Row) -> Row:
    return row[0] + dice.choice(("?", "??", "!", ".", "~")), row[1].replace(". ", "! ")


def blanks(dice: random.Random, row: Row) -> Row:
    words = row[0].split()
    at = dice.randrange(1, len(words) - 1)
    return " ".join(words[:at]) + "".join(words[at : at + 1]) + " ".join(words[at + 1 :]), row[1]


def greeting(dice: random.Random, row: Row) -> Row:
    return dice.choice(GREETINGS) + row[0], row[1]


def typo(dice: random.Random, row: Row) -> Row:
    at = dice.randrange(len(row[0]) // 2, len(row[0]))
    return row[0][:at] + row[0][at + 1 :], row[1]


def other_word(dice: random.Random, row: Row) -> Row:
    text = row
    for old, new in dice.sample(SAME, len(SAME)):
        if any(old in part for part in text):
            return text[0].replace(old, new), text[1].replace(old, new)
    return greeting(dice, row)


def tail(dice: random.Random, row: Row) -> Row:
    return row[0], row[1] + dice.choice((" 감사합니다.", " 고맙습니다.", " 좋은 하루 되세요."))


def lines(dice: random.Random, row: Row) -> Row:
    return row[0], row[1].replace(". ", ".\n")


TWICE: tuple[Callable[[random.Random, Row], Row], ...] = (
    signs, blanks, greeting, typo, other_word, tail, lines,
)  # fmt: skip


# --- what only looks alike ----------------------------------------------------------------------
def other_thing(dice: random.Random) -> tuple[Row, Row]:
    first, second = dice.sample(THINGS, 2)
    place, question = dice.choice(PLACES), dice.randrange(len(QUESTIONS))
    return base(dice, place, first, question), base(dice, place, second, question)


def other_question(dice: random.Random) -> tuple[Row, Row]:
    first, second = dice.sample(range(len(QUESTIONS)), 2)
    place, thing = dice.choice(PLACES), dice.choice(THINGS)
    return base(dice, place, thing, first), base(dice, place, thing, second)


def other_place_and_thing(dice: random.Random) -> tuple[Row, Row]:
    (one, other), (first, second) = dice.sample(PLACES, 2), dice.sample(THINGS, 2)
    question = dice.randrange(len(QUESTIONS))
    return base(dice, one, first, question), base(dice, other, second, question)


def other_date(dice: random.Random) -> tuple[Row, Row]:
    question, answer = base(dice)
    first, second = dice.sample(range(1, 29), 2)
    noted = " 접수 기간은 {}월 {}일까지이니 늦지 않게 신청해 주세요."
    month = dice.randrange(1, 13)
    return (question, answer + noted.format(month, first)), (
        question,
        answer + noted.format(month, second),
    )


def other_price(dice: random.Random) -> tuple[Row, Row]:
    question, answer = base(dice)
    first, second = dice.sample(range(300, 5000, 100), 2)
    return (question, f"{answer} 수수료는 {first:,}원입니다."), (
        question,
        f"{answer} 수수료는 {second:,}원입니다.",
    )


def same_instruction(dice: random.Random) -> tuple[Row, Row]:
    told = "다음 민원을 읽고 담당 부서를 하나만 고르세요. 고를 수 있는 부서는 민원여권과, 토지정보과, 건축과, 세무과, 복지정책과, 농업기술센터입니다. 부서 이름만 답하고 다른 말은 쓰지 마세요.\n민원: "
    (one, _), _other = other_thing(dice)
    return (told + one[0], "민원여권과"), (told + other_question(dice)[1][0], "세무과")


ONLY_ALIKE: tuple[Callable[[random.Random], tuple[Row, Row]], ...] = (
    other_thing, other_question, other_place_and_thing, other_date, other_price, same_instruction,
)  # fmt: skip


def positives(count: int, seed: int) -> Iterator[tuple[str, Row, Row]]:
    """Yield `count` pairs that are the same row entered twice, with the name of what happened to it."""
    dice = random.Random(seed)
    for number in range(count):
        row, change = base(dice), TWICE[number % len(TWICE)]
        twice = change(dice, row)
        if number % 2:  # and something else besides
            twice = dice.choice(TWICE)(dice, twice)
        yield change.__name__, row, twice


def negatives(count: int, seed: int) -> Iterator[tuple[str, Row, Row]]:
    """Yield `count` pairs that are two different rows, with the name of what differs."""
    dice = random.Random(seed)
    for number in range(count):
        differ = ONLY_ALIKE[number % len(ONLY_ALIKE)]
        one, other = differ(dice)
        if one != other:
            yield differ.__name__, one, other


def is_found(one: Row, other: Row) -> bool:
    """Say whether the check takes two rows that are alone for near duplicates."""
    talks = [Talk([Said("user", row[0]), Said("assistant", row[1])]) for row in (one, other)]
    block = Block(talks)
    common = np.zeros(1 << near.TABLE_BITS, bool)
    sketches = near.sketches(block.texts, common)
    records, lengths = block.records(), np.array([len(text) for text in block.texts])
    found = near.alike(
        sketches, records["numbers"], np.arange(2), lengths, common,
        lambda rows: (block.texts[n] for n in rows),
    )  # fmt: skip
    found = near.with_like_answers(
        found, records["answer"], lambda rows: (block.answers[n] for n in rows)
    )
    return len(found) > 0
