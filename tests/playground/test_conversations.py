"""playground/conversations.py: what a conversation keeps and what a model is shown of it."""

import pytest

from playground import conversations
from playground.models import Conversation
from playground.parameters import Parameters
from training.chat import Message
from training.errors import UserError

pytestmark = pytest.mark.django_db


@pytest.fixture
def conversation(user) -> Conversation:
    return conversations.create(user, "base:tiny")


def test_the_first_question_gives_the_title(conversation):
    conversations.say(conversation, "  출장비는\n언제 " + "가" * 60)
    conversation.refresh_from_db()
    assert conversation.title == ("출장비는 언제 " + "가" * 60)[:40]
    conversations.say(conversation, "다른 질문")
    conversation.refresh_from_db()
    assert conversation.title.startswith("출장비는")


def test_history_begins_with_the_system_prompt(conversation):
    conversations.settle(conversation, "base:tiny", Parameters(), "짧게")
    asked = conversations.say(conversation, "안녕")
    conversations.answer(conversation, asked, "네", {"seconds": 1})
    conversations.say(conversation, "또")
    assert conversations.history(conversation) == [
        Message("system", "짧게"),
        Message("user", "안녕"),
        Message("assistant", "네"),
        Message("user", "또"),
    ]


def test_a_question_without_an_answer_makes_way_for_the_next(conversation):
    conversations.say(conversation, "하나")
    conversations.say(conversation, "둘")
    assert conversations.history(conversation) == [Message("user", "둘")]


@pytest.mark.parametrize(
    ("text", "code"), [(" \n", "text_empty"), ("가" * 100_001, "text_too_long")]
)
def test_an_empty_or_huge_question_is_refused(conversation, text, code):
    with pytest.raises(UserError) as caught:
        conversations.say(conversation, text)
    assert caught.value.code == code
    assert not conversation.messages.exists()


def test_a_deleted_conversation_stays_deleted(conversation):
    asked = conversations.say(conversation, "안녕")
    Conversation.objects.all().delete()
    with pytest.raises(UserError) as caught:
        conversations.answer(conversation, asked, "늦은 답", {})
    assert caught.value.code == "conversation_gone"
    assert not Conversation.objects.exists()


def test_renaming_wants_a_name(conversation):
    conversations.rename(conversation, "  새   이름 ")
    conversation.refresh_from_db()
    assert conversation.title == "새 이름"
    with pytest.raises(UserError):
        conversations.rename(conversation, " ")


def said(conversation) -> list[str]:
    return [turn.message.content for turn in conversations.turns(conversation)]


@pytest.fixture
def talk(conversation):
    """Two questions with their answers."""
    for number in (1, 2):
        asked = conversations.say(conversation, f"질문 {number}")
        conversations.answer(conversation, asked, f"답 {number}", {})
    return conversation


def test_an_edited_question_begins_a_branch_and_the_old_one_stays(talk):
    first_answer = conversations.turns(talk)[1].message
    asked = conversations.say(talk, "질문 2, 고침", after=first_answer.pk)
    assert said(talk) == ["질문 1", "답 1", "질문 2, 고침"]
    conversations.answer(talk, asked, "다른 답", {})
    turn = conversations.turns(talk)[2]
    assert (turn.place, turn.count, turn.behind) == (2, 2, None)
    conversations.go_to(talk, turn.before)
    assert said(talk) == ["질문 1", "답 1", "질문 2", "답 2"]
    assert conversations.turns(talk)[2].behind == asked.pk


def test_the_first_question_can_be_edited_too(talk):
    conversations.say(talk, "다른 시작", after=0)
    assert said(talk) == ["다른 시작"]
    assert conversations.turns(talk)[0].count == 2


def test_another_answer_stands_beside_the_first(talk):
    question = conversations.turns(talk)[2].message
    conversations.ask_again(talk, question.pk)
    assert [message.content for message in conversations.history(talk)][-1] == "질문 2"
    conversations.answer(talk, question, "더 나은 답", {})
    assert said(talk)[-1] == "더 나은 답"
    assert conversations.turns(talk)[3].count == 2


def test_an_answer_cannot_be_asked_again_nor_a_stranger_s_message(talk, user):
    answer = conversations.turns(talk)[1].message
    other = conversations.create(user, "base:tiny")
    for key, found in ((answer.pk, talk), (answer.pk, other), (0, talk)):
        with pytest.raises(UserError):
            conversations.ask_again(found, key)


def test_answers_are_rated_and_questions_are_not(talk):
    question, answer = (turn.message for turn in conversations.turns(talk)[:2])
    conversations.rate(talk, answer.pk, -1)
    answer.refresh_from_db()
    assert answer.rating == -1
    for key, rating in ((question.pk, 1), (answer.pk, 5)):
        with pytest.raises(UserError):
            conversations.rate(talk, key, rating)


def test_a_conversation_is_found_by_title_or_by_what_was_said(talk, user):
    other = conversations.create(user, "base:tiny")
    conversations.say(other, "전혀 다른 이야기")
    every = Conversation.objects.filter(owner=user)
    assert list(conversations.search(every, "답 2")) == [talk]
    assert list(conversations.search(every, "다른")) == [other]
    assert set(conversations.search(every, "")) == {talk, other}
