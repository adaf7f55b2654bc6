"""Segments: written once, read by row number or in order, and never half there."""

import hashlib
import json
import struct

import pytest

from training.chat import Example, Message
from training.datasets import segments, store
from training.datasets.segments import Writer
from training.datasets.shapes import Problem


def example(number: int) -> Example:
    answer = f'답변 "{number}"\n\\ \u2028 \x01'
    return Example((Message("user", f"질문 {number}"), Message("assistant", answer)))


def write(folder, count: int, problems: int = 0):
    with Writer(folder, segment_rows=10) as writer:
        for number in range(count):
            writer.add(example(number))
        for number in range(problems):
            writer.add_problem(Problem(number + 1, "answer_empty", {"n": number}, "행"))
    return writer


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 35])
def test_what_is_written_is_read_in_order(tmp_path, count):
    write(tmp_path, count)
    assert list(store.iterate(tmp_path)) == [example(number) for number in range(count)]
    assert segments.manifest(tmp_path).rows == count


@pytest.mark.parametrize(
    ("start", "count", "rows"),
    [
        (0, 3, range(3)),
        (8, 5, range(8, 13)),
        (9, 25, range(9, 34)),
        (34, 10, range(34, 35)),
        (35, 10, range(0)),
        (-5, 2, range(2)),
        (10, 0, range(0)),
    ],
)
def test_a_page_is_read_wherever_it_lies(tmp_path, start, count, rows):
    write(tmp_path, 35)
    assert store.examples(tmp_path, start, count) == [example(number) for number in rows]


def test_offsets_are_little_endian_and_point_at_the_rows(tmp_path):
    write(tmp_path, 12)
    raw = (tmp_path / "segment-0001.offsets").read_bytes()
    lines = (tmp_path / "segment-0001.jsonl").read_bytes()
    first, second = struct.unpack("<2Q", raw)
    assert json.loads(lines[first:second]) == example(10).as_dict()
    assert json.loads(lines[second:]) == example(11).as_dict()


def test_the_fingerprint_is_the_hash_of_the_segments_hashes(tmp_path):
    write(tmp_path, 12)
    found = segments.manifest(tmp_path)
    hashes = [
        hashlib.sha256((tmp_path / f"{segment.name}.jsonl").read_bytes()).hexdigest()
        for segment in found.segments
    ]
    assert [segment.sha256 for segment in found.segments] == hashes
    assert found.fingerprint == hashlib.sha256("".join(hashes).encode()).hexdigest()


def test_the_same_examples_have_the_same_fingerprint(tmp_path):
    write(tmp_path / "a", 12)
    write(tmp_path / "b", 12)
    write(tmp_path / "c", 13)
    found = [segments.manifest(tmp_path / name).fingerprint for name in "abc"]
    assert found[0] == found[1] != found[2]


def test_problems_are_paged_and_all_counted_but_not_all_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "PROBLEM_LIMIT", 5)
    writer = write(tmp_path, 1, problems=8)
    assert writer.problem_count == 8
    assert segments.problems(tmp_path, 3, 10) == [
        {"line": number + 1, "code": "answer_empty", "params": {"n": number}, "row": "행"}
        for number in (3, 4)
    ]


def test_a_folder_without_problems_has_none(tmp_path):
    assert segments.problems(tmp_path, 0, 10) == []


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Writer(tmp_path, segment_rows=2) as writer:
        for number in range(5):
            writer.add(example(number))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_until_the_manifest_is_there_nothing_is(tmp_path):
    writer = Writer(tmp_path, segment_rows=2)
    for number in range(5):
        writer.add(example(number))
    with pytest.raises(FileNotFoundError):
        store.examples(tmp_path, 0, 1)
    writer.close()
    assert len(store.examples(tmp_path, 0, 10)) == 5


def test_a_new_writer_starts_over(tmp_path):
    write(tmp_path, 35, problems=2)
    (tmp_path / "segment-0009.jsonl.part").write_text("left by a crash")
    (tmp_path / "raw").write_text("kept")
    write(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json", "problems.jsonl", "raw", "segment-0000.jsonl", "segment-0000.offsets",
    ]  # fmt: skip
    assert len(store.examples(tmp_path, 0, 100)) == 3
    assert segments.problems(tmp_path, 0, 10) == []
