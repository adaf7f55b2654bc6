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
_LOOSE = r"(?: ?[-.)] ?| |)"
_COUNTRY = r"\(?(?:\+|00)?82\)?[- ]?(?:\(0\)[- ]?|0)?"
_AREA = r"(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[2-8])"
_REGION = "서울|부산|대구|인천|광주|대전|울산|경기|강원|충북|충남|전북|전남|경북|경남|제주"
_FORMS = {
    name: re.compile(rf"(?<![0-9])(?<![0-9]-)(?:{form})(?![0-9]|-[0-9])")
    for name, form in {
        "resident": rf"[0-9]{{6}}{_BY}[0-9]{{7}}",
        "mobile": rf"(?:{_COUNTRY}|\(?0)1[016-9]{_LOOSE}[0-9]{{3,4}}{_LOOSE}[0-9]{{4}}",
        "old driver": rf"(?:{_REGION}) ?[0-9]{{2}} ?- ?[0-9]{{6}} ?- ?[0-9]{{2}}",
        "driver": rf"(?:1[1-9]|2[0-68]){_BY}[0-9]{{2}}\1[0-9]{{6}}\1[0-9]{{2}}",
        "card": rf"[0-9]{{4}}{_BY}(?:[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}|[0-9]{{6}}\1[0-9]{{4,5}})",
        "landline": rf"(?:{_COUNTRY}|\(?0){_AREA}{_LOOSE}[0-9]{{3,4}}{_LOOSE}[0-9]{{4}}",
        "business": rf"[0-9]{{3}}{_BY}[0-9]{{2}}\1[0-9]{{5}}",
        "account": r"[0-9]{1,8}( ?- ?| )[0-9]{2,11}(?:\1[0-9]{1,8}){0,3}|[0-9]{10,14}",
    }.items()
}
"""Form -> how it is written, in the order in which they take digits from each other."""
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])[MSRGDmsrgd](?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})(?![A-Za-z0-9])"
)
_AT = re.compile(r"@| ?[(\[](?:at|AT)[)\]] ?| ?골뱅이 ?")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])")
_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_FILES = {
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "css",
    "js",
    "ts",
    "json",
    "html",
    "md",
    "txt",
}
_PATH = re.compile(r":[\w.~-]*/")
_COUNTRY_CODE = re.compile(r"^(?:00)?820?")
_PREFIX = re.compile(rf"(?:00)?(?:82)?0?(?:1[016-9]|{_AREA})")


def find(text: str) -> list[Match]:
    """Return what personal data stands in a text, in its order; no two overlap."""
    first = _FIRST.search(text)
    if first is None or not _HINTED.search(text, first.start()):
        return []
    plain = _ODD.sub(lambda odd: _ALIKE[odd[0]], text)
    found, taken = [], bytearray(len(text))
    for match in _candidates(plain):
        if taken.find(1, match.start, match.end) < 0:
            taken[match.start : match.end] = b"\1" * (match.end - match.start)
            found.append(match)
    return sorted(found, key=lambda match: match.start)


def masked(text: str) -> str:
    """Return the text with stars over what identifies somebody; its length stays."""
    return _rewritten(text, find(text), _starred)


def replaced(text: str, kinds: Collection[str] = KINDS) -> str:
    """Return the text with each match of these kinds as a plain word in brackets."""
    while matches := [match for match in find(text) if match.kind in kinds]:
        text = _rewritten(text, matches, lambda kind, _: PLACEHOLDERS[kind])
    return text


# --- candidates -----------------------------------------------------------------------------------
def _candidates(text: str) -> Iterator[Match]:
    """Yield what is personal data; where two overlap, the first one counts."""
    yield from _emails(text)
    for run in _RUN.finditer(text):
        yield from _numbers(text, max(0, run.start() - 4), run.end())
    if any(word in text for word in ("여권", "assport", "ASSPORT")):
        yield from _passports(text)


def _emails(text: str) -> Iterator[Match]:
    for at in _AT.finditer(text):
        before = text[max(0, at.start() - 64) : at.start()]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(".-+%")
        start = at.start() - len(local)
        domain = _DOMAIN.match(text, at.end(), at.end() + 255)
        if local and domain and text[start - 1 : start] != "@" and not _is_file(text, domain):
            yield Match("email", start, domain.end(), True)


def _is_file(text: str, domain: re.Match[str]) -> bool:
    """Tell `logo@2x.png` and `git@host.example:folder/name` from addresses."""
    return domain[0].rpartition(".")[2].lower() in _FILES or bool(_PATH.match(text, domain.end()))


def _numbers(text: str, start: int, end: int) -> Iterator[Match]:
    for name, form in _FORMS.items():
        for hit in form.finditer(text, start, end):
            is_sure = _JUDGES[name](text, hit)
            if is_sure is not None:
                yield Match(name.removeprefix("old "), hit.start(), hit.end(), is_sure)


def _passports(text: str) -> Iterator[Match]:
    for hit in _PASSPORT.finditer(text):
        is_one = _word(text, hit) == "passport"
        if is_one or vicinity.follows(text, hit.end(), "passport", 12):
            yield Match("passport", hit.start(), hit.end(), True)


# --- judges: None for what is not one, else whether it is sure ------------------------------------
def _resident(text: str, hit: re.Match[str]) -> bool | None:
    number, word = _digits(hit[0]), _word(text, hit)
    born = identifiers.birth(number)
    if born is None or word == "corporate":
        return None
    if word == "resident":
        return True
    agrees = identifiers.resident_agrees(number)
    if "-" not in hit[0]:
        is_other = word in ("other", "account", "card") or identifiers.barcode_agrees(number)
        return None if is_other or not agrees or _is_inside(text, hit) else True
    if agrees or word == "other":
        return agrees or None
    is_old = date.today().year - born.year > OLDEST
    return None if is_old or identifiers.corporate_agrees(number) else False


def _mobile(text: str, hit: re.Match[str]) -> bool | None:
    number = _COUNTRY_CODE.sub("0", _digits(hit[0]))
    is_bare, is_short = hit[0].isdigit(), len(number) < 11 and number.startswith("010")
    is_phones = _word(text, hit) == "phone"
    if _is_version(text, hit) or (is_bare and is_short):
        return None
    if is_bare and not is_phones and (not hit[0].startswith("010") or _is_inside(text, hit)):
        return None
    return is_phones or not (is_bare or is_short)


def _landline(text: str, hit: re.Match[str]) -> bool | None:
    word, number = _word(text, hit), _digits(hit[0])
    rest = number[len(_prefix(number)) :]
    is_area = _prefix(number)[-2:] != "70" and "50" not in _prefix(number)
    if _is_version(text, hit) or (is_area and rest[0] == "0"):
        return None
    if word == "phone":
        return True
    is_spaced = hit[0].replace(" ", "").isdigit()
    is_other = word == "other" or vicinity.is_numbered(text, hit.start(), hit.end())
    return None if is_spaced or is_other else ")" in hit[0] or "+" in hit[0]


def _card(text: str, hit: re.Match[str]) -> bool | None:
    number, word = _digits(hit[0]), _word(text, hit)
    is_bare = hit[0].isdigit()
    if not identifiers.card_agrees(number):
        is_said = word == "card" and not is_bare and len(number) == 16
        return False if is_said else None
    if is_bare and (word not in ("", "card") or _is_inside(text, hit)):
        return None
    return None if word == "other" else not is_bare or word == "card"


def _driver(text: str, hit: re.Match[str]) -> bool | None:
    word = _word(text, hit)
    if word == "driver":
        return True
    return None if word in ("other", "account", "card") or "-" not in hit[0] else False


def _business(text: str, hit: re.Match[str]) -> bool | None:
    word, agrees = _word(text, hit), identifiers.business_agrees(_digits(hit[0]))
    if word == "business":
        return agrees
    is_one = agrees and "-" in hit[0] and word not in ("other", "account", "corporate")
    return True if is_one else None


def _account(text: str, hit: re.Match[str]) -> bool | None:
    is_said = _word(text, hit) == "account"
    if not 10 <= len(_digits(hit[0])) <= 14:
        return None
    if not is_said and not vicinity.is_banks(text, hit.start(), hit.end()):
        return None
    if hit[0].isdigit():
        return False
    is_known = tuple(map(len, re.findall("[0-9]+", hit[0]))) in SHAPES
    return is_known if is_known or (is_said and "-" in hit[0]) else None


_JUDGES: dict[str, Callable[[str, re.Match[str]], bool | None]] = {
    "resident": _resident, "mobile": _mobile, "landline": _landline, "card": _card,
    "account": _account, "business": _business, "driver": _driver, "old driver": _driver,
}  # fmt: skip


def _word(text: str, hit: re.Match[str]) -> str:
    return vicinity.word(text, hit.start(), hit.end())


def _is_inside(text: str, hit: re.Match[str]) -> bool:
    return vicinity.is_inside(text, hit.start(), hit.end())


def _is_version(text: str, hit: re.Match[str]) -> bool:
    """Tell whether dots go on where a number with dots ends or begins."""
    if "." not in hit[0]:
        return False
    before, behind = text[max(0, hit.start() - 2) : hit.start()], text[hit.end() : hit.end() + 2]
    return (before[:1].isdigit() and before[1:] == ".") or (
        behind[:1] == "." and behind[1:].isdigit()
    )


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
