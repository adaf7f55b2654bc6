"""How a cure writes one row anew. In: an example. Out: the mended one, or None where nothing of it is
left. Knows no files: editing.py says which rows, store.py keeps them.
"""

import html
import re
from collections.abc import Callable

from training.chat import Example, Message
from training.datasets import personal
from training.datasets.check import patterns
from training.datasets.check.terms import MASK, plain_text

Mend = Callable[[str, str], str]
"""(role, content) -> the content to be kept."""


def _python(pattern: str) -> re.Pattern:
    """Compile one of RE2's patterns for Python, which writes code points otherwise."""
    return re.compile(
        re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", pattern)
    )


INVISIBLE, TAGS = _python(patterns.INVISIBLE), _python(patterns.TAGS)
CHAT_MARK, ANSWER_MARK = _python(patterns.CHAT_MARK), _python(patterns.ANSWER_MARK)
LINE_TAGS = re.compile(r"<(?i:br|/?p|/?div|/?li|/?tr|/?h[1-6])(?:\s[^<>]{0,200})?/?>")
EMPTY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+\n")
WIDE = re.compile(r"(?<=[^\s|]) {3,}(?=[^\s|])")


def seen(role: str, text: str) -> str:
    return INVISIBLE.sub("", text)


def tidy(role: str, text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return WIDE.sub(" ", EMPTY_LINES.sub("\n\n", text))


def without_html(role: str, text: str) -> str:
    text = html.unescape(text).replace("\xa0", " ")
    return tidy(role, TAGS.sub("", LINE_TAGS.sub("\n", text)))


def without_marks(role: str, text: str) -> str:
    text = CHAT_MARK.sub("", text)
    return (ANSWER_MARK.sub("", text) if role == "assistant" else text).strip()


NORMALISERS: dict[str, Mend] = {
    "control_characters": seen,
    "spaces": tidy,
    "html": without_html,
    "chat_marks": without_marks,
}


def mend(key: str, how: str, params: dict) -> Mend:
    """Return what a cure makes of each content; `params` are its finding's."""
    if how == MASK:
        return lambda role, text: personal.replaced(text, params["kinds"])
    if key in NORMALISERS:
        return NORMALISERS[key]
    spellings = params["spellings"]

    def spelled(role: str, text: str) -> str:
        return spellings.get(plain_text(text), text) if role == "assistant" else text

    return spelled


def rewritten(example: Example, mending: Mend) -> Example | None:
    """Return an example with all its contents mended; None where one of them is empty then."""
    said = tuple(Message(one.role, mending(one.role, one.content)) for one in example.messages)
    return Example(said) if all(one.content.strip() for one in said) else None
