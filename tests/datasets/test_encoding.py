"""The ladder of encodings, proved over whole files."""

import pytest

from training.datasets import encoding
from training.datasets.encoding import Detected, detect
from training.datasets.lines import Lines, LineTooLong
from training.errors import UserError

TABLE = "질문,답변\n안녕하세요?,반갑습니다\n서울의 날씨는?,맑음\n"
SHORT = "이름,값\n가,1\n"
MIXED = "prompt,response\nhello,world\nfoo,한국어\n"


def written(tmp_path, content: bytes):
    path = tmp_path / "raw"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("text", [TABLE, SHORT, MIXED])
@pytest.mark.parametrize(
    "codec",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp949", "euc-kr"],
)
def test_every_common_encoding_of_a_korean_file_is_read_as_written(tmp_path, text, codec):
    path = written(tmp_path, text.encode(codec))
    lines = Lines(path, detect(path))
    assert "".join(lines) == text


def test_plain_ascii_is_utf_8(tmp_path):
    assert detect(written(tmp_path, b"prompt,completion\na,b\n")) == Detected("utf-8")


def test_plain_ascii_in_utf_16_without_a_mark_is_not_taken_for_utf_8(tmp_path):
    path = written(tmp_path, "prompt,completion\na,b\n".encode("utf-16-le"))
    assert detect(path) == Detected("utf-16-le")


def test_letters_only_cp949_knows_are_read(tmp_path):
    assert detect(written(tmp_path, "뷁,똠방각하\n".encode("cp949"))).encoding == "cp949"


def test_a_stray_nul_does_not_make_a_file_utf_16(tmp_path):
    path = written(tmp_path, ("한글 문장입니다. " * 50).encode("cp949") + b"\0\n")
    assert detect(path).encoding == "cp949"


def test_utf_8_is_decided_over_the_whole_file_not_its_beginning(tmp_path):
    content = b"a" * (3 * encoding.CHUNK_BYTES) + "가나다라".encode("cp949")
    assert detect(written(tmp_path, content)).encoding == "cp949"


def test_a_letter_across_two_chunks_is_no_error(tmp_path):
    content = b"a" * (encoding.CHUNK_BYTES - 1) + "가".encode() * 10
    assert detect(written(tmp_path, content)) == Detected("utf-8")


def test_a_few_broken_letters_do_not_condemn_a_korean_file(tmp_path):
    content = TABLE.encode() * 50 + b"\xff\n" + TABLE.encode()
    assert detect(written(tmp_path, content)) == Detected("utf-8", is_damaged=True)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_empty"),
        (b"\0" * 1000, "file_binary"),
        (b"\xff\xfe\x00\xd8\x00\x00\x41", "file_undecodable"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path, content, code):
    with pytest.raises(UserError) as caught:
        detect(written(tmp_path, content))
    assert caught.value.code == code


def test_every_kind_of_line_end_becomes_a_newline(tmp_path):
    path = written(tmp_path, b"a\r\nb\rc\nd")
    assert list(Lines(path, detect(path))) == ["a\n", "b\n", "c\n", "d"]


def test_reading_goes_on_after_a_line_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("training.datasets.lines.LINE_LIMIT", 100)
    path = written(tmp_path, b"first\n" + b"x" * 1000 + b"\nlast\n")
    lines = Lines(path, Detected("utf-8"))
    assert next(lines) == "first\n"
    with pytest.raises(LineTooLong) as caught:
        next(lines)
    assert (caught.value.line, caught.value.row) == (2, "x" * 500)
    assert (next(lines), lines.number) == ("last\n", 3)
