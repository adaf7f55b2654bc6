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
Mending = Callable[[Example], list[str]]
"""An example -> the contents to be kept."""


def _python(pattern: str) -> re.Pattern:
    """Compile one of RE2's patterns for Python, which writes code points otherwise."""
    return re.compile(
        re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", pattern)
    )


INVISIBLE, TAGS = _python(patterns.INVISIBLE), _python(patterns.TAGS)
LAID_OUT = re.compile(f"{patterns.LAID_OUT}|{patterns.CODE}")
CHAT_MARK, ANSWER_MARK = _python(patterns.CHAT_MARK), _python(patterns.ANSWER_MARK)
LINE_TAGS = re.compile(r"<(?i:br|/?p|/?div|/?li|/?tr|/?h[1-6])(?:\s[^<>]{0,200})?/?>")
EMPTY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+\n")
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
WIDE = re.compile(r"(?<=[^\s|]) {3,}(?=[^\s|])")


def seen(role: str, text: str) -> str:
    return INVISIBLE.sub("", text)


def tidy(role: str, text: str) -> str:
    """Leave out blanks that say nothing; of programs and columns only those around them."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip("\n").rstrip() if LAID_OUT.search(text) else _narrow(text)


def _narrow(text: str) -> str:
    text = text.strip()
    return WIDE.sub(" ", EMPTY_LINES.sub("\n\n", text))


def without_html(role: str, text: str) -> str:
    text = ENTITY.sub(lambda found: html.unescape(found[0]), text).replace("\xa0", " ")
    return _narrow(TAGS.sub("", LINE_TAGS.sub("\n", text)))


def without_marks(role: str, text: str) -> str:
    text = CHAT_MARK.sub("", text)
    return (ANSWER_MARK.sub("", text) if role == "assistant" else text).strip()


NORMALISERS: dict[str, Mend] = {
    "control_characters": seen,
    "spaces": tidy,
    "html": without_html,
    "chat_marks": without_marks,
}


def mend(key: str, how: str, params: dict) -> Mending:
    """Return what a cure makes of an example's contents; `params` are its finding's."""
    if how == MASK:
        return lambda example: personal.across(
            [said.content for said in example.messages],
            lambda text: personal.replaced(text, params["kinds"]),
        )
    write = NORMALISERS[key] if key in NORMALISERS else _speller(params["spellings"])
    return lambda example: [write(said.role, said.content) for said in example.messages]


def _speller(spellings: dict[str, str]) -> Mend:
    def spelled(role: str, text: str) -> str:
        return spellings.get(plain_text(text), text) if role == "assistant" else text

    return spelled


def rewritten(example: Example, mending: Mending) -> Example | None:
    """Return an example with its contents mended; None where one of them is empty then."""
    contents = mending(example)
    if not all(content.strip() for content in contents):
        return None
    both = zip(example.messages, contents, strict=True)
    return Example(tuple(Message(said.role, content) for said, content in both))
