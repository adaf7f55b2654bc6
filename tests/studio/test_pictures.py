"""Coordinates of histograms and bars."""

from collections import Counter

import pytest
from django.template.loader import render_to_string

from studio import pictures
from training.datasets import bins

PLAIN = {"edges": [0, 10, 20, 30], "counts": [2, 8, 4], "highest": 29}
TAILED = {"edges": [0, 10, 20, 30, 901], "counts": [2, 8, 4, 1], "highest": 900}


def percent(text: str) -> float:
    return float(text.removesuffix("%"))


def test_bars_stand_side_by_side_and_are_as_high_as_they_count():
    found = pictures.histogram(PLAIN)
    assert [bar.x for bar in found.bars] == ["0.00%", "33.33%", "66.67%"]
    assert [bar.width for bar in found.bars] == ["33.33%"] * 3
    assert [bar.height for bar in found.bars] == ["25.00%", "100.00%", "50.00%"]
    assert all(percent(bar.y) + percent(bar.height) == 100 for bar in found.bars)
    assert found.highest == 8 and found.line is None


def test_what_lies_above_the_line_is_marked_and_its_bar_is_two():
    found = pictures.histogram(PLAIN, line=14)
    assert [bar.is_over for bar in found.bars] == [False, False, True, True]
    assert percent(found.line.x) == percent(found.bars[2].x) == 50
    assert found.bars[1].height == found.bars[2].height
    at_an_edge = pictures.histogram(PLAIN, line=19)
    assert [bar.is_over for bar in at_an_edge.bars] == [False, False, True]
    assert at_an_edge.line.x == "66.67%"


def test_a_line_above_all_numbers_is_not_drawn():
    for line in (29, 30, 5000):
        found = pictures.histogram(PLAIN, line=line)
        assert found.line is None and not any(bar.is_over for bar in found.bars)


def test_a_line_below_all_numbers_stands_at_the_left():
    found = pictures.histogram({"edges": [100, 110], "counts": [5], "highest": 104}, line=16)
    assert found.line.x == "0.00%" and found.line.number == 16
    assert all(bar.is_over for bar in found.bars)


def test_a_tail_stands_apart_and_ends_with_the_highest_number():
    found = pictures.histogram(TAILED, line=500)
    left, last = found.bars[2], found.bars[-1]
    gap = percent(found.bars[3].x) - percent(left.x) - percent(left.width)
    assert gap == pytest.approx(0.6 * percent(left.width), abs=0.05)
    assert percent(last.x) + percent(last.width) == pytest.approx(100, abs=0.02)
    assert last.is_over and not left.is_over
    assert (found.ticks[-1].number, found.ticks[-1].x, found.ticks[-1].anchor) == (
        900,
        "100%",
        "end",
    )
    assert found.bins[-1].label == "30–900"


def test_a_bar_of_one_beside_thousands_can_be_seen():
    found = pictures.histogram({"edges": [0, 1, 2], "counts": [9000, 1], "highest": 1})
    assert found.bars[1].height == "1.50%"


def test_an_empty_bin_has_no_bar_but_a_line_in_the_table():
    found = pictures.histogram({"edges": [0, 1, 2, 3], "counts": [4, 0, 4], "highest": 2})
    assert len(found.bars) == 2 and [one.count for one in found.bins] == [4, 0, 4]
    assert [one.label for one in found.bins] == ["0", "1", "2"]


def test_ticks_are_round_and_few():
    found = pictures.histogram(bins.of(Counter(range(37, 3950, 3))))
    numbers = [tick.number for tick in found.ticks]
    assert numbers == [0, 1000, 2000, 3000, 4000]
    assert (found.ticks[0].anchor, found.ticks[1].anchor) == ("start", "middle")


def test_single_numbers_are_named_in_the_middle_of_their_bars():
    found = pictures.histogram({"edges": [1, 2, 3], "counts": [5, 5], "highest": 2})
    assert [(tick.number, tick.x) for tick in found.ticks] == [(1, "25.00%"), (2, "75.00%")]


def test_nothing_has_no_picture():
    assert pictures.histogram(bins.of(Counter())) is None


def test_labelled_bars_go_by_the_longest_and_shares_by_all():
    rows = pictures.bars([("예", 6), ("아니요", 2)])
    assert [(row.label, row.width, row.share) for row in rows] == [
        ("예", "100.00%", 0.75), ("아니요", "33.33%", 0.25),
    ]  # fmt: skip
    assert pictures.bars([]) == [] and pictures.bars([("없음", 0)])[0].width == "0.00%"


def test_a_histogram_says_in_words_and_in_a_table_what_it_shows():
    page = render_to_string(
        "_histogram.html",
        {
            "picture": pictures.histogram(TAILED, line=14), "key": "turns", "unit": "번",
            "counted": "대화 수", "sentence": "대화 절반은 12번 이하입니다.", "line_words": "한계 14",
        },
    )  # fmt: skip
    assert 'role="img" aria-labelledby="turns-caption"' in page
    assert '<figcaption id="turns-caption">대화 절반은 12번 이하입니다.</figcaption>' in page
    assert page.count('<tr><th scope="row"') == 4 and "30–900" in page
    assert page.count("<rect") == page.count("<title>") == 5
    assert 'style="' not in page and ">한계 14</text>" in page


def test_labelled_bars_are_a_table(db):
    rows = pictures.bars([("<b>예</b>", 6), ("아니요", 2)])
    words = {"rows": rows, "caption": "답변", "named": "답변", "counted": "예제 수"}
    page = render_to_string("_bars.html", words)
    assert "&lt;b&gt;예" in page and 'width="33.33%"' in page and "25 %" in page
    assert page.count('aria-hidden="true"') == 2 and 'style="' not in page
