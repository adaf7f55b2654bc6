"""Knobs: bounds, auto rules, steps."""

import pytest

from training import recipe


@pytest.mark.parametrize(
    ("examples", "epochs"),
    [
        (1, 25),
        (40, 25),
        (41, 25),
        (42, 24),
        (200, 5),
        (300, 4),
        (333, 4),
        (334, 3),
        (8333, 3),
        (10_000, 2),
        (1_000_000, 1),
    ],
)
def test_automatic_epochs_follow_the_rule(examples, epochs):
    assert recipe.automatic_epochs(examples) == epochs


@pytest.mark.parametrize(
    ("parameters", "lora"),
    [(10_000, 1e-3), (134_515_008, 1e-3), (494_000_000, 6e-4), (1_720_000_000, 4e-4),
     (7_000_000_000, 2e-4), (0, 2e-4), (13_000_000_000, 2e-4), (33_000_000_000, 1e-4)],
)  # fmt: skip
def test_small_bases_get_high_learning_rates_up_to_five_times_the_usual(parameters, lora):
    assert recipe.automatic_learning_rate("lora", parameters) == lora
    assert recipe.automatic_learning_rate("full", parameters) == pytest.approx(lora / 10)


def test_auto_takes_the_rate_of_the_base_and_a_written_one_wins():
    facts = {"examples": 300, "context_length": 512, "parameters": 134_515_008}
    assert recipe.resolve("lora", {}, **facts)["learning_rate"] == 1e-3
    assert recipe.resolve("lora", {"learning_rate": 3e-5}, **facts)["learning_rate"] == 3e-5


@pytest.mark.parametrize("value", ["", "auto", "자동", None])
def test_nothing_and_auto_mean_auto(value):
    raw = {} if value is None else {"epochs": value, "batch_size": value, "learning_rate": value}
    assert recipe.parse("lora", raw) == {}


@pytest.mark.parametrize("nought", ["0", "0.0", "0,0", "00", "0개", 0, 0.0])
def test_nought_is_refused_where_it_is_out_of_bounds_and_taken_where_it_is_not(nought):
    """A batch size of 0 once passed for auto, silently."""
    above = {knob.key for knob in recipe.knobs_of("lora") if knob.low > 0}
    for key in above:
        with pytest.raises(recipe.Invalid) as caught:
            recipe.parse("lora", {key: nought})
        assert set(caught.value.errors) == {key}
    for key in {knob.key for knob in recipe.knobs_of("lora")} - above if nought != "0개" else ():
        assert recipe.parse("lora", {key: nought}) == {key: 0}


def test_values_are_read_as_numbers():
    raw = {"epochs": "3", "batch_size": "16", "learning_rate": "1e-4", "max_length": "1,024"}
    assert recipe.parse("lora", raw) == {
        "epochs": 3, "batch_size": 16, "learning_rate": 1e-4, "max_length": 1024
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "text", "number"),
    [
        ("learning_rate", "0,0002", 2e-4), ("learning_rate", "0.0002", 2e-4),
        ("epochs", "3번", 3), ("epochs", "3 회", 3), ("epochs", "1회", 1), ("batch_size", "8개", 8),
        ("max_length", "2,048토큰", 2048), ("max_length", "131,072", 131_072),
        ("warmup_ratio", "5 %", 0.05), ("validation_share", "0,1", 0.1),
    ],
)  # fmt: skip
def test_what_can_mean_one_thing_only_is_taken(key, text, number):
    assert recipe.parse("lora", {key: text}) == {key: number}


@pytest.mark.parametrize(
    ("key", "text"),
    [("epochs", "1,5"), ("epochs", "3개"), ("epochs", "5 %"), ("learning_rate", "1,2,3"),
     ("max_length", "20,48"), ("seed", "번")],
)  # fmt: skip
def test_what_could_mean_something_else_is_not(key, text):
    with pytest.raises(recipe.Invalid):
        recipe.parse("lora", {key: text})


def test_bounds_are_written_without_exponents_and_the_sound_ones_are_kept():
    with pytest.raises(recipe.Invalid) as caught:
        recipe.parse("lora", {"learning_rate": "1", "epochs": "3"})
    text = str(caught.value.errors["learning_rate"])
    assert "0.0000001에서 0.1 사이의 숫자를 쓰거나 비워 두세요" in text
    assert caught.value.sound == {"epochs": 3}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", "51"), ("epochs", "1.5"), ("epochs", "셋"), ("batch_size", "-1"),
        ("learning_rate", "1"), ("learning_rate", "nan"), ("learning_rate", "inf"),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_names_the_knob_and_its_bounds(key, value):
    with pytest.raises(recipe.Invalid) as caught:
        recipe.parse("lora", {key: value})
    assert str(recipe.BY_KEY[key].label) in str(caught.value.errors[key])


def test_all_errors_are_told_at_once():
    with pytest.raises(recipe.Invalid) as caught:
        recipe.parse("lora", {"epochs": "x", "batch_size": "y"})
    assert set(caught.value.errors) == {"epochs", "batch_size"}


def test_auto_resolves_to_numbers_for_every_knob_of_the_method():
    lora = recipe.resolve("lora", {}, examples=300, context_length=32_768)
    assert lora["epochs"] == 4 and lora["learning_rate"] == 2e-4 and lora["max_length"] == 8192
    assert lora["lora_alpha"] == 2 * lora["lora_rank"]
    full = recipe.resolve("full", {}, examples=300, context_length=512)
    assert full["learning_rate"] == 2e-5 and full["max_length"] == 512
    assert "lora_rank" not in full


def test_the_users_numbers_win_but_never_beyond_the_models_limit():
    chosen = {"epochs": 7, "max_length": 100_000, "lora_rank": 4}
    numbers = recipe.resolve("lora", chosen, examples=300, context_length=1024)
    assert (numbers["epochs"], numbers["max_length"], numbers["lora_alpha"]) == (7, 1024, 8)


def test_validation_holds_back_a_share_but_never_more_than_500():
    share = recipe.resolve("lora", {}, examples=1_000_000, context_length=512)["validation_share"]
    assert recipe.validation_count(1_000_000, share) in (499, 500)
    assert recipe.validation_count(300, 0.1) == 30
    assert recipe.validation_count(9, 0.1) == 0


def test_steps_count_epochs_of_rounded_up_batches():
    numbers = {"epochs": 3, "batch_size": 8, "validation_share": 0.1}
    assert recipe.steps(numbers, 300) == 3 * 34


@pytest.mark.parametrize(
    "key", ["epochs", "batch_size", "learning_rate", "max_length", "lora_rank"]
)
def test_a_written_zero_is_refused_where_it_cannot_be_meant(key):
    with pytest.raises(recipe.Invalid) as raised:
        recipe.parse("lora", {key: "0"})
    assert set(raised.value.errors) == {key}
