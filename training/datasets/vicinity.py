"""What stands beside a number: a text and where the number is go in, what the words say comes out.

Knows Korean (and a few English) words that name numbers; not how any number is built.
"""

import re

LABELS = {
    "corporate": r"법인 ?(?:등록)? ?번호",
    "resident": r"주민 ?(?:등록)? ?번호|주민등록|외국인 ?등록(?: ?번호)?|거소 ?신고",
    "phone": r"전 {0,3}화(?: ?번호)?|전 {1,3}송|연락|휴대 ?(?:폰|전화)?(?: ?번호)?|(?:핸드)?폰(?: ?번호)?"
    r"|모바일|팩스|문자|(?:안심|수신|발신) ?번호|[Ff][Aa][Xx]|[Tt][Ee][Ll]|H\.?P|[Pp]hone|[Mm]obile"
    r"|PHONE|MOBILE|☎|☏|(?<![A-Za-z])[TMFH][.)]",
    "card": r"카드(?: ?번호)?|[Cc]ard|CARD",
    "account": r"계좌(?: ?번호)?|통장|입금|송금|이체|출금|예금주|은행|뱅크|새마을금고|우체국|농협|수협|신협",
    "passport": r"여권(?: ?번호)?|[Pp]assport|PASSPORT",
    "driver": r"면허(?: ?번호)?",
    "business": r"사업자 ?(?:등록)?(?: ?번호)?",
    "other": r"(?<=[가-힣])번호|코드|주문|송장|택배|등기|접수|공고|시리얼|일련|[Ss]/[Nn]|모델|품번|부품"
    r"|학번|사번|사건|특허|출원|쿠폰|상품권|버전|ISBN|PNU|(?<![A-Za-z])ID(?![A-Za-z])",
}
"""What a number is said to be -> the words that say so; `other` is no personal data."""
_LABEL = re.compile("|".join(f"(?P<{name}>{words})" for name, words in LABELS.items()))
_BEHIND = re.compile(rf"[ ),]{{0,2}}(?:{_LABEL.pattern})")
REACH = 40
"""How far before a number a word may stand, in code points."""
_SPENT = re.compile(r"[0-9]{4}")
_BANK = "국민|신한|우리|하나|기업|농협|수협|신협|산업|카카오|토스|케이|부산|대구|광주|전북|경남|제주|씨티|제일|새마을|우체국"
_BANK_BEFORE = re.compile(rf"(?:{_BANK})[ :(,/|]{{0,3}}$")
_BANK_BEHIND = re.compile(rf"[ (,/|]{{0,3}}(?:KB|NH|IBK|SC)? ?(?:{_BANK})")
_GLUED = re.compile(r"[A-Za-z0-9_][-.]?$|[A-Za-z_]$")
_GOES_ON = re.compile(r"[A-Za-z_]|[-.][A-Za-z0-9]")
_LINK = re.compile(r"""(?:://|www\.|[A-Za-z0-9]\.[a-z]{2,6}/)[^\s()<>"']*$""")


def word(text: str, start: int, end: int) -> str:
    """Return what the nearest word before a number says that it is, else one right behind it.

    One of LABELS, or nothing. That a number is something else counts for the first number only.
    """
    before, last = text[max(0, start - REACH) : start], None
    for last in _LABEL.finditer(before):  # noqa: B007 - the last one is wanted
        pass
    if last and not (last.lastgroup == "other" and _SPENT.search(before, last.end())):
        return last.lastgroup or ""
    behind = _BEHIND.match(text, end)
    return (behind.lastgroup or "") if behind and behind.lastgroup != "other" else ""


def follows(text: str, end: int, name: str, reach: int) -> bool:
    """Tell whether a word of this name stands within `reach` code points behind a number."""
    behind = _LABEL.search(text, end, end + reach)
    return behind is not None and behind.lastgroup == name


def is_banks(text: str, start: int, end: int) -> bool:
    """Tell whether a bank's short name, which may mean other things too, adjoins a number."""
    before = text[max(0, start - 10) : start]
    return bool(_BANK_BEFORE.search(before) or _BANK_BEHIND.match(text, end))


def is_inside(text: str, start: int, end: int) -> bool:
    """Tell whether bare digits are a piece of something longer: a word, a decimal, a link."""
    before = text[max(0, start - 200) : start]
    return bool(_GLUED.search(before[-2:]) or _LINK.search(before) or _GOES_ON.match(text, end))


def is_numbered(text: str, start: int, end: int) -> bool:
    """Tell whether a number is a document's, as 제…호."""
    return text[start - 1 : start] == "제" or text[end : end + 1] == "호"
