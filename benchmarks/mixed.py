"""Examples of mixed lengths, as offices have them: short answers, summaries, classifications.

Of ten, four are short questions and answers (18 to 60 tokens), three are texts of 200 to 800 tokens with a
summary, three are texts of 300 with one letter as answer. Two in five are Korean. The sentences say
nothing: only lengths and the share of answers matter for speed.
"""

import random
from collections.abc import Callable, Iterator

KOREAN = (
    ("담당자가", "민원인이", "우리 부서가", "업체가", "새 팀장이", "시설 관리자가", "회계 담당이"),
    ("오늘 아침에", "회의를 마친 뒤", "마감 하루 전에", "현장에서", "두 번에 걸쳐", "아무 말 없이"),
    ("신청서를", "예산안을", "점검표를", "계약서를", "안내문을", "장비 목록을", "회의록을"),
    ("다시 보냈습니다.", "살펴보았습니다.", "고쳐 썼습니다.", "미루었습니다.", "받았습니다."),
)
ENGLISH = (
    ("The clerk", "A visitor", "Our office", "The contractor", "The new lead", "The caretaker"),
    ("returned", "checked", "rewrote", "postponed", "received", "signed", "counted"),
    ("the application", "the draft budget", "a list of tools", "two contracts", "the minutes"),
    ("this morning.", "after the meeting.", "a day too late.", "on site.", "without a word."),
)


def rows(count: int, tokens: Callable[[str], int], seed: int = 7) -> Iterator[dict]:
    """Yield {"prompt", "completion"}; `tokens` counts those of a text."""
    draw = random.Random(seed)

    def text(words: tuple[tuple[str, ...], ...], low: int, high: int) -> str:
        wanted, said = draw.randint(low, high), ""
        while tokens(said) < wanted:
            said += " " * bool(said) + " ".join(draw.choice(part) for part in words)
        return said

    kinds = [*["short"] * 4, *["summary"] * 3, *["label"] * 3]
    for number in range(count):
        if number % len(kinds) == 0:
            draw.shuffle(kinds)
        is_korean = draw.random() < 0.4
        words = KOREAN if is_korean else ENGLISH
        kind = kinds[number % len(kinds)]
        if kind == "short":
            yield {"prompt": text(words, 6, 25), "completion": text(words, 6, 25)}
        elif kind == "summary":
            order = "다음 글을 요약하세요.\n" if is_korean else "Summarise this text.\n"
            answer = text(words, 40, 110)
            yield {"prompt": order + text(words, 190, 780), "completion": answer}
        else:
            order = (
                "다음 글의 갈래를 고르세요.\n" if is_korean else "Say what kind of text this is.\n"
            )
            yield {"prompt": order + text(words, 270, 310), "completion": draw.choice("AB")}
