"""The shapes in which other tools and Korean offices keep questions and answers."""

import json
import unicodedata

import pytest

from tests.datasets.test_read import jsonl, pair, read, refused
from training.chat import Example, Message


def said(*contents: str, system: str = "") -> Example:
    roles = ("user", "assistant") * len(contents)
    turns = tuple(Message(role, text) for role, text in zip(roles, contents, strict=False))
    return Example(((Message("system", system),) if system else ()) + turns)


# --- JSON ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_that_wraps_one_list_is_opened(tmp_path, indent):
    rows = [{"prompt": str(n), "completion": "]}"} for n in range(3)]
    content = {"version": "1.0", "count": 3, "data": rows, "license": {"name": "]"}}
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    reader, examples, problems = read(tmp_path, text)
    assert examples == [pair(str(n), "]}") for n in range(3)]
    assert (reader.format, problems) == ("json-prompt" if indent else "jsonl-prompt", [])


def test_sharegpt_conversations_are_read(tmp_path):
    talk = [
        {"from": "system", "value": "s"},
        {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"},
    ]
    reader, examples, _ = read(tmp_path, jsonl({"id": "x", "conversations": talk}))
    assert examples == [said("a", "b", system="s")]
    assert reader.format == "jsonl-messages"


def test_a_system_prompt_beside_the_messages_is_kept(tmp_path):
    talk = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    _, examples, _ = read(tmp_path, jsonl({"system": "s", "conversations": talk}))
    assert examples == [said("a", "b", system="s")]


def test_alpaca_with_system_and_history_is_a_conversation(tmp_path):
    record = {
        "instruction": "요약", "input": "글", "output": "끝", "system": "s",
        "history": [["q1", "a1"], ["q2", "a2"]],
    }  # fmt: skip
    empty = {"instruction": "인사", "input": "", "output": "안녕", "history": []}
    _, examples, problems = read(tmp_path, jsonl(record, empty))
    assert examples == [
        said("q1", "a1", "q2", "a2", "요약\n\n글", "끝", system="s"),
        pair("인사", "안녕"),
    ]
    assert problems == []


def test_input_alone_is_the_question_of_an_output(tmp_path):
    assert read(tmp_path, jsonl({"input": "a", "output": "b"}))[1] == [pair("a", "b")]


def test_texts_in_parts_are_joined_and_other_parts_are_named(tmp_path):
    parts = [{"type": "text", "text": "가"}, {"type": "text", "text": "나"}]
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    answer = {"role": "assistant", "content": "b"}
    _, examples, problems = read(
        tmp_path,
        jsonl(*({"messages": [{"role": "user", "content": c}, answer]} for c in (parts, image))),
    )
    assert examples == [pair("가나", "b")]
    assert [(one.line, one.code, one.params) for one in problems] == [
        (2, "part_not_text", {"turn": 1, "kind": "image_url"})
    ]


def test_tool_calls_are_named(tmp_path):
    asked = {"role": "user", "content": "a"}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    result = {"role": "tool", "content": "1"}
    lines = jsonl({"messages": [asked, call]}, {"messages": [asked, result]})
    _, _, problems = read(tmp_path, lines)
    assert [(one.code, one.params) for one in problems] == [("tools_unknown", {"turn": 2})] * 2


@pytest.mark.parametrize(("weight", "notes"), [(1, set()), (0, {"weights_ignored"})])
def test_a_weight_of_zero_has_no_effect_and_is_noted(tmp_path, weight, notes):
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": weight},
    ]
    reader, examples, _ = read(tmp_path, jsonl({"messages": turns}))
    assert (examples, reader.notes) == ([pair("a", "b")], notes)


# --- conversations over several rows ------------------------------------------------------------
CLOVA = """System_Prompt,C_ID,T_ID,Text,Completion
친절히,0,1,질문 둘,답 둘
친절히,0,0,질문 하나,답 하나
,1,0,다른 질문,다른 답
"""
CLOVA_EXAMPLES = [
    said("질문 하나", "답 하나", "질문 둘", "답 둘", system="친절히"),
    pair("다른 질문", "다른 답"),
]


def test_the_table_of_clova_is_read_by_conversation_and_turn(tmp_path):
    reader, examples, problems = read(tmp_path, "\ufeff" + CLOVA)
    assert (examples, problems, reader.format) == (CLOVA_EXAMPLES, [], "csv-turns")


def test_the_jsonl_of_clova_is_read_too(tmp_path):
    header, *rows = (line.split(",") for line in CLOVA.splitlines())
    records = [dict(zip(header, row, strict=True)) for row in rows]
    for record in records:
        record["C_ID"], record["T_ID"] = int(record["C_ID"]), int(record["T_ID"])
    reader, examples, problems = read(tmp_path, jsonl(*records))
    assert (examples, problems, reader.format) == (CLOVA_EXAMPLES, [], "jsonl-turns")


def test_turns_are_sorted_by_their_number_not_by_its_letters(tmp_path):
    turns = [(10, "user", "c"), (9, "assistant", "b"), (8, "user", "a"), (11, "assistant", "d")]
    content = "C_ID,T_ID,role,content\n" + "".join(f"0,{n},{r},{c}\n" for n, r, c in turns)
    assert read(tmp_path, content)[1] == [said("a", "b", "c", "d")]


def test_a_turn_number_that_is_none_is_named(tmp_path):
    content = "C_ID,T_ID,Text,Completion\n0,0,a,b\n0,둘째,c,d\n1,0,e,f\n"
    _, examples, (problem,) = read(tmp_path, content)
    assert examples == [pair("e", "f")]
    assert (problem.code, problem.params) == ("turn_number_wrong", {"value": "둘째"})


def test_an_empty_answer_of_a_turn_is_named_by_its_row(tmp_path):
    content = "C_ID,T_ID,Text,Completion\n0,0,a,b\n0,1,c,\n"
    _, _, (problem,) = read(tmp_path, content)
    assert (problem.line, problem.code) == (3, "answer_empty")


# --- tables -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "names",
    [
        ("민원", "답변"),
        ("물음", "답"),
        ("문의 내용", "답변 내용"),
        ("제목", "회신"),
        ("질의", "응답"),
    ],
)
def test_the_names_that_offices_use_are_known(tmp_path, names):
    content = "{},{}\na,b\n".format(*names)
    assert read(tmp_path, content)[1] == [pair("a", "b")]


@pytest.mark.parametrize(
    "content",
    [
        "| 질문 | 답변 |\n|---|:---:|\n| 가\\|나 | 다<br>라 |\n",
        "질문 | 답변\n--- | ---\n가\\|나 | 다<br/>라\n",
    ],
)
def test_a_pasted_markdown_table_is_read(tmp_path, content):
    reader, examples, problems = read(tmp_path, content)
    assert examples == [pair("가|나", "다\n라")]
    assert (reader.format, problems) == ("markdown-prompt", [])


def test_a_row_of_a_markdown_table_keeps_its_line(tmp_path):
    _, _, (problem,) = read(tmp_path, "\n| 질문 | 답변 |\n|---|---|\n| a | b |\n| c |  |\n")
    assert (problem.line, problem.code) == (5, "answer_empty")


def test_a_title_above_the_header_is_skipped_and_noted(tmp_path):
    reader, examples, _ = read(tmp_path, "2026년 민원 목록,\n,\n질문,답변\na,b\n")
    assert (examples, reader.notes) == ([pair("a", "b")], {"rows_above_skipped"})


# --- letters ------------------------------------------------------------------------------------
def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    "content", ["질문,답변\n가로등,네\n", '{"질문": "가로등", "답변": "네"}\n']
)
def test_letters_that_a_mac_took_apart_are_put_together(tmp_path, content):
    reader, examples, _ = read(tmp_path, decomposed(content))
    assert examples == [pair("가로등", "네")]
    assert reader.notes == {"letters_composed"}


def test_escaped_letters_are_put_together_too(tmp_path):
    content = json.dumps({"prompt": decomposed("가"), "completion": "b"})
    assert "\\u1100" in content
    assert read(tmp_path, content)[1] == [pair("가", "b")]


def test_invisible_letters_in_names_do_no_harm(tmp_path):
    assert read(tmp_path, "\u200b질문\u200b,\u2060 답변\na,b\n")[1] == [pair("a", "b")]


def test_a_file_of_nothing_known_is_refused_by_its_columns(tmp_path):
    assert refused(tmp_path, "이름|나이\n가|1\n").code == "columns_unknown"


# --- the columns of templates ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("row", "question", "answer"),
    [
        ({"참고 문서": "문서", "질문": "물음", "답변": "답"}, "물음\n\n문서", "답"),
        ({"지시": "줄이세요", "원문": "긴 글", "요약": "짧은 글"}, "줄이세요\n\n긴 글", "짧은 글"),
        ({"원문": "hello", "번역": "안녕"}, "hello", "안녕"),
        ({"글": "물이 새요", "갈래": "시설"}, "물이 새요", "시설"),
        (
            {"갈래": "시설", "요약": "누수", "질문": "물이 새요", "답변": "고칠게요"},
            "물이 새요",
            "고칠게요",
        ),
    ],
)
@pytest.mark.parametrize("is_table", [True, False])
def test_the_columns_of_templates_are_known_and_give_way_to_plainer_ones(
    tmp_path, row, question, answer, is_table
):
    table = ",".join(row) + "\n" + ",".join(row.values()) + "\n"
    _, examples, problems = read(tmp_path, table if is_table else jsonl(row))
    assert (examples, problems) == ([pair(question, answer)], [])


def test_a_known_key_behind_many_others_is_found(tmp_path):
    row = {f"k{n}": n for n in range(110)} | {"prompt": "가", "completion": "나"}
    _reader, examples, problems = read(tmp_path, json.dumps(row, ensure_ascii=False))
    assert (examples, problems) == ([pair("가", "나")], [])
