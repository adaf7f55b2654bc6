"""A conversation in, token ids that fit the model's context out; the oldest turns give way."""

from bisect import bisect_left
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


def fit(
    name: str, messages: Sequence[Message], max_tokens: int, limit: int | None = None
) -> Prompt:
    """Render a conversation for a model, leaving out its oldest turns until the answer has room.

    An answer never claims more than half of the context: else a long maximum length would cost
    the whole conversation. `limit` is the context of an engine that reads less than the model could.

    Raises: UserError("prompt_too_long") when not even the last question fits; homes.find's.
    """
    home = homes.find(name)
    renderer = Renderer.of(home.folder)
    context_length = min(home.context_length, limit or home.context_length)
    room = context_length - min(max_tokens, context_length // 2)
    shorter = _shorter(messages)
    fits = bisect_left(shorter, True, key=lambda kept: len(renderer.prompt(kept)) <= room)
    kept = shorter[min(fits, len(shorter) - 1)]
    ids = renderer.prompt(kept)
    if len(ids) >= context_length:
        raise UserError("prompt_too_long", tokens=len(ids), limit=context_length - 1)
    return Prompt(ids, sorted(renderer.stop_ids), len(messages) - len(kept))


def _shorter(messages: Sequence[Message]) -> list[list[Message]]:
    """Return the conversation whole, then without its oldest question and answer, and so on; the
    system prompt always stays."""
    questions = [i for i, message in enumerate(messages) if message.role == "user"]
    system = [m for m in messages[: questions[0] if questions else 0] if m.role == "system"]
    return [list(messages), *(system + list(messages[start:]) for start in questions[1:])]
