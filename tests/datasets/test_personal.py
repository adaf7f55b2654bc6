"""What is personal data and what only looks like it, kind by kind; then over drawn sentences and
over any text at all."""

import re
import time

import pyarrow
import pyarrow.compute
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets import personal_set
from training.datasets import identifiers, personal, vicinity
from training.datasets.personal import Match, find, masked, replaced

DOCUMENT = "주문번호 20240315-0001234, 전화 010-1234-5678, 메일 hong@example.com, 우편번호 03187"


def told(text: str) -> list[tuple[str, str]]:
    return [(match.kind, text[match.start : match.end]) for match in find(text)]


def one(text: str) -> Match:
    (match,) = find(text)
    return match


# --- residents -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "number",
    [
        "900101-1234567", "000229-3234567", "991231-2345678", "850505-5234567", "010203-8234567",
        "900101 - 1234567", "９００１０１－１２３４５６７", "900101–1234567", "900101ㅡ1234567",
    ],
)  # fmt: skip
def test_a_residents_number_is_found_however_it_is_parted(number):
    assert told(f"신청인은 {number}입니다") == [("resident", number)]


@pytest.mark.parametrize(
    "number",
    [
        "901301-1234567", "900231-1234567", "010229-3234567",  # no such day
        "900101-9234567", "900101-0234567",  # born before 1900
        "991231-3234567",  # born in 2099
        "900101-12345678", "1900101-1234567", "900101+1234567", "900101-123456",
    ],
)  # fmt: skip
def test_what_cannot_be_a_birth_is_no_residents_number(number):
    assert told(number) == []


def test_a_check_digit_that_agrees_makes_a_residents_number_sure():
    assert one("960121-1021413").is_sure
    assert not one("960121-1021414").is_sure


def test_a_number_without_check_digit_counts_as_such_numbers_are_given_since_2020():
    assert one("210305-3123456").kind == "resident"


def test_nobody_over_ninety_has_a_number_without_check_digit():
    assert told("230405-1000123") == []
    assert told("주민등록번호 230405-1000123") == [("resident", "230405-1000123")]


def test_bare_digits_are_a_residents_number_by_check_digit_or_by_the_words_before():
    assert told("9601211021413 확인") == [("resident", "9601211021413")]
    assert told("9601211021414 확인") == []
    assert told("주민등록번호는 9601211021414") == [("resident", "9601211021414")]
    assert told("| 성명 | 주민번호 | 연락처 |\n| 홍길동 | 9601211021414 | 없음 |") != []


@pytest.mark.parametrize(
    "text",
    [
        "주문번호 9601211021413", "접수번호는 960121-1021413", "파일 a9601211021413",
        "https://example.com/9601211021413", "8801151000138", "법인등록번호 110111-1234567", "등기 110111-0006240", "110111-4000008",
    ],
)  # fmt: skip
def test_a_number_that_is_said_to_be_something_else_is_no_residents(text):
    assert told(text) == []


def test_a_word_for_something_else_counts_for_the_next_number_alone():
    assert told("주문번호 20240315, 9601211021413") == [("resident", "9601211021413")]
    assert told("주문이 늦어서 문의합니다. 960121-1021413") == [("resident", "960121-1021413")]


# --- telephones ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "number",
    [
        "010-1234-5678", "010.1234.5678", "010 1234 5678", "01012345678", "010)1234-5678",
        "(010) 1234-5678", "010-12345678", "+82-10-1234-5678", "+82 10 1234 5678", "+821012345678",
        "+82(0)10-1234-5678", "82-10-1234-5678", "011-123-4567", "016-1234-5678", "019-123-4567",
        "０１０－１２３４－５６７８", "010‐1234‐5678", "010ㅡ1234ㅡ5678", "010 - 1234 - 5678",
    ],
)  # fmt: skip
def test_a_mobile_number_is_found_however_it_is_written(number):
    assert told(f"제 번호는 {number}이에요") == [("mobile", number)]


@pytest.mark.parametrize(
    "number",
    ["02-123-4567", "02-1234-5678", "031-123-4567", "064)123-4567", "(02) 1234-5678",
     "070-1234-5678", "0505-123-4567", "0507-1234-5678", "+82-2-1234-5678", "+82 31 123 4567",
     "02.2345.6789", "02 2345 6789", "0223456789"],
)  # fmt: skip
def test_a_landline_is_found_however_it_is_written(number):
    assert told(f"{number} 로 알려 주세요") == [("landline", number)]


@pytest.mark.parametrize(
    "text",
    [
        "대표번호 1588-1234", "1600-1234", "18991234", "080-123-4567", "긴급전화 112",
        "010-1234-567", "010-12345-678", "3-010-1234-5678", "010-1234-5678-9", "2010-2015",
        "버전 02.100.4567.1", "제02-2023-1234호", "0.01012345678", "example.com/p/01012345678", "버전 2.010.1234.5678", "전화 회의 82549619537",
        "a01012345678", "문서번호 031-2023-0012", "010-****-5678", "01O-1234-5678", "02 2345 6789 8",
    ],
)  # fmt: skip
def test_what_looks_like_a_telephone_number_is_left_alone(text):
    assert told(text) == []


def test_a_word_makes_a_telephone_number_of_what_could_be_something_else():
    assert told("0111234567") == []
    assert told("휴대폰 0111234567") == [("mobile", "0111234567")]
    assert told("https://example.com/?phone=01012345678") == [("mobile", "01012345678")]
    assert told("연락처 821012345678") == [("mobile", "821012345678")]


def test_an_extension_does_not_belong_to_the_number():
    assert told("☎ 02-2100-1234~5") == [("landline", "02-2100-1234")]
    assert told("(전화 02-2100-1234, 내선 12)") == [("landline", "02-2100-1234")]


def test_numbers_side_by_side_are_told_apart():
    assert told("02-123-4567/010-1234-5678 010-8765-4321") == [
        ("landline", "02-123-4567"), ("mobile", "010-1234-5678"), ("mobile", "010-8765-4321"),
    ]  # fmt: skip


# --- e-mail --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "address",
    [
        "hong@example.com", "gildong.hong+tag@mail.example.co.kr", "H_G-1@EXAMPLE.KR",
        "info@example.com", "010@example.com", "hong＠example.com", "hong(at)example.com",
        "hong [at] example.com", "hong골뱅이example.com", "hong 골뱅이 example.com",
    ],
)  # fmt: skip
def test_an_address_is_found_without_the_words_around_it(address):
    assert told(f"메일은{address}으로 주세요") == [("email", address)]
    assert told(f"<{address}>.") == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        "@gildong_hong", "a@b", "user@localhost", "hong@", "@a.b.c", "logo@2x.png",
        "git@github.com:example/repo.git", "numpy@1.26.4", "@user@example.com", "ho**@example.com",
        "고등어 골뱅이 통조림", "3(at)4",
    ],
)  # fmt: skip
def test_what_looks_like_an_address_is_left_alone(text):
    assert told(text) == []


def test_a_number_behind_an_address_is_in_no_link():
    assert told("hong@example.com/01012345678")[1] == ("mobile", "01012345678")


def test_digits_in_an_address_are_not_a_telephone_number():
    assert told("01012345678@example.com") == [("email", "01012345678@example.com")]


# --- cards, accounts, firms ----------------------------------------------------------------------
@pytest.mark.parametrize(
    "number",
    ["4111-1111-1111-1111", "5555 5555 5555 4444", "4111111111111111", "3782-822463-10005",
     "3056 930902 5904", "9410-1234-5678-9010", "3530111333300000"],
)  # fmt: skip
def test_a_card_is_found_by_network_and_check_digit(number):
    assert told(f"{number}로 결제") == [("card", number)]


@pytest.mark.parametrize(
    "text",
    ["4111-1111-1111-1112", "1234-5678-9012-3452", "주문번호 4111111111111111", "2015 2016 2017 2018",
     "4111111111111111원", "x4111111111111111", "4111-11111111-1111", "20231204123045"],
)  # fmt: skip
def test_what_looks_like_a_card_is_left_alone(text):
    assert told(text) == []


def test_a_mistyped_card_counts_where_the_word_stands_before_it():
    match = one("카드번호: 1234-5678-9012-3456")
    assert match.kind == "card" and not match.is_sure


@pytest.mark.parametrize(
    ("before", "number", "behind"),
    [
        ("국민은행 ", "123456-04-123456", ""), ("", "110-123-456789", " (신한)"),
        ("하나 ", "123-456789-01207", ""), ("계좌번호: ", "3333-01-1234567", ""),
        ("환불 계좌 ", "1002-123-456789", ""), ("농협 ", "301-1234-5678-91", " 홍길동"),
        ("계좌번호는 ", "110123456789", ""), ("카카오뱅크 ", "3333011234567", ""),
        ("|은행|계좌|예금주|\n|---|---|---|\n|신한|", "110-123-456789", "|홍길동|"),
        ("입금 계좌: ", "12-3456-789012", ""), ("신한 ", "110 123 456789", ""), ("KB", "123456-04-123456", ""),
    ],
)  # fmt: skip
def test_an_account_is_found_beside_a_banks_name_or_the_word(before, number, behind):
    assert told(before + number + behind) == [("account", number)]


@pytest.mark.parametrize(
    "text",
    [
        "110-123-456789", "110123456789", "우리 회사 물품 1002-123-456789", "은행 업무 2023-12-04",
        "입금 2023-12-04 10:00", "입금 20231204123456", "계좌 개설 20231204123456", "우체국 등기번호 1234-5678-90123",
        "은행으로 1580442425원을 보냈다", "계좌 수 2015 2016 2017 2018", "은행 공문 제2023-123-4567호",
    ],
)  # fmt: skip
def test_digits_without_a_bank_are_no_account(text):
    assert told(text) == []


def test_a_form_that_banks_use_makes_an_account_sure():
    assert one("국민은행 123456-04-123456").is_sure
    assert not one("국민은행 12-3456-789012").is_sure


def test_a_business_number_is_found_by_check_digit():
    assert told("공급자 123-45-67891") == [("business", "123-45-67891")]
    assert told("사업자등록번호 1234567891") == [("business", "1234567891")]
    assert told("등록번호 : 123-45-67891") == [("business", "123-45-67891")]
    assert told("사업자번호는 123-45-67890") == [("business", "123-45-67890")]
    assert not one("사업자번호는 123-45-67890").is_sure


@pytest.mark.parametrize(
    "text",
    [
        "123-45-67890",
        "000-00-00000",
        "1234567891",
        "부품 123-45-67891",
        "978-89-12345-67-8",
        "123-45-678912",
    ],
)
def test_what_looks_like_a_business_number_is_left_alone(text):
    assert told(text) == []


# --- passports, licences -------------------------------------------------------------------------
@pytest.mark.parametrize(
    "number", ["M12345678", "S87654321", "M123A4567", "d12345678", "R123B4567"]
)
def test_a_passport_is_found_where_the_word_stands_near_it(number):
    assert told(f"여권번호: {number}") == [("passport", number)]
    assert told(f"{number} 여권을 잃어버렸어요") == [("passport", number)]
    assert told(f"Passport No. {number}") == [("passport", number)]
    assert told(f"제품 {number}") == []


@pytest.mark.parametrize(
    "number", ["M1234567", "K12345678", "M123456789", "AM12345678", "M12A34567"]
)
def test_what_is_formed_otherwise_is_no_passport(number):
    assert told(f"여권번호: {number}") == []


@pytest.mark.parametrize(
    "number", ["11-04-123456-78", "28-99-123456-00", "서울 04-123456-78", "제주04-123456-78"]
)
def test_a_drivers_licence_is_found_by_its_form(number):
    assert told(f"{number} 확인") == [("driver", number)]
    assert one(f"운전면허 {number}").is_sure


def test_a_drivers_licence_without_hyphens_needs_the_word():
    assert told("110412345678") == told("11 04 123456 78") == []
    assert told("면허번호 110412345678") == [("driver", "110412345678")]
    assert told("운전면허번호는 11 04 123456 78") == [("driver", "11 04 123456 78")]


@pytest.mark.parametrize(
    "text",
    ["10-04-123456-78", "27-04-123456-78", "29-04-123456-78", "일련번호 11-04-123456-78",
     "면허 접수 202312041234", "11-04-123456-789"],
)  # fmt: skip
def test_what_looks_like_a_licence_is_left_alone(text):
    assert told(text) == []


# --- what is no personal data of any kind --------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "2024-03-15 10:30:00", "2024. 3. 15.(금)", "09:00~18:00", "사건번호 2023가합12345",
        "대법원 2020. 1. 2. 선고 2019다123456 판결", "v2.10.1-rc1", "10.0.19045.3803",
        "제15조의2제1항제3호", "192.168.10.254", "255.255.255.255/24", "978-89-5789-930-4",
        "9791126754427", "8801043014809", "1,234,567,890원", "₩50000000000", "37.566535, 126.977969",
        "(우)03187", "135-080", "학번 2021123456", "SN1234567890", "2,345,678천원", "3.141592653589793",
        "2010-2015", "1998~2003", "https://example.com/view/12345678901?no=1234567890",
        "d41d8cd98f00b204e9800998ecf8427e", "550e8400-e29b-41d4-a716-446655440000",
        "KS X 1001", "IEC 60068-2-14", "ISO 9001:2015", "12가 3456", "101동 1203호",
        "송장번호 1234-5678-9012", "10-2023-0012345", "1 5 12 23 34 45", "812 3456 7890",
        "2015 2016 2017 2018 2019", "1577-1577", "KE123편 12A",
    ],
)  # fmt: skip
def test_everyday_numbers_of_offices_are_left_alone(text):
    assert told(f"{text}") == told(f"안내: {text} 참고하세요.") == []


# --- hiding and replacing ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("900101-1234567", "900101-1******"), ("주민번호 9001011234567", "주민번호 9001011******"),
        ("010-1234-5678", "010-****-5678"), ("01012345678", "010****5678"),
        ("+82 10-1234-5678", "+82 10-****-5678"), ("011-123-4567", "011-***-4567"),
        ("(02) 123-4567", "(02) ***-4567"), ("0505-123-4567", "0505-***-4567"),
        ("hong@example.com", "ho**@example.com"), ("a1@example.com", "a*@example.com"),
        ("a@example.com", "*@example.com"), ("hong 골뱅이 example.com", "ho** 골뱅이 example.com"),
        ("카드 1234-5678-9012-5678", "카드 1234-****-****-5678"),
        ("3782-822463-10005", "3782-******-*0005"),
        ("국민은행 123456-04-123456", "국민은행 123***-**-****56"),
        ("123-45-67891", "123-45-*****"), ("여권 M12345678", "여권 M1234****"),
        ("여권 M123A4567", "여권 M123A****"), ("11-04-123456-78", "11-04-******-78"),
        ("서울 04-123456-78", "서울 04-******-78"), ("０１０－１２３４－５６７８", "０１０－****－５６７８"),
    ],
)  # fmt: skip
def test_stars_keep_the_shape_and_hide_what_identifies(text, shown):
    assert masked(text) == shown


def test_a_placeholder_says_what_stood_there():
    assert (
        replaced(DOCUMENT)
        == "주문번호 20240315-0001234, 전화 [전화번호], 메일 [이메일], 우편번호 03187"
    )
    assert replaced("960121-1021413 4111-1111-1111-1111 123-45-67891 11-04-123456-78") == (
        "[주민등록번호] [카드번호] [사업자등록번호] [운전면허번호]"
    )
    assert (
        replaced("국민은행 123456-04-123456, 여권 M12345678")
        == "국민은행 [계좌번호], 여권 [여권번호]"
    )


def test_only_the_kinds_that_are_asked_for_are_replaced():
    assert replaced(DOCUMENT, ["email"]) == DOCUMENT.replace("hong@example.com", "[이메일]")
    assert replaced(DOCUMENT, []) == DOCUMENT


def test_a_placeholder_names_no_number_beside_it():
    assert told("[계좌번호] 110123456789") == told("[여권번호] M12345678") == []


def test_there_is_a_placeholder_for_each_kind_and_each_is_known_where_words_are_read():
    assert personal.PLACEHOLDERS.keys() == set(personal.KINDS)
    for placeholder in personal.PLACEHOLDERS.values():
        assert vicinity.before(f"{placeholder} ", len(placeholder) + 1) == []


# --- official numbers ----------------------------------------------------------------------------
def test_check_digits_follow_their_published_rules():
    assert identifiers.resident_agrees("9601211021413")
    assert identifiers.resident_agrees("8505055234565")  # a foreigner's
    assert not identifiers.resident_agrees("8505055234563")
    assert identifiers.business_agrees("1234567891") and not identifiers.business_agrees(
        "1234567890"
    )
    assert identifiers.corporate_agrees("1101110006240")
    assert not identifiers.corporate_agrees("1101110006241")
    assert identifiers.card_agrees("378282246310005") and not identifiers.card_agrees("4" * 16)
    assert identifiers.barcode_agrees("8801043014809") and not identifiers.barcode_agrees("9" * 13)


def test_a_birth_is_a_real_day_in_the_century_of_the_seventh_digit():
    assert str(identifiers.birth("0002293000000")) == "2000-02-29"
    assert str(identifiers.birth("0001011000000")) == "1900-01-01"
    assert str(identifiers.birth("8505056000000")) == "1985-05-05"
    assert identifiers.birth("0102293000000") is identifiers.birth("9912313000000") is None


# --- over drawn sentences ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def held():
    """Sentences that the detector was not mended by."""
    return personal_set.cases(seed=11, part="held")


def test_the_set_is_large_enough_to_judge_by(held):
    assert sum(len(case.truths) for case in held) >= 300
    assert sum(not case.truths for case in held) >= 300
    for case in held:
        for truth in case.truths:
            assert (
                case.text[truth.start : truth.end].strip()
                == case.text[truth.start : truth.end]
                != ""
            )


def test_the_set_is_the_same_for_the_same_seed():
    assert personal_set.cases(3, "shown", 1) == personal_set.cases(3, "shown", 1)
    assert personal_set.cases(3, "shown", 1) != personal_set.cases(4, "shown", 1)


def test_nearly_all_is_found_and_little_else_is_taken_for_it(held):
    scores = personal_set.scores(held, find)
    there, found, taken = (
        sum(getattr(score, name) for score in scores.values())
        for name in ("there", "found", "taken")
    )
    assert found / there >= 0.96 and found / taken >= 0.98
    for kind, score in scores.items():
        assert score.recall >= 0.85 and score.precision >= 0.9, (kind, score)


def test_no_class_of_lookalikes_is_taken_for_personal_data(held):
    for name, (count, kinds) in personal_set.mistaken(held, find).items():
        assert kinds.total() <= count * 0.15, (name, count, kinds)


def test_every_text_with_a_match_has_the_hint_also_by_re2(held):
    texts = [case.text for case in held if find(case.text)]
    hinted = pyarrow.compute.match_substring_regex(pyarrow.array(texts), personal.HINT)
    assert pyarrow.compute.all(hinted).as_py()


def test_plain_texts_have_no_hint():
    texts = [
        "안녕하세요. 감사합니다.",
        "2024년 3월 15일",
        "30,000원(부가세 별도)",
        "제15조제1항",
        "",
        "A4 3장",
    ]
    hinted = pyarrow.compute.match_substring_regex(pyarrow.array(texts), personal.HINT)
    assert not pyarrow.compute.any(hinted).as_py()


# --- over any text -------------------------------------------------------------------------------
PIECES = [
    "010", "-", "1234", "5678", " ", "02", "900101", "1234567", "@", "hong", "example.com", ".", "(",
    ")", "카드", "계좌", "국민은행", "신한 ", "여권", "M12345678", "면허", "사업자", "주문번호", "서울 ",
    "+82", "４１１１", "–", "123", "45", "67891", "110", "456789", "원", "\n", "(at)", "골뱅이",
    "주민번호 ", "4111-1111-1111-1111", "11-04-123456-78", "9601211021413", "전화 ", "제", "호", "0",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join)


@settings(max_examples=400, deadline=None)
@given(texts)
def test_matches_rise_and_never_overlap(text):
    done = 0
    for match in find(text):
        assert done <= match.start < match.end <= len(text)
        assert match.kind in personal.KINDS
        done = match.end


@settings(max_examples=400, deadline=None)
@given(texts)
def test_nothing_is_found_where_all_was_replaced_and_the_rest_is_as_it_was(text):
    new, done = replaced(text), 0
    assert find(new) == []
    for piece in re.split("|".join(map(re.escape, personal.PLACEHOLDERS.values())), new):
        done = text.index(piece, done) + len(piece)


@settings(max_examples=400, deadline=None)
@given(texts)
def test_stars_change_no_length_and_nothing_outside_of_matches(text):
    shown = masked(text)
    assert len(shown) == len(text)
    matches = find(text)
    for place, (old, new) in enumerate(zip(text, shown, strict=True)):
        is_inside = any(match.start <= place < match.end for match in matches)
        assert old == new or (new == "*" and is_inside)


@settings(max_examples=400, deadline=None)
@given(texts)
def test_a_match_is_never_without_a_hint(text):
    assert not find(text) or re.search(personal.HINT, text)


@pytest.mark.parametrize(
    "piece",
    ["0", "1-", "1 ", "12 ", "@", "a@", "a@a.b", "(at)", "(", "골", "010-", "+82 ", "여권 M12345678 ",
     "010-1234-5678 ", "계좌 110-123-456789 ", "110-123-456789 ", "전화 "],
)  # fmt: skip
def test_long_texts_take_time_in_proportion(piece):
    text = piece * (50_000 // len(piece))
    began = time.process_time()
    replaced("계좌 " + text)
    assert time.process_time() - began < 5
