"""A recipe goes out as a file and comes in again; what is wrong with one is said by name."""

import json

import pytest

from training import recipe_file
from training.models import Job
from training.recipe_file import Unusable

GOOD = {"dadeum_recipe": 1, "method": "lora", "base": "tiny", "settings": {"epochs": 4}}


def raw(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def codes(said: bytes, method: str = "lora") -> list[str]:
    with pytest.raises(Unusable) as unusable:
        recipe_file.read(said, method)
    return [error.code for error in unusable.value.errors]


def test_what_a_job_ran_with_comes_back_as_it_was():
    numbers = {"epochs": 3, "learning_rate": 2e-4, "max_length": 512, "lora_rank": 16, "seed": 42}
    job = Job(method="lora", base="tiny", overflow="drop", knobs={"epochs": 3}, resolved=numbers)
    found = recipe_file.read(recipe_file.write(job).encode(), "lora")
    assert (found.knobs, found.overflow, found.base) == (numbers, "drop", "tiny")


def test_a_job_that_never_got_in_line_gives_what_was_chosen():
    said = json.loads(recipe_file.write(Job(method="full", base="tiny", knobs={"seed": 7})))
    assert said["settings"] == {"seed": 7}


def test_nothing_of_the_data_or_the_owner_goes_out():
    said = json.loads(recipe_file.write(Job(name="비밀", method="lora", base="tiny")))
    assert said.keys() == {"dadeum_recipe", "method", "base", "settings", "overflow"}


def test_what_is_missing_is_left_to_us():
    found = recipe_file.read(b'\xef\xbb\xbf{"dadeum_recipe": 1, "method": "full"}', "full")
    assert (found.knobs, found.overflow, found.base) == ({}, "cut", "")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "recipe_unreadable"),
        (b"{'epochs': 3}", "recipe_unreadable"),
        (b"\xff\xfe\x00", "recipe_unreadable"),
        (b"[" * 60_000, "recipe_unreadable"),
        (b"[]", "recipe_foreign"),
        (b'{"epochs": 3}', "recipe_foreign"),
        (raw(dadeum_recipe=2), "recipe_newer"),
        (raw(settings=[]), "recipe_shape"),
        (raw(base=None), "recipe_shape"),
        (raw(method=["lora"]), "recipe_shape"),
        (raw(method="magic"), "recipe_choice"),
        (raw(method="full"), "recipe_other_method"),
        (raw(colour="red"), "recipe_key"),
        (raw(settings={"lora_rnk": 4}), "recipe_key"),
        (raw(settings={"epochs": 51}), "number_wrong"),
        (raw(settings={"batch_size": 0}), "number_wrong"),
        (raw(settings={"seed": "NaN"}), "number_wrong"),
        (raw(settings={"epochs": [3]}), "number_wrong"),
        (raw(overflow="burn"), "recipe_choice"),
    ],
)
def test_each_mistake_has_its_name(said, code):
    assert codes(said) == [code]


def test_all_mistakes_are_said_at_once():
    wrong = raw(colour="red", overflow="burn", settings={"epochs": 0.5, "batch_size": 999})
    assert codes(wrong) == ["recipe_key", "recipe_choice", "number_wrong", "number_wrong"]


def test_the_other_methods_numbers_are_no_mistakes_of_their_own():
    assert codes(raw(settings={"lora_rank": 4}), method="full") == ["recipe_other_method"]
