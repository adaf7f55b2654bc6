"""Kinds of work: what they recommend, and that a job runs with it."""

import pytest

from playground.parameters import Parameters
from training import drafts, recipe, works
from training.models import Job

GUIDE = {
    "문서 초안 작성", "요약", "대화", "질의/응답", "참고 문서 기반 질의/응답", "번역", "분류"
}  # fmt: skip


def test_the_guides_seven_kinds_are_there_each_with_advice():
    assert {str(work.label) for work in works.WORKS.values()} == GUIDE
    assert all(3 <= len(work.advice) <= 4 for work in works.WORKS.values())
    assert all(len(key) <= Job._meta.get_field("work").max_length for key in works.WORKS)


@pytest.mark.parametrize("key", works.WORKS)
def test_the_playground_can_begin_with_what_a_kind_asks_for(key):
    talking = works.WORKS[key].talking
    assert Parameters.parse(talking).as_dict() == Parameters().as_dict() | talking


def test_one_right_answer_is_asked_for_greedily_and_a_draft_is_free():
    heat = {key: work.talking["temperature"] for key, work in works.WORKS.items()}
    assert heat["classify"] == 0 and heat["translate"] <= 0.1
    assert heat["draft"] == max(heat.values())


@pytest.mark.parametrize(("examples", "epochs"), [(10, 25), (500, 3), (100_000, 1)])
def test_a_kind_adds_to_the_automatic_number_of_epochs(examples, epochs):
    def resolved(key: str, knobs: dict) -> int:
        more = works.more_epochs(key)
        numbers = recipe.resolve(
            "lora", knobs, examples=examples, context_length=512, more_epochs=more
        )
        return numbers["epochs"]

    assert [resolved(key, {}) - epochs for key in ("", "draft", "reference", "classify")] == [
        0, 0, 1, 2
    ]  # fmt: skip
    assert resolved("classify", {"epochs": 7}) == 7


def test_the_sum_stays_within_the_knobs_bounds():
    most = max(recipe.automatic_epochs(count) for count in range(1, 400))
    assert most + max(work.more_epochs for work in works.WORKS.values()) <= (
        recipe.BY_KEY["epochs"].high
    )


def test_a_kind_that_nobody_knows_recommends_nothing():
    assert works.more_epochs("gone") == 0 and not works.is_advised("gone", "epochs")
    assert works.rule("gone", recipe.BY_KEY["epochs"]) == recipe.BY_KEY["epochs"].rule


def test_the_rule_of_the_advised_knob_alone_names_the_kind():
    assert "«분류»에 권장하는 대로 여기에 2번을" in str(
        works.rule("classify", recipe.BY_KEY["epochs"])
    )
    assert works.rule("classify", recipe.BY_KEY["seed"]) == recipe.BY_KEY["seed"].rule


@pytest.mark.django_db
def test_a_draft_resolves_as_its_kind_would_have_it(user):
    draft = drafts.create_draft(user)
    plain, mark = drafts.resolved(draft)["epochs"], drafts.fingerprint(draft)
    drafts.edit(draft, work="classify")
    assert drafts.resolved(draft)["epochs"] == plain + 2
    assert drafts.fingerprint(draft) != mark
    drafts.edit(draft, knobs={"epochs": 1})
    assert drafts.resolved(draft)["epochs"] == 1
    assert drafts.resolved(draft, without="epochs")["epochs"] == plain + 2


@pytest.mark.django_db
def test_the_same_settings_again_are_for_the_same_kind(user):
    job = drafts.create_draft(user)
    drafts.edit(job, work="translate")
    assert drafts.retry(job).work == "translate"
