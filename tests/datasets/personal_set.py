"""Sentences with and without personal data: a seed goes in, cases with what is true of them come out.

The sentences stand in personal_sentences.txt: per kind, and per class of what only looks like one, some
«shown», to mend the detector by, and some «held», to judge it by. Every number and address is drawn by
chance from its official definition (or its usual form) and is meant to belong to nobody. Knows nothing
of the detector.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

SENTENCES = Path(__file__).with_name("personal_sentences.txt")
SLOT = re.compile(r"\{(\w+)\}")
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
HYPHENS = "‐–—－ㅡ"


@dataclass(frozen=True, slots=True)
class Truth:
    kind: str
    shape: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    """The kind that the sentence is about, or the class of what only looks like one."""
    text: str
    truths: tuple[Truth, ...]


def cases(seed: int, part: str, times: int = 6) -> list[Case]:
    """Return every sentence of a part (`shown` or `held`) filled `times` times."""
    random = Random(f"{seed} {part}")
    return [
        _filled(random, name, sentence)
        for name, sentences in _sentences(part).items()
        for sentence in sentences
        for _ in range(times)
    ]


@dataclass(slots=True)
class Score:
    """Of one kind, over all cases."""

    there: int = 0
    """Pieces of personal data in the sentences."""
    found: int = 0
    """Those of them that were found: kind and both ends, brackets aside."""
    taken: int = 0
    """What was taken for this kind, rightly or not."""

    @property
    def precision(self) -> float:
        return self.found / self.taken if self.taken else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.there if self.there else 1.0


class Span(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


Find = Callable[[str], Sequence[Span]]


def scores(over: list[Case], find: Find) -> dict[str, Score]:
    """Return kind -> how well `find` does on these cases."""
    told: dict[str, Score] = {}
    for case in over:
        true = {place(case, truth) for truth in case.truths}
        taken = {place(case, match) for match in find(case.text)}
        for kind, *_ in true:
            told.setdefault(kind, Score()).there += 1
        for kind, *_ in taken:
            told.setdefault(kind, Score()).taken += 1
        for kind, *_ in true & taken:
            told[kind].found += 1
    return told


def place(case: Case, span: Span) -> tuple[str, int, int]:
    return span.kind, span.start + case.text.startswith("(", span.start), span.end


def mistaken(over: list[Case], find: Find) -> dict[str, tuple[int, Counter[str]]]:
    """Return class of lookalike -> how many cases there are, and what was taken for which kind."""
    told: dict[str, tuple[int, Counter[str]]] = {}
    for case in over:
        if not case.truths:
            count, kinds = told.get(case.name, (0, Counter()))
            kinds.update(match.kind for match in find(case.text))
            told[case.name] = count + 1, kinds
    return told


def _sentences(part: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in SENTENCES.read_text("utf-8").splitlines():
        if line.startswith("# "):
            name, section = line[2:].split()
        elif section == part:
            found.setdefault(name, []).append(line.replace("\\n", "\n").replace("\\t", "\t"))
    return found


def _filled(random: Random, name: str, sentence: str) -> Case:
    bank, truths, text, done = random.choice([*BANKS]), [], "", 0
    for slot in SLOT.finditer(sentence):
        text += sentence[done : slot.start()]
        done = slot.end()
        if slot[1] in PERSONAL:
            kind = {"foreigner": "resident"}.get(slot[1], slot[1])
            shape, value = account(random, bank) if kind == "account" else PERSONAL[slot[1]](random)
            truths.append(Truth(kind, shape, len(text), len(text) + len(value)))
        else:
            value = bank if slot[1] == "bank" else LOOKALIKES[slot[1]](random)
        text += value
    return Case(name, text + sentence[done:], tuple(truths))


# --- pieces --------------------------------------------------------------------------------------
def digits(random: Random, count: int, first: str = "0123456789") -> str:
    return random.choice(first) + "".join(random.choices("0123456789", k=count - 1))


def drawn(random: Random, pattern: str) -> str:
    """Return a pattern with each `#` drawn from the digits, `¹` from 1-9, `^` from the capitals."""
    alphabets = {"#": "0123456789", "¹": "123456789", "^": "ABCDEFGHJKLMNPQRSTUVWXYZ"}
    return "".join(random.choice(alphabets.get(letter, letter)) for letter in pattern)


def grouped(number: str, *lengths: int, by: str = "-") -> str:
    assert len(number) == sum(lengths)
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return by.join(number[end - length : end] for end, length in zip(ends, lengths, strict=True))


def worn(random: Random, shape: str, value: str) -> tuple[str, str]:
    """Write a value, now and then, with full-width digits, another hyphen, or air around it."""
    chance = random.random()
    if chance < 0.06:
        return f"{shape}, full width", value.translate(FULL_WIDTH)
    if chance < 0.12 and "-" in value:
        return f"{shape}, other hyphen", value.replace("-", random.choice(HYPHENS))
    if chance < 0.15 and "-" in value:
        return f"{shape}, spaced hyphen", value.replace("-", " - ")
    return shape, value


def day(random: Random, first: date, last: date) -> date:
    return first + timedelta(random.randrange((last - first).days))


# --- personal data, each from its definition -----------------------------------------------------
def resident(random: Random, *, is_foreign: bool = False) -> tuple[str, str]:
    """주민등록법 시행규칙: YYMMDD, sex and century, place, order, check; since October 2020 by chance."""
    born = day(random, date(1935, 1, 1), date(2026, 6, 1))
    sex = random.randrange(2) + 1 + 2 * (born.year >= 2000) + 4 * is_foreign
    is_new = born >= date(2020, 10, 1) or random.random() < (0.5 if is_foreign else 0.1)
    number = f"{born:%y%m%d}{sex}" + digits(random, 5)
    number += digits(random, 1) if is_new else _check_of_resident(number, is_foreign)
    age = "without check digit" if is_new else "with check digit"
    chance = random.random()
    if chance < 0.15:
        return worn(random, f"bare, {age}", number)
    return worn(random, f"split, {age}", grouped(number, 6, 7, by=" " if chance < 0.2 else "-"))


def _check_of_resident(first: str, is_foreign: bool) -> str:
    total = sum(int(a) * int(b) for a, b in zip(first, "234567892345", strict=True))
    return str(((13 if is_foreign else 11) - total % 11) % 10)


def foreigner(random: Random) -> tuple[str, str]:
    shape, value = resident(random, is_foreign=True)
    return f"foreigner, {shape}", value


def mobile(random: Random) -> tuple[str, str]:
    """전기통신번호관리세칙: 010 and eight digits; the older 011, 016-019 with seven or eight."""
    middle, last = digits(random, 4), digits(random, 4)
    old = random.choice(("011", "016", "017", "018", "019"))
    forms = {
        "hyphens": f"010-{middle}-{last}", "bare": f"010{middle}{last}",
        "dots": f"010.{middle}.{last}", "spaces": f"010 {middle} {last}",
        "bracket": f"010){middle}-{last}", "brackets": f"(010) {middle}-{last}",
        "half bare": f"010-{middle}{last}", "+82, hyphens": f"+82-10-{middle}-{last}",
        "+82, spaces": f"+82 10 {middle} {last}", "+82, bare": f"+8210{middle}{last}",
        "+82 (0)": f"+82(0)10-{middle}-{last}",
        "old, seven": f"{old}-{digits(random, 3, '23456789')}-{last}",
        "old, eight": f"{old}-{digits(random, 4, '9')}-{last}",
    }  # fmt: skip
    weights = [8, 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    shape = random.choices([*forms], weights)[0]
    return worn(random, shape, forms[shape])


def landline(random: Random) -> tuple[str, str]:
    """전기통신번호관리세칙: an area (or 070, 050X), an exchange that begins with 2-9, four digits."""
    area = "0" + random.choice(
        [
            "2",
            "31",
            "32",
            "33",
            "41",
            "42",
            "43",
            "44",
            "51",
            "52",
            "53",
            "54",
            "55",
            "61",
            "62",
            "63",
            "64",
        ]
    )
    exchange, last = digits(random, random.choice((3, 4)), "23456789"), digits(random, 4)
    forms = {
        "hyphens": f"{area}-{exchange}-{last}", "bracket": f"{area}){exchange}-{last}",
        "brackets": f"({area}) {exchange}-{last}", "dots": f"{area}.{exchange}.{last}",
        "spaces": f"{area} {exchange} {last}", "bare": f"{area}{exchange}{last}",
        "070": f"070-{digits(random, 4, '45678')}-{last}", "0505": f"0505-{exchange[:3]}-{last}",
        "050X": f"050{random.randrange(2, 9)}-{digits(random, 4)}-{last}",
        "+82": f"+82-{area[1:]}-{exchange}-{last}",
    }  # fmt: skip
    shape = random.choices([*forms], [8, 2, 2, 1, 1, 1, 2, 1, 2, 1])[0]
    return worn(random, shape, forms[shape])


def email(random: Random) -> tuple[str, str]:
    """RFC 5321, in names that are kept for examples (RFC 2606) or stand below such a word."""
    name = random.choice(
        ("hong", "gildong.hong", "h_gildong", "kim-cs", "info", "help", "minwon24", "a1", "Lee.YH",
         "park+office", "010sample", "20240001", "test.user.kr", "xn_99", "k")
    )  # fmt: skip
    host = random.choice(
        ("example.com", "example.co.kr", "mail.example.go.kr", "example.ac.kr", "example.org",
         "EXAMPLE.COM", "my-example.net", "a.b.example.or.kr", "example.kr", "example.io")
    )  # fmt: skip
    shape = random.choices(["plain", "wide @", "(at)", "골뱅이"], [20, 1, 2, 1])[0]
    at = {"plain": "@", "wide @": "＠", "(at)": random.choice(("(at)", " (at) ", "[at]"))}
    return shape, f"{name}{at.get(shape, random.choice((' 골뱅이 ', '골뱅이')))}{host}"


def card(random: Random) -> tuple[str, str]:
    """ISO/IEC 7812: the network's first digits, the account, Luhn's check digit."""
    network, start, lengths = random.choice(
        (
            ("Visa", "4", (4, 4, 4, 4)), ("Mastercard", str(random.randint(51, 55)), (4, 4, 4, 4)),
            ("Mastercard 2", str(random.randint(2221, 2720)), (4, 4, 4, 4)),
            ("JCB", str(random.randint(3528, 3589)), (4, 4, 4, 4)), ("UnionPay", "62", (4, 4, 4, 4)),
            ("domestic", "94" + random.choice("0123456"), (4, 4, 4, 4)),
            ("Amex", random.choice(("34", "37")), (4, 6, 5)), ("Diners", "36", (4, 6, 4)),
        )
    )  # fmt: skip
    number = start + digits(random, sum(lengths) - len(start) - 1)
    number += _check_of_luhn(number)
    by = random.choices(["-", " ", ""], [6, 3, 2])[0]
    return worn(random, f"{network}, by {by!r}", grouped(number, *lengths, by=by))


def _check_of_luhn(first: str) -> str:
    total = sum(
        sum(divmod(int(digit) * (2 if place % 2 == 0 else 1), 10))
        for place, digit in enumerate(reversed(first))
    )
    return str(-total % 10)


BANKS = {
    "국민은행": ("######-04-######", "###-21-####-###"), "신한은행": ("110-###-######", "###-02-######"),
    "우리은행": ("1002-###-######",), "하나은행": ("###-######-##107",), "NH농협": ("302-####-####-#1",),
    "농협은행": ("301-####-####-11", "###-01-######"), "IBK기업은행": ("###-######-01-###",),
    "카카오뱅크": ("3333-##-#######",), "토스뱅크": ("1000-####-####",), "케이뱅크": ("100-2##-######",),
    "새마을금고": ("9002-####-####-#",), "우체국": ("######-02-######",), "부산은행": ("101-####-####-##",),
    "신협": ("13#-0##-######",), "수협은행": ("1010-####-####",), "SC제일은행": ("###-20-######",),
    "대구은행": ("505-##-#######",), "산업은행": ("020-########-###",), "씨티은행": ("###-#####-21#-##",),
    "신한": ("110-###-######",), "국민": ("######-04-######",), "하나": ("###-######-##105",),
    "우리": ("1002-###-######",), "기업": ("###-######-01-###",), "농협": ("352-####-####-#3",),
}  # fmt: skip
"""What a bank is called -> how it groups its numbers (금융결제원, CMS 참가기관별 계좌번호체계)."""


def account(random: Random, bank: str) -> tuple[str, str]:
    value = drawn(random, random.choice(BANKS[bank]))
    by = random.choices(["-", " ", ""], [14, 1, 4])[0]
    return worn(random, f"by {by!r}", value.replace("-", by))


def business(random: Random) -> tuple[str, str]:
    """국세청: tax office, kind of business, order, check digit with the weights 1 3 7 1 3 7 1 3 5."""
    number = digits(random, 3, "123456") + f"{random.randint(1, 99):02}" + digits(random, 4)
    weighed = [int(a) * int(b) for a, b in zip(number, "137137135", strict=True)]
    number += str(-(sum(weighed) + weighed[-1] // 10) % 10)
    is_bare = random.random() < 0.12
    value = number if is_bare else grouped(number, 3, 2, 5)
    return worn(random, "bare" if is_bare else "hyphens", value)


def passport(random: Random) -> tuple[str, str]:
    """여권법 시행규칙: a letter and eight digits; since December 2021 three, a letter and four."""
    kind, is_new = random.choice("MMMMSRGD"), random.random() < 0.5
    value = kind + drawn(random, "###^####" if is_new else "########")
    if random.random() < 0.06:
        value = value.lower()
    return ("new" if is_new else "old"), value


def driver(random: Random) -> tuple[str, str]:
    """도로교통법 시행규칙: region (11-26, 28), year, order, check; before that the region's name."""
    region = str(random.choice([*range(11, 27), 28]))
    rest = digits(random, 2), digits(random, 6), digits(random, 2)
    name = random.choice(("서울", "부산", "경기", "강원", "충북", "전남", "경북", "제주", "대구"))
    forms = {
        "hyphens": "-".join((region, *rest)),
        "bare": region + "".join(rest),
        "spaces": " ".join((region, *rest)),
        "name": f"{name} {'-'.join(rest)}",
        "name, close": f"{name}{'-'.join(rest)}",
    }
    shape = random.choices([*forms], [12, 2, 1, 2, 1])[0]
    return worn(random, shape, forms[shape])


PERSONAL: dict[str, Callable[[Random], tuple[str, str]]] = {
    "resident": resident, "foreigner": foreigner, "mobile": mobile, "landline": landline,
    "email": email, "card": card, "business": business, "passport": passport, "driver": driver,
    "account": lambda random: account(random, random.choice([*BANKS])),
}  # fmt: skip


# --- what only looks like personal data ----------------------------------------------------------
def any_of(*patterns: str) -> Callable[[Random], str]:
    return lambda random: drawn(random, random.choice(patterns))


def dated(*forms: str) -> Callable[[Random], str]:
    """Return what writes a day by chance in one of these forms, which are patterns too."""

    def write(random: Random) -> str:
        moment = day(random, date(1998, 1, 1), date(2027, 1, 1))
        return moment.strftime(drawn(random, random.choice(forms)))

    return write


def ean(random: Random, first: str) -> str:
    first += digits(random, 12 - len(first))
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(first))
    return first + str(-total % 10)


def isbn(random: Random) -> str:
    number = ean(random, random.choice(("97889", "97911")))
    return random.choice((number, grouped(number, 3, 2, 4, 3, 1)))


def barcode(random: Random) -> str:
    return ean(random, random.choice(("880", "880", "49", "69")))


def ip(random: Random) -> str:
    return ".".join(str(random.randrange(256)) for _ in range(4))


def amount(random: Random) -> str:
    number = random.randrange(1_000, 10 ** random.randint(4, 12))
    return random.choice((f"{number:,}원", f"₩{number:,}", f"{number}원", f"{number:,} 천원"))


def span(random: Random) -> str:
    first = random.randrange(1990, 2024)
    return f"{first}{random.choice(('-', '~', ' - ', '–'))}{first + random.randint(1, 9)}"


def coordinate(random: Random) -> str:
    north, east = 33 + 5 * random.random(), 125 + 5 * random.random()
    forms = f"{north:.6f}, {east:.6f}", f"{north:.5f} {east:.5f}", f"({north:.7f},{east:.7f})"
    return random.choice(forms)


def number_table(random: Random) -> str:
    values = [random.randrange(10 ** random.randint(1, 5)) for _ in range(random.randint(5, 12))]
    years = [*range(2015, 2015 + random.randint(4, 9))]
    by = random.choice((" ", " ", "\t", " | ", ", "))
    return by.join(map(str, random.choice((years, values))))


def corporate(random: Random) -> str:
    """상업등기규칙: court (4), kind (2), order (6), check digit with the weights 1 2 1 2 …"""
    court = random.choice(("1101", "1301", "1348", "1501", "1601", "1801", "2001", "2101"))
    first = court + random.choice(("11", "14", "21", "22", "71")) + "0" + digits(random, 5)
    total = sum(int(digit) * (1 + place % 2) for place, digit in enumerate(first))
    return grouped(first + str(-total % 10), 6, 7)


def hashed(random: Random) -> str:
    bits = random.choice((128, 160, 256))
    number = f"{random.getrandbits(bits):0{bits // 4}x}"
    is_uuid = bits == 128 and random.random() < 0.5
    return grouped(number, 8, 4, 4, 4, 12) if is_uuid else number


LOOKALIKES: dict[str, Callable[[Random], str]] = {
    "date": dated("%Y-%m-%d", "%Y.%m.%d.", "%Y년 %m월 %d일", "%Y/%m/%d", "%y.%m.%d", "%Y%m%d"),
    "time": lambda random: f"{random.randrange(24):02}:{random.randrange(60):02}",
    "order": dated("%Y%m%d-#######", "%Y%m%d########", "¹#########", "¹############",
                   "ORD-%Y%m%d-######", "%y%m%d#######", "%y%m%d-#######"),
    "tracking": any_of("¹###-####-####", "¹###########", "6############", "¹#########",
                       "EE#########KR", "¹####-####-####", "¹##-####-####-###"),
    "receipt": dated("%Y-######", "1AA-%y%m-#######", "%Y%m%d####", "%Y-#######-###",
                     "SPP-%y%m-######", "%y%m%d-####", "¹###########"),
    "case": dated("%Y가합¹####", "%Y고단¹###", "%Y다¹#####", "%Y헌바¹##", "%Y. %m. %d.자 %Y카단¹###"),
    "document": dated("총무과-¹###", "제%Y-¹##호", "행정안전부고시 제%Y-¹#호", "%Y%m%d###-00",
                      "제02-%Y-####호", "기획조정실-¹####", "제%Y-###-####호"),
    "version": any_of("¹.#.#", "10.0.19045.####", "v¹.10.#-rc1", "531.18.####", "2.0.¹###.10",
                      "02.100.####"),
    "law": any_of("제¹#조제1항", "제¹조의2제1항제3호", "§ ¹##", "제¹##조", "제¹#조 제¹항 제¹#호"),
    "ip": ip, "isbn": isbn, "barcode": barcode, "amount": amount, "corporate": corporate,
    "decimal": any_of("¹.####", "0.######", "¹###.##", "¹##.#######", "0.01#######", "0.02########"),
    "coordinate": coordinate, "range": span, "table": number_table, "hash": hashed,
    "postal": any_of("0####", "¹####", "¹##-###"),
    "student": dated("20¹#######", "%Y#####", "%Y-#####", "%y¹#####"),
    "serial": any_of("SN¹#########", "^^¹#-######-####", "M¹#######", "^^^########^", "S¹#######",
                     "R¹##^####", "¹#-##-######-##", "C02^^###^###", "M¹##^####"),
    "part": any_of("^^-¹###-##", "¹###-###-#####", "M¹#######", "¹####-^^###", "D########",
                   "¹##-##-#####", "^¹###-##"),
    "bare": any_of("¹######", "¹#########", "¹############", "¹###################",
                   "17###########", "¹###############", "2##############"),
    "url": any_of("https://example.com/view/¹##########?no=¹#########",
                  "http://www.example.kr/board/20240###/¹###-####-####",
                  "https://example.com/a?id=01########^&page=1", "example.com/p/01#########",
                  "https://example.org/article/001/001#######"),
    "nationwide": any_of("1588-####", "1600-####", "1899-####", "080-###-####", "1544-####", "1566####"),
    "standard": any_of("KS X 1001", "ISO 9001", "KS B ####", "IEC 60068-2-##", "KS C IEC 61000-4-#"),
    "handle": any_of("@gildong_##", "@user####", "hong@", "a@b", "@^-^-^", "logo@2x.png", "user@localhost",
                     "git@github.com:example/repo.git", "numpy@1.26.#", "@a.b.c"),
    "meeting": any_of("8## #### ####", "97#-###-####", "¹### ### ####", "8##########"),
    "patent": any_of("10-20¹#-#######", "10-¹######", "20-20¹#-#######", "10-¹######-0000"),
    "parcel": any_of("11###101001########", "11###1010010###########00", "41###-#####-1-####-####"),
    "policy": any_of("¹###########", "L20¹##########", "¹###-####-####", "¹############",
                     "¹##-##-######", "¹#-####-####"),
    "address": any_of("10¹동 ¹###호", "¹#-##", "산 ¹#-¹", "10¹-¹###", "¹#길 ##-¹, 10¹동 ¹###호"),
    "plate": any_of("¹#가 ####", "¹##나 ####", "서울¹#바####", "¹#다####"),
    "masked": any_of("010-****-####", "¹###-****-****-####", "90####-1******", "ho**@example.com",
                     "010-####-****", "02-***-####"),
    "flight": any_of("KE00¹", "OZ¹###", "7C¹##", "제¹##열차"),
    "booking": any_of("^^#^^#", "¹###-####", "82¹##-####-#####-##", "G¹########"),
}  # fmt: skip
