"""The REST door of talking: load and unload a model, answer a conversation. Holds no rules."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from channels.db import database_sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router, Schema

from playground import client, homes
from playground.at_once import AtOnce
from playground.client import Delta, Done, Event, Trimmed
from playground.completions import Completion, Order, Reply
from playground.parameters import Parameters
from training import naming
from training.chat import Message
from training.errors import UserError, about
from training.models import TunedModel

log = logging.getLogger(__name__)
router = Router(tags=["models"])
answers = AtOnce(4)
"""Of a user's programs."""
QUIET_SECONDS = 5
"""A stream that has nothing to say shows this often that it lives, so that no proxy cuts it."""


class Loaded(Schema):
    id: str
    object: Literal["model"] = "model"
    state: Literal["away", "loading", "ready", "failed"]


@router.post("/models/{model_id}/load", response=Loaded)
def load(request: HttpRequest, model_id: str) -> dict:
    """Begin to load a model into memory, or say how far it is."""
    name = _engine_name(request.user, model_id)
    client.load(name)
    return {"id": model_id, "state": client.state(name).state}


@router.post("/models/{model_id}/unload", response=Loaded)
def unload(request: HttpRequest, model_id: str) -> dict:
    """Take a model out of memory."""
    name = _engine_name(request.user, model_id)
    client.unload(name)
    return {"id": model_id, "state": client.state(name).state}


def _engine_name(user: Any, model_id: str) -> str:
    """Return the engine's name for a model of the user's. Raises: UserError `model_unknown`."""
    found = naming.find(user, model_id)
    return f"tuned:{found.pk}" if isinstance(found, TunedModel) else f"base:{found.slug}"


# --- talking ----------------------------------------------------------------------------------
@router.post("/chat/completions", response=Completion, tags=["chat"])
async def complete(request: HttpRequest, order: Order) -> dict | StreamingHttpResponse:
    """Answer a conversation, at once or, with `stream`, as it is generated.

    A model that is not in memory is loaded first.
    """
    name, messages, parameters = await database_sync_to_async(_understood)(request.user, order)
    reply = Reply(order.model, order.wants_usage)
    events = _answer(request.user.pk, name, messages, parameters)
    if not order.stream:
        return await _whole(reply, events)
    return StreamingHttpResponse(
        _frames(reply, await _begun(events), events),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _understood(user: Any, order: Order) -> tuple[str, list[Message], Parameters]:
    """Raises: UserError naming the field that can't be served."""
    messages = order.conversation()
    with about("model"):
        name = _engine_name(user, order.model)
    return name, messages, order.parameters(homes.parameters(name))


async def _answer(
    owner: object, name: str, messages: list[Message], parameters: Parameters
) -> AsyncGenerator[Event | None]:
    """Yield what happens, and None for each quiet while; closing this stops the answer.

    Raises: UserError("too_many_answers"), and those of client.stream.
    """
    answers.take(owner)
    heard: asyncio.Queue[Event | Exception] = asyncio.Queue()
    listening = asyncio.create_task(_listen(client.stream(name, messages, parameters), heard))
    try:
        event: Event | Exception | None = None
        while not isinstance(event, Done):
            event = None
            with contextlib.suppress(TimeoutError):
                # not wait_for: before Python 3.12 it loses a cancellation that comes with an event
                async with asyncio.timeout(QUIET_SECONDS):
                    event = await heard.get()
            if isinstance(event, Exception):
                raise event
            yield event
    finally:
        answers.give_back(owner)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def _listen(events: AsyncGenerator[Event], heard: asyncio.Queue) -> None:
    """Pass on what happens, in a task of its own: so waiting for it can be given up at any time."""
    try:
        async with aclosing(events):
            async for event in events:
                heard.put_nowait(event)
    except Exception as error:
        heard.put_nowait(error)


async def _whole(reply: Reply, events: AsyncGenerator[Event | None]) -> dict:
    texts, trimmed = [], 0
    async with aclosing(events):
        async for event in events:
            match event:
                case Trimmed(count):
                    trimmed = count
                case Delta(text):
                    texts.append(text)
                case Done():
                    return reply.whole("".join(texts), event, trimmed)
    raise AssertionError("an answer ends with Done or an error")


async def _begun(events: AsyncGenerator[Event | None]) -> list[Event | None]:
    """Return what happens until an answer is on its way: what can't be answered is refused by then,
    with a status of its own."""
    try:
        begun = [await anext(events)]
        if isinstance(begun[0], Trimmed):
            begun.append(await anext(events))
        return begun
    except BaseException:
        await events.aclose()
        raise


async def _frames(
    reply: Reply, begun: list[Event | None], events: AsyncGenerator[Event | None]
) -> AsyncGenerator[str]:
    """Yield an answer that was begun as server-sent events."""
    async with aclosing(events):
        yield reply.opening(sum(event.count for event in begun if isinstance(event, Trimmed)))
        try:
            for event in begun:
                yield reply.frames(event)
            async for event in events:
                yield reply.frames(event)
        except UserError as error:
            yield reply.failure(error)
        except Exception:
            log.exception("answering with %s failed", reply.model)
            yield reply.failure(UserError("generation_failed"))
