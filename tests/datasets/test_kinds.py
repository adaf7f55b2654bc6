"""What is no data is refused by what it is, whatever its name says."""

import io
import struct
import zipfile

import pytest

from training.datasets.kinds import PARQUET, SHEET, TEXT, kind_of
from training.errors import UserError

FREE, END = 0xFFFFFFFF, 0xFFFFFFFE


def zipped(*names: str, mime: str = "") -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        if mime:
            archive.writestr("mimetype", mime)
        for name in names:
            archive.writestr(name, "x")
    return raw.getvalue()


def compound(*names: str) -> bytes:
    """Make an OLE compound file whose directory holds these names ([MS-CFB])."""
    count = (len(names) + 4) // 4
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, END, 0, END, 0)
    head += struct.pack("<109I", 0, *[FREE] * 108)
    chain = [0xFFFFFFFD, *range(2, count + 1), END]
    table = struct.pack("<128I", *chain, *[FREE] * (128 - len(chain)))
    entries = b""
    for name in ("Root Entry", *names):
        raw = name.encode("utf-16-le") + b"\0\0"
        entries += raw.ljust(64, b"\0") + struct.pack("<H", len(raw)) + bytes(62)
    return head + table + entries.ljust(512 * count, b"\0")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"prompt,completion\n", TEXT),
        (b"DRM,answer\nFasoo DRM?,yes\n", TEXT),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), SHEET),
        (compound("Workbook"), SHEET),
        (compound("a", "b", "c", "d", "e", "Book"), SHEET),
        (b"PAR1....", PARQUET),
    ],
)
def test_what_can_be_read_is_known_by_its_content(tmp_path, content, kind):
    (tmp_path / "raw").write_bytes(content)
    assert kind_of(tmp_path / "raw") == kind


@pytest.mark.parametrize(
    ("content", "code", "kind"),
    [
        (b"", "file_empty", None),
        (compound("EncryptionInfo", "EncryptedPackage"), "file_locked", None),
        (compound("a", "b", "c", "d", "EncryptedPackage"), "file_locked", None),
        (b"\x9b\x20DRMONE  This Document is encrypted", "file_drm", None),
        (b"SCDSA002\0\1\2", "file_drm", None),
        (b"<## NASCA DRM FILE - VER1.00 ##>", "file_drm", None),
        (compound("FileHeader", "BodyText"), "file_document", "HWP"),
        (compound("WordDocument"), "file_document", "DOC"),
        (compound(), "file_document", "OLE"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "file_document", "OLE"),
        (b"HWP Document File V3.00", "file_document", "HWP"),
        (zipped("Contents/content.hpf"), "file_document", "HWPX"),
        (zipped("a", mime="application/hwp+zip"), "file_document", "HWPX"),
        (zipped("word/document.xml"), "file_document", "DOCX"),
        (zipped("ppt/presentation.xml"), "file_document", "PPTX"),
        (zipped("xl/workbook.bin"), "file_document", "XLSB"),
        (b"%PDF-1.7 rest", "file_document", "PDF"),
        (zipped("data.csv"), "file_archive", "ZIP"),
        (b"PK\x03\x04........photo.jpg", "file_archive", "ZIP"),
        (b"PK\x03\x04........xl/workbook.xml", "sheet_broken", None),
        (b"\x1f\x8b\x08\x00", "file_archive", "GZIP"),
        (b"ALZ\x01", "file_archive", "ALZ"),
        (b"\x89PNG\r\n\x1a\n", "file_binary", "PNG"),
        (b"\xff\xd8\xff\xe0", "file_binary", "JPEG"),
    ],
)
def test_what_is_no_data_is_named(tmp_path, content, code, kind):
    (tmp_path / "raw").write_bytes(content)
    with pytest.raises(UserError) as caught:
        kind_of(tmp_path / "raw")
    assert (caught.value.code, caught.value.params.get("kind")) == (code, kind)


def test_a_directory_that_runs_in_a_circle_ends(tmp_path):
    raw = bytearray(compound("a", "b", "c", "d"))
    struct.pack_into("<I", raw, 512 + 4, 1)  # the directory's sector follows itself
    (tmp_path / "raw").write_bytes(raw)
    with pytest.raises(UserError):
        kind_of(tmp_path / "raw")
