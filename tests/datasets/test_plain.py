"""The short way for plain records and the careful one make the same of every file."""

import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.test_read import FRAGMENTS, NOISE, jsonl, talk
from training.datasets import lines, plain, segments
from training.datasets.read import Reader
from training.datasets.shapes import Problem
from training.errors import UserError

SHORT = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ASKED = {"role": "user", "content": "a"}
NASTY = [
    {"prompt": "가", "completion": "나"},
    {"prompt": "가", "completion": "나", "id": 7},
    {"id": 7, "질문": "가", "답변": "나"},
    {"completion": "나", "prompt": "가"},
    {"prompt": "a", "completion": ""}, {"prompt": " \n", "completion": "b"},
    {"prompt": "a", "completion": None}, {"prompt": 1.5, "completion": True},
    {"prompt": "a\r\nb\rc", "completion": "d\0"}, {"prompt": "\0", "completion": "d"},
    {"prompt": unicodedata.normalize("NFD", "각"), "completion": "b"},
    {"prompt": "\ud83d", "completion": "b"}, {"prompt": "😀\u2028\x85", "completion": "\x7f\x01"},
    {"prompt": "\ufeff", "completion": "\u3000"}, {"prompt": ["a"], "completion": "b"},
    {"instruction": "a", "input": "b", "output": "c"}, {"text": "a"}, {}, [1], "a", 7, None,
    {"prompt": 10**30, "completion": 1e300}, {"prompt": float("nan"), "completion": "a"},
    talk("user", "assistant"), talk("system", "user", "assistant", "user", "assistant"),
    talk("user"), talk("assistant"), talk("user", "user"), talk("user", "system", "assistant"),
    talk("system"), {"messages": []}, {"messages": "a"}, {"messages": [1]},
    {"messages": [ASKED, {"role": "Assistant", "content": "b"}]},
    {"messages": [ASKED, {"role": "assistant", "content": "b", "weight": 0}]},
    {"messages": [ASKED, {"role": "assistant", "name": "b"}]},
    {"messages": [ASKED, {"content": "b", "role": "assistant"}], "id": "가"},
    {"messages": [{"role": "system", "content": ""}, ASKED, {"role": "assistant", "content": "b"}]},
    {"C_ID": 1, "Text": "a", "Completion": "b"},
]  # fmt: skip
ODD_LINES = [
    "", " ", "```", "stray", '{"prompt": "a", "completion": "b"} ',
    '{"prompt": "a", "completion": "b"}{"prompt": "c", "completion": "d"}',
    '{"prompt": "a",', '"completion": "b"}', '{"prompt": "a", "completion": "b', "}", "{",
    '{"prompt": "a", "prompt": "c", "completion": "\\/"}', '{"x":' * 1200 + "1" + "}" * 1200,
    '{"prompt": "a", "completion": "b"},', "[", "]", '\ufeff{"prompt": "a", "completion": "b"}',
    '{"prompt": "a", "completion": "b"}\r', '{"prompt": "a", "completion": 1e999}',
]  # fmt: skip


def outcome(path, is_fast: bool) -> tuple:
    """Return all that reading makes of a file."""
    try:
        reader = Reader(path)
        if hasattr(reader.source, "is_fast"):
            reader.source.is_fast = is_fast
        found = list(reader)
    except UserError as error:
        return error.as_dict(), None, None
    return found, reader.format, reader.notes


def both_ways_agree(tmp_path, content: bytes) -> tuple:
    (tmp_path / "raw").write_bytes(content)
    short, careful = (outcome(tmp_path / "raw", is_fast) for is_fast in (True, False))
    assert short == careful
    return short


def nasty(records: list, odd: list[str]) -> list[str]:
    return [
        json.dumps(one, ensure_ascii=number % 2 == 0) for number, one in enumerate(records)
    ] + odd


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
@pytest.mark.parametrize("size", [7, 100, 1 << 18])
def test_a_nasty_corpus_is_read_the_same_both_ways(tmp_path, monkeypatch, codec, size):
    monkeypatch.setattr(lines, "BLOCK_BYTES", size)
    rows = nasty([*NASTY, *reversed(NASTY)] * 2, ODD_LINES)
    content = "\n".join(rows).encode(codec, "surrogatepass" if codec == "utf-8" else "replace")
    found, format_, _ = both_ways_agree(tmp_path, content)
    assert len(found) > 100 and format_.startswith("jsonl")


def test_many_messages_are_read_the_same_both_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK_BYTES", 300)
    right = [talk("user", "assistant"), talk("system", "user", "assistant", "user", "assistant")]
    wrong = [one for one in NASTY if isinstance(one, dict) and "messages" in one]
    rows = jsonl(*(right * 100), *wrong, *(right * 20), *reversed(wrong), {"messages": []}, *right)
    found, _, _ = both_ways_agree(tmp_path, rows.encode())
    assert len(found) == rows.count("\n")


ROWS = st.one_of(
    st.sampled_from(nasty(NASTY, ODD_LINES)),
    st.builds(
        lambda a, b, ascii: json.dumps({"prompt": a, "completion": b}, ensure_ascii=ascii),
        st.text(max_size=8), st.text(max_size=8), st.booleans(),
    ),
)  # fmt: skip


@SHORT
@given(rows=st.lists(ROWS, max_size=30), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_generated_json_is_read_the_same_both_ways(tmp_path, rows, end):
    both_ways_agree(tmp_path, end.join(rows).encode("utf-8", "surrogatepass"))


CELLS = st.lists(st.one_of(st.text(max_size=5), FRAGMENTS), max_size=3).map("".join)


@SHORT
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=12), is_quoted=st.booleans())
def test_generated_csv_is_read_the_same_both_ways(tmp_path, rows, is_quoted):
    cells = (
        ['"' + cell.replace('"', '""') + '"' for cell in row] if is_quoted else row for row in rows
    )
    content = "\n".join(["질문,답변", *(",".join(row) for row in cells)])
    both_ways_agree(tmp_path, content.encode("utf-8", "surrogatepass"))


@SHORT
@given(content=NOISE)
def test_noise_is_read_the_same_both_ways(tmp_path, content):
    both_ways_agree(tmp_path, content)


def test_both_ways_write_the_same_bytes(tmp_path):
    text = "".join(map(chr, range(0x250))) + '"\\/\u2028😀가'
    content = jsonl({"prompt": text, "completion": "b"}, *[{"prompt": "a", "completion": "c"}] * 25)
    (tmp_path / "raw").write_text(content)
    with segments.Writer(tmp_path / "a", 10) as bulk, segments.Writer(tmp_path / "b", 10) as single:
        for batch in Reader(tmp_path / "raw").batches():
            assert isinstance(batch, list)
            bulk.add_many(batch)
        for example in Reader(tmp_path / "raw"):
            assert not isinstance(example, Problem)
            single.add(example)
    assert bulk.close().fingerprint == single.close().fingerprint
    for name in ("segment-0002.offsets", "segment-0002.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}{"a":2}\n',
        '{"a":\n1}\n',
        '{"a":1}\n\n{"a":2}',
        "{}\n[]",
        '{"a":{}\n{"b":1}}',
        "{}{}\n\n",
    ],
)
def test_lines_that_are_no_single_objects_are_not_plain(text):
    assert plain.objects(lines.Block(1, text)) is None
    assert plain.objects(lines.Block(1, text.encode())) is None
