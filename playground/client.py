"""The one place that talks to engines: names and messages in, states and text out.

Renders conversations with training/chat.py, so that talking is what training was, and knows which
engine answers: one of DADEUM_ENGINES that serves the model's base (vllm.py), else the one that
comes with the product (builtin.py). Nobody else knows an engine's address or its dialect.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from channels.db import database_sync_to_async
from django.conf import settings

from playground import builtin, homes, prompts, vllm
from playground.builtin import Builtin
from playground.events import Delta, Done, Event, Loading, ModelState, Queued, Trimmed
from playground.parameters import Parameters
from playground.vllm import Vllm
from training.chat import Message
from training.errors import UserError

__all__ = ["Delta", "Done", "Event", "Loading", "ModelState", "Queued", "Trimmed"]

ANSWER_SECONDS = 600
"""Wall time of one answer, from its first token."""
LOAD_SECONDS = 900
POLL_SECONDS = 0.25
AWAY = ("engine_away", "engine_unreachable")
"""Codes that say that an engine is not there, and may come back."""


# --- what is in memory ------------------------------------------------------------------------


def models() -> dict[str, ModelState]:
    """Return what the engine that comes with the product holds.

    Raises: UserError("engine_away").
    """
    return builtin.models()


def state(name: str) -> ModelState:
    """Raises: UserError("engine_away"), or why another engine can't say."""
    return _place(name).state()


def load(name: str) -> None:
    """Begin to load a model; state() tells how it goes.

    Raises: UserError("engine_away"), UserError("model_unknown"), the base's own problem, or why
    another engine can't load it.
    """
    _load(_place(name))


def unload(name: str) -> None:
    """Take a model out of memory; fine when it is not there.

    Raises: UserError("engine_away"), UserError("engine_keeps_base"), or another engine's problem.
    """
    _place(name).unload()


def release() -> list[str]:
    """Give back what models hold in our own engine that nobody is talking to; return their names.

    Raises: UserError("engine_away").
    """
    return builtin.release()


def _place(name: str) -> Builtin | Vllm:
    """Return where a model is answered."""
    if settings.ENGINES:
        try:
            home = homes.find(name)
        except UserError:
            return Builtin(name)
        if found := vllm.serving(name, home):
            return found
    return Builtin(name)


def _load(place: Builtin | Vllm) -> None:
    place.load(homes.find(place.name))


def _apart(function):
    """Call a function that reads rows or waits in a thread of its own, which lets its connection go."""
    return database_sync_to_async(function, thread_sensitive=False)


# --- talking ----------------------------------------------------------------------------------


async def stream(
    name: str, messages: Sequence[Message], parameters: Parameters
) -> AsyncGenerator[Event]:
    """Yield what happens while a model answers the last message; close it to stop.

    A model that is not in memory is loaded first. Where the conversation is longer than the
    model's context, its oldest turns are left out and Trimmed says so.

    Raises: UserError ("engine_away", "prompt_too_long", why the model can't be loaded, …).
    """
    place = await _apart(_place)(name)
    limit = place.context_length
    prompt = await _apart(prompts.fit)(name, messages, parameters.max_tokens, limit)
    if prompt.dropped:
        yield Trimmed(prompt.dropped)
    # closed at once with this generator, not when the garbage collector comes by: that is what
    # tells the engine to stop
    async with aclosing(_make_ready(place)) as events:
        async for event in events:
            yield event
    async with aclosing(_in_time(place.complete(prompt, parameters))) as events:
        async for event in events:
            yield event


async def _make_ready(place: Builtin | Vllm) -> AsyncGenerator[Event]:
    """Load a model if need be, and wait until it is in memory."""
    asked, deadline = False, time.monotonic() + LOAD_SECONDS
    told: Loading | None = None
    while (found := await _apart(place.state)()).state != "ready":
        if found.state == "failed" and asked:
            raise found.error or UserError("model_load_failed", model=place.name)
        if time.monotonic() > deadline:
            raise UserError("model_load_failed", model=place.name)
        if (news := Loading(found.progress)) != told:
            told = news
            yield news
        if found.state in ("away", "failed"):
            await _apart(_load)(place)
        asked = True
        await asyncio.sleep(POLL_SECONDS)


async def streams() -> int:
    """Return how many answers our own engine is giving, whoever asked.

    Raises: UserError("engine_away").
    """
    return await _apart(builtin.streams)()


async def _in_time(told: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """End an answer that takes too long."""
    deadline = None
    async with aclosing(told):
        async for event in told:
            yield event
            if isinstance(event, Delta):
                deadline = deadline or time.monotonic() + ANSWER_SECONDS
                if time.monotonic() > deadline:
                    yield Done("time", event.usage)
                    return
