"""What values mean: a record's values go in, an Example or a Mistake comes out.

Knows neither files nor formats nor what columns are called.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from training.chat import Example, Message
from training.datasets.names import MESSAGES, NAMES, VAGUE, Place, Shape, known_as, listed
from training.datasets.names import printable as printable

ROW_LIMIT = 500
"""How much of a bad row is kept, in characters."""
LETTERS_COMPOSED, WEIGHTS_IGNORED = "letters_composed", "weights_ignored"

ROLES: dict[str, str] = {
    **dict.fromkeys(("user", "human", "사용자", "질문자", "고객", "질문", "유저", "민원인"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bot", "model", "ai", "답변", "상담원", "상담사",
         "어시스턴트", "도우미", "담당자"),
        "assistant",
    ),
    **dict.fromkeys(("system", "시스템", "developer"), "system"),
}  # fmt: skip
TOOLS = ("tool", "function", "function_call", "observation", "tool_call", "tool_response")
ALTERNATING = ("user", "assistant")
Turn = tuple[object, object]
"""Role and content."""


class Mistake(Exception):
    """What is wrong with one record; reading goes on after it. Codes are wording.py's."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code, params)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class Problem:
    line: int
    """Line in the file (row of the sheet) where the bad record begins, from 1."""
    code: str
    params: dict
    row: str
    """The record as written, cut at ROW_LIMIT characters."""

    def as_dict(self) -> dict:
        return {"line": self.line, "code": self.code, "params": self.params, "row": self.row}


def problem(line: int, mistake: Mistake, row: str) -> Problem:
    return Problem(line, mistake.code, mistake.params, printable(row[:ROW_LIMIT]).strip("\r\n"))


def missing_part(names: tuple[str, ...]) -> Mistake:
    """Say what keeps a record with these names from being an example."""
    known = {known_as(name) for name in names} - VAGUE
    if known & set(NAMES["prompt"]):
        return Mistake("answer_missing")
    if known & set(NAMES["answer"]):
        return Mistake("prompt_missing")
    return Mistake("keys_unknown", keys=listed(names))


def text(value: object, name: str, notes: set[str]) -> str:
    """Return a value as clean text: numbers are written out, NULs dropped, line ends made one,
    letters composed (NFC).

    Raises: Mistake `content_not_text`, `letters_damaged`.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        if not isinstance(value, (int, float)):
            raise Mistake("content_not_text", name=listed([name]))
        return json.dumps(value)
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in value:
        value = value.replace("\0", "")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Mistake("letters_damaged") from None
    if not unicodedata.is_normalized("NFC", value):
        notes.add(LETTERS_COMPOSED)
        value = unicodedata.normalize("NFC", value)
    return value


class Meaning:
    """Makes examples of the values that stand under one set of names."""

    def __init__(self, known: Shape, names: tuple[str, ...], notes: set[str]) -> None:
        self.shape = known
        self.names = names
        self.notes = notes

    def text(self, part: str, values: Sequence) -> str:
        """Return the text of a part; '' where the records have none.

        Raises: Mistake `content_not_text`, `letters_damaged`.
        """
        place = self.shape.places.get(part)
        if place is None:
            return ""
        if isinstance(place, int):
            return text(values[place], self.names[place], self.notes)
        return self._filled(place, values)

    def _raw(self, part: str, values: Sequence) -> object:
        place = self.shape.places[part]
        return values[place] if isinstance(place, int) else None

    def _filled(self, place: Place, values: Sequence) -> str:
        assert not isinstance(place, int)
        found = [
            part[1] if isinstance(part, tuple) else text(values[part], self.names[part], self.notes)
            for part in place
        ]
        has_value = any(
            said.strip() for part, said in zip(place, found, strict=True) if isinstance(part, int)
        )
        return "".join(found).strip() if has_value else ""

    def prompt(self, values: Sequence) -> str:
        prompt, extra = self.text("prompt", values), self.text("extra", values)
        if not extra.strip():
            return prompt
        return f"{prompt}\n\n{extra}" if prompt.strip() else extra

    def example(self, values: Sequence) -> Example:
        """Make the example that one record is.

        Raises: Mistake of pair, turns and conversation.
        """
        if self.shape.kind == MESSAGES:
            return self._talk(values)
        prompt, answer = self.prompt(values), self.text("answer", values)
        system = self.text("system", values)
        if "history" in self.shape.places:
            earlier = history(self._raw("history", values))
            if earlier:
                said: list[Turn] = [("system", system)] if system.strip() else []
                said += [*earlier, ("user", prompt), ("assistant", answer)]
                return conversation(said, self.notes)
        return pair(prompt, answer, system=system)

    def _talk(self, values: Sequence) -> Example:
        said = turns(self._raw("messages", values), self.notes)
        system = self.text("system", values)
        if system.strip() and role(said[0][0], 1) != "system":
            said = [("system", system), *said]
        return conversation(said, self.notes)


def pair(prompt: str, answer: str, *, system: str = "") -> Example:
    """Make an example of a question and its answer.

    Raises: Mistake `prompt_empty`, `answer_empty`.
    """
    if not prompt.strip():
        raise Mistake("prompt_empty")
    if not answer.strip():
        raise Mistake("answer_empty")
    messages = (Message("user", prompt), Message("assistant", answer))
    return Example((Message("system", system), *messages) if system.strip() else messages)


def turns(messages: object, notes: set[str]) -> list[Turn]:
    """Return the turns of a list of messages, be they {role, content} or {from, value}.

    Raises: Mistake `messages_wrong`, `tools_unknown`, `part_not_text`.
    """
    if isinstance(messages, str) and messages.lstrip().startswith("["):  # a cell of a table
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError):
            raise Mistake("messages_wrong", turn=1) from None
    if not isinstance(messages, list) or not messages:
        raise Mistake("messages_wrong", turn=1)
    found: list[Turn] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not ("role" in message or "from" in message):
            raise Mistake("messages_wrong", turn=number)
        said = message["role"] if "role" in message else message["from"]
        is_tool = isinstance(said, str) and said.strip().casefold() in TOOLS
        if is_tool or message.get("tool_calls") or message.get("function_call"):
            raise Mistake("tools_unknown", turn=number)
        if message.get("weight") in (0, False) and message.get("weight") is not None:
            notes.add(WEIGHTS_IGNORED)
        content = message.get("content", message.get("value"))
        found.append((said, _joined(content, number) if isinstance(content, list) else content))
    return found


def _joined(parts: list, turn: int) -> object:
    """Join the texts of a content that comes in parts.

    Raises: Mistake `part_not_text`.
    """
    if not parts or not all(isinstance(part, dict) for part in parts):
        return parts  # text() names it
    for part in parts:
        if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise Mistake("part_not_text", turn=turn, kind=listed([str(part.get("type"))[:40]]))
    return "".join(part["text"] for part in parts)


def history(said: object) -> list[Turn]:
    """Return the earlier turns of Alpaca's history: [[question, answer], …].

    Raises: Mistake `history_wrong`.
    """
    if said is None or said == "" or said == []:
        return []
    is_right = isinstance(said, list) and all(
        isinstance(two, list) and len(two) == 2 for two in said
    )
    if not is_right:
        raise Mistake("history_wrong")
    assert isinstance(said, list)
    return [turn for two in said for turn in zip(ALTERNATING, two, strict=True)]


def conversation(said: Sequence[Turn], notes: set[str]) -> Example:
    """Make an example of (role, content) turns: an optional system turn, then user and
    assistant in turn, the assistant last.

    Raises: Mistake `role_unknown`, `order_wrong`, `first_not_user`, `prompt_empty`,
        `answer_empty`, `answer_missing`, `assistant_missing`, `content_not_text`,
        `letters_damaged`.
    """
    messages = [
        Message(role(raw, number), text(content, "content", notes))
        for number, (raw, content) in enumerate(said, 1)
    ]
    body = messages[1:] if messages and messages[0].role == "system" else messages
    first = len(messages) - len(body) + 1
    if body and body[0].role == "assistant":
        raise Mistake("first_not_user", turn=first)
    for number, (message, expected) in enumerate(zip(body, cycle(ALTERNATING)), first):
        if message.role != expected:
            raise Mistake("order_wrong", turn=number, role=message.role)
        if not message.content.strip():
            raise Mistake("prompt_empty" if expected == "user" else "answer_empty", turn=number)
    if not body or body[-1].role != "assistant":
        raise Mistake("answer_missing" if len(body) > 1 else "assistant_missing")
    if len(body) < len(messages) and not messages[0].content.strip():
        messages = body
    return Example(tuple(messages))


def role(raw: object, turn: int) -> str:
    """Raises: Mistake `role_unknown`."""
    known = ROLES.get(raw) if isinstance(raw, str) else None
    if known is None and isinstance(raw, str):
        known = ROLES.get(known_as(raw))
    if known is None:
        shown = raw if isinstance(raw, str) else "?"
        raise Mistake("role_unknown", role=printable(shown[:40]), turn=turn)
    return known
