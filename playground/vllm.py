"""Servers of vLLM that DADEUM_ENGINES names: a model in, the server that has its base and what it says out.

What a server has is asked of it, and remembered for a moment. Speaks what vLLM documents
(https://docs.vllm.ai/en/latest/serving/online_serving/openai_compatible_server/ and
https://docs.vllm.ai/en/latest/features/lora/; shapes of requests, errors and chunks as in its
entrypoints/openai and entrypoints/serve/lora). The key is sent and never said.
"""

import functools
import json
import logging
import math
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from playground.events import Delta, Done, Event, ModelState, server_sent
from playground.homes import Home
from playground.parameters import Parameters
from playground.prompts import Prompt
from training import bases
from training.errors import UserError

log = logging.getLogger(__name__)
LOOK = httpx.Timeout(2, connect=1)
"""For asking what a server has; pages wait for it."""
SHORT = httpx.Timeout(10, connect=2)
LONG = httpx.Timeout(60, connect=2)
PATIENT = httpx.Timeout(180, connect=2)
"""For answers: vLLM is silent while a question waits for others and while it is read."""
FRESH_SECONDS = 2
"""How long what a server said is believed."""
PAUSE_SECONDS = 10
"""How long a server that did not answer is left alone."""
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an answer of another shape than the documented one ends with."""
GATEWAY = (502, 503, 504)
"""What a proxy says for a server that is not there, and the server while it can take no more."""


# --- what servers have --------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """One line of /v1/models."""

    id: str
    root: str
    """The folder or the hub's id that a base was started with; the folder of an adapter."""
    parent: str | None
    """The base of an adapter."""
    max_model_len: int | None

    @classmethod
    def of(cls, entry: dict) -> "Card":
        length = entry.get("max_model_len")
        root = str(entry.get("root") or "").replace("\0", "")
        is_length = isinstance(length, int) and length > 0
        return cls(str(entry["id"]), root, entry.get("parent"), length if is_length else None)


@dataclass(frozen=True)
class Listing:
    cards: tuple[Card, ...] = ()
    """As the server said last, so that a base is known to be its own while it is away."""
    problem: UserError | None = None
    at: float = -math.inf
    """On the monotonic clock."""

    @property
    def is_stale(self) -> bool:
        return time.monotonic() - self.at > (PAUSE_SECONDS if self.problem else FRESH_SECONDS)


_listings: dict[str, Listing] = defaultdict(Listing)
_locks: dict[str, threading.Lock] = defaultdict(threading.Lock)


def look(url: str) -> Listing:
    """Return what a server has, or with it why it can't be asked."""
    with _locks[url]:
        known = _listings[url]
        if not known.is_stale:
            return known
        try:
            found = Listing(_cards(url))
        except UserError as problem:
            found = replace(known, problem=problem)
        if (found.problem and found.problem.code) != (known.problem and known.problem.code):
            why = (
                f"{found.problem.code}: {found.problem.__cause__}"
                if found.problem
                else "well again"
            )
            log.warning("%s: %s", name_of(url), why[:300])
        _listings[url] = replace(found, at=time.monotonic())
        return _listings[url]


def look_at_all() -> list[tuple[str, Listing]]:
    """Ask all servers at once, so that those that are away cost no more than one of them."""
    with ThreadPoolExecutor(len(settings.ENGINES) or 1) as threads:
        return list(zip(settings.ENGINES, threads.map(look, settings.ENGINES), strict=True))


def forget(url: str) -> None:
    """Ask anew the next time."""
    with _locks[url]:
        _listings[url] = replace(_listings[url], at=-math.inf)


def name_of(url: str) -> str:
    """Return how people call a server: computer and port."""
    return urlsplit(url).netloc


def _cards(url: str) -> tuple[Card, ...]:
    response = _call(url, "GET", "/v1/models", timeout=LOOK)
    if response.status_code != 200:
        raise _refusal(url, response)
    try:
        return tuple(Card.of(entry) for entry in response.json()["data"])
    except UNREADABLE:
        raise UserError("engine_garbled", engine=name_of(url)) from None


def serving(name: str, home: Home) -> "Vllm | None":
    """Return where a model is answered by one of the servers: by one that is there, if there are
    several with its base; None when none has it."""
    found = look_at_all()
    for url, listing in sorted(found, key=lambda one: one[1].problem is not None):
        for card in listing.cards:
            if card.parent is None and _is_base_of(card, name, home):
                length = min(card.max_model_len or home.context_length, home.context_length)
                return Vllm(name, url, card.id, length, home.base is not None)
    return None


def _is_base_of(card: Card, name: str, home: Home) -> bool:
    """Say whether a card is the model itself or, for an adapter, the base that it sits on: by the
    folder that the server was started with, the base's name here, or the hub's name for it."""
    kind, _, key = name.partition(":")
    base = home.base or (bases.find(key) if kind == "base" else None)
    folder = base.folder if base else home.folder
    names = {base.slug, base.origin.repo if base.origin else base.slug} if base else {name}
    root = Path(card.root)
    is_folder = root.is_absolute() and root.resolve() == folder.resolve()
    return is_folder or card.id in names or card.root in names


# --- a model on a server ------------------------------------------------------------------------


@dataclass(frozen=True)
class Vllm:
    """The place of a model on a server."""

    name: str
    url: str
    served: str
    """What the server calls the model, or the base that it sits on."""
    context_length: int
    is_adapter: bool

    def state(self) -> ModelState:
        """Raises: UserError, why the server can't be asked."""
        listing = look(self.url)
        if listing.problem:
            raise UserError(listing.problem.code, **listing.problem.params)
        if not self.is_adapter:
            return ModelState(self.name, "ready", stays=True)
        is_there = any(card.id == self.name for card in listing.cards)
        return ModelState(self.name, "ready" if is_there else "away", base=self.served)

    def load(self, home: Home) -> None:
        """Have the server load an adapter, which it does while we wait.

        Raises: UserError, why it can't.
        """
        if not self.is_adapter:
            return
        body = {"lora_name": self.name, "lora_path": str(home.folder)}
        response = _call(self.url, "POST", "/v1/load_lora_adapter", body)
        forget(self.url)
        if not response.is_success and self.state().state != "ready":
            raise _adapter_refusal(self.url, response)

    def unload(self) -> None:
        """Have the server let go of an adapter; fine when it has none of that name.

        Raises: UserError("engine_keeps_base") for a model that the server was started with, or why
        the server does not do it.
        """
        if not self.is_adapter:
            raise UserError("engine_keeps_base", engine=name_of(self.url))
        body = {"lora_name": self.name}
        response = _call(self.url, "POST", "/v1/unload_lora_adapter", body, SHORT)
        forget(self.url)
        if not response.is_success and self.state().state == "ready":
            raise _adapter_refusal(self.url, response)

    async def complete(self, prompt: Prompt, parameters: Parameters) -> AsyncGenerator[Event]:
        """Raises: UserError, why there is no answer, or no more of it."""
        answer = _Answer(self)
        body = self._body(prompt, parameters)
        with _troubles(self.url):
            async with (
                httpx.AsyncClient(timeout=PATIENT, **_manners()) as http,
                http.stream("POST", f"{self.url}/v1/completions", json=body) as response,
            ):
                if response.status_code != 200:
                    await response.aread()
                    raise self._completion_refusal(response, len(prompt.ids))
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise ValueError("no stream of events")
                async with aclosing(server_sent(response)) as told:
                    async for _kind, data in told:
                        if data == "[DONE]":
                            break
                        for event in answer.take(json.loads(data)):
                            yield event
        yield answer.done()

    def _body(self, prompt: Prompt, parameters: Parameters) -> dict:
        """Return a request that says everything that a server would else take from the model's
        generation_config.json, so that the same settings mean the same on every engine."""
        chosen: dict = {"stop": list(parameters.stop)} if parameters.stop else {}
        chosen |= {"seed": parameters.seed} if parameters.seed is not None else {}
        return chosen | {
            "model": self.name if self.is_adapter else self.served,
            "prompt": prompt.ids,
            "max_tokens": min(parameters.max_tokens, self.context_length - len(prompt.ids)),
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": parameters.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop_token_ids": prompt.stop_ids,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }

    def _completion_refusal(self, response: httpx.Response, tokens: int) -> UserError:
        if response.status_code == 404:
            forget(self.url)
            return UserError("engine_model_missing", engine=name_of(self.url))
        if response.status_code == 400 and "context length" in _said(response):
            return UserError("prompt_too_long", tokens=tokens, limit=self.context_length - 1)
        return _refusal(self.url, response)


@dataclass
class _Answer:
    """What a server has said so far, timed here, since vLLM does not tell how long it took."""

    place: Vllm
    began: float = field(default_factory=time.monotonic)
    first_token_seconds: float = 0.0
    finish_reason: str = ""
    counts: dict = field(default_factory=dict)

    def take(self, value: dict) -> Sequence[Event]:
        """Take one chunk. The last one has usage and no choices.

        Raises: UserError("generation_failed") for an error in the midst of an answer.
        """
        if value.get("error") or value.get("object") == "error":
            raise self._failed(str(value))
        if usage := value.get("usage"):
            kept = ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details")
            self.counts = {key: usage[key] for key in kept if usage.get(key) is not None}
        for choice in value["choices"]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            self.first_token_seconds = self.first_token_seconds or self.seconds
            if choice["text"]:
                return [Delta(choice["text"], self.usage())]
        return []

    def done(self) -> Done:
        """Raises: UserError when the answer broke off."""
        if not self.finish_reason:
            raise UserError("engine_unreachable", engine=name_of(self.place.url))
        if self.finish_reason not in ("stop", "length"):
            raise self._failed(self.finish_reason)
        return Done(self.finish_reason, self.usage())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def usage(self) -> dict:
        first = round(self.first_token_seconds, 3)
        return self.counts | {"seconds": round(self.seconds, 3), "first_token_seconds": first}

    def _failed(self, why: str) -> UserError:
        log.error("%s broke off an answer: %s", name_of(self.place.url), why[:300])
        return UserError("generation_failed", model=self.place.name)


# --- the wire -----------------------------------------------------------------------------------


def _call(
    url: str, method: str, path: str, body: dict | None = None, timeout: httpx.Timeout = LONG
) -> httpx.Response:
    with _troubles(url), httpx.Client(timeout=timeout, **_manners()) as http:
        return http.request(method, url + path, json=body)


def _manners() -> dict:
    """Return how we connect: certificates are checked, redirects are not followed, and neither
    proxies nor passwords come from the environment, so that the key goes to the server alone."""
    key = {"Authorization": f"Bearer {settings.ENGINE_KEY}"} if settings.ENGINE_KEY else {}
    headers = {"Accept-Encoding": "identity"} | key
    return {
        "headers": headers, "verify": _certificates(), "trust_env": False, "follow_redirects": False,
    }  # fmt: skip


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Trust what the computer trusts: a network of its own often has certificates of its own."""
    return ssl.create_default_context()


@contextmanager
def _troubles(url: str) -> Iterator[None]:
    """Say in our words what goes wrong on the way to a server and back."""
    try:
        yield
    except httpx.TransportError as error:
        raise UserError("engine_unreachable", engine=name_of(url)) from error
    except (httpx.RequestError, *UNREADABLE) as error:
        log.error("%s answered what can't be read: %r", name_of(url), error)
        raise UserError("engine_garbled", engine=name_of(url)) from error


def _refusal(url: str, response: httpx.Response) -> UserError:
    """What it said is not logged: it may repeat what people wrote."""
    status, engine = response.status_code, name_of(url)
    log.error("%s answered %d", engine, status)
    if status in (401, 403):
        return UserError("engine_refused_key", engine=engine)
    if status in GATEWAY:
        return UserError("engine_unreachable", engine=engine)
    is_ours = _error(response) is not None
    return UserError("generation_failed") if is_ours else UserError("engine_garbled", engine=engine)


def _adapter_refusal(url: str, response: httpx.Response) -> UserError:
    """Tell a server that takes no adapters, where the route is not there or LoRA is off, from one
    that can't take this one."""
    log.error("%s took no adapter: %s", name_of(url), _said(response))
    known = _error(response) or {}
    is_off = response.status_code in (404, 405) and known.get("type") != "NotFoundError"
    if is_off or "not enabled" in _said(response):
        return UserError("engine_adapters_off", engine=name_of(url))
    refusal = _refusal(url, response)
    if refusal.code in ("engine_refused_key", "engine_unreachable"):
        return refusal
    return UserError("engine_adapter_refused", engine=name_of(url))


def _error(response: httpx.Response) -> dict | None:
    """Return what vLLM says of an error, in either of the shapes that it has had; None for what is
    not of its making."""
    try:
        value = response.json()
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    if value.get("object") == "error":
        return value
    return value["error"] if isinstance(value.get("error"), dict) else None


def _said(response: httpx.Response) -> str:
    known = _error(response)
    return str(known.get("message"))[:300] if known else response.text[:300]
