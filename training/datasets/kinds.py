"""What a file is, by its content and never by its name: TEXT, SHEET, PARQUET, or refused by name.

Reads heads and tables of contents only.
"""

import struct
import zipfile
from pathlib import Path

from training.errors import UserError

TEXT, SHEET, PARQUET = "text", "sheet", "parquet"
HEAD_BYTES = 1 << 16
ZIP, OLE, PARQUET_MARK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1"
DOCUMENTS = ((b"%PDF-", "PDF"), (b"HWP Document File", "HWP"), (b"{\\rtf", "RTF"))
ARCHIVES = (
    (b"PK\x05\x06", "ZIP"), (b"\x1f\x8b", "GZIP"), (b"7z\xbc\xaf\x27\x1c", "7Z"), (b"Rar!", "RAR"),
    (b"ALZ\x01", "ALZ"), (b"EGGA", "EGG"), (b"BZh", "BZIP2"), (b"\xfd7zXZ\x00", "XZ"),
    (b"\x28\xb5\x2f\xfd", "ZSTD"),
)  # fmt: skip
BINARIES = (
    (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"), (b"RIFF", "RIFF"), (b"SQLite format 3", "SQLite"), (b"\x7fELF", "ELF"),
    (b"\x89HDF", "HDF5"), (b"ARROW1", "Arrow"), (b"Obj\x01", "Avro"), (b"ID3", "MP3"),
)  # fmt: skip
LOCKS = (b"DRMONE", b"Fasoo DRM", b"NASCA DRM", b"SCDSA0", b"MarkAny", b"MARKANY", b"DOCUMENTSAFER")
"""What document security puts at the head of the files that it locks."""
LOCK_HEAD = 256
ZIPPED = (
    ("xl/workbook.xml", SHEET), ("xl/workbook.bin", "XLSB"), ("word/document.xml", "DOCX"),
    ("ppt/presentation.xml", "PPTX"), ("Contents/content.hpf", "HWPX"),
)  # fmt: skip
MIMES = (("hwp+zip", "HWPX"), ("opendocument.spreadsheet", "ODS"), ("opendocument.text", "ODT"))
STREAMS = (
    ("EncryptedPackage", "locked"), ("DRMContent", "drm"), ("\tDRMContent", "drm"),
    ("Workbook", SHEET), ("Book", SHEET), ("WordDocument", "DOC"), ("BodyText", "HWP"),
    ("PowerPoint Document", "PPT"),
)  # fmt: skip
SECTORS_READ = 200


def kind_of(path: Path) -> str:
    """Say what a file is: TEXT, SHEET or PARQUET.

    Raises: UserError `file_empty`, `file_drm`, `file_locked`, `file_document`, `file_archive`,
        `file_binary`, `sheet_broken`.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UserError("file_empty")
    if head.startswith(ZIP):
        return _zipped(path, head)
    if head.startswith(OLE):
        return _compound(path)
    if head.startswith(PARQUET_MARK):
        return PARQUET
    is_ascii = head[:LOCK_HEAD].isascii() and b"\0" not in head[:LOCK_HEAD]
    if any(mark in head[:16] or (mark in head[:LOCK_HEAD] and not is_ascii) for mark in LOCKS):
        raise UserError("file_drm")
    _refuse(head)
    return TEXT


def _refuse(head: bytes) -> None:
    for code, marks in (
        ("file_document", DOCUMENTS), ("file_archive", ARCHIVES), ("file_binary", BINARIES),
    ):  # fmt: skip
        for mark, kind in marks:
            if head.startswith(mark):
                raise UserError(code, kind=kind)


def _zipped(path: Path, head: bytes) -> str:
    """Raises: UserError `sheet_broken`, `file_document`, `file_archive`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.lstrip("/").replace("\\", "/") for name in archive.namelist()}
            mime = ""
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                mime = archive.read("mimetype").decode("ascii", "ignore")
    except Exception as error:  # zipfile lets struct's, zlib's and others' through
        if b"xl/" in head or b"[Content_Types].xml" in head:
            raise UserError("sheet_broken") from error
        raise UserError("file_archive", kind="ZIP") from error
    for name, kind in ZIPPED:
        if name.casefold() in {known.casefold() for known in names}:
            if kind == SHEET:
                return SHEET
            raise UserError("file_document", kind=kind)
    for part, kind in MIMES:
        if part in mime:
            raise UserError("file_document", kind=kind)
    raise UserError("file_archive", kind="ZIP")


def _compound(path: Path) -> str:
    """Tell apart what lies in an OLE compound file.

    Raises: UserError `file_locked`, `file_drm`, `file_document`.
    """
    names = _streams(path)
    for name, kind in STREAMS:
        if name in names:
            if kind == SHEET:
                return SHEET
            if kind in ("locked", "drm"):
                raise UserError(f"file_{kind}")
            raise UserError("file_document", kind=kind)
    raise UserError("file_document", kind="OLE")


def _streams(path: Path) -> set[str]:
    """Return the names in the directory of a compound file ([MS-CFB] 2.2, 2.6)."""
    names: set[str] = set()
    with path.open("rb") as file:
        head = file.read(512)
        if len(head) < 512:
            return names
        shift = struct.unpack_from("<H", head, 30)[0]
        size = 1 << (shift if shift in (9, 12) else 9)
        tables = struct.unpack_from("<109I", head, 76)
        sector = struct.unpack_from("<I", head, 48)[0]
        for _ in range(SECTORS_READ):
            file.seek((sector + 1) * size)
            entries = file.read(size)
            for at in range(0, len(entries) - 127, 128):
                length = struct.unpack_from("<H", entries, at + 64)[0]
                raw = entries[at : at + max(0, min(length, 64) - 2)]
                names.add(raw.decode("utf-16-le", "ignore"))
            table, place = divmod(sector, size // 4)
            if table >= len(tables) or tables[table] > 0xFFFFFFF0:
                break
            file.seek((tables[table] + 1) * size + 4 * place)
            following = file.read(4)
            if len(following) < 4 or (sector := struct.unpack("<I", following)[0]) > 0xFFFFFFF0:
                break
    return names
