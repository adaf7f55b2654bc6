"""Personal data in Korean text: a text goes in, where such data stands comes out, or the text
without it.

Knows letters that stand for others and how to hide what was found; what is personal data is
decided in judges.py.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from training.datasets import judges

KINDS = (
    "resident", "mobile", "landline", "email", "card", "account", "business", "passport", "driver",
)  # fmt: skip
PLACEHOLDERS = {
    "resident": "[주민등록번호]", "mobile": "[전화번호]", "landline": "[전화번호]",
    "email": "[이메일]", "card": "[카드번호]", "account": "[계좌번호]",
    "business": "[사업자등록번호]", "passport": "[여권번호]", "driver": "[운전면허번호]",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Match:
    """A piece of personal data in a text."""

    kind: str
    """One of KINDS."""
    start: int
    """In code points."""
    end: int
    """The first code point behind it."""
    is_sure: bool
    """Whether a check digit, an unmistakable form or a word beside it says so."""


# --- letters that stand for others ----------------------------------------------------------------
_ALIKE = (
    dict(zip("０１２３４５６７８９．（）＋＠﹫", "0123456789.()+@@", strict=True))
    | dict.fromkeys("‐‑‒–—―−－﹣ㅡ", "-")
    | dict.fromkeys("\u00a0\u2009\u202f\u3000", " ")
)
_ODD = re.compile(f"[{''.join(_ALIKE)}]")
_BETWEEN = "- .()" + "".join(odd for odd, plain in _ALIKE.items() if plain in "- .()")
HINT = (
    rf"[0-9０-９](?:[{_BETWEEN}]{{0,3}}[0-9０-９]){{7}}|[0-9０-９]{{3}}[A-Za-z][0-9０-９]{{4}}"
    r"|[@＠﹫]|골뱅이|[(（\[](?:at|AT)[)）\]]"
)
"""Matches every text that can hold a match, and few others; RE2 understands it."""
_HINTED = re.compile(HINT)
_FIRST = re.compile(r"[0-9０-９@＠﹫골(（\[]")
"""What a hint can begin with."""


def find(text: str) -> list[Match]:
    """Return what personal data stands in a text, in its order; no two overlap."""
    first = _FIRST.search(text)
    if first is None or not _HINTED.search(text, first.start()):
        return []
    plain = _ODD.sub(lambda odd: _ALIKE[odd[0]], text)
    return sorted(_found(plain), key=lambda match: match.start)


def masked(text: str) -> str:
    """Return the text with stars over what identifies somebody; its length stays."""
    return _rewritten(text, find(text), _starred)


def replaced(text: str, kinds: Collection[str] = KINDS) -> str:
    """Return the text with each match of these kinds as a plain word in brackets."""
    while matches := [match for match in find(text) if match.kind in kinds]:
        text = _rewritten(text, matches, lambda kind, _: PLACEHOLDERS[kind])
    return text


def across(texts: Sequence[str], write: Callable[[str], str]) -> list[str]:
    """Return texts as `masked` or `replaced` writes them as one: a word in one of them («계좌번호가
    뭐예요?») may say what the number in the next is. Neither writer changes line ends."""
    lines = write("\n".join(texts)).split("\n")
    found, begin = [], 0
    for text in texts:
        end = begin + text.count("\n") + 1
        found.append("\n".join(lines[begin:end]))
        begin = end
    return found


def _found(text: str) -> Iterator[Match]:
    """Yield what is personal data; where two overlap, the first one counts."""
    taken = bytearray(len(text))
    for kind, start, end, judge in judges.candidates(text):
        if taken.find(1, start, end) < 0 and (is_sure := judge(text, start, end)) is not None:
            taken[start:end] = b"\1" * (end - start)
            yield Match(kind, start, end, is_sure)


# --- writing --------------------------------------------------------------------------------------
def _rewritten(text: str, matches: Iterable[Match], write: Callable[[str, str], str]) -> str:
    done, pieces = 0, []
    for match in matches:
        pieces += [text[done : match.start], write(match.kind, text[match.start : match.end])]
        done = match.end
    return "".join([*pieces, text[done:]])


def _starred(kind: str, written: str) -> str:
    plain = _ODD.sub(lambda odd: _ALIKE[odd[0]], written)
    letters = list(written)
    for place in _hidden(kind, plain):
        letters[place] = "*"
    return "".join(letters)


def _hidden(kind: str, written: str) -> Iterable[int]:
    """Return the places of what identifies somebody in a match without odd letters."""
    if kind == "email":
        at = judges.AT.search(written)
        local = at.start() if at else len(written)
        return range(min(2, local - 1), local)
    if kind == "passport":
        return range(len(written) - 4, len(written))
    places = [place for place, letter in enumerate(written) if letter in "0123456789"]
    shown = {"resident": (7, 0), "card": (4, 4), "account": (3, 2), "business": (5, 0)}
    if kind in shown:
        first, last = shown[kind]
    elif kind == "driver":
        first, last = len(places) - 8, 2
    else:
        first, last = len(judges.prefix(judges.digits(written))), 4
    return places[first : len(places) - last]
