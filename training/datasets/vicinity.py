"""What stands beside a number: a text and where the number is go in, what the words say comes out.

Knows Korean (and a few English) words that name numbers; not how any number is built.
"""

import re

LABELS = {
    "corporate": "법인 등록|법인",
    "resident": "주민 등록|외국인 등록|거소 신고|신분증",
    "registered": "등록",
    "phone": "전 화|전 송|문의처|연락|휴대 폰|휴대 전화|휴대|핸드폰|폰|모바일|팩스|문자|안심|수신|발신|내선"
    "|fax|tel|hp|h.p|phone|mobile|☎|☏",
    "card": "카드|card",
    "account": "계좌|통장|입금|송금|이체|출금|예금주|은행|뱅크|새마을금고|우체국|농협|수협|신협",
    "passport": "여권|passport",
    "driver": "운전 면허|면허",
    "business": "사업자 등록|사업자",
    "other": "주문|송장|코드|시리얼|일련|모델|품번|부품|특허|출원|쿠폰|상품권|버전|isbn|pnu|s/n",
}
"""What a number is said to be -> the words that say so; `other` is no personal data."""
_SAYS_NUMBER = ("corporate", "registered")
"""Those that say so only before 번호."""
_MORE = {
    "resident": r"주민 {0,3}번호",
    "phone": r"(?<![a-z])[tmfh][.):]|문의(?=[ :(]|하시|해 )|걸(?=면|어|었)",
    "other": r"(?<=[가-힣])번호|(?<![a-z])id(?![a-z])",
}


def _pattern(name: str, words: str) -> str:
    number = r" {0,3}번호" if name in _SAYS_NUMBER else r"(?: {0,3}번호)?"
    said = re.escape(words).replace(r"\ ", " {0,3}").replace(r"\|", "|")
    more = f"|{_MORE[name]}" if name in _MORE else ""
    return f"(?P<{name}>(?:{said}){number}{more})"


_FIRST = "".join(
    {word[0] for words in LABELS.values() for word in words.split("|")} | set("tmfh번i문걸")
)
_LABEL = re.compile(
    f"(?=[{_FIRST}])(?:{'|'.join(_pattern(name, words) for name, words in LABELS.items())}"
    "|(?P<unknown>(?<=[가-힣] )번호))"
)
_BEHIND = re.compile(
    rf"[ ),]{{0,2}}(?:번? ?(?:으로|로|에|을|를|은|는|이|가) ?)?(?:{_LABEL.pattern})"
)
REACH = 40
"""How far before a number a word may stand, in code points."""
NEAR = 6
"""How far a word may stand that says the number is something else."""
_OURS = re.compile(
    r"\[?(?:주민등록번호|전화번호|이메일|카드번호|계좌번호|사업자등록번호|여권번호|운전면허번호)\]"
)
"""What stands where personal data stood (training/datasets/personal.py) names no other number."""
_JOINED = re.compile("[ :=()|/.,\n은는이가을를로으에도]{0,6}")
_SPENT = re.compile(r"[0-9]{4}")
_BANK = "국민|신한|우리|하나|기업|농협|수협|신협|산업|카카오|토스|케이|부산|대구|광주|전북|경남|제주|씨티|제일|새마을|우체국"
_BANK_BEFORE = re.compile(rf"(?:{_BANK}|KB|NH|IBK|SC)[ :(,/|]{{0,3}}\Z")
_BANK_BEHIND = re.compile(rf"[ (,/|]{{0,3}}(?:KB|NH|IBK|SC)? ?(?:{_BANK})")
_UNIT = re.compile(" ?(?:원|만|천|억|개|건|명|%)")
_GLUED = re.compile(r"[A-Za-z0-9_][-.]?\Z|[A-Za-z_]\Z")
_GOES_ON = re.compile(r"[A-Za-z_]|[-.][A-Za-z0-9]")
_MORE_DIGITS = re.compile(" [0-9]")
_LINK = re.compile(r"""(?:://|www\.|(?:\A|[\s(<"'])[A-Za-z0-9.-]+\.[a-z]{2,6}/)[^\s()<>"']*\Z""")


def words(text: str, start: int, end: int) -> list[str]:
    """Return what words before a number (the nearest first), then one right behind it, call it.

    Each is one of LABELS, or `unknown`; `other` comes first or not at all. `[""]` where there is
    none.
    """
    found, said = before(text, start), behind(text, end)
    return [*found, said] if found[:1] != ["other"] and (said or not found) else found


def before(text: str, start: int) -> list[str]:
    """Return what words before a number call it, the nearest first.

    `unknown` is a number of something; `other` counts only where it is about this number.
    """
    read = _read(text, start)
    hits = list(_LABEL.finditer(read))[::-1]
    found = [hit.lastgroup or "" for hit in hits if hit.lastgroup != "other"]
    is_other = bool(hits) and hits[0].lastgroup == "other" and _is_next(read, hits[0].end())
    return ["other", *found] if is_other else found


def behind(text: str, end: int) -> str:
    """Return what a word right behind a number calls it, or nothing."""
    hit = _BEHIND.match(text[end : end + 20].lower())
    return hit.lastgroup or "" if hit and hit.lastgroup != "other" else ""


def is_called(text: str, start: int, name: str) -> bool:
    """Tell whether a word of this name stands right before a number, particles aside."""
    read = _read(text, start)
    hits = list(_LABEL.finditer(read))
    is_last = bool(hits) and hits[-1].lastgroup == name
    return is_last and _JOINED.fullmatch(read, hits[-1].end()) is not None


def _read(text: str, start: int) -> str:
    return _OURS.sub(" ", text[max(0, start - REACH) : start].lower())


def _is_next(before: str, end: int) -> bool:
    return len(before) - end <= NEAR and not _SPENT.search(before, end)


def follows(text: str, end: int, name: str, reach: int) -> bool:
    """Tell whether a word of this name stands within `reach` code points behind a number."""
    behind = _LABEL.search(_OURS.sub(" ", text[end : end + reach].lower()))
    return behind is not None and behind.lastgroup == name


def is_behind_bank(text: str, start: int) -> bool:
    """Tell whether a bank's short name, which may mean other things too, stands before a number."""
    return _BANK_BEFORE.search(text[max(0, start - 10) : start]) is not None


def is_before_bank(text: str, end: int) -> bool:
    """Tell whether such a name stands behind a number."""
    return _BANK_BEHIND.match(text, end) is not None


def is_inside(text: str, start: int, end: int) -> bool:
    """Tell whether bare digits are a piece of something longer: a word, a decimal, a link."""
    before = text[max(0, start - 200) : start]
    return bool(_GLUED.search(before[-2:]) or _LINK.search(before) or _GOES_ON.match(text, end))


def is_counted(text: str, start: int, end: int) -> bool:
    """Tell whether a number counts something, as money."""
    return text[start - 1 : start] in ("₩", "$") or bool(_UNIT.match(text, end))


def is_listed(text: str, start: int, end: int) -> bool:
    """Tell whether spaces part a number from other digits."""
    return bool(
        re.match("[0-9] ", text[max(0, start - 2) : start]) or _MORE_DIGITS.match(text, end)
    )


def is_numbered(text: str, start: int, end: int) -> bool:
    """Tell whether a number is a document's, as 제…호."""
    return text[start - 1 : start] == "제" or text[end : end + 1] == "호"
