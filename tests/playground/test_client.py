"""playground/client.py against a real engine process."""

import contextlib
import os
import signal

import pytest
from engine_process import FULL, EngineProcess

from playground import client, homes, prompts
from playground.client import Delta, Done, Loading, Queued, Trimmed
from playground.parameters import Parameters
from training.chat import Message, Renderer
from training.errors import UserError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tiny_catalogue")]
QUESTION = [Message("user", "오늘 날씨 어때요?")]
GREEDY = Parameters(temperature=0, max_tokens=12)


async def collect(name, messages=QUESTION, parameters=GREEDY) -> list:
    return [event async for event in client.stream(name, messages, parameters)]


def text_of(events) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_a_model_that_is_away_is_loaded_first(engine):
    events = await collect("base:tiny")
    assert events[0] == Loading()
    assert text_of(events)
    assert isinstance(events[-1], Done)
    assert events[-1].finish_reason == "length"
    assert events[-1].usage["completion_tokens"] == 12
    assert Loading() not in await collect("base:tiny")


async def test_the_prompt_is_what_training_renders(engine, tiny_base):
    from training.lm import generate, load

    ids = Renderer(tiny_base).prompt(QUESTION)
    stream = generate.TextStream(Renderer(tiny_base).decode)
    tokens = generate.stream(load.model(tiny_base), ids, max_tokens=12)
    expected = "".join(stream.push(token) for token in tokens) + stream.finish()
    assert text_of(await collect("base:tiny")) == expected


async def test_a_tuned_model_speaks_through_its_base(engine, tuned):
    name = f"tuned:{tuned.pk}"
    said = text_of(await collect(name))
    assert said and said != text_of(await collect("base:tiny"))
    assert engine.models()[name]["base"] == "base:tiny"


def test_load_state_and_unload(engine):
    assert client.state("base:tiny").state == "away"
    client.load("base:tiny")
    engine.settled("base:tiny")
    assert client.state("base:tiny").state == "ready"
    assert list(client.models()) == ["base:tiny"]
    client.unload("base:tiny")
    assert client.state("base:tiny").state == "away"
    client.unload("base:tiny")


def test_release_names_what_was_given_back(engine):
    client.load("base:tiny")
    engine.settled("base:tiny")
    assert client.release() == ["base:tiny"]
    assert client.release() == []


@pytest.mark.parametrize("name", ["tuned:nobody", "other:tiny", "tiny", ""])
def test_an_unknown_model_is_a_user_error(engine, name):
    with pytest.raises(UserError) as caught:
        client.load(name)
    assert caught.value.code == "model_unknown"


def test_a_missing_base_is_a_user_error(engine):
    with pytest.raises(UserError) as caught:
        client.load("base:gone")
    assert caught.value.code == "base_missing"


@pytest.mark.parametrize("socket", ["", "/tmp/there-is-no-such.sock"])
async def test_an_engine_that_is_away_is_a_user_error(settings, socket):
    settings.ENGINE_SOCKET = socket
    with pytest.raises(UserError) as caught:
        await collect("base:tiny")
    assert caught.value.code == "engine_away"


async def test_an_engine_that_dies_while_it_talks_is_a_user_error(settings, roomy_base):
    settings.MODELS = roomy_base.parent
    process = EngineProcess()
    settings.ENGINE_SOCKET = process.socket
    try:
        events = client.stream("base:roomy", QUESTION, Parameters(temperature=0, max_tokens=4096))
        with pytest.raises(UserError) as caught:
            async for event in events:
                if isinstance(event, Delta):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.process.pid, signal.SIGKILL)
        assert caught.value.code == "engine_away"
    finally:
        process.end()


async def test_closing_the_stream_stops_the_generation(engine, settings, roomy_base):
    settings.MODELS = roomy_base.parent
    events = client.stream("base:roomy", QUESTION, Parameters(temperature=0, max_tokens=4096))
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Delta):
                break
    engine.wait_until(lambda: engine.health()["streams"] == 0, 2)


async def test_a_stream_without_room_waits_in_line(engine, settings, roomy_base):
    settings.MODELS = roomy_base.parent
    engine.load("base:roomy", roomy_base)
    with contextlib.ExitStack() as streams:
        long = {"model": "base:roomy", "max_tokens": 4096}
        lines = [streams.enter_context(engine.open(**long)).iter_lines() for _ in range(FULL)]
        for one in lines:
            next(one)
        last = client.stream("base:roomy", QUESTION, Parameters(temperature=0, max_tokens=4096))
        assert await anext(last) == Queued(1)
    async with contextlib.aclosing(last):
        assert isinstance(await anext(last), Delta)


async def test_an_answer_that_takes_too_long_ends_with_its_reason(
    engine, settings, roomy_base, monkeypatch
):
    settings.MODELS = roomy_base.parent
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.3)
    events = await collect("base:roomy", parameters=Parameters(temperature=0, max_tokens=4096))
    assert events[-1].finish_reason == "time"
    engine.wait_until(lambda: engine.health()["streams"] == 0, 2)


async def test_the_oldest_turns_give_way_and_the_system_prompt_stays(engine, tiny_base):
    turns = [Message("system", "짧게 답하세요.")]
    for number in range(40):
        turns += [Message("user", f"{number}번 질문입니다"), Message("assistant", "네, 맑습니다")]
    turns.append(Message("user", "마지막 질문"))
    events = await collect("base:tiny", turns)
    assert isinstance(events[0], Trimmed)
    dropped = events[0].count
    assert dropped % 2 == 0
    prompt = prompts.fit("base:tiny", turns, GREEDY.max_tokens)
    assert prompt.dropped == dropped
    assert prompt.ids == Renderer(tiny_base).prompt([turns[0], *turns[1 + dropped :]])
    longer = Renderer(tiny_base).prompt([turns[0], *turns[1 + dropped - 2 :]])
    assert len(prompt.ids) <= 512 - 12 < len(longer)


def test_a_question_that_does_not_fit_is_refused():
    with pytest.raises(UserError) as caught:
        prompts.fit("base:tiny", [Message("user", "가나다라 " * 200)], 16)
    assert caught.value.code == "prompt_too_long"
    assert caught.value.params["limit"] == 511


def test_a_huge_maximum_length_leaves_half_of_the_context_to_the_conversation(tiny_base):
    turns = [Message("user", "질문"), Message("assistant", "네"), Message("user", "질문")]
    assert prompts.fit("base:tiny", turns, 4096).dropped == 0


def test_parameters_out_of_bounds_are_named():
    for name, value in [("temperature", 3), ("top_p", 0), ("max_tokens", 1.5), ("max_tokens", "x")]:
        with pytest.raises(UserError) as caught:
            Parameters.parse({name: value})
        assert caught.value.params["name"] == name
    for stop in (["a"] * 5, [1], ["x" * 101], {"a": 1}):
        with pytest.raises(UserError):
            Parameters.parse({"stop": stop})
    assert Parameters.parse({"temperature": "0.2", "max_tokens": ""}) == Parameters(0.2)


def test_a_user_may_talk_to_bases_and_to_own_models(tuned, user):
    from studio.models import User

    other = User.objects.create_user("other")
    assert homes.choices(user).first == f"tuned:{tuned.pk}"
    homes.choices(user).allow("base:tiny")
    homes.choices(other).allow("base:tiny")
    with pytest.raises(UserError):
        homes.choices(other).allow(f"tuned:{tuned.pk}")
