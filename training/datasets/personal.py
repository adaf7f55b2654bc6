"""Personal data in Korean text: a text goes in, where such data stands comes out, or the text
without it.

Told by form, by check digit, and by the words beside a number. Knows neither rows nor files, and
no names or addresses of people.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from training.datasets import identifiers, vicinity

KINDS = (
    "resident", "mobile", "landline", "email", "card", "account", "business", "passport", "driver",
)  # fmt: skip
PLACEHOLDERS = {
    "resident": "[주민등록번호]", "mobile": "[전화번호]", "landline": "[전화번호]",
    "email": "[이메일]", "card": "[카드번호]", "account": "[계좌번호]",
    "business": "[사업자등록번호]", "passport": "[여권번호]", "driver": "[운전면허번호]",
}  # fmt: skip
SHAPES = frozenset(
    tuple(map(int, shape.split("-")))
    for shape in [
        "3-2-6",
        "3-8-3",
        "8-2",
        "3-8",
        "3-2-7",
        "3-6-2-3",
        "4-2-6",
        "4-2-8",
        "3-2-4-3",
        "6-2-6",
        "3-2-5-1",
        "3-6-3",
        "3-6-5",
        "4-4-4",
        "3-2-8-1",
        "3-4-4-2",
        "3-4-4-3",
        "4-3-6",
        "3-2-9",
        "3-3-6",
        "3-3-8",
        "3-5-3-2",
        "2-2-6",
        "1-6-3",
        "1-6-3-2",
        "2-11",
        "3-2-6-3",
        "4-3-7",
        "4-2-6-1",
        "4-3-6-1",
        "4-4-4-1",
        "4-2-7",
    ]
)
"""How banks group the digits of an account (금융결제원, CMS 참가기관별 계좌번호체계)."""
OLDEST = 90
"""Years of age; who is older was given a check digit, so a number without one is not theirs."""


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

# --- forms ----------------------------------------------------------------------------------------
_RUN = re.compile(r"[0-9](?:[- .()]{0,3}[0-9]){7,}")
_BY = r"( ?- ?| |)"
_LOCALLY = r"(?: ?[-.)] ?| |)[0-9]{3,4}(?: ?[-.] ?| |)[0-9]{4}"
_COUNTRY = r"(?:\((?:\+|00)?82\)|(?:\+|00)?82)(?: ?- ?| )?(?:\(0\)[- ]?|0)?"
_AREA = r"(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[2-8])"
_REGION = "서울|부산|대구|인천|광주|대전|울산|경기|강원|충북|충남|전북|전남|경북|경남|제주"
_WRITTEN = {
    name: re.compile(rf"(?<![0-9])(?<![0-9]-)(?:{form})(?![0-9]|-[0-9])")
    for name, form in {
        "resident": rf"[0-9]{{6}}{_BY}[0-9]{{7}}",
        "mobile": rf"(?:(?:{_COUNTRY}|0)1[016-9]|\(01[016-9]\)){_LOCALLY}",
        "old driver": rf"(?:{_REGION}) ?[0-9]{{2}} ?- ?[0-9]{{6}} ?- ?[0-9]{{2}}",
        "driver": rf"(?:1[1-9]|2[0-68]){_BY}[0-9]{{2}}\1[0-9]{{6}}\1[0-9]{{2}}",
        "card": rf"[0-9]{{4}}{_BY}(?:[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}|[0-9]{{6}}\1[0-9]{{4,5}})",
        "landline": rf"(?:(?:{_COUNTRY}|0){_AREA}|\(0{_AREA}\)){_LOCALLY}",
        "business": rf"[0-9]{{3}}{_BY}[0-9]{{2}}\1[0-9]{{5}}",
        "account": r"[0-9]{1,8}( ?- ?| )[0-9]{2,11}(?:\1[0-9]{1,8}){0,3}|[0-9]{10,14}",
    }.items()
}
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])[MSRGDmsrgd](?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})(?![A-Za-z0-9])"
)
_AT = re.compile(r"@| ?(?:[(\[](?:at|AT)[)\]]|골뱅이) ?")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])")
_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_FILES = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "json", "html", "md", "txt"]
)
_PATH = re.compile(r":[\w.~-]*/")
_COUNTRY_CODE = re.compile(r"^(?:00)?820?")
_PREFIX = re.compile(rf"(?:00)?(?:82)?0?(?:1[016-9]|{_AREA})")


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


# --- candidates -----------------------------------------------------------------------------------
Judge = Callable[[str, int, int], bool | None]
"""Says of a text's part: None for what is no personal data, else whether it is sure."""


def _found(text: str) -> Iterator[Match]:
    """Yield what is personal data; where two overlap, the first one counts."""
    taken = bytearray(len(text))
    for kind, start, end, judge in _candidates(text):
        if taken.find(1, start, end) < 0 and (is_sure := judge(text, start, end)) is not None:
            taken[start:end] = b"\1" * (end - start)
            yield Match(kind, start, end, is_sure)


def _candidates(text: str) -> Iterator[tuple[str, int, int, Judge]]:
    if any(mark in text for mark in ("@", "골뱅이", "at)", "at]", "AT)", "AT]")):
        yield from _emails(text)
    for run in _RUN.finditer(text):
        for kind, written, judge in _FORMS:
            for hit in written.finditer(text, max(0, run.start() - 4), run.end() + 1):
                yield kind, hit.start(), hit.end(), judge
    if any(word in text for word in ("여권", "assport", "ASSPORT")):
        for hit in _PASSPORT.finditer(text):
            yield "passport", hit.start(), hit.end(), _passport


def _emails(text: str) -> Iterator[tuple[str, int, int, Judge]]:
    for at in _AT.finditer(text):
        before = text[max(0, at.start() - 64) : at.start()]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(".-+%")
        domain = _DOMAIN.match(text, at.end(), at.end() + 255)
        if local and domain:
            yield "email", at.start() - len(local), domain.end(), _email


# --- judges ---------------------------------------------------------------------------------------
def _email(text: str, start: int, end: int) -> bool | None:
    """Tell an address from `@name@host.example`, `logo@2x.png` and `git@host.example:folder/name`."""
    is_file = text[start:end].rpartition(".")[2].lower() in _FILES or _PATH.match(text, end)
    return None if is_file or text[start - 1 : start] == "@" else True


def _passport(text: str, start: int, end: int) -> bool | None:
    is_said = "passport" in vicinity.words(text, start, end)
    return True if is_said or vicinity.follows(text, end, "passport", 12) else None


def _resident(text: str, start: int, end: int) -> bool | None:
    number, words = _digits(text[start:end]), vicinity.words(text, start, end)
    born = identifiers.birth(number)
    if born is None or words[:1] in (["corporate"], ["other"]):
        return None
    if "resident" in words:
        return True
    agrees = identifiers.resident_agrees(number)
    if "-" not in text[start:end]:
        is_other = words[:1] in (["account"], ["card"]) or identifiers.barcode_agrees(number)
        is_one = agrees and not is_other and not vicinity.is_inside(text, start, end)
        return True if is_one else None
    is_old = date.today().year - born.year > OLDEST
    is_doubtful = is_old or identifiers.corporate_agrees(number)
    return agrees if agrees or not is_doubtful else None


def _mobile(text: str, start: int, end: int) -> bool | None:
    written = text[start:end]
    number = _COUNTRY_CODE.sub("0", _digits(written))
    is_bare, is_short = written.isdigit(), len(number) < 11 and number.startswith("010")
    is_phones = "phone" in vicinity.words(text, start, end)
    if _is_version(text, start, end) or (is_bare and is_short):
        return None
    is_likely = written.startswith("010") and not vicinity.is_inside(text, start, end)
    if is_bare and not is_phones and not is_likely:
        return None
    return is_phones or not (is_bare or is_short)


def _landline(text: str, start: int, end: int) -> bool | None:
    written, words = text[start:end], vicinity.words(text, start, end)
    prefix = _prefix(_digits(written))
    exchange = _digits(written)[len(prefix)]
    is_area = "70" not in prefix and "50" not in prefix
    is_other = "other" in words or vicinity.is_numbered(text, start, end)
    if is_other or _is_version(text, start, end) or (is_area and exchange == "0"):
        return None
    if "phone" in words:
        return True
    is_bare = not re.search(r"[-.)]\D*[0-9]{3,4}\D+[0-9]{4}$", written)
    is_dotted = "." in written and exchange == "1"
    return None if is_bare or is_dotted else ")" in written or "+" in written


def _card(text: str, start: int, end: int) -> bool | None:
    number, words = _digits(text[start:end]), vicinity.words(text, start, end)
    is_bare, is_said = text[start:end].isdigit(), words[:1] == ["card"]
    if not identifiers.card_agrees(number):
        return False if is_said and not is_bare and len(number) == 16 else None
    is_inside = is_bare and vicinity.is_inside(text, start, end)
    is_other = bool(words) and not is_said if is_bare else "other" in words
    return None if is_inside or is_other else is_said or not is_bare


def _driver(text: str, start: int, end: int) -> bool | None:
    words = vicinity.words(text, start, end)
    if "driver" in words:
        return True
    is_other = words[:1] in (["other"], ["account"], ["card"])
    return None if is_other or "-" not in text[start:end] else False


def _business(text: str, start: int, end: int) -> bool | None:
    agrees = identifiers.business_agrees(_digits(text[start:end]))
    words = vicinity.words(text, start, end)
    if "business" in words:
        return agrees
    is_other = words[:1] in (["other"], ["account"], ["corporate"])
    is_written_so = "-" in text[start:end] or words[:1] == ["registered"]
    return True if agrees and is_written_so and not is_other else None


def _account(text: str, start: int, end: int) -> bool | None:
    groups = re.findall("[0-9]+", text[start:end])
    if not 10 <= sum(map(len, groups)) <= 14 or vicinity.is_counted(text, start, end):
        return None
    is_said = vicinity.words(text, start, end)[:1] == ["account"]
    if not is_said and not vicinity.is_banks(text, start, end):
        return None
    is_known = tuple(map(len, groups)) in SHAPES
    return (
        is_known if is_known or len(groups) == 1 or (is_said and "-" in text[start:end]) else None
    )


_FORMS: tuple[tuple[str, re.Pattern[str], Judge], ...] = (
    ("resident", _WRITTEN["resident"], _resident), ("mobile", _WRITTEN["mobile"], _mobile),
    ("driver", _WRITTEN["old driver"], _driver), ("driver", _WRITTEN["driver"], _driver),
    ("card", _WRITTEN["card"], _card), ("landline", _WRITTEN["landline"], _landline),
    ("business", _WRITTEN["business"], _business), ("account", _WRITTEN["account"], _account),
)  # fmt: skip
"""In the order in which they take digits from each other."""


def _is_version(text: str, start: int, end: int) -> bool:
    """Tell whether dots go on where a number with dots ends or begins."""
    around = text[max(0, start - 2) : start] + "0" + text[end : end + 2]
    return "." in text[start:end] and bool(re.search(r"[0-9]\.0|0\.[0-9]", around))


def _digits(written: str) -> str:
    return re.sub("[^0-9]", "", written)


def _prefix(number: str) -> str:
    """Return the country and area that a phone number (its digits) begins with."""
    hit = _PREFIX.match(number)
    return hit[0] if hit else ""


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
        at = _AT.search(written)
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
        first, last = len(_prefix(_digits(written))), 4
    return places[first : len(places) - last]
