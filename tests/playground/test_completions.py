"""/v1/chat/completions: what it takes, what it refuses by name, and real answers of a real engine."""

import asyncio
import gc
import json

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from playground import api as door
from playground import client, homes
from playground.completions import MAX_MESSAGES, Order, Reply
from playground.parameters import Parameters
from training import naming
from training.chat import Message
from training.errors import UserError

ASKED = [{"role": "user", "content": "오늘 날씨 어때요"}]
GREEDY = {"model": "tiny", "messages": ASKED, "temperature": 0, "max_tokens": 10}


# --- what is sent -------------------------------------------------------------------------------
def order(**fields) -> Order:
    return Order(**GREEDY | fields)


def test_texts_may_come_in_parts_and_a_developer_speaks_for_the_system():
    parts = [{"type": "text", "text": "하나"}, {"type": "text", "text": "둘"}]
    asked = order(messages=[
        {"role": "system", "content": "친절하게"}, {"role": "developer", "content": "짧게"},
        {"role": "user", "content": "네?", "name": "mina"}, {"role": "assistant", "content": ""},
        {"role": "user", "content": parts},
    ])  # fmt: skip
    assert asked.conversation() == [
        Message("system", "친절하게\n\n짧게"), Message("user", "네?"), Message("assistant", ""),
        Message("user", "하나\n둘"),
    ]  # fmt: skip


def test_what_is_not_said_is_what_the_model_begins_with():
    begun = Parameters(temperature=0.2, max_tokens=99)
    chosen = Order(model="tiny", messages=ASKED, temperature=None, stop="끝").parameters(begun)
    assert chosen == Parameters(temperature=0.2, max_tokens=99, stop=("끝",))


def test_either_name_of_the_greatest_length_is_understood():
    assert order().parameters(Parameters()).max_tokens == 10
    assert order(max_completion_tokens=7).parameters(Parameters()).max_tokens == 7
    with pytest.raises(UserError) as refusal:
        order(max_completion_tokens=0).parameters(Parameters())
    assert refusal.value.field == "max_completion_tokens"


def test_a_stream_says_its_error_in_the_language_of_whoever_asks():
    said = [Reply("tiny", language=one).failure(UserError("engine_away")) for one in ("ko", "en")]
    errors = [json.loads(frame.removeprefix("data: "))["error"] for frame in said]
    assert all(set(error) == {"message", "type", "param", "code"} for error in errors)
    assert "엔진" in errors[0]["message"] and errors[0]["message"] != errors[1]["message"]


# --- the door -----------------------------------------------------------------------------------
class Program:
    def __init__(self, secret: str) -> None:
        self.client = AsyncClient()
        self.headers = {"Authorization": f"Bearer {secret}"}

    async def ask(self, **fields):
        body = json.dumps(GREEDY | fields)
        return await self.client.post(
            "/v1/chat/completions", body, content_type="application/json", headers=self.headers
        )

    async def stream(self, **fields) -> list[str]:
        """Return the frames of a streamed answer."""
        answer = await self.ask(stream=True, **fields)
        assert answer.status_code == 200, answer.content
        assert answer.headers["Content-Type"] == "text/event-stream"
        text = b"".join([part async for part in answer]).decode()
        assert text.endswith("\n\n")
        return text.removesuffix("\n\n").split("\n\n")


@pytest.fixture
def program(transactional_db, tiny_catalogue, user):
    from studio import keys

    return Program(keys.create(user, "시험")[1])


def chunks(frames: list[str]) -> list[dict]:
    return [json.loads(frame[6:]) for frame in frames if frame.startswith("data: {")]


async def said_by_the_playground(name: str, messages: list[Message], chosen: Parameters) -> str:
    events = [event async for event in client.stream(name, messages, chosen)]
    return "".join(event.text for event in events if isinstance(event, client.Delta))


async def test_the_answer_is_the_playgrounds(engine, program):
    answer = await program.ask()
    assert answer.status_code == 200
    said = answer.json()
    text = await said_by_the_playground(
        "base:tiny",
        [Message("user", ASKED[0]["content"])],
        Parameters(temperature=0, max_tokens=10),
    )
    assert text and said["choices"] == [{
        "index": 0, "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None, "finish_reason": "length",
    }]  # fmt: skip
    usage = said["usage"]
    assert usage["completion_tokens"] == 10
    assert usage["total_tokens"] == usage["prompt_tokens"] + 10
    assert (said["object"], said["model"], said["trimmed_messages"]) == (
        "chat.completion",
        "tiny",
        0,
    )


async def test_a_streamed_answer_is_the_same_in_chunks(engine, program):
    whole = (await program.ask()).json()
    frames = await program.stream(stream_options={"include_usage": True})
    assert frames[-1] == "data: [DONE]"
    first, *pieces, last, counted = chunks(frames)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
    assert text == whole["choices"][0]["message"]["content"]
    assert last["choices"][0]["delta"] == {} and last["choices"][0]["finish_reason"] == "length"
    assert counted["choices"] == [] and counted["usage"] == whole["usage"]
    assert {chunk["object"] for chunk in chunks(frames)} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks(frames)}) == 1
    assert "usage" not in chunks(await program.stream())[-1]


async def test_ones_own_model_answers_under_its_public_name(engine, program, tuned, user):
    from studio import keys
    from studio.models import User

    own, base = await program.ask(model=naming.of(tuned)), await program.ask()
    assert own.status_code == 200, own.content
    assert own.json()["choices"] != base.json()["choices"]
    other = await User.objects.acreate(username="other")
    _key, secret = await sync_to_async(keys.create)(other, "남")
    refused = await Program(secret).ask(model=naming.of(tuned))
    assert refused.status_code == 404
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == (
        "model", "model_unknown",
    )  # fmt: skip


async def test_a_word_to_stop_at_ends_the_answer(engine, program):
    text = (await program.ask()).json()["choices"][0]["message"]["content"]
    stopped = (await program.ask(stop=[text[2:4]])).json()["choices"][0]
    assert stopped["finish_reason"] == "stop"
    assert stopped["message"]["content"] == text[: text.index(text[2:4])]


async def test_what_was_left_out_is_told(engine, program):
    long = [
        {"role": role, "content": "hello world " * 30}
        for _ in range(6) for role in ("user", "assistant")
    ]  # fmt: skip
    messages = [*long, *ASKED]
    left_out = (await program.ask(messages=messages)).json()["trimmed_messages"]
    assert left_out > 0 and left_out % 2 == 0
    assert chunks(await program.stream(messages=messages))[0]["trimmed_messages"] == left_out


WRONG = [
    ({"model": None}, "model", "field_wrong"),
    ({"model": ""}, "model", "field_wrong"),
    ({"messages": None}, "messages", "field_wrong"),
    ({"messages": []}, "messages", "field_wrong"),
    ({"messages": ASKED * (MAX_MESSAGES + 1)}, "messages", "field_wrong"),
    ({"messages": ["안녕"]}, "messages.0", "field_wrong"),
    ({"messages": [{"role": "user"}]}, "messages.0.content", "field_missing"),
    ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role", "field_wrong"),
    ({"messages": [{"role": "user", "content": None}]}, "messages.0.content", "field_wrong"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages.0.content", "field_wrong"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages.0.content",
        "field_wrong",
    ),
    (
        {"messages": [*ASKED, {"role": "user", "content": "a" * 100_001}]},
        "messages.1.content",
        "text_too_long",
    ),
    ({"messages": [*ASKED, {"role": "assistant", "content": "네"}]}, "messages", "answer_is_last"),
    ({"messages": [{"role": "user", "content": "hello " * 3000}]}, None, "prompt_too_long"),
    ({"messages": [ASKED[0] | {"tool_calls": [{}]}]}, "messages.0.tool_calls", "field_unserved"),
    ({"temperature": "0"}, "temperature", "field_wrong"),
    ({"temperature": True}, "temperature", "field_wrong"),
    ({"temperature": 2.1}, "temperature", "parameter_out_of_range"),
    ({"temperature": float("nan")}, "temperature", "parameter_out_of_range"),
    ({"top_p": 0}, "top_p", "parameter_out_of_range"),
    ({"top_p": 10**400}, "top_p", None),
    ({"max_tokens": 1.5}, "max_tokens", "field_wrong"),
    ({"max_tokens": 5000}, "max_tokens", "parameter_out_of_range"),
    ({"max_tokens": 10**400}, "max_tokens", "parameter_out_of_range"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "parameter_out_of_range"),
    ({"repetition_penalty": 3}, "repetition_penalty", "parameter_out_of_range"),
    ({"seed": -1}, "seed", "parameter_out_of_range"),
    ({"stop": ["a"] * 5}, "stop", "stop_wrong"),
    ({"stop": [1]}, "stop.0", "field_wrong"),
    ({"stop": "\ud800"}, "stop.0", "field_wrong"),
    ({"model": "\ud800"}, "model", "field_wrong"),
    ({"stop": {}}, "stop", "field_wrong"),
    ({"stream": "yes"}, "stream", "field_wrong"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "field_wrong"),
    ({"n": 2}, "n", "field_unserved"),
    ({"tools": [{"type": "function"}]}, "tools", "field_unserved"),
    ({"response_format": {"type": "json_object"}}, "response_format", "field_unserved"),
    ({"logprobs": True}, "logprobs", "field_unserved"),
    ({"presence_penalty": 0.5}, "presence_penalty", "field_unserved"),
    ({"temprature": 0.5}, "temprature", "field_unknown"),
]


@pytest.mark.parametrize(("changes", "param", "code"), WRONG, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_wrong_is_named_before_anything_is_begun(
    program, changes, param, code, stream
):
    answer = await program.ask(**{"stream": stream} | changes)
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert code is None or error["code"] == code
    assert not door.answers.taken


@pytest.mark.parametrize("code", ["engine_away"])
async def test_without_an_engine_it_is_said_with_a_status(program, settings, code):
    settings.ENGINE_SOCKET = "/nowhere.sock"
    for stream in (False, True):
        answer = await program.ask(stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, code)


async def test_what_changes_nothing_is_taken(engine, program):
    answer = await program.ask(
        n=1, user="mina", metadata={"a": "b"}, tools=[], tool_choice="auto", store=False,
        frequency_penalty=0, presence_penalty=0.0, response_format={"type": "text"}, logprobs=False,
        logit_bias=None, functions=None, parallel_tool_calls=False, stop=None, seed=None,
    )  # fmt: skip
    assert answer.status_code == 200, answer.content


async def test_one_users_programs_have_some_answers_at_once(program, user):
    door.answers.taken[user.pk] = door.answers.most
    try:
        for stream in (False, True):
            refused = await program.ask(stream=stream)
            assert refused.status_code == 429 and refused.headers["Retry-After"] == "1"
            error = refused.json()["error"]
            assert (error["code"], error["type"]) == ("too_many_answers", "rate_limit_error")
    finally:
        del door.answers.taken[user.pk]


# --- streams ------------------------------------------------------------------------------------
def pretend(monkeypatch, *happening):
    """Have the model do as told: events, seconds of silence, errors."""

    async def stream(*_):
        for one in happening:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, float):
                await asyncio.sleep(one)
            else:
                yield one

    monkeypatch.setattr(client, "stream", stream)


async def test_a_quiet_stream_says_that_it_lives(program, monkeypatch):
    monkeypatch.setattr(door, "QUIET_SECONDS", 0.05)
    pretend(monkeypatch, client.Loading(), 0.2, client.Queued(2), client.Done("stop", {}))
    frames = await program.stream()
    assert frames[1:3] == [": waiting", ": waiting"] and ": place 2 in line" in frames
    assert frames[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("engine_away"), "engine_away"), (RuntimeError("odd"), "generation_failed")],
)
async def test_an_error_on_the_way_ends_the_stream(program, monkeypatch, error, code):
    pretend(monkeypatch, client.Delta("반", {}), error)
    *_, piece, last = await program.stream()
    assert json.loads(piece[6:])["choices"][0]["delta"] == {"content": "반"}
    said = json.loads(last[6:])["error"]
    assert said["code"] == code and said["message"]
    assert not door.answers.taken


async def test_an_error_before_the_first_word_has_a_status(program, monkeypatch):
    pretend(monkeypatch, client.Trimmed(2), UserError("engine_memory", model="tiny"))
    assert (await program.ask(stream=True)).status_code == 503
    pretend(monkeypatch, UserError("engine_model_missing", engine="gpu:8000"))
    assert (await program.ask(stream=True)).status_code == 503
    pretend(monkeypatch, RuntimeError("odd"))
    assert (await program.ask(stream=True)).status_code == 500
    assert not door.answers.taken


async def test_whoever_hangs_up_ends_the_answer(engine, program, settings, roomy_base):
    settings.MODELS = roomy_base.parent
    answer = await program.ask(model="roomy", max_tokens=4096, stream=True)
    frames = answer.streaming_content
    assert b"assistant" in await anext(frames)
    await asyncio.to_thread(engine.wait_until, lambda: engine.health()["streams"] == 1)
    await frames.aclose()
    del frames, answer
    gc.collect()  # answers of the test's client hold themselves
    await asyncio.to_thread(engine.wait_until, lambda: engine.health()["streams"] == 0)
    assert not door.answers.taken


@pytest.mark.parametrize("turns", range(6))
async def test_hanging_up_in_the_moment_of_a_token_ends_the_answer_too(monkeypatch, turns):
    comes = asyncio.Event()

    async def says(*_args):
        await comes.wait()
        yield client.Delta("맑음", {})
        await asyncio.Event().wait()

    monkeypatch.setattr(client, "stream", says)
    events = door._answer("somebody", "base:tiny", [], Parameters())

    async def read() -> None:
        async for _ in events:
            pass

    reading = asyncio.create_task(read())
    for _ in range(3):
        await asyncio.sleep(0)
    comes.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    done, _ = await asyncio.wait([reading], timeout=5)
    assert done and reading.cancelled()
    assert not door.answers.taken


def test_a_public_name_leads_back_to_the_same_model(db, tuned, user):
    name = f"tuned:{tuned.pk}"
    assert door._engine_name(user, homes.public_name(name)) == name
    assert homes.public_name("base:tiny") == "tiny"
    with pytest.raises(UserError):
        homes.public_name("tuned:gone")
