"""What the playground's websockets have in common: whose they are, what may run, how frames look.

Whoever is behind a socket is looked up afresh for every message: a session that ended, an account
that was closed or a row that changed hands says no more. Knows no question and no door.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.db.models import Model

from playground import client
from playground.at_once import AtOnce
from training import wording
from training.errors import UserError

log = logging.getLogger(__name__)
SIGNED_OUT, NOT_FOUND = 4401, 4404
answers = AtOnce(2)
"""Of all sockets; the columns of a comparison are one."""
under_way: set[str] = set()
"""Conversations and comparisons that are being answered, in whichever tab."""


@dataclass
class Answer:
    """What has been generated so far."""

    parts: list[str] = field(default_factory=list)
    usage: dict = field(default_factory=dict)
    finish_reason: str = "stopped"
    started: float = field(default_factory=time.monotonic)

    def take(self, event: client.Event) -> None:
        if isinstance(event, client.Delta):
            self.parts.append(event.text)
            self.usage = event.usage
        elif isinstance(event, client.Done):
            self.usage, self.finish_reason = event.usage, event.finish_reason

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def full_usage(self) -> dict:
        waited = time.monotonic() - self.started
        return {"seconds": round(waited, 3)} | self.usage | {"finish_reason": self.finish_reason}


class OwnConsumer(AsyncJsonWebsocketConsumer):
    """A socket for one row of its user's, whose address names the row as `row_id`."""

    rows: type[Model]
    generation: asyncio.Task | None = None
    is_closed = False

    async def take(self, row: Any, content: dict) -> None:
        """Do what a frame says.

        Raises: UserError when it says nothing that can be done.
        """
        raise NotImplementedError

    async def connect(self) -> None:
        await self.accept()
        await self.row_or_close()

    async def row_or_close(self) -> Any:
        """Return the row if whoever is there may have it; else close the socket."""
        user = await self.present_user()
        if not user.is_authenticated:
            await self.end(SIGNED_OUT)
            return None
        identity = self.scope["url_route"]["kwargs"]["row_id"]
        mine = self.rows._default_manager.filter(owner=user, pk=identity)
        found = await database_sync_to_async(mine.first)()
        if found is None:
            await self.end(NOT_FOUND)
        return found

    async def present_user(self):
        """Read session and account from the database, not from what the socket began with."""
        session = self.scope.get("session")
        store = import_module(settings.SESSION_ENGINE).SessionStore
        fresh = store(session.session_key if session else None)
        return await get_user({"session": fresh})

    async def end(self, code: int) -> None:
        await self.stop()
        self.is_closed = True
        await self.close(code)

    async def disconnect(self, code: int) -> None:
        self.is_closed = True
        await self.stop()

    async def receive(self, text_data=None, bytes_data=None, **kwargs: object) -> None:
        try:
            content = await self.decode_json(text_data or "")
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            return await self.tell_error(UserError("frame_unreadable"), refused=True)
        await self.receive_json(content)

    async def receive_json(self, content: dict, **kwargs: object) -> None:
        if self.is_closed or (row := await self.row_or_close()) is None:
            return
        try:
            if content.get("type") == "stop":
                await self.stop()
            else:
                await self.take(row, content)
        except UserError as problem:
            await self.tell_error(problem, refused=True)

    def claim(self, row: Any) -> Callable[[], None]:
        """Take one of the answers that the user may have under way; return what gives it back.

        Raises: UserError when the row is being answered already, or others of the user's are.
        """
        if (self.generation and not self.generation.done()) or row.pk in under_way:
            raise UserError("answer_under_way")
        answers.take(row.owner_id)
        under_way.add(row.pk)
        return partial(_give_back, row.owner_id, row.pk)

    async def stop(self) -> None:
        """End the answer that is under way; what was generated is kept."""
        if self.generation and not self.generation.done():
            self.generation.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.generation

    async def tell(self, frame: dict) -> None:
        """Send a frame. To a peer that has vanished, sending returns at once without a pause:
        the closed flag and the sleep keep a stream from spinning."""
        if not self.is_closed:
            with contextlib.suppress(Exception):  # whatever the server raises for a lost peer
                await self.send_json(frame)
        await asyncio.sleep(0)

    async def tell_error(self, problem: UserError, refused: bool = False) -> None:
        """Say what went wrong. `refused`: the frame was not taken, and no "done" follows."""
        words = await sentence(problem.as_dict())
        await self.tell({"type": "error", "code": problem.code, "refused": refused, **words})

    @classmethod
    async def encode_json(cls, content: dict) -> str:
        return json.dumps(content, ensure_ascii=False)


def _give_back(owner: object, identity: str) -> None:
    under_way.discard(identity)
    answers.give_back(owner)


async def settled(generation: Coroutine, place: str) -> UserError | None:
    """Wait for a generation and return why it failed; one that was stopped did not."""
    try:
        await generation
    except asyncio.CancelledError:
        pass
    except UserError as problem:
        return problem
    except Exception:
        log.exception("answering in %s failed", place)
        return UserError("generation_failed")
    return None


def frame(event: client.Event) -> dict | None:
    match event:
        case client.Queued(place):
            return {"type": "queued", "place": place}
        case client.Loading(progress):
            return {"type": "loading", "progress": progress}
        case client.Trimmed(count):
            return {"type": "trimmed", "count": count}
        case client.Delta(text):
            return {"type": "delta", "text": text}
    return None


@sync_to_async
def sentence(error: dict) -> dict:
    """Return the words for an error's code and params."""
    words = wording.say(error["code"], error.get("params") or {})
    return {"what": str(words.what), "cure": str(words.cure)}
