"""Template files: what is downloaded is read back as the five examples that it shows."""

import pytest
from openpyxl import load_workbook

from training.datasets import starters
from training.datasets.read import Reader
from training.works import WORKS

KINDS = pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
LETTERS = {"draft": (250, 2000), "summary": (50, 250), "classify": (1, 5)}
"""Fewest and most letters of an answer, where a kind has a length of its own."""


def saved(tmp_path, work, ending: str):
    path = tmp_path / f"{work.key}.{ending}"
    path.write_bytes(b"".join(starters.FORMATS[ending][0](work)))
    return path


@KINDS
@pytest.mark.parametrize("ending", starters.FORMATS)
def test_a_template_reads_back_as_exactly_its_five_examples(tmp_path, work, ending):
    reader = Reader(saved(tmp_path, work, ending))
    found = list(reader)
    assert len(found) == 5
    assert tuple(found) == starters.examples(work)
    assert reader.notes == set(), "a column that nobody reads"


@KINDS
def test_every_word_of_a_row_reaches_its_example(work):
    told = "".join(m.content for one in starters.examples(work) for m in one.messages)
    for row in starters.rows(work):
        assert list(row) == starters.columns(work)
        for cell in row.values():
            assert not isinstance(cell, str) or (cell and cell in told)


@KINDS
def test_the_examples_differ_and_have_the_form_of_their_kind(work):
    found = starters.examples(work)
    assert len({one.messages[0].content for one in found}) == 5
    turns = {len(one.messages) for one in found}
    assert min(turns) >= 4 if work.key == "dialogue" else turns == {2}
    least, most = LETTERS.get(work.key, (1, 2000))
    assert all(least <= len(one.messages[-1].content) <= most for one in found)


def test_names_to_sort_by_stand_in_the_instruction():
    for row in starters.rows(WORKS["classify"]):
        instruction, _text, answer = row.values()
        assert answer in instruction


@KINDS
def test_the_second_sheet_tells_how_to_write(tmp_path, work):
    book = load_workbook(saved(tmp_path, work, "xlsx"))
    first, second = book.worksheets
    assert [cell.value for cell in first[1]] == starters.columns(work)
    lines = [row[0] for row in second.values]
    assert set(map(str, work.advice)) <= set(lines) and str(work.label) == lines[0]
    assert first.max_row == len(starters.rows(work)) + 1


def test_a_template_speaks_the_readers_language_and_still_reads_back(tmp_path):
    from django.utils import translation

    with translation.override("en"):
        path = saved(tmp_path, WORKS["classify"], "xlsx")
        assert starters.file_name(WORKS["classify"], "xlsx") == "Template - Sorting.xlsx"
    assert load_workbook(path).sheetnames == ["Examples", "How to write"]
    assert tuple(Reader(path)) == starters.examples(WORKS["classify"])


def test_a_slash_in_a_kinds_name_is_none_in_a_files_name():
    assert starters.file_name(WORKS["answer"], "jsonl") == "질의·응답 양식.jsonl"
