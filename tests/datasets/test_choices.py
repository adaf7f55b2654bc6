"""What the user decides counts more than what the reader recognises."""

import json

import pytest

from tests.datasets.test_child import order, run
from tests.datasets.test_read import jsonl, pair
from training.datasets.choices import Choices
from training.datasets.layout import SIZE_LIMIT
from training.datasets.read import Reader
from training.datasets.shapes import Problem
from training.errors import UserError

UNNAMED = "제목,본문,처리\n가,나,다\n라,마,바\n"


def opened(tmp_path, content: str | bytes, **choices: object) -> Reader:
    path = tmp_path / "raw"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Reader(path, Choices.of(choices))


def examples(tmp_path, content: str | bytes, **choices: object) -> list:
    return list(opened(tmp_path, content, **choices))


def refused(tmp_path, content: str | bytes, **choices: object) -> UserError:
    with pytest.raises(UserError) as caught:
        examples(tmp_path, content, **choices)
    return caught.value


# --- choices ------------------------------------------------------------------------------------
def test_choices_survive_being_written_down():
    given = {
        "encoding": "cp949", "delimiter": ";", "sheet": "자료", "has_header": False,
        "mapping": {"prompt": "{1열}", "answer": "2열"},
    }  # fmt: skip
    assert Choices.of(given).as_dict() == given
    assert Choices.of(None).as_dict() == Choices.of({"sheet": ""}).as_dict() == {}


@pytest.mark.parametrize(
    "given",
    [
        {"encoding": "rot13"},
        {"delimiter": "x"},
        {"delimiter": ""} | {"sheet": 3},
        {"has_header": "no"},
        {"mapping": []},
        {"mapping": {"prompt": 1}},
        {"mapping": {"wizard": "a"}},
        {"mapping": {"prompt": "x" * 5000}},
        {"color": "red"},
    ],
)
def test_a_choice_that_was_never_offered_is_refused(given):
    with pytest.raises(UserError) as caught:
        Choices.of(given)
    assert caught.value.code == "choice_wrong"
    json.dumps(caught.value.as_dict())


# --- mapping ------------------------------------------------------------------------------------
def test_columns_are_mapped_by_name(tmp_path):
    mapping = {"prompt": " 본문 ", "answer": "처리"}
    assert examples(tmp_path, UNNAMED, mapping=mapping) == [pair("나", "다"), pair("마", "바")]


def test_a_template_puts_columns_together(tmp_path):
    mapping = {"prompt": "{{제목}}: {제목}\n{본문}", "answer": "[{처리}]"}
    assert examples(tmp_path, UNNAMED, mapping=mapping)[0] == pair("{제목}: 가\n나", "[다]")


def test_a_template_is_no_format_string(tmp_path):
    error = refused(tmp_path, UNNAMED, mapping={"prompt": "{제목.__class__}", "answer": "처리"})
    assert (error.code, error.params["name"]) == ("column_unknown", "제목.__class__")


def test_a_template_whose_columns_are_all_empty_is_empty(tmp_path):
    mapping = {"prompt": "글: {제목}{본문}", "answer": "처리"}
    (problem,) = examples(tmp_path, "제목,본문,처리\n,,다\n", mapping=mapping)
    assert problem.code == "prompt_empty"


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ({"prompt": "없음", "answer": "처리"}, "column_unknown"),
        ({"prompt": "{없음}", "answer": "처리"}, "column_unknown"),
        ({"prompt": "{제목", "answer": "처리"}, "template_braces"),
        ({"prompt": "제목}", "answer": "처리"}, "column_unknown"),
        ({"prompt": "제목"}, "mapping_incomplete"),
        ({"role": "제목", "content": "본문"}, "mapping_incomplete"),
    ],
)
def test_a_mapping_that_cannot_be_read_by_is_refused(tmp_path, mapping, code):
    assert refused(tmp_path, UNNAMED, mapping=mapping).code == code


def test_columns_of_conversations_are_mapped(tmp_path):
    content = "번호,말한이,말,몇째\n1,상담원,b,2\n1,고객,a,1\n"
    mapping = {"conversation": "번호", "role": "말한이", "content": "말", "order": "몇째"}
    assert examples(tmp_path, content, mapping=mapping) == [pair("a", "b")]


def test_keys_of_json_are_mapped(tmp_path):
    content = jsonl({"t": "a", "u": "b", "v": 1}, {"t": "c"}, {"u": "e", "t": "d"})
    found = examples(tmp_path, content, mapping={"prompt": "t", "answer": "u"})
    assert [one for one in found if not isinstance(one, Problem)] == [
        pair("a", "b"), pair("d", "e")
    ]  # fmt: skip
    assert [(one.line, one.code) for one in found if isinstance(one, Problem)] == [
        (2, "answer_empty")
    ]


def test_messages_under_another_key_are_mapped(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for content in (jsonl({"turns": turns}), jsonl({"id": 1, "turns": turns}) * 2):
        assert pair("a", "b") in examples(tmp_path, content, mapping={"messages": "turns"})


def test_a_table_without_a_header_is_mapped_by_number(tmp_path):
    mapping = {"prompt": "1열", "answer": "2열"}
    found = examples(tmp_path, "가,나\n다,라\n", mapping=mapping, has_header=False)
    assert found == [pair("가", "나"), pair("다", "라")]


# --- encoding and delimiter ---------------------------------------------------------------------
def test_a_chosen_encoding_is_taken(tmp_path):
    content = "질문,답변\nÄ,Ö\n".encode()
    assert examples(tmp_path, content, encoding="utf-8") == [pair("Ä", "Ö")]
    assert refused(tmp_path, "질문,답변\n가,나\n".encode("cp949"), encoding="utf-8").code == (
        "encoding_unfit"
    )


def test_utf_8_with_a_mark_can_be_chosen(tmp_path):
    content = "질문,답변\n가,나\n".encode("utf-8-sig")
    assert examples(tmp_path, content, encoding="utf-8") == [pair("가", "나")]


def test_a_chosen_delimiter_is_taken(tmp_path):
    content = "a;b,c\n1;2,3\n"
    mapping = {"prompt": "a", "answer": "b,c"}
    assert examples(tmp_path, content, delimiter=";", mapping=mapping) == [pair("1", "2,3")]


# --- layout -------------------------------------------------------------------------------------
def test_the_layout_of_a_table_says_what_a_form_needs(tmp_path):
    reader = opened(tmp_path, "질문;답변;비고\n가;나;다\n".encode("cp949"))
    assert reader.layout == {
        "kind": "table", "format": "csv-prompt", "encoding": "cp949", "encodings": ["cp949"],
        "delimiter": ";", "columns": ["질문", "답변", "비고"], "head": [["가", "나", "다"]],
        "mapping": {"prompt": "질문", "answer": "답변"}, "has_header": True,
    } | {"encodings": reader.layout["encodings"]}  # fmt: skip
    assert reader.layout["encodings"][0] == "cp949"


def test_the_layout_of_json_has_the_keys_of_the_first_records(tmp_path):
    content = jsonl({"instruction": "a", "input": "b", "output": "c"}, {"x": [1], "y": "가" * 500})
    layout = opened(tmp_path, content).layout
    assert layout["kind"] == "json"
    assert layout["columns"] == ["instruction", "input", "output", "x", "y"]
    assert layout["head"][1] == ["", "", "", "[1]", "가" * 200 + "…"]
    assert layout["mapping"] == {"prompt": "{instruction}\n\n{input}", "answer": "output"}


@pytest.mark.parametrize(
    "content",
    [
        jsonl({"instruction": "a", "input": "b", "output": "c"}),
        jsonl({"instruction": "a", "input": "", "output": "c"}),
        "C_ID,T_ID,Text,Completion\n0,1,c,d\n0,0,a,b\n",
        "C_ID,role,content\n0,user,a\n0,assistant,b\n",
        jsonl({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}),
    ],
)
def test_the_recognised_mapping_reads_the_same_when_it_is_chosen(tmp_path, content):
    reader = opened(tmp_path, content)
    assert examples(tmp_path, content, mapping=reader.layout["mapping"]) == list(reader)


def test_a_layout_is_small_whatever_the_file_holds(tmp_path):
    wide = ",".join("가" * 300 + str(n) for n in range(2000)) + "\n"
    layout = opened(tmp_path, wide * 5).layout
    assert len(layout["columns"]) == 150
    assert len(json.dumps(layout, ensure_ascii=False).encode()) <= SIZE_LIMIT + 500


def test_the_layout_is_told_also_when_reading_fails(tmp_path):
    folder = order(tmp_path / "v", UNNAMED)
    code, told = run("training.datasets.child", folder)
    assert (code, told[-1]["code"]) == (2, "columns_unknown")
    (layout,) = [one["layout"] for one in told if one["kind"] == "layout"]
    assert (layout["columns"], layout["mapping"]) == (["제목", "본문", "처리"], {})
    assert layout["head"] == [["가", "나", "다"], ["라", "마", "바"]]
    order(tmp_path / "v", choices={"mapping": {"prompt": "{제목}\n{본문}", "answer": "처리"}})
    code, told = run("training.datasets.child", folder)
    assert (code, told[-1]["examples"], told[-1]["format"]) == (0, 2, "csv-prompt")


def test_letters_that_cannot_be_read_still_offer_encodings(tmp_path):
    folder = order(tmp_path / "v", choices={"encoding": "utf-8"})
    (folder / "raw").write_bytes("가나다라마바사".encode("cp949"))
    code, told = run("training.datasets.child", folder)
    assert (code, told[-1]["code"]) == (2, "encoding_unfit")
    assert "cp949" in told[0]["layout"]["encodings"]
