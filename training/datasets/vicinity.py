"""What stands beside a number: a text and where the number is go in, what the words say comes out.

Knows Korean (and a few English) words that name numbers; not how any number is built.
"""

import re

LABELS = {
    "corporate": "법인 등록|법인",
    "resident": "주민 등록|주민|외국인 등록|거소 신고",
    "registered": "등록",
    "phone": "전 화|전 송|문의처|연락|휴대 폰|휴대 전화|휴대|핸드폰|폰|모바일|팩스|문자|안심|수신|발신"
    "|fax|tel|hp|h.p|phone|mobile|☎|☏",
    "card": "카드|card",
    "account": "계좌|통장|입금|송금|이체|출금|예금주|은행|뱅크|새마을금고|우체국|농협|수협|신협",
    "passport": "여권|passport",
    "driver": "면허",
    "business": "사업자 등록|사업자",
    "other": "주문|송장|코드|시리얼|일련|모델|품번|부품|특허|출원|쿠폰|상품권|버전|isbn|pnu|s/n",
}
"""What a number is said to be -> the words that say so; `other` is no personal data."""
_SAYS_NUMBER = ("corporate", "registered")
"""Those that say so only before 번호."""
_MORE = {
    "phone": r"(?<![a-z])[tmfh][.)]|문의(?=[ :(]|하시|해 )",
    "other": r"(?<=[가-힣])번호|(?<![a-z])id(?![a-z])",
}


def _pattern(name: str, words: str) -> str:
    number = r" {0,3}번호" if name in _SAYS_NUMBER else r"(?: {0,3}번호)?"
    said = re.escape(words).replace(r"\ ", " {0,3}").replace(r"\|", "|")
    more = f"|{_MORE[name]}" if name in _MORE else ""
    return f"(?P<{name}>(?:{said}){number}{more})"


_FIRST = "".join(
    {word[0] for words in LABELS.values() for word in words.split("|")} | set("tmfh번i문")
)
_LABEL = re.compile(
    f"(?=[{_FIRST}])(?:{'|'.join(_pattern(name, words) for name, words in LABELS.items())})"
)
_BEHIND = re.compile(rf"[ ),]{{0,2}}(?:(?:으로|로|에|을|를|은|는|이|가) ?)?(?:{_LABEL.pattern})")
REACH = 40
"""How far before a number a word may stand, in code points."""
NEAR = 12
"""How far a word may stand that says the number is something else."""
_SPENT = re.compile(r"[0-9]{4}")
_BANK = "국민|신한|우리|하나|기업|농협|수협|신협|산업|카카오|토스|케이|부산|대구|광주|전북|경남|제주|씨티|제일|새마을|우체국"
_BANK_BEFORE = re.compile(rf"(?:{_BANK})[ :(,/|]{{0,3}}$")
_BANK_BEHIND = re.compile(rf"[ (,/|]{{0,3}}(?:KB|NH|IBK|SC)? ?(?:{_BANK})")
_UNIT = re.compile(" ?(?:원|만|천|억|개|건|명|%)")
_GLUED = re.compile(r"[A-Za-z0-9_][-.]?$|[A-Za-z_]$")
_GOES_ON = re.compile(r"[A-Za-z_]|[-.][A-Za-z0-9]")
_LINK = re.compile(r"""(?:://|www\.|[A-Za-z0-9]\.[a-z]{2,6}/)[^\s()<>"']*$""")


def words(text: str, start: int, end: int) -> list[str]:
    """Return what words before a number (the nearest first), then one right behind it, call it.

    Each is one of LABELS; `other` is among them only where it is about this number.
    """
    before = text[max(0, start - REACH) : start].lower()
    found = [
        hit.lastgroup or ""
        for hit in _LABEL.finditer(before)
        if hit.lastgroup != "other" or _is_next(before, hit.end())
    ]
    behind = _BEHIND.match(text[end : end + 20].lower())
    is_said = behind is not None and behind.lastgroup != "other"
    return found[::-1] + ([behind.lastgroup or ""] if behind and is_said else [])


def _is_next(before: str, end: int) -> bool:
    return len(before) - end <= NEAR and not _SPENT.search(before, end)


def follows(text: str, end: int, name: str, reach: int) -> bool:
    """Tell whether a word of this name stands within `reach` code points behind a number."""
    behind = _LABEL.search(text[end : end + reach].lower())
    return behind is not None and behind.lastgroup == name


def is_banks(text: str, start: int, end: int) -> bool:
    """Tell whether a bank's short name, which may mean other things too, adjoins a number."""
    before = text[max(0, start - 10) : start]
    return bool(_BANK_BEFORE.search(before) or _BANK_BEHIND.match(text, end))


def is_inside(text: str, start: int, end: int) -> bool:
    """Tell whether bare digits are a piece of something longer: a word, a decimal, a link."""
    before = text[max(0, start - 200) : start]
    return bool(_GLUED.search(before[-2:]) or _LINK.search(before) or _GOES_ON.match(text, end))


def is_counted(text: str, start: int, end: int) -> bool:
    """Tell whether a number counts something, as money."""
    return text[start - 1 : start] in ("₩", "$") or bool(_UNIT.match(text, end))


def is_numbered(text: str, start: int, end: int) -> bool:
    """Tell whether a number is a document's, as 제…호."""
    return text[start - 1 : start] == "제" or text[end : end + 1] == "호"
