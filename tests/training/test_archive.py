"""A folder as a ZIP that is made while it is sent."""

import zipfile
from io import BytesIO

import pytest

from training import archive


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "README.md").write_text("# 모델")
    (tmp_path / "empty.json").touch()
    return tmp_path


def test_every_file_comes_whole_under_one_name(folder):
    packed = zipfile.ZipFile(BytesIO(b"".join(archive.stream(folder, "민원 답변"))))
    assert packed.testzip() is None
    found = {name: packed.read(name) for name in packed.namelist()}
    assert found == {f"민원 답변/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_no_piece_is_larger_than_a_chunk_and_its_headers(folder, monkeypatch):
    monkeypatch.setattr(archive, "CHUNK_BYTES", 100)
    pieces = list(archive.stream(folder, "a"))
    assert len(pieces) > 25
    assert max(map(len, pieces[:-1])) < 100 + 2 * 100  # a header before, the former file's end
    assert zipfile.ZipFile(BytesIO(b"".join(pieces))).testzip() is None


def test_a_link_out_of_the_folder_is_left_out(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_text("secret")
    (folder / "link").symlink_to(secret)
    (folder / "checkpoint").mkdir()
    assert {path.name for path in archive.files(folder)} == {
        "README.md", "empty.json", "weights.safetensors"
    }  # fmt: skip


def test_a_folder_that_is_gone_has_no_files(tmp_path):
    assert archive.files(tmp_path / "gone") == []
