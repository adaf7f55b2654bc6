"""The websocket door, through the same wrappers as in the web process, with a real engine."""

import asyncio
import json

import pytest
import socket_end
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client

from playground import conversations
from playground.models import Conversation
from playground.sockets import answers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tiny_catalogue")]
GREEDY = {"temperature": 0, "max_tokens": 10}


@pytest.fixture
def conversation(user):
    return conversations.create(user, "base:tiny")


@pytest.fixture
def endless(settings, roomy_base):
    """A base whose answers last a while: "base:roomy"."""
    settings.MODELS = roomy_base.parent
    return {"model": "base:roomy", "parameters": {"temperature": 0, "max_tokens": 4096}}


@pytest.fixture
def browser(user):
    client = Client()
    client.force_login(user)
    return client


class Socket(socket_end.Socket):
    async def say(self, text: str = "안녕", **fields: object) -> None:
        frame = {"type": "send", "text": text, "model": "base:tiny", "parameters": GREEDY}
        await self.send(json.dumps(frame | fields))


@sync_to_async
def kept(conversation) -> list[tuple[str, str]]:
    return list(conversation.messages.values_list("role", "content"))


async def test_a_question_is_kept_answered_and_the_answer_kept(engine, browser, conversation):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say("오늘 날씨 어때요?", system_prompt="짧게")
        frames = await socket.hear_until("done")
    kinds = list(dict.fromkeys(frame["type"] for frame in frames))  # loading is told as it goes on
    assert kinds[:4] == ["asked", "loading", "start", "delta"]
    text = "".join(frame["text"] for frame in frames if frame["type"] == "delta")
    message = frames[-1]["message"]
    assert message["content"] == text
    assert message["usage"]["completion_tokens"] == 10
    assert message["usage"]["finish_reason"] == "length"
    assert await kept(conversation) == [("user", "오늘 날씨 어때요?"), ("assistant", text)]
    row = await Conversation.objects.aget()
    assert (row.title, row.system_prompt) == ("오늘 날씨 어때요?", "짧게")
    assert row.parameters["max_tokens"] == 10


async def test_an_answer_that_the_database_does_not_take_is_said_and_ends(
    engine, browser, conversation, monkeypatch
):
    def refuse(*given: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(conversations, "answer", refuse)
    async with Socket(browser, conversation.pk) as socket:
        await socket.say("오늘 날씨 어때요?")
        *_, error, done = await socket.hear_until("done")
        assert (error["code"], done["message"]) == ("answer_not_kept", None)
        monkeypatch.undo()
        await socket.say("다시")
        assert (await socket.hear_until("done"))[-1]["message"]


async def test_another_answer_and_an_edited_question_are_branches(engine, browser, conversation):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say("오늘 날씨 어때요?")
        question = (await socket.hear())["id"]
        first = (await socket.hear_until("done"))[-1]["message"]
        await socket.say(type="again", again=question)
        asked, *_, done = await socket.hear_until("done")
        assert asked["id"] == question
        assert done["message"]["content"] == first["content"]  # greedy, of the same question
        assert (done["message"]["place"], done["message"]["before"]) == (2, first["id"])
        await socket.say("내일은 어때요?", after=0)
        asked, *_, done = await socket.hear_until("done")
        assert (asked["place"], asked["before"]) == (2, question)
        assert done["message"]["count"] == 1
        await socket.say(type="again", again=first["id"])
        assert (await socket.hear())["code"] == "message_gone"
    assert len(await kept(conversation)) == 5


async def test_nobody_is_let_in_without_a_session(engine, conversation):
    async with Socket(None, conversation.pk) as socket:
        assert await socket.close_code() == 4401


async def test_a_foreign_conversation_is_not_there(engine, browser, user):
    from studio.models import User

    other = await User.objects.acreate(username="other")
    foreign = await sync_to_async(conversations.create)(other, "base:tiny")
    async with Socket(browser, foreign.pk) as socket:
        assert await socket.close_code() == 4404


async def test_signing_out_closes_the_socket_at_the_next_message(engine, browser, conversation):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say()
        await socket.hear_until("done")
        await sync_to_async(browser.logout)()
        await socket.say()
        assert await socket.close_code() == 4401
    assert len(await kept(conversation)) == 2


async def test_a_closed_account_closes_the_socket_at_the_next_message(
    engine, browser, conversation, user
):
    async with Socket(browser, conversation.pk) as socket:
        user.is_active = False
        await user.asave()
        await socket.say()
        assert await socket.close_code() == 4401
    assert await kept(conversation) == []


async def test_a_deleted_conversation_closes_the_socket_at_the_next_message(
    engine, browser, conversation
):
    async with Socket(browser, conversation.pk) as socket:
        await Conversation.objects.all().adelete()
        await socket.say()
        assert await socket.close_code() == 4404


async def test_stop_keeps_what_was_said(engine, browser, conversation, endless):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say(**endless)
        await socket.hear_until("delta")
        await socket.send('{"type": "stop"}')
        frames = await socket.hear_until("done")
    message = frames[-1]["message"]
    assert message["usage"]["finish_reason"] == "stopped"
    assert message["usage"]["completion_tokens"] > 0
    assert (await kept(conversation))[1] == ("assistant", message["content"])
    engine.wait_until(lambda: engine.health()["streams"] == 0, 2)
    assert not answers.taken


async def test_closing_the_tab_stops_the_generation_and_keeps_what_was_said(
    engine, browser, conversation, endless
):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say(**endless)
        await socket.hear_until("delta")
    engine.wait_until(lambda: engine.health()["streams"] == 0, 2)
    assert [role for role, _ in await kept(conversation)] == ["user", "assistant"]
    assert not answers.taken


async def test_one_answer_at_a_time_in_a_conversation(engine, browser, conversation, endless):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say(**endless)
        await socket.hear_until("delta")
        await socket.say(**endless)
        refused = (await socket.hear_until("error"))[-1]
        assert (refused["code"], refused["refused"]) == ("answer_under_way", True)


async def test_a_user_has_two_answers_under_way_at_most(engine, browser, user, endless):
    made = [await sync_to_async(conversations.create)(user, "base:roomy") for _ in range(3)]
    sockets = [Socket(browser, one.pk) for one in made]
    for socket in sockets:
        await socket.__aenter__()
    try:
        await sockets[0].say(**endless)
        await sockets[0].hear_until("delta")
        await sockets[1].say(**endless)
        await sockets[1].hear_until("delta")  # both at once
        await sockets[2].say(**endless)
        assert (await sockets[2].hear())["code"] == "too_many_answers"
        assert await kept(made[2]) == []
        await sockets[0].send('{"type": "stop"}')
        await sockets[0].hear_until("done")
    finally:
        for socket in sockets:
            await socket.__aexit__()
    assert not answers.taken


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"text": " "}, "text_empty"),
        ({"text": "가" * 100_001}, "text_too_long"),
        ({"text": 7}, "frame_unreadable"),
        ({"model": "tuned:nobody"}, "model_unknown"),
        ({"parameters": {"temperature": 3}}, "parameter_out_of_range"),
        ({"parameters": {"top_p": 0}}, "parameter_out_of_range"),
        ({"parameters": {"max_tokens": 5000}}, "parameter_out_of_range"),
        ({"system_prompt": "가" * 20_001}, "system_prompt_too_long"),
        ({"type": "dance"}, "frame_unreadable"),
        ({"type": "again"}, "frame_unreadable"),
        ({"again": 1}, "frame_unreadable"),
        ({"after": "1"}, "frame_unreadable"),
        ({"after": True}, "frame_unreadable"),
        ({"after": 99}, "message_gone"),
    ],
)
async def test_what_is_out_of_bounds_is_refused_with_words(
    engine, browser, conversation, fields, code
):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say(**fields)
        refused = await socket.hear()
    assert (refused["type"], refused["code"], refused["refused"]) == ("error", code, True)
    assert refused["what"] and refused["cure"]
    assert await kept(conversation) == []
    assert not answers.taken


@pytest.mark.parametrize("asked, chosen, words", [
    ("", "", "비어 있습니다"), ("en", "", "is empty"), ("en", "ko", "비어 있습니다"), ("ko", "en", "is empty"),
])  # fmt: skip
async def test_it_speaks_the_language_of_the_page(browser, conversation, asked, chosen, words):
    browser.cookies[django_settings.LANGUAGE_COOKIE_NAME] = chosen
    headers = {b"accept-language": asked.encode()}
    async with Socket(browser, conversation.pk, headers) as socket:
        await socket.say(text=" ")
        assert words in (await socket.hear())["what"]


@pytest.mark.parametrize("text", ["{", "[1]", "", "[" * 100_000])
async def test_what_is_no_frame_is_refused_and_the_socket_stays(
    engine, browser, conversation, text
):
    async with Socket(browser, conversation.pk) as socket:
        await socket.send(text)
        assert (await socket.hear())["code"] == "frame_unreadable"
        await socket.say()
        await socket.hear_until("done")


async def test_an_engine_that_is_away_is_said_and_the_question_kept(
    browser, conversation, settings
):
    settings.ENGINE_SOCKET = ""
    async with Socket(browser, conversation.pk) as socket:
        await socket.say()
        frames = await socket.hear_until("done")
    assert frames[1]["code"] == "engine_away"
    assert frames[1]["refused"] is False
    assert frames[-1]["message"] is None
    assert await kept(conversation) == [("user", "안녕")]


async def test_a_conversation_deleted_while_it_is_answered_stays_deleted(
    engine, browser, conversation, endless
):
    async with Socket(browser, conversation.pk) as socket:
        await socket.say(**endless)
        await socket.hear_until("delta")
        await Conversation.objects.all().adelete()
        await asyncio.sleep(0.1)
    assert not await Conversation.objects.aexists()
