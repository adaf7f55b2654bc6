"""What the user decided over the reader's own recognition: a plain dict in, typed Choices out.

Each is optional. A mapping names the column (or JSON key) of each part of an example, or, for
prompt and answer, a template such as «{제목}\\n{본문}».
"""

import re
from dataclasses import dataclass, field

from training.errors import UserError

ENCODINGS = (
    "utf-8", "cp949", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "johab",
    "shift_jis", "gb18030", "big5", "cp1252",
)  # fmt: skip
"""The encodings that are offered."""
DELIMITERS = ",;\t|"
PARTS = (
    "prompt", "answer", "system", "conversation", "order", "role", "content", "messages", "history",
)  # fmt: skip
TEMPLATED = ("prompt", "answer")
"""Parts that may be put together from several columns."""
TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
TEMPLATE_LIMIT = 2_000

Piece = tuple[bool, str]
"""Whether it names a column, and its text."""


@dataclass(frozen=True)
class Choices:
    encoding: str | None = None
    """One of ENCODINGS."""
    delimiter: str | None = None
    """One of DELIMITERS."""
    sheet: str | None = None
    """Name of a workbook's sheet."""
    has_header: bool | None = None
    """False: the first row is data, and the columns are called 1열, 2열 and so on."""
    mapping: dict[str, str] = field(default_factory=dict)
    """One of PARTS -> name of a column, or a template of names in braces; empty: recognise."""

    @classmethod
    def of(cls, given: dict | None) -> "Choices":
        """Check a plain dict, as as_dict makes it.

        Raises: UserError `choice_wrong`, `template_braces`.
        """
        given = {key: value for key, value in (given or {}).items() if value not in (None, "")}
        mapping = given.pop("mapping", {})
        if given.get("encoding", ENCODINGS[0]) not in ENCODINGS:
            raise UserError("choice_wrong", name="encoding", value=_shown(given["encoding"]))
        if given.get("delimiter", ",") not in tuple(DELIMITERS):
            raise UserError("choice_wrong", name="delimiter", value=_shown(given["delimiter"]))
        if not isinstance(given.get("sheet", ""), str):
            raise UserError("choice_wrong", name="sheet", value=_shown(given["sheet"]))
        if not isinstance(given.get("has_header", True), bool):
            raise UserError("choice_wrong", name="has_header", value=_shown(given["has_header"]))
        if unknown := set(given) - set(cls.__dataclass_fields__):
            raise UserError("choice_wrong", name=_shown(min(unknown)), value="?")
        return cls(mapping=_checked(mapping), **given)

    def as_dict(self) -> dict:
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in found.items() if value not in (None, {})}


def _checked(mapping: object) -> dict[str, str]:
    """Raises: UserError `choice_wrong`, `template_braces`."""
    if not isinstance(mapping, dict):
        raise UserError("choice_wrong", name="mapping", value=_shown(mapping))
    for part, place in mapping.items():
        if part not in PARTS or not isinstance(place, str) or len(place) > TEMPLATE_LIMIT:
            raise UserError("choice_wrong", name=_shown(part), value=_shown(place))
    return {part: place for part, place in mapping.items() if place.strip()}


def pieces(template: str) -> list[Piece]:
    """Cut a template into its texts and the names in braces; doubled braces stand for themselves.

    Raises: UserError `template_braces`.
    """
    found: list[Piece] = []
    begin = 0
    for match in TOKEN.finditer(template):
        found.append((False, template[begin : match.start()]))
        begin = match.end()
        if match[1] is not None:
            found.append((True, match[1]))
        elif len(match[0]) == 2:
            found.append((False, match[0][0]))
        else:
            raise UserError("template_braces", template=_shown(template))
    found.append((False, template[begin:]))
    return [piece for piece in found if piece != (False, "")]


def _shown(value: object) -> str:
    return str(value)[:100].encode("utf-8", "replace").decode()
