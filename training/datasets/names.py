"""What keys and columns are called: names go in, the Shape of the records comes out.

Knows neither files nor values. Names are compared composed (NFC), trimmed, without invisible
letters and without regard to case.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from training.datasets.choices import TEMPLATED, Piece, pieces
from training.errors import UserError

PAIR, MESSAGES, CONVERSATION, TURNS = "prompt", "messages", "conversation", "turns"
"""One record an example; a list of messages; a row a message; a row a question and its answer."""

NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations"),
    "conversation": ("c_id", "cid", "conversation_id", "대화id", "대화_id", "대화 id", "대화번호"),
    "order": ("t_id", "tid", "turn_id", "turn", "순서", "순번", "차례"),
    "role": ("role", "역할", "화자"),
    "content": ("content", "내용", "발화"),
    "prompt": (
        "prompt", "question", "q", "instruction",
        "질문", "문의", "프롬프트", "지시", "지시문", "입력", "질의", "물음", "민원",
        "질문내용", "질문 내용", "문의내용", "문의 내용", "민원내용", "민원 내용",
        "text", "input", "제목", "원문", "글",
    ),
    "answer": (
        "completion", "answer", "a", "output", "response",
        "답변", "응답", "대답", "답", "출력", "회신", "답변내용", "답변 내용", "응답내용",
        "응답 내용", "처리내용", "처리 내용", "초안", "요약", "번역", "갈래",
    ),
    "system": ("system", "system_prompt", "시스템", "시스템 프롬프트", "시스템프롬프트"),
    "extra": ("input", "참고 문서", "참고문서", "원문", "글"),
    "history": ("history",),
}  # fmt: skip
"""Part of an example -> the names it goes by, the most telling first."""
VAGUE = {"text", "input", "제목", "원문", "글"}
"""Names that mean a question only where there is an answer too."""
NEEDED = (
    (MESSAGES, ("messages",)),
    (CONVERSATION, ("conversation", "role", "content")),
    (TURNS, ("conversation", "prompt", "answer")),
    (PAIR, ("prompt", "answer")),
)
OPTIONAL = {
    MESSAGES: ("system",),
    CONVERSATION: ("order",),
    TURNS: ("order", "system", "extra"),
    PAIR: ("system", "extra", "history"),
}
TALK_COLUMNS = ("System_Prompt", "C_ID", "T_ID", "Text", "Completion")
TAKEN_HOME = {TALK_COLUMNS, ("질문", "답변"), ("Question", "Answer")}
"""The headers that export.py writes, in each language of the studio."""
INVISIBLE = re.compile("[\ufeff\u200b-\u200f\u2060\u00ad\0]")

Place = int | tuple[Piece | int, ...]
"""Index of a name, or what a template is made of: texts and indices."""


@dataclass(frozen=True)
class Shape:
    """Which names carry which part of an example."""

    kind: str
    """PAIR, MESSAGES, CONVERSATION or TURNS."""
    places: dict[str, Place]
    """Part -> where it stands among the names."""
    ignored: tuple[str, ...] = ()
    """Names that carry nothing for us."""

    @property
    def is_grouped(self) -> bool:
        """Whether several records make one example."""
        return self.kind in (CONVERSATION, TURNS)


def clean(name: str) -> str:
    """Return a name as it is shown: composed, trimmed, without invisible letters."""
    return INVISIBLE.sub("", unicodedata.normalize("NFC", name)).strip()


def known_as(name: str) -> str:
    """Return what a name is compared by."""
    return name.casefold() if name.isascii() and name.isalnum() else clean(name).casefold()


def shape(names: tuple[str, ...]) -> Shape | None:
    """Recognise what a record with these names is; None when it is nothing we know."""
    is_short = len(names) < 50 and sum(map(len, names)) < 1000
    return _kept_shape(names) if is_short else _shape(names)


def _shape(names: tuple[str, ...]) -> Shape | None:
    found = {known_as(name): i for i, name in reversed([*enumerate(names)])}
    places: dict[str, Place] = {}
    for part, known in NAMES.items():
        if hits := [found[name] for name in known if name in found]:
            places[part] = hits[0]
    if places.get("extra") == places.get("prompt"):
        places.pop("extra", None)
    return _complete(names, places)


_kept_shape = lru_cache(maxsize=1024)(_shape)


def _complete(names: tuple[str, ...], places: dict[str, Place]) -> Shape | None:
    for kind, needed in NEEDED:
        if all(part in places for part in needed):
            parts = (*needed, *OPTIONAL[kind])
            used = {part: places[part] for part in parts if part in places}
            taken = {i for place in used.values() for i in _indices(place)}
            rest = (name for i, name in enumerate(names) if i not in taken)
            return Shape(kind, used, tuple(name for name in rest if name.strip()))
    return None


def _indices(place: Place) -> list[int]:
    parts = [place] if isinstance(place, int) else place
    return [part for part in parts if isinstance(part, int)]


def mapped(names: tuple[str, ...], mapping: dict[str, str]) -> Shape:
    """Return the Shape that a mapping names.

    Raises: UserError `column_unknown`, `mapping_incomplete`, `template_braces`.
    """
    found = {known_as(name): i for i, name in reversed([*enumerate(names)])}
    places = {part: _place(part, said, found, names) for part, said in mapping.items()}
    known = _complete(names, places)
    if known is None:
        raise UserError("mapping_incomplete")
    return known


def _place(part: str, said: str, found: dict[str, int], names: tuple[str, ...]) -> Place:
    """Raises: UserError `column_unknown`, `template_braces`."""
    if known_as(said) in found:
        return found[known_as(said)]
    if part not in TEMPLATED or "{" not in said:
        raise _unknown(said, names)
    place: list[Piece | int] = []
    for is_name, text in pieces(said):
        if is_name and known_as(text) not in found:
            raise _unknown(text, names)
        place.append(found[known_as(text)] if is_name else (False, text))
    return tuple(place)


def _unknown(name: str, names: tuple[str, ...]) -> UserError:
    return UserError("column_unknown", name=listed([name]), columns=listed(names))


def mapping(known: Shape, names: tuple[str, ...]) -> dict[str, str]:
    """Return what a Shape stands for as Choices.mapping says it."""
    said = {part: _said(place, names) for part, place in known.places.items()}
    if extra := said.pop("extra", None):
        said["prompt"] = f"{{{said['prompt']}}}\n\n{{{extra}}}"
    return said


def _said(place: Place, names: tuple[str, ...]) -> str:
    if isinstance(place, int):
        return clean(names[place])
    return "".join(
        f"{{{clean(names[part])}}}"
        if isinstance(part, int)
        else part[1].replace("{", "{{").replace("}", "}}")
        for part in place
    )


def numbered(count: int) -> list[str]:
    """Return names for columns that have none."""
    return [f"{number}열" for number in range(1, count + 1)]


def listed(names: Iterable[str]) -> str:
    """Return names as one readable line."""
    line = ", ".join(printable(clean(name)) for name in list(names)[:30])
    return line if len(line) <= 300 else line[:300] + "…"


def printable(text: str) -> str:
    """Return text that can be written as UTF-8 (what is no letter becomes U+FFFD)."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "")
