"""The websocket door of a conversation: frames in, one generation at a time, frames out.

Whoever is behind the socket is looked up afresh for every message: a session that ended, an
account that was closed or a conversation that changed hands says no more.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module

from asgiref.sync import sync_to_async
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from playground import client, conversations, homes
from playground.models import Conversation, Message
from playground.parameters import Parameters
from training import wording
from training.errors import UserError

log = logging.getLogger(__name__)
SIGNED_OUT, NOT_FOUND = 4401, 4404
MAX_ANSWERS = 2
"""Answers that one user may have under way at once, over all sockets of this process."""
live_answers: Counter[object] = Counter()
under_way: set[str] = set()
"""Conversations that are being answered, in whichever tab."""


@dataclass(frozen=True)
class Question:
    """A checked "send" or "again" frame."""

    text: str
    model: str
    parameters: Parameters
    system_prompt: str
    after: int | None = None
    """The message that the text follows, 0 for the beginning; None for the end of what is shown."""
    again: int | None = None
    """The question that is to have another answer, instead of a text."""

    @classmethod
    def parse(cls, content: dict) -> "Question":
        """Raises: UserError naming what is out of bounds."""
        values = {key: content.get(key) or "" for key in ("text", "model", "system_prompt")}
        if not all(isinstance(value, str) for value in values.values()):
            raise UserError("frame_unreadable")
        keys = {key: content.get(key) for key in ("after", "again")}
        if not all(key is None or (type(key) is int and 0 <= key < 2**63) for key in keys.values()):
            raise UserError("frame_unreadable")
        is_again = content.get("type") == "again"
        if is_again != (keys["again"] is not None):
            raise UserError("frame_unreadable")
        return cls(parameters=Parameters.parse(content.get("parameters")), **values, **keys)


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


class ChatConsumer(AsyncJsonWebsocketConsumer):
    generation: asyncio.Task | None = None
    is_closed = False

    async def connect(self) -> None:
        await self.accept()
        await self.conversation_or_close()

    async def conversation_or_close(self) -> Conversation | None:
        """Return the conversation if whoever is there may have it; else close the socket."""
        user = await self.present_user()
        if not user.is_authenticated:
            await self.end(SIGNED_OUT)
            return None
        identity = self.scope["url_route"]["kwargs"]["conversation_id"]
        found = await database_sync_to_async(
            Conversation.objects.filter(owner=user, pk=identity).first
        )()
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
        if self.is_closed or (conversation := await self.conversation_or_close()) is None:
            return
        try:
            if content.get("type") in ("send", "again"):
                await self.begin(conversation, Question.parse(content))
            elif content.get("type") == "stop":
                await self.stop()
            else:
                raise UserError("frame_unreadable")
        except UserError as problem:
            await self.tell_error(problem, refused=True)

    async def begin(self, conversation: Conversation, question: Question) -> None:
        """Save the question and start the answer.

        Raises: UserError when one is under way already, or the question is out of bounds.
        """
        if self.generation and not self.generation.done():
            raise UserError("answer_under_way")
        owner = conversation.owner_id
        if conversation.pk in under_way:
            raise UserError("answer_under_way")
        if live_answers[owner] >= MAX_ANSWERS:
            raise UserError("too_many_answers", limit=MAX_ANSWERS)
        live_answers[owner] += 1
        under_way.add(conversation.pk)
        try:
            asked, messages = await database_sync_to_async(_ask)(conversation, question)
        except BaseException:
            _one_less(owner, conversation.pk)
            raise
        await self.tell({"type": "asked"} | await database_sync_to_async(_place)(asked))
        self.generation = asyncio.create_task(self.answer(asked, question, messages))
        self.generation.add_done_callback(lambda _: _one_less(owner, conversation.pk))

    async def stop(self) -> None:
        """End the answer that is under way; what was generated is kept."""
        if self.generation and not self.generation.done():
            self.generation.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.generation

    async def answer(self, asked: Message, question: Question, messages: list) -> None:
        """Generate, send, and keep what was generated, however it ends."""
        answer, problem = Answer(), None
        try:
            await self.generate(answer, question, messages)
        except asyncio.CancelledError:
            pass
        except UserError as error:
            problem = error
        except Exception:
            log.exception("answering in %s failed", asked.conversation_id)
            problem = UserError("generation_failed")
        # A second cancellation (stop, then a closed tab) must not lose what was generated.
        await asyncio.shield(self.finish(asked, answer, problem))

    async def generate(self, answer: Answer, question: Question, messages: list) -> None:
        events = client.stream(question.model, messages, question.parameters)
        async with contextlib.aclosing(events):
            async for event in events:
                answer.take(event)
                if isinstance(event, client.Delta) and len(answer.parts) == 1:
                    await self.tell({"type": "start"})
                if frame := _frame(event):
                    await self.tell(frame)

    async def finish(self, asked: Message, answer: Answer, problem: UserError | None) -> None:
        if problem:
            await self.tell_error(problem)
        message = None
        if answer.text or not problem:
            with contextlib.suppress(UserError):  # the conversation was deleted meanwhile
                message = await database_sync_to_async(_keep)(asked, answer)
        await self.tell({"type": "done", "message": message})

    async def tell(self, frame: dict) -> None:
        """Send a frame. To a peer that has vanished, sending returns at once without a pause:
        the closed flag and the sleep keep a stream from spinning."""
        if not self.is_closed:
            with contextlib.suppress(Exception):  # whatever the server raises for a lost peer
                await self.send_json(frame)
        await asyncio.sleep(0)

    async def tell_error(self, problem: UserError, refused: bool = False) -> None:
        """Say what went wrong. `refused`: the frame was not taken, and no "done" follows."""
        sentence = await sync_to_async(_sentence)(problem)
        await self.tell({"type": "error", "code": problem.code, "refused": refused, **sentence})

    @classmethod
    async def encode_json(cls, content: dict) -> str:
        return json.dumps(content, ensure_ascii=False)


def _one_less(owner: object, conversation: str) -> None:
    under_way.discard(conversation)
    live_answers[owner] -= 1
    if live_answers[owner] <= 0:
        del live_answers[owner]


def _ask(conversation: Conversation, question: Question) -> tuple[Message, list]:
    """Keep question and settings; return the question and the conversation as the model is to see it."""
    homes.choices(conversation.owner_id).allow(question.model)
    conversations.settle(conversation, question.model, question.parameters, question.system_prompt)
    if question.again is None:
        asked = conversations.say(conversation, question.text, question.after)
    else:
        asked = conversations.ask_again(conversation, question.again)
    return asked, conversations.history(conversation)


def _keep(asked: Message, answer: Answer) -> dict | None:
    if not answer.text:
        return None
    kept = conversations.answer(asked.conversation, asked, answer.text, answer.full_usage())
    return _place(kept) | {"content": kept.content, "usage": kept.usage}


def _place(message: Message) -> dict:
    """Return what the page must know of a message that was kept just now: it is the newest branch."""
    beside = list(
        message.conversation.messages.filter(parent=message.parent_id).values_list("pk", flat=True)
    )
    place = beside.index(message.pk) + 1 if message.pk in beside else 1
    before = beside[place - 2] if place > 1 else None
    return {"id": message.pk, "place": place, "count": len(beside), "before": before}


def _frame(event: client.Event) -> dict | None:
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


def _sentence(problem: UserError) -> dict:
    sentence = wording.say(problem.code, problem.params)
    return {"what": str(sentence.what), "cure": str(sentence.cure)}
