"""A conversation in, token ids that fit the model's context out; the oldest turns give way."""

from collections.abc import Sequence
from dataclasses import dataclass

from playground import homes
from training.chat import Message, Renderer
from training.errors import UserError


@dataclass(frozen=True)
class Prompt:
    ids: list[int]
    stop_ids: list[int]
    dropped: int
    """Messages that were left out, the oldest ones."""


def fit(name: str, messages: Sequence[Message], max_tokens: int) -> Prompt:
    """Render a conversation for a model, leaving out its oldest turns until the answer has room.

    An answer never claims more than half of the context: else a long maximum length would cost
    the whole conversation.

    Raises: UserError("prompt_too_long") when not even the last question fits; homes.find's.
    """
    home = homes.find(name)
    renderer = Renderer.of(home.folder)
    room = home.context_length - min(max_tokens, home.context_length // 2)
    kept = list(messages)
    ids = renderer.prompt(kept)
    while len(ids) > room and (shorter := _without_oldest_turn(kept)):
        kept = shorter
        ids = renderer.prompt(kept)
    if len(ids) >= home.context_length:
        raise UserError("prompt_too_long", tokens=len(ids), limit=home.context_length - 1)
    return Prompt(ids, sorted(renderer.stop_ids), len(messages) - len(kept))


def _without_oldest_turn(messages: list[Message]) -> list[Message]:
    """Drop the first question with its answer; the system prompt stays. Empty: nothing to drop."""
    questions = [i for i, message in enumerate(messages) if message.role == "user"]
    if len(questions) < 2:
        return []
    system = [message for message in messages[: questions[0]] if message.role == "system"]
    return system + messages[questions[1] :]
