"""Conversations of several records: whose a record is, is seen the same way at both readings."""

from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets import names, talks
from training.datasets.shapes import Meaning, Mistake

HEADER = ("C_ID", "T_ID", "Text", "Completion")
CELLS = st.sampled_from(["", " ", "1", "1 ", "2", "가", "각", "\udc80", "\0", 1, 2.5, None, ["x"]])
ROWS = st.tuples(
    st.lists(CELLS, min_size=0, max_size=4),
    st.booleans(),
    st.sampled_from([None, "cells_too_many"]),
)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(ROWS, max_size=8))
def test_the_first_reading_sees_the_conversations_that_the_second_makes(rows):
    known = names.shape(HEADER)
    assert known
    meaning = Meaning(known, HEADER, set())
    records = [
        (line, cells if mistake else (cells + [""] * 4)[:4], meaning if is_meant else None,
         Mistake(mistake) if mistake else None, str)
        for line, (cells, is_meant, mistake) in enumerate(rows)
    ]  # fmt: skip
    made = [turn.conversation for turn in talks.turns(records, set())]
    assert list(talks._names(records)) == made
