"""The verbs of a conversation: begin it, add to it, name it, take it away."""

from typing import Any

from django.utils import timezone

from playground import homes
from playground.models import Conversation, Message
from playground.parameters import MAX_SYSTEM_PROMPT, MAX_TEXT, Parameters
from training import chat
from training.errors import UserError

TITLE_LENGTH = 40


def create(owner: Any, model: str, system_prompt: str = "") -> Conversation:
    return Conversation.objects.create(
        owner=owner,
        model=model,
        system_prompt=_checked_system_prompt(system_prompt),
        parameters=homes.parameters(model).as_dict(),
    )


def say(conversation: Conversation, text: str) -> Message:
    """Add a question; the first one gives the conversation its title.

    Raises: UserError("text_empty"), UserError("text_too_long").
    """
    if not text.strip():
        raise UserError("text_empty")
    if len(text) > MAX_TEXT:
        raise UserError("text_too_long", length=len(text), limit=MAX_TEXT)
    if not conversation.title:
        conversation.title = " ".join(text.split())[:TITLE_LENGTH]
    _touch(conversation, "title")
    return conversation.messages.create(role="user", content=text)


def answer(conversation: Conversation, text: str, usage: dict) -> Message:
    _touch(conversation)
    return conversation.messages.create(role="assistant", content=text, usage=usage)


def settle(
    conversation: Conversation, model: str, parameters: Parameters, system_prompt: str
) -> None:
    """Keep what the user chose for the next answer.

    Raises: UserError("system_prompt_too_long").
    """
    conversation.model = model
    conversation.parameters = parameters.as_dict()
    conversation.system_prompt = _checked_system_prompt(system_prompt)
    _touch(conversation, "model", "parameters", "system_prompt")


def rename(conversation: Conversation, title: str) -> None:
    """Raises: UserError("title_empty")."""
    title = " ".join(title.split())[:200]
    if not title:
        raise UserError("title_empty")
    conversation.title = title
    _touch(conversation, "title")


def delete(conversation: Conversation) -> None:
    conversation.delete()


def history(conversation: Conversation) -> list[chat.Message]:
    """Return the conversation as the model sees it, the system prompt first.

    A question that never got an answer (stopped at once, or failed) makes way for the next one:
    chat templates want questions and answers in turn.
    """
    told = [chat.Message(row.role, row.content) for row in conversation.messages.all()]
    kept = [
        message
        for message, following in zip(told, [*told[1:], None], strict=True)
        if following is None or message.role != following.role
    ]
    system = conversation.system_prompt.strip()
    return [chat.Message("system", system), *kept] if system else kept


def _checked_system_prompt(text: str) -> str:
    if len(text) > MAX_SYSTEM_PROMPT:
        raise UserError("system_prompt_too_long", length=len(text), limit=MAX_SYSTEM_PROMPT)
    return text


def _touch(conversation: Conversation, *fields: str) -> None:
    """Save fields of a row that is still there; a conversation deleted meanwhile stays deleted."""
    conversation.updated_at = timezone.now()
    values = {field: getattr(conversation, field) for field in (*fields, "updated_at")}
    if not Conversation.objects.filter(pk=conversation.pk).update(**values):
        raise UserError("conversation_gone")
