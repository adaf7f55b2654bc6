"""Rows with edits laid over them: whatever is done, they are what a plain list would be."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.chat import Example, Message
from training.datasets import store
from training.datasets.segments import Writer


def example(text: str) -> Example:
    return Example((Message("user", f"질문 {text}"), Message("assistant", f'"답"\n{text}')))


def write(folder: Path, count: int) -> Path:
    with Writer(folder, segment_rows=4) as writer:
        for number in range(count):
            writer.add(example(str(number)))
    return folder


def texts(folder: Path) -> list[str]:
    return [one.messages[0].content.removeprefix("질문 ") for one in store.iterate(folder)]


def test_a_replaced_row_is_read_in_its_place_and_its_segment_stays_as_it_was(tmp_path):
    write(tmp_path, 10)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("segment-*")}
    store.replace(tmp_path, 5, example("new"))
    assert texts(tmp_path)[4:7] == ["4", "new", "6"]
    assert store.examples(tmp_path, 5, 1) == [example("new")]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("segment-*")} == before


def test_a_removed_row_is_passed_over_and_can_come_back(tmp_path):
    write(tmp_path, 10)
    assert store.remove(tmp_path, [0, 5, 9, 5, 77]) == 3
    assert texts(tmp_path) == ["1", "2", "3", "4", "6", "7", "8"]
    assert [row.position for row in store.view(tmp_path).rows(3, 3)] == [4, 6, 7]
    store.restore(tmp_path, 5)
    assert texts(tmp_path)[4] == "5"


def test_rows_are_added_behind_the_last_one_and_can_be_edited_too(tmp_path):
    write(tmp_path, 3)
    assert store.add(tmp_path, [example("a"), example("b")]) == [3, 4]
    store.replace(tmp_path, 4, example("c"))
    store.remove(tmp_path, [3])
    assert texts(tmp_path) == ["0", "1", "2", "c"]
    assert len(store.view(tmp_path)) == 4


def test_a_row_that_is_not_there_cannot_be_replaced(tmp_path):
    write(tmp_path, 3)
    store.remove(tmp_path, [1])
    for position in (-1, 1, 3):
        with pytest.raises(IndexError):
            store.replace(tmp_path, position, example("x"))


def test_half_a_line_left_by_a_crash_counts_for_nothing(tmp_path):
    write(tmp_path, 3)
    store.replace(tmp_path, 0, example("whole"))
    with (tmp_path / store.CHANGES).open("ab") as file:
        file.write(b'{"at":1,"messages":[{"ro')
    assert texts(tmp_path) == ["whole", "1", "2"]
    store.replace(tmp_path, 2, example("next"))
    assert texts(tmp_path) == ["whole", "1", "next"]


def test_an_edit_in_many_rows_costs_no_more_than_itself(tmp_path):
    write(tmp_path / "one", 5_000)
    store.branch(tmp_path / "one", tmp_path / "two")
    store.replace(tmp_path / "two", 4_321, example("new"))
    own = [path for path in (tmp_path / "two").iterdir() if path.stat().st_nlink == 1]
    segments = json.loads((tmp_path / "two" / "manifest.json").read_bytes())["segments"]
    beside_manifest = [path for path in own if path.name != "manifest.json"]
    assert len(segments) == 1_250
    assert sum(path.stat().st_size for path in beside_manifest) < 1_000


def test_a_branch_goes_its_own_way(tmp_path):
    write(tmp_path / "one", 6)
    store.remove(tmp_path / "one", [0])
    store.branch(tmp_path / "one", tmp_path / "two")
    store.replace(tmp_path / "two", 1, example("two"))
    store.replace(tmp_path / "one", 2, example("one"))
    assert texts(tmp_path / "one") == ["1", "one", "3", "4", "5"]
    assert texts(tmp_path / "two") == ["two", "2", "3", "4", "5"]


def test_a_branch_shares_no_file_that_changes_and_leaves_nothing_half_written(tmp_path):
    write(tmp_path / "one", 300)
    store.remove(tmp_path / "one", range(200))
    store.replace(tmp_path / "one", 250, example("x"))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "gone.part").write_bytes(b"half")  # of a branching that was cut short
    store.branch(tmp_path / "one", tmp_path / "two")
    for name in (store.CHANGES, store.GONE, store.MANIFEST):
        one, two = (tmp_path / place / name for place in ("one", "two"))
        assert one.read_bytes() == two.read_bytes() and not one.samefile(two)
    assert not list((tmp_path / "two").glob("*.part"))
    assert texts(tmp_path / "two") == texts(tmp_path / "one")


def test_many_rows_removed_at_once_join_those_that_are_gone(tmp_path):
    write(tmp_path, 400)
    store.remove(tmp_path, range(0, 300, 2))
    store.remove(tmp_path, [1, 3])
    assert store.remove(tmp_path, range(301)) == 149
    assert texts(tmp_path) == [str(number) for number in range(301, 400)]


def test_the_fingerprint_follows_the_rows(tmp_path):
    write(tmp_path, 6)
    found = {store.fingerprint(tmp_path)}
    for change in (
        lambda: store.replace(tmp_path, 1, example("x")),
        lambda: store.remove(tmp_path, [2]),
        lambda: store.keep_only(tmp_path, [0, 1, 4, 5]),
        lambda: store.add(tmp_path, [example("y")]),
    ):
        change()
        found.add(store.fingerprint(tmp_path))
    assert len(found) == 5


def test_too_many_changes_ask_for_a_version_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHANGE_LIMIT", 3)
    write(tmp_path, 6)
    for number in range(3):
        store.replace(tmp_path, number, example("x"))
    with pytest.raises(store.TooManyChanges):
        store.replace(tmp_path, 4, example("x"))
    assert texts(tmp_path) == ["x", "x", "x", "3", "4", "5"]


def test_words_are_found_whatever_their_case_and_however_json_writes_them(tmp_path):
    with Writer(tmp_path) as writer:
        for text in ('"따옴표"', "Apple 사과", "role", "줄\n바꿈"):
            writer.add(Example((Message("user", text), Message("assistant", "네"))))
    store.remove(tmp_path, [0])

    def found(words, start=0, count=9):
        rows, total = store.search(tmp_path, words, start, count)
        return [row.position for row in rows], total

    assert found("apple") == ([1], 1)
    assert found("따옴표") == ([], 0)
    assert found("role") == ([2], 1)  # a key is no word of anybody's
    assert found("줄\n바") == ([3], 1)
    assert found("네", 1, 1) == ([2], 3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 12),
    st.lists(
        st.tuples(
            st.sampled_from(["replace", "remove", "restore", "add", "bulk"]), st.integers(0, 20)
        ),
        max_size=25,
    ),
    st.integers(0, 15),
    st.integers(0, 15),
)
def test_rows_are_what_a_plain_list_would_be(count, edits, start, size):
    with TemporaryDirectory() as name:
        folder = write(Path(name), count)
        told = {number: str(number) for number in range(count)}
        gone: set[int] = set()
        for step, (verb, position) in enumerate(edits):
            is_live = position in told and position not in gone
            if verb == "add":
                (new,) = store.add(folder, [example(f"+{step}")])
                told[new] = f"+{step}"
            elif verb == "remove" and is_live:
                store.remove(folder, [position])
                gone.add(position)
            elif verb == "bulk":
                store.keep_only(folder, {one for one in told if one >= position} - gone)
                gone |= {one for one in told if one < position}
            elif verb == "restore" and position in gone:
                store.restore(folder, position)
                gone.discard(position)
            elif verb == "replace" and is_live:
                store.replace(folder, position, example(f"={step}"))
                told[position] = f"={step}"
        live = [position for position in sorted(told) if position not in gone]
        assert texts(folder) == [told[position] for position in live]
        view = store.view(folder)
        assert len(view) == len(live)
        found = view.rows(start, size)
        assert [row.position for row in found] == live[start : start + size]
        assert [row.example for row in found] == [
            example(told[position]) for position in live[start : start + size]
        ]
        assert [view.number(position) for position in live] == [*range(len(live))]
