"""Files of questions: with and without expected answers, in every shape that data comes in."""

import json

import openpyxl
import pytest

from training.datasets import questions
from training.datasets.choices import Choices
from training.datasets.questions import Question
from training.errors import UserError


@pytest.fixture
def ask(tmp_path):
    """Read a file of this content and name."""

    def read(content: str | bytes, name: str = "질문.csv", **mapping: str):
        path = tmp_path / "raw"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(questions.read(path, name, Choices(mapping=mapping)))

    return read


def said(found) -> list[tuple[str, str]]:
    """Return the last words and the expected answer of each question."""
    assert all(isinstance(one, Question) for one in found), found
    return [(one.messages[-1].content, one.expected) for one in found]


def test_a_table_of_questions_and_answers(ask):
    found = ask("질문,답변\n주차 요금은?,천 원입니다.\n여권은?,구청입니다.\n")
    assert said(found) == [("주차 요금은?", "천 원입니다."), ("여권은?", "구청입니다.")]


def test_an_excel_csv_in_cp949_whose_answers_go_by_another_name(ask):
    found = ask("문의내용,정답\n주차 요금은?,천 원\n".encode("cp949"))
    assert said(found) == [("주차 요금은?", "천 원")]


def test_answers_may_be_missing_in_a_column_or_in_some_rows(ask):
    assert said(ask("번호,질문\n1,주차 요금은?\n2,여권은?\n")) == [
        ("주차 요금은?", ""),
        ("여권은?", ""),
    ]
    assert said(ask("질문,답변\n주차 요금은?,\n여권은?,구청\n")) == [
        ("주차 요금은?", ""),
        ("여권은?", "구청"),
    ]


def test_a_single_column_may_hold_commas_and_need_no_name(ask):
    assert said(ask("질문\n안녕하세요, 주차는요?\n여권은, 어디서?\n")) == [
        ("안녕하세요, 주차는요?", ""),
        ("여권은, 어디서?", ""),
    ]
    assert said(ask("주차는?\n여권은?\n", "a.csv")) == [("주차는?", ""), ("여권은?", "")]


def test_a_plain_text_has_a_question_a_line(ask):
    text = '질문\n안녕하세요, 주차는요?\n\n"여권"은 어디서?\n1\t2\n'
    found = ask(text, "questions.txt")
    assert [one for one, _ in said(found)] == [
        "안녕하세요, 주차는요?",
        '"여권"은 어디서?',
        "1\t2",
    ]


def test_a_text_with_named_columns_is_a_table(ask):
    assert said(ask("질문\t답변\n여권은?\t구청\n", "questions.txt")) == [("여권은?", "구청")]


def test_a_workbook(ask, tmp_path):
    book = openpyxl.Workbook()
    for row in (("민원 목록", None), ("질문", "바라는 답변"), ("여권은?", "구청"), ("요금은?", 3)):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = ask((tmp_path / "a.xlsx").read_bytes(), "a.xlsx")
    assert said(found) == [("여권은?", "구청"), ("요금은?", "3")]


def test_lines_of_json_with_prompts_alone(ask):
    lines = '{"prompt": "여권은?"}\n{"prompt": "요금은?", "completion": "천 원"}\n'
    assert said(ask(lines, "a.jsonl")) == [("여권은?", ""), ("요금은?", "천 원")]


def test_a_conversation_asks_for_its_last_answer(ask):
    turns = [
        {"role": "system", "content": "짧게"}, {"role": "user", "content": "여권은?"},
        {"role": "assistant", "content": "구청"}, {"role": "user", "content": "언제?"},
        {"role": "assistant", "content": "아홉 시"},
    ]  # fmt: skip
    lines = [json.dumps({"messages": turns[:end]}) for end in (5, 4)]
    first, second = ask("\n".join(lines), "a.jsonl")
    assert first.expected == "아홉 시" and second.expected == ""
    assert first.messages == second.messages
    assert [one.role for one in first.messages] == ["system", "user", "assistant", "user"]


def test_rows_of_conversations(ask):
    rows = "C_ID,T_ID,Text,Completion\n0,0,여권은?,구청\n0,1,언제?,아홉 시\n1,0,요금은?,천 원\n"
    found = ask(rows)
    assert said(found) == [("언제?", "아홉 시"), ("요금은?", "천 원")]
    assert len(found[0].messages) == 3


def test_the_owner_names_the_columns(ask):
    rows = "가,나,다\n1,여권은?,구청\n"
    with pytest.raises(UserError) as caught:
        ask(rows)
    assert caught.value.code == "question_column_unknown"
    assert caught.value.params == {"columns": "가, 나, 다"}
    assert said(ask(rows, prompt="나", answer="다")) == [("여권은?", "구청")]
    assert said(ask(rows, prompt="나")) == [("여권은?", "")]
    with pytest.raises(UserError, match="column_unknown"):
        ask(rows, prompt="라")


def test_rows_that_ask_nothing_are_named(ask):
    found = ask(
        '{"prompt": "여권은?"}\n{"prompt": " "}\n{broken\n{"prompt": "요금은?"}\n', "a.jsonl"
    )
    problems = [one for one in found if not isinstance(one, Question)]
    assert [(one.line, one.code) for one in problems] == [
        (2, "prompt_empty"),
        (3, "json_unreadable"),
    ]
    assert len(found) == 4


def test_a_text_that_no_model_reads_is_named(ask):
    (found,) = ask("질문\n" + "가" * 100_001 + "\n", "a.txt")
    assert found.code == "text_too_long" and found.line == 2


def test_the_layout_is_told_before_also_of_what_is_not_understood(tmp_path):
    told: list[dict] = []
    (tmp_path / "raw").write_text("가,나\n1,2\n")
    with pytest.raises(UserError):
        list(questions.read(tmp_path / "raw", "a.csv", Choices(), told.append))
    assert told[0]["columns"] == ["가", "나"] and told[0]["mapping"] == {}


def test_the_first_or_a_random_choice_that_is_always_the_same():
    assert questions.chosen(10, 3, is_random=False) == [0, 1, 2]
    assert questions.chosen(2, 3, is_random=True) == [0, 1]
    drawn = questions.chosen(1000, 500, is_random=True)
    assert drawn == questions.chosen(1000, 500, is_random=True) == sorted(set(drawn))
    assert len(drawn) == 500 and drawn != list(range(500))
