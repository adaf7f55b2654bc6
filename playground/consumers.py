"""The websocket door of a conversation: frames in, one generation at a time, frames out."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from channels.db import database_sync_to_async
from django.db import DatabaseError

from playground import client, conversations, homes, sockets
from playground.models import Conversation, Message
from playground.parameters import Parameters
from playground.sockets import Answer
from training.errors import UserError

log = logging.getLogger(__name__)


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


class ChatConsumer(sockets.OwnConsumer):
    rows = Conversation

    async def take(self, conversation: Conversation, content: dict) -> None:
        """Save the question of a "send" or "again" frame and start the answer.

        Raises: UserError when one is under way already, or the question is out of bounds.
        """
        if content.get("type") not in ("send", "again"):
            raise UserError("frame_unreadable")
        question = Question.parse(content)
        give_back = self.claim(conversation)
        try:
            asked, messages = await database_sync_to_async(_ask)(conversation, question)
            place = await database_sync_to_async(_place)(asked)
        except BaseException:
            give_back()
            raise
        await self.tell({"type": "asked"} | place)
        self.generation = asyncio.create_task(self.answer(asked, question, messages))
        self.generation.add_done_callback(lambda _: give_back())

    async def answer(self, asked: Message, question: Question, messages: list) -> None:
        """Generate, send, and keep what was generated, however it ends."""
        answer = Answer()
        generation = self.generate(answer, question, messages)
        problem = await sockets.settled(generation, asked.conversation_id)
        # A second cancellation (stop, then a closed tab) must not lose what was generated.
        await asyncio.shield(self.finish(asked, answer, problem))

    async def generate(self, answer: Answer, question: Question, messages: list) -> None:
        events = client.stream(question.model, messages, question.parameters)
        async with contextlib.aclosing(events):
            async for event in events:
                answer.take(event)
                if isinstance(event, client.Delta) and len(answer.parts) == 1:
                    await self.tell({"type": "start"})
                if frame := sockets.frame(event):
                    await self.tell(frame)

    async def finish(self, asked: Message, answer: Answer, problem: UserError | None) -> None:
        if problem:
            await self.tell_error(problem)
        message = None
        if answer.text or not problem:
            try:
                message = await database_sync_to_async(_keep)(asked, answer)
            except UserError:  # the conversation was deleted meanwhile
                pass
            except DatabaseError:
                log.exception("an answer in %s was not kept", asked.conversation_id)
                await self.tell_error(UserError("answer_not_kept"))
        await self.tell({"type": "done", "message": message})


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
