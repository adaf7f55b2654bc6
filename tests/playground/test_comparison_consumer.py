"""The websocket door of a comparison, with a real engine and models that answer at once."""

import asyncio
import json

import pytest
import socket_end
import tiny
from asgiref.sync import sync_to_async
from django.test import Client
from engine_process import EngineProcess

from playground import comparisons
from playground.comparisons import Question
from playground.models import Comparison, Reply
from playground.parameters import Parameters
from playground.sockets import answers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tiny_catalogue")]
GREEDY = Parameters(temperature=0, max_tokens=10)
LONG = Parameters(temperature=0, max_tokens=4096)


def question(text="안녕", parameters=GREEDY, is_blind=False, system_prompt="") -> Question:
    return Question(text, system_prompt, parameters, is_blind)


@pytest.fixture
def comparison(user, tuned):
    return comparisons.create(user, ["base:tiny", f"tuned:{tuned.pk}"], question())


@pytest.fixture
def browser(user):
    client = Client()
    client.force_login(user)
    return client


class Socket(socket_end.Socket):
    path = "/ws/playground/compare/"

    async def begin(self, number: object = 1) -> None:
        await self.send(json.dumps({"type": "begin", "round": number}))


def said(frames: list[dict], column: int) -> str:
    return "".join(
        frame["text"] for frame in frames if frame["type"] == "delta" and frame["column"] == column
    )


@sync_to_async
def kept(comparison, number: int = 1) -> list[Reply]:
    rows = Reply.objects.filter(round__comparison=comparison, round__number=number)
    return list(rows.select_related("contender"))


async def test_all_models_answer_in_their_columns_and_the_answers_are_kept(
    engine, browser, comparison
):
    async with Socket(browser, comparison.pk) as socket:
        await socket.begin()
        frames = await socket.hear_until("done")
    assert frames[0] == {"type": "begun", "round": 1}
    base, tuned = await kept(comparison)
    assert (base.content, tuned.content) == (said(frames, 0), said(frames, 1))
    assert base.content and tuned.content and base.content != tuned.content
    assert base.usage["completion_tokens"] == 10
    ends = [frame for frame in frames if frame["type"] == "end"]
    assert sorted(frame["column"] for frame in ends) == [0, 1]
    assert not any(frame["error"] for frame in ends)
    assert not answers.taken


async def test_each_model_goes_on_from_its_own_answers(engine, browser, comparison):
    async with Socket(browser, comparison.pk) as socket:
        await socket.begin()
        await socket.hear_until("done")
        second = await sync_to_async(comparisons.ask)(
            comparison, question("또?", system_prompt="짧게")
        )
        await socket.begin(second.number)
        await socket.hear_until("done")
    rows = await sync_to_async(list)(comparisons.shown(comparison))
    for place, first in enumerate(await kept(comparison)):
        messages = comparisons.history(
            await Comparison.objects.aget(), rows, rows[1].replies.all()[place].contender
        )
        assert [(one.role, one.content) for one in messages] == [
            ("system", "짧게"), ("user", "안녕"), ("assistant", first.content), ("user", "또?"),
        ]  # fmt: skip


async def test_a_model_that_fails_says_so_in_its_column_and_the_others_go_on(
    engine, browser, comparison, tuned
):
    await type(tuned).objects.all().adelete()
    async with Socket(browser, comparison.pk) as socket:
        await socket.begin()
        frames = await socket.hear_until("done")
    ends = {frame["column"]: frame for frame in frames if frame["type"] == "end"}
    assert ends[0]["error"] is None
    assert ends[1]["error"]["what"] and ends[1]["error"]["cure"]
    base, gone = await kept(comparison)
    assert base.content and not gone.content
    assert gone.error["code"] == "model_unknown"


async def test_an_engine_that_is_away_is_said_in_every_column(browser, comparison, settings):
    settings.ENGINE_SOCKET = ""
    async with Socket(browser, comparison.pk) as socket:
        await socket.begin()
        frames = await socket.hear_until("done")
    assert [frame["type"] for frame in frames] == ["begun", "end", "end", "done"]
    assert {reply.error["code"] for reply in await kept(comparison)} == {"engine_away"}


@pytest.fixture
def long_comparison(settings, user, roomy_base, tuned):
    """A base and a tuned model whose answers last a while."""
    settings.MODELS = roomy_base.parent
    tuned.base = "roomy"
    tuned.save()
    return comparisons.create(user, ["base:roomy", f"tuned:{tuned.pk}"], question(parameters=LONG))


async def hear_both(socket: Socket) -> None:
    heard: set[int] = set()
    while len(heard) < 2:
        frame = await socket.hear()
        if frame["type"] == "delta":
            heard.add(frame["column"])


async def test_stop_ends_all_columns_and_keeps_what_was_said(engine, browser, long_comparison):
    async with Socket(browser, long_comparison.pk) as socket:
        await socket.begin()
        await hear_both(socket)
        await socket.send('{"type": "stop"}')
        frames = await socket.hear_until("done")
    assert [frame["type"] for frame in frames if frame["type"] != "delta"] == ["end", "end", "done"]
    for reply in await kept(long_comparison):
        assert reply.content
        assert reply.usage["finish_reason"] == "stopped"
    engine.wait_until(lambda: engine.health()["streams"] == 0, 2)
    assert not answers.taken


async def test_closing_the_tab_stops_all_and_keeps_what_was_said(engine, browser, long_comparison):
    async with Socket(browser, long_comparison.pk) as socket:
        await socket.begin()
        await hear_both(socket)
    engine.wait_until(lambda: engine.health()["streams"] == 0, 2)
    assert all(reply.content for reply in await kept(long_comparison))
    assert not answers.taken


async def test_a_comparison_counts_as_one_answer_and_runs_once(engine, browser, long_comparison):
    user = long_comparison.owner_id
    async with Socket(browser, long_comparison.pk) as socket:
        await socket.begin()
        await hear_both(socket)
        assert answers.taken[user] == 1
        async with Socket(browser, long_comparison.pk) as other_tab:
            await other_tab.begin()
            assert (await other_tab.hear())["code"] == "answer_under_way"


async def test_a_comparison_deleted_while_it_is_answered_stays_deleted(
    engine, browser, long_comparison
):
    async with Socket(browser, long_comparison.pk) as socket:
        await socket.begin()
        await hear_both(socket)
        await Comparison.objects.all().adelete()
        await asyncio.sleep(0.1)
    assert not await Reply.objects.aexists()


async def test_a_round_is_begun_once(engine, browser, comparison):
    async with Socket(browser, comparison.pk) as socket:
        await socket.begin()
        await socket.hear_until("done")
        await socket.begin()
        assert (await socket.hear())["code"] == "message_gone"


@pytest.mark.parametrize("number", ["1", True, 0, None, 2**70, [1]])
async def test_what_is_no_round_is_refused(browser, comparison, number):
    async with Socket(browser, comparison.pk) as socket:
        await socket.begin(number)
        refused = await socket.hear()
    assert (refused["code"], refused["refused"]) == ("frame_unreadable", True)


async def test_nobody_else_is_let_in(browser, comparison, user):
    from studio.models import User

    other = await User.objects.acreate(username="other")
    await Comparison.objects.all().aupdate(owner=other)
    async with Socket(browser, comparison.pk) as socket:
        assert await socket.close_code() == 4404
    async with Socket(None, comparison.pk) as socket:
        assert await socket.close_code() == 4401


async def test_frames_of_a_blind_round_never_say_whose_a_column_is(
    engine, browser, user, tuned, settings
):
    models = ["base:tiny", f"tuned:{tuned.pk}", "base:gone"]
    await sync_to_async(comparisons.create)(user, models[:2], question(is_blind=True))
    blind = await Comparison.objects.aget()
    await blind.contenders.filter(model="base:tiny").aupdate(model="base:gone")
    async with Socket(browser, blind.pk) as socket:
        await socket.begin()
        frames = await socket.hear_until("done")
    text = json.dumps(frames, ensure_ascii=False)
    assert not any(name in text for name in (*models, tuned.pk, "gone", tuned.name))
    assert any(frame.get("error") for frame in frames)


@pytest.fixture
def narrow_engine(settings):
    """An engine whose memory holds one of two models: "base:one" or "base:other"."""
    process = EngineProcess(memory=1)
    settings.ENGINE_SOCKET = process.socket
    yield process
    process.end()


@pytest.fixture
def wide_models(settings, tmp_path):
    """Models of three quarters of a megabyte each."""
    settings.MODELS = tmp_path / "models"
    for name in ("one", "other"):
        tiny.build(settings.MODELS / name, hidden_size=96)


async def test_models_that_do_not_fit_together_answer_one_after_the_other(
    wide_models, narrow_engine, browser, user
):
    asked = question(parameters=Parameters(temperature=0, max_tokens=400))
    made = await sync_to_async(comparisons.create)(user, ["base:one", "base:other"], asked)
    async with Socket(browser, made.pk) as socket:
        await socket.begin()
        frames = await socket.hear_until("done")
    assert len([frame for frame in frames if frame["type"] == "waiting"]) == 1
    assert not any(frame.get("error") for frame in frames)
    assert all(reply.content for reply in await kept(made))
