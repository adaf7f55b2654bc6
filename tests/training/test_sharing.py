"""What examples begin with in common is computed once, and changes nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.chat import IGNORED
from training.lm import trainable as lm
from training.trainer import batch, sharing


def corpus(rows: list[tuple[list[int], int]]) -> batch.Corpus:
    """Each row is its ids and where its answer begins."""
    labels = [[IGNORED] * first + ids[first:] for ids, first in rows]
    return batch.Corpus(
        np.concatenate([ids for ids, _ in rows]).astype(np.int32),
        np.concatenate(labels).astype(np.int32),
        np.cumsum([0] + [len(ids) for ids, _ in rows]),
        np.arange(len(rows)),
    )


SYSTEM = list(range(10, 40))
TASK = [*SYSTEM, *range(50, 70)]


def test_examples_with_the_same_instruction_are_one_family():
    made = corpus([([*TASK, 100 + n, 7, 8], 51) for n in range(4)])
    assert sharing.families(made, [2, 0, 3, 1]) == [(50, [0, 1, 2, 3])]


def test_families_are_split_where_that_saves_more():
    one = [([*TASK, 100 + n, 7], 51) for n in range(4)]
    other = [([*SYSTEM, *range(200, 230), 100 + n, 7], 61) for n in range(4)]
    found = sharing.families(corpus(one + other), list(range(8)))
    assert sorted(found) == [(50, [0, 1, 2, 3]), (60, [4, 5, 6, 7])]


def test_the_last_token_before_an_answer_is_each_ones_own():
    """What it must tell differs."""
    made = corpus([([*TASK, 90 + n], len(TASK)) for n in range(3)])
    assert sharing.families(made, [0, 1, 2]) == [(len(TASK) - 1, [0, 1, 2])]


def test_nothing_is_shared_where_it_is_not_worth_it():
    made = corpus([([1, 2, 3, n, n, 9], 5) for n in range(3)])
    assert [shared for shared, _ in sharing.families(made, [0, 1, 2])] == [0, 0, 0]


rows_of = st.lists(
    st.tuples(
        st.integers(0, 2), st.lists(st.integers(3, 8), max_size=12), st.lists(st.integers(3, 8), min_size=1, max_size=4)
    ),
    min_size=1, max_size=9,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows_of)
def test_every_example_comes_once_and_shares_only_what_is_the_same(drawn):
    heads = ([], SYSTEM, TASK)
    rows = [
        ([*heads[kind], *own, 5, *answer], len(heads[kind]) + len(own) + 1)
        for kind, own, answer in drawn
    ]
    made = corpus(rows)
    found = sharing.families(made, list(range(len(rows))))
    assert sorted(index for _, members in found for index in members) == list(range(len(rows)))
    for shared, members in found:
        beginnings = {tuple(rows[index][0][:shared]) for index in members}
        assert len(beginnings) == 1
        assert all(shared < rows[index][1] for index in members)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_sharing_changes_neither_loss_nor_gradients(tiny_base, monkeypatch, method):
    monkeypatch.setattr(lm, "training_dtype", lambda: torch.float32)
    rows = [([*TASK, 100 + n, 7, 8 + n, 9], 52) for n in range(3)]
    rows += [([*SYSTEM, 77, 78 + n, 5], 31) for n in range(3)] + [([3, 4, 5, 6], 2)]
    made = corpus(rows)

    def measure(shares: bool):
        trainable = lm.prepare(tiny_base, method, rank=4, alpha=8, seed=0)
        (pack,) = batch.packs(made, np.arange(len(rows)), 4096, shares)
        loss = trainable.learn(pack, 1.0)
        return pack, loss, {n: p.grad for n, p in trainable.parameters()}

    whole, expected, gradients = measure(False)
    shared, loss, found = measure(True)
    assert shared.ids_1T.shape[1] < whole.ids_1T.shape[1] - 100
    assert shared.tokens == whole.tokens == len(made.ids)
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
