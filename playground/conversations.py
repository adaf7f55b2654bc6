"""The verbs of a conversation: begin it, add to it, name it, take it away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from playground import homes
from playground.models import Conversation, Message
from playground.parameters import MAX_TEXT, Parameters, checked_system_prompt
from training import chat
from training.errors import UserError

TITLE_LENGTH = 40


def create(owner: Any, model: str, system_prompt: str = "") -> Conversation:
    return Conversation.objects.create(
        owner=owner,
        model=model,
        system_prompt=checked_system_prompt(system_prompt),
        parameters=homes.parameters(model).as_dict(),
    )


def say(conversation: Conversation, text: str, after: int | None = None) -> Message:
    """Add a question to the branch that is shown, or `after` an earlier message (0: at the beginning),
    where it begins a branch of its own; the first one gives the conversation its title.

    Raises: UserError("text_empty"), UserError("text_too_long"), UserError("message_gone").
    """
    text = checked_text(text)
    parent = conversation.tip
    if after is not None:
        parent = message(conversation, after) if after else None
    if not conversation.title:
        conversation.title = title_of(text)
    _touch(conversation, "title")
    asked = conversation.messages.create(role="user", content=text, parent=parent)
    return _show(conversation, asked)


def answer(conversation: Conversation, question: Message, text: str, usage: dict) -> Message:
    """Keep an answer to a question, beside others that it may have."""
    _touch(conversation)
    made = conversation.messages.create(
        role="assistant", content=text, usage=usage, parent=question, model=conversation.model
    )
    return _show(conversation, made)


def ask_again(conversation: Conversation, key: int) -> Message:
    """Return a question that is to have another answer, at the end of the branch that is shown.

    Raises: UserError("message_gone").
    """
    asked = message(conversation, key)
    if asked.role != "user":
        raise UserError("message_gone")
    return _show(conversation, asked)


def message(conversation: Conversation, key: int) -> Message:
    """Raises: UserError("message_gone")."""
    found = conversation.messages.filter(pk=key).first()
    if found is None:
        raise UserError("message_gone")
    return found


def rate(conversation: Conversation, key: int, rating: int) -> None:
    """Keep what the user thinks of an answer: 1, -1, or 0 for nothing.

    Raises: UserError("message_gone").
    """
    answers = conversation.messages.filter(pk=key, role="assistant")
    if rating not in (-1, 0, 1) or not answers.update(rating=rating):
        raise UserError("message_gone")


def go_to(conversation: Conversation, key: int) -> None:
    """Show the branch of a message, as far as it was last gone.

    Raises: UserError("message_gone").
    """
    found = message(conversation, key)
    while (following := found.children.order_by("pk").last()) is not None:
        found = following
    _show(conversation, found)


def _show(conversation: Conversation, tip: Message) -> Message:
    conversation.tip = tip
    _touch(conversation, "tip_id")
    return tip


@dataclass(frozen=True)
class Turn:
    """A message of the branch that is shown, and its place among those beside it."""

    message: Message
    place: int
    """1 is the first."""
    count: int
    before: int | None
    """The message of the branch beside it, on either side."""
    behind: int | None


def turns(conversation: Conversation, until: int | None = None) -> list[Turn]:
    """Return the branch that is shown, or the one that ends with a message, from its beginning."""
    rows = {row.pk: row for row in conversation.messages.all()}
    beside: dict[int | None, list[int]] = {}
    for row in rows.values():
        beside.setdefault(row.parent_id, []).append(row.pk)
    found: list[Turn] = []
    key = until or conversation.tip_id
    while key in rows:
        row = rows[key]
        keys = beside[row.parent_id]
        place = keys.index(key)
        before = keys[place - 1] if place else None
        behind = keys[place + 1] if place + 1 < len(keys) else None
        found.append(Turn(row, place + 1, len(keys), before, behind))
        key = row.parent_id
    return found[::-1]


def settle(
    conversation: Conversation, model: str, parameters: Parameters, system_prompt: str
) -> None:
    """Keep what the user chose for the next answer.

    Raises: UserError("system_prompt_too_long").
    """
    conversation.model = model
    conversation.parameters = parameters.as_dict()
    conversation.system_prompt = checked_system_prompt(system_prompt)
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


def search(found: QuerySet[Conversation], sought: str) -> QuerySet[Conversation]:
    """Keep the conversations in whose title or messages the words appear."""
    if not sought:
        return found
    said = Message.objects.filter(conversation=OuterRef("pk"), content__icontains=sought)
    return found.filter(Q(title__icontains=sought) | Exists(said))


def history(conversation: Conversation, until: int | None = None) -> list[chat.Message]:
    """Return the branch that is shown, or the one that ends with a message, as the model sees it: the
    system prompt first.

    A question that never got an answer (stopped at once, or failed) makes way for the next one:
    chat templates want questions and answers in turn.
    """
    told = [
        chat.Message(turn.message.role, turn.message.content) for turn in turns(conversation, until)
    ]
    return as_seen(told, conversation.system_prompt)


def as_seen(told: Sequence[chat.Message], system_prompt: str) -> list[chat.Message]:
    """Return what was said as a model is to see it (see history)."""
    kept = [
        message
        for message, following in zip(told, [*told[1:], None], strict=False)
        if following is None or message.role != following.role
    ]
    system = system_prompt.strip()
    return [chat.Message("system", system), *kept] if system else kept


def asked(conversation: Conversation) -> list[chat.Message]:
    """Return what the last answer of the branch that is shown is an answer to: all up to its question.

    Raises: UserError("text_empty") where nothing was asked.
    """
    told = history(conversation)
    while told and told[-1].role == "assistant":
        told.pop()
    if not told or told[-1].role != "user":
        raise UserError("text_empty")
    return told


def title_of(text: str) -> str:
    return " ".join(text.split())[:TITLE_LENGTH]


def checked_text(text: str) -> str:
    """Raises: UserError("text_empty"), UserError("text_too_long")."""
    if not text.strip():
        raise UserError("text_empty")
    if len(text) > MAX_TEXT:
        raise UserError("text_too_long", length=len(text), limit=MAX_TEXT)
    return text


def _touch(conversation: Conversation, *fields: str) -> None:
    """Save fields of a row that is still there; a conversation deleted meanwhile stays deleted."""
    conversation.updated_at = timezone.now()
    values = {field: getattr(conversation, field) for field in (*fields, "updated_at")}
    if not Conversation.objects.filter(pk=conversation.pk).update(**values):
        raise UserError("conversation_gone")
