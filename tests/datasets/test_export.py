"""What is taken home as a table comes back as it went, whatever stands in its cells."""

from pathlib import Path

import pytest
from django.utils import translation
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from training.chat import Example, Message
from training.datasets import export, formulas, segments
from training.datasets.read import Reader

SHORT = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FRAGMENTS = (
    "=", "+", "-", "@", "'", '"', "\t", "\n", " ", ",", ";", "|", "|---|---|", "| a | b |", "\\", "<br>",
    "_x0041_", "_x005F_", "_x", "0041_", "_", "<", "&amp;", "]]>", "가", "1", "1.0", "TRUE", "2026-01-01",
    "질문", "답변", "Text", "C_ID", "{", "[", "\ufeff", "\u2028", "😀", "\x85", "#", "x",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=5).map("".join)
CELLS = TEXTS.filter(lambda text: text.strip(" \n\t\ufeff\0\x85\u2028"))
PAIRS = st.tuples(CELLS, CELLS).map(list)
TALKS = st.tuples(st.just("") | CELLS, st.lists(PAIRS, min_size=1, max_size=3))


def talk(system: str, exchanges: list) -> Example:
    said = [Message("system", system)] if system else []
    for question, answer in exchanges:
        said += [Message("user", question), Message("assistant", answer)]
    return Example(tuple(said))


def came_back(folder: Path, found: list[Example], ending: str) -> Reader:
    """Write examples, take them home as a table and open it as a file that was uploaded."""
    segments.clear(folder)
    with segments.Writer(folder) as writer:
        for one in found:
            writer.add(one)
    make, _media_type = export.FORMATS[ending]
    (folder / "raw").write_bytes(b"".join(make(folder)))
    return Reader(folder / "raw")


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
@SHORT
@given(pairs=st.lists(PAIRS, min_size=1, max_size=4))
@example(pairs=[["=1+1", "'=1+1"], ["''=1", "'"], ["'가'", "'-' 기호"], ["-", "@a"]])
@example(pairs=[[" 앞뒤 빈칸 ", "\n줄\n"], ["\t탭", "끝\t"]])
@example(pairs=[["표로 답하세요.", "| 가 | 나 |\n|---|---|\n| 1 | 2 |"]])
@example(pairs=[["_x0041_", "_x005F_x0041_"], ["_x000D_", "__x0041__"], ["_x_x0041_", "_X0041_"]])
def test_pairs_come_back_as_they_went(tmp_path, ending, pairs):
    found = [talk("", [pair]) for pair in pairs]
    assert list(came_back(tmp_path, found, ending)) == found


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
@SHORT
@given(talks=st.lists(TALKS, min_size=1, max_size=3))
@example(talks=[("=지시", [["+1", "-1"], ["'@", "\t"[:0] + "가"]]), ("", [["가", "나"]])])
def test_conversations_come_back_as_they_went(tmp_path, ending, talks):
    found = [talk(system, exchanges) for system, exchanges in talks]
    assert list(came_back(tmp_path, found, ending)) == found


# --- the guard against formulas -----------------------------------------------------------------
GUARDED = "\ufeff질문,답변\r\n'=1+1,''+\r\n가,나\r\n"


def read(folder: Path, text: str, encoding: str = "utf-8") -> Reader:
    (folder / "raw").write_bytes(text.encode(encoding))
    return Reader(folder / "raw")


def test_nothing_is_taken_home_that_a_table_program_might_run(tmp_path):
    nasty = [[start + "1", "'" + start] for start in ("=", "+", "-", "@", "\t")]
    came_back(tmp_path, [talk("", [pair]) for pair in nasty], "csv")
    rows = (tmp_path / "raw").read_text("utf-8-sig").splitlines()[1:]
    assert all(row.startswith("\"'") and """","\'\'""" in row for row in rows) and len(rows) == 5


def test_a_table_of_ours_loses_its_guards_and_says_so(tmp_path):
    reader = read(tmp_path, GUARDED)
    assert list(reader) == [talk("", [["=1+1", "'+"]]), talk("", [["가", "나"]])]
    assert reader.notes == {formulas.GUARDS_REMOVED} and reader.layout["head"][0] == ["=1+1", "'+"]
    reader = read(tmp_path, GUARDED.replace("'", ""))
    assert len(list(reader)) == 2 and reader.notes == set()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GUARDED.removeprefix("\ufeff"), "utf-8"),
        (GUARDED.removeprefix("\ufeff"), "cp949"),
        (GUARDED.replace(",", "\t"), "utf-8"),
        (GUARDED.replace("질문", "문의"), "utf-8"),
    ],
)
def test_an_apostrophe_in_anybody_elses_table_is_a_letter(tmp_path, text, encoding):
    reader = read(tmp_path, text, encoding)
    first, _second = reader
    assert first == talk("", [["'=1+1", "''+"]]) and not reader.notes


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_header_of_ours_is_known_again(tmp_path, language):
    with translation.override(language):
        for exchanges in ([["=1", "@"]], [["=1", "@"], ["-", "+"]]):
            found = [talk("", exchanges)]
            assert list(came_back(tmp_path, found, "csv")) == found
