"""The one place that talks to an engine: names and messages in, states and text out.

Renders conversations with training/chat.py, so that talking is what training was. Nobody else
knows the engine's address or its dialect.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpx
from channels.db import database_sync_to_async
from django.conf import settings

from playground import homes, prompts
from playground.parameters import Parameters
from training.chat import Message
from training.errors import UserError

SHORT = httpx.Timeout(5)
LONG = httpx.Timeout(60, connect=5)
"""While it streams, the engine is never silent for more than a few seconds."""
ANSWER_SECONDS = 600
"""Wall time of one answer, from its first token."""
LOAD_SECONDS = 900
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class ModelState:
    name: str
    state: str = "away"
    """away (not in memory), loading, ready or failed."""
    error: UserError | None = None
    size_bytes: int = 0
    base: str | None = None

    @classmethod
    def of(cls, entry: dict) -> "ModelState":
        error = entry.get("error")
        problem = UserError(error["code"], **error.get("params", {})) if error else None
        return cls(entry["id"], entry["state"], problem, entry["bytes"], entry["base"])


@dataclass(frozen=True)
class Trimmed:
    count: int
    """Messages that were left out, the oldest ones."""


@dataclass(frozen=True)
class Loading:
    """The model is being loaded; text follows when it is there."""


@dataclass(frozen=True)
class Queued:
    place: int
    """1 = next."""


@dataclass(frozen=True)
class Delta:
    text: str
    usage: dict
    """prompt_tokens, completion_tokens, seconds, first_token_seconds so far."""


@dataclass(frozen=True)
class Done:
    finish_reason: str
    """stop, length, or time when the answer took too long."""
    usage: dict


Event = Trimmed | Loading | Queued | Delta | Done


# --- what is in memory ------------------------------------------------------------------------


def models() -> dict[str, ModelState]:
    """Raises: UserError("engine_away")."""
    states = [ModelState.of(entry) for entry in _call("GET", "/v1/models")["data"]]
    return {state.name: state for state in states}


def state(name: str) -> ModelState:
    """Raises: UserError("engine_away")."""
    return models().get(name) or ModelState(name)


def load(name: str) -> None:
    """Begin to load a model; state() tells how it goes.

    Raises: UserError("engine_away"), UserError("model_unknown"), or the base's own problem.
    """
    path, body = _load_request(name)
    _call("POST", path, body)


def unload(name: str) -> None:
    """Take a model out of memory; fine when it is not there.

    Raises: UserError("engine_away").
    """
    try:
        _call("POST", "/unload_model", {"model": name}, LONG)
    except UserError as problem:
        if problem.code != "model_not_loaded":
            raise


def release() -> list[str]:
    """Give back what models hold that nobody is talking to; return their names.

    Raises: UserError("engine_away").
    """
    return _call("POST", "/release", {}, LONG)["released"]


def _in_database(function):
    """Call a function that reads rows in a thread of its own, which lets its connection go."""
    return database_sync_to_async(function, thread_sensitive=False)


def _load_request(name: str) -> tuple[str, dict]:
    """Return route and body that load a name; the paths are made here, from ids."""
    home = homes.find(name)
    if home.base is None:
        return "/load_model", {"model": name, "path": str(home.folder)}
    return "/v1/load_lora_adapter", {
        "lora_name": name,
        "lora_path": str(home.folder),
        "base": f"base:{home.base.slug}",
        "base_path": str(home.base.folder),
    }


# --- talking ----------------------------------------------------------------------------------


async def stream(
    name: str, messages: Sequence[Message], parameters: Parameters
) -> AsyncGenerator[Event]:
    """Yield what happens while a model answers the last message; close it to stop.

    A model that is not in memory is loaded first. Where the conversation is longer than the
    model's context, its oldest turns are left out and Trimmed says so.

    Raises: UserError ("engine_away", "prompt_too_long", why the model can't be loaded, …).
    """
    prompt = await _in_database(prompts.fit)(name, messages, parameters.max_tokens)
    if prompt.dropped:
        yield Trimmed(prompt.dropped)
    async for event in _make_ready(name):
        yield event
    body = parameters.as_dict() | {
        "model": name,
        "prompt": prompt.ids,
        "stop_token_ids": prompt.stop_ids,
        "stream": True,
    }
    # closed at once with this generator, not when the garbage collector comes by: that is what
    # tells the engine to stop
    async with aclosing(_complete(body)) as events:
        async for event in events:
            yield event


async def _make_ready(name: str) -> AsyncGenerator[Event]:
    """Load a model if need be, and wait until it is in memory."""
    asked, deadline = False, time.monotonic() + LOAD_SECONDS
    while (found := await _state(name)).state != "ready":
        if found.state == "failed" and asked:
            raise found.error or UserError("model_load_failed", model=name)
        if time.monotonic() > deadline:
            raise UserError("model_load_failed", model=name)
        if found.state == "away" or (found.state == "failed" and not asked):
            path, body = await _in_database(_load_request)(name)
            await _call_async("POST", path, body)
        if not asked:
            yield Loading()
        asked = True
        await asyncio.sleep(POLL_SECONDS)


async def _state(name: str) -> ModelState:
    entries = (await _call_async("GET", "/v1/models"))["data"]
    return next((ModelState.of(e) for e in entries if e["id"] == name), ModelState(name))


async def streams() -> int:
    """Return how many answers the engine is giving, whoever asked.

    Raises: UserError("engine_away").
    """
    return (await _call_async("GET", "/health"))["streams"]


async def _complete(body: dict) -> AsyncGenerator[Event]:
    deadline = None
    async with _talk() as http, http.stream("POST", "/v1/completions", json=body) as response:
        if response.status_code != 200:
            await response.aread()
            _checked(response)
        async with aclosing(_events(response)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    deadline = deadline or time.monotonic() + ANSWER_SECONDS
                if deadline and isinstance(event, Delta) and time.monotonic() > deadline:
                    yield event
                    yield Done("time", event.usage)
                    return
                yield event
                if isinstance(event, Done):
                    return
    raise UserError("engine_away")


async def _events(response: httpx.Response) -> AsyncGenerator[Event]:
    """Turn server-sent events into ours."""
    kind = ""
    async for text in response.aiter_lines():
        if text.startswith("event: "):
            kind = text.removeprefix("event: ")
        elif text.startswith("data: ") and text != "data: [DONE]":
            value = json.loads(text.removeprefix("data: "))
            if "error" in value:
                raise _problem(value)
            if kind == "queued":
                yield Queued(value["place"])
            else:
                for event in _chunk_events(value):
                    yield event
            kind = ""


def _chunk_events(value: dict) -> list[Event]:
    choice, usage = value["choices"][0], value.get("usage") or {}
    events: list[Event] = [Delta(choice["text"], usage)] if choice["text"] else []
    if choice["finish_reason"]:
        events.append(Done(choice["finish_reason"], usage))
    return events


# --- the wire ---------------------------------------------------------------------------------


def _call(method: str, path: str, body: dict | None = None, timeout: httpx.Timeout = SHORT) -> dict:
    with _away_is_a_user_error():
        transport = httpx.HTTPTransport(uds=_socket(), verify=False)
        with httpx.Client(
            transport=transport, base_url="http://engine", timeout=timeout, trust_env=False
        ) as http:
            return _checked(http.request(method, path, json=body))


async def _call_async(method: str, path: str, body: dict | None = None) -> dict:
    async with _talk() as http:
        return _checked(await http.request(method, path, json=body, timeout=SHORT))


@asynccontextmanager
async def _talk() -> AsyncIterator[httpx.AsyncClient]:
    with _away_is_a_user_error():
        transport = httpx.AsyncHTTPTransport(uds=_socket(), verify=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://engine", timeout=LONG, trust_env=False
        ) as http:
            yield http


@contextmanager
def _away_is_a_user_error() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise UserError("engine_away") from error


def _socket() -> str:
    if not settings.ENGINE_SOCKET:
        raise UserError("engine_away")
    return settings.ENGINE_SOCKET


def _checked(response: httpx.Response) -> dict:
    """Raises: UserError that the engine named; RuntimeError for a request of ours it refused."""
    value = response.json()
    if response.is_success:
        return value
    raise _problem(value)


def _problem(value: dict) -> Exception:
    error = value["error"]
    if error.get("code"):
        return UserError(error["code"], **(error.get("params") or {}))
    return RuntimeError(error["message"])
