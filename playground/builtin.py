"""The engine that comes with the product, over its Unix socket: names and ids in, states and events out.

Its dialect is OpenAI's, with vLLM's routes for adapters and ours for loading (playground/engine/app.py).
Knows no rows and no conversation.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

import httpx
from django.conf import settings

from playground.events import Delta, Done, Event, ModelState, Queued, server_sent
from playground.homes import Home
from playground.parameters import Parameters
from playground.prompts import Prompt
from training.errors import UserError

SHORT = httpx.Timeout(5)
LONG = httpx.Timeout(60, connect=5)
"""While it streams, the engine is never silent for more than a few seconds."""


class Builtin:
    """The place of a model in the engine that comes with the product."""

    context_length: int | None = None
    """What the engine reads at most; None: what the model does."""

    def __init__(self, name: str) -> None:
        self.name = name

    def state(self) -> ModelState:
        """Raises: UserError("engine_away")."""
        return models().get(self.name) or ModelState(self.name)

    def load(self, home: Home) -> None:
        """Begin to load the model; state() tells how it goes.

        Raises: UserError("engine_away").
        """
        folder = str(home.folder)
        if home.base is None:
            _call("POST", "/load_model", {"model": self.name, "path": folder})
            return
        body = {
            "lora_name": self.name,
            "lora_path": folder,
            "base": f"base:{home.base.slug}",
            "base_path": str(home.base.folder),
        }
        _call("POST", "/v1/load_lora_adapter", body)

    def unload(self) -> None:
        """Raises: UserError("engine_away")."""
        try:
            _call("POST", "/unload_model", {"model": self.name}, LONG)
        except UserError as problem:
            if problem.code != "model_not_loaded":
                raise

    async def complete(self, prompt: Prompt, parameters: Parameters) -> AsyncGenerator[Event]:
        """Raises: UserError that the engine names."""
        body = parameters.as_dict() | {
            "model": self.name,
            "prompt": prompt.ids,
            "stop_token_ids": prompt.stop_ids,
            "stream": True,
        }
        transport = httpx.AsyncHTTPTransport(uds=_socket(), verify=False)
        with _away_is_a_user_error():
            async with (
                httpx.AsyncClient(
                    transport=transport, base_url="http://engine", timeout=LONG, trust_env=False
                ) as http,
                http.stream("POST", "/v1/completions", json=body) as response,
            ):
                if response.status_code != 200:
                    await response.aread()
                    _checked(response)
                async with aclosing(_events(response)) as events:
                    async for event in events:
                        yield event
                        if isinstance(event, Done):
                            return
        raise UserError("engine_away")


def models() -> dict[str, ModelState]:
    """Return how everything that is in the engine's memory, or on its way, stands.

    Raises: UserError("engine_away").
    """
    states = [ModelState.of(entry) for entry in _call("GET", "/v1/models")["data"]]
    return {state.name: state for state in states}


def release() -> list[str]:
    """Give back what models hold that nobody is talking to; return their names.

    Raises: UserError("engine_away").
    """
    return _call("POST", "/release", {}, LONG)["released"]


def streams() -> int:
    """Return how many answers the engine is giving.

    Raises: UserError("engine_away").
    """
    return _call("GET", "/health")["streams"]


async def _events(response: httpx.Response) -> AsyncGenerator[Event]:
    """Turn server-sent events into ours."""
    async with aclosing(server_sent(response)) as told:
        async for kind, data in told:
            if data == "[DONE]":
                continue
            value = json.loads(data)
            if "error" in value:
                raise _problem(value)
            if kind == "queued":
                yield Queued(value["place"])
            else:
                for event in _chunk_events(value):
                    yield event


def _chunk_events(value: dict) -> list[Event]:
    choice, usage = value["choices"][0], value.get("usage") or {}
    events: list[Event] = [Delta(choice["text"], usage)] if choice["text"] else []
    if choice["finish_reason"]:
        events.append(Done(choice["finish_reason"], usage))
    return events


def _call(method: str, path: str, body: dict | None = None, timeout: httpx.Timeout = SHORT) -> dict:
    with _away_is_a_user_error():
        transport = httpx.HTTPTransport(uds=_socket(), verify=False)
        with httpx.Client(
            transport=transport, base_url="http://engine", timeout=timeout, trust_env=False
        ) as http:
            return _checked(http.request(method, path, json=body))


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
