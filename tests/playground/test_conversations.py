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
    conversations.say(conversation, "안녕")
    conversations.answer(conversation, "네", {"seconds": 1})
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
    Conversation.objects.all().delete()
    with pytest.raises(UserError) as caught:
        conversations.answer(conversation, "늦은 답", {})
    assert caught.value.code == "conversation_gone"
    assert not Conversation.objects.exists()


def test_renaming_wants_a_name(conversation):
    conversations.rename(conversation, "  새   이름 ")
    conversation.refresh_from_db()
    assert conversation.title == "새 이름"
    with pytest.raises(UserError):
        conversations.rename(conversation, " ")
