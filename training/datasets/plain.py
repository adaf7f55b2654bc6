"""The short way for records that are as they should be: decoded, checked and written in bulk.

What is not plain in every respect is left to the careful readers (objects.py, shapes.py), which
would have made the same of the rest: tests/datasets/test_plain.py holds the two together.
"""

import re
from collections.abc import Callable, Iterable

import msgspec

from training.chat import Example, Message
from training.datasets.lines import Block, split
from training.datasets.shapes import Mistake, text

BATCH = 1000
OTHER = {"user": "assistant", "assistant": "user"}


class Said(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: str
    content: str


class Talk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An Example in the form that is written fastest."""

    messages: list[Said]

    def example(self) -> Example:
        return Example(tuple(Message(said.role, said.content) for said in self.messages))


DECODER = msgspec.json.Decoder()
TALKS = msgspec.json.Decoder(Talk)
ENCODE: Callable[[Talk], bytes] = msgspec.json.Encoder().encode
ESCAPES = re.compile(rb"\\[ur]")
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)


def talks(block: Block) -> list[Talk] | None:
    """Return one {messages: [{role, content}]} a line, or None where the lines are anything else;
    who speaks in what order is not looked at."""
    return _one_a_line(block, TALKS.decode_lines)


def objects(block: Block) -> list[dict] | None:
    """Return one object a line, or None where the lines are anything else."""
    values = _one_a_line(block, DECODER.decode_lines)
    return values if values and set(map(type, values)) == {dict} else None


def _one_a_line(block: Block, decode_lines: Callable[[str | bytes], list]) -> list | None:
    """Return one value a line, or None where the lines are anything else.

    Each line begins and ends with a brace and there are as many values as lines: since no string
    of JSON holds a raw newline and no brace opens right behind a closed one, none spans two.
    """
    content = block.content
    if isinstance(content, bytes):
        count = content.count(b"\n") + (not content.endswith(b"\n"))
        is_even = content.startswith(b"{") and content.endswith((b"}\n", b"}"))
        is_even = is_even and content.count(b"}\n{") == count - 1
    else:
        count = content.count("\n") + (not content.endswith("\n"))
        is_even = content.startswith("{") and content.endswith(("}\n", "}"))
        is_even = is_even and content.count("}\n{") == count - 1
    if not is_even:
        return None
    try:
        values = decode_lines(content)
    except UNREADABLE:
        return None
    return values if len(values) == count else None


def objects_line_by_line(block: Block) -> list[dict | None]:
    """Return the object of each line, None where a line is none."""
    return [_object(line) for line in split(block.text)]


def _object(line: str) -> dict | None:
    if not line.startswith("{"):
        return None
    try:
        value = DECODER.decode(line)
    except UNREADABLE:
        return None
    return value if isinstance(value, dict) else None


def needs_cleaning(block: Block) -> bool:
    """Say whether escapes may stand for letters that text() would clean."""
    if isinstance(block.content, bytes):
        return ESCAPES.search(block.content) is not None
    return ESCAPES.search(block.content.encode("utf-8", "replace")) is not None


def pair(prompt: object, answer: object) -> Talk | None:
    """Return the Talk of two clean texts, None where it is not plain that they are."""
    if prompt.__class__ is not str or answer.__class__ is not str:
        return None
    if not prompt or not answer or prompt.isspace() or answer.isspace():  # type: ignore[attr-defined]
        return None
    return Talk([Said("user", prompt), Said("assistant", answer)])  # type: ignore[arg-type]


def talk(messages: object) -> Talk | None:
    """Return the Talk of a list of clean {role, content}, None where it is not plain."""
    if messages.__class__ is not list:
        return None
    found: list[Said] = []
    expected = "user"
    try:
        for message in messages:  # type: ignore[attr-defined]
            role, content = message["role"], message["content"]
            if len(message) != 2 or content.__class__ is not str or not content:
                return None
            if role == expected:
                expected = OTHER[role]
            elif role != "system" or found:
                return None
            if content.isspace():
                return None
            found.append(Said(role, content))
    except (KeyError, TypeError):  # not {role, content}
        return None
    return Talk(found) if expected == "user" and len(found) > 1 else None


def in_order(found: Talk) -> Talk | None:
    """Return a Talk of clean texts whose turns are as they should be, None where it is not plain."""
    expected, is_first = "user", True
    for said in found.messages:
        if said.role == expected:
            expected = OTHER[expected]
        elif said.role != "system" or not is_first:
            return None
        if not said.content or said.content.isspace():
            return None
        is_first = False
    return found if expected == "user" and len(found.messages) > 1 else None


def cleaned(found: Talk, notes: set[str]) -> Talk | None:
    """Return a Talk with its letters cleaned, None where that needs the careful way."""
    noted: set[str] = set()
    try:
        for said in found.messages:
            said.content = text(said.content, "", noted)
    except Mistake:
        return None
    if not all(said.content.strip() for said in found.messages):
        return None
    notes |= noted
    return found


def encoded(talks: Iterable[Talk]) -> list[bytes]:
    return [ENCODE(talk) for talk in talks]
