"""What a limit leaves of the examples is exactly what training makes of them."""

import random

import pytest

from training.chat import Encoded, Example, Message, Renderer
from training.datasets import lengths, segments
from training.datasets.lengths import Tally
from training.trainer import batch

LIMITS = (1, 16, 17, 40, 64, 100, 150, 400, 100_000)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    chance = random.Random(11)

    def text() -> str:
        return " ".join(chance.choices(["비가", "옵니다", "서울", "오늘"], k=chance.randint(1, 40)))

    def talk(turns: int) -> Example:
        roles = ("user", "assistant") * turns
        return Example(tuple(Message(role, text()) for role in roles))

    return [talk(chance.choice((1, 1, 1, 2, 3))) for _ in range(150)]


@pytest.fixture(scope="module")
def folder(examples, tmp_path_factory):
    found = tmp_path_factory.mktemp("examples")
    with segments.Writer(found) as writer:
        for example in examples:
            writer.add(example)
    return found


@pytest.fixture(scope="module")
def result(examples, tiny_base) -> dict:
    tally = Tally()
    for encoded in Renderer.of(tiny_base).encode_many(examples):
        tally.add(encoded)
    return tally.result()


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("overflow", ["cut", "drop"])
def test_a_limit_is_answered_as_training_takes_it(folder, result, tiny_base, limit, overflow):
    corpus = batch.read(folder, Renderer.of(tiny_base), limit, overflow)
    kept = lengths.kept(result, limit, drops=overflow == "drop")
    assert kept.used == len(corpus) and kept.tokens == len(corpus.ids)
    assert kept.longest_used == max(map(corpus.length, range(len(corpus))), default=0)
    assert kept.examples - kept.used == corpus.lost
    if overflow == "cut":
        assert (kept.over, kept.lost) == (corpus.cut, corpus.lost)
        assert kept.trimmed == corpus.cut - corpus.lost
    else:
        assert (kept.over, kept.lost, kept.trimmed) == (corpus.lost, 0, 0)


def test_the_facts_are_those_of_every_example_encoded_by_itself(examples, result, tiny_base):
    encoded = [Renderer.of(tiny_base).encode(example) for example in examples]
    found = sorted(len(one.ids) for one in encoded)
    assert (result["count"], result["tokens"], result["longest"]) == (150, sum(found), found[-1])
    assert result["median"] == found[74] and result["usual"] == found[142]
    assert sum(result["bins"]["counts"]) == 150
    answers = [end - start for one in encoded for start, end in one.answers()]
    told = sum(message.role == "assistant" for example in examples for message in example.messages)
    assert result["answers"]["count"] == told == sum(result["answers"]["bins"]["counts"])
    assert result["answers"]["tokens"] == sum(answers)
    assert result["answers"]["longest"] == max(answers)


def test_an_example_whose_only_trained_token_is_its_first_is_left_out():
    """The trainer leaves it out, since that token has nothing before it to be told from."""
    tally = Tally()
    tally.add(Encoded([5], [5]))
    tally.add(Encoded([5, 6], [-100, -100]))
    tally.add(Encoded([5, 6, 7], [5, 6, -100]))
    kept = lengths.kept(tally.result(), 100)
    assert (kept.examples, kept.used, kept.lost, kept.tokens) == (3, 1, 2, 3)
    assert lengths.kept(tally.result(), 1).used == 0
    assert lengths.kept(tally.result(), 1).over == 2


def test_of_no_examples_nothing_is_left():
    kept = lengths.kept(Tally().result(), 10)
    assert (kept.examples, kept.over, kept.used, kept.longest_used) == (0, 0, 0, 0)
