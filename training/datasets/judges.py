"""What is personal data: a text goes in, candidates come out, each with a judge who says whether it
is one.

Told by form, by check digit (identifiers.py) and by the words beside a number (vicinity.py). Wants
plain letters: ASCII digits, hyphens, spaces and brackets.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date

from training.datasets import identifiers, vicinity

Judge = Callable[[str, int, int], bool | None]
"""Says of a text's part: None for what is no personal data, else whether it is sure."""
SHAPES = frozenset(
    (
        "3-2-6", "3-8-3", "8-2", "3-8", "3-2-7", "3-6-2-3", "4-2-6", "4-2-8", "3-2-4-3", "6-2-6",
        "3-2-5-1", "3-6-3", "3-6-5", "4-4-4", "3-2-8-1", "3-4-4-2", "3-4-4-3", "4-3-6", "3-2-9",
        "3-3-6", "3-3-8", "3-5-3-2", "2-2-6", "1-6-3", "1-6-3-2", "2-11", "3-2-6-3", "4-3-7",
        "4-2-6-1", "4-3-6-1", "4-4-4-1", "4-2-7",
    )
)  # fmt: skip
"""How banks group the digits of an account (금융결제원, CMS 참가기관별 계좌번호체계)."""
OLDEST = 90
"""Years of age; who is older was given a check digit, so a number without one is not theirs."""

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
_SURE_LANDLINE = re.compile(r"\(?\+82[-() ]|\(?0[0-9]{1,3}\) ?[1-9]")
_LIKELY_LANDLINE = re.compile(
    r"0(?:(?:70|50[2-8]) ?[-.] ?[0-9]|[2-6][0-9]? ?(?:- ?[1-9]|\. ?[2-9]))[0-9]{2,3} ?[-.]"
)
_PLAIN_LANDLINE = re.compile(r"0(?:2|[3-6][1-5])( ?)[2-9][0-9]{2,3}\1[0-9]{4}")
"""What is a phone number without a word that says so; an exchange begins with 2-9."""
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])[MSRGDmsrgd](?:[0-9]{8}|[0-9]{3}[A-Za-z][0-9]{4})(?![A-Za-z0-9])"
)
AT = re.compile(r"@| ?(?:[(\[](?:at|AT)[)\]]|골뱅이) ?")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])")
_LOCAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._%+-"
_FILES = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "json", "html", "md", "txt"]
)
_PATH = re.compile(r":[\w.~-]*/")
_COUNTRY_CODE = re.compile(r"^(?:00)?820?")
_DOTTED = re.compile(r"[0-9]\.0|0\.[0-9]")
_PREFIX = re.compile(rf"(?:00)?(?:82)?0?(?:1[016-9]|{_AREA})")


def candidates(text: str) -> Iterator[tuple[str, int, int, Judge]]:
    """Yield kind, start, end and judge of what may be personal data, the most certain form first."""
    yield from _emails(text)
    for run in _RUN.finditer(text):
        start, end = run.span()
        for kind, length, written, judge in _FORMS:
            if end - start >= length:
                for hit in written.finditer(text, max(0, start - 4), end + 1):
                    yield kind, hit.start(), hit.end(), judge
    if any(word in text for word in ("여권", "assport", "ASSPORT")):
        for hit in _PASSPORT.finditer(text):
            yield "passport", hit.start(), hit.end(), _passport


def _emails(text: str) -> Iterator[tuple[str, int, int, Judge]]:
    spoken = "골뱅이" in text or "at)" in text or "at]" in text or "AT" in text
    for at in AT.finditer(text) if spoken or "@" in text else ():
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
    number, words = digits(text[start:end]), vicinity.words(text, start, end)
    born = identifiers.birth(number)
    if born is None or words[0] in ("corporate", "other"):
        return None
    if "resident" in words:
        return True
    agrees = identifiers.resident_agrees(number)
    if "-" not in text[start:end]:
        is_other = identifiers.barcode_agrees(number) or vicinity.is_inside(text, start, end)
        return True if agrees and not is_other else None
    is_old = date.today().year - born.year > OLDEST
    is_doubtful = is_old or identifiers.corporate_agrees(number)
    return agrees if agrees or not is_doubtful else None


def _mobile(text: str, start: int, end: int) -> bool | None:
    written = text[start:end]
    is_bare, is_split = written.isdigit(), len(re.findall("[0-9]+", written)) > 2
    is_short = digits(written).startswith("010") and len(digits(written)) < 11
    is_phones = "phone" in vicinity.words(text, start, end)
    if _is_dotted(text, start, end) or (is_short and not is_split):
        return None
    is_likely = written.startswith("010") and not vicinity.is_inside(text, start, end)
    if is_bare and not is_phones and not is_likely:
        return None
    return is_phones or not (is_bare or is_short)


def _landline(text: str, start: int, end: int) -> bool | None:
    written, words = text[start:end], vicinity.words(text, start, end)
    is_foreign = written.isdigit() and written.startswith("82")
    is_other = words[0] == "other" or vicinity.is_numbered(text, start, end)
    if is_other or _is_dotted(text, start, end):
        return None
    if _SURE_LANDLINE.match(written) or ("phone" in words and not is_foreign):
        return True
    if _LIKELY_LANDLINE.match(written):
        return False
    is_alone = words[0] != "account" and not _is_part(text, start, end)
    return False if is_alone and _PLAIN_LANDLINE.fullmatch(written) else None


def _card(text: str, start: int, end: int) -> bool | None:
    number, words = digits(text[start:end]), vicinity.words(text, start, end)
    is_bare, is_said = text[start:end].isdigit(), words[0] == "card"
    if not identifiers.card_agrees(number):
        return False if is_said and not is_bare and len(number) == 16 else None
    is_inside = is_bare and _is_part(text, start, end)
    is_other = words[0] == "other" or (is_bare and words[0] == "account")
    return None if is_inside or is_other else is_said or not is_bare


def _driver(text: str, start: int, end: int) -> bool | None:
    words, is_split = vicinity.words(text, start, end), "-" in text[start:end]
    if "driver" in words:
        return True if is_split or not identifiers.is_dated(digits(text[start:end])) else None
    is_other = words[0] in ("other", "account", "card")
    return None if is_other or not is_split else False


def _business(text: str, start: int, end: int) -> bool | None:
    agrees = identifiers.business_agrees(digits(text[start:end]))
    words = vicinity.words(text, start, end)
    if "business" in words and (agrees or vicinity.is_called(text, start, "business")):
        return agrees
    is_other = words[0] in ("other", "account", "corporate")
    is_written_so = "-" in text[start:end] or words[0] == "registered"
    return True if agrees and is_written_so and not is_other else None


def _account(text: str, start: int, end: int) -> bool | None:
    groups = re.findall("[0-9]+", text[start:end])
    if not 10 <= sum(map(len, groups)) <= 14 or vicinity.is_numbered(text, start, end):
        return None
    if "-" not in text[start:end] and _is_part(text, start, end):
        return None
    is_named = vicinity.is_called(text, start, "account") or vicinity.is_behind_bank(text, start)
    if len(groups) == 1:
        return False if is_named and not identifiers.is_dated(groups[0]) else None
    is_said = is_named or vicinity.before(text, start)[:1] == ["account"]
    if "-".join(str(len(group)) for group in groups) not in SHAPES:
        return False if is_named and "-" in text[start:end] else None
    return True if is_said or _is_before_bank(text, start, end) else None


def _is_before_bank(text: str, start: int, end: int) -> bool:
    """Tell whether a bank's name, or a word for accounts, stands behind what nothing before names."""
    is_named = vicinity.is_before_bank(text, end) or vicinity.behind(text, end) == "account"
    return is_named and vicinity.before(text, start)[:1] != ["other"]


_FORMS: tuple[tuple[str, int, re.Pattern[str], Judge], ...] = (
    ("resident", 13, _WRITTEN["resident"], _resident), ("mobile", 9, _WRITTEN["mobile"], _mobile),
    ("driver", 10, _WRITTEN["old driver"], _driver), ("driver", 12, _WRITTEN["driver"], _driver),
    ("card", 14, _WRITTEN["card"], _card), ("landline", 8, _WRITTEN["landline"], _landline),
    ("business", 10, _WRITTEN["business"], _business),
    ("account", 10, _WRITTEN["account"], _account),
)  # fmt: skip
"""Kind, length from first digit to last, form, judge, in the order in which they take digits."""


def _is_dotted(text: str, start: int, end: int) -> bool:
    """Tell a version or a decimal: dots go on where a number begins or ends."""
    around = text[max(0, start - 2) : start] + "0" + text[end : end + 2]
    is_plain = text[start:end].isdigit()
    return (is_plain or "." in text[start:end]) and bool(_DOTTED.search(around))


def _is_part(text: str, start: int, end: int) -> bool:
    """Tell whether plain digits belong to something longer, or count something."""
    is_listed = " " in text[start:end] and vicinity.is_listed(text, start, end)
    is_inside = is_listed or vicinity.is_inside(text, start, end)
    return is_inside or vicinity.is_counted(text, start, end)


def digits(written: str) -> str:
    """Return what is written without all that is no digit."""
    return re.sub("[^0-9]", "", written)


def prefix(number: str) -> str:
    """Return the country and area that a phone number (its digits) begins with."""
    hit = _PREFIX.match(number)
    return hit[0] if hit else ""
