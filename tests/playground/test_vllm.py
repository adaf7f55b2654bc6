"""playground/vllm.py against a stand-in that holds every request to what vLLM documents, and runs a
real model: what it says is what our own engine says."""

import asyncio
import contextlib
import json
import logging
import shutil
import socket
import subprocess
import time

import httpx
import pytest
from asgiref.sync import async_to_sync
from vllm_server import VllmServer

from playground import client, servers
from playground.client import Delta, Done, Loading, Trimmed
from playground.parameters import Parameters
from training import health
from training.chat import Message, Renderer
from training.errors import UserError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tiny_catalogue")]
QUESTION = [Message("user", "오늘 날씨 어때요?")]
GREEDY = Parameters(temperature=0, max_tokens=24)
KEY = "a-secret-that-nobody-sees"


async def collect(name, messages=QUESTION, parameters=GREEDY) -> list:
    return [event async for event in client.stream(name, messages, parameters)]


def text_of(events) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def code_of(name="base:tiny", messages=QUESTION, parameters=GREEDY) -> str:
    with pytest.raises(UserError) as caught:
        await collect(name, messages, parameters)
    return caught.value.code


@pytest.fixture
def serve(tiny_base, settings):
    """Start servers and name them in the settings; in the end none was asked what is not documented."""
    started: list[VllmServer] = []
    servers._listings.clear()
    settings.ENGINES, settings.ENGINE_KEY, settings.ENGINE_SOCKET = [], "", ""

    def start(folder=tiny_base, **fields) -> VllmServer:
        started.append(VllmServer(folder, **({"served": "tiny"} | fields)))
        settings.ENGINES = list(dict.fromkeys(server.url for server in started))
        return started[-1]

    yield start
    for server in started:
        server.end()
    servers._listings.clear()
    assert [refused for server in started for refused in server.outside] == []


@pytest.fixture
def nobody() -> str:
    """The address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- talking ------------------------------------------------------------------------------------


async def test_base_and_adapter_say_what_they_say_in_our_own_engine(engine, serve, settings, tuned):
    names = ["base:tiny", f"tuned:{tuned.pk}"]
    settings.ENGINES = []
    settings.ENGINE_SOCKET = engine.socket
    ours = [await collect(name) for name in names]
    engine.unload_all()
    server = serve()
    theirs = [await collect(name) for name in names]
    assert [text_of(events) for events in theirs] == [text_of(events) for events in ours]
    assert text_of(theirs[0]) != text_of(theirs[1])
    assert engine.models() == {}
    for one, other in zip(theirs, ours, strict=True):
        assert one[-1].finish_reason == other[-1].finish_reason
        for key in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert one[-1].usage[key] == other[-1].usage[key]
    assert len(server.called("/v1/completions")) == 2


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(temperature=0, max_tokens=24, repetition_penalty=1.5),
        Parameters(temperature=0, max_tokens=24, stop=("?!", "맑", "서울")),
    ],
)
async def test_penalty_and_stop_strings_mean_the_same_on_both(
    engine, serve, settings, tuned, parameters
):
    settings.ENGINE_SOCKET, name = engine.socket, f"tuned:{tuned.pk}"
    plain = text_of(await collect(name))
    ours = await collect(name, parameters=parameters)
    serve()
    theirs = await collect(name, parameters=parameters)
    assert text_of(theirs) == text_of(ours) != plain
    assert theirs[-1].finish_reason == ours[-1].finish_reason


async def test_a_stop_string_ends_an_answer_before_itself(serve, tuned):
    serve()
    whole = text_of(await collect(f"tuned:{tuned.pk}"))
    stop = whole[len(whole) // 2 :][:2]
    parameters = Parameters(0, max_tokens=24, stop=(stop,))
    events = await collect(f"tuned:{tuned.pk}", parameters=parameters)
    assert text_of(events) == whole[: whole.index(stop)]
    assert events[-1].finish_reason == "stop"


async def test_text_comes_as_it_is_made_and_time_is_measured_here(serve):
    serve()
    events = await collect("base:tiny")
    deltas = [event for event in events if isinstance(event, Delta)]
    assert len(deltas) > 3
    counts = [event.usage["completion_tokens"] for event in deltas]
    assert counts == sorted(counts)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.usage["completion_tokens"] == 24 and done.finish_reason == "length"
    assert 0 < done.usage["first_token_seconds"] <= done.usage["seconds"]


async def test_a_request_leaves_nothing_to_the_models_own_defaults(serve, tiny_base):
    server = serve()
    chosen = Parameters(0.5, 0.9, 8, 1.2, ("\n\n",), 7)
    await collect("base:tiny", parameters=chosen)
    (body,) = server.called("/v1/completions")
    renderer = Renderer(tiny_base)
    assert body == {
        "model": "tiny", "prompt": renderer.prompt(QUESTION), "max_tokens": 8, "temperature": 0.5,
        "top_p": 0.9, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.2, "presence_penalty": 0.0,
        "frequency_penalty": 0.0, "stop": ["\n\n"], "seed": 7,
        "stop_token_ids": sorted(renderer.stop_ids), "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }  # fmt: skip


async def test_line_breaks_of_unicode_within_an_answer_cut_nothing(serve):
    server = serve()
    server.says = ["한\u2028줄", "\x85과\u2029 ", "\x1c또 🙂"]
    assert text_of(await collect("base:tiny")) == "".join(server.says)


async def test_closing_the_stream_has_the_server_stop(serve, settings, roomy_base):
    settings.MODELS = roomy_base.parent
    server = serve(roomy_base, served="roomy", max_model_len=8192)
    long = Parameters(temperature=0, max_tokens=4096)
    async with contextlib.aclosing(client.stream("base:roomy", QUESTION, long)) as events:
        async for event in events:
            if isinstance(event, Delta):
                break
    for _ in range(100):
        if not server.running:
            break
        await asyncio.sleep(0.05)
    assert server.running == 0 and server.aborted == 1


async def test_an_answer_that_takes_too_long_ends_with_its_reason(
    serve, settings, roomy_base, monkeypatch
):
    settings.MODELS = roomy_base.parent
    serve(roomy_base, served="roomy", max_model_len=8192)
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.2)
    events = await collect("base:roomy", parameters=Parameters(temperature=0, max_tokens=4096))
    assert events[-1].finish_reason == "time"


async def test_conversation_and_answer_fit_the_context_that_the_server_has(serve):
    server = serve(max_model_len=128)
    turns = [Message("user", "질문"), Message("assistant", "맑습니다 " * 10)] * 8
    events = await collect("base:tiny", [*turns, *QUESTION], Parameters(0, max_tokens=4096))
    assert isinstance(events[0], Trimmed)
    (body,) = server.called("/v1/completions")
    assert len(body["prompt"]) + body["max_tokens"] == 128


async def test_a_question_longer_than_the_servers_context_is_refused(serve):
    serve(max_model_len=32)
    with pytest.raises(UserError) as caught:
        await collect("base:tiny", [Message("user", "가나다라 " * 20)])
    assert (caught.value.code, caught.value.params["limit"]) == ("prompt_too_long", 31)


async def test_a_server_that_says_the_context_is_exceeded_is_believed(serve, monkeypatch):
    monkeypatch.setattr(servers, "FRESH_SECONDS", 60)
    server = serve()
    servers.look(server.url)
    server.max_model_len = 16
    assert await code_of() == "prompt_too_long"


# --- which server answers -------------------------------------------------------------------------


async def test_a_server_is_known_by_its_folder(serve):
    server = serve(served="whatever")
    assert text_of(await collect("base:tiny"))
    assert server.called("/v1/completions")[0]["model"] == "whatever"


@pytest.mark.parametrize("served", ["tiny", "base:tiny"])
async def test_a_server_elsewhere_is_known_by_name(serve, served, tiny_base, tmp_path):
    server = serve(shutil.copytree(tiny_base, tmp_path / "elsewhere"), served=served)
    assert text_of(await collect("base:tiny"))
    assert server.called("/v1/completions")[0]["model"] == server.served


async def test_a_server_is_known_by_the_hubs_name_of_a_base(serve, settings, tiny_base, tmp_path):
    from training.hub import origin

    settings.MODELS = tmp_path / "models"
    folder = shutil.copytree(tiny_base, settings.MODELS / "kept-here")
    origin.write(folder, origin.Origin("acme/tiny-1"))
    server = serve(tiny_base, served="acme/tiny-1")
    assert text_of(await collect("base:kept-here"))
    assert server.called("/v1/completions")


async def test_what_no_server_has_is_answered_by_our_own_engine(engine, serve, settings):
    server = serve(served="another", folder=settings.MODELS / "another-folder")
    settings.ENGINE_SOCKET = engine.socket
    assert text_of(await collect("base:tiny"))
    assert "base:tiny" in engine.models()
    assert server.called("/v1/completions") == []


def test_a_whole_model_of_ours_is_answered_where_its_folder_is_served(serve, tuned, tiny_base):
    from training import registry

    folder = registry.folder(tuned)
    shutil.rmtree(folder)
    shutil.copytree(tiny_base, folder)
    tuned.method = "full"
    tuned.save(update_fields=["method"])
    server = serve(folder, served="")
    assert text_of(async_to_sync(collect)(f"tuned:{tuned.pk}"))
    assert client.state(f"tuned:{tuned.pk}").stays
    assert server.called("/v1/load_lora_adapter") == []


async def test_of_two_servers_with_a_base_one_that_is_there_answers(serve, settings, nobody):
    first = serve()
    client.state("base:tiny")
    second = serve()
    first.end()
    servers.forget(first.url)
    assert text_of(await collect("base:tiny"))
    assert second.called("/v1/completions")


# --- what is in memory ----------------------------------------------------------------------------


def test_an_adapter_is_loaded_once_and_unloaded(serve, tuned):
    from training import registry

    server, name = serve(), f"tuned:{tuned.pk}"
    assert client.state(name).state == "away"
    assert async_to_sync(collect)(name)[0] == Loading()
    assert Loading() not in async_to_sync(collect)(name)
    (body,) = server.called("/v1/load_lora_adapter")
    assert body == {"lora_name": name, "lora_path": str(registry.folder(tuned))}
    assert client.state(name) == client.ModelState(name, "ready", base="tiny")
    client.load(name)
    client.unload(name)
    assert client.state(name).state == "away" and server.adapters == {}
    client.unload(name)


async def test_two_who_load_an_adapter_at_once_both_get_it(serve, tuned):
    server, name = serve(), f"tuned:{tuned.pk}"
    both = await asyncio.gather(collect(name), collect(name))
    assert text_of(both[0]) == text_of(both[1]) != ""
    assert list(server.adapters) == [name]


async def test_a_server_that_began_anew_gets_the_adapter_again(serve, tuned, monkeypatch):
    monkeypatch.setattr(servers, "FRESH_SECONDS", 60)
    server, name = serve(), f"tuned:{tuned.pk}"
    said = text_of(await collect(name))
    server.adapters.clear()
    assert await code_of(name) == "engine_model_missing"  # seen when it is asked, …
    assert text_of(await collect(name)) == said  # … and then mended


def test_what_a_server_was_started_with_is_there_and_stays(serve):
    server = serve()
    assert client.state("base:tiny") == client.ModelState("base:tiny", "ready", stays=True)
    client.load("base:tiny")
    with pytest.raises(UserError) as caught:
        client.unload("base:tiny")
    assert caught.value.code == "engine_keeps_base"
    assert {path for path, _body in server.calls} == {"/v1/models"}


def test_giving_memory_back_asks_our_own_engine_alone(engine, serve, settings):
    server = serve()
    settings.ENGINE_SOCKET = engine.socket
    assert client.release() == []
    assert server.calls == []


def test_deleting_a_model_has_the_server_let_go_of_it(serve, tuned):
    from playground import apps

    server, name = serve(), f"tuned:{tuned.pk}"
    client.load(name)
    apps.let_go(tuned)
    assert server.adapters == {}


# --- what goes wrong ------------------------------------------------------------------------------


async def test_a_server_that_went_away_is_named_and_comes_back(serve, monkeypatch):
    monkeypatch.setattr(servers, "PAUSE_SECONDS", 0)
    server = serve()
    assert client.state("base:tiny").state == "ready"
    server.end()
    servers.forget(server.url)
    with pytest.raises(UserError) as caught:
        await collect("base:tiny")
    assert caught.value.code == "engine_unreachable"
    assert caught.value.params == {"engine": server.name}
    serve(port=server.port)
    assert text_of(await collect("base:tiny"))


async def test_a_server_that_was_never_there_holds_up_nobody(engine, settings, nobody, serve):
    settings.ENGINES, settings.ENGINE_SOCKET = [nobody], engine.socket
    assert text_of(await collect("base:tiny"))


def test_a_server_that_does_not_answer_is_waited_for_once_and_then_left_alone(serve, monkeypatch):
    monkeypatch.setattr(servers, "LOOK", httpx.Timeout(0.3))
    hanging = [serve(), serve(), serve()]
    for server in hanging:
        server.fault = "hang"
    began = time.monotonic()
    for _ in range(5):
        found = servers.look_at_all()
    assert time.monotonic() - began < 2
    assert {listing.problem.code for _url, listing in found} == {"engine_unreachable"}
    assert [server.visits for server in hanging] == [1, 1, 1]


async def test_a_key_is_sent_and_a_wrong_one_is_said(serve, settings, caplog):
    server = serve(key=KEY)
    settings.ENGINE_KEY = KEY
    assert text_of(await collect("base:tiny"))
    server.key = "another"
    servers.forget(server.url)
    with caplog.at_level(logging.DEBUG):
        assert await code_of() == "engine_refused_key"
    assert KEY not in caplog.text and server.name in caplog.text


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate")
def test_certificates_are_checked(serve, tmp_path, monkeypatch, caplog):
    certificate = tmp_path / "gpu.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=gpu", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", certificate.with_suffix(".key"), "-out", certificate),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    server = serve(certificate=certificate)
    assert servers.look(server.url).problem.code == "engine_unreachable"
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text and server.visits == 0
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    servers._certificates.cache_clear()
    servers.forget(server.url)
    assert client.state("base:tiny").state == "ready"
    servers._certificates.cache_clear()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"takes_adapters": False}, "engine_adapters_off"),
        ({"has_lora": False}, "engine_adapters_off"),
        ({"max_lora_rank": 2}, "engine_adapter_refused"),
    ],
)
async def test_a_server_that_takes_no_adapter_says_why(serve, tuned, fields, code):
    serve(**fields)
    assert await code_of(f"tuned:{tuned.pk}") == code


async def test_an_adapter_that_the_server_cannot_see_is_said(serve, tuned):
    from training import registry

    serve()
    settings_of_adapter = registry.folder(tuned) / "adapter_config.json"
    settings_of_adapter.rename(settings_of_adapter.with_suffix(".away"))
    assert await code_of(f"tuned:{tuned.pk}") == "engine_adapter_refused"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("die", "engine_unreachable"),
        ("break", "generation_failed"),
        ("cut", "engine_garbled"),
        ("abort", "generation_failed"),
        ("garbage", "engine_garbled"),
        ("flat", "generation_failed"),
        ("gateway", "engine_unreachable"),
        ("redirect", "engine_garbled"),
    ],
)
async def test_whatever_goes_wrong_with_an_answer_has_its_words(serve, fault, code, monkeypatch):
    monkeypatch.setattr(servers, "FRESH_SECONDS", 60)
    server = serve()
    servers.look(server.url)
    server.fault = fault
    assert await code_of() == code
    assert [path for path, _body in server.calls if "elsewhere" in path] == []


@pytest.mark.parametrize("fault", ["gateway", "redirect"])
def test_whatever_goes_wrong_with_a_look_has_its_words(serve, fault):
    server = serve()
    server.fault = fault
    problem = servers.look(server.url).problem
    assert problem.code == ("engine_unreachable" if fault == "gateway" else "engine_garbled")


@pytest.mark.parametrize(
    "said",
    [
        {}, [], {"data": None}, {"data": [3]}, {"data": [{"root": "/x"}]}, {"data": {"id": "tiny"}},
    ],
)  # fmt: skip
def test_a_list_of_models_that_cannot_be_read_is_said(serve, said):
    server = serve()
    server._models = lambda: said
    assert servers.look(server.url).problem.code == "engine_garbled"


def test_odd_values_in_a_list_of_models_do_no_harm(serve):
    server = serve()
    odd = {"root": "/a\0b", "max_model_len": "long", "parent": None}
    server._models = lambda: {"data": [{"id": 7}, {"id": "x"} | odd, {"id": "tiny"} | odd]}
    assert client.state("base:tiny").state == "ready"


async def test_what_was_said_before_the_end_is_kept(serve):
    server = serve()
    server.fault, server.says = "die", ["먼저 ", "나중"]
    heard = []
    with pytest.raises(UserError):
        async for event in client.stream("base:tiny", QUESTION, GREEDY):
            heard.append(event)
    assert text_of(heard) == "먼저 "


async def test_nothing_that_people_wrote_is_logged(serve, caplog):
    server = serve()
    server.fault = "flat"
    with caplog.at_level(logging.DEBUG):
        await code_of(messages=[Message("user", "비밀이야기")])
    prompt = server.called("/v1/completions")[0]["prompt"]
    assert "비밀이야기" not in caplog.text and json.dumps(prompt[:8])[1:-1] not in caplog.text


# --- pages and those who watch --------------------------------------------------------------------


def test_pages_offer_no_unloading_of_what_stays(serve, user, tuned):
    from django.test import Client
    from django.urls import reverse

    serve()
    browser = Client()
    browser.force_login(user)

    def shown(name: str) -> str:
        return browser.get(reverse("playground-state"), {"model": name}).content.decode()

    assert "로드됨" in shown("base:tiny") and "내리기" not in shown("base:tiny")
    assert ">로드<" in shown(f"tuned:{tuned.pk}")
    client.load(f"tuned:{tuned.pk}")
    assert "내리기" in shown(f"tuned:{tuned.pk}")


def test_pages_stand_while_a_server_is_away(serve, user, tuned):
    from django.test import Client
    from django.urls import reverse

    server = serve()
    client.state("base:tiny")
    server.end()
    servers.forget(server.url)
    browser = Client()
    browser.force_login(user)
    page = browser.get(reverse("playground"), {"model": "base:tiny"})
    assert page.status_code == 200
    assert server.name in page.text and "every 5s" in page.text
    assert browser.get(reverse("models")).status_code == 200
    state = {"model": "base:tiny", "away": "1"}
    assert browser.get(reverse("playground-state"), state).status_code == 204


def test_health_tells_which_servers_answer(serve, settings, nobody):
    from playground import apps

    assert apps.engines() == health.Finding(health.OFF)
    server = serve()
    assert apps.engines() == health.Finding(health.OK, {"servers": {server.name: "ok"}})
    settings.ENGINES = [server.url, nobody]
    found = apps.engines()
    away = nobody.removeprefix("http://")
    assert found.status == health.DEGRADED
    assert found.figures["servers"] == {server.name: "ok", away: "engine_unreachable"}
    settings.ENGINES = [nobody]
    assert apps.engines().status == health.DOWN
