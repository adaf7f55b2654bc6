"""Bins for a picture: none is lost, edges are round, a long tail has one bin of its own."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from training.datasets import bins

ROUND = {factor * 10**power for factor in (1, 2, 5) for power in range(9)}


def widths(edges: list[int]) -> list[int]:
    return [high - low for low, high in pairwise(edges)]


@pytest.mark.parametrize("seed", range(60))
def test_every_number_lies_in_one_of_at_most_forty_bins(seed):
    chance = random.Random(seed)
    spread, size = chance.choice((1, 5, 60, 4000)), chance.choice((1, 7, 90, 2500))
    numbers = [int(chance.lognormvariate(3, 1) * spread) for _ in range(size)]
    found = bins.of(Counter(numbers))
    edges = found["edges"]
    assert len(found["counts"]) == len(edges) - 1 <= bins.MOST
    for (low, high), count in zip(pairwise(edges), found["counts"], strict=True):
        assert count == sum(low <= number < high for number in numbers)
    assert sum(found["counts"]) == size and found["highest"] == max(numbers)


@pytest.mark.parametrize("seed", range(30))
def test_bins_are_round_and_alike_but_for_the_last(seed):
    chance = random.Random(seed)
    found = bins.of(Counter(int(chance.lognormvariate(5, 0.6)) for _ in range(800)))
    first, *others = widths(found["edges"])[:-1]
    assert set(others) <= {first} and first in ROUND
    assert all(edge % first == 0 for edge in found["edges"][:-1])


def test_a_few_far_above_all_others_share_the_last_bin():
    usual = Counter(range(100, 300))
    found = bins.of(usual + Counter({9_000: 1, 5_000: 2}))
    assert found["edges"][-1] == 9_001 and found["counts"][-1] == 3
    assert widths(found["edges"])[-1] > 100 * widths(found["edges"])[0]
    assert bins.of(usual)["edges"][-1] <= 310


@pytest.mark.parametrize("highest", range(95, 106))
def test_without_a_tail_all_bins_are_alike(highest):
    found = bins.of(Counter(range(highest + 1)))
    assert len(set(widths(found["edges"]))) == 1 and found["edges"][-1] > highest
    assert found["edges"][-2] <= highest


def test_few_different_numbers_have_a_bin_each():
    found = bins.of(Counter({1: 970, 2: 10, 3: 10, 5: 10}))
    assert found["edges"] == [1, 2, 3, 4, 5, 6] and found["counts"] == [970, 10, 10, 0, 10]


def test_few_examples_have_few_bins():
    assert len(bins.of(Counter(range(0, 4000, 100)))["counts"]) <= 13


def test_nothing_has_no_bins():
    assert bins.of(Counter()) == {"edges": [], "counts": [], "highest": 0}
    assert bins.at_share(Counter(), 0.5) == 0


def test_a_share_of_numbers_lies_at_or_below():
    numbers = Counter(range(1, 101))
    assert bins.at_share(numbers, 0.5) == 50 and bins.at_share(numbers, 0.95) == 95
    assert bins.at_share(Counter([7]), 0.5) == 7
