"""Workbooks and Parquet files, made on the spot by the programs that make them."""

import datetime
import io
import zipfile

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from tests.datasets.test_read import pair
from training.datasets import sheets
from training.datasets.choices import Choices
from training.datasets.read import Reader
from training.datasets.shapes import Problem
from training.errors import UserError


def workbook(tmp_path, **tables: list[list]):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(tmp_path / "raw")
    return tmp_path / "raw"


def parquet(tmp_path, **columns: list):
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "raw", row_group_size=100)
    return tmp_path / "raw"


def refused(path, **choices: object) -> UserError:
    with pytest.raises(UserError) as caught:
        list(Reader(path, Choices.of(choices)))
    return caught.value


# --- XLSX ---------------------------------------------------------------------------------------
def test_the_first_sheet_with_rows_is_read_and_another_can_be_chosen(tmp_path):
    path = workbook(
        tmp_path, 빈=[], 자료=[["질문", "답변"], ["a", "b"]], 둘=[["Q", "A"], ["c", "d"]]
    )
    reader = Reader(path)
    assert list(reader) == [pair("a", "b")]
    assert (reader.format, reader.encoding) == ("sheet-prompt", "")
    assert list(Reader(path, Choices(sheet="둘"))) == [pair("c", "d")]
    assert {"kind": "sheet", "sheets": ["빈", "자료", "둘"], "sheet": "자료"}.items() <= (
        reader.layout.items()
    )


def test_a_hidden_sheet_is_not_the_first_choice(tmp_path):
    path = workbook(tmp_path, 목록=[["Q", "A"], ["c", "d"]], 자료=[["질문", "답변"], ["a", "b"]])
    book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()))
    book["목록"].sheet_state = "hidden"
    book.save(path)
    reader = Reader(path)
    assert (list(reader), reader.done_bytes) == ([pair("a", "b")], path.stat().st_size)


def test_a_sheet_that_is_not_there_is_named(tmp_path):
    path = workbook(tmp_path, 자료=[["질문", "답변"]])
    error = refused(path, sheet="없음")
    assert (error.code, error.params) == ("sheet_unknown", {"name": "없음", "sheets": "자료"})


def test_values_are_written_as_a_person_reads_them(tmp_path):
    values = [
        (3, "3"), (3.0, "3"), (0.1 + 0.2, "0.3"), (-2.5, "-2.5"), (1234567890123, "1234567890123"),
        (True, "TRUE"), (datetime.date(2026, 3, 1), "2026-03-01"),
        (datetime.datetime(2026, 3, 1, 9, 5), "2026-03-01 09:05"),
        (datetime.time(9, 5, 7), "09:05:07"), ("=1+1", None),
    ]  # fmt: skip
    path = workbook(tmp_path, 자료=[["질문", "답변"], *([value, "b"] for value, _ in values)])
    found = list(Reader(path))
    assert [one.messages[0].content for one in found[:-1]] == [text for _, text in values[:-1]]
    assert found[-1].code == "prompt_empty"  # a formula that was never calculated


def test_merged_conversation_ids_belong_to_the_rows_below(tmp_path):
    book = openpyxl.Workbook()
    for row in [
        ["C_ID", "role", "content"],
        [0, "user", "a"], [None, "assistant", "b"],
        [1, "user", "c"], [None, "assistant", "d"],
    ]:  # fmt: skip
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    book.active.merge_cells("A4:A5")
    book.save(tmp_path / "raw")
    reader = Reader(tmp_path / "raw")
    assert list(reader) == [pair("a", "b"), pair("c", "d")]
    assert reader.notes == {"conversation_ids_filled"}


def test_a_bad_row_is_named_by_its_number_in_the_sheet(tmp_path):
    rows = [["민원 목록"], [], ["질문", "답변"], ["a", "b"], [], ["c", None]]
    found = list(Reader(workbook(tmp_path, 자료=rows)))
    assert found[0] == pair("a", "b")
    assert [(one.line, one.code) for one in found[1:]] == [(6, "answer_empty")]


def repacked(path, **parts: bytes):
    """Replace parts of a workbook."""
    with zipfile.ZipFile(path) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in (kept | parts).items():
            new.writestr(name, content)
    return path


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = workbook(tmp_path, 자료=[["질문", "답변"]])
    repacked(path, **{"xl/sharedStrings.xml": b" " * (64 << 20)})
    assert path.stat().st_size < 200_000
    assert refused(path).code == "sheet_too_big"


def test_a_part_that_is_larger_than_it_says_is_refused(tmp_path):
    path = workbook(tmp_path, 자료=[["질문", "답변"]])
    size = 8 << 20
    repacked(path, **{"xl/sharedStrings.xml": b" " * size})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    assert refused(path).code == "sheet_broken"


def test_two_cells_at_the_corners_of_a_sheet_do_not_fill_the_memory(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = "질문", "답변"
    book.save(tmp_path / "raw")
    assert refused(tmp_path / "raw").code == "sheet_too_big"


def test_cells_that_only_have_a_colour_do_not_count(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["질문", "답변"])
    book.active.append(["a", "b"])
    for place in ("XFD1", "A1048576"):
        book.active[place].fill = openpyxl.styles.PatternFill("solid", fgColor="FFFF00")
    book.save(tmp_path / "raw")
    assert list(Reader(tmp_path / "raw")) == [pair("a", "b")]


@pytest.mark.parametrize("name", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml"])
@pytest.mark.parametrize("content", [b"", b"<a", b"\0" * 100, b"<a>" * 10_000])
def test_a_damaged_part_is_named(tmp_path, name, content):
    path = repacked(workbook(tmp_path, 자료=[["질문", "답변"], ["a", "b"]]), **{name: content})
    try:
        list(Reader(path))
    except UserError as error:
        assert error.code in ("sheet_broken", "file_empty")


def test_a_workbook_that_was_cut_off_is_named(tmp_path):
    path = workbook(tmp_path, 자료=[["질문", "답변"]])
    path.write_bytes(path.read_bytes()[:2000])
    assert refused(path).code == "sheet_broken"


def test_too_many_parts_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sheets, "PARTS_LIMIT", 3)
    assert refused(workbook(tmp_path, 자료=[["질문", "답변"]])).code == "sheet_too_big"


# --- Parquet ------------------------------------------------------------------------------------
def test_pairs_are_read_from_parquet(tmp_path):
    numbers = list(range(1000))
    path = parquet(tmp_path, 질문=[f"q{n}" for n in numbers], 답변=numbers, id=numbers)
    reader = Reader(path)
    assert list(reader) == [pair(f"q{n}", str(n)) for n in numbers]
    assert (reader.format, reader.notes) == ("parquet-prompt", {"columns_ignored"})
    assert reader.layout["kind"] == "parquet"


def test_messages_are_read_from_parquet(tmp_path):
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert list(Reader(parquet(tmp_path, messages=[talk]))) == [pair("a", "b")]


def test_values_of_parquet_are_written_out(tmp_path):
    days = [datetime.date(2026, 3, 1), None]
    found = list(Reader(parquet(tmp_path, prompt=days, completion=["a", "b"])))
    assert found[0] == pair("2026-03-01", "a")
    assert isinstance(found[1], Problem)


def test_damaged_parquet_is_named(tmp_path):
    path = parquet(tmp_path, prompt=["a"] * 500, completion=["b"] * 500)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    assert refused(path).code == "parquet_broken"
    path.write_bytes(b"PAR1" + b"\0" * 50 + raw[54:])
    try:
        list(Reader(path))
    except UserError as error:
        assert error.code == "parquet_broken"
