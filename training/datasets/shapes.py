"""What keys and columns mean: names and values go in, Examples and Mistakes come out.

Knows neither files nor formats. Names are compared trimmed and without regard to case.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

from training.chat import Example, Message

ROW_LIMIT = 500
"""How much of a bad row is kept, in characters."""
PAIR, MESSAGES, CONVERSATION = "prompt", "messages", "conversation"

NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "conversation": ("c_id", "cid", "conversation_id", "대화id", "대화_id", "대화 id", "대화번호"),
    "role": ("role", "역할"),
    "content": ("content", "내용"),
    "prompt": (
        "prompt", "question", "q", "instruction",
        "질문", "문의", "프롬프트", "지시", "지시문", "입력",
    ),
    "answer": (
        "completion", "answer", "a", "output", "response",
        "답변", "응답", "대답", "답", "출력",
    ),
    "system": ("system", "system_prompt", "시스템", "시스템 프롬프트"),
    "extra": ("input",),
}  # fmt: skip
"""Part of an example -> the names it goes by, the most telling first."""

ROLES: dict[str, str] = {
    **dict.fromkeys(("user", "human", "사용자", "질문자", "고객", "질문", "유저"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bot", "model", "ai", "답변", "상담원", "상담사",
         "어시스턴트", "도우미"),
        "assistant",
    ),
    **dict.fromkeys(("system", "시스템", "developer"), "system"),
}  # fmt: skip
ALTERNATING = ("user", "assistant")


class Mistake(Exception):
    """What is wrong with one record; reading goes on after it. Codes are wording.py's."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code, params)
        self.code = code
        self.params = params


@dataclass(frozen=True)
class Problem:
    line: int
    """Line in the file where the bad record begins, from 1."""
    code: str
    params: dict
    row: str
    """The record as written, cut at ROW_LIMIT characters."""

    def as_dict(self) -> dict:
        return {"line": self.line, "code": self.code, "params": self.params, "row": self.row}


def problem(line: int, mistake: Mistake, row: str) -> Problem:
    return Problem(line, mistake.code, mistake.params, printable(row[:ROW_LIMIT]).strip("\r\n"))


def printable(text: str) -> str:
    """Return text that can be written as UTF-8 (what is no letter becomes U+FFFD)."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "")


@dataclass(frozen=True)
class Shape:
    """Which names carry which part of an example."""

    kind: str
    """PAIR, MESSAGES or CONVERSATION."""
    places: dict[str, int]
    """Part -> index among the names."""
    ignored: tuple[str, ...]
    """Names that carry nothing for us."""


def shape(names: tuple[str, ...]) -> Shape | None:
    """Recognise what a record with these names is; None when it is nothing we know."""
    is_short = len(names) < 50 and sum(map(len, names)) < 1000
    return _kept_shape(names) if is_short else _shape(names)


def _shape(names: tuple[str, ...]) -> Shape | None:
    found = {name.strip("\ufeff \t\r\n").casefold(): i for i, name in reversed([*enumerate(names)])}
    places = {}
    for part, known in NAMES.items():
        if hits := [found[name] for name in known if name in found]:
            places[part] = hits[0]
    for kind, needed in (
        (MESSAGES, ("messages",)),
        (CONVERSATION, ("conversation", "role", "content")),
        (PAIR, ("prompt", "answer")),
    ):
        if all(part in places for part in needed):
            parts = (*needed, "system", "extra") if kind == PAIR else needed
            used = {part: places[part] for part in parts if part in places}
            taken = set(used.values())
            rest = (name for i, name in enumerate(names) if i not in taken)
            return Shape(kind, used, tuple(name for name in rest if name.strip()))
    return None


_kept_shape = lru_cache(maxsize=1024)(_shape)


def missing_part(names: tuple[str, ...]) -> Mistake:
    """Say what keeps a record with these names from being an example."""
    known = {name.strip("\ufeff \t\r\n").casefold() for name in names}
    if known & set(NAMES["prompt"]):
        return Mistake("answer_missing")
    if known & set(NAMES["answer"]):
        return Mistake("prompt_missing")
    return Mistake("keys_unknown", keys=listed(names))


def listed(names: Iterable[str]) -> str:
    """Return names as one readable line."""
    line = ", ".join(printable(name.strip()) for name in list(names)[:30])
    return line if len(line) <= 300 else line[:300] + "…"


def text(value: object, name: str) -> str:
    """Return a value as clean text: numbers are written out, NULs dropped, line ends made one.

    Raises: Mistake `content_not_text`, `letters_damaged`.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        if not isinstance(value, (int, float)):
            raise Mistake("content_not_text", name=name)
        return json.dumps(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Mistake("letters_damaged") from None
    if "\0" in value:
        value = value.replace("\0", "")
    return value.replace("\r\n", "\n").replace("\r", "\n") if "\r" in value else value


def pair(prompt: str, answer: str, *, extra: str = "", system: str = "") -> Example:
    """Make an example of a question and its answer.

    Raises: Mistake `prompt_empty`, `answer_empty`.
    """
    if extra.strip():
        prompt = f"{prompt}\n\n{extra}" if prompt.strip() else extra
    if not prompt.strip():
        raise Mistake("prompt_empty")
    if not answer.strip():
        raise Mistake("answer_empty")
    messages = (Message("user", prompt), Message("assistant", answer))
    return Example((Message("system", system), *messages) if system.strip() else messages)


def conversation(turns: Sequence[tuple[object, object]]) -> Example:
    """Make an example of (role, content) turns: an optional system turn, then user and
    assistant in turn, the assistant last.

    Raises: Mistake `role_unknown`, `order_wrong`, `prompt_empty`, `answer_empty`,
        `answer_missing`, `content_not_text`, `letters_damaged`.
    """
    messages = [
        Message(role(raw, number), text(said, "content"))
        for number, (raw, said) in enumerate(turns, 1)
    ]
    body = messages[1:] if messages and messages[0].role == "system" else messages
    first = len(messages) - len(body) + 1
    for number, (message, expected) in enumerate(zip(body, cycle(ALTERNATING)), first):
        if message.role != expected:
            raise Mistake("order_wrong", turn=number, role=message.role)
        if not message.content.strip():
            raise Mistake("prompt_empty" if expected == "user" else "answer_empty")
    if not body or body[-1].role != "assistant":
        raise Mistake("answer_missing")
    if len(body) < len(messages) and not messages[0].content.strip():
        messages = body
    return Example(tuple(messages))


def role(raw: object, turn: int) -> str:
    """Raises: Mistake `role_unknown`."""
    known = ROLES.get(raw) if isinstance(raw, str) else None
    if known is None and isinstance(raw, str):
        known = ROLES.get(raw.strip().casefold())
    if known is None:
        shown = raw if isinstance(raw, str) else "?"
        raise Mistake("role_unknown", role=printable(shown[:40]), turn=turn)
    return known
