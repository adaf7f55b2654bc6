"""The data report: each check names the rows in which its fault was planted, and no others."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets import near_set, planted
from training.chat import Example, Message
from training.datasets import segments, store
from training.datasets.check import near, report, terms
from training.datasets.check import rows as kept
from training.datasets.check.rows import Rows

Row = tuple[str, str]


def quiet(done: int, total: int) -> None:
    """A progress that nobody watches."""


def example(*said: str, system: str = "") -> Example:
    roles = ("user", "assistant") * (len(said) // 2)
    turns = [Message(role, text) for role, text in zip(roles, said, strict=True)]
    return Example((Message("system", system), *turns) if system else tuple(turns))


def write(folder: Path, rows: list, segment_rows: int = 100_000) -> Path:
    with segments.Writer(folder, segment_rows) as writer:
        for row in rows:
            writer.add(row if isinstance(row, Example) else example(*row))
    return folder


def made(folder: Path, **more) -> dict:
    facts = {"minimum": 1, "validation_share": 0.1, "beside": []} | more
    return report.make(folder, quiet, **facts)


def checked(folder: Path, rows: list, **more) -> dict[str, dict]:
    """Return the findings of some rows by their keys."""
    return {one["key"]: one for one in made(write(folder, rows), **more)["findings"]}


def pairs(count: int = 40) -> list[Row]:
    return [(row["prompt"], row["completion"]) for row in planted.clean(count)]


def rows_of(folder: Path, key: str, cure: str = "") -> list[int]:
    return terms.positions(folder, key, cure).tolist()


# --- the whole ----------------------------------------------------------------------------------
def test_each_of_fifteen_planted_faults_is_found_where_it_is(tmp_path):
    data = planted.fifteen_faults()
    write(tmp_path, [(row["prompt"], row["completion"]) for row in data.rows])
    keys = {one["key"] for one in made(tmp_path)["findings"]}
    assert len(data.faults) == 15
    for fault, rows in data.faults.items():
        found = set(rows_of(tmp_path, fault))
        if fault == "conflicts":  # the row it contradicts too, and a question that was near another
            assert {*rows, 120} <= found <= {*rows, 120, 77, 242}
        elif fault == "registers":  # a copied question has its register
            assert found - set(data.faults["copies"]) == set(rows)
        else:
            assert found == set(rows), fault
    assert keys == set(data.faults) | {"validation_leak"}


def test_clean_data_has_no_findings(tmp_path):
    found = made(write(tmp_path, pairs(400)))
    assert found["findings"] == []
    assert found["statistics"]["examples"] == 400


def test_a_report_of_nothing_is_empty(tmp_path):
    assert made(write(tmp_path, [])) == {"findings": [], "statistics": {}}


def test_the_real_conversations_are_read_whole(tmp_path):
    """Rows of any length and any number of turns are counted in the pictures."""
    rows = [example("하나", "둘", "셋", "넷"), example("가" * 30_000, "나")]
    told = made(write(tmp_path, rows))["statistics"]
    assert sum(told["turns"]["counts"]) == sum(told["question_length"]["counts"]) == 2
    assert told["question_length"]["highest"] == 30_000
    assert told["turns"]["highest"] == 2


# --- rows that are there twice ------------------------------------------------------------------
def test_one_of_duplicates_stays(tmp_path):
    rows = [*pairs(30), pairs(30)[4], pairs(30)[4]]
    found = checked(tmp_path, rows)["duplicates"]
    assert (found["count"], found["cures"]) == (2, {"keep_one": 2})
    assert rows_of(tmp_path, "duplicates", "keep_one") == [30, 31]
    assert found["shown"] == [[4, 30, 31]]


def test_near_duplicates_are_told_from_rows_with_other_numbers(tmp_path):
    question, answer = (
        "여권 재발급 신청에는 무엇을 가져가야 하는지 알려 주세요",
        "사진 한 장과 신분증, 수수료를 가져오시면 됩니다.",
    )
    rows = [*pairs(30), (question, answer), (f"안녕하세요. {question}!", answer)]
    rows += [(question, f"{answer} 3월 2일까지입니다."), (question, f"{answer} 3월 9일까지입니다.")]
    found = checked(tmp_path, rows)["near_duplicates"]
    assert rows_of(tmp_path, "near_duplicates", "keep_one") == [31]
    assert found["shown"] == [[30, 31]]


def test_an_instruction_that_all_rows_share_makes_no_near_duplicates(tmp_path):
    told = (
        "다음 민원을 읽고 맡을 부서를 하나만 고르세요. 부서 이름만 답하고 설명은 쓰지 마세요. " * 4
    )
    rows = [
        (f"{told}\n{question}", "교통과" if n % 2 else "건축과")
        for n, (question, _) in enumerate(pairs(100))
    ]
    assert "near_duplicates" not in checked(tmp_path, rows)


def test_the_same_text_with_another_answer_is_no_near_duplicate(tmp_path):
    """A few letters decide between two labels, and a translation's way back has the same letters."""
    text = "지난주에 산 노트북이 마음에 {}들었습니다. 다음에도 이 가게에서 살지는 조금 더 써 보고 정하려고 합니다."
    rows = [*pairs(20), (text.format(""), "긍정"), (text.format("안 "), "부정")]
    there = ("도서관은 월요일에 쉽니다", "The library is closed on Mondays")
    rows += [there, there[::-1]]
    assert "near_duplicates" not in checked(tmp_path, rows)


def test_two_questions_about_one_long_text_are_no_near_duplicates(tmp_path):
    text = " ".join(answer for _, answer in pairs(40))
    asked = (
        "가로등은 언제까지 고친다고 했나요?",
        "보도블록 공사는 누가 맡기로 했는지 알려 주세요.",
    )
    rows = [(f"{text * 3}\n{question}", "담당 부서가 사흘 안에 합니다.") for question in asked]
    rows += [(f"{text * 3}\n{asked[0]}!", "담당 부서가 사흘 안에 합니다.")]
    checked(tmp_path, [*pairs(60)[40:], *rows])
    assert rows_of(tmp_path, "near_duplicates") == [22]


def test_among_many_rows_of_one_form_each_meets_those_with_its_numbers():
    """In a crowd each row was compared with the first one only, whose numbers are others."""
    sketches = np.ones((1500, near.SKETCH), np.uint16)
    numbers = np.arange(1500).astype(np.uint64)
    numbers[900] = numbers[7]
    assert near.candidates(sketches, numbers, np.arange(1500)).tolist() == [[7, 900]]


def test_near_duplicates_are_found_well():
    """On pairs that know nothing of the check; benchmarks/data_report.py prints the table."""
    twice = [near_set.is_found(one, other) for _, one, other in near_set.positives(350, 11)]
    only_alike = [near_set.is_found(one, other) for _, one, other in near_set.negatives(360, 12)]
    assert sum(twice) / len(twice) >= 0.95
    assert sum(only_alike) / len(only_alike) <= 0.06


def test_rows_too_short_to_be_alike_are_left_alone(tmp_path):
    rows = [*pairs(30), ("네", "네네"), ("네", "네네네"), ("응", "네네")]
    assert "near_duplicates" not in checked(tmp_path, rows)


def test_the_same_question_with_other_answers_is_a_conflict(tmp_path):
    question, answer = pairs(30)[7]
    rows = [*pairs(30), (f" {question}?", "아닙니다."), (question, answer)]
    found = checked(tmp_path, rows)["conflicts"]
    assert found["params"] == {"questions": 1}
    assert rows_of(tmp_path, "conflicts", "keep_one") == [30]
    assert rows_of(tmp_path, "conflicts", "leave_out") == [7, 30, 31]


def test_what_was_said_before_belongs_to_the_question(tmp_path):
    rows = [example("사과요", "네", "몇 개?", "하나"), example("배요", "네", "몇 개?", "둘")]
    assert "conflicts" not in checked(tmp_path, [*pairs(30), *rows])


# --- answers ------------------------------------------------------------------------------------
REFUSING = (
    "죄송하지만 그 내용은 답변드리기 어렵습니다.", "알 수 없습니다.", "개인 정보는 제공할 수 없습니다.", "저는 AI라서 모릅니다.",
    "도와드릴 수 없어요.", "잘 모르겠습니다.", "I'm sorry, but I can't help with that.", "As an AI language model, I cannot do this.",
)  # fmt: skip
HELPING = (
    "어렵지 않습니다. 신분증만 가져오세요.", "수수료 없이 처리해 드립니다.", "모르는 점은 다시 물어보세요.", "도움이 되었다니 기쁩니다.",
    "주차가 어려운 곳이니 버스를 타세요.", "I can help with that.",
)  # fmt: skip


@pytest.mark.parametrize("answer", REFUSING)
def test_refusals_are_known(tmp_path, answer):
    rows = [*pairs(20), *((f"질문 {name}", answer) for name in "가나다라마바사")]
    checked(tmp_path, rows)
    assert rows_of(tmp_path, "refusals") == list(range(20, 27))


@pytest.mark.parametrize("answer", HELPING)
def test_help_is_no_refusal(tmp_path, answer):
    assert "refusals" not in checked(
        tmp_path, [*pairs(20), *((f"질문 {n}", answer) for n in "가나다라")]
    )


def test_refusals_are_cut_down_to_a_twentieth(tmp_path):
    rows = [
        *pairs(40),
        *(
            (f"{question} 또", f"{n}번은 답변드리기 어렵습니다.")
            for n, (question, _) in enumerate(pairs(60))
        ),
    ]
    found = checked(tmp_path, rows)["refusals"]
    assert (found["level"], found["params"]["share"]) == ("bad", 0.6)
    left = 60 - found["cures"]["balance"]
    assert left / (40 + left) <= 0.05 < (left + 1) / (41 + left)


def test_one_answer_everywhere_is_found(tmp_path):
    rows = [*pairs(60), *((question + " 네?", "확인해 보겠습니다.") for question, _ in pairs(20))]
    found = checked(tmp_path, rows)["same_answer"]
    assert (found["count"], found["params"]["answer"]) == (20, "확인해 보겠습니다.")
    left = 20 - found["cures"]["balance"]
    assert left / (60 + left) <= 0.05


def labelled(**counts: int) -> list[Row]:
    questions = [question for question, _ in pairs(sum(counts.values()))]
    labels = [label for label, count in counts.items() for _ in range(count)]
    return list(zip(questions, labels, strict=True))


def test_labels_that_are_rare_are_found_and_common_ones_cut(tmp_path):
    found = checked(tmp_path, labelled(교통과=400, 건축과=30, 세무과=30, 녹지과=3))["label_skew"]
    params = found["params"]
    assert (params["commonest"], params["most"]) == ("교통과", 400)
    assert (params["rarest"], params["least"]) == ("녹지과", 3)
    assert found["count"] == 33 + 30  # 건축과 and 세무과 are a thirteenth of 교통과
    assert found["cures"]["balance"] == 400 - params["limit"]


def test_a_slip_among_labels_does_not_cost_good_rows(tmp_path):
    """One stray label had the common ones cut down to twice the median."""
    found = checked(tmp_path, [*labelled(교통과=70, 건축과=30), ("새 질문", "교통가")])[
        "label_skew"
    ]
    assert found["cures"] == {"leave_out": 1}
    assert rows_of(tmp_path, "label_skew", "leave_out") == [100]


def test_signs_among_labels_are_broken_answers(tmp_path):
    checked(tmp_path, [*labelled(교통과=40, 건축과=40), ("새 질문", "??")])
    assert rows_of(tmp_path, "broken") == [80]
    found = checked(tmp_path, labelled(O=40, X=40))
    assert "broken" not in found


def test_even_labels_are_no_finding(tmp_path):
    found = checked(tmp_path, labelled(교통과=40, 건축과=35, 세무과=30))
    assert not {"label_skew", "same_answer", "label_spellings"} & found.keys()


def test_labels_spelled_in_two_ways_are_found(tmp_path):
    rows = [
        *labelled(교통과=40, 건축과=40),
        ("새 질문 하나", "교통과."),
        ("새 질문 둘", " 건축 과"),
    ]
    found = checked(tmp_path, rows)["label_spellings"]
    assert rows_of(tmp_path, "label_spellings") == [80, 81]
    assert found["params"]["spellings"] == {"교통과": "교통과", "건축 과": "건축과"}


@pytest.mark.parametrize(
    ("question", "answer", "is_copy"),
    [
        ("도서관은 몇 시에 여나요?", "도서관은 몇 시에 여나요", True),
        ("도서관은 몇 시에 여나요?", "네, 도서관은 몇 시에 여나요?", True),
        ("도서관은 몇 시에 여나요?", "도서관은 아홉 시에 엽니다.", False),
        ("도서관", "도서관", False),
        (
            "도서관은 몇 시에 여나요?",
            "«도서관은 몇 시에 여나요?»라고 물으셨네요. 아홉 시에 엽니다.",
            False,
        ),
    ],
)
def test_answers_that_copy_the_question(tmp_path, question, answer, is_copy):
    assert ("copies" in checked(tmp_path, [*pairs(20), (question, answer)])) is is_copy


@pytest.mark.parametrize("answer", ["null", "NaN", "#N/A", "#REF!", "...", "-", "ㅋㅋㅋ", "?"])
def test_broken_answers(tmp_path, answer):
    checked(tmp_path, [*pairs(20), ("여권은 어디서 만드나요?", answer)])
    assert rows_of(tmp_path, "broken") == [20]


# --- how it is written --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answers", "main"),
    [
        (("제가 볼게요.", "곧 갈게요!", "괜찮아요?"), "haeyo"),
        (("확인했습니다.", "가십시오.", "되셨습니까?"), "hapsyo"),
        (("내가 할게 걱정 마라.", "그건 안 돼.", "이것은 규정이다."), "plain"),
    ],
)
def test_registers_are_told_apart(tmp_path, answers, main):
    rows = [(f"{question} 또", answers[n % 3]) for n, (question, _) in enumerate(pairs(60))]
    told = made(write(tmp_path, rows))["statistics"]["registers"]
    assert told == {main: 60}


@pytest.mark.parametrize(
    ("answer", "register"),
    [
        ("한국어", "none"), ("소비자", "none"), ("네.", "none"), ("신분증 필요", "none"),
        ("개요\n1. 신청자\n2. 홈페이지\n3. 아버지\n이상입니다.", "hapsyo"),
        ("비가 오니까, 우산을 가져가자.", "plain"), ("그것은 사실이 아니다.", "plain"),
        ("나도 집에 있어", "plain"), ("동네가 참 좋네.", "plain"),
    ],
)  # fmt: skip
def test_nouns_have_no_register(tmp_path, answer, register):
    told = made(write(tmp_path, [("무엇인가요", answer)]))["statistics"]["registers"]
    assert told == {register: 1}


def test_labels_have_no_register(tmp_path):
    rows = [(question, ("필요.", "좋다.")[n % 2]) for n, (question, _) in enumerate(pairs(40))]
    assert not checked(tmp_path, rows)


def test_names_in_latin_letters_and_programs_are_no_other_language(tmp_path):
    program = "def total(values):\n    return sum(values)\n"
    rows = [
        *pairs(30),
        ("어느 기구인가요", "NATO"),
        ("무슨 방송인가요", "KBS"),
        ("합을 구해요", program),
    ]
    assert "languages" not in checked(tmp_path, rows)


def test_another_language_is_found_and_brackets_are_no_foreign_letters(tmp_path):
    rows = [
        *pairs(30),
        ("언제 여나요", "We open at nine every morning."),
        ("무슨 뜻인가요", "공문(公文)은 공적인 문서입니다."),
        ("무슨 뜻인가요 또", "이것은 非常 좋은 질문입니다."),
    ]
    found = checked(tmp_path, rows)
    assert rows_of(tmp_path, "languages") == [30]
    assert rows_of(tmp_path, "foreign_letters") == [32]
    assert found["languages"]["params"]["main"] == "ko"


@pytest.mark.parametrize(
    "text",
    [
        "안녕하세요".encode().decode("latin-1"),
        "민원 접수 안내".encode("cp949").decode("latin-1"),
        "접수 안내입니다".encode().decode("cp949", "replace"),
        "접수\ufffd 안내",
    ],
)
def test_mojibake(tmp_path, text):
    checked(tmp_path, [*pairs(20), ("안내해 주세요", text)])
    assert 20 in rows_of(tmp_path, "mojibake")


@pytest.mark.parametrize(
    "text",
    [
        "«\xa0café\xa0» là\xa0»",
        "말없이 ······ 섰습니다",
        "“così” “você” “sì” è",
        "café à la crème",
        "naïve façade",
        "Ünïted",
        "漢字와 한글",
        "㈜다듬 ①②③ ※",
    ],
)
def test_letters_of_other_languages_are_no_mojibake(tmp_path, text):
    assert "mojibake" not in checked(tmp_path, [*pairs(20), ("읽어 주세요", f"{text} 입니다.")])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("control_characters", "보이지\u200b 않는 글자입니다."),
        ("control_characters", "한글 문서의 \uf0b7 글머리입니다."),
        ("spaces", "빈 줄이\n\n\n많습니다."),
        ("spaces", "빈칸이     많습니다."),
        ("html", "첫 줄<br>둘째 줄입니다."),
        ("html", "가&nbsp;나입니다."),
        ("chat_marks", "<|im_start|>네, 알겠습니다."),
        ("chat_marks", "답변: 네, 알겠습니다."),
        ("placeholders", "안녕하세요, [회사명]입니다."),
        ("placeholders", "{{ name }}님께 보냅니다."),
        ("placeholders", "담당자는 ○○○입니다."),
        ("personal_mobile", "010-2345-6789로 전화하십시오."),
        ("personal_email", "mina@example.com으로 보내십시오."),
    ],
)
def test_leftovers(tmp_path, key, text):
    found = checked(tmp_path, [*pairs(20), ("안내해 주세요", text)])
    assert rows_of(tmp_path, key) == [20]
    assert found.keys() == {key}


@pytest.mark.parametrize(
    "text",
    [
        "3 < 5이고 7 > 2입니다.", "A안과 B안이 있습니다.", "가족 👨‍👩‍👧 사진입니다.", "| 가 |   나 |\n| 다 |   라 |입니다.",
        "답은 $\\text{if}$ 와 $\\frac{ab}{cd}$, $x_{max}$, $\\text{평균}$입니다.", "[제목] 회의 안내\n[내용] 내일 합니다.",
        "GOOOOD 표시입니다.", "## Input 폴더입니다.",
        "```\nprint(f'{name} <br>')  # TODO\n\n\nx = 1    # 하나\n```\n입니다.",
        "const one = () => {\n  return `${name}`;\n\n\n}\n입니다.", "이름    나이\n하나    서른\n둘      마흔\n입니다.",
        "함수 f(x) = {x}를 적습니다.", "[붙임] 서류 목록입니다.", "문의 전화는 1588-0000입니다.",
    ],
)  # fmt: skip
def test_ordinary_signs_are_no_leftovers(tmp_path, text):
    found = checked(tmp_path, [*pairs(20), ("안내해 주세요", text)])
    assert not found.keys() - {"personal_landline"}


def test_questions_of_another_form_are_found(tmp_path):
    rows = [(f"질문: {question}\n답변:", answer) for question, answer in pairs(30)]
    checked(tmp_path, [*rows, ("그냥 물어봅니다", "네, 말씀하십시오.")])
    assert rows_of(tmp_path, "forms") == [30]


def test_a_system_prompt_that_some_rows_lack_is_found(tmp_path):
    rows = [example(*pair, system="민원 상담원입니다.") for pair in pairs(30)]
    found = checked(tmp_path, [*rows, ("그냥 물어봅니다", "네, 말씀하십시오.")])
    assert rows_of(tmp_path, "system_prompts", "leave_out") == [30]
    assert found.keys() == {"system_prompts"}


# --- training and validation --------------------------------------------------------------------
def test_questions_of_the_data_beside_are_found(tmp_path):
    write(tmp_path / "beside", [pairs(40)[39], ("다른 질문", "다른 답변")])
    checked(tmp_path / "own", pairs(40), beside=[tmp_path / "beside"])
    assert rows_of(tmp_path / "own", "overlap", "leave_out") == [39]


def test_repeated_questions_leak_into_validation(tmp_path):
    rows = [
        (question, f"{answer} {name}") for name in "가나다라마" for question, answer in pairs(100)
    ]
    found = checked(tmp_path, rows)["validation_leak"]
    assert found["params"]["expected"] == 50  # a tenth, nearly all of them
    assert found["cures"]["keep_one"] == 400


def test_too_few_examples_are_said_with_how_many_are_missing(tmp_path):
    found = checked(tmp_path, pairs(40), minimum=200)["few"]
    assert found["params"] == {"count": 40, "minimum": 200, "more": 160}


# --- what is told ---------------------------------------------------------------------------------
def test_sentences_and_pictures_tell_no_personal_data(tmp_path):
    answer = "010-2345-6789로 전화하십시오. 늦게까지 받습니다."
    rows = [*pairs(60), *((question + " 또", answer) for question, _ in pairs(20))]
    told = json.dumps(made(write(tmp_path, rows)))
    assert "010-****-6789" in told and "2345" not in told


def test_labels_are_told_in_short_and_without_personal_data(tmp_path):
    rows = labelled(**{"교통과": 120, "담당 010-2345-6789": 30, "가" * 3000: 2})
    told = made(write(tmp_path, rows))
    skew = next(one for one in told["findings"] if one["key"] == "label_skew")
    assert skew["params"]["rarest"] == "가" * 60
    assert "2345" not in json.dumps(told)


# --- what is kept -------------------------------------------------------------------------------
def test_a_report_after_an_edit_reads_the_edited_rows_only(tmp_path, monkeypatch):
    write(tmp_path, pairs(300), segment_rows=100)
    made(tmp_path)
    store.replace(tmp_path, 7, example("새 질문", "null"))
    store.remove(tmp_path, [9, 150])
    store.add(tmp_path, [example("더한 질문", "더한 답변입니다.")])
    read: list[int] = []
    compute = Rows._read
    monkeypatch.setattr(Rows, "_read", lambda rows, talks: (read.append(len(talks)), compute(rows, talks))[1])  # fmt: skip
    again = made(tmp_path)
    assert sum(read) == 2
    for path in tmp_path.glob("features-*"):
        path.unlink()
    assert again == made(tmp_path)
    assert rows_of(tmp_path, "broken") == [7]
    assert again["statistics"]["examples"] == 299


def test_features_that_can_not_be_compared_are_made_anew(tmp_path):
    write(tmp_path, pairs(50))
    before = made(tmp_path)
    path = tmp_path / "features-0000.npz"
    path.write_bytes(path.read_bytes()[:1000])
    assert made(tmp_path) == before
    assert path.stat().st_size > 1000


def test_features_that_are_empty_are_made_anew(tmp_path):
    write(tmp_path, pairs(50))
    before = made(tmp_path)
    (tmp_path / "features-0000.npz").write_bytes(b"")
    assert made(tmp_path) == before


def test_two_reports_may_make_the_same_features_at_once(tmp_path, monkeypatch):
    """A report looks at the data beside it, whose own report may be made at the same moment."""
    publish = segments.publish

    def late(file: object, path: Path) -> None:
        with monkeypatch.context() as other:
            other.setattr(segments, "publish", publish)
            other.setattr(kept.os, "getpid", lambda: 1)
            kept._save(path, common=np.ones(3))
        publish(file, path)

    monkeypatch.setattr(segments, "publish", late)
    kept._save(tmp_path / "features-common.npz", common=np.ones(3))
    found = kept._load(tmp_path / "features-common.npz")
    assert found and found["common"].tolist() == [1, 1, 1]


def test_long_rows_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    """Five thousand rows of a hundred thousand letters took more memory than a report may have."""
    long = [(question, f"{answer} " * 50) for question, answer in pairs(60)]
    before = made(write(tmp_path / "one", long))
    read: list[int] = []
    compute = Rows._read
    monkeypatch.setattr(Rows, "_read", lambda rows, talks: (read.append(len(talks)), compute(rows, talks))[1])  # fmt: skip
    monkeypatch.setitem(kept.BATCH, "most_size", 20_000)
    monkeypatch.setattr(near, "CHUNK_LETTERS", 20_000)
    monkeypatch.setattr(near, "COMPARED_LETTERS", 0)
    assert made(write(tmp_path / "other", long)) == before
    assert max(read) < 10


def test_shown_rows_are_positions_that_stay(tmp_path):
    """A row keeps its position when one before it is removed."""
    write(tmp_path, [*pairs(30), ("여권은 어디서 만드나요?", "null")])
    store.remove(tmp_path, [0, 1, 2])
    found = {one["key"]: one for one in made(tmp_path)["findings"]}
    assert found["broken"]["shown"] == [[30]]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=30))
def test_no_rows_upset_a_check(tmp_path_factory, rows):
    folder = write(tmp_path_factory.mktemp("any"), rows)
    found = made(folder)
    json.dumps(found)
    for one in found["findings"]:
        concerned = rows_of(folder, one["key"])
        assert concerned == sorted(set(concerned)) and len(concerned) == one["count"]
        for cure, count in one["cures"].items():
            taken = rows_of(folder, one["key"], cure)
            assert len(taken) == count and all(0 <= row < len(rows) for row in taken)


def test_what_a_killed_check_left_half_written_goes_with_the_next_one(tmp_path):
    left = tmp_path / "features-00000.npz.4711.part"
    left.write_bytes(b"half")
    kept._save(tmp_path / "features-00000.npz", records=np.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["features-00000.npz"]
    assert kept._load(tmp_path / "features-00000.npz")["records"].tolist() == [0, 1, 2]
