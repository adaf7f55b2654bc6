"""A model in, the server of vLLM that has its base, and what that says, out.

Speaks what vLLM documents: completions of token ids as in its "OpenAI-Compatible Server"
(https://docs.vllm.ai/en/latest/serving/online_serving/openai_compatible_server/, chunks as in
entrypoints/openai/completion), adapters as in "LoRA Adapters"
(https://docs.vllm.ai/en/latest/features/lora/).
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from playground import servers
from playground.events import Delta, Done, Event, ModelState, server_sent
from playground.homes import Home
from playground.parameters import Parameters
from playground.prompts import Prompt
from playground.servers import Card
from training import bases
from training.errors import UserError

log = logging.getLogger(__name__)
SHORT = httpx.Timeout(10, connect=2)
PATIENT = httpx.Timeout(180, connect=2)
"""For answers: vLLM is silent while a question waits for others and while it is read."""


def serving(name: str, home: Home) -> "Vllm | None":
    """Return where a model is answered by one of the servers: by one that is there, if there are
    several with its base; None when none has it."""
    found = servers.look_at_all()
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
    repo = base.origin.repo if base and base.origin else ""
    names = {base.slug, f"base:{base.slug}", repo} if base else {name}
    root = Path(card.root)
    is_folder = root.is_absolute() and root.resolve() == folder.resolve()
    return is_folder or bool({card.id, card.root} & (names - {""}))


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
        listing = servers.look(self.url)
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
        response = servers.call(self.url, "POST", "/v1/load_lora_adapter", body)
        servers.forget(self.url)
        if not response.is_success and self.state().state != "ready":
            raise _adapter_refusal(self.url, response)

    def unload(self) -> None:
        """Have the server let go of an adapter; fine when it has none of that name.

        Raises: UserError("engine_keeps_base") for a model that the server was started with, or why
        the server does not do it.
        """
        if not self.is_adapter:
            raise UserError("engine_keeps_base", engine=servers.name_of(self.url))
        body = {"lora_name": self.name}
        response = servers.call(self.url, "POST", "/v1/unload_lora_adapter", body, SHORT)
        servers.forget(self.url)
        if not response.is_success and self.state().state == "ready":
            raise _adapter_refusal(self.url, response)

    async def complete(self, prompt: Prompt, parameters: Parameters) -> AsyncGenerator[Event]:
        """Raises: UserError, why there is no answer, or no more of it."""
        answer = _Answer(self)
        body = self._body(prompt, parameters)
        with servers.troubles(self.url):
            async with (
                httpx.AsyncClient(timeout=PATIENT, **servers.manners()) as http,
                http.stream("POST", f"{self.url}/v1/completions", json=body) as response,
            ):
                if response.status_code != 200:
                    await response.aread()
                    if response.status_code == 404:  # forgetting waits for whoever asks just now
                        await asyncio.to_thread(servers.forget, self.url)
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
            return UserError("engine_model_missing", engine=servers.name_of(self.url))
        if response.status_code == 400 and "context length" in servers.said(response):
            return UserError("prompt_too_long", tokens=tokens, limit=self.context_length - 1)
        return servers.refusal(self.url, response)


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
            raise self._failed("an error")
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
            raise UserError("engine_unreachable", engine=servers.name_of(self.place.url))
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
        log.error("%s broke off an answer: %s", servers.name_of(self.place.url), why[:40])
        return UserError("generation_failed", model=self.place.name)


def _adapter_refusal(url: str, response: httpx.Response) -> UserError:
    """Tell a server that takes no adapters, where the route is not there or LoRA is off, from one
    that can't take this one."""
    log.error("%s took no adapter: %s", servers.name_of(url), servers.said(response))
    known = servers.fault(response) or {}
    is_off = response.status_code in (404, 405) and known.get("type") != "NotFoundError"
    if is_off or "not enabled" in servers.said(response):
        return UserError("engine_adapters_off", engine=servers.name_of(url))
    refusal = servers.refusal(url, response)
    if refusal.code in ("engine_refused_key", "engine_unreachable"):
        return refusal
    return UserError("engine_adapter_refused", engine=servers.name_of(url))
