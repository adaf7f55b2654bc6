"""playground/engine as a real process on a real socket."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
import weakref

import pytest
from engine_process import FULL, EngineProcess, events

from training.chat import Renderer


def test_it_answers_before_torch_is_imported(engine_process):
    assert engine_process.up_seconds < 5
    assert engine_process.health()["pid"] == engine_process.process.pid


def test_a_model_loads_streams_and_is_unloaded(engine, tiny_base):
    assert engine.models() == {}
    entry = engine.load("base:tiny", tiny_base)
    assert entry["state"] == "ready"
    assert entry["bytes"] == (tiny_base / "model.safetensors").stat().st_size
    text, last = engine.complete(max_tokens=10)
    assert text
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["usage"]["completion_tokens"] == 10
    assert last["usage"]["prompt_tokens"] == 3
    assert engine.http.post("/unload_model", json={"model": "base:tiny"}).status_code == 200
    assert engine.models() == {}
    with engine.open() as response:
        assert response.status_code == 400
        response.read()
        assert response.json()["error"]["code"] == "model_not_loaded"


def test_the_text_is_that_of_the_loop_itself(engine, tiny_base):
    from training.lm import generate, load

    engine.load("base:tiny", tiny_base)
    text, _ = engine.complete(max_tokens=40)
    ids = list(generate.stream(load.model(tiny_base), [5, 6, 7], max_tokens=40))
    stream = generate.TextStream(Renderer(tiny_base).decode)
    assert text == "".join(stream.push(i) for i in ids) + stream.finish()


def test_a_stop_id_ends_the_text_and_stays_out_of_it(engine, tiny_base):
    from training.lm import generate, load

    ids = list(generate.stream(load.model(tiny_base), [5, 6, 7], max_tokens=8))
    engine.load("base:tiny", tiny_base)
    text, last = engine.complete(max_tokens=8, stop_token_ids=[ids[4]])
    before = ids[: ids.index(ids[4])]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert text == Renderer(tiny_base).decode(before).rstrip("�")


def test_a_stop_string_ends_the_text_and_stays_out_of_it(engine, tiny_base):
    engine.load("base:tiny", tiny_base)
    whole, _ = engine.complete(max_tokens=40)
    stop = whole[5:8]
    text, last = engine.complete(max_tokens=40, stop=["못 볼 말", stop])
    assert text == whole[: whole.index(stop)]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert engine.health()["streams"] == 0


def test_a_repetition_penalty_changes_what_is_said(engine, tiny_base):
    from training.lm import generate, load

    engine.load("base:tiny", tiny_base)
    sampling = generate.Sampling(repetition_penalty=1.5)
    model = load.model(tiny_base)
    ids = list(generate.stream(model, [5, 6, 7], max_tokens=24, sampling=sampling))
    text, _ = engine.complete(max_tokens=24, repetition_penalty=1.5)
    assert text == Renderer.of(tiny_base).decode(ids)


def test_the_same_seed_says_the_same(engine, tiny_base):
    engine.load("base:tiny", tiny_base)
    said = [engine.complete(max_tokens=20, temperature=1, seed=seed)[0] for seed in (4, 4, 5)]
    assert said[0] == said[1] != said[2]


def test_two_adapters_and_their_base_speak_for_themselves(
    engine, tiny_base, adapter, other_adapter
):
    engine.load("base:tiny", tiny_base)
    alone = engine.complete(max_tokens=16)[0]
    assert engine.load_adapter("tuned:a", adapter, "base:tiny", tiny_base)["state"] == "ready"
    assert engine.load_adapter("tuned:b", other_adapter, "base:tiny", tiny_base)["base"]
    names = ("base:tiny", "tuned:a", "tuned:b")
    said = {name: engine.complete(model=name, max_tokens=16)[0] for name in names}
    assert len(set(said.values())) == 3
    assert said["base:tiny"] == alone
    assert engine.complete(model="tuned:a", max_tokens=16)[0] == said["tuned:a"]
    engine.http.post("/v1/unload_lora_adapter", json={"lora_name": "tuned:a"})
    assert engine.complete(model="tuned:b", max_tokens=16)[0] == said["tuned:b"]
    engine.http.post("/v1/unload_lora_adapter", json={"lora_name": "tuned:b"})
    assert engine.complete(max_tokens=16)[0] == alone
    assert engine.load_adapter("tuned:a", adapter, "base:tiny", tiny_base)["state"] == "ready"
    assert engine.complete(model="tuned:a", max_tokens=16)[0] == said["tuned:a"]


def test_an_adapter_says_what_peft_says(engine, tiny_base, adapter):
    from training.lm import generate, load

    engine.load_adapter("tuned:a", adapter, "base:tiny", tiny_base)
    text, _ = engine.complete(model="tuned:a", max_tokens=24)
    model = load.model(tiny_base, adapter=adapter)
    ids = list(generate.stream(model, [5, 6, 7], max_tokens=24))
    assert text == Renderer(tiny_base).decode(ids).rstrip("�")


def test_an_adapter_brings_its_base_unseen(engine, tiny_base, adapter):
    engine.load_adapter("tuned:a", adapter, "base:tiny", tiny_base)
    assert list(engine.models()) == ["tuned:a"]
    assert engine.complete(model="tuned:a", max_tokens=4)[0]


def test_the_base_may_go_while_its_adapter_stays(engine, tiny_base, adapter):
    engine.load("base:tiny", tiny_base)
    engine.load_adapter("tuned:a", adapter, "base:tiny", tiny_base)
    engine.http.post("/unload_model", json={"model": "base:tiny"})
    assert list(engine.models()) == ["tuned:a"]
    assert engine.complete(model="tuned:a", max_tokens=4)[0]


def test_two_people_stream_at_once_to_two_models_of_one_base(engine, roomy_base, adapter):
    engine.load("base:tiny", roomy_base)
    engine.load_adapter("tuned:a", adapter, "base:tiny", roomy_base)
    alone = engine.complete(model="tuned:a", max_tokens=40)[0]
    with engine.open(max_tokens=4096) as first:
        lines = first.iter_lines()
        next(lines)
        text, last = engine.complete(model="tuned:a", max_tokens=40)
        assert engine.health()["streams"] == 1  # the first goes on
        assert engine.health()["waiting"] == 0
    assert text == alone
    assert last["choices"][0]["finish_reason"] == "length"


def test_the_next_turn_is_told_what_it_did_not_pay_for(engine, roomy_base):
    engine.load("base:tiny", roomy_base)
    prompt = [5 + place % 50 for place in range(100)]
    before, after = (engine.complete(prompt=prompt, max_tokens=2) for _ in range(2))
    assert before[0] == after[0]
    cached = [one[1]["usage"]["prompt_tokens_details"]["cached_tokens"] for one in (before, after)]
    assert cached == [0, 96]


def test_whoever_finds_no_room_waits_in_line_and_moves_up(engine, roomy_base):
    engine.load("base:tiny", roomy_base)
    places: list[int] = []

    def last() -> None:
        with engine.open(max_tokens=4096) as response:
            for kind, value in events(response):
                if kind == "message":
                    return
                places.append(value["place"])

    with contextlib.ExitStack() as streams:
        lines = [
            streams.enter_context(engine.open(max_tokens=4096)).iter_lines() for _ in range(FULL)
        ]
        for one in lines:
            next(one)
        with engine.open(max_tokens=4096) as second:
            engine.wait_until(lambda: engine.health()["waiting"] == 1)
            thread = threading.Thread(target=last)
            thread.start()
            engine.wait_until(lambda: engine.health()["waiting"] == 2)
            time.sleep(0.2)
            assert second.status_code == 200
        engine.wait_until(lambda: engine.health()["waiting"] == 1)
        time.sleep(0.2)
    thread.join(20)
    assert places == [2, 1]


def test_a_listener_who_leaves_frees_the_line(engine, roomy_base):
    engine.load("base:tiny", roomy_base)
    with engine.open(max_tokens=4096) as response:
        lines = response.iter_lines()
        next(lines)
        assert engine.health()["streams"] == 1
    left = time.monotonic()
    engine.wait_until(lambda: engine.health()["streams"] == 0, 5)
    assert time.monotonic() - left < 1


def test_frames_come_at_most_twenty_times_a_second(engine, roomy_base):
    engine.load("base:tiny", roomy_base)
    times = []
    with engine.open(max_tokens=600) as response:
        for kind, _ in events(response):
            times.append(time.monotonic())
            assert kind == "message"
    assert len(times) <= 25 * (times[-1] - times[0]) + 5


def test_unloading_ends_a_stream_with_the_reason(engine, roomy_base):
    engine.load("base:tiny", roomy_base)
    with engine.open(max_tokens=4096) as response:
        stream = events(response)
        next(stream)
        assert engine.http.post("/unload_model", json={"model": "base:tiny"}).status_code == 200
        *_, (_, last) = stream
    assert last["error"]["code"] == "model_unloaded"


def test_release_gives_back_idle_models_only(engine, roomy_base, tiny_base):
    engine.load("base:tiny", roomy_base)
    engine.load("base:idle", tiny_base)
    with engine.open(max_tokens=4096) as response:
        lines = response.iter_lines()
        next(lines)
        assert engine.http.post("/release", json={}).json() == {"released": ["base:idle"]}
        assert list(engine.models()) == ["base:tiny"]


def test_a_folder_that_the_gate_refuses_is_a_failed_model_with_its_reason(
    engine, tiny_base, tmp_path
):
    folder = tmp_path / "evil"
    shutil.copytree(tiny_base, folder)
    (folder / "weights.bin").write_bytes(b"x")
    entry = engine.load("base:evil", folder)
    assert entry["state"] == "failed"
    assert entry["error"]["code"] == "gate_file"
    with engine.open(model="base:evil") as response:
        response.read()
        assert response.json()["error"]["code"] == "gate_file"
    (folder / "weights.bin").unlink()
    assert engine.load("base:evil", folder)["state"] == "ready"


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/completions", {"stream": False}),
        ("/v1/completions", {"prompt": []}),
        ("/v1/completions", {"prompt": "text"}),
        ("/v1/completions", {"prompt": [-1]}),
        ("/v1/completions", {"prompt": [True]}),
        ("/v1/completions", {"prompt": [100_000]}),
        ("/v1/completions", {"prompt": [5] * 8192}),
        ("/v1/completions", {"max_tokens": 0}),
        ("/v1/completions", {"max_tokens": 5000}),
        ("/v1/completions", {"max_tokens": "many"}),
        ("/v1/completions", {"temperature": 2.1}),
        ("/v1/completions", {"temperature": float("nan")}),
        ("/v1/completions", {"top_p": 0}),
        ("/v1/completions", {"model": "../../etc"}),
        ("/v1/completions", {"model": 7}),
        ("/load_model", {"model": "base:x", "path": "relative"}),
        ("/load_model", {"model": "base:x"}),
        ("/v1/load_lora_adapter", {"lora_name": "tuned:x", "lora_path": "/x"}),
        ("/unload_model", {"model": "base:nobody"}),
    ],
)
def test_a_bad_request_is_refused_with_an_openai_error(engine, roomy_base, route, body):
    if route == "/v1/completions":
        engine.load("base:tiny", roomy_base)
        body = {"model": "base:tiny", "prompt": [5], "stream": True} | body
    answer = engine.http.post(route, content=json.dumps(body))
    assert answer.status_code == 400
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}


def test_what_is_no_json_object_is_refused(engine):
    for content in (b"{", b"[1]", b"\xff\xfe", b"[" * 100_000):
        assert engine.http.post("/load_model", content=content).status_code == 400


def test_a_huge_body_is_refused(engine):
    answer = engine.http.post("/load_model", content=b" " * (9 * 1024 * 1024))
    assert answer.status_code == 413


def test_an_unknown_route_is_404(engine):
    assert engine.http.get("/v1/nothing").status_code == 404


def test_it_leaves_within_three_seconds_of_sigterm_with_a_stream_open(roomy_base):
    engine = EngineProcess()
    try:
        engine.load("base:tiny", roomy_base)
        with engine.open(max_tokens=4096) as response:
            lines = response.iter_lines()
            next(lines)
            asked = time.monotonic()
            os.kill(engine.process.pid, signal.SIGTERM)
            assert engine.process.wait(5) == 0
            assert time.monotonic() - asked < 3
    finally:
        engine.end()


def test_an_engine_that_was_killed_comes_back_with_what_it_held(tiny_base, adapter, tmp_path):
    killed = EngineProcess()
    try:
        killed.load("base:kept", tiny_base)
        killed.load_adapter("tuned:kept", adapter, "base:kept", tiny_base)
        killed.load("base:unloaded", tiny_base)
        killed.http.post("/unload_model", json={"model": "base:unloaded"})
        expected, _ = killed.complete(model="tuned:kept")
        os.killpg(killed.process.pid, signal.SIGKILL)
        killed.process.wait()
        again = EngineProcess(killed.folder)
        try:
            assert sorted(again.models()) == ["base:kept", "tuned:kept"]
            assert again.settled("tuned:kept")["state"] == "ready"
            assert again.complete(model="tuned:kept")[0] == expected
        finally:
            again.end()
    finally:
        killed.end()


def test_a_model_that_killed_the_engine_is_not_brought_back_again(tiny_base, tmp_path):
    from playground.engine.shelf import Shelf

    notes = tmp_path / "loaded"
    notes.write_text(json.dumps([["base:tiny", str(tiny_base), None, None]]))
    shelf = Shelf(1, notes=notes)
    assert not notes.exists()
    shelf.sweep().result(60)
    assert json.loads(notes.read_text())[0][0] == "base:tiny"


def test_it_leaves_at_once_while_torch_is_being_imported():
    engine = EngineProcess()
    try:
        asked = time.monotonic()
        os.kill(engine.process.pid, signal.SIGTERM)
        assert engine.process.wait(5) == 0
        assert time.monotonic() - asked < 3
    finally:
        engine.end()


def test_a_socket_path_that_is_too_long_is_refused_in_one_line():
    command = [sys.executable, "-m", "playground.engine", "--socket", "/tmp/" + "x" * 120]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.search("107 bytes", done.stderr)


async def test_giving_up_in_the_moment_of_an_event_is_not_lost():
    from playground.engine import app

    ticket = types.SimpleNamespace(events=asyncio.Queue())
    waiting = asyncio.create_task(app._next_events(ticket))
    for _ in range(3):
        await asyncio.sleep(0)
    ticket.events.put_nowait("event")
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()


async def test_release_lets_go_of_the_weights_after_talking(tiny_base):
    from playground.engine import wire
    from playground.engine.app import Engine
    from playground.engine.shelf import Shelf

    engine = Engine(Shelf(threads=1))
    entry = engine.shelf.load(wire.Load("base:tiny", tiny_base))
    await asyncio.wrap_future(engine.shelf.sweep())
    weights = weakref.ref(entry.weights.decoder or entry.weights.model)
    request = {"model": "base:tiny", "prompt": [5], "max_tokens": 3, "stream": True}
    ticket = engine.line.join(wire.completion(request))
    while (await ticket.events.get()).finish_reason is None:
        pass
    assert not engine.line.streams
    del ticket
    released, done = engine.shelf.release()
    await asyncio.wrap_future(done)
    assert released == ["base:tiny"]
    EngineProcess.wait_until(lambda: weights() is None)  # till the round is over


def test_a_model_that_memory_has_no_room_for_is_refused(tiny_base, monkeypatch):
    from playground.engine import shelf, wire

    kept = shelf.Shelf(1)
    monkeypatch.setattr(
        shelf.psutil, "virtual_memory", lambda: types.SimpleNamespace(available=1000)
    )
    entry = kept.load(wire.Load("base:tiny", tiny_base))
    kept.sweep().result(60)
    assert (entry.state, entry.error.code) == ("failed", "engine_memory_short")
