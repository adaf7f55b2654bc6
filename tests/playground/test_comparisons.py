"""What a comparison keeps, how votes are counted, and what stays hidden till then."""

import pytest
from django.db import IntegrityError, transaction

from playground import comparisons, homes
from playground.comparisons import Question, Tally
from playground.models import Comparison, Reply, Round
from playground.parameters import Parameters
from training.errors import UserError

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_catalogue")]


def question(text: str = "날씨는?", is_blind: bool = False) -> Question:
    return Question(text, "", Parameters(), is_blind)


@pytest.fixture
def names(tuned) -> list[str]:
    return ["base:tiny", f"tuned:{tuned.pk}"]


@pytest.fixture
def comparison(user, names) -> Comparison:
    return comparisons.create(user, names, question())


def answer(asked: Round, *texts: str) -> Round:
    """Have the models answer: the texts are in the order in which the models were chosen."""
    comparisons.begin(asked.comparison, asked.number)
    for reply, text in zip(asked.replies.order_by("contender"), texts, strict=True):
        comparisons.keep(reply, text, {"completion_tokens": 4, "seconds": 2.0}, None)
    return comparisons.shown(asked.comparison).get(pk=asked.pk)


def refusal(verb, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        verb(*arguments)
    return caught.value.code


def test_a_comparison_begins_with_its_models_and_first_question(comparison, names):
    assert [one.model for one in comparison.contenders.all()] == names
    assert [one.label for one in comparison.contenders.all()] == ["tiny", "상담"]
    asked = comparison.rounds.get()
    assert (asked.number, asked.question, asked.begun_at) == (1, "날씨는?", None)
    assert comparison.title == "날씨는?"


@pytest.mark.parametrize(
    ("models", "code"),
    [
        (["base:tiny"], "compared_count"),
        (["base:tiny"] * 5, "compared_count"),
        (["base:tiny", "base:tiny"], "compared_twice"),
        (["base:tiny", "tuned:another's"], "model_unknown"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_is_left(user, models, code):
    assert refusal(comparisons.create, user, models, question()) == code
    assert not Comparison.objects.exists()


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"text": " "}, "text_empty"),
        ({"text": "가" * 100_001}, "text_too_long"),
        ({"text": "가", "system_prompt": "가" * 20_001}, "system_prompt_too_long"),
        ({"text": "가", "temperature": "3"}, "parameter_out_of_range"),
        ({"text": "가", "stops": "1\n2\n3\n4\n5"}, "stop_wrong"),
    ],
)
def test_a_question_out_of_bounds_is_refused(form, code):
    assert refusal(Question.parse, form) == code


def test_a_form_says_all_that_a_question_is_asked_with():
    form = {
        "text": "가",
        "system_prompt": "짧게",
        "temperature": "0",
        "stops": "끝\n\n",
        "blind": "1",
    }
    asked = Question.parse(form)
    assert asked == Question("가", "짧게", Parameters(temperature=0, stop=("끝",)), True)
    assert Question.parse(form, "나").text == "나"


def test_blind_rounds_are_shuffled_each_by_itself(comparison):
    orders = {
        tuple(asked.replies.values_list("contender_id", flat=True))
        for asked in (comparisons.ask(comparison, question(is_blind=True)) for _ in range(30))
    }
    assert len(orders) == 2
    open_round = comparisons.ask(comparison, question())
    assert next(one.contender.model for one in open_round.replies.all()) == "base:tiny"


def test_names_are_hidden_until_the_vote(comparison):
    asked = answer(comparisons.ask(comparison, question(is_blind=True)), "비", "눈")
    assert [reply.name for reply in asked.replies.all()] == ["가", "나"]
    assert asked.is_hidden and asked.is_votable and asked.winner is None
    comparisons.vote(asked, "best:1")
    asked = comparisons.shown(comparison).get(pk=asked.pk)
    assert asked.winner.name in ("tiny", "상담")
    assert not asked.is_hidden and not asked.is_votable
    assert refusal(comparisons.vote, asked, "best:0") == "vote_impossible"


def test_an_error_that_names_a_model_waits_for_the_vote(comparison):
    asked = answer(comparisons.ask(comparison, question(is_blind=True)), "비", "눈")
    reply = asked.replies.all()[0]
    for code, told in (("base_missing", "reason_hidden"), ("engine_away", "engine_away")):
        comparisons.keep(reply, "", {}, UserError(code, slug="tiny"))
        assert reply.told["code"] == told
    comparisons.keep(reply, "", {}, UserError("base_missing", slug="tiny"))
    comparisons.vote(asked, "none")
    assert Reply.objects.get(pk=reply.pk).told["code"] == "base_missing"


def test_an_open_vote_can_be_changed(comparison):
    asked = answer(comparison.rounds.get(), "비", "눈")
    for choice, best in (("best:0", 0), ("best:1", 1), ("tie", None), ("none", None)):
        comparisons.vote(asked, choice)
        asked.refresh_from_db()
        assert (asked.vote, asked.best) == (choice.partition(":")[0], best)


@pytest.mark.parametrize(
    "choice", ["", "best", "best:", "best:2", "best:1", "best:-1", "best:²", "worst", "tie "]
)
def test_a_vote_for_what_is_not_there_is_refused(comparison, choice):
    asked = answer(comparison.rounds.get(), "비", "")
    assert refusal(comparisons.vote, asked, choice) == "vote_impossible"


def test_nobody_votes_before_there_are_answers(comparison):
    assert refusal(comparisons.vote, comparison.rounds.get(), "tie") == "vote_impossible"


def test_the_database_keeps_votes_sound(comparison):
    for vote, best in (("best", None), ("tie", 1), ("", 0)):
        with pytest.raises(IntegrityError), transaction.atomic():
            comparison.rounds.update(vote=vote, best=best)


def test_a_round_that_is_asked_again_is_seen_no_more(comparison):
    first = answer(comparison.rounds.get(), "비", "눈")
    comparisons.set_aside(first)
    again = comparisons.ask(comparison, question())
    column = comparisons.begin(comparison, again.number)[0]
    assert [message.content for message in column.messages] == ["날씨는?"]


def test_a_model_that_said_nothing_is_asked_the_next_question_alone(comparison):
    answer(comparison.rounds.get(), "비", "")
    following = comparisons.ask(comparison, question("내일은?"))
    columns = comparisons.begin(comparison, following.number)
    assert [[one.content for one in column.messages] for column in columns] == [
        ["날씨는?", "비", "내일은?"], ["내일은?"],
    ]  # fmt: skip


def test_a_comparison_deleted_meanwhile_takes_no_question(comparison):
    Comparison.objects.all().delete()
    assert refusal(comparisons.ask, comparison, question()) == "conversation_gone"


def test_standings_tell_blind_and_open_votes_apart(user, comparison, tuned):
    votes = [(True, "best"), (True, "best"), (True, "tie"), (False, "none"), (False, "")]
    for is_blind, vote in votes:
        asked = answer(comparisons.ask(comparison, question(is_blind=is_blind)), "비", "눈")
        if vote == "best":
            place = asked.replies.get(contender__label="상담").place
            comparisons.vote(asked, f"best:{place}")
        elif vote:
            comparisons.vote(asked, vote)
    tuned.name = "상담 2"
    tuned.save()
    first, second = comparisons.standings(Reply.objects.all(), homes.choices(user))
    assert (first.label, first.blind, first.open) == ("상담 2", Tally(3, 2, 1), Tally(1, 0, 0))
    assert (second.label, second.blind, second.open) == ("tiny", Tally(3, 0, 1), Tally(1, 0, 0))


def test_the_table_has_a_row_for_each_answer_and_keeps_hidden_names(comparison):
    comparisons.vote(answer(comparison.rounds.get(), "=비", "눈"), "best:0")
    answer(comparisons.ask(comparison, question("내일은?", is_blind=True)), "해", "달")
    heads, *rows = comparisons.table(Reply.objects.all())
    assert rows[:2] == [
        ("날씨는?", "tiny", "=비", "가장 좋음", "이름 공개"), ("날씨는?", "상담", "눈", "", "이름 공개"),
    ]  # fmt: skip
    assert [row[1] for row in rows[2:]] == ["가", "나"]
    assert len(heads) == 5


def test_a_tuned_model_stands_beside_what_it_was_made_from(user, tuned, names):
    choices = homes.choices(user)
    assert comparisons.suggested(choices, [names[1]]) == names[::-1]
    assert comparisons.suggested(choices, []) == names[::-1]
    assert comparisons.suggested(choices, ["tuned:gone", "base:tiny"]) == ["base:tiny"]
    assert comparisons.suggested(choices, [*names, *names]) == names
    further = type(tuned).objects.create(
        owner=user, name="더", base="tiny", method="lora",
        job=type(tuned.job).objects.create(
            owner=user, base="tiny", foundation=tuned, status="succeeded", version=tuned.job.version
        ),
    )  # fmt: skip
    wanted = [f"tuned:{further.pk}"]
    assert comparisons.suggested(homes.choices(user), wanted) == [*wanted, names[1]]
