"""Files made to hurt: whatever the bytes, memory and disk stay bounded and only names come out."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.datasets.test_child import order
from tests.datasets.test_kinds import compound
from training.chat import Example
from training.datasets.read import Reader
from training.datasets.shapes import Problem
from training.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20


def child(folder: Path) -> tuple[list[dict], int]:
    """Read a folder in a process of its own; return what it said and its peak memory in MB."""
    code = (
        "import pathlib, sys; from training.datasets import child;"
        "child.bound(); child.carry_out(lambda: child.run(pathlib.Path(sys.argv[1])));"
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    *said, peak = done.stdout.splitlines()
    return [json.loads(line) for line in said], int(peak) // 1024


def sparse(path: Path, head: bytes, size: int, fill: bytes, tail: bytes = b"") -> None:
    with path.open("wb") as file:
        file.write(head)
        for _ in range(size // MEGABYTE):
            file.write(fill * (MEGABYTE // len(fill)))
        file.write(tail)


GOOD = b'{"prompt": "a", "completion": "b"}\n'


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("head", "fill", "tail", "codes"),
    [
        (GOOD + b'{"prompt": "', b"x", b'"}\n' + GOOD, ["line_too_long"]),
        (GOOD, b'{"a":', b"\n" + GOOD, ["line_too_long"]),
        (b"prompt,completion\na,", b"x", b"\nc,d\n", "line_too_long"),
        (b'prompt,completion\na,"', b"x\n", b"", "quote_open"),
        (b"", b",", b"", "line_too_long"),
    ],
)
def test_a_line_without_an_end_fills_no_memory(tmp_path, head, fill, tail, codes):
    folder = order(tmp_path / "v")
    sparse(folder / "raw", head, 150 * MEGABYTE, fill, tail)
    said, peak = child(folder)
    if isinstance(codes, str):
        assert said[-1]["code"] == codes
    else:
        assert said[-1]["examples"] == 2
        told = (folder / "problems.jsonl").read_text().splitlines()
        assert [json.loads(line)["code"] for line in told] == codes
    assert peak < 500


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_bomb_in_a_workbook_leaves_nothing_on_disk(tmp_path):
    folder = order(tmp_path / "v")
    book = openpyxl.Workbook()
    book.active.append(["질문", "답변"])
    book.save(folder / "raw")
    with zipfile.ZipFile(folder / "raw", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/extra.xml", b"<a>" * (30 * MEGABYTE))
    said, peak = child(folder)
    assert said[-1]["code"] == "sheet_too_big"
    assert peak < 100
    assert {path.name for path in folder.iterdir()} == {"raw", "order.json"}


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"a":[' * 50_000])
def test_deep_json_is_named(tmp_path, content):
    (tmp_path / "raw").write_bytes(content)
    try:
        found = list(Reader(tmp_path / "raw"))
    except UserError as error:
        assert error.code in ("columns_unknown", "records_none")
    else:
        assert {one.code for one in found} <= {"json_unreadable"}


def workbook() -> bytes:
    raw = io.BytesIO()
    book = openpyxl.Workbook()
    for row in (["질문", "답변"], ["a", 1.5], ["c", True]):
        book.active.append(row)
    book.save(raw)
    return raw.getvalue()


def parquet() -> bytes:
    raw = io.BytesIO()
    table = pyarrow.table({"prompt": ["a", None, "c"], "completion": ["b", "c", "d"]})
    pyarrow.parquet.write_table(table, raw)
    return raw.getvalue()


SEEDS = [workbook(), parquet(), compound("Workbook"), compound("Book", "a", "b", "c")]


@st.composite
def damaged(draw) -> bytes:
    """Return a real file with some bytes changed, or cut off."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 12))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return (
        bytes(content[: draw(st.integers(0, len(content)))])
        if draw(st.booleans())
        else bytes(content)
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=damaged())
@example(content=SEEDS[0])
@example(content=SEEDS[1])
def test_damaged_files_are_read_or_named(tmp_path, content):
    (tmp_path / "raw").write_bytes(content)
    try:
        found = list(Reader(tmp_path / "raw"))
    except UserError as error:
        json.dumps(error.as_dict()).encode()
        return
    for one in found:
        assert isinstance(one, (Example, Problem))
