"""Files of every shape become Examples, and every bad record is named."""

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.chat import Example, Message
from training.datasets import objects, talks
from training.datasets.read import Reader
from training.datasets.shapes import Problem
from training.errors import UserError

PRINTED = """{"messages": [
       {"role": "user", "content": "다음 문서를 요약해주세요.

       문서: 안내
         - 들여 쓴 줄
     
       끝."},
       {"role": "assistant", "content": "1. 개요
       - 목표"}
]}
{"messages": [
       {"role": "user", "content": "강남구가 있나요?"},
       {"role": "assistant", "content": "예"}
]}
"""


def read(tmp_path, content: str | bytes) -> tuple[Reader, list[Example], list[Problem]]:
    path = tmp_path / "raw"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    reader = Reader(path)
    found = list(reader)
    problems = [one for one in found if isinstance(one, Problem)]
    return reader, [one for one in found if isinstance(one, Example)], problems


def refused(tmp_path, content: str | bytes) -> UserError:
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    return caught.value


def pair(prompt: str, answer: str) -> Example:
    return Example((Message("user", prompt), Message("assistant", answer)))


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def talk(*roles: str) -> dict:
    return {"messages": [{"role": role, "content": f"{role} says"} for role in roles]}


# --- JSON that is right -------------------------------------------------------------------------
def test_prompt_and_completion_become_a_conversation_of_two(tmp_path):
    records = {"prompt": "안녕", "completion": "반가워요"}, {"prompt": "b", "completion": "c"}
    content = jsonl(*records)
    reader, examples, problems = read(tmp_path, content)
    assert examples == [pair("안녕", "반가워요"), pair("b", "c")]
    assert (reader.format, reader.encoding, problems) == ("jsonl-prompt", "utf-8", [])


def test_messages_keep_their_turns_and_the_system_message(tmp_path):
    content = jsonl(talk("system", "user", "assistant", "user", "assistant"))
    reader, (example,), _ = read(tmp_path, content)
    assert [message.role for message in example.messages] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert reader.format == "jsonl-messages"


def test_the_printed_examples_with_raw_newlines_are_read_without_their_indent(tmp_path):
    reader, examples, problems = read(tmp_path, PRINTED)
    assert problems == []
    assert examples == [
        pair("다음 문서를 요약해주세요.\n\n문서: 안내\n  - 들여 쓴 줄\n\n끝.", "1. 개요\n- 목표"),
        pair("강남구가 있나요?", "예"),
    ]
    assert reader.notes == {"raw_newlines_mended"}


def test_printed_examples_repeated_two_hundred_times_are_all_read(tmp_path):
    _, examples, problems = read(tmp_path, ("```\n" + PRINTED + "```\n\n") * 100)
    assert (len(examples), problems) == (200, [])


def test_escaped_newlines_keep_their_indent(tmp_path):
    content = '{"prompt": "code",\n "completion": "def f():\\n    return 1"}'
    reader, examples, _ = read(tmp_path, content)
    assert examples == [pair("code", "def f():\n    return 1")]
    assert reader.notes == set()


def test_pretty_printed_and_joined_objects_are_read(tmp_path):
    records = [{"prompt": str(i), "completion": '{ } " \\'} for i in range(3)]
    pretty = "\n".join(json.dumps(record, indent=2) for record in records)
    joined = "".join(json.dumps(record) for record in records)
    for content in (pretty, joined, json.dumps(records), json.dumps(records, indent=2)):
        _, examples, problems = read(tmp_path, content)
        assert [example.messages[0].content for example in examples] == ["0", "1", "2"]
        assert examples[0].messages[1].content == '{ } " \\'
        assert problems == []


def test_numbers_are_turned_into_text(tmp_path):
    content = '{"prompt": 3.5, "completion": 5}\n{"prompt": "참?", "completion": true}\n'
    assert read(tmp_path, content)[1] == [pair("3.5", "5"), pair("참?", "true")]


def test_names_are_trimmed_and_compared_without_case_and_in_korean(tmp_path):
    content = jsonl({" Prompt ": "a", "COMPLETION": "b"}, {"질문": "c", "답변": "d"})
    assert read(tmp_path, content)[1] == [pair("a", "b"), pair("c", "d")]


def test_instruction_and_input_become_one_question(tmp_path):
    content = jsonl({"instruction": "옮기세요.", "input": "Hi", "output": "안녕"})
    assert read(tmp_path, content)[1] == [pair("옮기세요.\n\nHi", "안녕")]


def test_keys_that_carry_nothing_are_noted(tmp_path):
    content = jsonl({"id": 1, "prompt": "a", "completion": "b", "label": 0})
    reader, examples, _ = read(tmp_path, content)
    assert (examples, reader.notes) == ([pair("a", "b")], {"columns_ignored"})


def test_roles_have_synonyms(tmp_path):
    content = jsonl({"messages": [
        {"role": "Human", "content": "a"}, {"role": "gpt", "content": "b"},
        {"role": "사용자", "content": "c"}, {"role": "답변", "content": "d"},
    ]})  # fmt: skip
    (example,) = read(tmp_path, content)[1]
    roles = [message.role for message in example.messages]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_nul_letters_and_windows_line_ends_are_dropped(tmp_path):
    content = jsonl({"prompt": "a\0b", "completion": "c\r\nd"})
    assert read(tmp_path, content)[1] == [pair("ab", "c\nd")]


def test_byte_order_mark_and_odd_line_ends_do_no_harm(tmp_path):
    record = '{"prompt": "가", "completion": "나"}'
    for content in (f"\ufeff{record}\r\n{record}", f"{record}\r{record}\r"):
        assert read(tmp_path, content)[1] == [pair("가", "나")] * 2


# --- JSON that is wrong -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"prompt": "a", "completion": "b"', "json_unreadable"),
        ('{"prompt": "a", "completion": "b', "json_unreadable"),
        ("{'prompt': 'a', 'completion': 'b'}", "json_unreadable"),
        ("stray text", "json_unreadable"),
        ('"only a string"', "not_object"),
        ("[1, 2]", "not_object"),
        ('{"prompt": "a"}', "answer_missing"),
        ('{"completion": "a"}', "prompt_missing"),
        ('{"text": "a", "label": 1}', "keys_unknown"),
        ("{}", "keys_unknown"),
        ('{"prompt": " ", "completion": "b"}', "prompt_empty"),
        ('{"prompt": null, "completion": "b"}', "prompt_empty"),
        ('{"prompt": "a", "completion": "\\n"}', "answer_empty"),
        ('{"prompt": ["a"], "completion": "b"}', "content_not_text"),
        ('{"prompt": "a", "completion": {"b": 1}}', "content_not_text"),
        ('{"prompt": "a", "completion": "\\ud83d"}', "letters_damaged"),
        ('{"messages": "a"}', "messages_wrong"),
        ('{"messages": []}', "messages_wrong"),
        ('{"messages": ["a"]}', "messages_wrong"),
        ('{"messages": [{"role": "wizard", "content": "a"}]}', "role_unknown"),
        ('{"messages": [{"role": 5, "content": "a"}]}', "role_unknown"),
        ('{"messages": [{"role": "user", "content": ["a"]}]}', "content_not_text"),
        (json.dumps(talk("user")), "assistant_missing"),
        (json.dumps(talk("system")), "assistant_missing"),
        (json.dumps(talk("assistant")), "first_not_user"),
        (json.dumps(talk("user", "user", "assistant")), "order_wrong"),
        (json.dumps(talk("user", "system", "assistant")), "order_wrong"),
        (json.dumps(talk("system", "system", "user", "assistant")), "order_wrong"),
        (json.dumps(talk("user", "assistant", "user")), "answer_missing"),
        ('{"a":' * 5000, "json_unreadable"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "json_unreadable"),
    ],
)
def test_a_bad_line_is_named_and_the_lines_around_it_are_read(tmp_path, line, code):
    good = '{"prompt": "good", "completion": "one"}'
    _, examples, problems = read(tmp_path, f"{good}\n\n{line}\n{good}\n{good}\n")
    assert examples == [pair("good", "one")] * 3
    assert [(one.line, one.code) for one in problems] == [(3, code)]
    assert problems[0].row == line[:500]


def test_wrong_order_names_the_turn(tmp_path):
    _, _, (problem,) = read(tmp_path, jsonl(talk("system", "user", "user", "assistant")))
    assert problem.params == {"turn": 3, "role": "user"}


def test_a_file_cut_off_in_its_last_record_names_that_record(tmp_path):
    _, examples, (problem,) = read(tmp_path, PRINTED[:-40])
    assert len(examples) == 1
    assert (problem.line, problem.code) == (11, "json_unreadable")


def test_every_truncated_line_is_a_problem_of_its_own(tmp_path):
    _, examples, problems = read(tmp_path, '{"prompt": "a", "completion": "b\n' * 50)
    assert examples == []
    assert [problem.line for problem in problems] == list(range(1, 51))


def test_a_record_with_broken_letters_is_named_and_the_rest_read(tmp_path):
    good = jsonl({"prompt": "한국어 질문", "completion": "한국어 답변"}).encode()
    bad = good.replace("답변".encode(), b"\xff\xfe")
    reader, examples, problems = read(tmp_path, good * 20 + bad + good)
    assert len(examples) == 21
    assert [(one.line, one.code) for one in problems] == [(21, "letters_damaged")]
    assert reader.notes == {"some_letters_damaged"}
    json.dumps(problems[0].as_dict()).encode()


def test_a_line_that_is_too_long_is_named_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("training.datasets.lines.LINE_LIMIT", 1000)
    good = '{"prompt": "good", "completion": "one"}\n'
    _, examples, problems = read(tmp_path, good + '{"prompt": "' + "x" * 5000 + '"}\n' + good)
    assert len(examples) == 2
    assert [(one.line, one.code) for one in problems] == [(2, "line_too_long")]


def test_a_record_that_never_ends_is_given_up_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "LINE_LIMIT", 1000)
    content = "{\n" + ' "a": 1,\n' * 1000
    _, _, problems = read(tmp_path, content)
    assert problems[0].line == 1
    assert {problem.code for problem in problems} == {"json_unreadable"}


def test_a_file_without_any_known_key_is_refused_with_the_keys_found(tmp_path):
    error = refused(tmp_path, jsonl({"text": "a", "label": 1}) * 3)
    assert (error.code, error.params) == ("columns_unknown", {"columns": "text, label"})


# --- tables that are right ----------------------------------------------------------------------
TALKS = """ c_id ,Role,CONTENT
0,system,"친절하게, 답하세요"
0,user,안녕
0,assistant,반갑습니다
1,user,"첫 줄
둘째 줄"
1,assistant,"그가 ""네""라고 했다"
1,user,또
1,assistant,끝
"""
TALK_EXAMPLES = [
    Example((Message("system", "친절하게, 답하세요"), *pair("안녕", "반갑습니다").messages)),
    Example(
        (
            *pair("첫 줄\n둘째 줄", '그가 "네"라고 했다').messages,
            *pair("또", "끝").messages,
        )
    ),
]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_conversations_of_several_turns_are_read_from_a_table(tmp_path, codec):
    reader, examples, problems = read(tmp_path, TALKS.encode(codec))
    assert (examples, problems) == (TALK_EXAMPLES, [])
    assert (reader.format, reader.encoding) == ("csv-conversation", codec)


def test_rows_of_a_conversation_need_not_stand_together(tmp_path):
    content = "C_ID,role,content\nx,user,a\ny,user,c\nx,assistant,b\ny,assistant,d\nz,user,e\n"
    _, examples, problems = read(tmp_path, content)
    assert examples == [pair("a", "b"), pair("c", "d")]
    assert [(one.line, one.code) for one in problems] == [(6, "assistant_missing")]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_many_scattered_conversations_are_sorted_in_seconds(tmp_path):
    roles = ("user", "assistant")
    rows = "".join(f"talk {n},{role},{role} {n}\n" for role in roles for n in range(10_000))
    began = time.monotonic()
    _, examples, _ = read(tmp_path, "C_ID,role,content\n" + rows)
    assert examples == [pair(f"user {n}", f"assistant {n}") for n in range(10_000)]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("names", [("2", "1"), ("b", "a"), ("10", "9")])
def test_conversations_keep_the_order_of_the_file(tmp_path, names):
    rows = "".join(f"{name},user,q{name}\n{name},assistant,a{name}\n" for name in names)
    _, examples, _ = read(tmp_path, "C_ID,role,content\n" + rows)
    assert [example.messages[0].content for example in examples] == [f"q{name}" for name in names]


def test_an_empty_conversation_id_belongs_to_the_one_above(tmp_path):
    content = "C_ID,role,content\n0,user,a\n,assistant,b\n1,user,c\n,assistant,d\n"
    reader, examples, _ = read(tmp_path, content)
    assert examples == [pair("a", "b"), pair("c", "d")]
    assert reader.notes == {"conversation_ids_filled"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "names", [("prompt", "completion"), ("질문", "답변"), ("Q", "A"), ("문의", "응답")]
)
def test_tables_of_questions_and_answers_are_read(tmp_path, delimiter, names):
    content = "\n".join(delimiter.join(row) for row in (names, ("안녕?", "네"), ("가", "나")))
    reader, examples, problems = read(tmp_path, content)
    assert examples == [pair("안녕?", "네"), pair("가", "나")]
    label = "tsv" if delimiter == "\t" else "csv"
    assert (reader.format, problems) == (f"{label}-prompt", [])


def test_blank_rows_and_missing_last_cells_do_no_harm(tmp_path):
    content = "\n\nprompt,completion,memo\n\na,b\n,,\nc,d,e,,\n"
    reader, examples, problems = read(tmp_path, content)
    assert (examples, problems) == ([pair("a", "b"), pair("c", "d")], [])
    assert reader.notes == {"columns_ignored"}


# --- tables that are wrong ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("a,", "answer_empty"),
        (",b", "prompt_empty"),
        ("a,b,c", "cells_too_many"),
    ],
)
def test_a_bad_row_is_named_and_the_rows_around_it_are_read(tmp_path, row, code):
    _, examples, problems = read(tmp_path, f'prompt,completion\n"g\n1",h\n{row}\ng,h\n')
    assert len(examples) == 2
    assert [(one.line, one.code, one.row) for one in problems] == [(4, code, row)]


@pytest.mark.parametrize(
    ("rows", "line", "code"),
    [
        ("0,user,a\n0,user,b\n0,assistant,c\n", 3, "order_wrong"),
        ("0,user,a\n0,wizard,b\n", 3, "role_unknown"),
        ("0,user,a\n", 2, "assistant_missing"),
        ("0,user,a\n0,assistant,b,c\n", 3, "cells_too_many"),
    ],
)
@pytest.mark.parametrize("scattered", [False, True])
def test_a_bad_conversation_is_named_by_its_bad_row(tmp_path, rows, line, code, scattered):
    good = "7,user,q\n7,assistant,a\n"
    tail = "9,user,x\n8,user,y\n9,assistant,x\n8,assistant,y\n" if scattered else ""
    _, examples, (problem,) = read(tmp_path, "C_ID,role,content\n" + rows + good + tail)
    assert len(examples) == (3 if scattered else 1)
    assert (problem.line, problem.code) == (line, code)


def test_a_quote_that_never_closes_is_named_by_the_row_where_it_opens(tmp_path):
    _, examples, (problem,) = read(tmp_path, 'prompt,completion\na,b\nc,"d\ne,f\ng,h\n')
    assert examples == [pair("a", "b")]
    assert (problem.line, problem.code) == (3, "quote_unclosed")


def test_one_conversation_id_in_all_rows_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(talks, "TURN_LIMIT", 10)
    content = "C_ID,role,content\n" + "0,user,a\n0,assistant,b\n" * 50 + "1,user,c\n1,assistant,d\n"
    _, examples, (problem,) = read(tmp_path, content)
    assert examples == [pair("c", "d")]
    assert (problem.line, problem.code) == (2, "conversation_too_long")


def test_a_table_without_known_columns_is_refused_with_the_columns_found(tmp_path):
    error = refused(tmp_path, "제목;본문;날짜\n가;나;다\n")
    assert (error.code, error.params) == ("columns_unknown", {"columns": "제목, 본문, 날짜"})


# --- files that are no data ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "file_empty"),
        (" \n\r\n\t\n", "file_empty"),
        ("\ufeff", "file_empty"),
        ("[]", "records_none"),
        ("<!DOCTYPE html><html><body>로그인</body></html>", "file_is_page"),
        ("\n  <HTML lang=ko>", "file_is_page"),
        ("<!-- x --><html>", "file_is_page"),
        ("그냥 글입니다.\n또 한 줄.\n", "columns_unknown"),
        (b"PK\x03\x04 xl/workbook.xml", "sheet_broken"),
        ("a," * 1_000_000, "columns_too_many"),
        ("," * 1_000_000, "file_empty"),
    ],
)
def test_what_is_no_data_is_refused_by_name(tmp_path, content, code):
    assert refused(tmp_path, content).code == code


FRAGMENTS = st.sampled_from(
    ["{", "}", "[", "]", '"', "\\", ",", ":", "\n", "\r", "|", "\t", ";", "\0", "\ufeff", "\ud800",
     '{"prompt": "a", "completion": "b"}', '{"messages": [', '{"role": "user", "content": "',
     "C_ID,role,content\n", "prompt,completion\n", "질문\t답변\n", "0,user,a\n", "0,assistant,b\n",
     "```", "<html>", "1e999", "NaN", "가", " "]
)  # fmt: skip
NOISE = st.one_of(
    st.binary(max_size=400),
    st.lists(FRAGMENTS, max_size=60).map(lambda parts: "".join(parts).encode("utf-8", "replace")),
    st.lists(FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode("utf-16", "replace")),
    st.lists(FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode("cp949", "replace")),
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=NOISE)
def test_whatever_comes_in_only_a_user_error_comes_out(tmp_path, content):
    try:
        reader, examples, problems = read(tmp_path, content)
    except UserError as error:
        json.dumps(error.as_dict()).encode()
        return
    for example in examples:
        json.dumps(example.as_dict(), ensure_ascii=False).encode()
        assert all(message.content.strip() for message in example.messages)
        assert example.messages[-1].role == "assistant"
    for problem in problems:
        json.dumps(problem.as_dict(), ensure_ascii=False).encode()
        assert 1 <= problem.line <= content.count(b"\n") + content.count(b"\r") + 1
    assert reader.format or not examples
